//! What comes after the store in use: wanted, being opened, open.
//!
//! Owns candidates from the asking to the swap, and the opening of a store again after a panic.
//! Opening may take minutes - Argon2id, a million records, a network - and never runs on the
//! actor's thread: brakes and use counts of the generation that runs do not wait for it.
//!
//! Invariants:
//!
//! 1. One opening at a time: two may need one lock. One that is no longer wanted is told so, and
//!    the next begins when it has ended.
//! 2. An opening begins when no change is under way and none waits; from its asking to the swap
//!    changes are refused as retriable. So none is made that a candidate does not know, should it be
//!    a copy of the store in use.
//! 3. A brake acts on the store in use at once, and on the candidate too before that comes into
//!    use, where it holds the same key: a swap gives back nothing that was taken away.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{
    ActorContext, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture,
};
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::actor::{BackendActor, InUse, Live, answered};
use super::messages::{Abandon, Adopt, Candidate, CloseReplaced, OpenCandidate};
use super::mutation::{Away, Brake, carry_over};
use crate::actors::port::Delivery;
use crate::backend::{self, Backend, BackendKind, Preparation};
use crate::clock::WallTime;
use crate::config::Config;
use crate::error::{Error, Refused};
use crate::key::KeyRecord;
use crate::key::table::KeyTable;
use crate::metrics::BackendCall;
use crate::trace;

/// What comes after the store in use.
#[derive(Default)]
pub(super) struct Succession {
    wanted: Option<Wanted>,
    opening: Option<Opening>,
    ready: Option<Ready>,
}

type Reply = oneshot::Sender<Result<Candidate, Error>>;

/// A candidate that was asked for; its opening waits for the backend or for an earlier one.
struct Wanted {
    open: OpenCandidate,
    /// Whether it is the store in use under another configuration.
    is_same_store: bool,
    done: Reply,
    span: Span,
}

/// The opening under way.
struct Opening {
    purpose: Purpose,
    /// Ends work that blocks.
    abandons: Abandons,
    /// Dropped or sent, it ends work that is awaited.
    cancel: Option<oneshot::Sender<()>>,
    /// What was taken away meanwhile, and is still to be carried over.
    brakes: Vec<Brake>,
    /// Open, while brakes are carried over.
    opened: Option<Live>,
}

enum Purpose {
    Candidate {
        attempt: u64,
        config: Arc<Config>,
        is_same_store: bool,
        done: Reply,
    },
    /// The store that a predecessor had in use.
    Again,
    /// None any more: its end is awaited, because it may hold a lock.
    Abandoned,
}

/// What an opening came to.
enum Opened {
    Store(Box<Live>),
    /// The store in use may be shared.
    Shared,
}

/// A candidate that is open and not in use yet.
struct Ready {
    attempt: u64,
    /// `None` where it shares the store in use.
    live: Option<Live>,
    config: Arc<Config>,
}

/// Tells work that blocks that nobody waits for it, also when the actor itself is gone.
struct Abandons(Arc<AtomicBool>);

impl Drop for Abandons {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Succession {
    /// Whether the store that was in use before a panic is being opened.
    pub(super) fn opens_again(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| matches!(opening.purpose, Purpose::Again))
    }

    pub(super) fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    /// Whether another store than the one in use is on its way: what changed now would be missing
    /// there.
    pub(super) fn loads_another(&self) -> bool {
        let is_wanted = self.wanted.as_ref().is_some_and(|wanted| !wanted.is_same_store);
        let is_ready = self.ready.as_ref().is_some_and(|ready| ready.live.is_some());
        is_wanted || is_ready || self.opening.as_ref().is_some_and(Opening::loads_another)
    }

    /// The candidate's backend, for a brake to be carried over to it.
    pub(super) fn lend(&mut self) -> Option<Away> {
        let live = self.ready_mut()?;
        let backend = live.backend.take()?;
        Some(Away { keys: Arc::clone(&live.keys), backend })
    }

    /// The open candidate, if it is another store.
    pub(super) fn ready_mut(&mut self) -> Option<&mut Live> {
        self.ready.as_mut()?.live.as_mut()
    }

