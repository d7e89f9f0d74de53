//! AppRole: a role id, and a secret id that may have few uses and a short life.
//!
//! Owns what is known of the secret id: how many logins are left in it and how long it lasts. That
//! comes from Vault where the role's name is configured and the policy allows looking the secret id
//! up, from the wrapped answer that delivered it, and from counting own logins in between.
//!
//! A login with a secret id that has one use left is refused here, before it is sent: the last use
//! is for the next start of the process, which otherwise could not come up. Only the first login of
//! a secret id is always made, because its uses are not known before.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::answer::{self, SecretIdFacts};
use super::source::{Readers, SecretSource, Watched, copy, digest, json, text};
use super::wrapping::unwrap_secret_id;
use super::{Granted, Repeat, Token, Wire, log_in, post};
use crate::clock::{BootTime, WallTime};
use crate::error::{CredentialError, VaultError};
use crate::limits::{SECRET_ID_SECONDS_LOW, SECRET_ID_USES_LOW};
use crate::secret::SecretBuffer;
use crate::status::IdentityWarning;

/// The login of an AppRole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppRole {
    /// Where the method is mounted, `approle` by default.
    pub mount: String,
    /// Where the role id is. It names the role, and is no secret by itself.
    pub role_id: SecretSource,
    /// Where the secret id is.
    pub secret_id: SecretId,
    /// The role's name: with it the uses that a secret id has left can be looked up, and what a
    /// wrapping token must wrap is known exactly.
    pub role_name: Option<String>,
}

impl AppRole {
    /// The role of `role_id` at `approle`.
    #[must_use]
    pub fn new(role_id: SecretSource, secret_id: SecretId) -> Self {
        Self { mount: "approle".to_owned(), role_id, secret_id, role_name: None }
    }
}

/// Where a secret id is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SecretId {
    /// There.
    Plain(SecretSource),
    /// In Vault: what is there is a wrapping token, which is good for one look.
    Wrapped(SecretSource),
}

impl SecretId {
    fn source(&self) -> &SecretSource {
        match self {
            Self::Plain(source) | Self::Wrapped(source) => source,
        }
    }
}

/// The method.
pub(crate) struct Login {
    config: AppRole,
    watched: Watched,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    ledger: Ledger,
    /// What came out of the wrapping token of this digest.
    unwrapped: Option<([u8; 32], SecretBuffer)>,
    /// Vault does not let this role look its secret id up.
    must_not_look_up: bool,
}

/// What is known of the secret id that was used last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ledger {
    digest: Option<[u8; 32]>,
    uses: Option<u64>,
    expires: Option<BootTime>,
    /// Whether a login with it has succeeded.
    used: bool,
}

impl Ledger {
    /// Opens the account of the secret id `digest`, unless that is the one.
    fn turn_to(&mut self, digest: [u8; 32], now: BootTime, facts: SecretIdFacts) {
        if self.digest != Some(digest) {
            let expires = facts.ttl.map(|ttl| now.plus(ttl));
            *self = Self { digest: Some(digest), uses: facts.uses, expires, used: false };
        }
    }

    /// Whether the secret id may be used for a login.
    fn check(&self, now: BootTime) -> Result<(), CredentialError> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(CredentialError::SecretIdExpired);
        }
        match (self.used, self.uses) {
            (true, Some(0)) => Err(CredentialError::SecretIdSpent),
            (true, Some(1)) => Err(CredentialError::SecretIdKept),
            (true, Some(_) | None) | (false, _) => Ok(()),
        }
    }

    /// Counts a login that succeeded.
    fn spend(&mut self) {
        self.used = true;
        self.uses = self.uses.map(|uses| uses.saturating_sub(1));
    }

    /// Takes what Vault says.
    fn learn(&mut self, now: BootTime, facts: SecretIdFacts) {
        self.uses = facts.uses;
        self.expires = facts.ttl.map(|ttl| now.plus(ttl));
    }

    /// The warning that is due.
    fn warning(&self, now: BootTime) -> Option<IdentityWarning> {
        if let Some(uses) = self.uses.filter(|uses| *uses <= SECRET_ID_USES_LOW) {
            return Some(IdentityWarning::SecretIdUses(uses.saturating_sub(1)));
        }
        let left = self.expires.map(|expires| expires.since(now))?;
        let is_low = left < Duration::from_secs(SECRET_ID_SECONDS_LOW);
        is_low.then_some(IdentityWarning::SecretIdEnds(left.as_secs()))
    }
}

