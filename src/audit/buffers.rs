//! The buffers that callers put their records into, and the order in which they are collected.
//!
//! A caller tries the lock of its home stripe, encodes its record there, and is done. The collector
//! swaps each stripe's buffer for an empty one and sends it to the writer, always in the order of the stripes, one round after
//! the other. A record's place is (round, stripe); blocks are written by place.
//!
//! Where the home stripe is full or held by somebody else, the record goes to another stripe whose
//! place is not before the last one that any caller of this home used, at home or elsewhere; and
//! home takes records again once its place is not before those elsewhere. So the places of one
//! thread never go back, and invariant 2 of the module holds without a counter that all threads
//! share.
//!
//! Invariants:
//!
//! 1. A thread always names the same home.
//! 2. A stripe that the collector has passed in round `n` stands at round `n + 1`, one that it has
//!    not at `n`. Without an empty buffer the collector stops where it is and goes on from there.
//! 3. Buffers are made once, two for each stripe: one to fill, one under way to the sink. They
//!    never grow.
//! 4. The last stripe is the engine's own, so that counted refusals find room; two before it are
//!    home to nobody, so that the highest home has somewhere to go.
//!
//! Accepting costs an uncontended lock and a copy of the bytes; nothing is shared between homes but
//! words that only the collector and a failing sink change.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crossbeam_channel::{Receiver, Sender};
use crossbeam_utils::CachePadded;

use super::codec::{encode, encoded_len};
use super::refusals::{LastTold, Refusals};
use super::{Caller, Confirmed, ErrorClass, Health, Operation, Outcome, RecordRef, Ticket};
use crate::clock::{BootTime, WallTime};
use crate::error::Refused;
use crate::limits::AUDIT_STRIPE_BYTES_MAX;

/// Stripes that are home to nobody: two to overflow into, one for the engine.
const EXTRA_STRIPES: usize = 3;

/// Tries for the home stripe's lock. It is held for some 30 ns; if this many were in vain, its
/// holder is not running and another stripe is the faster way.
const HOME_TRIES: usize = 64;

/// A stripe that holds this much rings for the collector.
const RING_AT_BYTES: usize = AUDIT_STRIPE_BYTES_MAX / 2;

/// All buffers of an engine.
pub(crate) struct AuditBuffers {
    stripes: Box<[CachePadded<Stripe>]>,
    homes: usize,
    refusals: Refusals,
    health: Arc<Health>,
    confirmed: Arc<Confirmed>,
    collector: Mutex<Collector>,
    late: Mutex<Filled>,
    pool: Arc<Pool>,
}

struct Stripe {
    open: Mutex<Open>,
    /// The latest place that was used here, by callers of this home or others; zero for none.
    /// Written under the lock, so it never goes back.
    last_here: AtomicU64,
    /// The latest place that a caller of this home used in another stripe; zero for none.
    last_elsewhere: AtomicU64,
}

struct Open {
    round: u64,
    filled: Filled,
}

/// Records behind each other, and how many.
struct Filled {
    bytes: Vec<u8>,
    records: u64,
}

struct Collector {
    round: u64,
    at: usize,
    /// To the writer; `None` once closed. Has room for every block that can exist.
    blocks: Option<Sender<Block>>,
    told: LastTold,
}

/// Emptied buffers, and what became of blocks that never reached the writer's end.
struct Pool {
    empty: Mutex<Vec<Vec<u8>>>,
    /// Records that are lost and not told of yet.
    unrecorded: AtomicU64,
    /// Records that were ever lost.
    lost: AtomicU64,
    /// Records in blocks.
    under_way: AtomicU64,
}

/// A record was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Accepted {
    /// What to wait for where release is `durable`.
    pub(crate) ticket: Ticket,
    /// Its stripe has just become half full: ring for the collector. True once per buffer, so the
    /// bell costs a caller nothing for the thousands of records between.
    pub(crate) ring: bool,
}

/// What became of a brake's record (guarantee 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum BrakeAudit {
    /// It was accepted as any other.
    Accepted(Accepted),
    /// The sink is down or the buffers are full: it is kept apart, marked late, and goes first.
    Late,
}

