//! The gate: the one place where use of keys meets change of keys.
//!
//! It owns the answer to "may this start now" and "is anybody still in there". Work that touches
//! keys runs as a *section* under a [`Permit`], on the caller's own thread. [`Gate::shut`] refuses
//! new sections at once; [`quiesce`](Gate::quiesce_owned) waits for those under way, and only for those.
//!
//! ```text
//! pass(class, |permit| ..) -> R | Closed(why)   a section: synchronous, short, no wait of any kind
//! shut(scope, why) -> ShutTicket                anyone, any thread, at any time
//! shut_by_opener, relabel                       the lifecycle actor; they take no ticket
//! quiesce().await                               all permits issued before the call are gone
//! open(ticket) -> bool                          the lifecycle actor; never over a newer shut
//! ```
//!
//! It refuses entry only. It knows no deadlines, no keys and no reasons: `why` is a code that its
//! user chooses and gets back.
//!
//! Invariants:
//!
//! 1. An entry reads "closed" and counts itself in by one atomic operation on one word. There is
//!    no moment between the two in which a shut could slip.
//! 2. Once `shut` has returned, no section of that class begins until an `open` that knew of this
//!    very shut.
//! 3. Once `quiesce` has resolved, every section that began before the call has ended, and every
//!    section still inside sees what was stored before the call.
//! 4. Every entry is counted out exactly once: at the end of its section, when the section
//!    panics, or as soon as it is refused.
//! 5. A permit never leaves its thread and never outlives its section.
//!
//! Cost: a passage is two atomic additions on a stripe of the thread's own, 128 bytes apart from
//! the next thread's, and allocates nothing. A shut or a flip is one atomic operation per stripe.
//!
//! How it works: each stripe has a word `entered` = [entries ever | parity | closed for reads |
//! closed for writes] and two words `left` = [permits returned ever | waiting], one per side. An
//! entry adds one to `entered` and learns from the word it gets back whether it is refused, and by
//! the parity to which side it belongs; leaving adds one to that side's `left`. A flip of the
//! parity yields, by the same word, how many entered on the old side; when as many have left, all
//! who came before the flip are gone (`grace.rs`). Orders and their reasons are in `atoms.rs`;
//! `tests/loom` checks them, and that weaker ones fail.

mod atoms;
mod grace;
mod waiters;

use core::cell::Cell;
use core::marker::PhantomData;
use std::sync::Arc;

use self::atoms::{
    AtomicU8, AtomicU64, CLOSED_READS, CLOSED_WRITES, Mutex, ONE, PARITY, WAITING, count,
    difference,
};
use self::grace::Grace;
pub(crate) use self::grace::Quiesce;
use self::waiters::{Waiters, lock};

/// What a section does with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Unwraps, opens, or copies a lease.
    Read,
    /// Wraps, seals, or changes something.
    Write,
}

/// What a shut closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    All,
    /// Sections of [`Class::Write`] only.
    Writes,
}

/// The refusal of an entry, with the code that the shut gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The code of the latest shut of that class; 0 if it was never open.
    pub(crate) why: u8,
}

/// Which shuts were known at a moment. Later is greater.
///
/// Whoever asks for the gate to be opened takes one on its own thread when it asks
/// ([`Gate::latest_shut`]), and [`Gate::open`] refuses if a shut came after that. So a `Stop` that
/// has shut the gate but whose message is still on its way is not opened over, and one whose
/// message was lost does not keep the gate shut for ever: the next `Start` knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShutTicket(u64);

impl ShutTicket {
    /// Before every shut.
    pub(crate) const NONE: Self = Self(0);
}

/// The gate. See the module's documentation.
pub(crate) struct Gate {
    stripes: Box<[Stripe]>,
    /// Codes of the latest shut, by class; read on refusal only.
    why_reads: AtomicU8,
    why_writes: AtomicU8,
    /// The latest shut. Its lock makes shuts and opens follow each other; entries never take it.
    lever: Mutex<ShutTicket>,
    grace: Mutex<Grace>,
    waiters: Waiters,
}

