//! Deaths: who died, whether to build another, and when to give up.
//!
//! Owns the list of actors that must be alive. actix has no supervision of panics: a panic ends the
//! actor, its queue and its address, and nothing is said. So every actor carries an [`Obituary`],
//! whose drop says it.
//!
//! 1. An actor that panicked is built anew by the same closure that built it first, from durable
//!    state, on its own place; never from the value that panicked.
//! 2. While there is none its port is down, with the time of the rebuild as the hint.
//! 3. More than [`REBUILDS_MAX`] deaths within [`REBUILD_WINDOW`] and its port is closed as failed,
//!    and its owner is told, once. A panic of the watcher itself closes every port.
//! 4. An actor that ends cleanly is not rebuilt. A death of a value that has been replaced, or
//!    behind a closed port, changes nothing.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context as TaskContext, Poll};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use actix::prelude::Stream;
use actix::{Actor, AsyncContext, Context, StreamHandler};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::port::Port;
use super::system::{Place, Places};
use crate::error::{Error, LifecycleError, Refused};
use crate::limits::{REBUILD_BACKOFF_MAX, REBUILD_BACKOFF_MIN, REBUILD_WINDOW, REBUILDS_MAX};

/// The death notice that an actor carries. It is sent when the actor's value is dropped.
///
/// The drop may run while the thread unwinds, where a second panic would end the process: it
/// stores nothing, locks nothing and cannot fail.
#[must_use = "an actor keeps it in its own value"]
pub(crate) struct Obituary {
    actor: &'static str,
    ward: u64,
    generation: u64,
    installed: Arc<AtomicBool>,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Obituary {
    /// Which build of the actor carries it; the first is 1.
    #[cfg(test)]
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Says that the actor could not become what it was built to be, where that takes longer than
    /// its first moment: it ends now, and is built again as one that was never installed.
    pub(crate) fn not_built(&self) {
        self.installed.store(false, Ordering::Release);
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        // Without a watcher there is nobody left to tell.
        let _ = self.notices.send(Notice::Died(Death {
            ward: self.ward,
            generation: self.generation,
            installed: self.installed.load(Ordering::Acquire),
            panicked: thread::panicking(),
        }));
    }
}

impl fmt::Debug for Obituary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Obituary")
            .field("actor", &self.actor)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// One death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Death {
    ward: u64,
    generation: u64,
    /// Whether it was built at all: else its closure failed, or its place was gone.
    installed: bool,
    /// Whether it was dropped by a panic; else it, or its place, was stopped.
    panicked: bool,
}

/// When to build an actor anew, and when to give up. A pure function of the moments of its deaths.
#[derive(Debug, Default)]
pub(crate) struct RebuildPolicy {
    deaths: VecDeque<Instant>,
}

/// What to do about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Build another one.
    Rebuild {
        /// After this long.
        after: Duration,
    },
    /// It died too often.
    GiveUp,
}

impl RebuildPolicy {
    /// What to do about a death at `now`.
    pub(crate) fn died(&mut self, now: Instant) -> Verdict {
        self.deaths.retain(|death| now.saturating_duration_since(*death) < REBUILD_WINDOW);
        let earlier = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX);
        if earlier >= REBUILDS_MAX {
            return Verdict::GiveUp;
        }
        self.deaths.push_back(now);
        let after = REBUILD_BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(earlier));
        Verdict::Rebuild { after: after.min(REBUILD_BACKOFF_MAX) }
    }
}

/// A handle to the watcher of one engine.
#[derive(Clone)]
pub(crate) struct Watch {
    notices: mpsc::UnboundedSender<Notice>,
    places: Places,
    wards: Arc<AtomicU64>,
    /// Whether there is a ward to revive.
    gave_up: Arc<AtomicBool>,
}

impl Watch {
    /// Starts the watcher on the control place, where it lives as long as the place.
    ///
    /// # Errors
    ///
    /// [`LifecycleError::Threads`] if the place is gone.
    pub(crate) async fn start(places: Places) -> Result<Self, LifecycleError> {
        let (notices, hears) = mpsc::unbounded_channel();
        let gave_up = Arc::<AtomicBool>::default();
        let watcher = Watcher {
            kept: BTreeMap::new(),
            places: places.clone(),
            gave_up: Arc::clone(&gave_up),
        };
        places
            .run_on(Place::Control, move || {
                Watcher::create(|context| {
                    context.add_stream(Notices(hears));
                    watcher
                });
            })
            .await?;
        Ok(Self { notices, places, wards: Arc::default(), gave_up })
    }

