//! Time: a boot-time clock for lifetimes, a wall clock for records.
//!
//! Lifetimes of keys run on the boot-time clock, which goes on while the machine sleeps: a laptop
//! that was closed for a week does not open it with week-old keys in memory. Wall time only ever
//! labels records and decides about windows of days.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the engine reads time from.
///
/// Hosts pass their own to run the engine in virtual time; [`SystemClock`] is the default.
pub trait Clock: Send + Sync + 'static {
    /// Time since boot, suspended time included. Never goes back.
    fn boot(&self) -> BootTime;

    /// The time of day. May jump.
    fn wall(&self) -> WallTime;
}

/// A moment on the boot-time clock, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(u64);

impl BootTime {
    /// A moment `nanos` nanoseconds after boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and `by` more; the far end of the clock if that overflows.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A moment of the day, in milliseconds since 1970-01-01T00:00:00Z (leap seconds not counted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// A moment `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `by` more; the far end of the clock if that overflows.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The formatter below panics past the year 9999; a damaged clock must not.
        const YEAR_9999_MS: u64 = 253_402_300_799_999;
        let millis = Duration::from_millis(self.0.min(YEAR_9999_MS));
        let time = std::time::SystemTime::UNIX_EPOCH + millis;
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

impl serde::Serialize for WallTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The operating system's clocks: `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> BootTime {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        BootTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else reads")]
    fn wall(&self) -> WallTime {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        WallTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves only when told to, for tests of hosts and of the engine.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualTimes>);

#[derive(Debug)]
struct ManualTimes {
    boot_ns: AtomicU64,
    wall_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `wall`, one second after boot.
    #[must_use]
    pub fn new(wall: WallTime) -> Self {
        Self(Arc::new(ManualTimes {
            boot_ns: AtomicU64::new(1_000_000_000),
            wall_ms: AtomicU64::new(wall.0),
        }))
    }

    /// Moves both clocks forward together, as real time does.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.boot_ns.fetch_add(nanos, Ordering::SeqCst);
        self.jump_wall(by);
    }

    /// Moves only the wall clock, as an operator or a broken time server does.
    pub fn jump_wall(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.wall_ms.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn boot(&self) -> BootTime {
        BootTime(self.0.boot_ns.load(Ordering::SeqCst))
    }

    fn wall(&self) -> WallTime {
        WallTime(self.0.wall_ms.load(Ordering::SeqCst))
    }
}
