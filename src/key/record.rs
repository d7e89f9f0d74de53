//! What is known of one master key.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::KeyId;
use crate::clock::WallTime;
use crate::limits::ROTATE_AT_USES_DEFAULT;
use crate::secret::Secret;

/// The number of a key version: 1 for the first, each rotation adds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// The first version of every key.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Version `number`; `None` for zero.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// The version after this one; `None` at the end of the numbers.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Eight bytes, drawn at random when a version is made, that stand in the version's record and in
/// every envelope under it.
///
/// They tell two histories apart: after a restore, two different versions can bear the number 5.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionTag([u8; 8]);

impl VersionTag {
    /// A tag of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionTag({self})")
    }
}

impl serde::Serialize for VersionTag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a master key may be used for at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// Everything.
    Enabled,
    /// No wrapping; unwrapping only where the key's policy says so.
    Disabled,
    /// Nothing; destroyed at a moment in the future unless that is cancelled.
    PendingDeletion {
        /// When.
        at: WallTime,
        /// Whether cancelling brings back Enabled or Disabled.
        was_enabled: bool,
    },
    /// Nothing, for ever; the record is the key's tombstone.
    Destroyed,
}

impl KeyState {
    /// The state as a word, for errors and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::PendingDeletion { .. } => "pending deletion",
            Self::Destroyed => "destroyed",
        }
    }

    /// The states as labels of metrics, by [`Self::index`].
    pub(crate) const LABELS: [&'static str; 4] =
        ["enabled", "disabled", "pending-deletion", "destroyed"];

    /// A number for tables of states.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Enabled => 0,
            Self::Disabled => 1,
            Self::PendingDeletion { .. } => 2,
            Self::Destroyed => 3,
        }
    }
}

/// What one version of a master key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VersionState {
    /// It unwraps, and wraps while it is the newest.
    Active,
    /// It refuses to unwrap until it is reinstated.
    Retired,
    /// Its material is erased.
    Destroyed,
}

impl VersionState {
    /// The state as a word, for errors and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        }
    }
}

/// Settings of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KeyPolicy {
    /// Whether a disabled key still unwraps. Off by default: disabling is a brake.
    pub allow_decrypt_when_disabled: bool,
    /// Rotate once the current version is this old.
    pub rotate_after: Option<Duration>,
    /// Rotate once the current version has wrapped this often; at most 2^32.
    pub rotate_at_uses: Option<u64>,
}

impl KeyPolicy {
    /// The default: rotation at 2^31 uses, none by age, a disabled key unwraps nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            allow_decrypt_when_disabled: false,
            rotate_after: None,
            rotate_at_uses: Some(ROTATE_AT_USES_DEFAULT),
        }
    }
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The stored bytes of one version: an HKDF input, never itself a key (see `crypto::schedule`).
pub(crate) type Material = Arc<Secret<32>>;

/// A block of uses that one engine may make: those after the first up to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UseGrant {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// One version of one key.
pub(crate) struct VersionRecord {
    pub(crate) version: KeyVersion,
    pub(crate) tag: VersionTag,
    pub(crate) created: WallTime,
    pub(crate) state: VersionState,
    /// Uses reserved so far, by whomever: at least as many as were made.
    pub(crate) uses_reserved: u64,
    /// The last block of them that is this engine's, where others reserve too; absent where all of
    /// them are.
    pub(crate) grant: Option<UseGrant>,
    /// Absent where the backend never lets it out, and once the version is destroyed.
    pub(crate) material: Option<Material>,
}

impl VersionRecord {
    /// The same version with some fields changed. Material is shared, not copied.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut version = Self {
            version: self.version,
            tag: self.tag,
            created: self.created,
            state: self.state,
            uses_reserved: self.uses_reserved,
            grant: self.grant,
            material: self.material.clone(),
        };
        change(&mut version);
        Arc::new(version)
    }
}

