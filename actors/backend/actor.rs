//! The backend actor: its changes, one after the other, and its end.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, SpawnHandle, WrapFuture,
};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::candidate::Succession;
use super::messages::{Candidate, Close, Mutate, MutationReport, Settle};
use super::mutation::{self, Away, Done, Job, Kind, Returned};
use super::remote::UnderWay;
use super::state::{Directory, Queue};
use crate::actors::audit::Trail;
use crate::actors::port::{Begun, Delivery, Port};
use crate::actors::reaper::{KeyChanged, Reaper};
use crate::actors::watch::Obituary;
use crate::backend::{Backend, BackendKind, Capabilities, Means, Remote, Watcher};
use crate::config::Config;
use crate::error::{Error, Refused};
use crate::key::KeyRecord;
use crate::key::table::KeyTable;
use crate::limits::REBUILD_BACKOFF_MIN;
use crate::plane::Plane;

/// Owns the connection of one generation, its key table and every change of its keys.
pub(crate) struct BackendActor {
    pub(super) plane: Arc<Plane>,
    pub(super) trail: Trail,
    pub(super) means: Means,
    reaper: Port<Reaper>,
    pub(super) adopted: Adopted,
    pub(super) live: Option<Live>,
    pub(super) replaced: Vec<Live>,
    pub(super) succession: Succession,
    pub(super) queue: Queue<Job>,
    /// Whether a backend is away with a change.
    pub(super) busy: bool,
    /// What ends that change without its outcome: a close does not wait for a store elsewhere.
    cut_off: Option<oneshot::Sender<()>>,
    settling: Vec<oneshot::Sender<Result<(), Error>>>,
    closing: Vec<oneshot::Sender<Result<(), Error>>>,
    /// Calls that use keys beyond this process.
    pub(super) under_way: UnderWay,
    /// The next look for others' changes.
    pub(super) watching: Option<SpawnHandle>,
    /// Looks for unknown keys since the last one for all.
    pub(super) looks: u32,
    pub(super) obituary: Obituary,
}

/// What outlives the actor's value, so that its successor opens the same store again.
#[derive(Clone, Default)]
pub(crate) struct Adopted(Arc<Mutex<Option<InUse>>>);

/// A store in use: how it was opened, and where it is published.
#[derive(Clone)]
pub(super) struct InUse {
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<KeyTable>,
}

/// One backend and what was published of it.
pub(super) struct Live {
    /// Away while a change works with it.
    pub(super) backend: Option<Box<dyn Backend>>,
    pub(super) keys: Arc<KeyTable>,
    pub(super) directory: Directory,
    pub(super) config: Arc<Config>,
    pub(super) kind: BackendKind,
    capabilities: Capabilities,
    pub(super) remote: Option<Arc<dyn Remote>>,
    pub(super) watcher: Option<Watcher>,
    /// What looks found while the backend was away.
    pub(super) found: Vec<Arc<KeyRecord>>,
}

impl BackendActor {
    /// The actor. If a predecessor had a store in use, it is opened again, beside the messages, and
    /// published into the same table.
    pub(crate) fn new(
        plane: Arc<Plane>,
        trail: Trail,
        means: Means,
        reaper: Port<Reaper>,
        adopted: Adopted,
        obituary: Obituary,
    ) -> Self {
        Self {
            plane,
            trail,
            means,
            reaper,
            adopted,
            live: None,
            replaced: Vec::new(),
            succession: Succession::default(),
            queue: Queue::new(),
            busy: false,
            cut_off: None,
            settling: Vec::new(),
            closing: Vec::new(),
            under_way: UnderWay::default(),
            watching: None,
            looks: 0,
            obituary,
        }
    }

    /// The store in use.
    ///
    /// # Errors
    /// [`Refused::Down`] while it is being opened again, [`Refused::Stopped`] if there is none.
    pub(super) fn live(&self) -> Result<&Live, Error> {
        self.live.as_ref().ok_or_else(|| match self.succession.opens_again() {
            true => DOWN.into(),
            false => Refused::Stopped.into(),
        })
    }

