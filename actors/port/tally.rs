//! What became of a port's messages, counted.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crossbeam_utils::CachePadded;

use crate::error::Refused;
use crate::limits::MAILBOX_MAX;
use crate::metrics::{Durations, Samples};
use crate::status::{Messages, Spent};

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
    each: Durations,
}

impl Stopwatch {
    fn add(&self, spent: Duration) {
        let ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.total_ns.fetch_add(ns, Ordering::Relaxed);
        self.longest_ns.fetch_max(ns, Ordering::Relaxed);
        self.each.add(spent);
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

    /// How long messages waited, and how long handling them took.
    pub(super) fn samples(&self) -> (Samples, Samples) {
        (self.actor.wait.each.read(), self.actor.handling.each.read())
    }

    pub(super) fn snapshot(&self, under_way: usize) -> Messages {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Messages {
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
