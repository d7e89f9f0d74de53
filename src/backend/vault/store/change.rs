//! Changes of keys by compare-and-set, and of their use counts.

use std::sync::Arc;

use super::VaultStore;
use super::read::Read;
use crate::backend::vault::document::{Macs, StateDocument, StateRecord, UseDocument};
use crate::backend::vault::keeper::{Keeper, Kept, Unreadable};
use crate::backend::vault::kv::{Place, Stored};
use crate::backend::{Mutated, VersionReach};
use crate::clock::WallTime;
use crate::error::{Error, KeyError, OutcomeUnknown, VaultError};
use crate::key::{
    KeyId, KeyRecord, KeyVersion, Mutation, NewVersion, Outcome, UseGrant, VersionState,
    VersionTag, apply,
};
use crate::limits::{USES_PER_VERSION_MAX, VAULT_CONFLICTS_MAX};

impl<K: Keeper> VaultStore<K> {
    pub(super) async fn change(
        &mut self,
        id: &KeyId,
        mutation: &Mutation,
        now: WallTime,
    ) -> Result<Mutated, Error> {
        if let Some(damage) = self.records.get(id).and_then(|key| key.damage.as_ref()) {
            return Err(KeyError::Damaged(damage.problem).into());
        }
        if let Mutation::ReserveUses { version, up_to } = mutation {
            return self.reserve(id, *version, *up_to).await;
        }
        let mut made: Option<(KeyVersion, Kept)> = None;
        for _ in 0..VAULT_CONFLICTS_MAX {
            let before = self.read_for_change(id).await?;
            let current = before.as_ref().map(|read| &read.key);
            let listed = before.as_ref().map_or(0, |read| read.listed);
            if made.as_ref().is_some_and(|(number, _)| number.number() <= listed) {
                // Another node has made it known in between: this would be a second rotation.
                return Err(match mutation {
                    Mutation::Create { .. } => KeyError::AlreadyExists.into(),
                    _ => VaultError::Conflict.into(),
                });
            }
            self.check_reach(current, mutation)?;
            // By the rules first: nothing is made for a change that they refuse.
            let blank = VersionTag::from_bytes([0; 8]);
            let blank = || Ok::<_, Error>(NewVersion { tag: blank, material: None });
            let mut key = match (current, &made) {
                // What was made is there already, and only the state does not say so yet.
                (Some(current), Some((number, _))) if current.current_number() == Some(*number) => {
                    current.clone()
                }
                _ => match apply(current, id, mutation, now, blank)? {
                    Outcome::Changed(key) => key,
                    Outcome::Unchanged => return self.unchanged(before, mutation).await,
                },
            };
            let mut macs = before.as_ref().map(|read| read.macs.clone()).unwrap_or_default();
            if matches!(mutation, Mutation::Create { .. } | Mutation::Rotate) {
                let number = key.current_number().unwrap_or(KeyVersion::FIRST);
                let kept = match made.take().filter(|(earlier, _)| *earlier == number) {
                    Some((_, kept)) => kept,
                    None => self.shared.keeper.make(id, number, now).await?,
                };
                macs.insert(number, kept.mac.clone());
                put_version(&mut key, &kept);
                made = Some((number, kept));
            }
            match self.set(&mut key, &macs).await {
                Ok(()) => return self.changed(key, mutation).await,
                Err(Error::Vault(VaultError::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(VaultError::Conflict.into())
    }

    /// The key as Vault has it now; what others have reserved of its uses is not looked at.
    async fn read_for_change(&self, id: &KeyId) -> Result<Option<Read>, Error> {
        let known = self.records.get(id).map(|key| &**key);
        match self.shared.read_surely(id, known).await {
            Ok(read) => Ok(read),
            Err(Unreadable::Vault(error)) => Err(error.into()),
            Err(Unreadable::Damaged(damage)) => {
                tracing::error!(key = %id, %damage, "a key is damaged in Vault");
                Err(KeyError::Damaged(damage.problem).into())
            }
        }
    }

    fn check_reach(&self, key: Option<&KeyRecord>, mutation: &Mutation) -> Result<(), Error> {
        let (reach, number, is_reached): (_, _, fn(VersionState) -> bool) = match mutation {
            Mutation::Retire(number) => (K::CAPABILITIES.retire_version, *number, is_out_of_use),
            Mutation::DestroyVersion(number) => {
                (K::CAPABILITIES.destroy_version, number.version(), is_destroyed)
            }
            // The highest of those retired, or the rest would no longer be a prefix.
            Mutation::Reinstate(number) => {
                let above = key.into_iter().flat_map(|key| &key.versions);
                let mut above = above.filter(|version| version.version > *number);
                let fits = above.all(|version| version.state == VersionState::Active);
                let prefix = K::CAPABILITIES.retire_version == VersionReach::PrefixBelowLatest;
                return if fits || !prefix { Ok(()) } else { Err(self.unreached(mutation)) };
            }
            _ => return Ok(()),
        };
        match reach {
            VersionReach::Any => Ok(()),
            VersionReach::Nothing => Err(self.unreached(mutation)),
            VersionReach::PrefixBelowLatest => {
                let below = key.into_iter().flat_map(|key| &key.versions);
                let mut below = below.filter(|version| version.version < number);
                if below.all(|version| is_reached(version.state)) {
                    return Ok(());
                }
                let (field, problem) = ("version", "is not the oldest one that is left");
                Err(KeyError::Invalid { field, problem }.into())
            }
        }
    }

    fn unreached(&self, mutation: &Mutation) -> Error {
        let (backend, operation) = (K::KIND.name(), mutation.name());
        KeyError::Unsupported { backend, operation }.into()
    }

    /// Nothing is to be written; what Vault is to do may still be outstanding.
    async fn unchanged(
        &mut self,
        before: Option<Read>,
        mutation: &Mutation,
    ) -> Result<Mutated, Error> {
        let nothing = Error::Unreachable("nothing is unchanged where there is no key");
        let Read { key, .. } = before.ok_or(nothing)?;
        if reaches_vault(mutation) {
            self.shared.keeper.align(&key).await.map_err(VaultError::of_change)?;
        }
        Ok(Mutated { record: self.keep(key), changed: false })
    }

    async fn changed(&mut self, key: KeyRecord, mutation: &Mutation) -> Result<Mutated, Error> {
        let record = self.keep(key);
        if reaches_vault(mutation)
            && let Err(error) = self.shared.keeper.align(&record).await
        {
            // The state is durable and every node obeys it; Vault is brought in line at the next
            // try, or when a store is opened.
            tracing::warn!(key = %record.id, %error, "Vault itself is not in line with a key's state");
        }
        Ok(Mutated { record, changed: true })
    }

    fn keep(&mut self, key: KeyRecord) -> Arc<KeyRecord> {
        let record = Arc::new(key);
        self.records.insert(record.id.clone(), Arc::clone(&record));
        record
    }

    /// Sets the state of `key` by compare-and-set on its revision, which becomes the new one.
    async fn set(&self, key: &mut KeyRecord, macs: &Macs) -> Result<(), Error> {
        let shared = &self.shared;
        let (after, writer) = (key.revision, shared.nonce()?);
        let record = StateRecord::of(key, macs, after + 1, writer.clone()).text();
        let mac = shared.keeper.seal(key, &record).await?;
        let document = StateDocument { record, mac };
        let place = Place::State(&key.id);
        match shared.kv.write(place, &document, after).await {
            Ok(()) => {}
            Err(VaultError::Conflict) => {
                // Its own, sent twice?
                let found = shared.kv.read::<StateDocument>(place).await;
                let found = found.map_err(|_error| Error::from(OutcomeUnknown))?;
                let Stored::Present { document: Some(document), revision, .. } = found else {
                    return Err(VaultError::Conflict.into());
                };
                let record = StateRecord::parse(&document.record, &key.id, revision);
                if !record.is_ok_and(|record| record.writer == writer) {
                    return Err(VaultError::Conflict.into());
                }
            }
            Err(error) => return Err(error.of_change()),
        }
        key.revision = after + 1;
        Ok(())
    }

    /// Reserves as many uses as lie between what this engine has and `up_to`, after those that
    /// anybody has reserved.
    async fn reserve(
        &mut self,
        id: &KeyId,
        number: KeyVersion,
        up_to: u64,
    ) -> Result<Mutated, Error> {
        let record = self.records.get(id).ok_or(KeyError::NotFound)?;
        let known = record.versions.iter().find(|version| version.version == number);
        let known = known.ok_or(KeyError::VersionNotFound(number.number()))?;
        if up_to > USES_PER_VERSION_MAX {
            return Err(KeyError::UsesExhausted.into());
        }
        let own = known.grant.map_or(0, |grant| grant.to);
        if up_to <= own {
            return Ok(Mutated { record: Arc::clone(record), changed: false });
        }
        let (shared, place) = (Arc::clone(&self.shared), Place::Uses(id, number));
        for _ in 0..VAULT_CONFLICTS_MAX {
            let (from, after) = shared.reserved(place).await?;
            let to = from.saturating_add(up_to - own).min(USES_PER_VERSION_MAX);
            if to <= from {
                return Err(KeyError::UsesExhausted.into());
            }
            let document = UseDocument { reserved: to, writer: shared.nonce()? };
            match shared.kv.write(place, &document, after).await {
                Ok(()) => {
                    let grant = UseGrant { from, to };
                    return Ok(Mutated { record: self.granted(id, number, grant)?, changed: true });
                }
                // Also where it is its own, sent twice: the block is counted and never used.
                Err(VaultError::Conflict) => {}
                Err(error) => return Err(error.of_change()),
            }
        }
        Err(VaultError::Conflict.into())
    }

    fn granted(
        &mut self,
        id: &KeyId,
        number: KeyVersion,
        grant: UseGrant,
    ) -> Result<Arc<KeyRecord>, Error> {
        let record = self.records.get_mut(id).ok_or(KeyError::NotFound)?;
        let mut key = KeyRecord::clone(record);
        for version in &mut key.versions {
            if version.version == number {
                *version = version.with(|version| {
                    version.uses_reserved = grant.to;
                    version.grant = Some(grant);
                });
            }
        }
        *record = Arc::new(key);
        Ok(Arc::clone(record))
    }
}

fn is_out_of_use(state: VersionState) -> bool {
    matches!(state, VersionState::Retired | VersionState::Destroyed)
}

fn is_destroyed(state: VersionState) -> bool {
    state == VersionState::Destroyed
}

/// Whether Vault itself has something to do once the state is durable.
fn reaches_vault(mutation: &Mutation) -> bool {
    matches!(
        mutation,
        Mutation::Destroy
            | Mutation::DestroyVersion(_)
            | Mutation::Reinstate(_)
            | Mutation::Retire(_)
    )
}

/// Puts what was made in the place of the blank version that the rules have added.
fn put_version(key: &mut KeyRecord, kept: &Kept) {
    if let Some(last) = key.versions.last_mut() {
        *last = last.with(|version| {
            version.tag = kept.version.tag;
            version.created = kept.created;
            version.material.clone_from(&kept.version.material);
            version.grant = Some(UseGrant { from: 0, to: 0 });
        });
    }
}
