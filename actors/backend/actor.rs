//! The backend actor: mailbox to state, effect to reply.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::messages::{
    Abandon, Adopt, Candidate, Close, CloseReplaced, Describe, DescribeVersions, Due, List, Mutate,
    MutationReport, OpenCandidate, ReserveUses, Settle,
};
use super::mutation::{self, Done, Job, Kind};
use super::state::{Directory, Queue};
use crate::actors::audit::Trail;
use crate::actors::port::{Begun, Delivery, Port};
use crate::actors::reaper::{KeyChanged, Reaper};
use crate::actors::watch::Obituary;
use crate::backend::{self, Backend};
use crate::config::Config;
use crate::error::{Error, KeyError, Refused};
use crate::key::table::KeyTable;
use crate::key::{KeyDescription, KeyPage, KeyState, Mutation, VersionDescription};
use crate::limits::REBUILD_BACKOFF_MIN;
use crate::plane::Plane;

/// Owns the connection of one generation, its key table and every change of its keys.
pub(crate) struct BackendActor {
    plane: Arc<Plane>,
    trail: Trail,
    reaper: Port<Reaper>,
    adopted: Adopted,
    live: Option<Live>,
    candidate: Option<(u64, Option<Live>, Arc<Config>)>,
    replaced: Vec<Live>,
    queue: Queue<Job>,
    /// Whether the live backend is away with a mutation.
    busy: bool,
    settling: Vec<oneshot::Sender<Result<(), Error>>>,
    closing: Vec<oneshot::Sender<Result<(), Error>>>,
    /// What is to be opened once the backend is back: it may hold the lock that this one needs.
    opening: Vec<(OpenCandidate, oneshot::Sender<Result<Candidate, Error>>)>,
    _obituary: Obituary,
}

/// What outlives the actor's value, so that its successor opens the same store again.
#[derive(Clone, Default)]
pub(crate) struct Adopted(Arc<Mutex<Option<InUse>>>);

/// A store in use: how it was opened, and where it is published.
#[derive(Clone)]
struct InUse {
    config: Arc<Config>,
    keys: Arc<KeyTable>,
}

/// One backend and what was published of it.
struct Live {
    /// Away while a mutation works with it.
    backend: Option<Box<dyn Backend>>,
    keys: Arc<KeyTable>,
    directory: Directory,
    config: Arc<Config>,
    kind: backend::BackendKind,
    capabilities: backend::Capabilities,
}

impl BackendActor {
    /// The actor. If a predecessor had a store in use, it is opened again and published into the
    /// same table.
    ///
    /// # Errors
    /// Those of opening that store.
    pub(crate) fn new(
        plane: Arc<Plane>,
        trail: Trail,
        reaper: Port<Reaper>,
        adopted: Adopted,
        obituary: Obituary,
    ) -> Result<Self, Error> {
        let before = adopted.get();
        let live = match before {
            Some(InUse { config, keys }) => {
                let backend = open(&plane, &config, &AtomicBool::new(false))?;
                for record in backend.records().values() {
                    keys.publish(record);
                }
                Some(Live::new(backend, Some(keys), config))
            }
            None => None,
        };
        Ok(Self {
            plane,
            trail,
            reaper,
            adopted,
            live,
            candidate: None,
            replaced: Vec::new(),
            queue: Queue::new(),
            busy: false,
            settling: Vec::new(),
            closing: Vec::new(),
            opening: Vec::new(),
            _obituary: obituary,
        })
    }

    fn live(&self) -> Result<&Live, Error> {
        self.live.as_ref().ok_or_else(|| Refused::Stopped.into())
    }

    /// Begins the next mutation, unless one is under way.
    fn pump(&mut self, context: &mut Context<Self>) {
        while !self.busy {
            let Some(job) = self.queue.pop() else { return };
            let Some(live) = &mut self.live else {
                job.refuse(&self.plane, Refused::Stopped);
                continue;
            };
            let Some(backend) = live.backend.take() else {
                job.fail(Error::Unreachable("the backend is away and nobody has it"));
                continue;
            };
            self.busy = true;
            let span = job.span();
            let carried =
                mutation::carry_out(Arc::clone(&self.plane), self.trail.clone(), backend, job);
            let carried = carried.instrument(span);
            let keys = Arc::clone(&live.keys);
            let done = carried.into_actor(self).map(move |done, actor, context| {
                actor.came_back(done, &keys);
                actor.pump(context);
            });
            context.spawn(done);
        }
    }

    /// The backend is back from a mutation.
    fn came_back(&mut self, done: Done, keys: &Arc<KeyTable>) {
        self.busy = false;
        let Done { backend, record, finish } = done;
        let lives = self.live.iter_mut().chain(&mut self.replaced);
        if let Some(live) = lives.into_iter().find(|live| Arc::ptr_eq(&live.keys, keys)) {
            live.backend = Some(backend);
            if let Some(record) = &record {
                live.keys.publish(record);
                live.directory.put(record);
                if super::state::is_rotation_due(record, self.plane.clock.wall()) {
                    // It looks by itself later, should it not hear this.
                    let _ = self.reaper.tell(KeyChanged);
                }
            }
        }
        finish.spawn();
        for settled in self.settling.drain(..) {
            let _ = settled.send(Ok(()));
        }
        if !self.closing.is_empty() {
            self.close_now();
        }
        for (open, opened) in core::mem::take(&mut self.opening) {
            let _ = opened.send(self.open_candidate(open));
        }
    }

