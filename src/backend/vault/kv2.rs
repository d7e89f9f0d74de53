//! vault-kv2: the material of versions lies in Vault's KV engine, and in the engine while it runs.
//!
//! Material is drawn here and written once, with `cas=0`: of two nodes that make the same version
//! one writes it, and the other takes what it finds. A version counts from the moment that the key's
//! state names it; one that no state names yet is what a crash left, and the next rotation takes it.

use std::sync::Arc;

use super::document::{
    Macs, MadeVersion, Problem, StateDocument, StateRecord, StoredVersion, VersionDocument,
    check_state_mac, hex, state_mac, version_mac,
};
use super::keeper::{Keeper, Kept, Unreadable};
use super::kv::{Kv, Place, Stored};
use crate::backend::{BackendKind, Capabilities, VersionReach};
use crate::clock::WallTime;
use crate::error::{Error, KeyError, VaultError};
use crate::key::{
    Damage, KeyId, KeyRecord, KeyVersion, NewVersion, VersionRecord, VersionState, VersionTag,
};
use crate::secret::Secret;
use crate::secret::random::RandomPool;

/// Keeps material in KV.
pub(super) struct Kv2Keeper {
    kv: Kv,
    random: Arc<RandomPool>,
}

impl Kv2Keeper {
    pub(super) fn new(kv: Kv, random: Arc<RandomPool>) -> Self {
        Self { kv, random }
    }

    fn draw(&self, id: &KeyId, number: KeyVersion, now: WallTime) -> Result<MadeVersion, Error> {
        let material = Secret::fill_with(|out| self.random.fill(0, out));
        let material = material.map_err(|_| Error::Randomness)?;
        let tag = VersionTag::from_bytes(self.random.array(0).map_err(|_| Error::Randomness)?);
        let mac = hex(&version_mac(&material, id, number, tag, now));
        Ok(MadeVersion { tag, created: now, material: Arc::new(material), mac })
    }

    /// The version whose document stands at its place.
    async fn fetch(&self, id: &KeyId, number: KeyVersion) -> Result<MadeVersion, Unreadable> {
        let place = Place::Version(id, number);
        let problem: Problem = match self.kv.read::<VersionDocument>(place).await? {
            Stored::Absent => MISSING,
            Stored::Gone { destroyed: true } => "was destroyed",
            Stored::Gone { destroyed: false } => "was deleted",
            Stored::Present { expires: true, .. } => "is to be deleted by Vault at a set time",
            Stored::Present { document: None, .. } => "is not the material of a key",
            Stored::Present { document: Some(document), .. } => match document.verify(id, number) {
                Ok(made) => return Ok(made),
                Err(problem) => problem,
            },
        };
        Err(Damage { place: self.kv.name(place), problem }.into())
    }

    /// Gives `bare` the material that `stored` names.
    async fn fill(
        &self,
        id: &KeyId,
        stored: &StoredVersion,
        bare: &VersionRecord,
        before: Option<&KeyRecord>,
    ) -> Result<Arc<VersionRecord>, Unreadable> {
        let known = before.into_iter().flat_map(|before| &before.versions);
        let mut known =
            known.filter(|known| known.version == bare.version && known.tag == bare.tag);
        if let Some(material) = known.find_map(|known| known.material.clone()) {
            return Ok(bare.with(|version| version.material = Some(material)));
        }
        let made = self.fetch(id, bare.version).await?;
        if made.tag != bare.tag || made.mac != stored.mac {
            let place = self.kv.name(Place::Version(id, bare.version));
            return Err(Damage { place, problem: "is not the material that was made" }.into());
        }
        Ok(bare.with(|version| version.material = Some(made.material)))
    }

    async fn is_destroyed(&self, id: &KeyId, number: KeyVersion) -> Result<bool, VaultError> {
        Ok(match self.kv.read::<VersionDocument>(Place::Version(id, number)).await? {
            Stored::Absent | Stored::Gone { destroyed: true } => true,
            Stored::Gone { destroyed: false } | Stored::Present { .. } => false,
        })
    }
}

impl Keeper for Kv2Keeper {
    const KIND: BackendKind = BackendKind::VaultKv2;
    const CAPABILITIES: Capabilities = Capabilities {
        mutable: true,
        in_process: true,
        durable_use_counts: true,
        shared: true,
        retire_version: VersionReach::Any,
        destroy_version: VersionReach::Any,
    };