impl Gate {
    /// A gate that is closed for both classes, with `why` 0.
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_stripes(threads.next_power_of_two().clamp(STRIPES_MIN, STRIPES_MAX))
    }

    /// The same with a given number of stripes, which is a power of two.
    pub(crate) fn with_stripes(stripes: usize) -> Self {
        assert!(stripes.is_power_of_two(), "stripes are found by a mask");
        Self {
            stripes: (0..stripes).map(|_| Stripe::closed()).collect(),
            why_reads: AtomicU8::new(0),
            why_writes: AtomicU8::new(0),
            lever: Mutex::new(ShutTicket::NONE),
            grace: Mutex::new(Grace::new(stripes)),
            waiters: Waiters::new(),
        }
    }

    /// Runs `section` under a permit, on this thread.
    ///
    /// The section holds no await, no blocking lock and no foreign code. It may pass again, and
    /// may be refused then.
    ///
    /// # Errors
    /// [`Closed`] if the gate is shut for `class`; the section has not run.
    #[inline]
    pub(crate) fn pass<R>(
        &self,
        class: Class,
        section: impl FnOnce(&Permit<'_>) -> R,
    ) -> Result<R, Closed> {
        self.pass_on(stripe_of_thread(), class, section)
    }

    /// The same on a given stripe; the number is masked.
    #[inline]
    pub(crate) fn pass_on<R>(
        &self,
        stripe: usize,
        class: Class,
        section: impl FnOnce(&Permit<'_>) -> R,
    ) -> Result<R, Closed> {
        let permit = Permit::take(self, stripe & (self.stripes.len() - 1));
        if permit.word & closed_flag(class) != 0 {
            return Err(self.refuse(class, permit));
        }
        Ok(section(&permit))
    }

    /// Refuses new sections of that scope from now on; those under way go on.
    ///
    /// Waits for nothing but another shut or open, which are a few instructions per stripe.
    pub(crate) fn shut(&self, scope: Scope, why: u8) -> ShutTicket {
        let mut latest = lock(&self.lever);
        latest.0 += 1;
        self.close_stripes(scope, why);
        *latest
    }

    /// The same by whoever opens. It takes no ticket: who opens knows of its own shuts, and must
    /// not learn by one of them of another's that nobody has told it of.
    pub(crate) fn shut_by_opener(&self, scope: Scope, why: u8) {
        let _latest = lock(&self.lever);
        self.close_stripes(scope, why);
    }

    /// Gives a gate that is shut for both classes another reason. It opens and shuts nothing.
    pub(crate) fn relabel(&self, why: u8) {
        let _latest = lock(&self.lever);
        self.why_writes.store(why, atoms::WHY);
        self.why_reads.store(why, atoms::WHY);
    }

    /// Under the lever's lock.
    fn close_stripes(&self, scope: Scope, why: u8) {
        // Before the flags: who is refused by them reads the code.
        self.why_writes.store(why, atoms::WHY);
        let flags = match scope {
            Scope::All => {
                self.why_reads.store(why, atoms::WHY);
                CLOSED_READS | CLOSED_WRITES
            }
            Scope::Writes => CLOSED_WRITES,
        };
        let dropped = if atoms::ONE_STRIPE { 1 } else { self.stripes.len() };
        for stripe in self.stripes.iter().take(dropped) {
            stripe.entered.fetch_or(flags, atoms::SHUT);
        }
    }

    /// The latest shut.
    pub(crate) fn latest_shut(&self) -> ShutTicket {
        *lock(&self.lever)
    }

    /// Lets both classes in, unless there was a shut after `seen`: then it does nothing and
    /// returns false. For the lifecycle actor alone.
    ///
    /// What was stored before the call is seen by every section that enters because of it.
    #[must_use]
    pub(crate) fn open(&self, seen: ShutTicket) -> bool {
        let latest = lock(&self.lever);
        if *latest != seen && !atoms::OPEN_BLINDLY {
            return false;
        }
        let _held = (!atoms::OPEN_UNLOCKED).then_some(latest);
        for stripe in &self.stripes {
            let flags = CLOSED_READS | CLOSED_WRITES;
            stripe.entered.fetch_and(!flags, atoms::OPEN);
        }
        true
    }

    /// Resolves when all permits issued before this call are gone, while new ones may enter.
    #[cfg(any(test, gate_loom))]
    pub(crate) fn quiesce(&self) -> Quiesce<&Self> {
        Quiesce::new(self)
    }

    /// The same as a future that owns its gate.
    pub(crate) fn quiesce_owned(self: &Arc<Self>) -> Quiesce<Arc<Self>> {
        Quiesce::new(Arc::clone(self))
    }

    /// Permits that are out. Passages that begin and end while it counts may be counted.
    pub(crate) fn inside(&self) -> u64 {
        self.stripes.iter().map(Stripe::inside).sum()
    }

    /// Entries ever, refused ones included.
    pub(crate) fn entries(&self) -> u64 {
        self.stripes.iter().map(|stripe| count(stripe.entered.load(atoms::REPORT))).sum()
    }

    /// Whether sections of that class enter at present.
    pub(crate) fn is_open(&self, class: Class) -> bool {
        let flag = closed_flag(class);
        self.stripes.iter().all(|stripe| stripe.entered.load(atoms::REPORT) & flag == 0)
    }

    /// How many stripes there are, a power of two.
    pub(crate) fn stripes(&self) -> usize {
        self.stripes.len()
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "permits mask the number when they are taken")]
    fn stripe(&self, stripe: usize) -> &Stripe {
        &self.stripes[stripe]
    }

    /// Counts the refused entry out and tells why.
    #[cold]
    fn refuse(&self, class: Class, permit: Permit<'_>) -> Closed {
        let why = match class {
            Class::Read => &self.why_reads,
            Class::Write => &self.why_writes,
        };
        let why = why.load(atoms::WHY);
        if atoms::REFUSED_STAYS {
            let _ = core::mem::ManuallyDrop::new(permit);
        }
        Closed { why }
    }
}

