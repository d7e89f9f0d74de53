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

mod change;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::read::{is_otherwise, same_version};
use super::document::StoreDocument;
use super::keeper::Keeper;
use super::kv::{Kv, Place};
use crate::backend::{
    Backend, BackendFuture, BackendKind, Capabilities, Look, Mutated, Remote, Watcher,
};
use crate::clock::WallTime;
use crate::error::{Error, KeyError, KeystoreError, KeystoreProblem, VaultError};
use crate::key::{KeyId, KeyPolicy, KeyRecord, Mutation};
use crate::limits::KEYS_MAX;
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
    /// After how long what looks damaged is looked at again before it is said to be.
    pub(super) second_look: core::time::Duration,
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
        let keys = shared.read_all(ids).await?;
        let records = keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
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
