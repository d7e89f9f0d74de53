//! One key's record in its file, `<storage name of the id>.key`.
//!
//! Cleartext head, sealed body; all numbers big-endian, `n` and `m` as read:
//!
//! ```text
//! offset   length
//!      0        4  "PCKR"
//!      4        1  format version, 1
//!      5       16  keystore id
//!     21        1  n, length of the key id, 1 to 128
//!     22        n  key id
//!   22+n        4  m, length of the sealed body
//!   26+n       12  nonce
//!   38+n        m  sealed body
//! 38+n+m       16  tag, and the file ends
//! ```
//!
//! `sealed body || tag = AES-256-GCM-SIV[record key](nonce, bytes 0 to 25+n, body)` (RFC 8452). The
//! head authenticates keystore and id, and the file's name is a function of the id, so a record
//! opens in its own place alone. The body:
//!
//! ```text
//! length
//!      8  when the key was made, milliseconds since 1970-01-01T00:00:00Z
//!      1  state: 0 enabled, 1 disabled, 2 pending deletion and was enabled,
//!                3 pending deletion and was disabled, 4 destroyed
//!      8  when it is destroyed, milliseconds as above; 0 unless the state is 2 or 3
//!      1  flags: bit 0 open-only, bit 1 a disabled key still decrypts; the others are 0
//!      8  rotate after: whole seconds; 0 with 0 nanoseconds means never
//!      4  rotate after: nanoseconds, below 10^9
//!      8  rotate at so many uses, 0 to 2^32; 0 means never
//!      2  d, length of the description, 0 to 8192
//!      d  description, UTF-8
//!      1  t, number of tags, 0 to 50; then t times, names ascending by their bytes:
//!             1  length of the name, 1 to 128
//!                name, UTF-8
//!             2  length of the value, 0 to 256
//!                value, UTF-8
//!      4  number of the first version, 1 or more
//!      4  v, number of versions, 1 to 10000; then v times, in the order of their numbers:
//!             8  version tag
//!             8  when the version was made, milliseconds as above
//!             1  state: 0 active, 1 retired, 2 destroyed
//!             8  uses reserved, 0 to 2^32
//!            32  material; absent if the state is 2
//! ```
//!
//! What decodes encodes to the same bytes again.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::{FORMAT_VERSION, Reader};
use super::keys::KeystoreId;
use crate::clock::WallTime;
use crate::crypto::rest;
use crate::error::KeystoreProblem;
use crate::key::{KeyId, KeyPolicy, KeyRecord, KeyState, KeyVersion};
use crate::key::{VersionRecord, VersionState, VersionTag};
use crate::limits::{
    DESCRIPTION_BYTES_MAX, KEY_ID_BYTES_MAX, KEY_VERSIONS_MAX, TAG_NAME_BYTES_MAX,
    TAG_VALUE_BYTES_MAX, TAGS_MAX, USES_PER_VERSION_MAX,
};
use crate::secret::{Secret, SecretBuffer};

/// The name of the file of the key `id`.
pub(super) fn file_name(id: &KeyId) -> String {
    let mut name = id.storage_name();
    name.push_str(FILE_SUFFIX);
    name
}

/// Whether `name` could be the file of a key.
pub(super) fn is_file_name(name: &str) -> bool {
    name.strip_suffix(FILE_SUFFIX).is_some_and(|stem| !stem.is_empty())
}

/// The file of `record`.
pub(super) fn seal(
    record: &KeyRecord,
    keystore: KeystoreId,
    key: &Secret<32>,
    nonce: [u8; NONCE_BYTES],
) -> Vec<u8> {
    let mut body = encode(record);
    let mut file = Vec::with_capacity(64 + KEY_ID_BYTES_MAX + body.expose().len());
    file.extend_from_slice(MAGIC);
    file.push(FORMAT_VERSION);
    file.extend_from_slice(keystore.as_bytes());
    file.push(length(record.id.len()));
    file.extend_from_slice(record.id.as_bytes());
    file.extend_from_slice(&length::<u32>(body.expose().len()).to_be_bytes());
    let tag = rest::seal(key.expose(), &nonce, &file, body.expose_mut())
        .expect("a record is far below the mode's 64 GiB");
    file.extend_from_slice(&nonce);
    file.extend_from_slice(body.expose());
    file.extend_from_slice(&tag);
    file
}

