//! Keys as they stand in Vault: read and verified, at the opening of a store and by looks at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::Shared;
use crate::backend::vault::document::{
    Macs, StateDocument, StateRecord, StoreDocument, UseDocument,
};
use crate::backend::vault::keeper::{Keeper, Unreadable};
use crate::backend::vault::kv::{Place, Stored};
use crate::backend::{BackendFuture, Known, Look};
use crate::clock::WallTime;
use crate::error::{Error, KeystoreError, KeystoreProblem};
use crate::key::{
    Damage, KeyId, KeyPolicy, KeyRecord, KeyState, UseGrant, VersionRecord, VersionState,
};
use crate::limits::VAULT_READS_AT_ONCE;

/// Keys that a look has found.
type Found = Vec<Arc<KeyRecord>>;

/// A key as it was read.
pub(super) struct Read {
    pub(super) key: KeyRecord,
    pub(super) macs: Macs,
    /// The newest version that its state names; Vault may have made others since.
    pub(super) listed: u32,
}

impl<K: Keeper> Shared<K> {
    /// Whether a store was made here: keys that are missing are not an empty store (guarantee 8).
    pub(super) async fn check_store(&self) -> Result<(), Error> {
        let problem = match self.kv.read::<StoreDocument>(Place::Store).await? {
            Stored::Present { document: Some(store), .. } if store.is_known() => return Ok(()),
            Stored::Present { .. } => KeystoreProblem::Damaged("the mark of the store"),
            Stored::Gone { .. } => KeystoreProblem::Missing,
            Stored::Absent => KeystoreProblem::NotInitialised,
        };
        Err(KeystoreError::new(self.kv.name(Place::Store), problem).into())
    }

