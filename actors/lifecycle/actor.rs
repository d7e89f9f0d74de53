//! The lifecycle actor: what it owns, and effects to acts and replies.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::{Actor, AsyncContext, Context};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::state::{Answer, Asker, Command, Effect, InFlight, Machine, Refusal};
use crate::actors::audit::Trail;
use crate::actors::backend::{Abandon, Adopted, BackendActor, Candidate, CloseReplaced};
use crate::actors::port::{Begun, Port};
use crate::actors::watch::Obituary;
use crate::audit::{Caller, ErrorClass, Operation, Outcome, RecordRef, Stage};
use crate::config::Config;
use crate::error::{Error, OutcomeUnknown};
use crate::gate::{Scope, ShutTicket, stripe_of_thread};
use crate::plane::{Generation, Plane};
use crate::status::{FreezeReport, FreezeScope, Phase, StartReport, Status, StopReport};

/// Owns the state machine and the gate's lever.
pub(crate) struct Lifecycle {
    pub(super) plane: Arc<Plane>,
    pub(super) trail: Trail,
    pub(super) backend: Port<BackendActor>,
    /// What a backend that is built again would open.
    pub(super) adopted: Adopted,
    pub(super) machine: Machine,
    pub(super) numbers: Arc<Numbers>,
    /// What the next start uses.
    pub(super) config: Option<Arc<Config>>,
    /// What the message that is being handled wants to swap to.
    pub(super) offered: Option<Arc<Config>>,
    /// The attempt under way, and what it is built with: in use once it is adopted, and no sooner.
    pub(super) building: Option<(u64, Arc<Config>)>,
    /// The newest attempt, and the flag that ends its opening soon.
    pub(super) abandoned: (u64, Arc<AtomicBool>),
    pub(super) candidates: HashMap<u64, Candidate>,
    pub(super) build_errors: HashMap<u64, Error>,
    pub(super) askers: HashMap<Asker, Reply>,
    next_asker: Asker,
    /// The latest shut that a command has told of.
    pub(super) seen: ShutTicket,
    pub(super) replaced: Option<Arc<Generation>>,
    /// What a successor has to do first.
    inherited: Vec<Effect>,
    _obituary: Obituary,
}

/// What outlives the actor's value.
#[derive(Default)]
pub(crate) struct Numbers {
    pub(super) generation: AtomicU64,
    pub(super) attempts: AtomicU64,
    was_built: AtomicBool,
}

/// Who is answered, by kind of answer.
pub(super) enum Reply {
    Done(oneshot::Sender<Result<(), Error>>),
    Frozen(oneshot::Sender<Result<FreezeReport, Error>>),
    Started(oneshot::Sender<Result<StartReport, Error>>),
    Stopped(oneshot::Sender<Result<StopReport, Error>>),
}

impl Lifecycle {
    /// The actor. `backend` is a lane of its own: no flood refuses what is said here. A successor
    /// knows only that its predecessor was lost: it shuts the gate, closes what runs and has failed.
    pub(crate) fn new(
        plane: Arc<Plane>,
        trail: Trail,
        backend: Port<BackendActor>,
        adopted: Adopted,
        numbers: Arc<Numbers>,
        obituary: Obituary,
    ) -> Self {
        let is_successor = numbers.was_built.swap(true, Ordering::AcqRel);
        let (machine, inherited) = if is_successor {
            let generation = numbers.generation.load(Ordering::Acquire);
            let attempts = numbers.attempts.load(Ordering::Acquire);
            Machine::after_loss(plane.clock.boot(), generation, attempts)
        } else {
            (Machine::new(), Vec::new())
        };
        Self {
            plane,
            trail,
            backend,
            adopted,
            machine,
            numbers,
            config: None,
            offered: None,
            building: None,
            abandoned: (0, Arc::default()),
            candidates: HashMap::new(),
            build_errors: HashMap::new(),
            askers: HashMap::new(),
            next_asker: 0,
            seen: ShutTicket::NONE,
            replaced: None,
            inherited,
            _obituary: obituary,
        }
    }

