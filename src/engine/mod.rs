//! The interface of a host: [`Engine`] and [`Kms`].
//!
//! An [`Engine`] owns threads; a [`Kms`] is a handle on it for any thread and any runtime.

mod keys;
mod lease;
mod lifecycle;
mod objects;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::actors::audit::{AuditActor, Trail};
use crate::actors::backend::{Adopted, BackendActor, Close};
use crate::actors::lifecycle::{ActorLost, Lifecycle, Numbers};
use crate::actors::port::Port;
use crate::actors::reaper::Reaper;
use crate::actors::system::{Place, Threads};
use crate::actors::watch::Watch;
use crate::audit::{AuditBuffers, AuditSink, Caller, TracingSink, Writer, WriterReport};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::error::{Error, LifecycleError};
use crate::gate::Scope;
use crate::limits::REAP_INTERVAL;
use crate::plane::Plane;
use crate::status::{Phase, Status};

pub use keys::Rewrapped;
use lease::Homes;
pub use lease::{DataKey, GeneratedDataKey};
pub use objects::{Opened, Sealed};

/// A key-management engine: its threads, and the way to them.
///
/// It owns its threads and needs none of the host's: it embeds in a tokio host, an actix host or
/// none. Two engines in one process never meet. Dropping it stops it and joins its threads; what
/// its handles are asked afterwards is refused.
pub struct Engine {
    kms: Kms,
    threads: Threads,
    writer: Option<JoinHandle<WriterReport>>,
}

/// What an engine is made with, beside its configuration.
pub struct EngineOptions {
    /// Where it reads time from.
    pub clock: Arc<dyn Clock>,
    /// Where audit records go.
    pub audit_sink: Box<dyn AuditSink>,
    /// How often it looks for deletions and rotations that are due.
    pub reap_interval: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            audit_sink: Box::new(TracingSink::new()),
            reap_interval: REAP_INTERVAL,
        }
    }
}

impl Engine {
    /// An engine that runs with `config`.
    ///
    /// # Errors
    /// Those of [`Self::new`], and of [`Kms::configure`] and [`Kms::start`].
    pub async fn start(config: Config) -> Result<Self, Error> {
        let engine = Self::launch(EngineOptions::default()).await?;
        engine.kms.configure(config).await?;
        engine.kms.start().await?;
        Ok(engine)
    }

    /// An engine without a configuration.
    ///
    /// # Errors
    /// [`LifecycleError::Threads`] if the system starts no threads or cannot tell a forked child.
    pub async fn launch(options: EngineOptions) -> Result<Self, Error> {
        let threads = Threads::start()?;
        let (plane, writer) = plane(options.clock, options.audit_sink)?;
        let timer = threads.places().timer().clone();
        let lifecycle = Port::new("lifecycle", timer.clone());
        let ports = Ports {
            brake: lifecycle.lane("lifecycle brake", timer.clone()),
            lifecycle,
            backend: Port::new("backend", timer.clone()),
            audit: Port::new("audit", timer.clone()),
            reaper: Port::new("reaper", timer.clone()),
        };
        let rung = Arc::<AtomicBool>::default();
        let trail = Trail::new(Arc::clone(&plane), ports.audit.clone(), timer, Arc::clone(&rung));
        let jumped = Arc::<AtomicBool>::default();
        let homes = Homes::new(&plane);
        let shared = Shared { plane, homes, ports, trail, jumped };
        let kms = Kms { shared: Arc::new(shared), caller: Caller::host() };
        let engine = Self { kms, threads, writer: Some(writer) };
        engine.raise(options.reap_interval, rung).await?;
        Ok(engine)
    }

    /// A handle, as many as the host wants.
    #[must_use]
    pub fn kms(&self) -> Kms {
        self.kms.clone()
    }

    /// Builds the actors, in the order of the roster.
    async fn raise(&self, reap_interval: Duration, rung: Arc<AtomicBool>) -> Result<(), Error> {
        let watch = Watch::start(self.threads.places().clone()).await?;
        let Shared { plane, ports, trail, jumped, .. } = &*self.kms.shared;
        let lost = {
            let (brake, plane) = (ports.brake.clone(), Arc::clone(plane));
            move |actor: &'static str| {
                // Shut at once: the message may find the lifecycle actor gone too.
                plane.gate.shut(Scope::All, Phase::Failed(actor).refusal_code());
                drop(brake.tell(ActorLost(actor)));
            }
        };
        let p = Arc::clone(plane);
        let build =
            move |obituary| Ok(AuditActor::new(Arc::clone(&p), Arc::clone(&rung), obituary));
        watch.keep(ports.audit.clone(), Place::Audit, build, lost.clone()).await?;

        let (p, t, reaper) = (Arc::clone(plane), trail.clone(), ports.reaper.clone());
        let adopted = Adopted::default();
        let build = move |obituary| {
            let (p, t) = (Arc::clone(&p), t.clone());
            BackendActor::new(p, t, reaper.clone(), adopted.clone(), obituary)
        };
        watch.keep(ports.backend.clone(), Place::Backend, build, lost.clone()).await?;

