//! What stands in Vault, as JSON: the material of a version, the state of a key, its use counts.
//!
//! ```text
//! <prefix>/store            {"format":1,"store":"<16 hex>"}
//! <prefix>/k/<name>/v/<n>   {"format":1,"key","version","tag","created","material","mac"}
//! <prefix>/k/<name>/state   {"record":"<JSON text>","mac"}
//! <prefix>/k/<name>/use/<n> {"reserved"}
//!
//! version mac = HMAC-SHA-256(HKDF(material, "portcullis/v1/vault/version"),
//!                            key || 0x00 || version u32 || tag || created u64)
//! state mac   = HMAC-SHA-256(HKDF(newest material, "portcullis/v1/vault/state"), record text)
//! ```
//!
//! `record` names the key, the KV version that it was written as, and of each version its number,
//! tag, moment, state and the MAC of its material's document: so an older state put back, a document
//! put in another's place, and material that was exchanged are each told. Who can read the material
//! can forge all of it; who cannot, can only take away.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::WallTime;
use crate::crypto::schedule::labelled;
use crate::key::{
    KeyId, KeyPolicy, KeyRecord, KeyState, KeyVersion, Material, VersionRecord, VersionState,
    VersionTag,
};
use crate::limits::{KEY_VERSIONS_MAX, USES_PER_VERSION_MAX};
use crate::secret::Secret;

/// A problem of a document, as damage says it: `<place> <problem>`.
pub(super) type Problem = &'static str;

const FORMAT: u32 = 1;

/// The mark that a store was made here.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreDocument {
    pub(super) format: u32,
    pub(super) store: String,
}

impl StoreDocument {
    pub(super) fn new(id: [u8; 8]) -> Self {
        Self { format: FORMAT, store: format!("{:016x}", u64::from_be_bytes(id)) }
    }

    pub(super) fn is_known(&self) -> bool {
        self.format == FORMAT && self.store.len() == 16
    }
}

/// How many uses of one version are reserved.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UseDocument {
    pub(super) reserved: u64,
    /// Who wrote it, so that a writer whose answer was lost knows its own.
    pub(super) writer: String,
}

impl UseDocument {
    pub(super) fn checked(self) -> Result<Self, Problem> {
        if self.reserved > USES_PER_VERSION_MAX {
            Err("counts more uses than there are")
        } else {
            Ok(self)
        }
    }
}

/// The material of one version. Written once.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionDocument {
    format: u32,
    key: String,
    version: u32,
    tag: String,
    created: u64,
    /// Base64 of 32 bytes.
    material: Zeroizing<String>,
    mac: String,
}

/// A version that was read or made.
pub(super) struct MadeVersion {
    pub(super) tag: VersionTag,
    pub(super) created: WallTime,
    pub(super) material: Material,
    pub(super) mac: String,
}

impl VersionDocument {
    /// The document of a new version.
    pub(super) fn new(id: &KeyId, number: KeyVersion, made: &MadeVersion) -> Self {
        Self {
            format: FORMAT,
            key: id.to_string(),
            version: number.number(),
            tag: made.tag.to_string(),
            created: made.created.as_millis(),
            material: Zeroizing::new(STANDARD.encode(made.material.expose())),
            mac: made.mac.clone(),
        }
    }

    /// The version, if this is the document of `number` of `id`.
    pub(super) fn verify(&self, id: &KeyId, number: KeyVersion) -> Result<MadeVersion, Problem> {
        if self.format != FORMAT {
            return Err("has a format that this release does not know");
        }
        if self.key != id.as_str() || self.version != number.number() {
            return Err("holds the material of another key or version");
        }
        let tag = parse_tag(&self.tag).ok_or("has no tag")?;
        let created = WallTime::from_millis(self.created);
        let material = parse_material(&self.material).ok_or("holds no 32 bytes of material")?;
        let mac = parse_mac(&self.mac).ok_or("has no MAC")?;
        let expected = version_mac(&material, id, number, tag, created);
        verify_slices_are_equal(&mac, &expected).map_err(|_| "was changed")?;
        Ok(MadeVersion { tag, created, material: Arc::new(material), mac: self.mac.clone() })
    }
}