    fn enlist(&mut self, reply: Reply) -> Asker {
        self.next_asker += 1;
        self.askers.insert(self.next_asker, reply);
        self.next_asker
    }

    pub(super) fn apply(&mut self, context: &mut Context<Self>, command: Command) {
        let before = self.machine.phase();
        let in_flight = InFlight {
            sections: self.plane.gate.inside(),
            operations: self.plane.operations.len() as u64,
        };
        let effects = self.machine.apply(self.plane.clock.boot(), in_flight, command);
        self.publish();
        let after = self.machine.phase();
        let (answers, others): (Vec<_>, Vec<_>) = effects
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Answer(..) | Effect::Refuse(..)));
        for effect in others {
            self.perform(context, effect);
        }
        if before != after {
            self.relabel(after);
        }
        for answer in answers {
            self.answer(answer);
        }
    }

    /// Makes the gate's refusals say what state the engine is in, where that keeps it shut.
    pub(super) fn relabel(&mut self, phase: Phase) {
        match phase {
            Phase::Running | Phase::Frozen(_) => {}
            Phase::Draining
            | Phase::Failed(_)
            | Phase::NotConfigured
            | Phase::Starting
            | Phase::Stopped => {
                self.plane.gate.relabel(phase.refusal_code());
            }
        }
    }

    fn publish(&self) {
        let phase = self.machine.phase();
        let before = self.plane.status.load();
        let since = if before.phase == phase { before.since } else { self.plane.clock.wall() };
        self.plane.status.store(Arc::new(Status {
            phase,
            since,
            generation: self.machine.generation(),
            reconfiguring: self.machine.is_reconfiguring(),
            ..Status::clone(&before)
        }));
    }

    fn perform(&mut self, context: &mut Context<Self>, effect: Effect) {
        match effect {
            Effect::Answer(..) | Effect::Refuse(..) => self.answer(effect),
            Effect::Build { attempt, shares } => self.build(context, attempt, shares),
            Effect::Abandon { attempt } => {
                // An earlier one may be told of late: it must not end the newest.
                if self.abandoned.0 == attempt {
                    self.abandoned.1.store(true, Ordering::Release);
                }
                self.candidates.remove(&attempt);
                // Opening looks at the flag; what is open already goes with this. A mailbox that is
                // full drops the candidate with the next one.
                let _ = self.backend.tell(Abandon { attempt });
            }
            Effect::Adopt { attempt, generation } => self.adopt(context, attempt, generation),
            Effect::Shut(scope) => {
                let code = self.machine.phase().refusal_code();
                // No ticket: `seen` says what others have told, and nothing else.
                self.plane.gate.shut_by_opener(gate_scope(scope), code);
            }
            Effect::Open => {
                // False if a later shut came: then its message is on the way.
                let _ = self.plane.gate.open(self.seen);
            }
            Effect::Quiesce { round } => self.quiesce(context, round),
            Effect::Close { round } => self.close(context, round),
            Effect::CloseReplaced { .. } => {
                self.replaced = None;
                let _ = self.backend.tell(CloseReplaced);
            }
            Effect::ForgetSecrets => {
                let holds_secret = |config: &mut Arc<Config>| config.backend.holds_secret();
                if self.config.take_if(holds_secret).is_some() {
                    self.machine.forgot_secret();
                }
            }
            Effect::Wake { round, at } => {
                let after = at.since(self.plane.clock.boot());
                context.run_later(after, move |actor, context| {
                    actor.apply(context, Command::DeadlineDue { round });
                });
            }
        }
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(asker, answer) => {
                match (self.askers.remove(&asker), answer) {
                    (Some(Reply::Done(reply)), Answer::Done) => drop(reply.send(Ok(()))),
                    (Some(Reply::Frozen(reply)), Answer::Frozen(report)) => {
                        drop(reply.send(Ok(report)));
                    }
                    (Some(Reply::Started(reply)), Answer::Started(report)) => {
                        drop(reply.send(Ok(report)));
                    }
                    (Some(Reply::Stopped(reply)), Answer::Stopped(report)) => {
                        drop(reply.send(Ok(report)));
                    }
                    // An asker that has gone, or a bug that its dropped reply tells of.
                    (
                        _,
                        Answer::Done | Answer::Frozen(_) | Answer::Started(_) | Answer::Stopped(_),
                    ) => {}
                }
            }
            Effect::Refuse(asker, refusal) => {
                let error = match refusal {
                    Refusal::Lifecycle(error) => error.into(),
                    Refusal::Refused(refused) => refused.into(),
                    Refusal::Build { attempt } => self
                        .build_errors
                        .remove(&attempt)
                        .unwrap_or(Error::Unreachable("a start failed without an error")),
                };
                match self.askers.remove(&asker) {
                    Some(Reply::Done(reply)) => drop(reply.send(Err(error))),
                    Some(Reply::Frozen(reply)) => drop(reply.send(Err(error))),
                    Some(Reply::Started(reply)) => drop(reply.send(Err(error))),
                    Some(Reply::Stopped(reply)) => drop(reply.send(Err(error))),
                    None => {}
                }
            }
            Effect::Build { .. }
            | Effect::Abandon { .. }
            | Effect::Adopt { .. }
            | Effect::Shut(_)
            | Effect::Open
            | Effect::Quiesce { .. }
            | Effect::Close { .. }
            | Effect::CloseReplaced { .. }
            | Effect::ForgetSecrets
            | Effect::Wake { .. } => {}
        }
    }

    /// Runs `command` for a new asker and gives the future of its answer, and of whether that is in
    /// the trail: recorded as `operation` of `caller`. The commands that give are refused by the
    /// intent that their senders record before; the record never fails one afterwards.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        context: &mut Context<Self>,
        begun: Begun,
        (operation, caller): (Operation, Caller),
        reply: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Reply,
        command: impl FnOnce(Asker) -> Command,
    ) -> impl Future<Output = (Result<T, Error>, bool)> + 'static {
        let (done, answer) = oneshot::channel();
        let asker = self.enlist(reply(done));
        self.apply(context, command(asker));
        let (trail, plane) = (self.trail.clone(), Arc::clone(&self.plane));
        let span = begun.span().clone();
        let answered = async move {
            let _begun = begun;
            let answer = answer.await.unwrap_or(Err(OutcomeUnknown.into()));
            plane.counts.ended(stripe_of_thread(), operation, outcome_of(&answer));
            // A brake has no intent: this is the whole of it.
            let is_brake = matches!(operation, Operation::Stop | Operation::Freeze);
            let stage = if is_brake { Stage::Event } else { Stage::Outcome };
            let record = RecordRef {
                stage,
                outcome: outcome_of(&answer),
                generation: plane.status.load().generation,
                ..RecordRef::event(&caller, operation, plane.clock.wall())
            };
            let audited = trail.brake(&record).await;
            (answer, audited)
        };
        answered.instrument(span)
    }
}

fn outcome_of<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => Outcome::Succeeded,
        Err(error) => Outcome::Failed(ErrorClass::from(error)),
    }
}

fn gate_scope(scope: FreezeScope) -> Scope {
    match scope {
        FreezeScope::All => Scope::All,
        FreezeScope::Writes => Scope::Writes,
    }
}

impl Actor for Lifecycle {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let inherited = core::mem::take(&mut self.inherited);
        if inherited.is_empty() {
            return;
        }
        self.publish();
        self.relabel(self.machine.phase());
        for effect in inherited {
            self.perform(context, effect);
        }
    }
}
