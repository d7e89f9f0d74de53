//! The state machine of an engine: commands in, effects out. Pure: no clock, no channel, no gate.
//!
//! ```text
//! NotConfigured -> Stopped <-> Starting -> Running <-> Freezing -> Frozen
//! Running | Freezing | Frozen -> Draining -> Stopped | Failed
//! Starting -> Failed -> Starting | Stopped
//! ```
//!
//! Invariants:
//!
//! 1. Last intent wins: a later command ends what an earlier one waits for, and its asker is told
//!    which.
//! 2. Generation numbers only grow, and only a start or a swap that succeeded takes one.
//! 3. Each asker is answered exactly once.
//! 4. A state that yields keys is left only after quiescence: `Frozen` is entered by `Quiet`,
//!    `Stopped` and `Failed` only once nothing is under way and the backend is closed. A candidate
//!    that is being built holds keys too.
//! 5. What a swap replaced is closed once nobody uses it, whatever state the engine is in by then.

use core::time::Duration;

use crate::clock::BootTime;
use crate::error::{LifecycleError, Refused};
use crate::status::{FreezeScope, Phase, StartReport, StopReport};

/// Who waits for an answer: a number that the actor knows.
pub(super) type Asker = u64;

/// What happens to the machine.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// A valid configuration was given.
    Configure(Asker),
    /// Start, with the configuration at hand.
    Start(Asker),
    /// Stop within so long.
    Stop { drain: Duration, asker: Asker },
    /// Freeze.
    Freeze { scope: FreezeScope, asker: Asker },
    /// Thaw.
    Thaw(Asker),
    /// Swap to a configuration that was given.
    Reconfigure(Asker),
    /// The candidate of this attempt is built and probed.
    Built { attempt: u64 },
    /// It could not be built; the actor keeps the error.
    BuildFailed { attempt: u64, why: &'static str },
    /// Every section that was inside when this round began is gone, and so is what it waited for.
    Quiet { round: u64 },
    /// Not within a second: so many are still inside.
    Stuck { round: u64, inside: u64 },
    /// The backend of this round is closed.
    Closed { round: u64, wiped: u64 },
    /// The deadline of a stop may have passed.
    DeadlineDue { round: u64 },
    /// An actor is lost for good.
    ActorLost { why: &'static str },
}

/// What the actor does about it, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Answer with success.
    Answer(Asker, Answer),
    /// Answer with an error.
    Refuse(Asker, Refusal),
    /// Build and probe a candidate.
    Build { attempt: u64, shares: bool },
    /// Let the candidate of this attempt go, built or not.
    Abandon { attempt: u64 },
    /// Make the candidate the running generation.
    Adopt { attempt: u64, generation: u64 },
    /// Shut the gate.
    Shut(FreezeScope),
    /// Open the gate, unless a shut came that no command has told of.
    Open,
    /// Wait for quiescence, for a second at first, and report `Quiet` or `Stuck`.
    Quiesce { round: u64 },
    /// Cut every operation, wipe, close the backend with every candidate, and report `Closed`.
    Close { round: u64 },
    /// Drop what the swap replaced.
    CloseReplaced { round: u64 },
    /// Report `DeadlineDue` at that moment.
    Wake { round: u64, at: BootTime },
}

/// A success.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done,
    Started(StartReport),
    Stopped(StopReport),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    Lifecycle(LifecycleError),
    Refused(Refused),
    /// The error that the actor keeps for this attempt.
    Build {
        attempt: u64,
    },
}

/// What is known before a stop begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct InFlight {
    pub(super) sections: u64,
    pub(super) operations: u64,
}

/// The machine.
pub(super) struct Machine {
    state: State,
    /// The swap that was made and whose old generation may still be in use.
    replacing: Option<Replacing>,
    /// The last generation that ran.
    generation: u64,
    attempts: u64,
    rounds: u64,
}

#[derive(Debug)]
enum State {
    NotConfigured,
    Stopped,
    Starting {
        attempt: u64,
        asker: Asker,
    },
    Running {
        swap: Option<Swap>,
    },
    Freezing {
        scope: FreezeScope,
        round: u64,
        askers: Vec<Asker>,
        /// So many sections did not end in time.
        stuck: Option<u64>,
    },
    Frozen {
        scope: FreezeScope,
    },
    Draining(Drain),
    Failed {
        why: &'static str,
    },
}

