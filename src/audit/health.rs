//! Whether the sink takes records: written by the writer thread, read by every caller.
//!
//! One word says since when records wait for the sink. It covers a sink that fails and one that
//! blocks alike, and a caller judges it by its own clock, so that no thread has to notice first.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::BootTime;
use crate::limits::AUDIT_DEADLINE;

/// Whether the audit sink takes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkState {
    /// It does.
    Healthy,
    /// It failed, or has not answered yet, since this moment. Callers are refused once that is
    /// longer ago than [`AUDIT_DEADLINE`].
    Failing(BootTime),
    /// The trail was closed: no record is taken any more.
    Ended,
}

/// The sink's state, shared.
#[derive(Default)]
pub(crate) struct Health {
    /// When the writer offered the sink what it has not taken yet, in nanoseconds since boot, or
    /// [`NOTHING`], or for good [`ENDED`].
    waiting_since: AtomicU64,
    /// Whether an offer has failed since the last that was taken.
    failed: AtomicBool,
}

/// In `waiting_since`: nothing waits.
const NOTHING: u64 = 0;

/// In `waiting_since`: whatever comes would wait for ever.
const ENDED: u64 = u64::MAX;

impl Health {
    /// Whether a record is refused at `now`: one load of a word that rarely changes.
    pub(crate) fn refuses(&self, now: BootTime) -> bool {
        match self.waiting_since.load(Ordering::Relaxed) {
            NOTHING => false,
            ENDED => true,
            since => now.since(BootTime::from_nanos(since)) > AUDIT_DEADLINE,
        }
    }

    /// The state at `now`, for status, metrics and the lifecycle.
    pub(crate) fn state(&self, now: BootTime) -> SinkState {
        match self.waiting_since.load(Ordering::Acquire) {
            ENDED => SinkState::Ended,
            since
                if since != NOTHING
                    && (self.failed.load(Ordering::Acquire) || self.refuses(now)) =>
            {
                SinkState::Failing(BootTime::from_nanos(since))
            }
            _ => SinkState::Healthy,
        }
    }

    /// Records are offered to the sink, for the first time or again.
    pub(super) fn offered(&self, now: BootTime) {
        let now = now.as_nanos().clamp(NOTHING + 1, ENDED - 1);
        self.change(|since| (since == NOTHING).then_some(now));
    }

    /// The sink has refused them.
    pub(super) fn failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// The sink has taken all that was offered.
    pub(super) fn taken(&self) {
        self.failed.store(false, Ordering::Release);
        self.change(|since| (since != ENDED).then_some(NOTHING));
    }

    /// Every record is refused from now on.
    pub(super) fn end(&self) {
        self.waiting_since.store(ENDED, Ordering::Release);
    }

    fn change(&self, change: impl FnMut(u64) -> Option<u64>) {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        // `None` says that it is to stay as it is.
        let _ = self.waiting_since.fetch_update(set, fetch, change);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_sink_is_given_its_deadline_and_no_more() {
        let (health, start) = (Health::default(), BootTime::from_nanos(5_000_000_000));
        assert!(!health.refuses(start));
        health.offered(start);
        let late = start.plus(AUDIT_DEADLINE).plus(Duration::from_nanos(1));
        assert!(!health.refuses(start.plus(AUDIT_DEADLINE)));
        assert_eq!(health.state(start), SinkState::Healthy);
        assert!(health.refuses(late));
        assert_eq!(health.state(late), SinkState::Failing(start));
        // A caller whose clock was read a moment before the offer is not refused.
        assert!(!health.refuses(BootTime::from_nanos(1)));
        health.failed();
        health.offered(late);
        assert_eq!(health.state(start), SinkState::Failing(start), "the first offer counts");
        health.taken();
        assert_eq!(health.state(late), SinkState::Healthy);
        assert!(!health.refuses(late));
        health.end();
        health.taken();
        assert_eq!(health.state(start), SinkState::Ended, "an end is an end");
        assert!(health.refuses(BootTime::default()));
    }
}