    fn close_now(&mut self) {
        for job in self.queue.drain() {
            job.refuse(&self.plane, Refused::Draining);
        }
        self.adopted.set(None);
        for live in self.live.take().into_iter().chain(self.replaced.drain(..)) {
            live.keys.withdraw();
        }
        self.candidate = None;
        for closed in self.closing.drain(..) {
            let _ = closed.send(Ok(()));
        }
    }

    fn enqueue(&mut self, context: &mut Context<Self>, is_brake: bool, job: Job) {
        match (&self.live, &self.candidate) {
            (None, _) => job.refuse(&self.plane, Refused::Stopped),
            // Another store is loaded: what changed here now would be missing there. Use counts are
            // this store's own, and callers wait for them.
            (Some(_), Some((_, Some(_), _))) if matches!(job.kind, Kind::Asked { .. }) => {
                let retry_after = REBUILD_BACKOFF_MIN;
                job.refuse(&self.plane, Refused::Down { actor: "backend", retry_after });
            }
            (Some(_), _) => {
                self.queue.push(is_brake, job);
                self.pump(context);
            }
        }
    }
}

impl Actor for BackendActor {
    type Context = Context<Self>;
}

impl Adopted {
    fn get(&self) -> Option<InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, adopted: Option<InUse>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = adopted;
    }
}

impl Live {
    fn new(backend: Box<dyn Backend>, keys: Option<Arc<KeyTable>>, config: Arc<Config>) -> Self {
        let records = backend.records();
        let keys = keys.unwrap_or_else(|| Arc::new(KeyTable::of(records.values())));
        Self {
            keys,
            directory: Directory::of(records),
            config,
            kind: backend.kind(),
            capabilities: backend.capabilities(),
            backend: Some(backend),
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            keys: Arc::clone(&self.keys),
            backend: self.kind,
            capabilities: self.capabilities,
        }
    }
}

fn open(plane: &Plane, config: &Config, abandoned: &AtomicBool) -> Result<Box<dyn Backend>, Error> {
    backend::open(&config.backend, &plane.random, abandoned)
}

impl Handler<Delivery<OpenCandidate>> for BackendActor {
    type Result = ResponseFuture<Result<Candidate, Error>>;

    fn handle(&mut self, delivery: Delivery<OpenCandidate>, _: &mut Context<Self>) -> Self::Result {
        let (open, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        if self.busy {
            self.opening.push((open, done));
        } else {
            let _ = done.send(self.open_candidate(open));
        }
        answered(begun, answer)
    }
}

impl BackendActor {
    fn open_candidate(&mut self, wanted: OpenCandidate) -> Result<Candidate, Error> {
        let OpenCandidate { attempt, config, shares, abandoned } = wanted;
        if abandoned.load(Ordering::Acquire) {
            return Err(Refused::Late.into());
        }
        // The earlier candidate goes first: it may hold the lock that this one needs. So may what a
        // successor has opened again of an engine that has failed since.
        self.candidate = None;
        if !shares {
            self.close_now();
        }
        if shares
            && let Some(live) = &self.live
            && live.config.backend.is_same_store(&config.backend)
        {
            backend::check_successor(&config.backend, &live.config.backend)?;
            let candidate = live.candidate();
            self.candidate = Some((attempt, None, config));
            return Ok(candidate);
        }
        let backend = open(&self.plane, &config, &abandoned)?;
        let live = Live::new(backend, None, Arc::clone(&config));
        let candidate = live.candidate();
        self.candidate = Some((attempt, Some(live), config));
        Ok(candidate)
    }
}

impl Handler<Delivery<Adopt>> for BackendActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<Adopt>, _: &mut Context<Self>) -> Self::Result {
        let (Adopt { attempt }, _begun) = delivery.begin()?;
        let Some((_, live, config)) = self.candidate.take_if(|candidate| candidate.0 == attempt)
        else {
            return Err(Error::Unreachable("the candidate is gone"));
        };
        match (live, &mut self.live) {
            (Some(live), current) => self.replaced.extend(current.replace(live)),
            (None, Some(live)) => live.config = config,
            (None, None) => {}
        }
        let in_use =
            |live: &Live| InUse { config: Arc::clone(&live.config), keys: Arc::clone(&live.keys) };
        self.adopted.set(self.live.as_ref().map(in_use));
        Ok(())
    }
}

impl Handler<Delivery<Abandon>> for BackendActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<Abandon>, _: &mut Context<Self>) -> Self::Result {
        let (Abandon { attempt }, _begun) = delivery.begin()?;
        self.candidate.take_if(|candidate| candidate.0 == attempt);
        Ok(())
    }
}

