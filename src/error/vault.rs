//! What Vault answered instead of a result. No text of Vault's is kept: its messages repeat paths,
//! and may repeat more.

use core::time::Duration;

use super::CredentialError;
#[cfg(feature = "vault")]
use super::{Error, OutcomeUnknown};

/// Why Vault did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// As many calls to Vault are under way or wait as may.
    #[error("too many calls to Vault are under way; try again in {retry_after:?}")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// It was changed by somebody else in between: look, and try again.
    #[error("the key was changed by another node in between; look and try again")]
    Conflict,
    /// A policy forbids it.
    #[error("a Vault policy forbids it ({0}); `portcullis vault policy` prints what is needed")]
    Forbidden(&'static str),
    /// The connection broke off before the answer was there.
    #[error("the connection to Vault broke off before its answer was there")]
    Interrupted,
    /// There is no token, and none can be had at present.
    #[error("there is no valid Vault token: {0}")]
    LoggedOut(CredentialError),
    /// The answer is not one that Vault gives.
    #[error("what answers is not Vault, or its answer was damaged: {0}")]
    Malformed(&'static str),
    /// The mount is not there, or is not of the kind it must be.
    #[error("the mount {0}")]
    Mount(&'static str),
    /// No node is active: the cluster elects a leader, or has none.
    #[error("no Vault node is active")]
    NoLeader,
    /// There is nothing at that path.
    #[error("there is nothing at that path in Vault")]
    NotFound,
    /// Vault failed so often in a row that it is left alone for a while.
    #[error("Vault failed repeatedly and is left alone; try again in {retry_after:?}")]
    Paused {
        /// When to try again.
        retry_after: Duration,
    },
    /// A redirect to an address that is not configured.
    #[error("Vault redirects to an address that is not among those configured")]
    Redirected,
    /// Vault refuses the request itself.
    #[error("Vault refuses the request ({0})")]
    Rejected(&'static str),
    /// Vault's quota is used up.
    #[error("Vault limits the rate of requests; try again in {retry_after:?}")]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// Vault is sealed.
    #[error("Vault is sealed")]
    Sealed,
    /// There was no answer in time.
    #[error("Vault did not answer in time")]
    Timeout,
    /// The certificate or the name of the server is not trusted, or it does not trust ours.
    #[error("the TLS connection to Vault is not trusted")]
    Tls,
    /// Vault failed inside.
    #[error("Vault failed with HTTP status {0}")]
    Unavailable(u16),
    /// Vault has never been initialised.
    #[error("Vault is not initialised")]
    Uninitialised,
    /// No address takes a connection.
    #[error("no Vault address takes a connection")]
    Unreachable,
}

impl VaultError {
    /// A word that scripts rely on and that never changes.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Conflict => "conflict",
            Self::Forbidden(_) => "forbidden",
            Self::Interrupted => "interrupted",
            Self::LoggedOut(why) => why.code(),
            Self::Malformed(_) => "malformed",
            Self::Mount(_) => "mount",
            Self::NoLeader => "no-leader",
            Self::NotFound => "not-found",
            Self::Paused { .. } => "paused",
            Self::RateLimited { .. } => "rate-limited",
            Self::Redirected => "redirected",
            Self::Rejected(_) => "rejected",
            Self::Sealed => "sealed",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Unavailable(_) => "unavailable",
            Self::Uninitialised => "uninitialised",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether the same call may succeed later without anybody changing the configuration.
    #[must_use]
    pub fn is_retriable(self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Conflict
            | Self::Interrupted
            | Self::LoggedOut(_)
            | Self::Malformed(_)
            | Self::NoLeader
            | Self::Paused { .. }
            | Self::RateLimited { .. }
            | Self::Sealed
            | Self::Timeout
            | Self::Unavailable(_)
            | Self::Unreachable => true,
            Self::Forbidden(_)
            | Self::Mount(_)
            | Self::NotFound
            | Self::Redirected
            | Self::Rejected(_)
            | Self::Tls
            | Self::Uninitialised => false,
        }
    }

    /// Whether Vault may have carried out what failed: then it is repeated only where repeating
    /// changes nothing.
    #[must_use]
    pub fn may_have_acted(self) -> bool {
        match self {
            Self::Interrupted | Self::Malformed(_) | Self::Timeout | Self::Unavailable(_) => true,
            Self::Busy { .. }
            | Self::Conflict
            | Self::Forbidden(_)
            | Self::LoggedOut(_)
            | Self::Mount(_)
            | Self::NoLeader
            | Self::NotFound
            | Self::Paused { .. }
            | Self::RateLimited { .. }
            | Self::Redirected
            | Self::Rejected(_)
            | Self::Sealed
            | Self::Tls
            | Self::Uninitialised
            | Self::Unreachable => false,
        }
    }

    /// The answer to a change that met this: [`OutcomeUnknown`] where it may have been made.
    #[cfg(feature = "vault")]
    pub(crate) fn of_change(self) -> Error {
        if self.may_have_acted() { OutcomeUnknown.into() } else { self.into() }
    }
}

impl From<CredentialError> for VaultError {
    fn from(error: CredentialError) -> Self {
        Self::LoggedOut(error)
    }
}