    /// Builds an actor on its place, installs it, and keeps it alive from then on: `build` runs
    /// again after each panic, and `failed` each time it has died too often.
    ///
    /// `build` runs on the actor's thread, puts the obituary into the actor, and reads what the
    /// actor is from durable state. `failed` runs on the control place.
    ///
    /// # Errors
    ///
    /// What `build` answers the first time, and the actor is not kept; why the port is closed;
    /// [`LifecycleError::Threads`] if the place is gone or `build` panicked.
    pub(crate) fn keep<A, B, F>(
        &self,
        port: Port<A>,
        place: Place,
        build: B,
        failed: F,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static + use<A, B, F>
    where
        A: Actor<Context = Context<A>>,
        B: Fn(Obituary) -> Result<A, Error> + Send + Sync + 'static,
        F: Fn(&'static str) + Send + 'static,
    {
        let id = self.wards.fetch_add(1, Ordering::Relaxed);
        let keep = Arc::new(Keep { build, id, notices: self.notices.clone(), port });
        let ward = Ward {
            failed: Box::new(failed),
            gave_up: false,
            generation: 1,
            keep: Arc::clone(&keep) as _,
            place,
            policy: RebuildPolicy::default(),
        };
        // Enlisted first: the actor may die before its first build is answered.
        let enlisted = self.notices.send(Notice::Keep(id, ward));
        let obituary = keep.obituary(1);
        let first = self.places.run_on(place, move || keep.build(obituary));
        async move {
            enlisted.map_err(|_gone| LifecycleError::Threads("the watcher has stopped"))?;
            first.await?
        }
    }

    /// Builds again what died too often: somebody means to start anew. Answered once that is under
    /// way; a message that comes before it is done is refused as [`Refused::Down`].
    pub(crate) async fn revive(&self) {
        if !self.gave_up.swap(false, Ordering::AcqRel) {
            return;
        }
        let (done, revived) = oneshot::channel();
        if self.notices.send(Notice::Revive(done)).is_ok() {
            // An error means that the watcher has ended, and so has the engine.
            let _ = revived.await;
        }
    }
}

/// What the watcher hears. Nobody can flood it: there is one notice per build, one per death, and
/// one to revive per giving up.
enum Notice {
    Keep(u64, Ward),
    Died(Death),
    Revive(oneshot::Sender<()>),
}

/// An actor that is kept alive.
struct Ward {
    failed: Box<dyn Fn(&'static str) + Send>,
    /// It died too often, and is built again only when somebody asks for it.
    gave_up: bool,
    generation: u64,
    keep: Arc<dyn Kept>,
    place: Place,
    policy: RebuildPolicy,
}

/// What the watcher does to an actor, whatever its type.
trait Kept: Send + Sync {
    fn name(&self) -> &'static str;
    fn is_closed(&self) -> bool;
    fn reopen(&self);
    fn close(&self, why: Refused);
    fn take_down(&self, retry_after: Duration);
    fn count_panic(&self);
    fn count_restart(&self);
    /// The death notice of a build that is about to be sent to its place. It is told even if the
    /// place is gone.
    fn obituary(&self, generation: u64) -> Obituary;
    /// Builds and installs the actor; on its place.
    fn build(&self, obituary: Obituary) -> Result<(), Error>;
}

struct Keep<A: Actor, B> {
    build: B,
    id: u64,
    notices: mpsc::UnboundedSender<Notice>,
    port: Port<A>,
}

impl<A, B> Kept for Keep<A, B>
where
    A: Actor<Context = Context<A>>,
    B: Fn(Obituary) -> Result<A, Error> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.port.name()
    }

    fn is_closed(&self) -> bool {
        self.port.closed().is_some()
    }

    fn reopen(&self) {
        self.port.reopen();
    }

    fn close(&self, why: Refused) {
        self.port.close(why);
    }

    fn take_down(&self, retry_after: Duration) {
        self.port.take_down(retry_after);
    }

    fn count_panic(&self) {
        self.port.count_panic();
    }

    fn count_restart(&self) {
        self.port.count_restart();
    }

    fn obituary(&self, generation: u64) -> Obituary {
        Obituary {
            actor: self.port.name(),
            ward: self.id,
            generation,
            installed: Arc::default(),
            notices: self.notices.clone(),
        }
    }

    fn build(&self, obituary: Obituary) -> Result<(), Error> {
        let installed = Arc::clone(&obituary.installed);
        let actor = (self.build)(obituary)?;
        // Before it can be asked anything, and so before it can die of it.
        installed.store(true, Ordering::Release);
        self.port.raise(actor).map_err(Error::from)
    }
}

/// The actor behind [`Watch`].
struct Watcher {
    kept: BTreeMap<u64, Ward>,
    places: Places,
    gave_up: Arc<AtomicBool>,
}

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl StreamHandler<Notice> for Watcher {
    fn handle(&mut self, notice: Notice, context: &mut Context<Self>) {
        match notice {
            Notice::Keep(id, ward) => {
                self.kept.insert(id, ward);
            }
            Notice::Died(death) => self.died(death, context),
            Notice::Revive(done) => {
                self.revive();
                let _ = done.send(());
            }
        }
    }
}

impl Watcher {
    fn died(&mut self, death: Death, context: &mut Context<Self>) {
        let Some(ward) = self.kept.get_mut(&death.ward) else {
            return;
        };
        if ward.generation != death.generation {
            return;
        }
        if death.panicked {
            ward.keep.count_panic();
        }
        let ended = death.installed && !death.panicked;
        // What is wrong with a first build is told to its owner, who waits for it.
        let never_was = !death.installed && death.generation == 1;
        if ended || never_was || ward.keep.is_closed() {
            self.kept.remove(&death.ward);
            return;
        }
        let actor = ward.keep.name();
        let Death { panicked, .. } = death;
        match ward.policy.died(self.places.timer().now()) {
            Verdict::Rebuild { after } => {
                tracing::error!(actor, panicked, ?after, "actor lost, to be rebuilt");
                ward.keep.take_down(after);
                ward.generation += 1;
                context.run_later(after, move |watcher, _| watcher.rebuild(death.ward));
            }
            Verdict::GiveUp => {
                tracing::error!(actor, panicked, "actor lost too often");
                ward.keep.close(Refused::Failed);
                ward.gave_up = true;
                self.gave_up.store(true, Ordering::Release);
                (ward.failed)(actor);
            }
        }
    }

