//! Lifecycle, through a handle.

use core::time::Duration;
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::Instrument;

use super::{Engine, Kms};
use crate::actors::lifecycle::{Configure, Freeze, Reconfigure, Start, Stop, Thaw};
use crate::actors::reaper::AcceptClock;
#[cfg(feature = "vault")]
use crate::audit::ErrorClass;
use crate::audit::{Operation, Outcome, RecordRef, Stage};
use crate::config::Config;
use crate::error::{Error, OutcomeUnknown, Refused};
use crate::gate::Scope;
#[cfg(feature = "vault")]
use crate::gate::stripe_of_thread;
use crate::limits::{ASK_DEADLINE, DRAIN_DEADLINE, OPEN_DEADLINE};
use crate::status::{FreezeReport, FreezeScope, Phase, StartReport, StopReport};
#[cfg(feature = "vault")]
use crate::status::{RotationReport, refusal};
use crate::trace;

impl Kms {
    /// Gives the engine its configuration, which the next [`Self::start`] uses.
    ///
    /// # Errors
    /// [`ConfigErrors`](crate::error::ConfigErrors) with everything that is wrong with it;
    /// [`LifecycleError::NotNow`](crate::error::LifecycleError) while the engine runs.
    pub async fn configure(&self, config: Config) -> Result<(), Error> {
        config.prepare()?;
        let configured = async {
            self.intend(Operation::Configure).await?;
            let configure = Configure { config: Arc::new(config), caller: self.caller.clone() };
            self.shared.ports.lifecycle.ask(configure, ASK_DEADLINE).await
        };
        configured.instrument(trace::call(&self.caller, "configure")).await
    }

    /// Opens the backend and then the gate. A later start or stop takes over from one that is under
    /// way.
    ///
    /// Where deletions are held because the wall clock jumped
    /// ([`Status::clock_jump`](crate::status::Status::clock_jump)), a start accepts the clock as it
    /// is, also one of an engine that runs: look at the clock first.
    ///
    /// # Errors
    /// Whatever keeps the backend from opening; the engine has [`Failed`](Phase::Failed) then, and
    /// may be started again. [`LifecycleError`](crate::error::LifecycleError) where it does not
    /// apply or another command took over, and
    /// [`SecretWiped`](crate::error::LifecycleError::SecretWiped) where the host handed in the root
    /// key itself: a stop wipes it, and [`Self::configure`] hands it in again.
    pub async fn start(&self) -> Result<StartReport, Error> {
        self.shared.check_process()?;
        let started = async {
            // After a failure, whoever died too often is built again.
            self.shared.watch.revive().await;
            let seen = self.shared.plane.gate.latest_shut();
            self.intend(Operation::Start).await?;
            let caller = self.caller.clone();
            let start = Start { seen, caller };
            let report = self.shared.ports.lifecycle.ask(start, OPEN_DEADLINE).await?;
            // Not heard, deletions stay held, and the status says so.
            let _ = self.shared.ports.reaper.ask(AcceptClock, ASK_DEADLINE).await;
            Ok(report)
        };
        started.instrument(trace::call(&self.caller, "start")).await
    }

    /// Stops the engine: shuts the gate on this thread, at once, then drains, wipes and closes.
    ///
    /// When this has answered `Ok`, no handle, lease or stream yields another byte of a key or of
    /// plaintext, and no key is in the engine's memory (guarantees 1 and 6), not even a root key
    /// that the host handed in with its configuration. The gate is shut before this returns its
    /// future, and the engine stops whether or not that is ever polled.
    ///
    /// # Errors
    /// [`LifecycleError::Stuck`](crate::error::LifecycleError) if a section does not end within a
    /// second, [`LifecycleError::BackendHung`](crate::error::LifecycleError) if the backend does
    /// not close by the deadline: the engine stays closed and goes on stopping.
    pub fn stop(&self) -> impl Future<Output = Result<StopReport, Error>> + Send + use<> {
        self.stop_within(DRAIN_DEADLINE)
    }

    /// [`Self::stop`] with a deadline. A second call may only shorten it.
    ///
    /// Streams are cut as soon as what is inside the gate has left it, which takes microseconds:
    /// each chunk needs the gate. `drain` is for what a stop waits for beyond that, a change of a
    /// key on its way to the store and the store's close; at least
    /// [`CLOSE_GRACE`](crate::limits::CLOSE_GRACE).
    ///
    /// # Errors
    /// As for [`Self::stop`].
    pub fn stop_within(
        &self,
        drain: Duration,
    ) -> impl Future<Output = Result<StopReport, Error>> + Send + use<> {
        let shut = self.shared.plane.gate.shut(Scope::All, Phase::Draining.refusal_code());
        let (done, answer) = oneshot::channel();
        let stop = Stop { drain, shut, caller: self.caller.clone(), done };
        let span = trace::call(&self.caller, "stop");
        let told = span.in_scope(|| self.shared.ports.brake.tell(stop));
        let stopped = self.heard(told, answer, drain.saturating_add(ASK_DEADLINE));
        #[cfg(feature = "vault")]
        let identities = self.shared.ports.identities.clone();
        let settled = async move {
            let report = stopped.await?;
            // The backend has dismissed its identity; the token goes once no call carries it.
            #[cfg(feature = "vault")]
            identities.settle().await;
            Ok(report)
        };
        settled.instrument(span)
    }

