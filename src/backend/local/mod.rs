//! The local keystore: one directory, records sealed under a root key.
//!
//! ```text
//! keystore        which keystore, and its key sealed under the root key    header.rs, root.rs
//! manifest        every file with its digest, and the log of changes       manifest.rs
//! <name>.key      one key: settings, tags, versions, their material        record.rs
//! lock            empty; locked (flock) by the one process that has it open
//! (elsewhere)     the mark of the newest state                             anchor.rs
//! ```
//!
//! What is refused, each with its file and a type of its own: a wrong owner or mode, a link, a
//! record that was changed, cut, exchanged, put back or removed, a file that is not the keystore's,
//! a second process, a wrong root key, and, against the mark, an older copy of the whole directory.
//! Nothing is changed on disk before everything was found whole.
//!
//! Invariants:
//!
//! 1. A mutation is answered once file, directory and mark are durable (guarantee 3). A crash at
//!    any step leaves the old record or the new one.
//! 2. Nothing that is missing is made anew (guarantee 8): only [`init`] makes a keystore.
//! 3. After a fault of the store every mutation is refused until it is opened again.
//! 4. A destroyed key's record holds no material, and is the key's tombstone.
//!
//! Opening 10,000 keys takes about a fifth of a second, a mutation three syncs.

mod admin;
mod anchor;
mod codec;
mod config;
mod disk;
mod header;
mod keys;
mod manifest;
mod record;
mod root;
mod store;
mod verify;

#[cfg(test)]
pub(super) mod tests;

use core::sync::atomic::AtomicBool;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use admin::{accept_rollback, change_root_key, init, inspect, set_anchor};
pub use anchor::{Anchor, AnchorStore, Mark};
pub use config::{InitOptions, KeystoreInfo, LocalConfig};
pub use keys::KeystoreId;
pub use root::{RootKey, create_root_key_file};

use self::store::{Found, Store};
use super::{Backend, BackendFuture, BackendKind, Capabilities, Mutated, VersionReach};
use crate::clock::WallTime;
use crate::error::{ConfigErrors, Error, KeyError, KeystoreError, KeystoreProblem};
use crate::key::{KeyId, KeyRecord, Mutation, NewVersion, Outcome, VersionTag, apply};
use crate::limits::KEYS_MAX;
use crate::secret::Secret;
use crate::secret::random::RandomPool;

/// An open keystore as a backend.
pub(crate) struct LocalBackend {
    store: Store,
    records: BTreeMap<KeyId, Arc<KeyRecord>>,
    random: Arc<RandomPool>,
}

impl LocalBackend {
    /// Opens the keystore of `config` and reads every key. `abandoned` is looked at between
    /// records, so that a start that was superseded ends soon.
    ///
    /// # Errors
    /// [`KeystoreError`] with the file and what is wrong with it; nothing was changed then, unless
    /// it is a fault of the disk while a crash's remains were cleared away. `Superseded` if
    /// `abandoned` was set.
    pub(crate) fn open(
        config: &LocalConfig,
        random: Arc<RandomPool>,
        abandoned: &AtomicBool,
    ) -> Result<Self, Error> {
        let found = Found::examine(config, abandoned)?;
        let mark = found.check_mark(&config.anchor)?;
        let (store, records) = found.settle(&config.anchor, mark)?;
        Ok(Self { store, records, random })
    }

    /// Whether a configuration may take over the store that `in_use` opened: its root key must open
    /// it, and the mark stay where it is.
    ///
    /// # Errors
    /// [`ConfigErrors`] if the anchor is another, [`KeystoreError`] if the root key is.
    pub(crate) fn check_successor(config: &LocalConfig, in_use: &LocalConfig) -> Result<(), Error> {
        if !config.anchor.is_same(&in_use.anchor) {
            let problem = "cannot change while the keystore is in use: stop the engine first";
            return Err(ConfigErrors::of("backend.local.anchor", problem).into());
        }
        Ok(store::try_root_key(config)?)
    }

    /// What the keystore says of itself.
    #[cfg(test)]
    pub(crate) fn info(&self) -> KeystoreInfo {
        self.store.info()
    }

    fn mutate_now(
        &mut self,
        id: &KeyId,
        mutation: &Mutation,
        now: WallTime,
    ) -> Result<Mutated, Error> {
        self.store.check_poison()?;
        let current = self.records.get(id);
        if current.is_none() && self.records.len() >= KEYS_MAX {
            return Err(KeyError::LimitExceeded("keys per keystore").into());
        }
        let directory = || self.store.error(KeystoreProblem::NoRandomness);
        let fresh = || fresh_version(&self.random, &directory().path);
        let record = match apply(current.map(|key| &**key), id, mutation, now, fresh)? {
            Outcome::Changed(record) => Arc::new(record),
            Outcome::Unchanged => {
                let record = current.ok_or(KeyError::NotFound)?;
                return Ok(Mutated { record: Arc::clone(record), changed: false });
            }
        };
        let nonce = self.random.array(0).map_err(|_| directory())?;
        let (keystore, key) = (self.store.header.id, &self.store.keys.record);
        let file = record::seal(&record, keystore, key, nonce);
        self.store.commit(&record::file_name(id), &file)?;
        self.records.insert(id.clone(), Arc::clone(&record));
        Ok(Mutated { record, changed: true })
    }
}

impl Backend for LocalBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Local
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            mutable: true,
            in_process: true,
            durable_use_counts: true,
            shared: false,
            retire_version: VersionReach::Any,
            destroy_version: VersionReach::Any,
        }
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
        Box::pin(async move { self.mutate_now(id, mutation, now) })
    }
}

/// A version's random tag and material.
fn fresh_version(random: &RandomPool, directory: &Path) -> Result<NewVersion, Error> {
    let failed = |_| no_randomness(directory);
    let tag = VersionTag::from_bytes(random.array(0).map_err(failed)?);
    let material = Secret::fill_with(|out| random.fill(0, out)).map_err(failed)?;
    Ok(NewVersion { tag, material: Some(Arc::new(material)) })
}

fn no_randomness(directory: &Path) -> KeystoreError {
    KeystoreError::new(directory, KeystoreProblem::NoRandomness)
}
