//! The records of keys in Vault: read, verified, changed by compare-and-set.
//!
//! Every change begins with what Vault holds at that moment, so that the rules see what other nodes
//! have done, and ends with a compare-and-set on it. A set that is lost begins anew, except where it
//! would then be another change than was asked for: of two nodes that rotate or create the same key
//! at once, one does.
//!
//! Invariants:
//!
//! 1. A key that does not verify is damaged: named, published as such, used for nothing, and never
//!    written to. It stays so until the store is opened again (guarantee 8).
//! 2. A change is answered once Vault has confirmed it (guarantee 3). A set whose answer was lost is
//!    sent again; what then stands there says by its writer whether it was this one.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use super::document::{Macs, StateDocument, StateRecord, StoreDocument, UseDocument};
use super::keeper::{Keeper, Unreadable};
use super::kv::{Kv, Place, Stored};
use crate::backend::{
    Backend, BackendFuture, BackendKind, Capabilities, Known, Look, Mutated, Remote, VersionReach,
    Watcher,
};
use crate::clock::WallTime;
use crate::error::{Error, KeyError, KeystoreError, KeystoreProblem, OutcomeUnknown, VaultError};
use crate::key::{
    Damage, KeyId, KeyPolicy, KeyRecord, KeyState, KeyVersion, Mutation, NewVersion, Outcome,
    UseGrant, VersionRecord, VersionState, VersionTag, apply,
};
use crate::limits::{KEYS_MAX, USES_PER_VERSION_MAX, VAULT_CONFLICTS_MAX, VAULT_READS_AT_ONCE};
use crate::secret::random::RandomPool;

/// The keys of one prefix.
pub(super) struct VaultStore<K: Keeper> {
    shared: Arc<Shared<K>>,
    records: BTreeMap<KeyId, Arc<KeyRecord>>,
    watcher: Watcher,
    remote: Option<Arc<dyn Remote>>,
}

/// What looks and changes both use.
pub(super) struct Shared<K> {
    pub(super) kv: Kv,
    pub(super) keeper: K,
    pub(super) random: Arc<RandomPool>,
}

/// A key as it was read.
struct Read {
    key: KeyRecord,
    macs: Macs,
    /// The newest version that its state names; Vault may have made others since.
    listed: u32,
}