/// What one round of swapping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SwappedOut {
    /// Blocks sent to the writer.
    pub(crate) blocks: usize,
    /// Whether everything accepted before the call is sent. If not, the sink holds all buffers:
    /// swap again once it has taken some.
    pub(crate) complete: bool,
}

/// A swapped-out buffer on its way to the writer.
///
/// Gives its buffer back when it is dropped; if it was not written, its records are counted and
/// told of as unrecorded.
pub(crate) struct Block {
    /// `None` for late records, which go before all others.
    place: Option<Ticket>,
    filled: Filled,
    pool: Arc<Pool>,
}

impl AuditBuffers {
    /// Empty buffers for callers of `homes` stripes, and where the writer finds their blocks. The
    /// memory, twice 1 MiB a stripe, is touched as it is used.
    pub(crate) fn new(homes: usize) -> (Self, Receiver<Block>) {
        let homes = homes.clamp(1, usize::from(u16::MAX) - EXTRA_STRIPES);
        let count = homes + EXTRA_STRIPES;
        // One block for each buffer that exists, those filled at the end included: sending never
        // finds it full.
        let (sender, receiver) = crossbeam_channel::bounded(2 * count + 1);
        let buffers = Self {
            stripes: (0..count).map(|_| CachePadded::new(Stripe::new())).collect(),
            homes,
            refusals: Refusals::new(homes),
            health: Arc::default(),
            confirmed: Arc::default(),
            collector: Mutex::new(Collector {
                round: 1,
                at: 0,
                blocks: Some(sender),
                told: LastTold::default(),
            }),
            late: Mutex::new(Filled::new()),
            pool: Arc::new(Pool {
                empty: Mutex::new((0..count).map(|_| empty_buffer()).collect()),
                unrecorded: AtomicU64::new(0),
                lost: AtomicU64::new(0),
                under_way: AtomicU64::new(0),
            }),
        };
        (buffers, receiver)
    }

    /// Takes `record` at `now`, on the thread whose stripe is `home`, without ever waiting.
    ///
    /// # Errors
    /// [`Refused::AuditUnavailable`] if the sink has not taken records for longer than
    /// `AUDIT_DEADLINE`, [`Refused::Full`] if no stripe has room. The refusal is counted; nothing
    /// that was accepted is lost.
    pub(crate) fn accept(
        &self,
        home: usize,
        record: &RecordRef<'_>,
        now: BootTime,
    ) -> Result<Accepted, Refused> {
        let home = home % self.homes;
        if self.health.refuses(now) {
            self.refusals.count(home, ErrorClass::AuditUnavailable);
            return Err(Refused::AuditUnavailable);
        }
        self.place(home, record).ok_or_else(|| {
            self.refusals.count(home, ErrorClass::AuditBufferFull);
            Refused::Full { limit: "audit buffer", retry_after: Duration::from_millis(10) }
        })
    }

    /// Takes the record of an operation that only takes away: such a one acts whatever the sink
    /// does, and is told of as soon as that returns.
    pub(crate) fn accept_brake(
        &self,
        home: usize,
        record: &RecordRef<'_>,
        now: BootTime,
    ) -> BrakeAudit {
        if !self.health.refuses(now)
            && let Some(accepted) = self.place(home % self.homes, record)
        {
            return BrakeAudit::Accepted(accepted);
        }
        let late = RecordRef { late: true, ..*record };
        if !lock(&self.late).push(&late, encoded_len(&late)) {
            self.pool.lose(1);
        }
        BrakeAudit::Late
    }

    /// Counts a call that the gate or admission refused; it is told of within a second.
    pub(crate) fn refused(&self, home: usize, refused: Refused) {
        self.refusals.count(home, ErrorClass::from(refused));
    }