    pub(super) fn foreign(&self, name: &str) -> Error {
        // What others put there is not repeated unless it is short and plain.
        let plain = name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_graphic());
        let name = if plain { name } else { "(a name that no key has)" };
        KeystoreError::new(
            self.kv.name(Place::Store).replace("/store", "/k/") + name,
            KeystoreProblem::Foreign,
        )
        .into()
    }

    pub(super) fn nonce(&self) -> Result<String, Error> {
        let nonce: [u8; 8] = self.random.array(0).map_err(|_| Error::Randomness)?;
        Ok(format!("{:016x}", u64::from_be_bytes(nonce)))
    }

    /// The keys `ids` as they stand, with their uses; damage is each key's own.
    ///
    /// What looks damaged is looked at again after [`Shared::second_look`]: Vault's reads are not
    /// linearisable, so that a leader which was deposed a moment ago answers from what it had then;
    /// and another engine may be making the key.
    pub(super) async fn read_all(&self, ids: Vec<KeyId>) -> Result<Vec<KeyRecord>, Error> {
        let (mut keys, doubtful) = self.read_each(ids).await?;
        if !doubtful.is_empty() {
            tokio::time::sleep(self.second_look).await;
            let ids = doubtful.into_iter().map(|key| key.id).collect();
            let (sound, damaged) = self.read_each(ids).await?;
            damaged.iter().for_each(tell);
            keys.extend(sound.into_iter().chain(damaged));
        }
        Ok(keys)
    }

    /// The keys `ids`: those that verify, and those that do not.
    async fn read_each(&self, ids: Vec<KeyId>) -> Result<(Vec<KeyRecord>, Vec<KeyRecord>), Error> {
        let read = |id: KeyId| async move { self.read_whole(&id).await };
        let mut reads = stream::iter(ids).map(read).buffer_unordered(VAULT_READS_AT_ONCE);
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        while let Some(key) = reads.next().await {
            let key = key?;
            if key.damage.is_some() { damaged.push(key) } else { sound.push(key) }
        }
        Ok((sound, damaged))
    }

    /// The key `id`, which is among the names, with its uses.
    async fn read_whole(&self, id: &KeyId) -> Result<KeyRecord, Error> {
        let mut key = match self.read(id, None).await {
            Ok(Some(read)) => read.key,
            Ok(None) => {
                let (place, problem) = (self.kv.name(Place::State(id)), "is missing");
                return Ok(damaged(id, None, Damage { place, problem }));
            }
            Err(Unreadable::Damaged(damage)) => return Ok(damaged(id, None, damage)),
            Err(Unreadable::Vault(error)) => return Err(error.into()),
        };
        for version in &mut key.versions {
            if version.state != VersionState::Destroyed {
                let (total, _) = self.reserved(Place::Uses(id, version.version)).await?;
                *version = version.with(|version| {
                    version.uses_reserved = total;
                    version.grant = Some(UseGrant { from: total, to: total });
                });
            }
        }
        if let Err(error) = self.keeper.align(&key).await {
            tracing::warn!(key = %id, %error, "Vault itself is not in line with a key's state");
        }
        Ok(key)
    }

    /// The key `id` for a change of it; what is known and does not verify is looked at again, as in
    /// [`Self::read_all`].
    pub(super) async fn read_surely(
        &self,
        id: &KeyId,
        known: Option<&KeyRecord>,
    ) -> Result<Option<Read>, Unreadable> {
        match self.read(id, known).await {
            Ok(None) if known.is_none() => Ok(None),
            Ok(None) | Err(Unreadable::Damaged(_)) => {
                tokio::time::sleep(self.second_look).await;
                self.read(id, known).await
            }
            Ok(Some(read)) => Ok(Some(read)),
            Err(unreadable @ Unreadable::Vault(_)) => Err(unreadable),
        }
    }

    /// The key `id` as it stands in Vault; `None` where there is none.
    async fn read(
        &self,
        id: &KeyId,
        before: Option<&KeyRecord>,
    ) -> Result<Option<Read>, Unreadable> {
        let place = Place::State(id);
        let damage = |problem| Damage { place: self.kv.name(place), problem };
        let (state, revision) = match self.kv.read::<StateDocument>(place).await? {
            Stored::Absent => return Ok(None),
            Stored::Gone { destroyed: true } => return Err(damage("was destroyed").into()),
            Stored::Gone { destroyed: false } => return Err(damage("was deleted").into()),
            Stored::Present { expires: true, .. } => {
                return Err(damage("is to be deleted by Vault at a set time").into());
            }
            Stored::Present { document: None, .. } => {
                return Err(damage("is not a key's state").into());
            }
            Stored::Present { document: Some(state), revision, .. } => (state, revision),
        };
        let record = StateRecord::parse(&state.record, id, revision).map_err(damage)?;
        let (mut key, macs) = self.keeper.complete(id, &state, &record, before).await?;
        for version in &mut key.versions {
            let known = before.and_then(|before| same_version(before, version));
            let grant = known.and_then(|known| known.grant).unwrap_or(UseGrant { from: 0, to: 0 });
            let uses = known.map_or(0, |known| known.uses_reserved);
            *version = version.with(|version| {
                version.grant = Some(grant);
                version.uses_reserved = uses;
            });
        }
        let listed = record.versions.last().map_or(0, |version| version.n);
        Ok(Some(Read { key, macs, listed }))
    }

    /// Uses reserved by anybody, and the KV version that says so.
    pub(super) async fn reserved(&self, place: Place<'_>) -> Result<(u64, u64), Error> {
        let problem = match self.kv.read::<UseDocument>(place).await? {
            Stored::Absent => return Ok((0, 0)),
            Stored::Present { document: Some(uses), revision, .. } => match uses.checked() {
                Ok(uses) => return Ok((uses.reserved, revision)),
                Err(problem) => problem,
            },
            Stored::Present { document: None, .. } => "is not a count of uses",
            // A count that is gone cannot be known to be small.
            Stored::Gone { .. } => "was deleted",
        };
        let place = self.kv.name(place);
        Err(KeystoreError::new(place, KeystoreProblem::Damaged(problem)).into())
    }

    /// What is otherwise than in `known`, of the keys `ids`: those that verify, and those that do
    /// not.
    async fn look_at_each(&self, known: &Known, ids: Vec<KeyId>) -> Result<(Found, Found), Error> {
        let look = |id: KeyId| {
            let known = known.get(&id).cloned();
            self.look_at(id, known)
        };
        let mut looks = stream::iter(ids).map(look).buffer_unordered(VAULT_READS_AT_ONCE);
        let (mut sound, mut damaged) = (Found::new(), Found::new());
        while let Some(key) = looks.next().await {
            let Some(key) = key? else { continue };
            if key.damage.is_some() { damaged.push(key) } else { sound.push(key) }
        }
        Ok((sound, damaged))
    }

    async fn look_at(
        &self,
        id: KeyId,
        known: Option<Arc<KeyRecord>>,
    ) -> Result<Option<Arc<KeyRecord>>, Error> {
        if known.as_ref().is_some_and(|known| known.damage.is_some()) {
            return Ok(None);
        }
        let key = match self.read(&id, known.as_deref()).await {
            Ok(Some(Read { key, .. })) => key,
            Ok(None) => {
                let Some(known) = &known else { return Ok(None) };
                let (place, problem) = (self.kv.name(Place::State(&id)), "is missing");
                damaged(&id, Some(known), Damage { place, problem })
            }
            Err(Unreadable::Damaged(damage)) => damaged(&id, known.as_deref(), damage),
            Err(Unreadable::Vault(error)) => return Err(error.into()),
        };
        let is_new = known.is_none_or(|known| is_otherwise(&known, &key));
        Ok(is_new.then(|| Arc::new(key)))
    }
}