        let (p, backend, jumped) = (Arc::clone(plane), ports.backend.clone(), Arc::clone(jumped));
        let build = move |obituary| {
            let (p, backend, jumped) = (Arc::clone(&p), backend.clone(), Arc::clone(&jumped));
            Ok(Reaper::new(p, backend, reap_interval, jumped, obituary))
        };
        watch.keep(ports.reaper.clone(), Place::Control, build, lost.clone()).await?;

        let (p, t, backend) = (Arc::clone(plane), trail.clone(), ports.backend.clone());
        let numbers = Arc::<Numbers>::default();
        let build = move |obituary| {
            let (p, t) = (Arc::clone(&p), t.clone());
            Ok(Lifecycle::new(p, t, backend.clone(), Arc::clone(&numbers), obituary))
        };
        watch.keep(ports.lifecycle.clone(), Place::Control, build, lost).await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Shared { plane, ports, .. } = &*self.kms.shared;
        plane.gate.shut(Scope::All, Phase::Stopped.refusal_code());
        // The store is closed and its lock given back before the threads go.
        drop(ports.backend.tell(Close));
        if let Err(error) = self.threads.stop() {
            tracing::error!(%error, "the engine's threads did not end well");
        }
        self.kms.shared.wipe();
        let left = plane.audit.close();
        let written = self.writer.take().map(JoinHandle::join);
        let unwritten = match written {
            Some(Ok(report)) => report.unwritten,
            Some(Err(_panic)) => {
                tracing::error!("the audit writer panicked");
                0
            }
            None => 0,
        };
        if left + unwritten > 0 {
            let records = left + unwritten;
            tracing::error!(records, "the engine ended with audit records unwritten");
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// A handle on an engine: `Clone`, `Send`, `Sync`, for any thread and any runtime.
///
/// Calls come in two forms. Asynchronous ones wait for whatever they need. Those named `try_` run
/// on the caller's thread without waiting, and answer [`TryError::NeedsHop`](crate::TryError) where
/// they would have to.
#[derive(Clone)]
pub struct Kms {
    shared: Arc<Shared>,
    caller: Caller,
}

struct Shared {
    plane: Arc<Plane>,
    homes: Homes,
    ports: Ports,
    trail: Trail,
    jumped: Arc<AtomicBool>,
}

struct Ports {
    lifecycle: Port<Lifecycle>,
    /// The same actor: a flood of other messages refuses no stop and no freeze.
    brake: Port<Lifecycle>,
    backend: Port<BackendActor>,
    audit: Port<AuditActor>,
    reaper: Port<Reaper>,
}

impl Shared {
    /// Wipes every key, when nothing runs any more.
    fn wipe(&self) {
        let plane = &self.plane;
        plane.operations.cut(crate::error::Refused::Stopped);
        plane.slots.wipe();
        plane.random.wipe();
        if let Some(generation) = plane.withdraw() {
            generation.keys.withdraw();
        }
    }
}

impl Kms {
    /// The same handle for somebody else: what is done with it is recorded under this principal.
    #[must_use]
    pub fn on_behalf_of(&self, caller: Caller) -> Self {
        Self { shared: Arc::clone(&self.shared), caller }
    }

    /// The engine at this moment. Reads a snapshot: no message, no wait, in every state.
    #[must_use]
    pub fn status(&self) -> Status {
        let Shared { plane, jumped, .. } = &*self.shared;
        let generation = plane.generation();
        let health = plane.audit.health().state(plane.clock.boot());
        Status {
            backend: generation.as_ref().map(|generation| generation.backend),
            default_key: generation.as_ref().and_then(|generation| generation.default_key.clone()),
            keys: generation.map_or(0, |generation| generation.keys.len() as u64),
            sections: plane.gate.inside(),
            operations: plane.operations.len() as u64,
            audit_healthy: health == crate::audit::SinkState::Healthy,
            clock_jump: jumped.load(Ordering::Acquire),
            ..Status::clone(&plane.status.load())
        }
    }
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kms").finish_non_exhaustive()
    }
}

/// The plane, and the thread that writes its audit records.
fn plane(
    clock: Arc<dyn Clock>,
    sink: Box<dyn AuditSink>,
) -> Result<(Arc<Plane>, JoinHandle<WriterReport>), Error> {
    let status = Status {
        phase: Phase::NotConfigured,
        since: clock.wall(),
        generation: 0,
        reconfiguring: false,
        backend: None,
        default_key: None,
        keys: 0,
        sections: 0,
        operations: 0,
        audit_healthy: true,
        clock_jump: false,
    };
    let plane = Plane::new(clock, AuditBuffers::new, status);
    let unsupported = LifecycleError::Threads("the system cannot tell a forked child");
    let (plane, blocks) = plane.map_err(|_errno| unsupported)?;
    let writer = Writer::new(blocks, &plane.audit, sink, Arc::clone(&plane.clock), 1);
    let thread = std::thread::Builder::new()
        .name("portcullis-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|_error| LifecycleError::Threads("they could not be started"))?;
    Ok((Arc::new(plane), thread))
}

/// Waits for `future` on a thread without a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = core::task::Context::from_waker(&waker);
    let mut future = core::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            core::task::Poll::Ready(output) => return output,
            core::task::Poll::Pending => std::thread::park(),
        }
    }
}