    /// Turns the refusals counted since the last second into records, if that second is over. The
    /// collector calls it before it swaps, in every state of the engine.
    pub(crate) fn tell_refusals(&self, now: BootTime, time: WallTime, generation: u64) {
        if !lock(&self.collector).told.is_due(now) {
            return;
        }
        let own = self.stripes.len().saturating_sub(1);
        let accept = |record: &RecordRef<'_>| self.put(own, record, 0, 1).is_some();
        self.refusals.drain(time, generation, accept);
        let count = self.pool.unrecorded.swap(0, Ordering::Relaxed);
        if count > 0 {
            let caller = Caller::engine();
            let unrecorded = RecordRef {
                outcome: Outcome::Failed(ErrorClass::AuditBufferFull),
                generation,
                count,
                ..RecordRef::event(&caller, Operation::Unrecorded, time)
            };
            if !accept(&unrecorded) {
                self.pool.unrecorded.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Swaps out what is filled and sends it to the writer, in the order in which it is to be
    /// written: late records, then one round of the stripes.
    ///
    /// Whoever is rung for may call it; rounds follow each other.
    pub(crate) fn swap_out(&self) -> SwappedOut {
        let mut collector = lock(&self.collector);
        let Some(blocks) = collector.blocks.clone() else {
            return SwappedOut { blocks: 0, complete: false };
        };
        let mut sent = 0;
        // Sent under the collector's lock and at once: between a swap and its sending nothing can
        // get lost, so a place that is confirmed has been written.
        let mut send = |place, filled: Filled| {
            self.pool.under_way.fetch_add(filled.records, Ordering::Relaxed);
            let pool = Arc::clone(&self.pool);
            // Without a writer the block is dropped, and counted in that.
            let _ = blocks.try_send(Block { place, filled, pool });
            sent += 1;
        };
        let mut late = lock(&self.late);
        let mut complete = late.records == 0;
        if !complete && let Some(empty) = self.pool.take() {
            send(None, core::mem::replace(&mut *late, Filled::of(empty)));
            complete = true;
        }
        drop(late);
        for _ in 0..self.stripes.len() {
            let (round, at) = (collector.round, collector.at);
            let Some(stripe) = self.stripes.get(at) else {
                break;
            };
            let mut open = lock(&stripe.open);
            if open.filled.records > 0 {
                let Some(empty) = self.pool.take() else {
                    complete = false;
                    break;
                };
                let filled = core::mem::replace(&mut open.filled, Filled::of(empty));
                send(Some(Ticket::new(round, narrow(at))), filled);
            }
            open.round = round + 1;
            drop(open);
            collector.at = (at + 1) % self.stripes.len();
            if collector.at == 0 {
                collector.round = round + 1;
            }
        }
        SwappedOut { blocks: sent, complete }
    }

    /// Ends it: refuses every record from now on, sends all that was accepted to the writer,
    /// however many buffers the sink holds, and lets that finish. How many records will not be
    /// written all the same: none, unless the writer was lost. The gate is closed before.
    pub(crate) fn close(&self) -> u64 {
        self.health.end();
        // Nothing is filled any more: places without memory let every buffer leave at once.
        let places = core::iter::repeat_with(Vec::new).take(self.stripes.len() + 1);
        lock(&self.pool.empty).extend(places);
        self.swap_out();
        // Read before the writer may end: what it does not get written it reports itself.
        let unrecorded = self.pool.unrecorded.load(Ordering::Relaxed);
        lock(&self.collector).blocks = None;
        let stripes = self.stripes.iter().map(|stripe| lock(&stripe.open).filled.records);
        stripes.sum::<u64>() + lock(&self.late).records + unrecorded
    }

    /// Records that were accepted and not written yet. Takes each stripe's lock for a moment, as the
    /// collector does.
    pub(crate) fn queued(&self) -> u64 {
        let under_way = self.pool.under_way.load(Ordering::Relaxed) + lock(&self.late).records;
        let open = self.stripes.iter().map(|stripe| lock(&stripe.open).filled.records);
        open.fold(under_way, u64::saturating_add)
    }

    /// Records that were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.pool.lost.load(Ordering::Relaxed)
    }

    /// The state of the sink.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What has been written.
    pub(crate) fn confirmed(&self) -> &Arc<Confirmed> {
        &self.confirmed
    }

    /// Holds the lock of a stripe, as a thread does that is stopped inside it.
    #[cfg(test)]
    pub(super) fn hold(&self, stripe: usize) -> impl Drop + use<'_> {
        lock(&self.stripes[stripe].open)
    }

    /// Puts `record` into the home stripe or, failing that, into another that keeps the order.
    fn place(&self, home: usize, record: &RecordRef<'_>) -> Option<Accepted> {
        let own = self.stripes.get(home)?;
        // A thread's own places are in these words when it comes back: same location, program
        // order. What other threads of this home add only makes them later.
        let elsewhere = own.last_elsewhere.load(Ordering::Relaxed);
        if let Some(accepted) = self.put(home, record, elsewhere, HOME_TRIES) {
            return Some(accepted);
        }
        let floor = elsewhere.max(own.last_here.load(Ordering::Relaxed));
        // The engine's own stripe, the last, is not for callers.
        let open = self.stripes.len().saturating_sub(1);
        let mut others = (1..open).map(|step| (home + step) % open);
        let accepted = others.find_map(|at| self.put(at, record, floor, 1))?;
        let place = accepted.ticket.word();
        own.last_elsewhere.fetch_max(place, Ordering::Relaxed);
        Some(accepted)
    }

    /// Puts `record` into the stripe `at` if that has room and its place is not before `floor`.
    fn put(&self, at: usize, record: &RecordRef<'_>, floor: u64, tries: usize) -> Option<Accepted> {
        let stripe = self.stripes.get(at)?;
        let mut open = stripe.try_open(tries)?;
        let ticket = Ticket::new(open.round, narrow(at));
        let len = encoded_len(record);
        if ticket < Ticket::from_word(floor) || !open.filled.push(record, len) {
            return None;
        }
        let after = open.filled.bytes.len();
        stripe.last_here.store(ticket.word(), Ordering::Relaxed);
        Some(Accepted { ticket, ring: after >= RING_AT_BYTES && after - len < RING_AT_BYTES })
    }
}

impl Stripe {
    fn new() -> Self {
        Self {
            open: Mutex::new(Open { round: 1, filled: Filled::new() }),
            last_here: AtomicU64::new(0),
            last_elsewhere: AtomicU64::new(0),
        }
    }

