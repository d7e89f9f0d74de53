//! The interface of a host: [`Engine`] and [`Kms`].
//!
//! An [`Engine`] owns threads; a [`Kms`] is a handle on it for any thread and any runtime.

mod block_on;
mod keys;
mod lease;
mod lifecycle;
mod metrics;
mod objects;
mod options;
pub(crate) mod stored;

use core::fmt;
use core::mem::ManuallyDrop;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::actors::audit::{AuditActor, Trail};
use crate::actors::backend::{Adopted, BackendActor, Close, Supplies};
#[cfg(feature = "vault")]
use crate::actors::credentials::{Credentials, Registry};
use crate::actors::lifecycle::{ActorLost, Lifecycle, Numbers};
use crate::actors::meter::Meter;
use crate::actors::port::Port;
use crate::actors::reaper::{ClockWatch, Reaper};
use crate::actors::system::{Place, Threads};
use crate::actors::watch::Watch;
use crate::audit::{
    AuditBuffers, AuditSink, Caller, Operation, RecordRef, Writer, WriterCounts, WriterReport,
};
use crate::backend::Means;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, LifecycleError};
use crate::gate::{Class, Scope, stripe_of_thread};
use crate::limits::{AUDIT_DEADLINE, QUIESCE_DEADLINE};
use crate::metrics::Publisher;
use crate::object::workers::Workers;
use crate::plane::Plane;
use crate::status::{Activity, ActorActivity, AuditActivity, Phase, Status};

pub(crate) use block_on::block_on;
use block_on::block_on_within;
pub use keys::Rewrapped;
use lease::Homes;
pub use lease::{DataKey, GeneratedDataKey};
pub use objects::{OpenWriter, Opened, OpenedRange, SealWriter, Sealed, plain_size, sealed_size};
pub use options::EngineOptions;

/// A key-management engine: its threads, and the way to them.
///
/// It owns its threads and needs none of the host's: it embeds in a tokio host, an actix host or
/// none. Two engines in one process never meet. Dropping it stops it and joins its threads; what
/// its handles are asked afterwards is refused.
pub struct Engine {
    kms: Kms,
    threads: Option<Threads>,
    writer: Option<Writing>,
}

