//! Calls that were refused before they began: counted, and told of once per class and second.
//!
//! A record for each would let whoever is refused fill the trail; none would hide them.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crossbeam_utils::CachePadded;

use super::{Caller, ErrorClass, Operation, Outcome, RecordRef};
use crate::clock::{BootTime, WallTime};

/// How often counts become records.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts of refusals, a table of classes per stripe.
pub(super) struct Refusals {
    stripes: Box<[CachePadded<[AtomicU64; ErrorClass::CODES]>]>,
}

impl Refusals {
    pub(super) fn new(stripes: usize) -> Self {
        let zero = || CachePadded::new([const { AtomicU64::new(0) }; ErrorClass::CODES]);
        Self { stripes: (0..stripes.max(1)).map(|_| zero()).collect() }
    }

    /// One more of `class`.
    pub(super) fn count(&self, stripe: usize, class: ErrorClass) {
        self.add(stripe, class, 1);
    }

    fn add(&self, stripe: usize, class: ErrorClass, count: u64) {
        let counter = self
            .stripes
            .get(stripe % self.stripes.len())
            .and_then(|table| table.get(usize::from(class.code())));
        if let Some(counter) = counter {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Offers one record per class counted since the last time to `accept`; what it does not take
    /// stays counted.
    pub(super) fn drain(
        &self,
        time: WallTime,
        generation: u64,
        mut accept: impl FnMut(&RecordRef<'_>) -> bool,
    ) {
        let caller = Caller::engine();
        for code in 0..ErrorClass::CODES {
            let Some(class) = u8::try_from(code).ok().and_then(ErrorClass::from_code) else {
                continue;
            };
            let counters = self.stripes.iter().filter_map(|table| table.get(code));
            let count = counters
                .map(|counter| counter.swap(0, Ordering::Relaxed))
                .fold(0, u64::saturating_add);
            if count == 0 {
                continue;
            }
            let accepted = accept(&RecordRef {
                outcome: Outcome::Failed(class),
                generation,
                count,
                ..RecordRef::event(&caller, Operation::Refusals, time)
            });
            if !accepted {
                self.add(0, class, count);
            }
        }
    }
}

/// When counts were last told of.
#[derive(Default)]
pub(super) struct LastTold(Option<BootTime>);

impl LastTold {
    /// Whether a second has passed at `now`; if so, the next one begins.
    pub(super) fn is_due(&mut self, now: BootTime) -> bool {
        let due = self.0.is_none_or(|last| now.since(last) >= INTERVAL);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_one_record_per_class_and_what_is_not_taken_stays() {
        let refusals = Refusals::new(4);
        for stripe in 0..8 {
            refusals.count(stripe, ErrorClass::Frozen);
        }
        refusals.count(0, ErrorClass::Full);
        let mut told = Vec::new();
        let mut tell = |take: bool| {
            told.clear();
            refusals.drain(WallTime::default(), 1, |record| {
                told.push((record.outcome.class().unwrap(), record.count));
                take
            });
            told.clone()
        };
        let all = [(ErrorClass::Frozen, 8), (ErrorClass::Full, 1)];
        assert_eq!(tell(false), all);
        assert_eq!(tell(true), all);
        assert_eq!(tell(true), []);
    }

    #[test]
    fn counts_are_told_of_once_a_second() {
        let (mut last, start) = (LastTold::default(), BootTime::from_nanos(10));
        assert!(last.is_due(start));
        assert!(!last.is_due(start.plus(Duration::from_millis(999))));
        assert!(last.is_due(start.plus(Duration::from_secs(1))));
        assert!(!last.is_due(start.plus(Duration::from_millis(1500))));
    }
}