    pub(super) fn forget_ready(&mut self) {
        self.ready = None;
    }

    /// Lets the candidate published in `keys` go; its adoption fails then.
    pub(super) fn refuse(&mut self, keys: &Arc<KeyTable>) {
        let is_it = |live: &Live| Arc::ptr_eq(&live.keys, keys);
        self.ready.take_if(|ready| ready.live.as_ref().is_some_and(is_it));
    }

    /// Keeps a brake for the candidate that is being opened.
    pub(super) fn note(&mut self, brake: Option<Brake>) {
        if let Some(opening) = self.opening.as_mut().filter(|opening| opening.loads_another()) {
            opening.brakes.extend(brake);
        }
    }

    fn abandon(&mut self, attempt: u64) {
        self.ready.take_if(|ready| ready.attempt == attempt);
        Wanted::refuse(self.wanted.take_if(|wanted| wanted.open.attempt == attempt));
        if let Some(opening) = &mut self.opening
            && matches!(&opening.purpose, Purpose::Candidate { attempt: it, .. } if *it == attempt)
        {
            opening.abandon();
        }
    }

    pub(super) fn abandon_all(&mut self) {
        Wanted::refuse(self.wanted.take());
        if let Some(opening) = &mut self.opening {
            opening.abandon();
        }
    }
}

impl Wanted {
    fn refuse(wanted: Option<Self>) {
        if let Some(Self { done, .. }) = wanted {
            let _ = done.send(Err(Refused::Late.into()));
        }
    }
}

impl Opening {
    fn loads_another(&self) -> bool {
        matches!(self.purpose, Purpose::Candidate { is_same_store: false, .. })
    }

    fn abandon(&mut self) {
        self.abandons.0.store(true, Ordering::Release);
        self.cancel = None;
        if let Purpose::Candidate { done, .. } =
            core::mem::replace(&mut self.purpose, Purpose::Abandoned)
        {
            let _ = done.send(Err(Refused::Late.into()));
        }
    }
}

impl BackendActor {
    /// Opens the store that a predecessor had in use.
    pub(super) fn open_again(&mut self, context: &mut Context<Self>, in_use: InUse) {
        let abandoned = Arc::<AtomicBool>::default();
        let InUse { config, keys } = in_use;
        let kind = config.backend.kind();
        let work =
            backend::open(config.backend.clone(), self.means.clone(), Arc::clone(&abandoned));
        let work =
            work.map(|backend| Opened::Store(Box::new(Live::new(backend, Some(keys), config))));
        self.open(context, Purpose::Again, work, abandoned, kind);
    }

    /// Begins the opening that is wanted, if nothing keeps it from that.
    pub(super) fn begin_wanted(&mut self, context: &mut Context<Self>) {
        if self.busy || self.succession.is_opening() {
            return;
        }
        let Some(wanted) = self.succession.wanted.take() else {
            return;
        };
        let Wanted { open, is_same_store, done, span } = wanted;
        let _entered = span.entered();
        let OpenCandidate { attempt, config, shares, abandoned } = open;
        if !shares {
            // What a successor has opened again of an engine that has failed since may hold the
            // lock that this one needs.
            self.close_stores();
        }
        let backend = config.backend.clone();
        let kind = backend.kind();
        let work = match &self.live {
            Some(live) if is_same_store => {
                backend::check_successor(backend, live.config.backend.clone())
                    .map(|()| Opened::Shared)
            }
            Some(_) | None => {
                let config = Arc::clone(&config);
                backend::open(backend, self.means.clone(), Arc::clone(&abandoned))
                    .map(|backend| Opened::Store(Box::new(Live::new(backend, None, config))))
            }
        };
        let purpose = Purpose::Candidate { attempt, config, is_same_store, done };
        self.open(context, purpose, work, abandoned, kind);
    }

