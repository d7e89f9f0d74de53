//! The lifecycle actor: mailbox to command, effect to reply.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;

use super::messages::{ActorLost, Configure, Freeze, Reconfigure, Start, Stop, Thaw};
use super::state::{Answer, Asker, Command, Effect, InFlight, Machine, Refusal};
use crate::actors::audit::Trail;
use crate::actors::backend::{
    Abandon, Adopt, BackendActor, Candidate, Close, CloseReplaced, OpenCandidate, Settle,
};
use crate::actors::port::{Begun, Delivery, Port};
use crate::actors::watch::Obituary;
use crate::audit::{Caller, ErrorClass, Operation, Outcome, RecordRef, Stage};
use crate::config::Config;
use crate::error::{Error, OutcomeUnknown, Refused};
use crate::gate::{Scope, ShutTicket};
use crate::limits::{ASK_DEADLINE, OPEN_DEADLINE, QUIESCE_DEADLINE};
use crate::plane::{Generation, Plane};
use crate::status::{FreezeScope, Phase, StartReport, Status, StopReport};

/// Owns the state machine and the gate's lever.
pub(crate) struct Lifecycle {
    plane: Arc<Plane>,
    trail: Trail,
    backend: Port<BackendActor>,
    machine: Machine,
    numbers: Arc<Numbers>,
    /// What the next start uses.
    config: Option<Arc<Config>>,
    /// What a reconfiguration under way swaps to.
    next_config: Option<Arc<Config>>,
    abandoned: Arc<AtomicBool>,
    candidates: HashMap<u64, Candidate>,
    build_errors: HashMap<u64, Error>,
    askers: HashMap<Asker, Reply>,
    next_asker: Asker,
    /// The latest shut that a command has told of.
    seen: ShutTicket,
    replaced: Option<Arc<Generation>>,
    _obituary: Obituary,
}

/// What outlives the actor's value.
#[derive(Default)]
pub(crate) struct Numbers {
    generation: AtomicU64,
    attempts: AtomicU64,
    was_built: AtomicBool,
}

/// Who is answered, by kind of answer.
enum Reply {
    Done(oneshot::Sender<Result<(), Error>>),
    Started(oneshot::Sender<Result<StartReport, Error>>),
    Stopped(oneshot::Sender<Result<StopReport, Error>>),
}

impl Lifecycle {
    /// The actor. A successor knows only that its predecessor was lost: it shuts the gate and has
    /// failed.
    pub(crate) fn new(
        plane: Arc<Plane>,
        trail: Trail,
        backend: Port<BackendActor>,
        numbers: Arc<Numbers>,
        obituary: Obituary,
    ) -> Self {
        let is_successor = numbers.was_built.swap(true, Ordering::AcqRel);
        let machine = if is_successor {
            plane.gate.shut(Scope::All, Phase::Failed("").refusal_code());
            let generation = numbers.generation.load(Ordering::Acquire);
            Machine::after_loss(generation, numbers.attempts.load(Ordering::Acquire))
        } else {
            Machine::new()
        };
        let seen = plane.gate.latest_shut();
        let mut actor = Self {
            plane,
            trail,
            backend,
            machine,
            numbers,
            config: None,
            next_config: None,
            abandoned: Arc::default(),
            candidates: HashMap::new(),
            build_errors: HashMap::new(),
            askers: HashMap::new(),
            next_asker: 0,
            seen,
            replaced: None,
            _obituary: obituary,
        };
        if is_successor {
            actor.wipe();
            actor.publish();
        }
        actor
    }

    fn enlist(&mut self, reply: Reply) -> Asker {
        self.next_asker += 1;
        self.askers.insert(self.next_asker, reply);
        self.next_asker
    }