    /// Goes on with whatever waited for the backend to come back, or for an opening to end.
    pub(super) fn advance(&mut self, context: &mut Context<Self>) {
        if self.busy {
            return;
        }
        for settled in self.settling.drain(..) {
            let _ = settled.send(Ok(()));
        }
        self.present(context);
        if !self.closing.is_empty() {
            self.close_stores();
            // What is being opened holds keys too.
            if !self.succession.is_opening() {
                for closed in self.closing.drain(..) {
                    let _ = closed.send(Ok(()));
                }
            }
        }
        self.begin_wanted(context);
        self.pump(context);
    }

    /// Begins the next change, unless one is under way.
    fn pump(&mut self, context: &mut Context<Self>) {
        // What waits for the store to be open again goes on waiting.
        while !self.busy && !self.succession.opens_again() {
            let Some(job) = self.queue.pop() else { return };
            let Some(live) = &mut self.live else {
                job.refuse(&self.plane, Refused::Stopped);
                continue;
            };
            let Some(backend) = live.backend.take() else {
                job.fail(Error::Unreachable("the backend is away and nobody has it"));
                continue;
            };
            let in_use = Away { keys: Arc::clone(&live.keys), backend };
            // A brake must not be undone by the swap.
            let next = if job.is_brake() { self.succession.lend() } else { None };
            self.busy = true;
            let span = job.span();
            let (plane, trail) = (Arc::clone(&self.plane), self.trail.clone());
            let carried = mutation::carry_out(plane, trail, in_use, next, job);
            let (cut_off, cut) = oneshot::channel();
            self.cut_off = Some(cut_off);
            let carried = unless_cut_off(carried.instrument(span), cut);
            let done = carried.into_actor(self).map(|done, actor, context| {
                actor.cut_off = None;
                match done {
                    Some(done) => actor.came_back(done),
                    // Its backend went with it, and with that went whoever asked: the outcome of
                    // the change is unknown.
                    None => actor.busy = false,
                }
                actor.advance(context);
            });
            context.spawn(done);
        }
    }

    /// The backends are back from a change.
    fn came_back(&mut self, done: Done) {
        self.busy = false;
        let Done { in_use, next, next_failed, brake, finish } = done;
        self.put_back(in_use);
        match next {
            Some(next) => {
                if next_failed {
                    self.succession.refuse(&next.keys);
                }
                self.put_back(next);
            }
            None => self.succession.note(brake),
        }
        finish.spawn();
    }

    /// Publishes what the change came to.
    fn put_back(&mut self, returned: Returned) {
        let Returned { keys, backend, record } = returned;
        let candidate = self.succession.ready_mut();
        let mut lives = self.live.iter_mut().chain(&mut self.replaced).chain(candidate);
        let Some(live) = lives.find(|live| Arc::ptr_eq(&live.keys, &keys)) else {
            return;
        };
        live.backend = Some(backend);
        let mut changed = live.publish_found();
        if let Some(record) = &record
            && live.publish(record)
        {
            changed.push(record.id.clone());
        }
        for changed in changed {
            self.under_way.changed(&changed);
        }
        let Some(record) = &record else { return };
        if super::state::is_rotation_due(record, self.plane.clock.wall()) {
            // It looks by itself later, should it not hear this.
            let _ = self.reaper.tell(KeyChanged);
        }
    }

    /// Closes what is open. Nothing is under way.
    pub(super) fn close_stores(&mut self) {
        self.refuse_queued(Refused::Draining);
        self.under_way.close();
        self.adopted.set(None);
        for live in self.live.take().into_iter().chain(self.replaced.drain(..)) {
            live.keys.withdraw();
        }
        self.succession.forget_ready();
    }

    fn refuse_queued(&mut self, why: Refused) {
        for job in self.queue.drain() {
            job.refuse(&self.plane, why);
        }
    }