    fn try_open(&self, tries: usize) -> Option<MutexGuard<'_, Open>> {
        for _ in 0..tries {
            match self.open.try_lock() {
                Ok(open) => return Some(open),
                Err(TryLockError::Poisoned(open)) => return Some(open.into_inner()),
                Err(TryLockError::WouldBlock) => spin_loop(),
            }
        }
        None
    }
}

impl Filled {
    fn new() -> Self {
        Self::of(empty_buffer())
    }

    fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, records: 0 }
    }

    /// Whether there was room for `record` of `len` bytes.
    fn push(&mut self, record: &RecordRef<'_>, len: usize) -> bool {
        let fits = len <= AUDIT_STRIPE_BYTES_MAX.saturating_sub(self.bytes.len());
        if fits {
            encode(record, len, &mut self.bytes);
            self.records += 1;
        }
        fits
    }
}

impl Pool {
    fn take(&self) -> Option<Vec<u8>> {
        lock(&self.empty).pop()
    }

    fn lose(&self, records: u64) {
        self.unrecorded.fetch_add(records, Ordering::Relaxed);
        self.lost.fetch_add(records, Ordering::Relaxed);
    }
}

impl Block {
    /// Where it stands in the order of writing; `None` for late records.
    pub(super) fn place(&self) -> Option<Ticket> {
        self.place
    }

    /// Its records, encoded.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.filled.bytes
    }

    /// How many records it holds.
    pub(crate) fn records(&self) -> u64 {
        self.filled.records
    }

    /// The sink has it, but for `lost` records.
    pub(super) fn written(mut self, lost: u64) {
        let written = self.filled.records.saturating_sub(lost);
        self.pool.under_way.fetch_sub(written, Ordering::Relaxed);
        self.filled.records -= written;
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let lost = self.filled.records;
        if lost > 0 {
            self.pool.under_way.fetch_sub(lost, Ordering::Relaxed);
            self.pool.lose(lost);
        }
        let mut bytes = core::mem::take(&mut self.filled.bytes);
        bytes.clear();
        lock(&self.pool.empty).push(bytes);
    }
}

fn empty_buffer() -> Vec<u8> {
    Vec::with_capacity(AUDIT_STRIPE_BYTES_MAX)
}

fn narrow(stripe: usize) -> u16 {
    // `AuditBuffers::new` keeps the number of stripes below the width.
    u16::try_from(stripe).unwrap_or(u16::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics half-way: a poisoned one is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
