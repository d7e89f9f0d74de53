//! The engine's own threads: one actix System on a control thread, and an arbiter for each place.
//!
//! Owns the threads and their end. An actor needs a `LocalSet`, and a host's thread may have none
//! or somebody else's System, so nothing of the engine is ever started on a thread of the host.
//!
//! 1. Every thread that was started is joined: backend, then audit, then control, so that whoever
//!    is told something outlives those who tell it. Dropping [`Threads`] joins too.
//! 2. A thread of the engine never joins itself: it hands the join to a thread made for that.
//! 3. Work sent to a place is confirmed by the place. actix answers an address for an arbiter that
//!    is gone.
//! 4. No globals: two engines in one process do not meet.
//!
//! Cost: three threads, and up to [`BLOCKING_THREADS_MAX`] beside each while there is blocking
//! work. Joining waits for blocking work that has begun.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};

use actix::{Arbiter, ArbiterHandle, System};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::timer::Timer;
use crate::error::LifecycleError;
use crate::limits::BLOCKING_THREADS_MAX;

/// Which of the engine's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Decisions, timers, deaths. Nothing here blocks or computes.
    Control,
    /// The backend and what it alone may change. It may block on its own store.
    Backend,
    /// The audit trail, apart from the backend so that neither waits for the other's disk.
    Audit,
}

impl Place {
    #[cfg(test)]
    const ALL: [Self; 3] = [Self::Control, Self::Backend, Self::Audit];

    /// The thread's name. Linux keeps 15 bytes of it, which still tell the three apart.
    pub(crate) const fn thread_name(self) -> &'static str {
        match self {
            Self::Control => "portcullis-control",
            Self::Backend => "portcullis-backend",
            Self::Audit => "portcullis-audit",
        }
    }
}

/// Where actors can be built. Cheap to clone; it keeps no thread alive.
#[derive(Clone)]
pub(crate) struct Places {
    floor: Floor,
    timer: Timer,
}

#[derive(Clone)]
enum Floor {
    Threads {
        control: ArbiterHandle,
        backend: ArbiterHandle,
        audit: ArbiterHandle,
    },
    /// Every place is the `LocalSet` of this one thread.
    #[cfg(test)]
    Inline(ThreadId),
}

impl Places {
    /// All places on the caller's thread and in its runtime's time, which tests may pause. The
    /// caller must be inside a `LocalSet`.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "the test's LocalSet owns the timer")]
    pub(crate) fn inline() -> Self {
        let (timer, driver) = Timer::of_runtime();
        tokio::task::spawn_local(driver);
        Self { floor: Floor::Inline(thread::current().id()), timer }
    }

    /// The engine's timer.
    pub(crate) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Runs `work` on a place; the way to build an actor there. It is sent now, in the order of
    /// the calls, and done even if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`LifecycleError::Threads`] if the place is gone, or goes or panics before `work` is done.
    pub(crate) fn run_on<T, W>(
        &self,
        place: Place,
        work: W,
    ) -> impl Future<Output = Result<T, LifecycleError>> + Send + 'static + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let sent = self.send(place, move || {
            // Nobody may be waiting for it.
            let _ = done.send(work());
        });
        async move {
            if !sent {
                return Err(GONE);
            }
            answer.await.map_err(|_dropped| GONE)
        }
    }

    fn send(&self, place: Place, work: impl FnOnce() + Send + 'static) -> bool {
        match (&self.floor, place) {
            (Floor::Threads { control, .. }, Place::Control) => control.spawn_fn(work),
            (Floor::Threads { backend, .. }, Place::Backend) => backend.spawn_fn(work),
            (Floor::Threads { audit, .. }, Place::Audit) => audit.spawn_fn(work),
            #[cfg(test)]
            (Floor::Inline(owner), Place::Control | Place::Backend | Place::Audit) => {
                let is_there = *owner == thread::current().id();
                if is_there {
                    work();
                }
                is_there
            }
        }
    }
}

/// The engine's threads. Whoever holds this owns them: dropping it stops and joins them.
pub(crate) struct Threads {
    places: Places,
    crew: Arc<Crew>,
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Every thread has ended.
    All,
    /// The caller is one of the threads: they end, and are joined, after it has returned.
    HandedOver,
}

impl Threads {
    /// Starts the threads and waits until each of them takes work.
    ///
    /// # Errors
    ///
    /// [`LifecycleError::Threads`] if the system gives no thread or no runtime; those that were
    /// started have ended.
    pub(crate) fn start() -> Result<Self, LifecycleError> {
        let (timer, driver) = Timer::real();
        let crew = Arc::new(Crew::default());
        let (stop, stopped) = oneshot::channel();
        let (report, reported) = mpsc::sync_channel(1);
        let members = Arc::clone(&crew.members);
        let control = thread::Builder::new()
            .name(Place::Control.thread_name().to_owned())
            .spawn(move || control_thread(&members, driver, stopped, &report))
            .map_err(|_error| NOT_STARTED)?;
        let Ok(Ok(yard)) = reported.recv() else {
            // It has said all it will; what it panicked with, if it did, is in the log.
            let _ = control.join();
            return Err(NOT_STARTED);
        };
        let floor = Floor::Threads {
            control: yard.control,
            backend: yard.backend.handle(),
            audit: yard.audit.handle(),
        };
        *crew.lock() = Some(Hands { backend: yard.backend, audit: yard.audit, stop, control });
        Ok(Self { places: Places { floor, timer }, crew })
    }

