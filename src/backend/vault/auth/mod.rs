//! Who the engine is to Vault: how it logs in, and where the secrets for that come from.
//!
//! Owns the login methods: each turns secrets from their sources into a token and its lease. When
//! to log in, to renew and to give up is not decided here but by the credentials actor; what is
//! sent goes through [`Wire`], so that a method knows neither pool nor breaker.
//!
//! Invariants:
//!
//! 1. Secrets live in [`SecretBuffer`]s from the file to the request's body, and from the answer's
//!    body to the token. No answer of Vault's is copied into a string.
//! 2. A method sends each login once. Repeating is the actor's, which knows the least interval.
//! 3. A secret id is never spent to its end by the engine itself: the last use is kept for the next
//!    start ([`CredentialError::SecretIdKept`]).

mod answer;
mod approle;
mod kubernetes;
mod source;
mod token;
mod wire;
mod wrapping;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::{Arc, Weak};

pub use self::approle::{AppRole, SecretId};
pub use self::kubernetes::Kubernetes;
pub use self::source::SecretSource;
pub(crate) use self::wire::{Wire, WireFuture, WireRequest};
use super::client::Repeat;
use super::token::Token;
use crate::clock::{BootTime, WallTime};
use crate::error::{CredentialError, VaultError};
use crate::limits::{VAULT_LOGIN_INTERVAL, VAULT_LOGIN_RETRY_MAX};
use crate::secret::SecretBuffer;
use crate::status::{IdentityStatus, IdentityWarning, VaultStatus};

/// How the engine proves to Vault who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VaultAuth {
    /// With a role id and a secret id.
    AppRole(AppRole),
    /// With the token of a Kubernetes service account.
    Kubernetes(Kubernetes),
    /// With a token that somebody else makes, and that the engine renews while that is possible.
    Token(SecretSource),
}

impl VaultAuth {
    /// Whether the host handed in a secret with it.
    pub(crate) fn is_handed_in(&self) -> bool {
        let is_given = |source: &SecretSource| matches!(source, SecretSource::Given(_));
        match self {
            Self::AppRole(role) => match &role.secret_id {
                SecretId::Plain(secret) | SecretId::Wrapped(secret) => {
                    is_given(secret) || is_given(&role.role_id)
                }
            },
            Self::Kubernetes(account) => is_given(&account.token),
            Self::Token(source) => is_given(source),
        }
    }

    /// The method's name in configuration and status.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AppRole(_) => "approle",
            Self::Kubernetes(_) => "kubernetes",
            Self::Token(_) => "token",
        }
    }
}

/// How often the engine logs in, and what becomes of its token at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginLimits {
    /// Between two logins that nobody ordered.
    pub interval_min: Duration,
    /// Longest pause between two attempts while logins or renewals fail.
    pub retry_max: Duration,
    /// Whether a stop revokes the token. It waits for that a short while.
    pub revoke_on_stop: bool,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            interval_min: VAULT_LOGIN_INTERVAL,
            retry_max: VAULT_LOGIN_RETRY_MAX,
            revoke_on_stop: false,
        }
    }
}

/// What a token is good for, as Vault said when it gave, renewed or looked it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// How long it lasts from when Vault was asked; `None` if it does not end.
    pub(crate) ttl: Option<Duration>,
    pub(crate) renewable: bool,
    /// Whether it may look itself up, where that was tried.
    pub(crate) can_look_up: Option<bool>,
    /// What operators should know before it becomes a fault.
    pub(crate) warning: Option<IdentityWarning>,
}

/// Why a renewal did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewFault {
    /// Vault refuses it: the token is gone, or is not renewed any further.
    Refused,
    /// Vault could not be asked.
    Unclear,
}

/// What `lookup-self` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Vault knows the token.
    Alive(Grant),
    /// It does not, or does not let it look itself up.
    Rejected,
}

/// A configured method, and what it remembers between logins.
pub(crate) enum Method {
    AppRole(approle::Login),
    Kubernetes(kubernetes::Login),
    Token(token::Login),
}

