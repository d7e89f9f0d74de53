//! Keys that the backend uses for callers, and others' changes: calls that run beside its changes.
//!
//! Calls under way are known by key. A change that takes something away ends those of its key: its
//! callers ask again, and a section refuses them (guarantee 2). A close ends all.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::collections::HashMap;
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::actor::{BackendActor, Live, answered};
use super::messages::{UseRemote, Work};
use crate::actors::port::Delivery;
use crate::backend::{BackendKind, Remote, Watcher};
use crate::error::{Error, KeyError, Refused};
use crate::key::table::KeyTable;
use crate::key::{KeyId, KeyRecord};
use crate::limits::{LOOKS_PER_ROUND, REBUILD_BACKOFF_MIN};
use crate::metrics::BackendCall;
use crate::plane::Plane;
use crate::plane::remote::{Given, Held, Wanted};
use crate::trace;

impl Work {
    /// What a section wants, as a message.
    pub(crate) fn of(wanted: Wanted, plane: &Arc<Plane>) -> Self {
        match wanted {
            Wanted::Wrap { key, slot, context } => {
                Self::Wrap { key, held: Held::new(plane, slot), context }
            }
            Wanted::Unwrap { key, token, context } => Self::Unwrap { key, token, context },
            Wanted::Rewrap { key, token, context } => Self::Rewrap { key, token, context },
            Wanted::Look { key } => Self::Look { key },
        }
    }

    fn call(&self) -> Option<BackendCall> {
        match self {
            Self::Wrap { .. } => Some(BackendCall::Wrap),
            Self::Unwrap { .. } => Some(BackendCall::Unwrap),
            Self::Rewrap { .. } => Some(BackendCall::Rewrap),
            Self::Look { .. } => None,
        }
    }

    fn key(&self) -> &KeyId {
        match self {
            Self::Wrap { key, .. }
            | Self::Unwrap { key, .. }
            | Self::Rewrap { key, .. }
            | Self::Look { key } => key,
        }
    }
}

/// Calls under way, by key, and how to end each.
#[derive(Default)]
pub(super) struct UnderWay {
    last: u64,
    calls: HashMap<KeyId, HashMap<u64, oneshot::Sender<Stopped>>>,
}

/// Why a call was ended.
#[derive(Clone, Copy)]
enum Stopped {
    Changed,
    Closed,
}

impl UnderWay {
    fn begin(&mut self, key: &KeyId) -> (u64, oneshot::Receiver<Stopped>) {
        self.last += 1;
        let (stop, stopped) = oneshot::channel();
        self.calls.entry(key.clone()).or_default().insert(self.last, stop);
        (self.last, stopped)
    }

    fn end(&mut self, key: &KeyId, call: u64) {
        if let Some(calls) = self.calls.get_mut(key) {
            calls.remove(&call);
            if calls.is_empty() {
                self.calls.remove(key);
            }
        }
    }

    /// Ends the calls of a key that has changed.
    pub(super) fn changed(&mut self, key: &KeyId) {
        for stop in self.calls.remove(key).into_iter().flat_map(HashMap::into_values) {
            let _ = stop.send(Stopped::Changed);
        }
    }

    /// Ends all.
    pub(super) fn close(&mut self) {
        for stop in self.calls.drain().flat_map(|(_, calls)| calls.into_values()) {
            let _ = stop.send(Stopped::Closed);
        }
    }
}