    /// Refuses the changes that wait: another store is wanted, and they would be missing there.
    pub(super) fn refuse_changes(&mut self) {
        for job in self.queue.drain_others() {
            job.refuse(&self.plane, DOWN);
        }
    }

    pub(super) fn enqueue(&mut self, context: &mut Context<Self>, job: Job) {
        // Callers wait for use counts, which are never audited: before changes that people make.
        let goes_first = job.is_brake() || matches!(job.kind, Kind::Supply { .. });
        if self.live.is_none() && !self.succession.opens_again() {
            job.refuse(&self.plane, Refused::Stopped);
        } else if self.succession.loads_another() && !goes_first {
            job.refuse(&self.plane, DOWN);
        } else {
            self.queue.push(goes_first, job);
            self.pump(context);
        }
    }
}

impl Actor for BackendActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(in_use) = self.adopted.get() {
            self.open_again(context, in_use);
        }
    }
}

impl Adopted {
    /// Leaves a successor nothing to open.
    pub(crate) fn forget(&self) {
        self.set(None);
    }

    pub(super) fn get(&self) -> Option<InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, adopted: Option<InUse>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = adopted;
    }
}

impl Live {
    /// `backend`, published into `keys` later or into a table of its own now.
    pub(super) fn new(
        backend: Box<dyn Backend>,
        keys: Option<Arc<KeyTable>>,
        config: Arc<Config>,
    ) -> Self {
        let records = backend.records();
        let keys = keys.unwrap_or_else(|| Arc::new(KeyTable::of(records.values())));
        Self {
            keys,
            directory: Directory::of(records),
            config,
            kind: backend.kind(),
            capabilities: backend.capabilities(),
            remote: backend.remote(),
            watcher: backend.watcher(),
            found: Vec::new(),
            backend: Some(backend),
        }
    }

    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            keys: Arc::clone(&self.keys),
            backend: self.kind,
            capabilities: self.capabilities,
        }
    }
}

impl Handler<Delivery<Close>> for BackendActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Close>, context: &mut Context<Self>) -> Self::Result {
        let (Close, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        self.closing.push(done);
        self.refuse_queued(Refused::Draining);
        self.under_way.close();
        if self.live.as_ref().is_some_and(|live| live.capabilities.shared)
            && let Some(cut_off) = self.cut_off.take()
        {
            let _ = cut_off.send(());
        }
        self.succession.abandon_all();
        self.advance(context);
        answered(begun, answer)
    }
}

impl Handler<Delivery<Settle>> for BackendActor {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Settle>, context: &mut Context<Self>) -> Self::Result {
        let (Settle, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let (done, answer) = oneshot::channel();
        self.settling.push(done);
        self.advance(context);
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
        let span = begun.span().clone();
        self.enqueue(context, Job { id, mutation, kind: Kind::Asked { caller, span, done } });
        answered(begun, answer)
    }
}

/// What `work` comes to; `None` if it was cut off before.
async fn unless_cut_off<T>(work: impl Future<Output = T>, cut: oneshot::Receiver<()>) -> Option<T> {
    let cut = async {
        if cut.await.is_err() {
            // Nobody will cut it off any more.
            core::future::pending::<()>().await;
        }
    };
    let (mut work, mut cut) = (pin!(work), pin!(cut));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => cut.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// The answer that somebody will send, holding the message's place until then.
pub(super) fn answered<T: Send + 'static>(
    begun: Begun,
    answer: oneshot::Receiver<Result<T, Error>>,
) -> ResponseFuture<Result<T, Error>> {
    let span = begun.span().clone();
    let answered = async move {
        let _begun = begun;
        answer.await.unwrap_or_else(|_lost| Err(crate::error::OutcomeUnknown.into()))
    };
    Box::pin(answered.instrument(span))
}

/// The store that is asked for is being opened: try again.
const DOWN: Refused = Refused::Down { actor: "backend", retry_after: REBUILD_BACKOFF_MIN };
