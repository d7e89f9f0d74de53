//! The credentials actor as a store in Vault sees it: [`Identities`] and [`Keeper`].

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::actor::Credentials;
use super::messages::{
    Dismiss, Enroll, Enrolment, Member, RotateCredentials, Settle, TokenRejected,
};
use super::state::Standing;
use crate::actors::port::Port;
use crate::backend::vault::auth::{
    Connection, Identities, Keeper, KeeperFuture, LoginLimits, Method, VaultAuth, Verdict, Wire,
};
use crate::clock::Clock;
use crate::error::{CredentialError, Error, VaultError};
use crate::limits::ASK_DEADLINE;
use crate::status::{IdentityHealth, IdentityStatus, RotationReport, VaultStatus};

/// The way to the credentials actor, and what outlives its value.
#[derive(Clone)]
pub(crate) struct Registry {
    port: Port<Credentials>,
    /// A lane of its own: no flood of rejected tokens refuses a login or a dismissal.
    control: Port<Credentials>,
    clock: Arc<dyn Clock>,
    kept: Kept,
}

/// The identities that are kept, for a successor of the actor.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<KeptShared>);

#[derive(Default)]
struct KeptShared {
    last: AtomicU64,
    enrolments: Mutex<BTreeMap<Member, Enrolment>>,
    connections: Mutex<BTreeMap<Member, Weak<dyn Connection>>>,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Member, Enrolment>> {
        self.0.enrolments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> BTreeMap<Member, Enrolment> {
        self.lock().clone()
    }

    pub(super) fn put(&self, member: Member, enrolment: Enrolment) {
        self.lock().insert(member, enrolment);
    }

    pub(super) fn remove(&self, member: Member) {
        self.lock().remove(&member);
        self.connections().remove(&member);
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<Member, Weak<dyn Connection>>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections, oldest first: beside the one in use there may be that of a candidate.
    fn all_connections(&self) -> Vec<Arc<dyn Connection>> {
        self.connections().values().filter_map(Weak::upgrade).collect()
    }
}

impl Registry {
    pub(crate) fn new(
        port: Port<Credentials>,
        control: Port<Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { port, control, clock, kept: Kept::default() }
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The way to the actor, for who keeps it alive.
    pub(crate) fn port(&self) -> &Port<Credentials> {
        &self.port
    }

    /// The same for what the engine itself tells it, in a queue of its own.
    pub(crate) fn control(&self) -> &Port<Credentials> {
        &self.control
    }

    /// Logs every identity in anew.
    ///
    /// # Errors
    /// [`VaultError`] if a login fails: the token before stays in force.
    pub(crate) async fn rotate(&self, revoke_old: bool) -> Result<RotationReport, Error> {
        self.control.ask(RotateCredentials { revoke_old }, ASK_DEADLINE).await
    }

    /// How the connection to Vault is, while there is one. Sends nothing and waits for nothing.
    pub(crate) fn status(&self) -> Option<VaultStatus> {
        self.kept.all_connections().iter().find_map(|connection| connection.status())
    }

    /// Waits until no token of a dismissed identity is in memory.
    pub(crate) async fn settle(&self) {
        // An actor that is gone has dropped what it had.
        let _ = self.control.ask(Settle, ASK_DEADLINE).await;
    }
}

impl Identities for Registry {
    fn enroll(
        &self,
        wire: Arc<dyn Wire>,
        auth: &VaultAuth,
        limits: LoginLimits,
    ) -> KeeperFuture<'static, Result<Box<dyn Keeper>, VaultError>> {
        let member = self.kept.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        let standing = Arc::new(ArcSwap::from_pointee(Standing::default()));
        let method = Arc::new(Method::new(auth));
        let enrolment = Enrolment { wire, method, limits, standing };
        // Made before it is asked for: dropping it in between dismisses what was begun.
        let kept = KeptIdentity {
            registry: self.clone(),
            member,
            method: auth.name(),
            enrolment: enrolment.clone(),
        };
        let asked = self.control.ask(Enroll { member, enrolment }, ASK_DEADLINE);
        Box::pin(async move {
            asked.await.map_err(vault_error)?;
            Ok(Box::new(kept) as Box<dyn Keeper>)
        })
    }
}

/// One identity, kept for as long as this lives.
struct KeptIdentity {
    registry: Registry,
    member: Member,
    method: &'static str,
    enrolment: Enrolment,
}

impl Keeper for KeptIdentity {
    fn rejected(
        &self,
        serial: u64,
        mark: u64,
        within: Duration,
    ) -> KeeperFuture<'static, Result<Verdict, VaultError>> {
        let rejected = TokenRejected { member: self.member, epoch: serial, mark };
        let asked = self.registry.port.ask(rejected, within);
        Box::pin(async move { asked.await.map_err(vault_error) })
    }

    fn standing(&self) -> IdentityStatus {
        let standing = self.enrolment.standing.load();
        let now = self.registry.clock.boot();
        let holds = standing.holds && standing.expires.is_none_or(|expires| now < expires);
        let warned = standing.fault.is_some() || standing.warning.is_some() || standing.blind;
        IdentityStatus {
            method: self.method,
            health: match (holds, warned) {
                (false, _) => IdentityHealth::LockedOut,
                (true, true) => IdentityHealth::Warned,
                (true, false) => IdentityHealth::Healthy,
            },
            lock_out_in: if holds {
                standing.expires.map(|expires| expires.since(now))
            } else {
                Some(Duration::ZERO)
            },
            next_attempt_in: standing.next_attempt.map(|next| next.since(now)),
            fault: standing.fault.map(VaultError::code),
            warning: standing.warning,
            tells_rejections_apart: !standing.blind,
            logins: standing.counts.logins,
            logins_failed: standing.counts.logins_failed,
            renewals: standing.counts.renewals,
            renewals_failed: standing.counts.renewals_failed,
            rejected: standing.counts.rejected,
            forbidden: standing.counts.forbidden,
        }
    }

    fn introduce(&self, connection: Weak<dyn Connection>) {
        self.registry.kept.connections().insert(self.member, connection);
    }
}

impl Drop for KeptIdentity {
    fn drop(&mut self) {
        let token = self.enrolment.wire.tokens().withdraw();
        if self.registry.control.tell(Dismiss { member: self.member, token }).is_err() {
            // There is no actor, and its successor must not take it over.
            self.registry.kept.remove(self.member);
            self.enrolment.method.forget();
        }
    }
}

/// What a call is told where the actor could not be asked, or did not answer in time.
fn vault_error(error: Error) -> VaultError {
    match error {
        Error::Vault(error) => error,
        Error::Refused(crate::error::Refused::Late) | Error::OutcomeUnknown(_) => {
            VaultError::Timeout
        }
        Error::Refused(
            crate::error::Refused::Full { retry_after, .. }
            | crate::error::Refused::Down { retry_after, .. },
        ) => VaultError::Busy { retry_after },
        _ => CredentialError::Closed.into(),
    }
}