    fn apply(&mut self, context: &mut Context<Self>, command: Command) {
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

    /// Makes the gate's refusals say what state the engine is in.
    fn relabel(&mut self, phase: Phase) {
        match phase {
            Phase::Running | Phase::Frozen(_) => {}
            Phase::Draining
            | Phase::Failed(_)
            | Phase::NotConfigured
            | Phase::Starting
            | Phase::Stopped => {
                self.seen = self.plane.gate.shut(Scope::All, phase.refusal_code());
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
                self.abandoned.store(true, Ordering::Release);
                self.candidates.remove(&attempt);
                // Opening looks at the flag; what is open already goes with this. A mailbox that is
                // full drops the candidate with the next one.
                let _ = self.backend.tell(Abandon { attempt });
            }
            Effect::Adopt { attempt, generation } => self.adopt(attempt, generation),
            Effect::Shut(scope) => {
                let code = self.machine.phase().refusal_code();
                self.seen = self.plane.gate.shut(gate_scope(scope), code);
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
            Effect::Wake { round, at } => {
                let after = at.since(self.plane.clock.boot());
                context.run_later(after, move |actor, context| {
                    actor.apply(context, Command::DeadlineDue { round });
                });
            }
        }
    }

    fn build(&mut self, context: &mut Context<Self>, attempt: u64, shares: bool) {
        self.numbers.attempts.fetch_max(attempt, Ordering::AcqRel);
        self.abandoned = Arc::default();
        let abandoned = Arc::clone(&self.abandoned);
        let config = if shares { self.next_config.clone() } else { self.config.clone() };
        let backend = self.backend.clone();
        let open = async move {
            let config = config.ok_or(Refused::NotConfigured)?;
            let open = OpenCandidate { attempt, config, shares, abandoned };
            backend.ask(open, OPEN_DEADLINE).await
        };
        let opened = open.into_actor(self).map(move |opened, actor, context| match opened {
            Ok(candidate) => {
                actor.candidates.insert(attempt, candidate);
                actor.apply(context, Command::Built { attempt });
            }
            Err(error) => {
                actor.build_errors.insert(attempt, error);
                let why = "the backend could not be opened";
                actor.apply(context, Command::BuildFailed { attempt, why });
                actor.build_errors.remove(&attempt);
            }
        });
        context.spawn(opened);
    }

    fn adopt(&mut self, attempt: u64, generation: u64) {
        self.numbers.generation.store(generation, Ordering::Release);
        if let Some(config) = self.next_config.take() {
            self.config = Some(config);
        }
        let (Some(candidate), Some(config)) = (self.candidates.remove(&attempt), &self.config)
        else {
            return;
        };
        // Ordered before every mutation that callers of the new generation send.
        let _ = self.backend.tell(Adopt { attempt });
        self.plane.random.set_cloned_host(config.host.cloned_host);
        let published = Generation {
            number: generation,
            keys: candidate.keys,
            backend: candidate.backend,
            capabilities: candidate.capabilities,
            release: config.audit.release,
            default_key: config.default_key.clone(),
            cloned_host: config.host.cloned_host,
        };
        self.replaced = self.plane.publish(Arc::new(published));
    }

    /// Waits for quiescence, and for the mutation that is under way; says so if that takes too
    /// long, and goes on waiting.
    fn quiesce(&self, context: &mut Context<Self>, round: u64) {
        let gate = Arc::clone(&self.plane.gate);
        let timer = self.trail.timer().clone();
        let backend = self.backend.clone();
        let waits_for_mutation = matches!(self.machine.phase(), Phase::Frozen(_));
        let quiet = async move {
            gate.quiesce_owned().await;
            if waits_for_mutation {
                // A backend that is gone changes nothing any more.
                let _ = backend.ask(Settle, ASK_DEADLINE).await;
            }
        };
        let (done, answer) = oneshot::channel();
        context.spawn(quiet.into_actor(self).map(move |(), actor, context| {
            let _ = done.send(());
            actor.apply(context, Command::Quiet { round });
        }));
        let late = async move { timer.within(QUIESCE_DEADLINE, answer).await.is_err() };
        context.spawn(late.into_actor(self).map(move |late, actor, context| {
            let inside = actor.plane.gate.inside();
            // Nothing inside and still not quiet: a mutation that takes its time.
            if late && inside > 0 {
                actor.apply(context, Command::Stuck { round, inside });
            }
        }));
    }

    /// Wipes what callers hold, then closes the backend.
    fn close(&mut self, context: &mut Context<Self>, round: u64) {
        let wiped = self.wipe();
        let backend = self.backend.clone();
        let (trail, plane) = (self.trail.clone(), Arc::clone(&self.plane));
        let generation = self.machine.generation();
        let closed = async move {
            // Late or lost, the mutation under way is finished or not; both are durable states.
            let closed = backend.ask(Close, CLOSE_DEADLINE).await;
            let outcome = outcome_of(&closed);
            let caller = Caller::engine();
            let record = RecordRef {
                outcome,
                generation,
                ..RecordRef::event(&caller, Operation::Stop, plane.clock.wall())
            };
            trail.brake(&record).await
        };
        context.spawn(closed.into_actor(self).map(move |audited, actor, context| {
            actor.apply(context, Command::Closed { round, wiped, audited });
        }));
    }

    /// Wipes every key that callers hold and withdraws the generation; how many keys that were.
    fn wipe(&mut self) -> u64 {
        let cut = self.plane.operations.cut(Refused::Draining);
        let leases = self.plane.slots.wipe();
        self.plane.random.wipe();
        for generation in self.plane.withdraw().into_iter().chain(self.replaced.take()) {
            generation.keys.withdraw();
        }
        self.candidates.clear();
        let _ = self.plane.withdraw();
        cut + leases
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(asker, answer) => {
                match (self.askers.remove(&asker), answer) {
                    (Some(Reply::Done(reply)), Answer::Done) => drop(reply.send(Ok(()))),
                    (Some(Reply::Started(reply)), Answer::Started(report)) => {
                        drop(reply.send(Ok(report)));
                    }
                    (Some(Reply::Stopped(reply)), Answer::Stopped(report)) => {
                        drop(reply.send(Ok(report)));
                    }
                    // An asker that has gone, or a bug that its dropped reply tells of.
                    (_, Answer::Done | Answer::Started(_) | Answer::Stopped(_)) => {}
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
            | Effect::Wake { .. } => {}
        }
    }

    /// Runs `command` for a new asker and gives the future of its answer, recorded as `operation`.
    fn ask<T: Send + 'static>(
        &mut self,
        context: &mut Context<Self>,
        begun: Begun,
        operation: Operation,
        reply: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Reply,
        command: impl FnOnce(Asker) -> Command,
    ) -> ResponseFuture<Result<T, Error>> {
        let (done, answer) = oneshot::channel();
        let asker = self.enlist(reply(done));
        self.apply(context, command(asker));
        let (trail, plane) = (self.trail.clone(), Arc::clone(&self.plane));
        Box::pin(async move {
            let _begun = begun;
            let answer = answer.await.unwrap_or(Err(OutcomeUnknown.into()));
            if operation != Operation::Stop {
                record(&trail, &plane, operation, outcome_of(&answer)).await;
            }
            answer
        })
    }
}

/// Records what a lifecycle command came to. The commands that give are refused by the intent that
/// their senders record before; this never fails them afterwards.
async fn record(trail: &Trail, plane: &Plane, operation: Operation, outcome: Outcome) {
    let caller = Caller::engine();
    let record = RecordRef {
        stage: Stage::Outcome,
        outcome,
        generation: plane.status.load().generation,
        ..RecordRef::event(&caller, operation, plane.clock.wall())
    };
    trail.brake(&record).await;
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
}

/// Refuses a message that must not begin.
macro_rules! begun_or_refused {
    ($delivery:expr) => {
        match $delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        }
    };
}

impl Handler<Delivery<Configure>> for Lifecycle {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<Configure>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (Configure(config), begun) = begun_or_refused!(delivery);
        match self.machine.phase() {
            Phase::NotConfigured | Phase::Stopped | Phase::Failed(_) => self.config = Some(config),
            Phase::Draining | Phase::Frozen(_) | Phase::Running | Phase::Starting => {}
        }
        self.ask(context, begun, Operation::Configure, Reply::Done, Command::Configure)
    }
}