impl Engine {
    /// An engine that runs with `config`.
    ///
    /// # Errors
    /// Those of [`Self::launch`], and of [`Kms::configure`] and [`Kms::start`].
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
        let (plane, writing) = plane(options.clock, options.audit_sink)?;
        let timer = threads.places().timer().clone();
        let lifecycle = Port::new("lifecycle", timer.clone());
        let backend = Port::new("backend", timer.clone());
        let ports = Ports {
            brake: lifecycle.lane("lifecycle brake", timer.clone()),
            lifecycle,
            backend_brake: backend.lane("backend brake", timer.clone()),
            supply: backend.lane("backend supply", timer.clone()),
            remote: backend.lane("backend use", timer.clone()),
            backend,
            #[cfg(feature = "vault")]
            identities: {
                let credentials = Port::new("credentials", timer.clone());
                let control = credentials.lane("credentials control", timer.clone());
                Registry::new(credentials, control, Arc::clone(&plane.clock))
            },
            audit: Port::new("audit", timer.clone()),
            reaper: Port::new("reaper", timer.clone()),
            meter: Port::new("meter", timer.clone()),
        };
        let rung = Arc::<AtomicBool>::default();
        let supplies = Supplies::new(ports.supply.clone(), timer.clone());
        let trail = Trail::new(Arc::clone(&plane), ports.audit.clone(), timer, Arc::clone(&rung));
        let clocks = Arc::new(ClockWatch::new(plane.clock.boot(), plane.clock.wall()));
        let watch = Watch::start(threads.places().clone()).await?;
        let written = Arc::clone(&writing.counts);
        let homes = Homes::new(&plane);
        let shared = Shared {
            plane,
            homes,
            workers: Workers::default(),
            ports,
            supplies,
            trail,
            watch,
            written,
            clocks,
            publisher: Publisher::new(options.metrics),
        };
        let kms = Kms { shared: Arc::new(shared), caller: Caller::host() };
        let engine = Self { kms, threads: Some(threads), writer: Some(writing) };
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
        let Shared { plane, ports, trail, watch, clocks, .. } = &*self.kms.shared;
        let lost = {
            let (brake, plane) = (ports.brake.clone(), Arc::clone(plane));
            move |actor: &'static str| {
                // Shut at once: the message may find the lifecycle actor gone too.
                plane.gate.shut(Scope::All, Phase::Failed(actor).refusal_code());
                if brake.tell(ActorLost(actor)).is_err() {
                    // It was the lifecycle actor: nobody else says so.
                    plane.status.rcu(|status| Status {
                        phase: Phase::Failed(actor),
                        since: plane.clock.wall(),
                        ..Status::clone(status)
                    });
                }
            }
        };
        let p = Arc::clone(plane);
        let build =
            move |obituary| Ok(AuditActor::new(Arc::clone(&p), Arc::clone(&rung), obituary));
        watch.keep(ports.audit.clone(), Place::Audit, build, lost.clone()).await?;

        #[cfg(feature = "vault")]
        {
            let identities = ports.identities.clone();
            let build = move |obituary| Ok(Credentials::new(identities.clone(), obituary));
            let port = ports.identities.port().clone();
            watch.keep(port, Place::Backend, build, lost.clone()).await?;
        }

        let (p, t, reaper) = (Arc::clone(plane), trail.clone(), ports.reaper.clone());
        let adopted = Adopted::default();
        let means = Means {
            random: Arc::clone(&plane.random),
            #[cfg(feature = "vault")]
            identities: Arc::new(ports.identities.clone()),
        };
        let in_use = adopted.clone();
        let build = move |obituary| {
            let (p, t) = (Arc::clone(&p), t.clone());
            let (reaper, adopted) = (reaper.clone(), adopted.clone());
            Ok(BackendActor::new(p, t, means.clone(), reaper, adopted, obituary))
        };
        watch.keep(ports.backend.clone(), Place::Backend, build, lost.clone()).await?;

        let (p, backend, clocks) = (Arc::clone(plane), ports.backend.clone(), Arc::clone(clocks));
        let build = move |obituary| {
            let (p, backend, clocks) = (Arc::clone(&p), backend.clone(), Arc::clone(&clocks));
            Ok(Reaper::new(p, backend, reap_interval, clocks, obituary))
        };
        watch.keep(ports.reaper.clone(), Place::Control, build, lost.clone()).await?;

        // A lane of its own: no flood refuses what opens, adopts and closes.
        let backend = ports.backend.lane("backend control", trail.timer().clone());
        let (p, t) = (Arc::clone(plane), trail.clone());
        let numbers = Arc::<Numbers>::default();
        let build = move |obituary| {
            let (p, t, in_use) = (Arc::clone(&p), t.clone(), in_use.clone());
            Ok(Lifecycle::new(p, t, backend.clone(), in_use, Arc::clone(&numbers), obituary))
        };
        watch.keep(ports.lifecycle.clone(), Place::Control, build, lost.clone()).await?;

        // Weak: the actor may be the last to hold it, on a thread that this would join.
        let shared = Arc::downgrade(&self.kms.shared);
        let Some(every) = self.kms.shared.publisher.interval() else {
            return Ok(());
        };
        let round = move || {
            if let Some(shared) = shared.upgrade() {
                shared.publish_metrics();
            }
        };
        let round = Arc::new(round);
        let build = move |obituary| Ok(Meter::new(every, Arc::clone(&round) as _, obituary));
        watch.keep(ports.meter.clone(), Place::Control, build, lost).await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Shared { plane, ports, .. } = &*self.kms.shared;
        if plane.is_forked() {
            // The threads are the parent's: here there is nobody to join.
            let _never_joined = ManuallyDrop::new((self.threads.take(), self.writer.take()));
            return;
        }
        plane.gate.shut(Scope::All, Phase::Stopped.refusal_code());
        if let Some(generation) = plane.generation() {
            let (now, number) = (plane.clock.boot(), generation.number);
            let caller = Caller::engine();
            let stop = RecordRef {
                generation: number,
                ..RecordRef::event(&caller, Operation::Stop, plane.clock.wall())
            };
            // Written before the writer ends, or kept for nobody: there is no engine to refuse.
            let _ = plane.audit.accept_brake(stripe_of_thread(), &stop, now);
        }
        // Closing withdraws the keys that sections under way still use: those end first.
        let quiesce = || block_on_within(QUIESCE_DEADLINE, plane.gate.quiesce_owned());
        if quiesce().is_some() {
            // The store is closed and its lock given back before the threads go.
            let _ = ports.backend.tell(Close);
        }
        // What they work on has met the shut gate.
        self.kms.shared.workers.close();
        // It joins them.
        drop(self.threads.take());
        // A start that was asked for meanwhile may have opened; nobody is left who opens now.
        plane.gate.shut(Scope::All, Phase::Stopped.refusal_code());
        if quiesce().is_some() {
            self.kms.shared.wipe();
        } else {
            let sections = plane.gate.inside();
            tracing::error!(sections, "sections did not end: their keys are not wiped");
        }
        plane.status.rcu(|status| Status {
            phase: Phase::Stopped,
            since: plane.clock.wall(),
            reconfiguring: false,
            ..Status::clone(status)
        });
        // The last word: what it counted until now, and that it is stopped.
        self.kms.shared.publish_metrics();
        let left = plane.audit.close();
        let unwritten = self.writer.take().map_or(0, Writing::end);
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
    /// Threads for large objects.
    workers: Workers,
    ports: Ports,
    supplies: Supplies,
    trail: Trail,
    watch: Watch,
    /// What the writer of audit records counts.
    written: Arc<WriterCounts>,
    /// Whether the wall clock can be believed.
    clocks: Arc<ClockWatch>,
    publisher: Publisher,
}