impl Handler<Delivery<UseRemote>> for BackendActor {
    type Result = ResponseFuture<Result<Given, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<UseRemote>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (UseRemote(work), begun) = match delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let _entered = begun.entered();
        let (done, answer) = oneshot::channel();
        let begun_work = match work {
            Work::Look { key } => self.look_for(context, key.clone(), Given::Looked { key }, done),
            work @ (Work::Wrap { .. } | Work::Unwrap { .. } | Work::Rewrap { .. }) => {
                self.use_remotely(context, work, done)
            }
        };
        match begun_work {
            Ok(()) => answered(begun, answer),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

type Done = oneshot::Sender<Result<Given, Error>>;

impl BackendActor {
    fn use_remotely(
        &mut self,
        context: &mut Context<Self>,
        work: Work,
        done: Done,
    ) -> Result<(), Error> {
        let live = self.live()?;
        let remote = live.remote.clone().ok_or(Error::Unreachable("this backend is in-process"))?;
        // It was disabled or changed after the section that wants this: that looks again.
        let key = work.key().clone();
        live.directory.record(&key)?;
        let (keys, kind) = (Arc::clone(&live.keys), live.kind);
        let (call, stopped) = self.under_way.begin(&key);
        let span = work.call().map(|call| trace::backend(kind.name(), call.name()));
        let work = carry_out(Arc::clone(&self.plane), remote, kind, work);
        let work = work.instrument(span.unwrap_or_else(Span::none));
        let work = or_stopped(work, stopped).into_actor(self);
        context.spawn(work.map(move |result, actor, context| {
            actor.under_way.end(&key, call);
            match result {
                // The store has made a version by itself: it is known here before it is answered.
                Ok(given) if actor.names_unknown_version(&key, &given) => {
                    // A refusal is answered by dropping what would have answered.
                    let _ = actor.look_for(context, key, given, done);
                }
                // A swap has ended its store's session: the one in use is asked.
                Err(_) if actor.is_replaced(&keys) => drop(done.send(Ok(Given::Again))),
                // A caller that has gone needs no answer; its lease goes with it.
                result => drop(done.send(result)),
            }
        }));
        Ok(())
    }

    /// Whether another store is in use than the one of `keys`.
    fn is_replaced(&self, keys: &Arc<KeyTable>) -> bool {
        self.live.as_ref().is_some_and(|live| !Arc::ptr_eq(&live.keys, keys))
    }

    fn names_unknown_version(&self, key: &KeyId, given: &Given) -> bool {
        let (Given::Wrapped { version, .. } | Given::Rewrapped { version, .. }) = given else {
            return false;
        };
        let known = self.live().ok().and_then(|live| live.directory.record(key).ok());
        known.and_then(|key| key.current_number()).is_some_and(|newest| newest < *version)
    }

    /// Looks whether the key is there by now, or has another version, and answers `given` then.
    fn look_for(
        &mut self,
        context: &mut Context<Self>,
        key: KeyId,
        given: Given,
        done: Done,
    ) -> Result<(), Error> {
        let live = self.live()?;
        let Some(watcher) = live.watcher.clone() else {
            let _ = done.send(Ok(given));
            return Ok(());
        };
        if self.looks >= LOOKS_PER_ROUND {
            let retry_after = watcher.every;
            return Err(Refused::Full { limit: "LOOKS_PER_ROUND", retry_after }.into());
        }
        let (known, keys) = (live.directory.all(), Arc::clone(&live.keys));
        self.looks += 1;
        let look = Arc::clone(&watcher.look).look(known, Some(key));
        let looked = look.into_actor(self).map(move |found, actor, _| {
            let looked = found.map(|found| {
                actor.take_in(&keys, found);
                given
            });
            let _ = done.send(looked);
        });
        context.spawn(looked);
        Ok(())
    }

    /// Begins to look for others' changes, where the store in use has such.
    pub(super) fn watch(&mut self, context: &mut Context<Self>) {
        if let Some(before) = self.watching.take() {
            context.cancel_future(before);
        }
        self.looks = 0;
        let Some(live) = &self.live else { return };
        let Some(Watcher { look, every }) = live.watcher.clone() else { return };
        let keys = Arc::clone(&live.keys);
        let next = context.run_later(every, move |actor, context| {
            let Some(live) = actor.live.as_ref().filter(|live| Arc::ptr_eq(&live.keys, &keys))
            else {
                return;
            };
            look.refresh();
            let look = look.look(live.directory.all(), None);
            let looked = look.into_actor(actor).map(move |found, actor, context| {
                match found {
                    Ok(found) => actor.take_in(&keys, found),
                    // The keys that are here go on being used: an outage of the store is not one
                    // of its users'.
                    Err(error) => tracing::warn!(%error, "others' changes were not looked for"),
                }
                actor.watch(context);
            });
            actor.watching = Some(context.spawn(looked));
        });
        self.watching = Some(next);
    }

    /// Publishes what a look at the store of `keys` found, now or when its backend is back.
    fn take_in(&mut self, keys: &Arc<KeyTable>, found: Vec<Arc<KeyRecord>>) {
        let mut lives = self.live.iter_mut().chain(&mut self.replaced);
        let Some(live) = lives.find(|live| Arc::ptr_eq(&live.keys, keys)) else {
            return;
        };
        live.found.extend(found);
        for changed in live.publish_found() {
            self.under_way.changed(&changed);
        }
    }
}

impl Live {
    /// Publishes what looks found, if the backend is here; which keys that were.
    pub(super) fn publish_found(&mut self) -> Vec<KeyId> {
        let Some(backend) = &mut self.backend else {
            return Vec::new();
        };
        if self.found.is_empty() {
            return Vec::new();
        }
        let found = backend.take_in(core::mem::take(&mut self.found));
        let changed = found.iter().filter(|record| self.publish(record));
        changed.map(|record| record.id.clone()).collect()
    }

    /// Publishes `record`; whether what callers may do with the key is otherwise than before.
    pub(super) fn publish(&mut self, record: &Arc<KeyRecord>) -> bool {
        let allows = |key: &KeyRecord| {
            let versions = key.versions.iter().map(|version| (version.tag, version.state));
            (key.state, key.damage.is_some(), versions.collect::<Vec<_>>())
        };
        let before = self.directory.record(&record.id).ok();
        let changed = before.is_none_or(|before| allows(before) != allows(record));
        self.keys.publish(record);
        self.directory.put(record);
        changed
    }
}

async fn or_stopped(
    work: impl Future<Output = Result<Given, Error>>,
    stopped: oneshot::Receiver<Stopped>,
) -> Result<Given, Error> {
    let (mut work, mut stopped) = (pin!(work), pin!(stopped));
    // The end first: what was answered under the old state is not to be used.
    poll_fn(|cx| match stopped.as_mut().poll(cx) {
        Poll::Ready(Ok(Stopped::Changed)) => Poll::Ready(Ok(Given::Again)),
        Poll::Ready(Ok(Stopped::Closed)) => Poll::Ready(Err(Refused::Draining.into())),
        // The actor is gone.
        Poll::Ready(Err(_)) => {
            let retry_after = REBUILD_BACKOFF_MIN;
            Poll::Ready(Err(Refused::Down { actor: "backend", retry_after }.into()))
        }
        Poll::Pending => work.as_mut().poll(cx),
    })
    .await
}

async fn carry_out(
    plane: Arc<Plane>,
    remote: Arc<dyn Remote>,
    kind: BackendKind,
    work: Work,
) -> Result<Given, Error> {
    let (began, call) = (plane.clock.boot(), work.call());
    let given = asked(&plane, &*remote, work).await;
    if let Some(call) = call {
        plane.counts.called(kind.name(), call, plane.clock.boot().since(began), &given);
    }
    given
}

async fn asked(plane: &Arc<Plane>, remote: &dyn Remote, work: Work) -> Result<Given, Error> {
    match work {
        Work::Wrap { key, held, context } => {
            let wrapped = remote.wrap(key, held.for_backend()?, context);
            let (token, version) = wrapped.await?;
            Ok(Given::Wrapped { held, token, version })
        }
        Work::Unwrap { key, token, context } => {
            let data_key = remote.unwrap(key, token, context).await?;
            let held = Held::put(plane, &data_key)?;
            Ok(Given::Unwrapped { held })
        }
        Work::Rewrap { key, token, context } => {
            let (token, version) = remote.rewrap(key, token, context).await?;
            Ok(Given::Rewrapped { token, version })
        }
        Work::Look { .. } => Err(KeyError::NotFound.into()),
    }
}
