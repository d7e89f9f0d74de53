//! What the two Vault backends do differently: where the material of a version is.

use core::future::Future;

use super::document::{Macs, StateDocument, StateRecord};
use crate::backend::{BackendKind, Capabilities};
use crate::clock::WallTime;
use crate::error::{Error, VaultError};
use crate::key::{Damage, KeyId, KeyRecord, KeyVersion, NewVersion};

/// Why a key cannot be read.
pub(super) enum Unreadable {
    /// What is there is not what was written (guarantee 8).
    Damaged(Damage),
    /// Vault did not answer: nothing is known.
    Vault(VaultError),
}

impl From<VaultError> for Unreadable {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<Damage> for Unreadable {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// A version that was made or found, and the MAC of its document where it has one.
pub(super) struct Kept {
    pub(super) version: NewVersion,
    pub(super) created: WallTime,
    pub(super) mac: String,
}

/// Keeps the material of versions.
pub(super) trait Keeper: Send + Sync + 'static {
    const KIND: BackendKind;
    const CAPABILITIES: Capabilities;

    /// Whether everything that it needs of Vault is there.
    fn check(&self) -> impl Future<Output = Result<(), VaultError>> + Send;

    /// Makes version `number` of the key, or takes the one that an earlier try has left; durable.
    fn make(
        &self,
        id: &KeyId,
        number: KeyVersion,
        now: WallTime,
    ) -> impl Future<Output = Result<Kept, Error>> + Send;

    /// The key that `state` and `record` describe, with its material where that is held, and the
    /// MACs of its versions. What `before` holds is not fetched again.
    fn complete(
        &self,
        id: &KeyId,
        state: &StateDocument,
        record: &StateRecord,
        before: Option<&KeyRecord>,
    ) -> impl Future<Output = Result<(KeyRecord, Macs), Unreadable>> + Send;

    /// The MAC of a record under the newest version of `key`.
    fn seal(
        &self,
        key: &KeyRecord,
        record: &str,
    ) -> impl Future<Output = Result<String, VaultError>> + Send;

    /// Brings Vault in line with the versions' states that `key` says; `key` is durable.
    fn align(&self, key: &KeyRecord) -> impl Future<Output = Result<(), VaultError>> + Send;
}