    /// Refuses new work of `scope` at once, and keeps keys, connection and token. The gate is shut
    /// before this returns its future, and stays shut whether or not that is ever polled. Like a
    /// stop it is carried out where the audit sink is down, and its report says so.
    ///
    /// # Errors
    /// As for [`Self::stop`], and [`LifecycleError::NotNow`](crate::error::LifecycleError) unless
    /// the engine runs.
    pub fn freeze(
        &self,
        scope: FreezeScope,
    ) -> impl Future<Output = Result<FreezeReport, Error>> + Send + use<> {
        let gate_scope = match scope {
            FreezeScope::All => Scope::All,
            FreezeScope::Writes => Scope::Writes,
        };
        let shut = self.shared.plane.gate.shut(gate_scope, Phase::Frozen(scope).refusal_code());
        let (done, answer) = oneshot::channel();
        let freeze = Freeze { scope, shut, caller: self.caller.clone(), done };
        let span = trace::call(&self.caller, "freeze");
        let told = span.in_scope(|| self.shared.ports.brake.tell(freeze));
        self.heard(told, answer, ASK_DEADLINE).instrument(span)
    }

    /// Ends a freeze.
    ///
    /// # Errors
    /// [`LifecycleError::NotNow`](crate::error::LifecycleError) unless the engine is frozen or
    /// runs.
    pub async fn thaw(&self) -> Result<(), Error> {
        let seen = self.shared.plane.gate.latest_shut();
        let thawed = async {
            self.intend(Operation::Thaw).await?;
            let caller = self.caller.clone();
            let thaw = Thaw { seen, caller };
            self.shared.ports.lifecycle.ask(thaw, ASK_DEADLINE).await
        };
        thawed.instrument(trace::call(&self.caller, "thaw")).await
    }

    /// Swaps to `config`: a new generation is built and probed beside the one that runs, and takes
    /// its place without failing an operation. On the same keystore the two share it, and so do all
    /// changes of keys.
    ///
    /// Where it is another keystore, changes are refused as retriable from now to the swap: they
    /// would be missing in a copy. What only takes away acts at once, and before the swap on the new
    /// keystore too, where that holds the same key.
    ///
    /// # Errors
    /// Whatever is wrong with the configuration or keeps its backend from opening, and
    /// [`KeyError`](crate::error::KeyError) where a key of a copy does not allow what was taken away
    /// meanwhile; the engine runs on as it was.
    pub async fn reconfigure(&self, config: Config) -> Result<StartReport, Error> {
        config.prepare()?;
        let reconfigured = async {
            self.intend(Operation::Reconfigure).await?;
            let reconfigure = Reconfigure { config: Arc::new(config), caller: self.caller.clone() };
            self.shared.ports.lifecycle.ask(reconfigure, OPEN_DEADLINE).await
        };
        reconfigured.instrument(trace::call(&self.caller, "reconfigure")).await
    }

    /// Replaces the identity towards Vault by a new one, while everything goes on: a new login, or
    /// the token's source read anew. No operation fails for it. With `revoke_old` the token before
    /// is revoked once the last request that carries it has ended; the answer waits for that.
    ///
    /// # Errors
    /// [`VaultError`](crate::error::VaultError) if there is no new token: the one before stays in
    /// force. [`Refused`] unless the engine runs or is frozen. [`Error::ApiMisuse`] for a backend
    /// that logs in nowhere.
    #[cfg(feature = "vault")]
    pub async fn rotate_credentials(&self, revoke_old: bool) -> Result<RotationReport, Error> {
        let phase = self.shared.plane.status.load().phase;
        match phase {
            Phase::Running | Phase::Frozen(_) => {}
            Phase::Draining
            | Phase::Failed(_)
            | Phase::NotConfigured
            | Phase::Starting
            | Phase::Stopped => return Err(refusal(phase.refusal_code()).into()),
        }
        let span = trace::call(&self.caller, "rotate-credentials");
        let rotated = async {
            self.intend(Operation::RotateCredentials).await?;
            Ok::<_, Error>(self.shared.ports.identities.rotate(revoke_old).await)
        };
        let rotated = rotated.instrument(span).await?;
        let outcome = match &rotated {
            Ok(_) => Outcome::Succeeded,
            Err(error) => Outcome::Failed(ErrorClass::from(error)),
        };
        let plane = &self.shared.plane;
        plane.counts.ended(stripe_of_thread(), Operation::RotateCredentials, outcome);
        let record = RecordRef {
            stage: Stage::Outcome,
            outcome,
            generation: plane.status.load().generation,
            ..RecordRef::event(&self.caller, Operation::RotateCredentials, plane.clock.wall())
        };
        // It only replaces what is in force by what is as good: done, it is not undone.
        self.shared.trail.brake(&record).await;
        rotated
    }

    /// The answer to a command that was `told` and is carried out whoever waits.
    fn heard<T: Send + 'static>(
        &self,
        told: Result<(), Refused>,
        answer: oneshot::Receiver<Result<T, Error>>,
        deadline: Duration,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T> {
        let timer = self.shared.trail.timer().clone();
        let told = self.shared.check_process().and(told);
        async move {
            told?;
            match timer.within(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                // Late, or its actor was lost with it.
                Ok(Err(_)) | Err(_) => Err(OutcomeUnknown.into()),
            }
        }
    }

    /// Records that a command which gives is about to be carried out (guarantee 4).
    async fn intend(&self, operation: Operation) -> Result<(), Error> {
        self.shared.check_process()?;
        if self.shared.trail.timer().is_gone() {
            // The engine was dropped: nobody writes, and nobody would carry it out.
            return Err(Refused::Stopped.into());
        }
        let plane = &self.shared.plane;
        let record = RecordRef {
            stage: Stage::Intent,
            outcome: Outcome::Pending,
            generation: plane.status.load().generation,
            ..RecordRef::event(&self.caller, operation, plane.clock.wall())
        };
        self.shared.trail.durable(&record).await
    }
}

impl Engine {
    /// [`Self::start`] for a thread without a runtime: waits.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_blocking(config: Config) -> Result<Self, Error> {
        super::block_on(Self::start(config))
    }
}