/// A token and what it is good for.
pub(crate) struct Granted {
    pub(crate) token: Arc<Token>,
    pub(crate) grant: Grant,
}

impl Method {
    pub(crate) fn new(auth: &VaultAuth) -> Self {
        match auth {
            VaultAuth::AppRole(config) => Self::AppRole(approle::Login::new(config)),
            VaultAuth::Kubernetes(config) => Self::Kubernetes(kubernetes::Login::new(config)),
            VaultAuth::Token(source) => Self::Token(token::Login::new(source)),
        }
    }

    /// Logs in once. `probe`: finds out too whether the token may look itself up.
    ///
    /// # Errors
    /// [`VaultError::LoggedOut`] with what is wrong with a secret or what Vault says of it; any
    /// other [`VaultError`] if Vault could not be asked.
    pub(crate) async fn login(
        &self,
        wire: &dyn Wire,
        now: BootTime,
        wall: WallTime,
        probe: bool,
    ) -> Result<Granted, VaultError> {
        let mut granted = match self {
            Self::AppRole(login) => login.run(wire, now, wall).await?,
            Self::Kubernetes(login) => login.run(wire).await?,
            // Its lease is known by looking it up, and in no other way.
            Self::Token(login) => return login.run(wire).await,
        };
        if probe {
            let looked = look_up(wire, &granted.token).await?;
            granted.grant.can_look_up = Some(matches!(looked, Looked::Alive(_)));
        }
        Ok(granted)
    }

    /// Whether the source of the secret that a login uses has changed since this was asked last.
    pub(crate) async fn has_changed(&self) -> bool {
        match self {
            Self::AppRole(login) => login.has_changed().await,
            // A service account's token is replaced every hour, and read at each login.
            Self::Kubernetes(_) => false,
            Self::Token(login) => login.has_changed().await,
        }
    }

    /// Whether what the source holds is itself a token.
    pub(crate) fn source_is_token(&self) -> bool {
        matches!(self, Self::Token(_))
    }

    /// Forgets, and so wipes, what it remembers.
    pub(crate) fn forget(&self) {
        match self {
            Self::AppRole(login) => login.forget(),
            Self::Kubernetes(_) | Self::Token(_) => {}
        }
    }
}

/// Renews `token` by what it was granted at first.
///
/// # Errors
/// [`RenewFault`].
pub(crate) async fn renew(wire: &dyn Wire, token: &Arc<Token>) -> Result<Grant, RenewFault> {
    let path = "auth/token/renew-self";
    let renewed = post(wire, path, Some(token), Repeat::Safe, empty()).await;
    match renewed {
        // Less than a second is left where it says none: not a lease without an end.
        Ok(body) => match answer::renewal(&body) {
            Ok(grant) if grant.ttl.is_none() => Err(RenewFault::Refused),
            Ok(grant) => Ok(grant),
            Err(_malformed) => Err(RenewFault::Unclear),
        },
        Err(error) if is_refusal(error) => Err(RenewFault::Refused),
        Err(_error) => Err(RenewFault::Unclear),
    }
}

/// Looks `token` up with itself.
///
/// # Errors
/// [`VaultError`] if the answer says neither that it is alive nor that it is not.
pub(crate) async fn look_up(wire: &dyn Wire, token: &Arc<Token>) -> Result<Looked, VaultError> {
    let path = "auth/token/lookup-self".to_owned();
    let request = WireRequest { path, token: Some(token), body: None, repeat: Repeat::Safe };
    match wire.send(request).await {
        Ok(body) => answer::lookup(&body).map(Looked::Alive),
        Err(VaultError::Forbidden(_)) => Ok(Looked::Rejected),
        Err(error) => Err(error),
    }
}

/// Revokes `token` with itself; one that is gone already is as good.
///
/// # Errors
/// [`VaultError`] if it may still be valid.
pub(crate) async fn revoke(wire: &dyn Wire, token: &Arc<Token>) -> Result<(), VaultError> {
    let path = "auth/token/revoke-self";
    match post(wire, path, Some(token), Repeat::Safe, empty()).await {
        Ok(_) => Ok(()),
        Err(VaultError::Forbidden(_)) => match look_up(wire, token).await? {
            Looked::Rejected => Ok(()),
            Looked::Alive(_) => Err(VaultError::Forbidden("auth/token/revoke-self")),
        },
        Err(error) => Err(error),
    }
}

