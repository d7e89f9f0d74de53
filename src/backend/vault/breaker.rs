//! The breaker of one backend: after failures in a row, no call is made until a probe succeeds.
//!
//! Owns the judgement whether Vault can be reached at all. Pure: the moment is passed in, and so is
//! what jitter needs. A call that Vault answered is a success here, whatever the answer says of the
//! request; what counts as a failure is the caller's table.
//!
//! ```text
//! Closed --failures_max in a row--> Open(pause) --pause over, one probe--> HalfOpen
//! HalfOpen --probe succeeds--> Closed        HalfOpen --probe fails--> Open(twice the pause)
//! ```
//!
//! Invariants:
//!
//! 1. While it is open nothing passes; while it is half-open exactly one call does, the probe.
//! 2. A probe that ends without a word (its future was dropped) does not keep others out: the next
//!    call is the probe.
//! 3. A late failure of a call from before does not open what a success has closed since, nor
//!    lengthen a pause: only its own round counts.
//!
//! Cost: a few comparisons under a short lock, beside a network call.

use core::time::Duration;

use super::retry::Noise;
use crate::clock::BootTime;
use crate::limits::{VAULT_BREAKER_FAILURES, VAULT_BREAKER_PAUSE_MAX, VAULT_BREAKER_PAUSE_MIN};
use crate::status::BreakerState;

/// When to stop calling, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerLimits {
    /// Failures in a row that open it.
    pub failures_max: u32,
    /// First pause.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            failures_max: VAULT_BREAKER_FAILURES,
            pause_min: VAULT_BREAKER_PAUSE_MIN,
            pause_max: VAULT_BREAKER_PAUSE_MAX,
        }
    }
}

/// What the breaker says of a call that wants to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Make it, and tell how it ended under this round.
    Go(Round),
    /// Not before so long.
    Wait(Duration),
}

/// Which state of the breaker a call was let through in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    number: u64,
    is_probe: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was dropped before anything was known.
    Abandoned,
    /// Vault answered.
    Answered,
    /// No answer, or one that only a broken Vault gives.
    Failed,
}

/// The state machine.
pub(crate) struct Breaker {
    limits: BreakerLimits,
    state: State,
    round: u64,
    noise: Noise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: BootTime, pause: Duration },
    HalfOpen { pause: Duration },
}

impl Breaker {
    pub(crate) fn new(limits: BreakerLimits, noise: Noise) -> Self {
        Self { limits, state: State::Closed { failures: 0 }, round: 0, noise }
    }

    /// Whether a call may be made now.
    pub(crate) fn pass(&mut self, now: BootTime) -> Pass {
        match self.state {
            State::Closed { .. } => Pass::Go(Round { number: self.round, is_probe: false }),
            State::Open { until, .. } if now < until => Pass::Wait(until.since(now)),
            State::Open { pause, .. } => {
                self.enter(State::HalfOpen { pause });
                Pass::Go(Round { number: self.round, is_probe: true })
            }
            // The probe is on its way: about as long as it takes to be answered.
            State::HalfOpen { .. } => Pass::Wait(self.limits.pause_min),
        }
    }

    /// Hears how a call ended.
    pub(crate) fn ended(&mut self, now: BootTime, round: Round, ending: Ending) {
        if round.number != self.round {
            return;
        }
        match (self.state, ending) {
            (State::Closed { .. }, Ending::Answered) => {
                self.state = State::Closed { failures: 0 };
            }
            (State::Closed { failures }, Ending::Failed) => {
                let failures = failures.saturating_add(1);
                if failures >= self.limits.failures_max {
                    self.open(now, self.limits.pause_min);
                } else {
                    self.state = State::Closed { failures };
                }
            }
            (State::HalfOpen { .. }, Ending::Answered) => {
                self.enter(State::Closed { failures: 0 });
            }
            (State::HalfOpen { pause }, Ending::Failed) => {
                self.open(now, pause.saturating_mul(2).min(self.limits.pause_max));
            }
            (State::HalfOpen { pause }, Ending::Abandoned) => {
                self.enter(State::Open { until: now, pause });
            }
            (State::Closed { .. }, Ending::Abandoned) | (State::Open { .. }, _) => {}
        }
    }

    /// The state, and how long until the next probe if it is open.
    pub(crate) fn state(&self, now: BootTime) -> (BreakerState, Option<Duration>) {
        match self.state {
            State::Closed { .. } => (BreakerState::Closed, None),
            State::Open { until, .. } => (BreakerState::Open, Some(until.since(now))),
            State::HalfOpen { .. } => (BreakerState::HalfOpen, None),
        }
    }

