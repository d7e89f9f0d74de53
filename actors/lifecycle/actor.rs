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
use crate::actors::timer::Timer;
use crate::actors::watch::Obituary;
use crate::audit::{Caller, ErrorClass, Operation, Outcome, RecordRef, Stage};
use crate::config::Config;
use crate::error::{Error, OutcomeUnknown, Refused};
use crate::gate::{Scope, ShutTicket};
use crate::limits::{OPEN_DEADLINE, QUIESCE_DEADLINE, REBUILD_BACKOFF_MIN};
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
    /// What the message that is being handled wants to swap to.
    offered: Option<Arc<Config>>,
    /// The attempt under way, and what it is built with: in use once it is adopted, and no sooner.
    building: Option<(u64, Arc<Config>)>,
    /// The newest attempt, and the flag that ends its opening soon.
    abandoned: (u64, Arc<AtomicBool>),
    candidates: HashMap<u64, Candidate>,
    build_errors: HashMap<u64, Error>,
    askers: HashMap<Asker, Reply>,
    next_asker: Asker,
    /// The latest shut that a command has told of.
    seen: ShutTicket,
    replaced: Option<Arc<Generation>>,
    /// What a successor has to do first.
    inherited: Vec<Effect>,
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
    /// The actor. `backend` is a lane of its own: no flood refuses what is said here. A successor
    /// knows only that its predecessor was lost: it shuts the gate, closes what runs and has failed.
    pub(crate) fn new(
        plane: Arc<Plane>,
        trail: Trail,
        backend: Port<BackendActor>,
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
        let seen = plane.gate.latest_shut();
        Self {
            plane,
            trail,
            backend,
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
            seen,
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
        self.abandoned = (attempt, Arc::default());
        let abandoned = Arc::clone(&self.abandoned.1);
        let config = if shares { self.offered.take() } else { self.config.clone() };
        self.building = config.clone().map(|config| (attempt, config));
        let backend = self.backend.clone();
        let timer = self.trail.timer().clone();
        let open = async move {
            let config = config.ok_or(Refused::NotConfigured)?;
            loop {
                let (config, abandoned) = (Arc::clone(&config), Arc::clone(&abandoned));
                let left = Arc::clone(&abandoned);
                let open = OpenCandidate { attempt, config, shares, abandoned };
                match backend.ask(open, OPEN_DEADLINE).await {
                    // It is being built again, and there in a moment.
                    Err(Error::Refused(Refused::Down { retry_after, .. }))
                        if !left.load(Ordering::Acquire) =>
                    {
                        let _ = timer.within(retry_after, core::future::pending::<()>()).await;
                    }
                    opened => return opened,
                }
            }
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

    fn adopt(&mut self, context: &mut Context<Self>, attempt: u64, generation: u64) {
        self.numbers.generation.store(generation, Ordering::Release);
        let building = self.building.take_if(|building| building.0 == attempt);
        let (Some(candidate), Some((_, config))) = (self.candidates.remove(&attempt), building)
        else {
            return;
        };
        self.config = Some(Arc::clone(&config));
        // Ordered before every mutation that callers of the new generation send.
        let adopted = self.backend.ask(Adopt { attempt }, CLOSE_DEADLINE);
        let adopted = adopted.into_actor(self).map(move |adopted, actor, context| {
            let in_use = match actor.machine.phase() {
                Phase::Running | Phase::Frozen(_) => actor.machine.generation() == generation,
                Phase::Draining
                | Phase::Failed(_)
                | Phase::NotConfigured
                | Phase::Starting
                | Phase::Stopped => false,
            };
            // It died with the candidate: its successor has another store, or none.
            if adopted.is_err() && in_use {
                let why = "the backend lost what it had opened";
                actor.apply(context, Command::ActorLost { why });
            }
        });
        context.spawn(adopted);
        self.plane.random.set_cloned_host(config.host.cloned_host);
        self.plane.slots.require_locked(config.host.require_locked_memory);
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

    /// Waits for quiescence, and for the mutation that is under way; says so if the gate does not
    /// get quiet in time, and goes on waiting.
    fn quiesce(&self, context: &mut Context<Self>, round: u64) {
        let quiesce = self.plane.gate.quiesce_owned();
        let timer = self.trail.timer().clone();
        let backend = self.backend.clone();
        let waits_for_mutation = matches!(self.machine.phase(), Phase::Frozen(_));
        let (done, gone) = oneshot::channel();
        let quiet = async move {
            quiesce.await;
            let _ = done.send(());
            if waits_for_mutation {
                // A backend that is gone changes nothing any more.
                let _ = backend.ask(Settle, CLOSE_DEADLINE).await;
            }
        };
        context.spawn(quiet.into_actor(self).map(move |(), actor, context| {
            actor.apply(context, Command::Quiet { round });
        }));
        let late = async move { timer.within(QUIESCE_DEADLINE, gone).await.is_err() };
        context.spawn(late.into_actor(self).map(move |late, actor, context| {
            if late {
                let inside = actor.plane.gate.inside();
                actor.apply(context, Command::Stuck { round, inside });
            }
        }));
    }

    /// Wipes what callers hold, then closes the backend.
    fn close(&mut self, context: &mut Context<Self>, round: u64) {
        let wiped = self.wipe();
        let closed = closed(self.backend.clone(), self.trail.timer().clone());
        context.spawn(closed.into_actor(self).map(move |(), actor, context| {
            // What a change that was under way drew last.
            actor.plane.random.wipe();
            actor.apply(context, Command::Closed { round, wiped });
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
        self.building = None;
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

    /// Runs `command` for a new asker and gives the future of its answer, and of whether that is in
    /// the trail: recorded as `operation` of `caller`. The commands that give are refused by the
    /// intent that their senders record before; the record never fails one afterwards.
    fn ask<T: Send + 'static>(
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
        async move {
            let _begun = begun;
            let answer = answer.await.unwrap_or(Err(OutcomeUnknown.into()));
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
        }
    }
}

/// Has the backend closed, or whatever is built in its place: a successor opens what was in use.
async fn closed(backend: Port<BackendActor>, timer: Timer) {
    loop {
        let pause = match backend.ask(Close, CLOSE_DEADLINE).await {
            Err(Error::Refused(Refused::Down { retry_after, .. })) => retry_after,
            Err(Error::OutcomeUnknown(_)) => REBUILD_BACKOFF_MIN,
            // Closed, or given up for good and its values dropped.
            Ok(()) | Err(_) => return,
        };
        let _ = timer.within(pause, core::future::pending::<()>()).await;
    }
}

/// The answer to a command that gives: where its outcome is not in the trail, its sender must look
/// before it relies on it (guarantee 4).
fn certain<T>((answer, audited): (Result<T, Error>, bool)) -> Result<T, Error> {
    if answer.is_ok() && !audited { Err(OutcomeUnknown.into()) } else { answer }
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
        let (Configure { config, caller }, begun) = begun_or_refused!(delivery);
        match self.machine.phase() {
            Phase::NotConfigured | Phase::Stopped | Phase::Failed(_) => self.config = Some(config),
            Phase::Draining | Phase::Frozen(_) | Phase::Running | Phase::Starting => {}
        }
        let who = (Operation::Configure, caller);
        let answer = self.ask(context, begun, who, Reply::Done, Command::Configure);
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<Start>> for Lifecycle {
    type Result = ResponseFuture<Result<StartReport, Error>>;

    fn handle(&mut self, delivery: Delivery<Start>, context: &mut Context<Self>) -> Self::Result {
        let (Start { seen, caller }, begun) = begun_or_refused!(delivery);
        self.seen = self.seen.max(seen);
        let who = (Operation::Start, caller);
        let answer = self.ask(context, begun, who, Reply::Started, Command::Start);
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<Stop>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<Stop>, context: &mut Context<Self>) {
        let Ok((stop, begun)) = delivery.begin() else {
            return;
        };
        let Stop { drain, shut, caller, done } = stop;
        self.seen = self.seen.max(shut);
        let command = |asker| Command::Stop { drain, asker };
        let who = (Operation::Stop, caller);
        let answer = self.ask(context, begun, who, Reply::Stopped, command);
        self.relabel(self.machine.phase());
        let answer = async {
            let (answer, audited) = answer.await;
            let _ = done.send(answer.map(|report| StopReport { audited, ..report }));
        };
        context.spawn(answer.into_actor(self));
    }
}

impl Handler<Delivery<Freeze>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<Freeze>, context: &mut Context<Self>) {
        let Ok((freeze, begun)) = delivery.begin() else {
            return;
        };
        let Freeze { scope, shut, caller, done } = freeze;
        self.seen = self.seen.max(shut);
        let command = |asker| Command::Freeze { scope, asker };
        let who = (Operation::Freeze, caller);
        let answer = self.ask(context, begun, who, Reply::Done, command);
        // Where it was refused, the shut of its sender left the wrong reason.
        self.relabel(self.machine.phase());
        let answer = async {
            let _ = done.send(answer.await.0);
        };
        context.spawn(answer.into_actor(self));
    }
}

impl Handler<Delivery<Thaw>> for Lifecycle {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Thaw>, context: &mut Context<Self>) -> Self::Result {
        let (Thaw { seen, caller }, begun) = begun_or_refused!(delivery);
        self.seen = self.seen.max(seen);
        let who = (Operation::Thaw, caller);
        let answer = self.ask(context, begun, who, Reply::Done, Command::Thaw);
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<Reconfigure>> for Lifecycle {
    type Result = ResponseFuture<Result<StartReport, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<Reconfigure>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (Reconfigure { config, caller }, begun) = begun_or_refused!(delivery);
        self.offered = Some(config);
        let who = (Operation::Reconfigure, caller);
        let answer = self.ask(context, begun, who, Reply::Started, Command::Reconfigure);
        self.offered = None;
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<ActorLost>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<ActorLost>, context: &mut Context<Self>) {
        let Ok((ActorLost(why), begun)) = delivery.begin() else {
            return;
        };
        self.apply(context, Command::ActorLost { why });
        let (trail, plane) = (self.trail.clone(), Arc::clone(&self.plane));
        let recorded = async move {
            let _begun = begun;
            let caller = Caller::engine();
            let record = RecordRef {
                outcome: Outcome::Failed(ErrorClass::Failed),
                generation: plane.status.load().generation,
                ..RecordRef::event(&caller, Operation::Stop, plane.clock.wall())
            };
            trail.brake(&record).await;
        };
        context.spawn(recorded.into_actor(self));
    }
}

/// How long the backend may take to close. A stop is answered at its own deadline before that.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3600);
