//! Away from a generation: stop, loss of an actor, and each step to `Stopped` or `Failed`.

use core::time::Duration;

use super::{
    Answer, Asker, Drain, Effect, InFlight, Machine, Refusal, Replacing, State, superseded,
};
use crate::clock::BootTime;
use crate::error::LifecycleError;
use crate::status::{FreezeReport, FreezeScope, StopReport};

impl Machine {
    pub(super) fn stop(
        &mut self,
        now: BootTime,
        in_flight: InFlight,
        drain: Duration,
        asker: Asker,
    ) -> Vec<Effect> {
        match &mut self.state {
            State::NotConfigured | State::Stopped => {
                let report = Answer::Stopped(StopReport::nothing());
                vec![Effect::ForgetSecrets, Effect::Answer(asker, report)]
            }
            // What failed may have left something open.
            State::Failed { .. } => self.close(now, now.plus(drain), vec![asker], None),
            State::Starting { attempt, asker: starter } => {
                let mut effects =
                    vec![Effect::Abandon { attempt: *attempt }, superseded(*starter, "stop")];
                effects.extend(self.close(now, now.plus(drain), vec![asker], None));
                effects
            }
            State::Running { .. } | State::Freezing { .. } | State::Frozen { .. } => {
                self.drain(now, in_flight, now.plus(drain), vec![asker], None)
            }
            State::Draining(draining) if draining.stuck && !draining.quiet => {
                let stuck = LifecycleError::Stuck(in_flight.sections);
                vec![Effect::Refuse(asker, Refusal::Lifecycle(stuck))]
            }
            State::Draining(draining) => {
                draining.askers.push(asker);
                draining.deadline = draining.deadline.min(now.plus(drain));
                vec![Effect::Wake { round: draining.round, at: draining.deadline }]
            }
        }
    }

    /// Leaves a state that yields keys, towards `Stopped` or `Failed`.
    pub(super) fn drain(
        &mut self,
        now: BootTime,
        in_flight: InFlight,
        deadline: BootTime,
        askers: Vec<Asker>,
        failure: Option<&'static str>,
    ) -> Vec<Effect> {
        let by = if failure.is_some() { "failure" } else { "stop" };
        let mut effects = vec![Effect::Shut(FreezeScope::All)];
        effects.extend(self.end_waiting(by));
        self.rounds += 1;
        let round = self.rounds;
        let (quiet, stuck) = (false, false);
        let drain = Drain { round, askers, began: now, deadline, in_flight, quiet, stuck, failure };
        self.state = State::Draining(drain);
        effects.push(Effect::Quiesce { round });
        effects.push(Effect::Wake { round, at: deadline });
        effects
    }

    /// Closes the backend where the gate is closed and nothing is inside: towards `Stopped` or
    /// `Failed`.
    pub(super) fn close(
        &mut self,
        now: BootTime,
        deadline: BootTime,
        askers: Vec<Asker>,
        failure: Option<&'static str>,
    ) -> Vec<Effect> {
        self.rounds += 1;
        let round = self.rounds;
        self.state = State::Draining(Drain {
            round,
            askers,
            began: now,
            deadline,
            in_flight: InFlight::default(),
            quiet: true,
            stuck: false,
            failure,
        });
        let wake = Effect::Wake { round, at: deadline };
        vec![Effect::Shut(FreezeScope::All), Effect::ForgetSecrets, Effect::Close { round }, wake]
    }