/// What is wrong with a key in its store, and where there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) place: String,
    pub(crate) problem: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.problem)
    }
}

/// All that is kept of one key. Versions are shared between successive records of the key.
#[derive(Clone)]
pub(crate) struct KeyRecord {
    pub(crate) id: KeyId,
    pub(crate) description: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) state: KeyState,
    pub(crate) policy: KeyPolicy,
    pub(crate) created: WallTime,
    /// Set when the keystore was restored or rolled back, cleared by rotation.
    pub(crate) open_only: bool,
    /// What is missing or was changed in the store: then the key is good for nothing (guarantee 8).
    pub(crate) damage: Option<Arc<Damage>>,
    /// Which writing of the record in its store this is, where others write there too; 0 elsewhere.
    #[cfg_attr(not(feature = "vault"), expect(dead_code, reason = "Vault alone has others"))]
    pub(crate) revision: u64,
    /// Never empty but where there is damage, in ascending order without gaps; the last one is current.
    pub(crate) versions: Vec<Arc<VersionRecord>>,
}

impl KeyRecord {
    /// The version that wraps. `None` only for a record that no transition made.
    pub(crate) fn current(&self) -> Option<&Arc<VersionRecord>> {
        self.versions.last()
    }

    /// The number of the version that wraps.
    pub(crate) fn current_number(&self) -> Option<KeyVersion> {
        self.current().map(|current| current.version)
    }

    /// Version `version`, if the key ever had it.
    #[cfg(test)]
    pub(crate) fn version(&self, version: KeyVersion) -> Option<&Arc<VersionRecord>> {
        // Versions are numbered without gaps from the first one that is kept.
        let first = self.versions.first()?.version.number();
        let index = version.number().checked_sub(first)?;
        self.versions.get(usize::try_from(index).ok()?)
    }

    /// What a caller may see.
    pub(crate) fn describe(&self) -> KeyDescription {
        KeyDescription {
            id: self.id.clone(),
            description: self.description.clone(),
            tags: self.tags.clone(),
            state: self.state,
            policy: self.policy,
            created: self.created,
            open_only: self.open_only,
            damage: self.damage.as_ref().map(|damage| damage.to_string()),
            current_version: self.current().map_or(KeyVersion::FIRST, |current| current.version),
        }
    }

    /// What a caller may see of each version, oldest first.
    pub(crate) fn describe_versions(&self) -> Vec<VersionDescription> {
        let describe = |version: &Arc<VersionRecord>| VersionDescription {
            version: version.version,
            tag: version.tag,
            created: version.created,
            state: version.state,
            uses_reserved: version.uses_reserved,
        };
        self.versions.iter().map(describe).collect()
    }
}

/// A master key as its users see it. Times are UTC.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KeyDescription {
    /// Its id.
    pub id: KeyId,
    /// What its owner wrote about it.
    pub description: String,
    /// Names and values that its owner attached.
    pub tags: BTreeMap<String, String>,
    /// What it may be used for at present.
    pub state: KeyState,
    /// Its settings.
    pub policy: KeyPolicy,
    /// When it was made.
    pub created: WallTime,
    /// Whether it seals nothing until it is rotated, because its keystore was restored.
    pub open_only: bool,
    /// What is missing or was changed in the store, and where: then the key is good for nothing
    /// until that is mended and the engine started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// The version that wraps.
    pub current_version: KeyVersion,
}

/// One version of a master key as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VersionDescription {
    /// Its number.
    pub version: KeyVersion,
    /// Its random tag.
    pub tag: VersionTag,
    /// When it was made.
    pub created: WallTime,
    /// What it may be used for.
    pub state: VersionState,
    /// Wraps reserved so far: at least as many as were made, at most one block more.
    pub uses_reserved: u64,
}

/// Some keys of a listing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys, by id.
    pub keys: Vec<KeyDescription>,
    /// After which id the next page begins; absent on the last page.
    pub next: Option<KeyId>,
}