    /// Many engines lose the same Vault at the same moment, and must not probe it in step.
    fn open(&mut self, now: BootTime, pause: Duration) {
        let until = now.plus(self.noise.shorten(pause, 4));
        self.enter(State::Open { until, pause });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.round = self.round.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits {
        failures_max: 3,
        pause_min: Duration::from_millis(500),
        pause_max: Duration::from_secs(4),
    };

    fn at(ms: u64) -> BootTime {
        BootTime::from_nanos(ms * 1_000_000)
    }

    fn breaker() -> Breaker {
        Breaker::new(LIMITS, Noise::seeded(7))
    }

    fn go(breaker: &mut Breaker, now: BootTime) -> Round {
        match breaker.pass(now) {
            Pass::Go(round) => round,
            Pass::Wait(_) => panic!("it should let the call through"),
        }
    }

    fn fail(breaker: &mut Breaker, now: BootTime) {
        let round = go(breaker, now);
        breaker.ended(now, round, Ending::Failed);
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let mut breaker = breaker();
        for _ in 0..10 {
            fail(&mut breaker, at(0));
            fail(&mut breaker, at(0));
            let round = go(&mut breaker, at(0));
            breaker.ended(at(0), round, Ending::Answered);
        }
        for _ in 0..3 {
            assert_eq!(breaker.state(at(0)).0, BreakerState::Closed);
            fail(&mut breaker, at(0));
        }
        assert_eq!(breaker.state(at(0)).0, BreakerState::Open);
        assert!(matches!(breaker.pass(at(1)), Pass::Wait(left) if left <= LIMITS.pause_min));
    }

    #[test]
    fn one_probe_passes_when_the_pause_is_over_and_its_success_closes_it() {
        let mut breaker = breaker();
        (0..3).for_each(|_| fail(&mut breaker, at(0)));
        let probe = go(&mut breaker, at(500));
        for _ in 0..100 {
            assert!(matches!(breaker.pass(at(501)), Pass::Wait(_)), "one probe at a time");
        }
        breaker.ended(at(502), probe, Ending::Answered);
        assert_eq!(breaker.state(at(502)).0, BreakerState::Closed);
        go(&mut breaker, at(502));
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_begin_anew_after_a_success() {
        let mut breaker = breaker();
        let mut now = at(0);
        (0..3).for_each(|_| fail(&mut breaker, now));
        for expected in [500, 1000, 2000, 4000, 4000, 4000] {
            let Pass::Wait(left) = breaker.pass(now) else { panic!("it is open") };
            let most = Duration::from_millis(expected);
            assert!(left <= most && left >= most * 3 / 4, "{left:?} of {most:?}");
            now = now.plus(left);
            fail(&mut breaker, now);
        }
        let Pass::Wait(left) = breaker.pass(now) else { panic!("it is open") };
        now = now.plus(left);
        let probe = go(&mut breaker, now);
        breaker.ended(now, probe, Ending::Answered);
        (0..3).for_each(|_| fail(&mut breaker, now));
        assert!(matches!(breaker.pass(now), Pass::Wait(left) if left <= LIMITS.pause_min));
    }

    #[test]
    fn a_probe_that_is_dropped_lets_the_next_call_be_the_probe() {
        let mut breaker = breaker();
        (0..3).for_each(|_| fail(&mut breaker, at(0)));
        let probe = go(&mut breaker, at(500));
        breaker.ended(at(510), probe, Ending::Abandoned);
        let probe = go(&mut breaker, at(510));
        assert!(probe.is_probe);
    }

    #[test]
    fn late_failures_of_calls_from_before_change_nothing() {
        let mut breaker = breaker();
        let old: Vec<_> = (0..64).map(|_| go(&mut breaker, at(0))).collect();
        (0..3).for_each(|_| fail(&mut breaker, at(0)));
        let probe = go(&mut breaker, at(500));
        for round in &old {
            breaker.ended(at(501), *round, Ending::Failed);
        }
        assert_eq!(breaker.state(at(501)).0, BreakerState::HalfOpen);
        breaker.ended(at(502), probe, Ending::Answered);
        for round in old {
            breaker.ended(at(503), round, Ending::Failed);
        }
        assert_eq!(breaker.state(at(503)).0, BreakerState::Closed);
    }
}