/// Whether a look has found something new; an older writing than is known is a slow node's answer.
pub(super) fn is_otherwise(known: &KeyRecord, found: &KeyRecord) -> bool {
    let count = |key: &KeyRecord| key.versions.len();
    found.revision > known.revision
        || found.damage.is_some()
        || (found.revision == known.revision && count(found) > count(known))
}

pub(super) fn same_version<'k>(
    key: &'k KeyRecord,
    as_in: &VersionRecord,
) -> Option<&'k Arc<VersionRecord>> {
    let mut versions = key.versions.iter();
    versions.find(|version| version.version == as_in.version && version.tag == as_in.tag)
}

/// Says in the log that a key is damaged.
fn tell(key: &KeyRecord) {
    if let Some(damage) = &key.damage {
        tracing::error!(key = %key.id, %damage, "a key is damaged in Vault");
    }
}

/// The key with its damage: what is known of it stays, for people to look at.
fn damaged(id: &KeyId, known: Option<&KeyRecord>, damage: Damage) -> KeyRecord {
    let damage = Some(Arc::new(damage));
    match known {
        Some(known) => KeyRecord { damage, ..known.clone() },
        None => KeyRecord {
            id: id.clone(),
            description: String::new(),
            tags: BTreeMap::new(),
            state: KeyState::Disabled,
            policy: KeyPolicy::new(),
            created: WallTime::default(),
            open_only: false,
            damage,
            revision: 0,
            versions: Vec::new(),
        },
    }
}

impl<K: Keeper> Look for Shared<K> {
    fn look(
        self: Arc<Self>,
        known: Known,
        only: Option<KeyId>,
    ) -> BackendFuture<'static, Vec<Arc<KeyRecord>>> {
        Box::pin(async move {
            let ids = match only {
                Some(id) => vec![id],
                None => {
                    let names = self.kv.names().await?;
                    let ids = names.iter().filter_map(|name| name.strip_suffix('/'));
                    let mut ids: Vec<_> = ids.filter_map(KeyId::from_storage_name).collect();
                    ids.extend(known.keys().cloned());
                    ids.sort_unstable();
                    ids.dedup();
                    ids
                }
            };
            let (mut found, doubtful) = self.look_at_each(&known, ids).await?;
            if !doubtful.is_empty() {
                tokio::time::sleep(self.second_look).await;
                let ids = doubtful.into_iter().map(|key| key.id.clone()).collect();
                let (sound, damaged) = self.look_at_each(&known, ids).await?;
                damaged.iter().for_each(|key| tell(key));
                found.extend(sound.into_iter().chain(damaged));
            }
            Ok(found)
        })
    }

    fn refresh(&self) {
        self.kv.session.client().reload_certificates();
    }
}