/// The record in `file`.
pub(super) fn open(
    file: Vec<u8>,
    keystore: KeystoreId,
    key: &Secret<32>,
) -> Result<KeyRecord, KeystoreProblem> {
    let mut file = SecretBuffer::from_vec(file);
    let mut head = Reader::new(file.expose());
    head.magic(MAGIC)?;
    if head.array()? != *keystore.as_bytes() {
        return Err(KeystoreProblem::Foreign);
    }
    let id_len = usize::from(head.u8()?);
    let id = core::str::from_utf8(head.take(id_len)?)
        .ok()
        .and_then(|id| KeyId::new(id).ok())
        .ok_or(KeystoreProblem::Damaged("key id"))?;
    let body_len = usize::try_from(head.u32()?).map_err(|_| KeystoreProblem::Truncated)?;
    let nonce = head.array()?;
    let body_at = HEAD_BYTES + id_len + NONCE_BYTES;
    head.take(body_len)?;
    let tag = head.array()?;
    if head.left() != 0 {
        return Err(KeystoreProblem::Damaged("length"));
    }
    let (clear, sealed) =
        file.expose_mut().split_at_mut_checked(body_at).ok_or(KeystoreProblem::Truncated)?;
    let aad = clear.get(..HEAD_BYTES + id_len).ok_or(KeystoreProblem::Truncated)?;
    let body = sealed.get_mut(..body_len).ok_or(KeystoreProblem::Truncated)?;
    rest::open(key.expose(), &nonce, aad, body, &tag)
        .map_err(|_| KeystoreProblem::Damaged("seal"))?;
    decode(id, body).map_err(|problem| match problem {
        // The body has its own end, which is not the file's.
        KeystoreProblem::Truncated => KeystoreProblem::Damaged("body"),
        problem => problem,
    })
}

pub(super) fn encode(record: &KeyRecord) -> SecretBuffer {
    let mut body = SecretBuffer::with_capacity(256 + 64 * record.versions.len());
    body.push(&record.created.as_millis().to_be_bytes());
    let (state, at) = match record.state {
        KeyState::Enabled => (0, WallTime::default()),
        KeyState::Disabled => (1, WallTime::default()),
        KeyState::PendingDeletion { at, was_enabled } => (if was_enabled { 2 } else { 3 }, at),
        KeyState::Destroyed => (4, WallTime::default()),
    };
    body.push(&[state]);
    body.push(&at.as_millis().to_be_bytes());
    let decrypts = record.policy.allow_decrypt_when_disabled;
    body.push(&[u8::from(record.open_only) | u8::from(decrypts) << 1]);
    let age = record.policy.rotate_after.unwrap_or_default();
    body.push(&age.as_secs().to_be_bytes());
    body.push(&age.subsec_nanos().to_be_bytes());
    let uses = record.policy.rotate_at_uses.unwrap_or_default();
    body.push(&uses.to_be_bytes());
    body.push(&length::<u16>(record.description.len()).to_be_bytes());
    body.push(record.description.as_bytes());
    body.push(&[length(record.tags.len())]);
    for (name, value) in &record.tags {
        body.push(&[length(name.len())]);
        body.push(name.as_bytes());
        body.push(&length::<u16>(value.len()).to_be_bytes());
        body.push(value.as_bytes());
    }
    let first = record.versions.first().map_or(1, |v| v.version.number());
    body.push(&first.to_be_bytes());
    body.push(&length::<u32>(record.versions.len()).to_be_bytes());
    for version in &record.versions {
        encode_version(version, &mut body);
    }
    body
}

fn encode_version(version: &VersionRecord, body: &mut SecretBuffer) {
    body.push(version.tag.as_bytes());
    body.push(&version.created.as_millis().to_be_bytes());
    let state = match version.state {
        VersionState::Active => 0,
        VersionState::Retired => 1,
        VersionState::Destroyed => 2,
    };
    body.push(&[state]);
    body.push(&version.uses_reserved.to_be_bytes());
    if let Some(material) = &version.material {
        body.push(material.expose());
    }
}

pub(super) fn decode(id: KeyId, body: &[u8]) -> Result<KeyRecord, KeystoreProblem> {
    let mut fields = Reader::new(body);
    let created = WallTime::from_millis(fields.u64()?);
    let state = fields.u8()?;
    let at = WallTime::from_millis(fields.u64()?);
    let state = match (state, at.as_millis()) {
        (0, 0) => KeyState::Enabled,
        (1, 0) => KeyState::Disabled,
        (2 | 3, _) => KeyState::PendingDeletion { at, was_enabled: state == 2 },
        (4, 0) => KeyState::Destroyed,
        _ => return Err(KeystoreProblem::Damaged("state")),
    };
    let flags = fields.u8()?;
    if flags > 0b11 {
        return Err(KeystoreProblem::Damaged("flags"));
    }
    let policy = decode_policy(&mut fields, flags & 0b10 != 0)?;
    let description_len = usize::from(fields.u16()?);
    let description = text(&mut fields, description_len, DESCRIPTION_BYTES_MAX)?;
    let tags = decode_tags(&mut fields)?;
    let versions = decode_versions(&mut fields, state)?;
    if fields.left() != 0 {
        return Err(KeystoreProblem::Damaged("body"));
    }
    Ok(KeyRecord {
        id,
        description,
        tags,
        state,
        policy,
        created,
        open_only: flags & 0b01 != 0,
        damage: None,
        revision: 0,
        versions,
    })
}