    fn open(
        &mut self,
        context: &mut Context<Self>,
        purpose: Purpose,
        work: Preparation<Opened>,
        abandoned: Arc<AtomicBool>,
        kind: BackendKind,
    ) {
        let (cancel, cancelled) = oneshot::channel();
        self.succession.opening = Some(Opening {
            purpose,
            abandons: Abandons(abandoned),
            cancel: Some(cancel),
            brakes: Vec::new(),
            opened: None,
        });
        let began = self.plane.clock.boot();
        let span = trace::backend(kind.name(), BackendCall::Open.name());
        let opened = prepared(work, cancelled).instrument(span).into_actor(self);
        context.spawn(opened.map(move |opened, actor, context| {
            let took = actor.plane.clock.boot().since(began);
            actor.plane.counts.called(kind.name(), BackendCall::Open, took, &opened);
            actor.opened(context, opened);
            actor.advance(context);
        }));
    }

    fn opened(&mut self, context: &mut Context<Self>, opened: Result<Opened, Error>) {
        let Some(mut opening) = self.succession.opening.take() else {
            return;
        };
        match (opening.purpose, opened) {
            (Purpose::Abandoned, _) => {}
            (Purpose::Candidate { done, .. }, Err(error)) => drop(done.send(Err(error))),
            (Purpose::Candidate { attempt, config, done, .. }, Ok(Opened::Shared)) => {
                let candidate = self.live().map(Live::candidate);
                self.succession.ready = Some(Ready { attempt, live: None, config });
                let _ = done.send(candidate);
            }
            (purpose @ Purpose::Candidate { .. }, Ok(Opened::Store(live))) => {
                (opening.purpose, opening.opened) = (purpose, Some(*live));
                self.succession.opening = Some(opening);
            }
            (Purpose::Again, Ok(Opened::Store(live))) => {
                if let Some(backend) = &live.backend {
                    for record in backend.records().values() {
                        live.keys.publish(record);
                    }
                }
                self.live = Some(*live);
                self.watch(context);
            }
            (Purpose::Again, Ok(Opened::Shared)) => {}
            (Purpose::Again, Err(error)) => {
                tracing::error!(%error, "the store that was in use does not open again");
                self.obituary.not_built();
                context.stop();
            }
        }
    }

    /// Tells of the candidate that is open, once the brakes of the meantime hold there too.
    pub(super) fn present(&mut self, context: &mut Context<Self>) {
        let Some(mut opening) = self.succession.opening.take_if(|it| it.opened.is_some()) else {
            return;
        };
        let Some(mut live) = opening.opened.take() else {
            return;
        };
        let brakes = core::mem::take(&mut opening.brakes);
        match opening.purpose {
            Purpose::Abandoned | Purpose::Again => {}
            Purpose::Candidate { attempt, config, done, .. } if brakes.is_empty() => {
                let candidate = live.candidate();
                self.succession.ready = Some(Ready { attempt, live: Some(live), config });
                let _ = done.send(Ok(candidate));
            }
            purpose @ Purpose::Candidate { .. } => {
                let backend = live.backend.take();
                (opening.purpose, opening.opened) = (purpose, Some(live));
                self.succession.opening = Some(opening);
                let Some(backend) = backend else { return };
                self.busy = true;
                let carried = carry_all(backend, brakes, self.plane.clock.wall());
                context.spawn(carried.into_actor(self).map(|(backend, result), actor, context| {
                    actor.busy = false;
                    actor.carried(backend, result);
                    actor.advance(context);
                }));
            }
        }
    }

    fn carried(&mut self, backend: Box<dyn Backend>, result: Result<Vec<Arc<KeyRecord>>, Error>) {
        let Some(opening) = &mut self.succession.opening else {
            return;
        };
        match (result, &mut opening.opened) {
            (Ok(records), Some(live)) => {
                for record in &records {
                    live.keys.publish(record);
                    live.directory.put(record);
                }
                live.backend = Some(backend);
            }
            (result, _) => {
                let opening = self.succession.opening.take();
                if let (Some(Purpose::Candidate { done, .. }), Err(error)) =
                    (opening.map(|opening| opening.purpose), result)
                {
                    let _ = done.send(Err(error));
                }
            }
        }
    }
}

