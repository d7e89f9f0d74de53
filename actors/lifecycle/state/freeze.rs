//! Freeze and thaw: work refused, keys kept.

use core::time::Duration;

use super::{Answer, Asker, Effect, InFlight, Machine, Refusal, State};
use crate::clock::BootTime;
use crate::error::LifecycleError;
use crate::status::{FreezeReport, FreezeScope};

impl Machine {
    pub(super) fn freeze(
        &mut self,
        now: BootTime,
        in_flight: InFlight,
        scope: FreezeScope,
        asker: Asker,
    ) -> Vec<Effect> {
        let mut askers = vec![asker];
        let mut effects = Vec::new();
        match &mut self.state {
            State::Running { .. } => effects = self.end_waiting("freeze"),
            State::Frozen { scope: frozen } if *frozen == scope => {
                let report = FreezeReport::new(scope, 0, Duration::ZERO);
                return vec![Effect::Answer(asker, Answer::Frozen(report))];
            }
            State::Frozen { scope: FreezeScope::Writes } => {}
            State::Freezing { scope: freezing, stuck: Some(_), .. } if *freezing == scope => {
                let stuck = LifecycleError::Stuck(in_flight.sections);
                return vec![Effect::Refuse(asker, Refusal::Lifecycle(stuck))];
            }
            State::Freezing { scope: freezing, askers, .. } if *freezing == scope => {
                // The round waits for everybody who was inside before this came, too: nobody has
                // been let in since.
                askers.push(asker);
                return vec![Effect::Shut(scope)];
            }
            State::Freezing { scope: freezing, askers: earlier, .. } => {
                if *freezing == FreezeScope::All && scope == FreezeScope::Writes {
                    return self.not_now(asker, "freeze writes", "; thaw it first");
                }
                askers.append(earlier);
            }
            State::Frozen { scope: FreezeScope::All } => {
                return self.not_now(asker, "freeze writes", "; thaw it first");
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Draining(_)
            | State::Failed { .. } => return self.not_now(asker, "freeze", ""),
        }
        self.rounds += 1;
        let round = self.rounds;
        let (began, stuck) = (now, None);
        self.state = State::Freezing { scope, round, askers, began, in_flight, stuck };
        effects.extend([Effect::Shut(scope), Effect::Quiesce { round }]);
        effects
    }

    pub(super) fn thaw(&mut self, asker: Asker) -> Vec<Effect> {
        match &self.state {
            // A shut whose message was refused is undone too.
            State::Running { .. } => vec![Effect::Open, Effect::Answer(asker, Answer::Done)],
            State::Freezing { stuck: Some(inside), .. } => {
                let stuck = LifecycleError::Stuck(*inside);
                vec![Effect::Refuse(asker, Refusal::Lifecycle(stuck))]
            }
            State::Freezing { .. } | State::Frozen { .. } => {
                let mut effects = self.end_waiting("thaw");
                self.state = State::Running { swap: None };
                effects.extend([Effect::Open, Effect::Answer(asker, Answer::Done)]);
                effects
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Draining(_)
            | State::Failed { .. } => self.not_now(asker, "thaw", ""),
        }
    }
}
