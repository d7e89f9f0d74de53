//! The gate's atomic words: their types, their layout, and the order of every operation on them.
//!
//! Owns the argument why the orders suffice; `mod.rs` and `grace.rs` use them by name only. Loom
//! checks each: a mutant weakens one order or leaves out one step, and the models must notice.
//! A mutant exists only where `gate_loom` is set, never in a build of the engine.
//!
//! Two facts carry the proofs. All operations on one word have one order, its *modification
//! order*, and a read-modify-write sees the latest value in it. And an acquiring operation that
//! reads a releasing one's value, or that value after any number of further read-modify-writes,
//! sees all that the releasing thread did before.

use core::sync::atomic::Ordering;

#[cfg(gate_loom)]
pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicU64},
};
#[cfg(not(gate_loom))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicU64},
};

/// In `entered`: no write enters.
pub(super) const CLOSED_WRITES: u64 = 1;
/// In `entered`: no read enters.
pub(super) const CLOSED_READS: u64 = 1 << 1;
/// In `entered`: the side on which entries count themselves in.
pub(super) const PARITY: u64 = 1 << 2;
/// In `left`: somebody waits for this side to empty.
pub(super) const WAITING: u64 = 1;
/// One permit, in either word. The count lies above the flags, so its carry falls off the top of
/// the word: counts run modulo 2^61 and never touch a flag. Only differences of counts are used,
/// and a difference is the number of permits that are out, far below 2^61.
pub(super) const ONE: u64 = 1 << COUNT_SHIFT;

/// The permits counted in a word, modulo 2^61.
pub(super) const fn count(word: u64) -> u64 {
    word >> COUNT_SHIFT
}

/// `a - b` for two counts, modulo 2^61.
pub(super) const fn difference(a: u64, b: u64) -> u64 {
    a.wrapping_sub(b) & (u64::MAX >> COUNT_SHIFT)
}

/// `entered.fetch_add(ONE)` of an entry. It acquires, so an entry that follows a flip, a shut or
/// an open in the word's order sees what was stored before that: the new snapshot, the reason, the
/// new generation. It need not release: nothing is handed over by entering.
pub(super) const ENTER: Ordering = weakened(cfg!(gate_mutant = "relaxed_enter"), Ordering::Acquire);

/// `left.fetch_add(ONE)` of a leaving permit. It releases, so who sees the count sees all that the
/// section did. It need not acquire: see [`super::waiters`] for why its wake-up finds the waker.
pub(super) const LEAVE: Ordering = weakened(cfg!(gate_mutant = "relaxed_leave"), Ordering::Release);

/// `entered.fetch_or(closed)` of a shut. It releases the reason. Every later entry is refused by
/// the word it gets back, whatever the order: flag and count are one word.
pub(super) const SHUT: Ordering = weakened(cfg!(gate_mutant = "relaxed_shut"), Ordering::Release);

/// `entered.fetch_and(!closed)` of an open. It releases the generation that entries will use.
pub(super) const OPEN: Ordering = weakened(cfg!(gate_mutant = "relaxed_open"), Ordering::Release);

/// `entered.fetch_xor(PARITY)` of a flip. It releases the snapshot stored before. It need not
/// acquire: it uses only the count it gets back, and entries release nothing.
pub(super) const FLIP: Ordering = weakened(cfg!(gate_mutant = "relaxed_flip"), Ordering::Release);

/// `left.load()` of who waits for a side to empty. It acquires what the sections did: leaving
/// operations are read-modify-writes, so the last one's value carries those of all.
pub(super) const DRAINED: Ordering =
    weakened(cfg!(gate_mutant = "relaxed_drained"), Ordering::Acquire);

/// `left.fetch_or(WAITING)` and `left.fetch_and(!WAITING)`. Relaxed: a leaving operation comes
/// before the flag, and then the look at the count that follows sees it, or after, and then it
/// sees the flag; both by the word's own order.
pub(super) const WAIT: Ordering = Ordering::Relaxed;

/// The reason's store and load, which [`SHUT`] and [`ENTER`] order.
pub(super) const WHY: Ordering = Ordering::Relaxed;

/// Loads for reports, which nothing depends on.
pub(super) const REPORT: Ordering = Ordering::Relaxed;

/// Mutant: a flip begins while the side it makes active still holds permits.
pub(super) const FLIP_WITHOUT_DRAIN: bool = mutant(cfg!(gate_mutant = "flip_without_drain"));

/// Mutant: who waits looks first and leaves its waker afterwards.
pub(super) const LOST_WAKEUP: bool = mutant(cfg!(gate_mutant = "lost_wakeup"));

/// Mutant: a quiesce is served by the flip already under way when it was called.
pub(super) const EARLIER_FLIP: bool = mutant(cfg!(gate_mutant = "earlier_flip"));

/// Mutant: nobody sets the waiting flag.
pub(super) const NO_WAITING_FLAG: bool = mutant(cfg!(gate_mutant = "no_waiting_flag"));

/// Mutant: a refused entry is not counted out.
pub(super) const REFUSED_STAYS: bool = mutant(cfg!(gate_mutant = "refused_stays"));

/// Mutant: a shut drops one stripe only.
pub(super) const ONE_STRIPE: bool = mutant(cfg!(gate_mutant = "one_stripe"));

/// Mutant: an open does not look for a newer shut.
pub(super) const OPEN_BLINDLY: bool = mutant(cfg!(gate_mutant = "open_blindly"));

/// Mutant: an open looks for a newer shut, but outside the lever's lock.
pub(super) const OPEN_UNLOCKED: bool = mutant(cfg!(gate_mutant = "open_unlocked"));

const COUNT_SHIFT: u32 = 3;

const fn mutant(selected: bool) -> bool {
    cfg!(gate_loom) && selected
}

const fn weakened(selected: bool, order: Ordering) -> Ordering {
    if mutant(selected) { Ordering::Relaxed } else { order }
}
