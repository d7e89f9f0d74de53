//! A token that somebody else makes: an operator, or Vault's agent with its file sink.
//!
//! Nothing is logged in: the token is read and looked up with itself, which gives its lease. One
//! that may not look itself up is refused, because nobody could ever tell a policy from a
//! revocation (Vault's `default` policy allows it).

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::source::{Readers, SecretSource, Watched, digest};
use super::{Granted, Looked, Wire, look_up};
use crate::error::{CredentialError, VaultError};
use crate::status::IdentityWarning;

/// The method.
pub(crate) struct Login {
    source: SecretSource,
    watched: Watched,
    /// The digest of the token that was accepted last.
    last: Mutex<Option<[u8; 32]>>,
}

impl Login {
    pub(super) fn new(source: &SecretSource) -> Self {
        Self { source: source.clone(), watched: Watched::new(), last: Mutex::new(None) }
    }

    fn last(&self) -> MutexGuard<'_, Option<[u8; 32]>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn run(&self, wire: &dyn Wire) -> Result<Granted, VaultError> {
        self.watched.note(&self.source).await;
        let token = self.source.read(Readers::Group).await?;
        let digest = digest(&token);
        if *self.last() == Some(digest) {
            return Err(CredentialError::SameToken.into());
        }
        let token = wire.tokens().make(token);
        match look_up(wire, &token).await? {
            Looked::Alive(mut grant) => {
                *self.last() = Some(digest);
                if grant.ttl.is_some() && !grant.renewable {
                    grant.warning = Some(IdentityWarning::TokenNotRenewable);
                }
                Ok(Granted { token, grant })
            }
            Looked::Rejected => {
                let why = "the token is not valid, or must not look itself up";
                Err(CredentialError::LoginRefused(why).into())
            }
        }
    }

    pub(super) async fn has_changed(&self) -> bool {
        self.watched.has_changed(&self.source).await
    }
}