struct Ports {
    lifecycle: Port<Lifecycle>,
    /// The same actor: a flood of other messages refuses no stop and no freeze.
    brake: Port<Lifecycle>,
    backend: Port<BackendActor>,
    /// The same actor: a flood refuses no change that only takes away.
    backend_brake: Port<BackendActor>,
    /// The same actor: callers who wait for use counts stand in no queue but their own.
    supply: Port<BackendActor>,
    /// The same actor: keys that it uses for callers, apart from their changes.
    remote: Port<BackendActor>,
    /// The credentials actor, and who it keeps.
    #[cfg(feature = "vault")]
    identities: Registry,
    audit: Port<AuditActor>,
    reaper: Port<Reaper>,
    /// It is asked nothing.
    meter: Port<Meter>,
}

impl Shared {
    /// Whether the engine's threads are this process's: in a forked child nobody would answer.
    ///
    /// # Errors
    /// [`Refused::Forked`](crate::error::Refused::Forked).
    fn check_process(&self) -> Result<(), crate::error::Refused> {
        if self.plane.is_forked() { Err(crate::error::Refused::Forked) } else { Ok(()) }
    }

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
        let Shared { plane, clocks, .. } = &*self.shared;
        #[cfg(feature = "vault")]
        let ports = &self.shared.ports;
        let generation = plane.generation();
        let health = plane.audit.health().state(plane.clock.boot());
        Status {
            backend: generation.as_ref().map(|generation| generation.backend),
            capabilities: generation.as_ref().map(|generation| generation.capabilities),
            open_for_reads: plane.gate.is_open(Class::Read),
            open_for_writes: plane.gate.is_open(Class::Write),
            default_key: generation.as_ref().and_then(|generation| generation.default_key.clone()),
            keys: generation.map_or(0, |generation| generation.keys.len() as u64),
            sections: plane.gate.inside(),
            operations: plane.operations.len() as u64,
            audit_healthy: health == crate::audit::SinkState::Healthy,
            clock_jump: clocks.holds(),
            #[cfg(feature = "vault")]
            vault: ports.identities.status(),
            ..Status::clone(&plane.status.load())
        }
    }
}

#[cfg(feature = "testing")]
impl Kms {
    /// Sections that ended well, for tests: see [`crate::bench_support::sections`].
    pub(crate) fn sections(&self) -> (u64, u64) {
        self.shared.plane.stamps.count()
    }
}

impl Kms {
    /// What the engine has done so far, in numbers. Reads counters: no message, no wait.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let Shared { ports, written, .. } = &*self.shared;
        let read = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let actors = ports
            .lanes()
            .into_iter()
            .map(|lane| ActorActivity { actor: lane.name, messages: lane.messages });
        let actors = actors.collect();
        let audit = AuditActivity {
            records: read(&written.records),
            bytes: read(&written.bytes),
            transactions: read(&written.transactions),
            failures: read(&written.failures),
            lag_ms: read(&written.lag_ms),
        };
        Activity { actors, audit }
    }
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kms").finish_non_exhaustive()
    }
}

/// The thread that writes audit records, and what it counts.
struct Writing {
    thread: JoinHandle<WriterReport>,
    /// Hears that it has ended, for a join that must not wait for ever.
    ended: Receiver<()>,
    counts: Arc<WriterCounts>,
}

impl Writing {
    /// Joins the thread, whose buffers are closed; how many records the sink did not take. A sink
    /// that blocks is left behind with its thread: it is the host's code and cannot be interrupted.
    fn end(self) -> u64 {
        // A sender that is dropped has ended too, by a panic.
        if self.ended.recv_timeout(AUDIT_DEADLINE) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the audit sink blocks: its thread is left behind");
            return 0;
        }
        let Ok(report) = self.thread.join() else {
            tracing::error!("the audit writer panicked");
            return 0;
        };
        report.unwritten
    }
}

/// The plane, and who writes its audit records.
fn plane(clock: Arc<dyn Clock>, sink: Box<dyn AuditSink>) -> Result<(Arc<Plane>, Writing), Error> {
    let status = Status {
        phase: Phase::NotConfigured,
        since: clock.wall(),
        generation: 0,
        reconfiguring: false,
        backend: None,
        capabilities: None,
        default_key: None,
        keys: 0,
        open_for_reads: false,
        open_for_writes: false,
        sections: 0,
        operations: 0,
        audit_healthy: true,
        clock_jump: false,
        vault: None,
    };
    let plane = Plane::new(clock, AuditBuffers::new, status);
    let unsupported = LifecycleError::Threads("the system cannot tell a forked child");
    let (plane, blocks) = plane.map_err(|_errno| unsupported)?;
    let writer = Writer::new(blocks, &plane.audit, sink, Arc::clone(&plane.clock), 1);
    let counts = writer.counts();
    let (ends, ended) = bounded::<()>(1);
    let thread = std::thread::Builder::new()
        .name("portcullis-writer".to_owned())
        .spawn(move || {
            let report = writer.run();
            // Nobody may be waiting for it.
            let _ = ends.send(());
            report
        })
        .map_err(|_error| LifecycleError::Threads("they could not be started"))?;
    Ok((Arc::new(plane), Writing { thread, ended, counts }))
}

#[cfg(test)]
mod tests;