impl Handler<Delivery<Start>> for Lifecycle {
    type Result = ResponseFuture<Result<StartReport, Error>>;

    fn handle(&mut self, delivery: Delivery<Start>, context: &mut Context<Self>) -> Self::Result {
        let (Start, begun) = begun_or_refused!(delivery);
        self.seen = self.plane.gate.latest_shut();
        self.ask(context, begun, Operation::Start, Reply::Started, Command::Start)
    }
}

impl Handler<Delivery<Stop>> for Lifecycle {
    type Result = ResponseFuture<Result<StopReport, Error>>;

    fn handle(&mut self, delivery: Delivery<Stop>, context: &mut Context<Self>) -> Self::Result {
        let (Stop { drain, shut }, begun) = begun_or_refused!(delivery);
        self.seen = self.seen.max(shut);
        let command = |asker| Command::Stop { drain, asker };
        let answer = self.ask(context, begun, Operation::Stop, Reply::Stopped, command);
        self.relabel(self.machine.phase());
        answer
    }
}

impl Handler<Delivery<Freeze>> for Lifecycle {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Freeze>, context: &mut Context<Self>) -> Self::Result {
        let (Freeze { scope, shut }, begun) = begun_or_refused!(delivery);
        self.seen = self.seen.max(shut);
        let command = |asker| Command::Freeze { scope, asker };
        let answer = self.ask(context, begun, Operation::Freeze, Reply::Done, command);
        // Where it was refused, the shut of its sender left the wrong reason.
        self.relabel(self.machine.phase());
        answer
    }
}

impl Handler<Delivery<Thaw>> for Lifecycle {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Thaw>, context: &mut Context<Self>) -> Self::Result {
        let (Thaw, begun) = begun_or_refused!(delivery);
        self.seen = self.plane.gate.latest_shut();
        self.ask(context, begun, Operation::Thaw, Reply::Done, Command::Thaw)
    }
}

impl Handler<Delivery<Reconfigure>> for Lifecycle {
    type Result = ResponseFuture<Result<StartReport, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<Reconfigure>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (Reconfigure(config), begun) = begun_or_refused!(delivery);
        if self.machine.phase() == Phase::Running {
            self.next_config = Some(config);
        }
        self.ask(context, begun, Operation::Reconfigure, Reply::Started, Command::Reconfigure)
    }
}

impl Handler<Delivery<ActorLost>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<ActorLost>, context: &mut Context<Self>) {
        if let Ok((ActorLost(why), _begun)) = delivery.begin() {
            self.apply(context, Command::ActorLost { why });
        }
    }
}

/// How long the backend may take to close. A stop is answered at its own deadline before that.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3600);
