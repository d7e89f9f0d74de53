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
//! 5. A stop forgets the secrets that the host handed in with its configuration (guarantee 6).
//! 6. What a swap replaced is closed once nobody uses it, whatever state the engine is in by then.

mod begin;
mod end;
mod freeze;

use core::time::Duration;

use crate::clock::BootTime;
use crate::error::{LifecycleError, Refused};
use crate::limits::CLOSE_GRACE;
use crate::status::{FreezeReport, FreezeScope, Phase, StartReport, StopReport};

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
    /// Forget a configuration that holds a secret, and say so to the machine.
    ForgetSecrets,
    /// Report `DeadlineDue` at that moment.
    Wake { round: u64, at: BootTime },
}

/// A success.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done,
    Frozen(FreezeReport),
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
    /// The configuration held a secret of the host's and was forgotten.
    forgot_secret: bool,
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
        began: BootTime,
        in_flight: InFlight,
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
    /// Sections did not end in time: whoever asks from now on is told at once.
    stuck: bool,
    /// Ends in `Failed` instead of `Stopped`.
    failure: Option<&'static str>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            state: State::NotConfigured,
            replacing: None,
            forgot_secret: false,
            generation: 0,
            attempts: 0,
            rounds: 0,
        }
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

    /// The configuration is gone with the secret in it: a start needs another one.
    pub(super) fn forgot_secret(&mut self) {
        self.forgot_secret = true;
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
            Command::Stop { drain, asker } => {
                self.stop(now, in_flight, drain.max(CLOSE_GRACE), asker)
            }
            Command::Freeze { scope, asker } => self.freeze(now, in_flight, scope, asker),
            Command::Thaw(asker) => self.thaw(asker),
            Command::Reconfigure(asker) => self.reconfigure(asker),
            Command::Built { attempt } => self.built(attempt),
            Command::BuildFailed { attempt, why } => self.build_failed(attempt, why),
            Command::Quiet { round } => self.quiet(now, round),
            Command::Stuck { round, inside } => self.stuck(round, inside),
            Command::Closed { round, wiped } => self.closed(now, round, wiped),
            Command::DeadlineDue { round } => self.deadline_due(now, round),
            Command::ActorLost { why } => self.actor_lost(now, in_flight, why),
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
