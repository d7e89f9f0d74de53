//! What became of a port's messages, counted.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::error::Refused;
use crate::limits::MAILBOX_MAX;

/// What became of a port's messages, in numbers that only grow but for `under_way`.
///
/// Once nothing is queued, `received` is the sum of the `refused_`, `cancelled` and `begun`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Counters {
    /// Asks and tells.
    pub(crate) received: u64,
    /// Refused because [`MAILBOX_MAX`] were under way.
    pub(crate) refused_full: u64,
    /// Refused because the actor was lost, before or after they were queued.
    pub(crate) refused_down: u64,
    /// Refused because their deadline came before their turn.
    pub(crate) refused_late: u64,
    /// Refused because the port was closed: the engine stops, is stopped or failed.
    pub(crate) refused_closed: u64,
    /// Taken back by askers who dropped their future before its turn.
    pub(crate) cancelled: u64,
    /// Begun.
    pub(crate) begun: u64,
    /// Begun, and the asker was told that the outcome is unknown.
    pub(crate) outcome_unknown: u64,
    /// Queued or being handled now.
    pub(crate) under_way: usize,
    /// Time in the queue of those that were begun.
    pub(crate) wait: Spent,
    /// Time of handling of those that have ended.
    pub(crate) handling: Spent,
    /// Rebuilds of the actor.
    pub(crate) restarts: u64,
    /// Panics of the actor.
    pub(crate) panics: u64,
}

/// Time spent on many messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// On all of them.
    pub(crate) total: Duration,
    /// On the slowest.
    pub(crate) longest: Duration,
}

/// Counted by two sides on two threads, which must not share a cache line.
#[derive(Default)]
pub(super) struct Tally {
    asker: CachePadded<AskerSide>,
    actor: CachePadded<ActorSide>,
}

#[derive(Default)]
struct AskerSide {
    received: AtomicU64,
    full: AtomicU64,
    down: AtomicU64,
    late: AtomicU64,
    closed: AtomicU64,
    cancelled: AtomicU64,
    outcome_unknown: AtomicU64,
}

#[derive(Default)]
struct ActorSide {
    begun: AtomicU64,
    wait: Stopwatch,
    handling: Stopwatch,
    restarts: AtomicU64,
    panics: AtomicU64,
}

#[derive(Default)]
struct Stopwatch {
    total_ns: AtomicU64,
    longest_ns: AtomicU64,
}

impl Stopwatch {
    fn add(&self, spent: Duration) {
        let ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.total_ns.fetch_add(ns, Ordering::Relaxed);
        self.longest_ns.fetch_max(ns, Ordering::Relaxed);
    }

    fn read(&self) -> Spent {
        Spent {
            total: Duration::from_nanos(self.total_ns.load(Ordering::Relaxed)),
            longest: Duration::from_nanos(self.longest_ns.load(Ordering::Relaxed)),
        }
    }
}

impl Tally {
    pub(super) fn received(&self) {
        self.asker.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: Refused) {
        let counter = match why {
            Refused::Full { .. } => &self.asker.full,
            Refused::Down { .. } => &self.asker.down,
            Refused::Late => &self.asker.late,
            Refused::AuditUnavailable
            | Refused::Draining
            | Refused::Failed
            | Refused::Forked
            | Refused::Frozen
            | Refused::NotConfigured
            | Refused::Stale
            | Refused::Starting
            | Refused::Stopped => &self.asker.closed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cancelled(&self) {
        self.asker.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn begun(&self, waited: Duration) {
        self.actor.begun.fetch_add(1, Ordering::Relaxed);
        self.actor.wait.add(waited);
    }

    pub(super) fn ended(&self, took: Duration) {
        self.actor.handling.add(took);
    }

    pub(super) fn outcome_unknown(&self) {
        self.asker.outcome_unknown.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn restarted(&self) {
        self.actor.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panicked(&self) {
        self.actor.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// How long a full queue takes to be worked off, at the pace so far.
    pub(super) fn turnaround(&self) -> Duration {
        const LEAST: Duration = Duration::from_millis(1);
        const MOST: Duration = Duration::from_secs(1);
        let begun = self.actor.begun.load(Ordering::Relaxed).max(1);
        let spent_ns = self.actor.handling.total_ns.load(Ordering::Relaxed);
        let queue_ns = (spent_ns / begun).saturating_mul(MAILBOX_MAX as u64);
        Duration::from_nanos(queue_ns).clamp(LEAST, MOST)
    }

    pub(super) fn snapshot(&self, under_way: usize) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            received: read(&self.asker.received),
            refused_full: read(&self.asker.full),
            refused_down: read(&self.asker.down),
            refused_late: read(&self.asker.late),
            refused_closed: read(&self.asker.closed),
            cancelled: read(&self.asker.cancelled),
            begun: read(&self.actor.begun),
            outcome_unknown: read(&self.asker.outcome_unknown),
            under_way,
            wait: self.actor.wait.read(),
            handling: self.actor.handling.read(),
            restarts: read(&self.actor.restarts),
            panics: read(&self.actor.panics),
        }
    }
}
