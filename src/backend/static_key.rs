//! One key from the environment, a file or the host: read-only, for tests and for single-key hosts.
//!
//! The 32 bytes are the material of version 1, the only one. Its tag is derived from them, so that
//! an envelope made under another key is told apart from a damaged one:
//!
//! ```text
//! version tag = the first 8 bytes of HKDF-Expand-SHA-512(key, "portcullis/v1/static/tag", 32)
//! ```
//!
//! Nothing is written anywhere. Uses are counted per process and forgotten with it, which the
//! capabilities say; every other mutation is refused as `Unsupported`. When the key was made is not
//! known: the record says 1970.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::source::KeySource;
use super::{Backend, BackendFuture, BackendKind, Capabilities, Mutated, VersionReach};
use crate::clock::WallTime;
use crate::crypto::schedule::labelled;
use crate::error::{Error, KeyError};
use crate::key::{
    KeyId, KeyPolicy, KeyRecord, KeyState, KeyVersion, Mutation, Outcome, VersionRecord,
    VersionState, VersionTag, apply,
};

/// The one key, and where it comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StaticConfig {
    /// The key's id.
    pub key: KeyId,
    /// Where its 256 bits come from.
    pub source: KeySource,
}

impl StaticConfig {
    /// The key `key` from `source`.
    #[must_use]
    pub const fn new(key: KeyId, source: KeySource) -> Self {
        Self { key, source }
    }
}

/// One key that nothing changes.
pub(crate) struct StaticBackend {
    records: BTreeMap<KeyId, Arc<KeyRecord>>,
}

impl StaticBackend {
    /// Fetches the key.
    ///
    /// # Errors
    /// [`KeystoreError`](crate::error::KeystoreError) with the file or variable: it is not there,
    /// is not a key, or its owner or mode let others read it.
    pub(crate) fn open(config: &StaticConfig) -> Result<Self, Error> {
        let material = config.source.fetch()?;
        let label = labelled(&material, b"portcullis/v1/static/tag");
        let tag = label.expose().first_chunk().expect("32 bytes begin with 8");
        let version = VersionRecord {
            version: KeyVersion::FIRST,
            tag: VersionTag::from_bytes(*tag),
            created: WallTime::default(),
            state: VersionState::Active,
            uses_reserved: 0,
            grant: None,
            material: Some(Arc::new(material)),
        };
        let record = KeyRecord {
            id: config.key.clone(),
            description: String::new(),
            tags: BTreeMap::new(),
            state: KeyState::Enabled,
            policy: KeyPolicy {
                // There is no rotating it: only the hard limit is left.
                rotate_at_uses: None,
                ..KeyPolicy::new()
            },
            created: WallTime::default(),
            open_only: false,
            damage: None,
            revision: 0,
            versions: vec![Arc::new(version)],
        };
        Ok(Self { records: BTreeMap::from([(config.key.clone(), Arc::new(record))]) })
    }

    fn mutate_now(
        &mut self,
        id: &KeyId,
        mutation: &Mutation,
        now: WallTime,
    ) -> Result<Mutated, Error> {
        let unsupported = || KeyError::Unsupported {
            backend: BackendKind::Static.name(),
            operation: mutation.name(),
        };
        if !matches!(mutation, Mutation::ReserveUses { .. }) {
            return Err(unsupported().into());
        }
        let current = self.records.get(id).ok_or(KeyError::NotFound)?;
        let outcome = apply::<KeyError>(Some(current), id, mutation, now, || Err(unsupported()))?;
        let (record, changed) = match outcome {
            Outcome::Changed(record) => (Arc::new(record), true),
            Outcome::Unchanged => (Arc::clone(current), false),
        };
        self.records.insert(id.clone(), Arc::clone(&record));
        Ok(Mutated { record, changed })
    }
}

impl Backend for StaticBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Static
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            mutable: false,
            in_process: true,
            durable_use_counts: false,
            shared: false,
            retire_version: VersionReach::Nothing,
            destroy_version: VersionReach::Nothing,
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
