//! Towards a generation: configure, start, reconfigure, and what becomes of what they build.

use super::{
    Answer, Asker, Effect, Machine, Refusal, Replacing, StartReport, State, Swap, superseded,
};
use crate::error::{LifecycleError, Refused};

impl Machine {
    pub(super) fn configure(&mut self, asker: Asker) -> Vec<Effect> {
        match &self.state {
            State::NotConfigured => {
                self.state = State::Stopped;
                vec![Effect::Answer(asker, Answer::Done)]
            }
            State::Stopped | State::Failed { .. } => {
                self.forgot_secret = false;
                vec![Effect::Answer(asker, Answer::Done)]
            }
            State::Starting { .. }
            | State::Running { .. }
            | State::Freezing { .. }
            | State::Frozen { .. }
            | State::Draining(_) => self.not_now(asker, "configure", "; use reconfigure"),
        }
    }

    pub(super) fn start(&mut self, asker: Asker) -> Vec<Effect> {
        let mut effects = Vec::new();
        match &self.state {
            State::NotConfigured => {
                return vec![Effect::Refuse(asker, Refusal::Refused(Refused::NotConfigured))];
            }
            State::Stopped | State::Failed { .. } if self.forgot_secret => {
                let refusal = Refusal::Lifecycle(LifecycleError::SecretWiped);
                return vec![Effect::Refuse(asker, refusal)];
            }
            State::Stopped | State::Failed { .. } => {}
            State::Starting { attempt, asker } => {
                effects.push(Effect::Abandon { attempt: *attempt });
                effects.push(superseded(*asker, "start"));
            }
            State::Running { .. } => {
                // A shut whose message was refused is undone.
                let report = StartReport::new(self.generation, true);
                return vec![Effect::Open, Effect::Answer(asker, Answer::Started(report))];
            }
            State::Freezing { .. } | State::Frozen { .. } => {
                return self.not_now(asker, "start", "; thaw it");
            }
            State::Draining(_) => {
                return self.not_now(asker, "start", "; wait until it has stopped");
            }
        }
        self.attempts += 1;
        let attempt = self.attempts;
        self.state = State::Starting { attempt, asker };
        effects.push(Effect::Build { attempt, shares: false });
        effects
    }

    pub(super) fn reconfigure(&mut self, asker: Asker) -> Vec<Effect> {
        let mut effects = Vec::new();
        match &mut self.state {
            State::Running { .. } if self.replacing.is_some() => {
                self.not_now(asker, "reconfigure", "; the last one is being swapped in")
            }
            State::Running { swap } => {
                if let Some(earlier) = swap.take() {
                    effects.push(Effect::Abandon { attempt: earlier.attempt });
                    effects.push(superseded(earlier.asker, "reconfigure"));
                }
                self.attempts += 1;
                let attempt = self.attempts;
                *swap = Some(Swap { attempt, asker });
                effects.push(Effect::Build { attempt, shares: true });
                effects
            }
            State::NotConfigured | State::Stopped | State::Failed { .. } => {
                self.not_now(asker, "reconfigure", "; use configure")
            }
            State::Freezing { .. } | State::Frozen { .. } => {
                self.not_now(asker, "reconfigure", "; thaw it")
            }
            State::Starting { .. } | State::Draining(_) => self.not_now(asker, "reconfigure", ""),
        }
    }

    pub(super) fn built(&mut self, attempt: u64) -> Vec<Effect> {
        match &mut self.state {
            State::Starting { attempt: current, asker } if *current == attempt => {
                self.generation += 1;
                let generation = self.generation;
                let report = StartReport::new(generation, false);
                let effects = vec![
                    Effect::Adopt { attempt, generation },
                    Effect::Open,
                    Effect::Answer(*asker, Answer::Started(report)),
                ];
                self.state = State::Running { swap: None };
                effects
            }
            State::Running { swap: Some(swap) } if swap.attempt == attempt => {
                let asker = swap.asker;
                self.state = State::Running { swap: None };
                self.generation += 1;
                self.rounds += 1;
                let (generation, round) = (self.generation, self.rounds);
                self.replacing =
                    Some(Replacing { round, asker, report: StartReport::new(generation, false) });
                vec![Effect::Adopt { attempt, generation }, Effect::Quiesce { round }]
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Freezing { .. }
            | State::Frozen { .. }
            | State::Draining(_)
            | State::Failed { .. } => vec![Effect::Abandon { attempt }],
        }
    }

    pub(super) fn build_failed(&mut self, attempt: u64, why: &'static str) -> Vec<Effect> {
        match &mut self.state {
            State::Starting { attempt: current, asker } if *current == attempt => {
                // It may be late, not impossible: then it is built after all, and must not stay.
                let effects = vec![
                    Effect::Abandon { attempt },
                    Effect::Refuse(*asker, Refusal::Build { attempt }),
                ];
                self.state = State::Failed { why };
                effects
            }
            State::Running { swap: Some(swap) } if swap.attempt == attempt => {
                let effects = vec![
                    Effect::Abandon { attempt },
                    Effect::Refuse(swap.asker, Refusal::Build { attempt }),
                ];
                self.state = State::Running { swap: None };
                effects
            }
            State::NotConfigured
            | State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Freezing { .. }
            | State::Frozen { .. }
            | State::Draining(_)
            | State::Failed { .. } => Vec::new(),
        }
    }
}