/// The right to be inside, for as long as one section runs.
///
/// It is neither `Send` nor `Sync`, and sections only borrow it, so it cannot be kept.
pub(crate) struct Permit<'g> {
    gate: &'g Gate,
    stripe: usize,
    /// `entered` as this entry found it.
    word: u64,
    on_this_thread: PhantomData<*const ()>,
}

impl<'g> Permit<'g> {
    /// Counts an entry in, whether it will be refused or not.
    #[inline]
    fn take(gate: &'g Gate, stripe: usize) -> Self {
        let word = gate.stripe(stripe).entered.fetch_add(ONE, atoms::ENTER);
        Self { gate, stripe, word, on_this_thread: PhantomData }
    }

    /// The stripe it was taken on, less than [`Gate::stripes`]. Structures that are striped alike
    /// use it, so that a section touches one thread's lines only.
    #[inline]
    pub(crate) fn stripe(&self) -> usize {
        self.stripe
    }
}

/// Leaving, which a panic in the section does not skip.
impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        let left = self.gate.stripe(self.stripe).left(side_of(self.word));
        if left.fetch_add(ONE, atoms::LEAVE) & WAITING != 0 {
            self.gate.waiters.wake_all();
        }
    }
}

/// This thread's number, given once, in the order in which threads first ask.
///
/// Users mask it to their own number of stripes. Threads of equal numbers share a stripe, which
/// costs speed and nothing else.
#[inline]
pub(crate) fn stripe_of_thread() -> usize {
    THREAD.with(|number| match number.get() {
        UNNUMBERED => number_thread(number),
        known => known,
    })
}

#[cold]
fn number_thread(number: &Cell<usize>) -> usize {
    // Relaxed: the numbers need only be spread. At a million new threads a second the sentinel
    // would come up after 500,000 years.
    let fresh = THREADS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    number.set(fresh);
    fresh
}

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(UNNUMBERED) };
}

/// A number is no state: gates that never meet may share the counter.
static THREADS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The words of the threads that share a number, on a pair of cache lines of their own: processors
/// fetch lines in pairs.
#[repr(align(128))]
struct Stripe {
    /// [entries ever | parity | closed for reads | closed for writes]
    entered: AtomicU64,
    /// By side, [permits returned ever | waiting].
    left: [AtomicU64; 2],
}

impl Stripe {
    fn closed() -> Self {
        Self {
            entered: AtomicU64::new(CLOSED_READS | CLOSED_WRITES),
            left: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    #[inline]
    fn left(&self, side: usize) -> &AtomicU64 {
        let [first, second] = &self.left;
        if side == 0 { first } else { second }
    }

    fn inside(&self) -> u64 {
        // Returned permits first, and acquiring: then their entries are seen too, and the
        // difference is never negative.
        let [first, second] = &self.left;
        let left =
            count(first.load(atoms::DRAINED)).wrapping_add(count(second.load(atoms::DRAINED)));
        difference(count(self.entered.load(atoms::REPORT)), left)
    }
}

/// The side on which an entry that got this word back belongs.
#[inline]
const fn side_of(word: u64) -> usize {
    if word & PARITY == 0 { 0 } else { 1 }
}

#[inline]
const fn closed_flag(class: Class) -> u64 {
    match class {
        Class::Read => CLOSED_READS,
        Class::Write => CLOSED_WRITES,
    }
}

/// Fewest stripes: threads get numbers in order of arrival, and on a small machine some of them
/// are idle.
const STRIPES_MIN: usize = 8;

/// Most stripes: a shut or a flip goes over all of them, 64 in a few microseconds.
const STRIPES_MAX: usize = 64;

const UNNUMBERED: usize = usize::MAX;

#[cfg(test)]
#[cfg(not(gate_loom))] // real threads; loom has models of its own
mod tests;