impl<K: Keeper> VaultStore<K> {
    /// Opens the store: every key is read and verified.
    ///
    /// # Errors
    /// [`VaultError`] if Vault does not answer or does not let it, [`KeystoreProblem`] if no store
    /// was made here. Damage to one key is that key's.
    pub(super) async fn open(
        shared: Arc<Shared<K>>,
        every: core::time::Duration,
        remote: Option<Arc<dyn Remote>>,
    ) -> Result<Self, Error> {
        shared.kv.check().await?;
        shared.keeper.check().await?;
        shared.check_store().await?;
        let names = shared.kv.names().await?;
        if names.len() > KEYS_MAX {
            return Err(KeyError::LimitExceeded("keys").into());
        }
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let id = name.strip_suffix('/').and_then(KeyId::from_storage_name);
            ids.push(id.ok_or_else(|| shared.foreign(&name))?);
        }
        let mut records = BTreeMap::new();
        let read = |id: KeyId| {
            let shared = Arc::clone(&shared);
            async move {
                let read = shared.read_whole(&id).await;
                (id, read)
            }
        };
        let mut reads = stream::iter(ids).map(read).buffer_unordered(VAULT_READS_AT_ONCE);
        while let Some((id, read)) = reads.next().await {
            if let Some(read) = read? {
                records.insert(id, Arc::new(read.key));
            }
        }
        drop(reads);
        let look: Arc<dyn Look> = Arc::<Shared<K>>::clone(&shared);
        Ok(Self { shared, records, watcher: Watcher { look, every }, remote })
    }

    /// Makes the store, and its first key if `default_key` names one.
    ///
    /// # Errors
    /// [`KeystoreProblem::AlreadyInitialised`], and [`VaultError`].
    pub(super) async fn init(
        shared: Arc<Shared<K>>,
        default_key: Option<&KeyId>,
        now: WallTime,
    ) -> Result<(), Error> {
        shared.kv.check().await?;
        shared.keeper.check().await?;
        let id = shared.random.array(0).map_err(|_| Error::Randomness)?;
        match shared.kv.write(Place::Store, &StoreDocument::new(id), 0).await {
            Ok(()) => {}
            // The policy gives no right to write over it, and is asked first.
            Err(refused @ (VaultError::Conflict | VaultError::Forbidden(_))) => {
                shared.check_store().await.map_err(|_| refused)?;
                let place = shared.kv.name(Place::Store);
                return Err(KeystoreError::new(place, KeystoreProblem::AlreadyInitialised).into());
            }
            Err(error) => return Err(error.of_change()),
        }
        let Some(id) = default_key else { return Ok(()) };
        let every = core::time::Duration::MAX;
        let mut store = Self::open(shared, every, None).await?;
        let (description, tags) = (String::new(), BTreeMap::new());
        let create = Mutation::Create { description, tags, policy: KeyPolicy::new() };
        store.change(id, &create, now).await.map(drop)
    }

    async fn change(
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
        let mut made: Option<(KeyVersion, super::keeper::Kept)> = None;
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
        match self.shared.read(id, known).await {
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

impl Read {
    fn damaged(id: &KeyId, damage: Damage) -> Self {
        Self { key: damaged(id, None, damage), macs: Macs::new(), listed: 0 }
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
fn put_version(key: &mut KeyRecord, kept: &super::keeper::Kept) {
    if let Some(last) = key.versions.last_mut() {
        *last = last.with(|version| {
            version.tag = kept.version.tag;
            version.created = kept.created;
            version.material.clone_from(&kept.version.material);
            version.grant = Some(UseGrant { from: 0, to: 0 });
        });
    }
}

impl<K: Keeper> Shared<K> {
    /// Whether a store was made here: keys that are missing are not an empty store (guarantee 8).
    async fn check_store(&self) -> Result<(), Error> {
        let problem = match self.kv.read::<StoreDocument>(Place::Store).await? {
            Stored::Present { document: Some(store), .. } if store.is_known() => return Ok(()),
            Stored::Present { .. } => KeystoreProblem::Damaged("the mark of the store"),
            Stored::Gone { .. } => KeystoreProblem::Missing,
            Stored::Absent => KeystoreProblem::NotInitialised,
        };
        Err(KeystoreError::new(self.kv.name(Place::Store), problem).into())
    }

    fn foreign(&self, name: &str) -> Error {
        // What others put there is not repeated unless it is short and plain.
        let plain = name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_graphic());
        let name = if plain { name } else { "(a name that no key has)" };
        KeystoreError::new(
            self.kv.name(Place::Store).replace("/store", "/k/") + name,
            KeystoreProblem::Foreign,
        )
        .into()
    }

    fn nonce(&self) -> Result<String, Error> {
        let nonce: [u8; 8] = self.random.array(0).map_err(|_| Error::Randomness)?;
        Ok(format!("{:016x}", u64::from_be_bytes(nonce)))
    }

    /// The key `id`, with its uses; damage is the key's own.
    async fn read_whole(&self, id: &KeyId) -> Result<Option<Read>, Error> {
        match self.read(id, None).await {
            Ok(Some(mut read)) => {
                for version in &mut read.key.versions {
                    if version.state != VersionState::Destroyed {
                        let (total, _) = self.reserved(Place::Uses(id, version.version)).await?;
                        *version = version.with(|version| {
                            version.uses_reserved = total;
                            version.grant = Some(UseGrant { from: total, to: total });
                        });
                    }
                }
                if let Err(error) = self.keeper.align(&read.key).await {
                    tracing::warn!(key = %id, %error, "Vault itself is not in line with a key's state");
                }
                Ok(Some(read))
            }
            Ok(None) => {
                let (place, problem) = (self.kv.name(Place::State(id)), "is missing");
                Ok(Some(Read::damaged(id, Damage { place, problem })))
            }
            Err(Unreadable::Damaged(damage)) => Ok(Some(Read::damaged(id, damage))),
            Err(Unreadable::Vault(error)) => Err(error.into()),
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
    async fn reserved(&self, place: Place<'_>) -> Result<(u64, u64), Error> {
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
fn is_otherwise(known: &KeyRecord, found: &KeyRecord) -> bool {
    let count = |key: &KeyRecord| key.versions.len();
    found.revision > known.revision
        || found.damage.is_some()
        || (found.revision == known.revision && count(found) > count(known))
}

fn same_version<'k>(key: &'k KeyRecord, as_in: &VersionRecord) -> Option<&'k Arc<VersionRecord>> {
    let mut versions = key.versions.iter();
    versions.find(|version| version.version == as_in.version && version.tag == as_in.tag)
}

/// The key with its damage: what is known of it stays, for people to look at.
fn damaged(id: &KeyId, known: Option<&KeyRecord>, damage: Damage) -> KeyRecord {
    tracing::error!(key = %id, %damage, "a key is damaged in Vault");
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
            let known = |id: KeyId| {
                let known = known.get(&id).cloned();
                self.look_at(id, known)
            };
            let mut looks = stream::iter(ids).map(known).buffer_unordered(VAULT_READS_AT_ONCE);
            let mut found = Vec::new();
            while let Some(look) = looks.next().await {
                found.extend(look?);
            }
            Ok(found)
        })
    }

    fn refresh(&self) {
        self.kv.session.client().reload_certificates();
    }
}

/// Whoever looks or calls beside the store holds a clone of its session: it ends with the store.
impl<K: Keeper> Drop for VaultStore<K> {
    fn drop(&mut self) {
        self.shared.kv.session.close();
    }
}

impl<K: Keeper> Backend for VaultStore<K> {
    fn kind(&self) -> BackendKind {
        K::KIND
    }

    fn capabilities(&self) -> Capabilities {
        K::CAPABILITIES
    }

    fn records(&self) -> &BTreeMap<KeyId, Arc<KeyRecord>> {
        &self.records
    }

    fn mutate<'a>(
        &'a mut self,
        id: &'a KeyId,
        mutation: &'a Mutation,
        now: WallTime,
    ) -> BackendFuture<'a, Mutated> {
        Box::pin(self.change(id, mutation, now))
    }

    fn remote(&self) -> Option<Arc<dyn Remote>> {
        self.remote.clone()
    }

    fn watcher(&self) -> Option<Watcher> {
        Some(self.watcher.clone())
    }

    fn take_in(&mut self, found: Vec<Arc<KeyRecord>>) -> Vec<Arc<KeyRecord>> {
        let mut taken = Vec::new();
        for key in found {
            let known = self.records.get(&key.id);
            if known.is_some_and(|known| !is_otherwise(known, &key) || known.damage.is_some()) {
                continue;
            }
            // Uses may have been granted while it looked.
            let mut key = KeyRecord::clone(&key);
            for version in &mut key.versions {
                if let Some(known) = known.and_then(|known| same_version(known, version)) {
                    let (grant, uses) = (known.grant, known.uses_reserved);
                    *version = version.with(|version| {
                        version.grant = grant;
                        version.uses_reserved = version.uses_reserved.max(uses);
                    });
                }
            }
            let key = Arc::new(key);
            self.records.insert(key.id.clone(), Arc::clone(&key));
            taken.push(key);
        }
        taken
    }
}