impl Handler<Delivery<CloseReplaced>> for BackendActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<CloseReplaced>, _: &mut Context<Self>) -> Self::Result {
        let (CloseReplaced, _begun) = delivery.begin()?;
        for replaced in self.replaced.drain(..) {
            replaced.keys.withdraw();
        }
        Ok(())
    }
}

impl Handler<Delivery<Close>> for BackendActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Close>, _: &mut Context<Self>) -> Self::Result {
        let (Close, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        self.closing.push(done);
        for job in self.queue.drain() {
            job.refuse(&self.plane, Refused::Draining);
        }
        if !self.busy {
            self.close_now();
        }
        answered(begun, answer)
    }
}

impl Handler<Delivery<Settle>> for BackendActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Settle>, _: &mut Context<Self>) -> Self::Result {
        let (Settle, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        if self.busy {
            self.settling.push(done);
        } else {
            let _ = done.send(Ok(()));
        }
        answered(begun, answer)
    }
}

impl Handler<Delivery<Mutate>> for BackendActor {
    type Result = ResponseFuture<Result<MutationReport, Error>>;

    fn handle(&mut self, delivery: Delivery<Mutate>, context: &mut Context<Self>) -> Self::Result {
        let (Mutate { caller, id, mutation }, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        let is_brake = mutation.is_brake();
        let span = begun.span().clone();
        let job = Job { id, mutation, kind: Kind::Asked { caller, span, done } };
        self.enqueue(context, is_brake, job);
        answered(begun, answer)
    }
}

impl Handler<Delivery<ReserveUses>> for BackendActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<ReserveUses>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (ReserveUses { id }, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        match self.next_block(&id) {
            Ok(Some(mutation)) => {
                let job = Job { id, mutation, kind: Kind::Supply { done } };
                // Callers wait for it, and it is never audited: before changes that people make.
                self.enqueue(context, true, job);
            }
            Ok(None) => drop(done.send(Ok(()))),
            Err(error) => drop(done.send(Err(error))),
        }
        answered(begun, answer)
    }
}

impl BackendActor {
    /// The reservation that the key needs, if it needs one.
    fn next_block(&self, id: &crate::key::KeyId) -> Result<Option<Mutation>, Error> {
        let live = self.live()?;
        let record = live.directory.record(id)?;
        if record.state == KeyState::Destroyed {
            return Err(KeyError::Destroyed.into());
        }
        let soft_limit = record.policy.rotate_at_uses;
        live.keys.with(id, |cell| {
            let cell = cell.ok_or(KeyError::NotFound)?;
            let view = cell.view();
            let Some((version, uses)) = view.current_uses() else {
                // Withdrawn by a stop that is closing, or without material for good.
                let refused: Error = match self.plane.generation() {
                    None => Refused::Draining.into(),
                    Some(_) => KeyError::Destroyed.into(),
                };
                return Err(refused);
            };
            if !uses.is_low() {
                return Ok(None);
            }
            // Past the key's own limit only once that is drawn: reserving more is what makes the
            // rotation due.
            if soft_limit == Some(uses.reserved()) && uses.drawn() < uses.reserved() {
                return Ok(None);
            }
            let up_to = uses.next_total(soft_limit).ok_or(KeyError::UsesExhausted)?;
            Ok(Some(Mutation::ReserveUses { version, up_to }))
        })
    }
}

impl Handler<Delivery<Describe>> for BackendActor {
    type Result = Result<KeyDescription, Error>;

    fn handle(&mut self, delivery: Delivery<Describe>, _: &mut Context<Self>) -> Self::Result {
        let (Describe { id }, _begun) = delivery.begin()?;
        self.live()?.directory.describe(&id)
    }
}

impl Handler<Delivery<DescribeVersions>> for BackendActor {
    type Result = Result<Vec<VersionDescription>, Error>;

    fn handle(
        &mut self,
        delivery: Delivery<DescribeVersions>,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let (DescribeVersions { id }, _begun) = delivery.begin()?;
        self.live()?.directory.describe_versions(&id)
    }
}

impl Handler<Delivery<List>> for BackendActor {
    type Result = Result<KeyPage, Error>;

    fn handle(&mut self, delivery: Delivery<List>, _: &mut Context<Self>) -> Self::Result {
        let (List { after, limit }, _begun) = delivery.begin()?;
        Ok(self.live()?.directory.list(after.as_ref(), limit))
    }
}

impl Handler<Delivery<Due>> for BackendActor {
    type Result = Result<Vec<(crate::key::KeyId, Mutation)>, Error>;

    fn handle(&mut self, delivery: Delivery<Due>, _: &mut Context<Self>) -> Self::Result {
        let (Due { now }, _begun) = delivery.begin()?;
        Ok(self.live()?.directory.due(now))
    }
}

/// The answer that somebody will send, holding the message's place until then.
fn answered<T: Send + 'static>(
    begun: Begun,
    answer: oneshot::Receiver<Result<T, Error>>,
) -> ResponseFuture<Result<T, Error>> {
    Box::pin(async move {
        let _begun = begun;
        answer.await.unwrap_or_else(|_lost| Err(crate::error::OutcomeUnknown.into()))
    })
}