fn decode_policy(fields: &mut Reader<'_>, decrypts: bool) -> Result<KeyPolicy, KeystoreProblem> {
    let (seconds, nanos) = (fields.u64()?, fields.u32()?);
    let uses = fields.u64()?;
    if nanos >= 1_000_000_000 || uses > USES_PER_VERSION_MAX {
        return Err(KeystoreProblem::Damaged("policy"));
    }
    let mut policy = KeyPolicy::new();
    policy.allow_decrypt_when_disabled = decrypts;
    policy.rotate_after = Some(Duration::new(seconds, nanos)).filter(|age| !age.is_zero());
    policy.rotate_at_uses = Some(uses).filter(|&uses| uses > 0);
    Ok(policy)
}

fn decode_tags(fields: &mut Reader<'_>) -> Result<BTreeMap<String, String>, KeystoreProblem> {
    let count = usize::from(fields.u8()?);
    if count > TAGS_MAX {
        return Err(KeystoreProblem::Damaged("tags"));
    }
    let mut tags = BTreeMap::new();
    for _ in 0..count {
        let name_len = usize::from(fields.u8()?);
        let name = text(fields, name_len, TAG_NAME_BYTES_MAX)?;
        let value_len = usize::from(fields.u16()?);
        let value = text(fields, value_len, TAG_VALUE_BYTES_MAX)?;
        let ascends = tags.last_key_value().is_none_or(|(last, _)| *last < name);
        if name.is_empty() || !ascends {
            return Err(KeystoreProblem::Damaged("tags"));
        }
        tags.insert(name, value);
    }
    Ok(tags)
}

fn decode_versions(
    fields: &mut Reader<'_>,
    key: KeyState,
) -> Result<Vec<Arc<VersionRecord>>, KeystoreProblem> {
    const WRONG: KeystoreProblem = KeystoreProblem::Damaged("versions");
    let first = fields.u32()?;
    let count = fields.u32()?;
    if !(1..=KEY_VERSIONS_MAX).contains(&count) || first.checked_add(count).is_none() {
        return Err(WRONG);
    }
    let mut versions = Vec::new();
    for number in first..first + count {
        let version = VersionRecord {
            version: KeyVersion::new(number).ok_or(WRONG)?,
            tag: VersionTag::from_bytes(fields.array()?),
            created: WallTime::from_millis(fields.u64()?),
            state: match fields.u8()? {
                0 => VersionState::Active,
                1 => VersionState::Retired,
                2 => VersionState::Destroyed,
                _ => return Err(WRONG),
            },
            uses_reserved: fields.u64()?,
            grant: None,
            material: None,
        };
        let is_current = number == first + count - 1;
        let fits = match version.state {
            VersionState::Active => key != KeyState::Destroyed,
            VersionState::Retired => key != KeyState::Destroyed && !is_current,
            VersionState::Destroyed => key == KeyState::Destroyed || !is_current,
        };
        if !fits || version.uses_reserved > USES_PER_VERSION_MAX {
            return Err(WRONG);
        }
        let material = match version.state {
            VersionState::Active | VersionState::Retired => {
                let bytes = fields.take(MATERIAL_BYTES)?;
                Some(Arc::new(Secret::copy_of(bytes).ok_or(WRONG)?))
            }
            VersionState::Destroyed => None,
        };
        versions.push(Arc::new(VersionRecord { material, ..version }));
    }
    Ok(versions)
}

fn text(fields: &mut Reader<'_>, len: usize, max: usize) -> Result<String, KeystoreProblem> {
    if len > max {
        return Err(KeystoreProblem::Damaged("text"));
    }
    let text = core::str::from_utf8(fields.take(len)?);
    text.map(str::to_owned).map_err(|_| KeystoreProblem::Damaged("text"))
}

/// A length that the limits of keys keep within its field.
fn length<T: TryFrom<usize>>(len: usize) -> T {
    T::try_from(len).ok().expect("the limits of a key's fields fit their lengths on disk")
}

const MAGIC: &[u8; 4] = b"PCKR";
const FILE_SUFFIX: &str = ".key";
/// Head without the id: magic, format, keystore, two lengths.
const HEAD_BYTES: usize = 26;
pub(super) const NONCE_BYTES: usize = 12;
const MATERIAL_BYTES: usize = 32;
