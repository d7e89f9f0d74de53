//! Whether the wall clock can be believed. Pure.

use core::time::Duration;

use crate::clock::{BootTime, WallTime};

/// Compares the two clocks each time the reaper looks.
pub(super) struct ClockWatch {
    boot: BootTime,
    wall: WallTime,
    steady_since: Option<BootTime>,
}

impl ClockWatch {
    /// A watch that begins at this moment, and believes the clock.
    pub(super) fn new(boot: BootTime, wall: WallTime) -> Self {
        Self { boot, wall, steady_since: Some(BootTime::default()) }
    }

    /// Whether deletions are held. They are after a jump, until the clocks have advanced together
    /// for a day: a deletion window is days, so a day more harms nobody.
    pub(super) fn observe(&mut self, boot: BootTime, wall: WallTime) -> bool {
        let by_boot = boot.since(self.boot);
        let forward = wall.since(self.wall);
        let back = self.wall.since(wall);
        let apart = by_boot.abs_diff(forward) + back;
        (self.boot, self.wall) = (boot, wall);
        if apart > SLACK {
            self.steady_since = None;
            return true;
        }
        let since = *self.steady_since.get_or_insert(boot);
        since != BootTime::default() && boot.since(since) < HOLD
    }
}

/// A time server may slew a clock and a leap second may pass between two looks.
const SLACK: Duration = Duration::from_secs(30);

/// How long deletions are held after a jump.
const HOLD: Duration = Duration::from_secs(24 * 60 * 60);

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
        let mut watch = ClockWatch::new(boot, wall);
        for step in [MINUTE, MINUTE, 43_200 * MINUTE] {
            (boot, wall) = (boot.plus(step), wall.plus(step + Duration::from_secs(1)));
            assert!(!watch.observe(boot, wall));
        }
    }

    #[test]
    fn a_jump_either_way_holds_until_a_day_has_passed_steadily() {
        let (boot, wall) = start();
        let forward = wall.plus(43_200 * MINUTE);
        let back = WallTime::from_millis(wall.as_millis() - 3_600_000);
        for jumped in [forward, back] {
            let mut watch = ClockWatch::new(boot, wall);
            assert!(watch.observe(boot.plus(MINUTE), jumped));
            let (boot, wall) = (boot.plus(2 * MINUTE), jumped.plus(MINUTE));
            assert!(watch.observe(boot, wall));
            assert!(watch.observe(boot.plus(HOLD - MINUTE), wall.plus(HOLD - MINUTE)));
            assert!(!watch.observe(boot.plus(HOLD), wall.plus(HOLD)));
        }
    }
}
