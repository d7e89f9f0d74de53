//! When to repeat a call, and how long to wait before: exponential, jittered, under one deadline.
//!
//! Pure. The deadline is the *caller's*, set once before the first attempt: attempts, pauses,
//! waiting for the breaker and for a login all draw on it, so that no stack of retries multiplies.
//!
//! Invariants:
//!
//! 1. No pause ends after the deadline: where it would, there is no further attempt.
//! 2. A call that may have acted is repeated only where its [`Repeat`] says that this is safe.

use core::time::Duration;

use super::client::Repeat;
use crate::clock::BootTime;
use crate::limits::{VAULT_ATTEMPTS_MAX, VAULT_RETRY_PAUSE_MAX, VAULT_RETRY_PAUSE_MIN};

/// Pauses between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryLimits {
    /// First pause, before jitter.
    pub pause_min: Duration,
    /// Longest pause, before jitter.
    pub pause_max: Duration,
    /// Attempts of one call, the first included.
    pub attempts_max: u32,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self {
            pause_min: VAULT_RETRY_PAUSE_MIN,
            pause_max: VAULT_RETRY_PAUSE_MAX,
            attempts_max: VAULT_ATTEMPTS_MAX,
        }
    }
}

/// The attempts of one call.
pub(crate) struct Attempts {
    limits: RetryLimits,
    deadline: BootTime,
    made: u32,
}

impl Attempts {
    pub(crate) fn new(limits: RetryLimits, deadline: BootTime) -> Self {
        Self { limits, deadline, made: 0 }
    }

    /// Counts an attempt that is about to be made.
    pub(crate) fn begin(&mut self) {
        self.made = self.made.saturating_add(1);
    }

    /// Attempts made so far.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// What is left of the deadline.
    pub(crate) fn left(&self, now: BootTime) -> Duration {
        self.deadline.since(now)
    }

    /// The pause before the next attempt, after one that failed; `hint` is what Vault asked for. `None`: do not repeat it.
    pub(crate) fn pause(
        &mut self,
        now: BootTime,
        repeat: Repeat,
        may_have_acted: bool,
        hint: Option<Duration>,
        noise: &mut Noise,
    ) -> Option<Duration> {
        if may_have_acted && repeat == Repeat::Never {
            return None;
        }
        if self.made >= self.limits.attempts_max {
            return None;
        }
        let doublings = self.made.saturating_sub(1).min(31);
        let longest = self.limits.pause_min.saturating_mul(1 << doublings);
        let pause = noise.shorten(longest.min(self.limits.pause_max), 2);
        let pause = hint.map_or(pause, |hint| hint.max(pause));
        (pause < self.left(now)).then_some(pause)
    }
}

/// A source of jitter: not secret, not shared, the same again for the same seed.
///
/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// One that differs between engines and between processes.
    pub(crate) fn new() -> Self {
        use core::hash::{BuildHasher, Hasher};
        // Its keys come from the operating system, once per thread, and differ at each call.
        Self(std::hash::RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// `span`, shortened by up to one `part`-th of it.
    pub(crate) fn shorten(&mut self, span: Duration, part: u32) -> Duration {
        let most = u64::try_from((span / part.max(1)).as_nanos()).unwrap_or(u64::MAX);
        let less = self.next() % most.saturating_add(1).max(1);
        span.saturating_sub(Duration::from_nanos(less))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: RetryLimits = RetryLimits {
        pause_min: Duration::from_millis(50),
        pause_max: Duration::from_secs(1),
        attempts_max: 8,
    };

    fn at(ms: u64) -> BootTime {
        BootTime::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_keep_at_least_half() {
        let mut noise = Noise::seeded(1);
        let mut attempts = Attempts::new(LIMITS, at(1_000_000));
        for expected in [50, 100, 200, 400, 800, 1000, 1000] {
            attempts.begin();
            let pause = attempts.pause(at(0), Repeat::Safe, true, None, &mut noise).unwrap();
            let most = Duration::from_millis(expected);
            assert!(pause <= most && pause >= most / 2, "{pause:?} of {most:?}");
        }
        attempts.begin();
        let after_the_last = attempts.pause(at(0), Repeat::Safe, true, None, &mut noise);
        assert_eq!(after_the_last, None);
    }

    #[test]
    fn what_may_have_been_done_is_repeated_only_where_that_is_safe() {
        let mut noise = Noise::seeded(1);
        for (repeat, may_have_acted, again) in [
            (Repeat::Safe, false, true),
            (Repeat::Safe, true, true),
            (Repeat::Never, false, true),
            (Repeat::Never, true, false),
        ] {
            let mut attempts = Attempts::new(LIMITS, at(10_000));
            attempts.begin();
            let pause = attempts.pause(at(0), repeat, may_have_acted, None, &mut noise);
            assert_eq!(pause.is_some(), again, "{repeat:?} {may_have_acted}");
        }
    }

    #[test]
    fn a_longer_hint_is_kept_and_one_past_the_deadline_ends_the_call() {
        let mut noise = Noise::seeded(1);
        let mut attempts = Attempts::new(LIMITS, at(5000));
        attempts.begin();
        let mut after = |seconds| {
            let hint = Some(Duration::from_secs(seconds));
            attempts.pause(at(0), Repeat::Safe, false, hint, &mut noise)
        };
        assert_eq!(after(3), Some(Duration::from_secs(3)));
        assert_eq!(after(5), None);
    }

    proptest! {
        #[test]
        fn no_pause_ends_after_the_deadline(
            seed: u64, steps in 1_u32..20, deadline in 0_u64..20_000, hint in 0_u64..3000,
        ) {
            let mut noise = Noise::seeded(seed);
            let deadline = at(deadline);
            let mut attempts = Attempts::new(LIMITS, deadline);
            let mut now = at(0);
            for _ in 0..steps {
                attempts.begin();
                let hint = Some(Duration::from_millis(hint));
                let Some(pause) =
                    attempts.pause(now, Repeat::Safe, true, hint, &mut noise)
                else { break };
                now = now.plus(pause);
                prop_assert!(now < deadline);
            }
            prop_assert!(attempts.made() <= LIMITS.attempts_max);
        }

        #[test]
        fn shortening_keeps_within_its_part(seed: u64, ms in 0_u64..100_000, part in 1_u32..10) {
            let span = Duration::from_millis(ms);
            let shortened = Noise::seeded(seed).shorten(span, part);
            prop_assert!(shortened <= span);
            prop_assert!(shortened >= span - span / part);
        }
    }
}