/// What `work` comes to; nothing of it blocks this thread. `cancelled` ends what is awaited at
/// once; what blocks is waited for, because it may hold a lock and keys.
async fn prepared<T: Send + 'static>(
    work: Preparation<T>,
    cancelled: oneshot::Receiver<()>,
) -> Result<T, Error> {
    match work {
        Preparation::Blocking(work) => {
            let span = Span::current();
            let opened = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
            opened.unwrap_or(Err(Error::Unreachable("opening the backend panicked")))
        }
        Preparation::Awaited(work) => {
            let (mut work, mut cancelled) = (work, pin!(cancelled));
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(done),
                Poll::Pending => cancelled.as_mut().poll(cx).map(|_| Err(Refused::Late.into())),
            })
            .await
        }
    }
}

/// Carries `brakes` over to a store that is not in use yet; the keys that changed there.
async fn carry_all(
    mut backend: Box<dyn Backend>,
    brakes: Vec<Brake>,
    now: WallTime,
) -> (Box<dyn Backend>, Result<Vec<Arc<KeyRecord>>, Error>) {
    let mut records = Vec::new();
    for brake in &brakes {
        match carry_over(&mut *backend, brake, now).await {
            Ok(record) => records.extend(record),
            Err(error) => return (backend, Err(error)),
        }
    }
    (backend, Ok(records))
}

impl Handler<Delivery<OpenCandidate>> for BackendActor {
    type Result = ResponseFuture<Result<Candidate, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<OpenCandidate>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (open, begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        if open.abandoned.load(Ordering::Acquire) {
            return Box::pin(async { Err(Refused::Late.into()) });
        }
        // The earlier candidate goes first: it may hold the lock that this one needs.
        self.succession.forget_ready();
        if !(open.shares && self.succession.opens_again()) {
            self.succession.abandon_all();
        }
        let in_use = self.adopted.get().filter(|_| open.shares);
        let is_same_store =
            in_use.is_some_and(|in_use| in_use.config.backend.is_same_store(&open.config.backend));
        if !is_same_store {
            self.refuse_changes();
        }
        let (done, answer) = oneshot::channel();
        let span = begun.span().clone();
        let wanted = Wanted { open, is_same_store, done, span };
        Wanted::refuse(self.succession.wanted.replace(wanted));
        self.advance(context);
        answered(begun, answer)
    }
}

impl Handler<Delivery<Adopt>> for BackendActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<Adopt>, context: &mut Context<Self>) -> Self::Result {
        let (Adopt { attempt }, _begun) = delivery.begin()?;
        let ready = &mut self.succession.ready;
        let Some(Ready { live, config, .. }) = ready.take_if(|ready| ready.attempt == attempt)
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
        self.watch(context);
        Ok(())
    }
}

impl Handler<Delivery<Abandon>> for BackendActor {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<Abandon>, context: &mut Context<Self>) -> Self::Result {
        let (Abandon { attempt }, _begun) = delivery.begin()?;
        self.succession.abandon(attempt);
        self.advance(context);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_is_awaited_ends_at_once_where_it_is_cancelled() {
        let (cancel, cancelled) = oneshot::channel();
        let never = Box::pin(core::future::pending::<Result<(), Error>>());
        let mut work = Box::pin(prepared(Preparation::Awaited(never), cancelled));
        assert!(futures_util::FutureExt::now_or_never(work.as_mut()).is_none());
        drop(cancel);
        assert!(matches!(work.await, Err(Error::Refused(Refused::Late))));
    }

    #[tokio::test]
    async fn work_that_blocks_is_awaited_to_its_end_though_it_is_cancelled() {
        let (cancel, cancelled) = oneshot::channel();
        drop(cancel);
        let work = Preparation::Blocking(Box::new(|| Ok(7))).map(|done| done + 1);
        assert_eq!(prepared(work, cancelled).await.unwrap(), 8);
        let (_cancel, cancelled) = oneshot::channel();
        let work = Preparation::<()>::Blocking(Box::new(|| panic!("on purpose")));
        assert!(matches!(prepared(work, cancelled).await, Err(Error::Unreachable(_))));
    }
}
