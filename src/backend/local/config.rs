//! What a host says about a keystore.

use std::path::PathBuf;

use super::anchor::Anchor;
use super::keys::KeystoreId;
use super::root::RootKey;
use crate::clock::WallTime;
use crate::key::KeyId;

/// Where a keystore is, and what opens it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalConfig {
    /// The directory: mode 0700, of this process's user, nothing else in it.
    pub directory: PathBuf,
    /// What opens it.
    pub root_key: RootKey,
    /// Where its mark is kept.
    pub anchor: Anchor,
}

impl LocalConfig {
    /// The keystore in `directory`, opened by `root_key`, with its mark in `anchor`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, root_key: RootKey, anchor: Anchor) -> Self {
        Self { directory: directory.into(), root_key, anchor }
    }
}

/// How a new keystore is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InitOptions {
    /// The time of day: when the keystore and its default key were made.
    pub now: WallTime,
    /// The key to make along with it, to be the engine's default.
    pub default_key: Option<KeyId>,
    /// Whether this machine may be a clone of another one: random bytes of the operating system
    /// are then mixed into everything that is drawn.
    pub cloned_host: bool,
}

impl InitOptions {
    /// A keystore made at `now`, without a key.
    #[must_use]
    pub const fn new(now: WallTime) -> Self {
        Self { now, default_key: None, cloned_host: false }
    }
}

/// What a keystore says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KeystoreInfo {
    /// Its id.
    pub id: KeystoreId,
    /// Where it is.
    pub directory: PathBuf,
    /// When it was made.
    pub created: WallTime,
    /// Changes so far.
    pub generation: u64,
    /// Keys in it, tombstones included.
    pub keys: usize,
    /// Whether a mark is kept elsewhere, without which an older copy of the directory is not
    /// detected.
    pub anchored: bool,
}
