//! Whether the wall clock can be believed.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{BootTime, WallTime};

/// Compares how far the two clocks have gone since one moment, which stays the same however often
/// somebody looks: a clock that is moved in small steps is found as surely as one that jumps.
///
/// It outlives the actor's value: neither a rebuild nor a stop forgets what was seen.
pub(crate) struct ClockWatch {
    origin: Mutex<Origin>,
    holds: AtomicBool,
}

#[derive(Clone, Copy)]
struct Origin {
    boot: BootTime,
    wall: WallTime,
}

impl ClockWatch {
    /// A watch that begins at this moment, and believes the clock.
    pub(crate) fn new(boot: BootTime, wall: WallTime) -> Self {
        let origin = Mutex::new(Origin { boot, wall });
        Self { origin, holds: AtomicBool::new(false) }
    }

    /// Whether deletions are held: since the clocks were first seen apart, until somebody accepts
    /// them. That they agree again is no proof of which of them was right in between.
    pub(super) fn observe(&self, boot: BootTime, wall: WallTime) -> bool {
        let origin = *self.lock();
        let forward = wall.since(origin.wall);
        let back = origin.wall.since(wall);
        let apart = boot.since(origin.boot).abs_diff(forward) + back;
        if apart > SLACK && !self.holds.swap(true, Ordering::AcqRel) {
            tracing::error!(?apart, "the wall clock jumped: deletions are held until a start");
        }
        self.holds()
    }

    /// Whether deletions are held.
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    /// Somebody has looked at the clock and takes it as it is at this moment. What was not seen
    /// before cannot have been looked at: it is held from now on.
    pub(super) fn accept(&self, boot: BootTime, wall: WallTime) {
        if !self.holds() {
            self.observe(boot, wall);
            return;
        }
        *self.lock() = Origin { boot, wall };
        self.holds.store(false, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the clocks may come apart. Both are slewed alike; leap seconds are one each some years,
/// and a deletion window is seven days at least.
const SLACK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn start() -> (BootTime, WallTime) {
        (BootTime::from_nanos(1_000_000_000), WallTime::from_millis(1_800_000_000_000))
    }

    #[test]
    fn clocks_that_advance_together_are_believed_even_over_a_suspended_month() {
        let (mut boot, mut wall) = start();
        let watch = ClockWatch::new(boot, wall);
        for step in [MINUTE, MINUTE, 43_200 * MINUTE] {
            (boot, wall) = (boot.plus(step), wall.plus(step + Duration::from_secs(1)));
            assert!(!watch.observe(boot, wall));
        }
    }

    #[test]
    fn a_jump_either_way_holds_until_the_clock_is_accepted() {
        let (boot, wall) = start();
        let forward = wall.plus(43_200 * MINUTE);
        let back = WallTime::from_millis(wall.as_millis() - 3_600_000);
        for jumped in [forward, back] {
            let watch = ClockWatch::new(boot, wall);
            assert!(watch.observe(boot.plus(MINUTE), jumped));
            // Neither by going on together, for however long, nor by coming back.
            let month = 43_200 * MINUTE;
            assert!(watch.observe(boot.plus(month), jumped.plus(month)));
            assert!(watch.observe(boot.plus(month), wall.plus(month)));
            let (boot, wall) = (boot.plus(month), jumped.plus(month));
            watch.accept(boot, wall);
            assert!(!watch.holds());
            assert!(!watch.observe(boot.plus(month), wall.plus(month)));
        }
    }

    #[test]
    fn a_jump_that_nobody_has_seen_is_not_accepted() {
        let (boot, wall) = start();
        let watch = ClockWatch::new(boot, wall);
        watch.accept(boot, wall.plus(MINUTE));
        assert!(watch.holds());
        watch.accept(boot, wall.plus(MINUTE));
        assert!(!watch.holds());
    }

    /// Each look compared with the one before: any number of steps under the slack was believed.
    #[test]
    fn small_steps_add_up() {
        let (mut boot, mut wall) = start();
        let watch = ClockWatch::new(boot, wall);
        let step = Duration::from_secs(20);
        let looks = (0..1000).take_while(|_| {
            (boot, wall) = (boot.plus(MINUTE), wall.plus(MINUTE + step));
            !watch.observe(boot, wall)
        });
        assert_eq!(looks.count(), 1);
    }
}