    fn revive(&mut self) {
        let gave_up = self.kept.iter_mut().filter(|(_, ward)| ward.gave_up);
        let revived: Vec<u64> = gave_up
            .map(|(id, ward)| {
                ward.gave_up = false;
                ward.generation += 1;
                ward.policy = RebuildPolicy::default();
                ward.keep.reopen();
                *id
            })
            .collect();
        for id in revived {
            self.rebuild(id);
        }
    }

    fn rebuild(&mut self, id: u64) {
        let Some(ward) = self.kept.get(&id) else {
            return;
        };
        if ward.keep.is_closed() {
            self.kept.remove(&id);
            return;
        }
        ward.keep.count_restart();
        let keep = Arc::clone(&ward.keep);
        let obituary = keep.obituary(ward.generation);
        let work = move || {
            let actor = keep.name();
            if let Err(error) = keep.build(obituary) {
                tracing::error!(actor, %error, "actor not rebuilt");
            }
        };
        // Sent by the call. What becomes of it is told by the obituary that it carries.
        drop(self.places.run_on(ward.place, work));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Nobody would be rebuilt any more: fail closed rather than half-alive.
        if thread::panicking() {
            for ward in self.kept.values() {
                ward.keep.close(Refused::Failed);
            }
        }
    }
}

/// The watcher's notices, as the stream that actix wants.
struct Notices(mpsc::UnboundedReceiver<Notice>);

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Notice>> {
        self.0.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests;