/// A candidate that is being built beside the running generation.
#[derive(Debug)]
struct Swap {
    attempt: u64,
    asker: Asker,
}

#[derive(Debug)]
struct Replacing {
    round: u64,
    asker: Asker,
    report: StartReport,
}

#[derive(Debug)]
struct Drain {
    round: u64,
    askers: Vec<Asker>,
    began: BootTime,
    deadline: BootTime,
    in_flight: InFlight,
    quiet: bool,
    /// Ends in `Failed` instead of `Stopped`.
    failure: Option<&'static str>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { state: State::NotConfigured, replacing: None, generation: 0, attempts: 0, rounds: 0 }
    }

    /// A machine whose predecessor was lost, and what is to be done at once: it knows nothing of
    /// what runs, so it closes that and has failed then.
    pub(super) fn after_loss(now: BootTime, generation: u64, attempts: u64) -> (Self, Vec<Effect>) {
        let mut machine = Self { generation, attempts, ..Self::new() };
        let why = "the lifecycle actor was lost";
        let in_flight = InFlight::default();
        let effects = machine.drain(now, in_flight, now, Vec::new(), Some(why));
        (machine, effects)
    }

    /// The state, as status and errors name it.
    pub(super) fn phase(&self) -> Phase {
        match &self.state {
            State::NotConfigured => Phase::NotConfigured,
            State::Stopped => Phase::Stopped,
            State::Starting { .. } => Phase::Starting,
            State::Running { .. } => Phase::Running,
            State::Freezing { scope, .. } | State::Frozen { scope } => Phase::Frozen(*scope),
            State::Draining(_) => Phase::Draining,
            State::Failed { why } => Phase::Failed(why),
        }
    }

    /// The generation that runs, or ran last.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a candidate is being built or swapped in beside the running generation.
    pub(super) fn is_reconfiguring(&self) -> bool {
        self.replacing.is_some() || matches!(&self.state, State::Running { swap: Some(_) })
    }

    /// Applies one command.
    pub(super) fn apply(
        &mut self,
        now: BootTime,
        in_flight: InFlight,
        command: Command,
    ) -> Vec<Effect> {
        match command {
            Command::Configure(asker) => self.configure(asker),
            Command::Start(asker) => self.start(asker),
            Command::Stop { drain, asker } => self.stop(now, in_flight, drain, asker),
            Command::Freeze { scope, asker } => self.freeze(scope, asker),
            Command::Thaw(asker) => self.thaw(asker),
            Command::Reconfigure(asker) => self.reconfigure(asker),
            Command::Built { attempt } => self.built(attempt),
            Command::BuildFailed { attempt, why } => self.build_failed(attempt, why),
            Command::Quiet { round } => self.quiet(round),
            Command::Stuck { round, inside } => self.stuck(round, inside),
            Command::Closed { round, wiped } => self.closed(now, round, wiped),
            Command::DeadlineDue { round } => self.deadline_due(now, round),
            Command::ActorLost { why } => self.actor_lost(now, in_flight, why),
        }
    }

    fn configure(&mut self, asker: Asker) -> Vec<Effect> {
        match &self.state {
            State::NotConfigured => {
                self.state = State::Stopped;
                vec![Effect::Answer(asker, Answer::Done)]
            }
            State::Stopped | State::Failed { .. } => vec![Effect::Answer(asker, Answer::Done)],
            State::Starting { .. }
            | State::Running { .. }
            | State::Freezing { .. }
            | State::Frozen { .. }
            | State::Draining(_) => self.not_now(asker, "configure", "; use reconfigure"),
        }
    }

    fn start(&mut self, asker: Asker) -> Vec<Effect> {
        let mut effects = Vec::new();
        match &self.state {
            State::NotConfigured => {
                return vec![Effect::Refuse(asker, Refusal::Refused(Refused::NotConfigured))];
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

    fn stop(
        &mut self,
        now: BootTime,
        in_flight: InFlight,
        drain: Duration,
        asker: Asker,
    ) -> Vec<Effect> {
        match &mut self.state {
            State::NotConfigured | State::Stopped => {
                vec![Effect::Answer(asker, Answer::Stopped(StopReport::nothing()))]
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
            State::Draining(draining) => {
                draining.askers.push(asker);
                draining.deadline = draining.deadline.min(now.plus(drain));
                let round = draining.round;
                let mut effects = vec![Effect::Wake { round, at: draining.deadline }];
                if !draining.quiet {
                    effects.push(Effect::Quiesce { round });
                }
                effects
            }
        }
    }

    /// Leaves a state that yields keys, towards `Stopped` or `Failed`.
    fn drain(
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
        let drain = Drain { round, askers, began: now, deadline, in_flight, quiet: false, failure };
        self.state = State::Draining(drain);
        effects.push(Effect::Quiesce { round });
        effects.push(Effect::Wake { round, at: deadline });
        effects
    }

    /// Closes the backend where the gate is closed and nothing is inside: towards `Stopped` or
    /// `Failed`.
    fn close(
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
            failure,
        });
        let wake = Effect::Wake { round, at: deadline };
        vec![Effect::Shut(FreezeScope::All), Effect::Close { round }, wake]
    }

    /// Ends what a state that yields keys still waits for.
    fn end_waiting(&mut self, by: &'static str) -> Vec<Effect> {
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

    fn freeze(&mut self, scope: FreezeScope, asker: Asker) -> Vec<Effect> {
        let mut askers = vec![asker];
        let mut effects = Vec::new();
        match &mut self.state {
            State::Running { .. } => effects = self.end_waiting("freeze"),
            State::Frozen { scope: frozen } if *frozen == scope => {
                return vec![Effect::Answer(asker, Answer::Done)];
            }
            State::Frozen { scope: FreezeScope::Writes } => {}
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
        self.state = State::Freezing { scope, round, askers, stuck: None };
        effects.extend([Effect::Shut(scope), Effect::Quiesce { round }]);
        effects
    }

    fn thaw(&mut self, asker: Asker) -> Vec<Effect> {
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

    fn reconfigure(&mut self, asker: Asker) -> Vec<Effect> {
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

    fn built(&mut self, attempt: u64) -> Vec<Effect> {
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

    fn build_failed(&mut self, attempt: u64, why: &'static str) -> Vec<Effect> {
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

    fn quiet(&mut self, quiet: u64) -> Vec<Effect> {
        let mut effects = self.replaced(quiet);
        match &mut self.state {
            State::Freezing { scope, round, askers, .. } if *round == quiet => {
                let done = |asker| Effect::Answer(asker, Answer::Done);
                effects.extend(askers.drain(..).map(done));
                let scope = *scope;
                self.state = State::Frozen { scope };
            }
            State::Draining(drain) if drain.round == quiet && !drain.quiet => {
                drain.quiet = true;
                effects.push(Effect::Close { round: quiet });
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
    fn replaced(&mut self, quiet: u64) -> Vec<Effect> {
        let Some(swap) = self.replacing.take_if(|swap| swap.round <= quiet) else {
            return Vec::new();
        };
        let Replacing { round, asker, report } = swap;
        vec![Effect::CloseReplaced { round }, Effect::Answer(asker, Answer::Started(report))]
    }

    fn stuck(&mut self, stuck: u64, inside: u64) -> Vec<Effect> {
        let refusal = Refusal::Lifecycle(LifecycleError::Stuck(inside));
        // A swap goes on: its new generation is in use, the old one is dropped when it may be.
        let askers = match &mut self.state {
            State::Freezing { round, askers, stuck: is_stuck, .. } if *round == stuck => {
                *is_stuck = Some(inside);
                askers
            }
            State::Draining(drain) if drain.round == stuck && !drain.quiet => &mut drain.askers,
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

    fn closed(&mut self, now: BootTime, round: u64, wiped: u64) -> Vec<Effect> {
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

    fn deadline_due(&mut self, now: BootTime, round: u64) -> Vec<Effect> {
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

    fn actor_lost(&mut self, now: BootTime, in_flight: InFlight, why: &'static str) -> Vec<Effect> {
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

    fn not_now(&self, asker: Asker, message: &'static str, hint: &'static str) -> Vec<Effect> {
        let state = self.phase().name();
        let error = LifecycleError::NotNow { message, state, hint };
        vec![Effect::Refuse(asker, Refusal::Lifecycle(error))]
    }
}

fn superseded(asker: Asker, by: &'static str) -> Effect {
    Effect::Refuse(asker, Refusal::Lifecycle(LifecycleError::Superseded(by)))
}

#[cfg(test)]
mod tests;