/// The answer to a login; `refused` says what is wrong where Vault refuses it.
async fn log_in(
    wire: &dyn Wire,
    mount: &str,
    body: SecretBuffer,
    refused: &'static str,
) -> Result<Granted, VaultError> {
    // A second time could cost a second use of what is shown.
    let answered = post(wire, &format!("auth/{mount}/login"), None, Repeat::Never, body).await;
    match answered {
        Ok(body) => {
            let (token, grant) = answer::login(&body)?;
            Ok(Granted { token: wire.tokens().make(token), grant })
        }
        Err(VaultError::Mount(_) | VaultError::NotFound) => {
            let why = "there is no such method at its mount";
            Err(CredentialError::LoginRefused(why).into())
        }
        Err(error) if is_refusal(error) => Err(CredentialError::LoginRefused(refused).into()),
        Err(error) => Err(error),
    }
}

/// Whether Vault answered, and says no to what was shown.
fn is_refusal(error: VaultError) -> bool {
    match error {
        VaultError::Forbidden(_)
        | VaultError::LoggedOut(_)
        | VaultError::Mount(_)
        | VaultError::NotFound
        | VaultError::Rejected(_) => true,
        VaultError::Busy { .. }
        | VaultError::Conflict
        | VaultError::Interrupted
        | VaultError::Malformed(_)
        | VaultError::NoLeader
        | VaultError::Paused { .. }
        | VaultError::RateLimited { .. }
        | VaultError::Redirected
        | VaultError::Sealed
        | VaultError::Timeout
        | VaultError::Tls
        | VaultError::Unavailable(_)
        | VaultError::Uninitialised
        | VaultError::Unreachable => false,
    }
}

fn post<'a>(
    wire: &'a dyn Wire,
    path: &str,
    token: Option<&'a Arc<Token>>,
    repeat: Repeat,
    body: SecretBuffer,
) -> WireFuture<'a> {
    wire.send(WireRequest { path: path.to_owned(), token, body: Some(body), repeat })
}

fn empty() -> SecretBuffer {
    SecretBuffer::from_vec(b"{}".to_vec())
}

/// A future of a keeper.
pub(crate) type KeeperFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who keeps the identities: the credentials actor, as `src` sees it.
pub(crate) trait Identities: Send + Sync {
    /// Logs in over `wire` as `auth` says and keeps that alive until the keeper is dropped, which
    /// takes the token out of force and wipes it. Dropping the future gives it up too.
    fn enroll(
        &self,
        wire: Arc<dyn Wire>,
        auth: &VaultAuth,
        limits: LoginLimits,
    ) -> KeeperFuture<'static, Result<Box<dyn Keeper>, VaultError>>;
}

/// An identity that is kept alive.
pub(crate) trait Keeper: Send + Sync {
    /// What to do about a request `mark` that Vault answered with 403 under the token of `serial`.
    ///
    /// # Errors
    /// Why no token can be had, or why nothing could be found out.
    fn rejected(
        &self,
        serial: u64,
        mark: u64,
        within: Duration,
    ) -> KeeperFuture<'static, Result<Verdict, VaultError>>;

    /// How it stands now.
    fn standing(&self) -> IdentityStatus;

    /// Takes who can say how the connection of this identity is, for whoever asks for the engine's
    /// status.
    fn introduce(&self, connection: Weak<dyn Connection>);
}

/// Who can say how a connection to Vault is.
pub(crate) trait Connection: Send + Sync {
    /// How it is now, unless it is closed. Sends nothing and waits for nothing.
    fn status(&self) -> Option<VaultStatus>;
}

/// What a rejected token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The token is good: a policy forbids the request.
    Forbidden,
    /// Another token is in force: the request may be repeated once.
    Repeat,
}

#[cfg(test)]
mod tests;