fn parse_material(text: &str) -> Option<Secret<32>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    // A key that was filled, not drawn.
    let is_filled = bytes.windows(2).all(|pair| pair.first() == pair.last());
    Secret::copy_of(&bytes).filter(|_| !is_filled)
}

/// The MAC of a version's document.
pub(super) fn version_mac(
    material: &Secret<32>,
    id: &KeyId,
    number: KeyVersion,
    tag: VersionTag,
    created: WallTime,
) -> [u8; 32] {
    let key = labelled(material, b"portcullis/v1/vault/version");
    let mut mac = hmac(key.expose());
    mac.update(id.as_bytes());
    mac.update(&[0]);
    mac.update(&number.number().to_be_bytes());
    mac.update(tag.as_bytes());
    mac.update(&created.as_millis().to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// The MAC of a state's record under the material of its newest version.
pub(super) fn state_mac(material: &Secret<32>, record: &str) -> String {
    let key = labelled(material, b"portcullis/v1/vault/state");
    let mut mac = hmac(key.expose());
    mac.update(record.as_bytes());
    hex(&mac.finalize().into_bytes().into())
}

/// Whether `mac` is that of `record`.
pub(super) fn check_state_mac(
    material: &Secret<32>,
    record: &str,
    mac: &str,
) -> Result<(), Problem> {
    let expected = state_mac(material, record);
    verify_slices_are_equal(mac.as_bytes(), expected.as_bytes()).map_err(|_| "was changed")
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)")
}

pub(super) fn hex(bytes: &[u8; 32]) -> String {
    use core::fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn parse_mac(text: &str) -> Option<[u8; 32]> {
    let mut mac = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in mac.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(mac)
}

fn parse_tag(text: &str) -> Option<VersionTag> {
    let is_hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(VersionTag::from_bytes(number.to_be_bytes()))
}

/// The state of a key, as it stands in KV.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateDocument {
    pub(super) record: String,
    pub(super) mac: String,
}

/// What `record` says.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateRecord {
    format: u32,
    pub(super) key: String,
    /// The KV version that it was written as.
    pub(super) written: u64,
    /// Who wrote it: a writer whose answer was lost knows its own.
    pub(super) writer: String,
    state: StoredState,
    description: String,
    tags: BTreeMap<String, String>,
    policy: StoredPolicy,
    created: u64,
    pub(super) versions: Vec<StoredVersion>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StoredState {
    Enabled,
    Disabled,
    PendingDeletion {
        at: u64,
        was_enabled: bool,
    },
    /// Cancelling is over; the material is being destroyed, or is.
    Destroying,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredPolicy {
    allow_decrypt_when_disabled: bool,
    rotate_after_ms: Option<u64>,
    rotate_at_uses: Option<u64>,
}

/// One version in a state: its number, tag, moment, state, and the MAC of its document.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredVersion {
    pub(super) n: u32,
    pub(super) tag: String,
    pub(super) created: u64,
    pub(super) state: StoredVersionState,
    /// Empty where the backend keeps the material.
    pub(super) mac: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StoredVersionState {
    Active,
    Retired,
    Destroyed,
}

impl StateRecord {
    /// The record of `key`, to be written as KV version `written`.
    pub(super) fn of(key: &KeyRecord, macs: &Macs, written: u64, writer: String) -> Self {
        let state = match key.state {
            KeyState::Enabled => StoredState::Enabled,
            KeyState::Disabled => StoredState::Disabled,
            KeyState::PendingDeletion { at, was_enabled } => {
                StoredState::PendingDeletion { at: at.as_millis(), was_enabled }
            }
            KeyState::Destroyed => StoredState::Destroying,
        };
        let millis = |age: core::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let stored = |version: &Arc<VersionRecord>| StoredVersion {
            n: version.version.number(),
            tag: version.tag.to_string(),
            created: version.created.as_millis(),
            state: match version.state {
                VersionState::Active => StoredVersionState::Active,
                VersionState::Retired => StoredVersionState::Retired,
                VersionState::Destroyed => StoredVersionState::Destroyed,
            },
            mac: macs.get(&version.version).cloned().unwrap_or_default(),
        };
        Self {
            format: FORMAT,
            key: key.id.to_string(),
            written,
            writer,
            state,
            description: key.description.clone(),
            tags: key.tags.clone(),
            policy: StoredPolicy {
                allow_decrypt_when_disabled: key.policy.allow_decrypt_when_disabled,
                rotate_after_ms: key.policy.rotate_after.map(millis),
                rotate_at_uses: key.policy.rotate_at_uses,
            },
            created: key.created.as_millis(),
            versions: key.versions.iter().map(stored).collect(),
        }
    }

    /// The text whose MAC is kept beside it.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }

    /// Reads `text` as the record of `id` that was written as `revision`.
    pub(super) fn parse(text: &str, id: &KeyId, revision: u64) -> Result<Self, Problem> {
        let record: Self = serde_json::from_str(text).map_err(|_error| "is not a key's state")?;
        if record.format != FORMAT {
            return Err("has a format that this release does not know");
        }
        if record.key != id.as_str() {
            return Err("is the state of another key");
        }
        if record.written != revision {
            return Err("is an older state, put back");
        }
        let mut numbers = record.versions.iter().map(|version| version.n);
        let first = numbers.next().ok_or("names no version")?;
        let gapless = numbers.zip(first.saturating_add(1)..).all(|(n, expected)| n == expected);
        let newest = record.versions.last().map_or(0, |version| version.n);
        if first == 0 || !gapless || newest > KEY_VERSIONS_MAX {
            return Err("names versions that do not follow each other");
        }
        Ok(record)
    }

    /// Whether the key is destroyed, or being destroyed.
    pub(super) fn is_destroyed(&self) -> bool {
        matches!(self.state, StoredState::Destroying)
    }

    /// The key, with what `version` makes of each of its versions.
    pub(super) fn key<E>(
        &self,
        id: &KeyId,
        mut version: impl FnMut(&StoredVersion, VersionRecord) -> Result<VersionRecord, E>,
        malformed: impl Fn() -> E,
    ) -> Result<KeyRecord, E> {
        let state = match self.state {
            StoredState::Enabled => KeyState::Enabled,
            StoredState::Disabled => KeyState::Disabled,
            StoredState::PendingDeletion { at, was_enabled } => {
                KeyState::PendingDeletion { at: WallTime::from_millis(at), was_enabled }
            }
            StoredState::Destroying => KeyState::Destroyed,
        };
        let mut versions = Vec::with_capacity(self.versions.len());
        for stored in &self.versions {
            let number = KeyVersion::new(stored.n).ok_or_else(&malformed)?;
            let bare = VersionRecord {
                version: number,
                tag: parse_tag(&stored.tag).ok_or_else(&malformed)?,
                created: WallTime::from_millis(stored.created),
                state: match stored.state {
                    _ if state == KeyState::Destroyed => VersionState::Destroyed,
                    StoredVersionState::Active => VersionState::Active,
                    StoredVersionState::Retired => VersionState::Retired,
                    StoredVersionState::Destroyed => VersionState::Destroyed,
                },
                uses_reserved: 0,
                grant: None,
                material: None,
            };
            versions.push(Arc::new(version(stored, bare)?));
        }
        let mut policy = KeyPolicy::new();
        policy.allow_decrypt_when_disabled = self.policy.allow_decrypt_when_disabled;
        policy.rotate_after = self.policy.rotate_after_ms.map(core::time::Duration::from_millis);
        policy.rotate_at_uses = self.policy.rotate_at_uses;
        Ok(KeyRecord {
            id: id.clone(),
            description: self.description.clone(),
            tags: self.tags.clone(),
            state,
            policy,
            created: WallTime::from_millis(self.created),
            open_only: false,
            damage: None,
            revision: self.written,
            versions,
        })
    }
}

/// The MAC of each version's document.
pub(super) type Macs = BTreeMap<KeyVersion, String>;

#[cfg(test)]
mod tests;
