//! The bulkhead of one backend: so many calls in flight, so many waiting for a place, no more.
//!
//! Owns the places of one backend's calls. A Vault that answers slowly fills it, and what comes
//! then is refused at once with a hint, while the rest of the engine works on.
//!
//! Invariants:
//!
//! 1. At most `in_flight_max` [`Place`]s exist, and at most `in_flight_max + waiting_max`
//!    [`Ticket`]s; reaching either bound never blocks whoever holds one.
//! 2. Places are given in the order in which they were asked for, and given back by drop.
//!
//! Cost: two atomic operations and a short lock, beside a network call.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::VaultError;

/// How many calls of one backend there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BulkheadLimits {
    /// Requests that Vault has not answered yet.
    pub(crate) in_flight_max: usize,
    /// Calls that wait: for a place, for a pause between attempts, for a login.
    pub(crate) waiting_max: usize,
}

/// The places of one backend.
pub(crate) struct Bulkhead {
    shared: Arc<Shared>,
}

struct Shared {
    limits: BulkheadLimits,
    admitted: AtomicUsize,
    places: Arc<Semaphore>,
    /// How long an attempt holds its place, as a moving average in nanoseconds.
    holding_ns: AtomicU64,
}

/// A call that was admitted; it waits for a place or has one.
pub(crate) struct Ticket(Arc<Shared>);

/// A request in flight.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// How full it is, for status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
}

impl Bulkhead {
    pub(crate) fn new(limits: BulkheadLimits) -> Self {
        let in_flight_max = limits.in_flight_max.clamp(1, Semaphore::MAX_PERMITS);
        let limits = BulkheadLimits { in_flight_max, ..limits };
        Self {
            shared: Arc::new(Shared {
                limits,
                admitted: AtomicUsize::new(0),
                places: Arc::new(Semaphore::new(in_flight_max)),
                holding_ns: AtomicU64::new(0),
            }),
        }
    }

    /// Admits a call.
    ///
    /// # Errors
    /// [`VaultError::Busy`] with the time in which a place should come free.
    pub(crate) fn admit(&self) -> Result<Ticket, VaultError> {
        let limits = &self.shared.limits;
        let most = limits.in_flight_max.saturating_add(limits.waiting_max);
        let admitted = &self.shared.admitted;
        let taken = admitted.fetch_update(Ordering::AcqRel, Ordering::Acquire, |admitted| {
            (admitted < most).then_some(admitted + 1)
        });
        match taken {
            Ok(_) => Ok(Ticket(Arc::clone(&self.shared))),
            Err(_) => Err(VaultError::Busy { retry_after: self.shared.hint() }),
        }
    }

    /// How full it is now.
    pub(crate) fn load(&self) -> Load {
        let free = self.shared.places.available_permits();
        let in_flight = self.shared.limits.in_flight_max.saturating_sub(free);
        let admitted = self.shared.admitted.load(Ordering::Acquire);
        Load { in_flight, waiting: admitted.saturating_sub(in_flight) }
    }
}

impl Ticket {
    /// Waits for a place. Dropping the future leaves the queue.
    pub(crate) async fn place(&self) -> Place {
        let permit = Arc::clone(&self.0.places).acquire_owned().await;
        Place { _permit: permit.expect("nobody closes the semaphore") }
    }

    /// The time in which a place should come free.
    pub(crate) fn hint(&self) -> Duration {
        self.0.hint()
    }

    /// Hears how long an attempt held its place.
    pub(crate) fn held(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let average = &self.0.holding_ns;
        // Lost updates between threads do not matter to a hint.
        let before = average.load(Ordering::Relaxed);
        average.store(before - before / 8 + time / 8, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// The time in which those that wait have had their turn.
    fn hint(&self) -> Duration {
        let holding = Duration::from_nanos(self.holding_ns.load(Ordering::Relaxed));
        let waiting =
            self.admitted.load(Ordering::Relaxed).saturating_sub(self.limits.in_flight_max);
        let turns = waiting / self.limits.in_flight_max + 1;
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        holding.saturating_mul(turns).clamp(HINT_MIN, HINT_MAX)
    }
}

const HINT_MIN: Duration = Duration::from_millis(10);
const HINT_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn bulkhead() -> Bulkhead {
        Bulkhead::new(BulkheadLimits { in_flight_max: 2, waiting_max: 3 })
    }

    #[test]
    fn calls_past_the_bound_are_refused_with_a_hint_and_admitted_again_when_one_ends() {
        let bulkhead = bulkhead();
        let mut tickets: Vec<_> = (0..5).map(|_| bulkhead.admit().unwrap()).collect();
        for _ in 0..100 {
            let Err(VaultError::Busy { retry_after }) = bulkhead.admit() else {
                panic!("a sixth call was admitted");
            };
            assert!(retry_after >= HINT_MIN && retry_after <= HINT_MAX);
        }
        tickets.pop();
        let again = bulkhead.admit().unwrap();
        assert!(bulkhead.admit().is_err());
        drop((again, tickets));
        assert_eq!(bulkhead.load(), Load::default());
    }

    #[test]
    fn no_more_than_its_places_are_in_flight_and_those_that_wait_come_in_order() {
        let bulkhead = bulkhead();
        let tickets: Vec<_> = (0..4).map(|_| bulkhead.admit().unwrap()).collect();
        let first = tickets[0].place().now_or_never().unwrap();
        let _second = tickets[1].place().now_or_never().unwrap();
        let mut third = Box::pin(tickets[2].place());
        let mut fourth = Box::pin(tickets[3].place());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        assert_eq!(bulkhead.load(), Load { in_flight: 2, waiting: 2 });
        drop(first);
        assert!(fourth.as_mut().now_or_never().is_none(), "the third was first");
        assert!(third.as_mut().now_or_never().is_some());
        drop(fourth);
    }

    #[test]
    fn the_hint_grows_with_how_long_calls_take() {
        let hint = |took| {
            let bulkhead = bulkhead();
            let tickets: Vec<_> = (0..5).map(|_| bulkhead.admit().unwrap()).collect();
            (0..50).for_each(|_| tickets[0].held(took));
            match bulkhead.admit() {
                Err(VaultError::Busy { retry_after }) => retry_after,
                other => panic!("{:?}", other.map(|_| ())),
            }
        };
        let quick = hint(Duration::from_millis(20));
        let slow = hint(Duration::from_secs(2));
        assert!(quick < Duration::from_millis(100), "{quick:?}");
        assert!(slow > Duration::from_secs(1), "{slow:?}");
    }
}