impl Login {
    pub(super) fn new(config: &AppRole) -> Self {
        let watched = Watched::new();
        Self { config: config.clone(), watched, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn run(
        &self,
        wire: &dyn Wire,
        now: BootTime,
        wall: WallTime,
    ) -> Result<Granted, VaultError> {
        #[derive(Serialize)]
        struct Body<'a> {
            role_id: &'a str,
            secret_id: &'a str,
        }
        let role_id = self.config.role_id.read(Readers::Platform).await?;
        let secret_id = self.secret_id(wire, now).await?;
        self.memory().ledger.check(now)?;
        let body = json(&Body { role_id: text(&role_id), secret_id: text(&secret_id) });
        let mut granted = log_in(wire, &self.config.mount, body, REFUSED).await?;
        self.memory().ledger.spend();
        self.look_at_secret_id(wire, &granted.token, &secret_id, now, wall).await;
        granted.grant.warning = self.memory().ledger.warning(now);
        Ok(granted)
    }

    /// The secret id, and its account opened.
    async fn secret_id(&self, wire: &dyn Wire, now: BootTime) -> Result<SecretBuffer, VaultError> {
        self.watched.note(self.config.secret_id.source()).await;
        let found = self.config.secret_id.source().read(Readers::Group).await?;
        let (secret_id, facts) = match &self.config.secret_id {
            SecretId::Plain(_) => (found, SecretIdFacts::default()),
            SecretId::Wrapped(_) => {
                let token = digest(&found);
                if let Some((unwrapped, secret_id)) = &self.memory().unwrapped
                    && *unwrapped == token
                {
                    return Ok(copy(secret_id));
                }
                let role = self.config.role_name.as_deref();
                let unwrapped = unwrap_secret_id(wire, &found, &self.config.mount, role).await?;
                self.memory().unwrapped = Some((token, copy(&unwrapped.0)));
                unwrapped
            }
        };
        self.memory().ledger.turn_to(digest(&secret_id), now, facts);
        Ok(secret_id)
    }

    /// Asks Vault what is left of the secret id, where it may be asked. Nothing depends on the
    /// answer: without it, own logins are counted.
    async fn look_at_secret_id(
        &self,
        wire: &dyn Wire,
        token: &Arc<Token>,
        secret_id: &SecretBuffer,
        now: BootTime,
        wall: WallTime,
    ) {
        #[derive(Serialize)]
        struct Body<'a> {
            secret_id: &'a str,
        }
        let Some(role) = self.config.role_name.as_ref().filter(|_| !self.memory().must_not_look_up)
        else {
            return;
        };
        let path = format!("auth/{}/role/{role}/secret-id/lookup", self.config.mount);
        let body = json(&Body { secret_id: text(secret_id) });
        match post(wire, &path, Some(token), Repeat::Safe, body).await {
            // One that is used up is not there any more: an answer without a body.
            Ok(answer) if answer.expose().is_empty() => {
                let facts = SecretIdFacts { uses: Some(0), ttl: None };
                self.memory().ledger.learn(now, facts);
            }
            Ok(answer) => {
                if let Ok(facts) = answer::secret_id(&answer, wall) {
                    self.memory().ledger.learn(now, facts);
                }
            }
            Err(VaultError::NotFound) => {
                let facts = SecretIdFacts { uses: Some(0), ttl: None };
                self.memory().ledger.learn(now, facts);
            }
            Err(VaultError::Forbidden(_)) => {
                tracing::warn!("the role must not look its secret id up: its uses are not known");
                self.memory().must_not_look_up = true;
            }
            Err(_) => {}
        }
    }

    pub(super) async fn has_changed(&self) -> bool {
        self.watched.has_changed(self.config.secret_id.source()).await
    }

    pub(super) fn forget(&self) {
        *self.memory() = Memory::default();
    }
}

const REFUSED: &str = "the role id or the secret id is not valid, or not from this address";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::from_nanos(seconds * 1_000_000_000)
    }

    fn ledger(uses: Option<u64>, ttl: Option<u64>) -> Ledger {
        let mut ledger = Ledger::default();
        let facts = SecretIdFacts { uses, ttl: ttl.map(Duration::from_secs) };
        ledger.turn_to([1; 32], at(0), facts);
        ledger
    }

    #[test]
    fn the_last_use_of_a_secret_id_is_kept() {
        let mut ledger = ledger(Some(3), None);
        for left in [2, 1] {
            assert_eq!(ledger.check(at(1)), Ok(()));
            ledger.spend();
            assert_eq!(ledger.uses, Some(left));
        }
        assert_eq!(ledger.check(at(1)), Err(CredentialError::SecretIdKept));
    }

    #[test]
    fn a_secret_id_of_one_use_starts_the_engine_and_is_spent_then() {
        let mut ledger = ledger(Some(1), None);
        assert_eq!(ledger.check(at(1)), Ok(()));
        ledger.spend();
        assert_eq!(ledger.check(at(1)), Err(CredentialError::SecretIdSpent));
    }

    #[test]
    fn another_secret_id_opens_another_account_and_the_same_one_does_not() {
        let mut ledger = ledger(Some(2), None);
        ledger.spend();
        ledger.turn_to([1; 32], at(2), SecretIdFacts { uses: Some(9), ttl: None });
        assert_eq!(ledger.check(at(2)), Err(CredentialError::SecretIdKept));
        ledger.turn_to([2; 32], at(2), SecretIdFacts::default());
        assert_eq!(ledger.check(at(2)), Ok(()));
        ledger.spend();
        assert_eq!(ledger.check(at(2)), Ok(()), "nothing is known of it");
    }

    #[test]
    fn warnings_come_before_faults() {
        let mut ledger = ledger(Some(SECRET_ID_USES_LOW + 2), None);
        ledger.spend();
        assert_eq!(ledger.warning(at(1)), None);
        ledger.spend();
        let left = SECRET_ID_USES_LOW - 1;
        assert_eq!(ledger.warning(at(1)), Some(IdentityWarning::SecretIdUses(left)));

        let ledger = self::ledger(None, Some(SECRET_ID_SECONDS_LOW + 10));
        assert_eq!(ledger.warning(at(5)), None);
        let seconds = SECRET_ID_SECONDS_LOW - 5;
        assert_eq!(ledger.warning(at(15)), Some(IdentityWarning::SecretIdEnds(seconds)));
        assert_eq!(ledger.check(at(15)), Ok(()));
        let end = at(SECRET_ID_SECONDS_LOW + 10);
        assert_eq!(ledger.check(end), Err(CredentialError::SecretIdExpired));
    }
}