    async fn check(&self) -> Result<(), VaultError> {
        Ok(())
    }

    async fn make(&self, id: &KeyId, number: KeyVersion, now: WallTime) -> Result<Kept, Error> {
        let drawn = self.draw(id, number, now)?;
        let place = Place::Version(id, number);
        let document = VersionDocument::new(id, number, &drawn);
        let made = match self.kv.write(place, &document, 0).await {
            Ok(()) => drawn,
            // Its own, sent twice, another node's, or what a crash left: whichever it is, it stands
            // there for good. The policy gives no right to write over it, and is asked first.
            Err(refused @ (VaultError::Conflict | VaultError::Forbidden(_))) => {
                match self.fetch(id, number).await {
                    Ok(made) => made,
                    Err(Unreadable::Vault(error)) => return Err(error.into()),
                    Err(Unreadable::Damaged(damage)) if damage.problem == MISSING => {
                        return Err(refused.into());
                    }
                    Err(Unreadable::Damaged(damage)) => {
                        tracing::error!(key = %id, %damage, "a version cannot be made in Vault");
                        return Err(KeyError::Damaged(damage.problem).into());
                    }
                }
            }
            // A version that no state names is no key's.
            Err(error) => return Err(error.into()),
        };
        let MadeVersion { tag, created, material, mac } = made;
        Ok(Kept { version: NewVersion { tag, material: Some(material) }, created, mac })
    }

    async fn complete(
        &self,
        id: &KeyId,
        state: &StateDocument,
        record: &StateRecord,
        before: Option<&KeyRecord>,
    ) -> Result<(KeyRecord, Macs), Unreadable> {
        let place = self.kv.name(Place::State(id));
        let damage = |problem| Unreadable::from(Damage { place: place.clone(), problem });
        let mut key =
            record.key(id, |_, bare| Ok(bare), || damage("names a version that is none"))?;
        let newest = key.current_number().ok_or_else(|| damage("names no version"))?;
        let mut macs = Macs::new();
        let mut versions = Vec::with_capacity(key.versions.len());
        for (stored, bare) in record.versions.iter().zip(&key.versions) {
            macs.insert(bare.version, stored.mac.clone());
            versions.push(match bare.state {
                VersionState::Active | VersionState::Retired => {
                    self.fill(id, stored, bare, before).await?
                }
                VersionState::Destroyed => Arc::clone(bare),
            });
        }
        let newest = match versions.last().and_then(|version| version.material.clone()) {
            Some(material) => material,
            // The key is being destroyed. Once its newest material is, nothing can tell whether this
            // was written by one who had it; and nothing is left that a forgery could take away.
            None if record.is_destroyed() => match self.fetch(id, newest).await {
                Ok(made) => made.material,
                Err(Unreadable::Damaged(_)) if self.is_destroyed(id, newest).await? => {
                    key.versions = versions;
                    return Ok((key, macs));
                }
                Err(unreadable) => return Err(unreadable),
            },
            None => return Err(damage("says that the current version is destroyed")),
        };
        check_state_mac(&newest, &state.record, &state.mac).map_err(damage)?;
        key.versions = versions;
        Ok((key, macs))
    }

    async fn seal(&self, key: &KeyRecord, record: &str) -> Result<String, VaultError> {
        let newest = key.current().and_then(|version| version.material.clone());
        let material = match (newest, key.current_number()) {
            (Some(material), _) => material,
            // The key becomes a tombstone, whose material is still there until this is written.
            (None, Some(number)) => match self.fetch(&key.id, number).await {
                Ok(made) => made.material,
                Err(Unreadable::Vault(error)) => return Err(error),
                Err(Unreadable::Damaged(_)) => return Err(VaultError::NotFound),
            },
            (None, None) => return Err(VaultError::NotFound),
        };
        Ok(state_mac(&material, record))
    }

    async fn align(&self, key: &KeyRecord) -> Result<(), VaultError> {
        for version in &key.versions {
            if version.state == VersionState::Destroyed
                && !self.is_destroyed(&key.id, version.version).await?
            {
                self.kv.destroy(Place::Version(&key.id, version.version)).await?;
            }
        }
        Ok(())
    }
}

const MISSING: Problem = "is missing";