    /// Where actors can be built.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Stops the threads in their order and joins them. Their actors are dropped where they are, so
    /// whatever must end well was stopped before. Any thread may call it, any number of times; all
    /// but the engine's own return only once every thread has ended.
    ///
    /// # Errors
    ///
    /// [`LifecycleError::Threads`] if a thread ended by a panic, or if the caller is one of them
    /// and no thread can be had to join them. They end in either case.
    pub(crate) fn stop(&self) -> Result<Joined, LifecycleError> {
        if !self.crew.members.includes_this_thread() {
            return self.crew.dismiss().map(|()| Joined::All);
        }
        let crew = Arc::clone(&self.crew);
        thread::Builder::new()
            .name("portcullis-join".to_owned())
            .spawn(move || crew.dismiss())
            .map(|_detached| Joined::HandedOver)
            .map_err(|_error| {
                self.crew.signal();
                LifecycleError::Threads("stopped, but there is no thread to join them")
            })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the engine's threads did not end well");
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// What joins the threads, once.
#[derive(Default)]
struct Crew {
    hands: Mutex<Option<Hands>>,
    members: Arc<Members>,
}

struct Hands {
    backend: Arbiter,
    audit: Arbiter,
    stop: oneshot::Sender<()>,
    control: JoinHandle<()>,
}

impl Crew {
    fn lock(&self) -> MutexGuard<'_, Option<Hands>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops and joins, in the stated order. Others who call meanwhile wait at the lock, which no
    /// thread of the engine does.
    fn dismiss(&self) -> Result<(), LifecycleError> {
        let mut hands = self.lock();
        let Some(Hands { backend, audit, stop, control }) = hands.take() else {
            return Ok(());
        };
        backend.stop();
        let backend = backend.join();
        audit.stop();
        let audit = audit.join();
        // An error means that it has ended already.
        let _ = stop.send(());
        let control = control.join();
        if backend.is_err() || audit.is_err() || control.is_err() {
            return Err(LifecycleError::Threads("one of them ended by a panic"));
        }
        Ok(())
    }

    /// Stops without joining: the last resort of a thread of the engine.
    fn signal(&self) {
        if let Some(hands) = self.lock().take() {
            hands.backend.stop();
            hands.audit.stop();
            let _ = hands.stop.send(());
        }
    }
}

/// Who is a thread of this engine: the three, and those that work beside them.
#[derive(Default)]
struct Members(Mutex<Vec<ThreadId>>);

impl Members {
    fn lock(&self) -> MutexGuard<'_, Vec<ThreadId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enlist(&self) {
        self.lock().push(thread::current().id());
    }

    fn discharge(&self) {
        let this = thread::current().id();
        self.lock().retain(|member| *member != this);
    }

    fn includes_this_thread(&self) -> bool {
        self.lock().contains(&thread::current().id())
    }
}

/// What the control thread answers once everything runs.
struct Yard {
    control: ArbiterHandle,
    backend: Arbiter,
    audit: Arbiter,
}

/// The control thread: a System of its own, the arbiters, the timer, until it is told to stop.
fn control_thread(
    members: &Arc<Members>,
    driver: impl Future<Output = ()> + 'static,
    stopped: oneshot::Receiver<()>,
    report: &mpsc::SyncSender<io::Result<Yard>>,
) {
    members.enlist();
    let runtime = match runtime(members) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    System::with_tokio_rt(|| runtime).block_on(async {
        let yard = staff(members);
        let is_staffed = yard.is_ok();
        if report.send(yard).is_err() || !is_staffed {
            return;
        }
        let mut driver = pin!(driver);
        let mut stopped = pin!(stopped);
        // The timer never ends by itself. A sender that is gone stops the thread as well.
        poll_fn(|cx| match driver.as_mut().poll(cx) {
            Poll::Ready(()) | Poll::Pending => stopped.as_mut().poll(cx).map(drop),
        })
        .await;
    });
}

/// Makes the arbiters; on the control thread, because actix ties them to the caller's System.
fn staff(members: &Arc<Members>) -> io::Result<Yard> {
    let backend = arbiter(Place::Backend, members)?;
    let audit = match arbiter(Place::Audit, members) {
        Ok(audit) => audit,
        Err(error) => {
            backend.stop();
            let _ = backend.join();
            return Err(error);
        }
    };
    Ok(Yard { control: Arbiter::current(), backend, audit })
}

fn arbiter(place: Place, members: &Arc<Members>) -> io::Result<Arbiter> {
    let members = Arc::clone(members);
    Arbiter::try_with_tokio_rt(move || {
        members.enlist();
        name_this_thread(place);
        runtime(&members)
    })
}

/// actix-rt gives its threads a name of its own and no way to choose another; what operators see
/// is the system's name for the thread.
fn name_this_thread(place: Place) {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::ffi::CString::new(place.thread_name()) {
        // A thread without its name works as well.
        let _ = rustix::thread::set_name(&name);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = place;
}

fn runtime(members: &Arc<Members>) -> io::Result<Runtime> {
    let (joining, leaving) = (Arc::clone(members), Arc::clone(members));
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("portcullis-work")
        .on_thread_start(move || joining.enlist())
        .on_thread_stop(move || leaving.discharge())
        .build()
}

const GONE: LifecycleError = LifecycleError::Threads("the place has stopped, or its work panicked");

const NOT_STARTED: LifecycleError = LifecycleError::Threads("they could not be started");

#[cfg(test)]
mod tests;