    /// Ends what a state that yields keys still waits for.
    pub(super) fn end_waiting(&mut self, by: &'static str) -> Vec<Effect> {
        match &mut self.state {
            State::Running { swap: Some(swap) } => {
                let attempt = swap.attempt;
                vec![superseded(swap.asker, by), Effect::Abandon { attempt }]
            }
            State::Freezing { askers, .. } => {
                askers.drain(..).map(|asker| superseded(asker, by)).collect()
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Running { swap: None }
            | State::Frozen { .. }
            | State::Draining(_)
            | State::Failed { .. } => Vec::new(),
        }
    }

    pub(super) fn quiet(&mut self, now: BootTime, quiet: u64) -> Vec<Effect> {
        let mut effects = self.replaced(quiet);
        match &mut self.state {
            State::Freezing { scope, round, askers, began, in_flight, .. } if *round == quiet => {
                let report = FreezeReport::new(*scope, in_flight.sections, now.since(*began));
                let done = |asker| Effect::Answer(asker, Answer::Frozen(report));
                effects.extend(askers.drain(..).map(done));
                self.state = State::Frozen { scope: report.scope };
            }
            State::Draining(drain) if drain.round == quiet && !drain.quiet => {
                drain.quiet = true;
                effects.extend([Effect::ForgetSecrets, Effect::Close { round: quiet }]);
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Freezing { .. }
            | State::Frozen { .. }
            | State::Draining(_)
            | State::Failed { .. } => {}
        }
        effects
    }

    /// Ends the swap whose old generation nobody uses any more. What is quiet since a later round
    /// is quiet since an earlier one.
    pub(super) fn replaced(&mut self, quiet: u64) -> Vec<Effect> {
        let Some(swap) = self.replacing.take_if(|swap| swap.round <= quiet) else {
            return Vec::new();
        };
        let Replacing { round, asker, report } = swap;
        vec![Effect::CloseReplaced { round }, Effect::Answer(asker, Answer::Started(report))]
    }

    pub(super) fn stuck(&mut self, stuck: u64, inside: u64) -> Vec<Effect> {
        let refusal = Refusal::Lifecycle(LifecycleError::Stuck(inside));
        // A swap goes on: its new generation is in use, the old one is dropped when it may be.
        let askers = match &mut self.state {
            State::Freezing { round, askers, stuck: is_stuck, .. } if *round == stuck => {
                *is_stuck = Some(inside);
                askers
            }
            State::Draining(drain) if drain.round == stuck && !drain.quiet => {
                drain.stuck = true;
                &mut drain.askers
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Freezing { .. }
            | State::Frozen { .. }
            | State::Draining(_)
            | State::Failed { .. } => return Vec::new(),
        };
        askers.drain(..).map(|asker| Effect::Refuse(asker, refusal.clone())).collect()
    }

    pub(super) fn closed(&mut self, now: BootTime, round: u64, wiped: u64) -> Vec<Effect> {
        let State::Draining(drain) = &mut self.state else {
            return Vec::new();
        };
        if drain.round != round {
            return Vec::new();
        }
        let InFlight { sections, operations } = drain.in_flight;
        let report = StopReport {
            in_flight: sections + operations,
            finished: sections,
            cancelled: operations,
            took: now.since(drain.began),
            keys_wiped: wiped,
            // Whoever records it says so.
            audited: false,
        };
        let answer = |asker| Effect::Answer(asker, Answer::Stopped(report.clone()));
        let answers = drain.askers.drain(..).map(answer).collect();
        self.state = match drain.failure {
            Some(why) => State::Failed { why },
            None => State::Stopped,
        };
        answers
    }

    pub(super) fn deadline_due(&mut self, now: BootTime, round: u64) -> Vec<Effect> {
        let State::Draining(drain) = &mut self.state else {
            return Vec::new();
        };
        if drain.round != round || now < drain.deadline {
            return Vec::new();
        }
        // Sections that do not end are told by `Stuck`; here the backend does not close.
        let why = Refusal::Lifecycle(LifecycleError::BackendHung);
        let refuse = |asker| Effect::Refuse(asker, why.clone());
        if drain.quiet { drain.askers.drain(..).map(refuse).collect() } else { Vec::new() }
    }

    pub(super) fn actor_lost(
        &mut self,
        now: BootTime,
        in_flight: InFlight,
        why: &'static str,
    ) -> Vec<Effect> {
        match &mut self.state {
            State::Starting { attempt, asker } => {
                let lost = Refusal::Lifecycle(LifecycleError::Threads(why));
                let mut effects =
                    vec![Effect::Abandon { attempt: *attempt }, Effect::Refuse(*asker, lost)];
                effects.extend(self.close(now, now, Vec::new(), Some(why)));
                effects
            }
            State::Running { .. } | State::Freezing { .. } | State::Frozen { .. } => {
                self.drain(now, in_flight, now, Vec::new(), Some(why))
            }
            State::Draining(drain) => {
                drain.failure = Some(why);
                Vec::new()
            }
            State::NotConfigured | State::Stopped | State::Failed { .. } => Vec::new(),
        }
    }
}
