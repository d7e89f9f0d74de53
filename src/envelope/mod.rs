//! Wrapped data keys: the bytes on the wire.
//!
//! Envelope v1, big-endian:
//!
//! ```text
//! magic "PCDK" | format version 0x01 | bytes in all u16 | purpose u8 | wrap algorithm u8
//! | data key bytes u8
//! | parent bytes u16 | parent, or where that is 0: key id bytes u8 | key id | version u32 | tag [8]
//! | nonce bytes u8 | nonce | wrapped bytes u16 | wrapped | commitment [32]
//! ```
//!
//! An envelope names its own length, so it can stand before other bytes. A parent is the complete
//! envelope of a bucket key (at most 512 bytes, one level): it stands in place of id, version and
//! tag. What is bound beside the data key itself:
//!
//! ```text
//! aad = "portcullis/v1/envelope" || purpose || wrap algorithm || data key bytes
//!       || (0x00 || key id bytes u8 || key id || version u32 || tag
//!           or 0x01 || the parent's commitment)
//!       || SHA-256(canonical context)
//! ```
//!
//! so that rewrapping a parent leaves its children valid.
//!
//! Invariants:
//!
//! 1. The parser is strict: each length is checked against its bound, every byte is accounted for,
//!    and what it accepts encodes to the same bytes again.
//! 2. Parsing allocates nothing and borrows from the input.

mod parse;

use core::fmt;

use crate::crypto::aead::{NONCE_BYTES, TAG_BYTES};
use crate::crypto::commitment::COMMITMENT_BYTES;
use crate::crypto::message::Message;
use crate::error::EnvelopeError;
use crate::key::{KeyId, KeyVersion, VersionTag};
use crate::limits::{DATA_KEY_BYTES_MAX, DATA_KEY_BYTES_MIN, KEY_ID_BYTES_MAX};

pub(crate) use self::parse::total_bytes;

/// A data key, wrapped under a master key and bound to its encryption context: an envelope.
///
/// About 150 bytes, not secret, to be stored beside what the data key protects. It is checked to
/// be a well-formed envelope; whether it opens is known only by opening it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WrappedKey(Box<[u8]>);

impl WrappedKey {
    /// Takes `bytes` as an envelope.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`] or [`EnvelopeError::UnknownFormat`] if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Envelope::parse(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How long the envelope of an object's key under `key` is.
    pub(crate) fn object_key_bytes(key: &KeyId) -> usize {
        let wrapped = DataKeySpec::AES_256.bytes() + WRAP_OVERHEAD_BYTES;
        let named = 1 + key.as_str().len() + 12;
        HEADER_BYTES + named + 1 + WRAP_NONCE_BYTES + 2 + wrapped + COMMITMENT_BYTES
    }

    /// The envelope's parts, for display: nothing in them is verified.
    ///
    /// # Errors
    /// Never for bytes that [`Self::from_bytes`] took.
    pub fn describe(&self) -> Result<EnvelopeDescription, EnvelopeError> {
        let envelope = Envelope::parse(&self.0)?;
        let (named, has_parent) = match envelope.under {
            Under::Version(named) => (named, false),
            Under::Parent(parent) => (Envelope::parse(parent)?.named()?, true),
        };
        Ok(EnvelopeDescription {
            purpose: envelope.purpose,
            key_id: named.key_id.to_owned(),
            key_version: named.version,
            version_tag: named.tag,
            data_key_bytes: envelope.spec.bytes(),
            has_parent,
        })
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.0.len())
    }
}

impl AsRef<[u8]> for WrappedKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What stands in an envelope, for display. Unverified.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct EnvelopeDescription {
    /// What the data key is for.
    pub purpose: Purpose,
    /// The master key it names.
    pub key_id: String,
    /// The version of it.
    pub key_version: KeyVersion,
    /// The version's tag.
    pub version_tag: VersionTag,
    /// Length of the data key in bytes.
    pub data_key_bytes: usize,
    /// Whether a bucket key stands between master key and data key.
    pub has_parent: bool,
}

/// What a wrapped key is for. A call refuses envelopes of a purpose other than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Purpose {
    /// A data key that the host uses itself.
    DataKey,
    /// The key of a sealed object or file: no call hands it out.
    ObjectKey,
    /// A bucket key, which wraps objects' keys: no call hands it out.
    BucketKey,
    /// The key of a small payload: no call hands it out.
    PayloadKey,
}

impl Purpose {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::DataKey => 1,
            Self::ObjectKey => 2,
            Self::BucketKey => 3,
            Self::PayloadKey => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::DataKey),
            2 => Some(Self::ObjectKey),
            3 => Some(Self::BucketKey),
            4 => Some(Self::PayloadKey),
            _ => None,
        }
    }
}

/// How a data key is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrapAlgorithm {
    /// AES-256-GCM-SIV under the version's wrap key: a 12-byte nonce, the key and a 16-byte tag.
    GcmSiv,
    /// The backend's own token; no nonce.
    Token,
}

impl WrapAlgorithm {
    fn code(self) -> u8 {
        match self {
            Self::GcmSiv => 1,
            Self::Token => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::GcmSiv),
            2 => Some(Self::Token),
            _ => None,
        }
    }
}

/// The length of a data key: 16 to 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataKeySpec(u8);

impl DataKeySpec {
    /// 256 bits: AES-256.
    pub const AES_256: Self = Self(32);
    /// 128 bits: AES-128.
    pub const AES_128: Self = Self(16);

    /// A data key of `bytes` bytes; `None` outside 16 to 64.
    #[must_use]
    pub fn of_bytes(bytes: usize) -> Option<Self> {
        let fits = (DATA_KEY_BYTES_MIN..=DATA_KEY_BYTES_MAX).contains(&bytes);
        u8::try_from(bytes).ok().filter(|_| fits).map(Self)
    }

    /// The length in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn code(self) -> u8 {
        self.0
    }
}

impl Default for DataKeySpec {
    fn default() -> Self {
        Self::AES_256
    }
}

/// A parsed envelope.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) algorithm: WrapAlgorithm,
    pub(crate) spec: DataKeySpec,
    pub(crate) under: Under<'a>,
    /// 12 bytes, or none for a token.
    pub(crate) nonce: &'a [u8],
    pub(crate) wrapped: &'a [u8],
    pub(crate) commitment: &'a [u8; COMMITMENT_BYTES],
}

/// What an envelope is wrapped under.
#[derive(Clone, Copy)]
pub(crate) enum Under<'a> {
    /// A version of a master key.
    Version(Named<'a>),
    /// A bucket key: its complete envelope.
    Parent(&'a [u8]),
}

/// One version of one master key, as an envelope names it.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) version: KeyVersion,
    pub(crate) tag: VersionTag,
}

impl<'a> Envelope<'a> {
    /// The master key version, where no bucket key stands between.
    pub(crate) fn named(&self) -> Result<Named<'a>, EnvelopeError> {
        match self.under {
            Under::Version(named) => Ok(named),
            Under::Parent(_) => Err(EnvelopeError::Malformed("parent")),
        }
    }

    /// The bytes.
    pub(crate) fn encode(&self) -> WrappedKey {
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(FORMAT_VERSION);
        push_u16(&mut bytes, self.encoded_bytes());
        bytes.extend([self.purpose.code(), self.algorithm.code(), self.spec.code()]);
        match self.under {
            Under::Version(named) => {
                push_u16(&mut bytes, 0);
                push_named(&mut bytes, &named);
            }
            Under::Parent(parent) => {
                push_u16(&mut bytes, parent.len());
                bytes.extend_from_slice(parent);
            }
        }
        push_u8(&mut bytes, self.nonce.len());
        bytes.extend_from_slice(self.nonce);
        push_u16(&mut bytes, self.wrapped.len());
        bytes.extend_from_slice(self.wrapped);
        bytes.extend_from_slice(self.commitment);
        WrappedKey(bytes.into_boxed_slice())
    }

    fn encoded_bytes(&self) -> usize {
        let under = match self.under {
            Under::Version(named) => 1 + named.key_id.len() + 12,
            Under::Parent(parent) => parent.len(),
        };
        HEADER_BYTES + under + 1 + self.nonce.len() + 2 + self.wrapped.len() + COMMITMENT_BYTES
    }
}

/// The additional data of a wrap; the module's documentation has the form.
pub(crate) struct Aad(Message<AAD_BYTES_MAX>);

impl Aad {
    /// What a wrap under a master key version binds. `context` is SHA-256 of the canonical context.
    pub(crate) fn of_version(
        purpose: Purpose,
        spec: DataKeySpec,
        named: &Named<'_>,
        context: &[u8; 32],
    ) -> Self {
        let mut aad = Message::new();
        aad.push(AAD_LABEL);
        aad.push(&[purpose.code(), WrapAlgorithm::GcmSiv.code(), spec.code(), 0]);
        aad.push(&[u8::try_from(named.key_id.len()).expect("key ids are at most 128 bytes")]);
        aad.push(named.key_id.as_bytes());
        aad.push(&named.version.number().to_be_bytes());
        aad.push(named.tag.as_bytes());
        aad.push(context);
        Self(aad)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn push_named(bytes: &mut Vec<u8>, named: &Named<'_>) {
    push_u8(bytes, named.key_id.len());
    bytes.extend_from_slice(named.key_id.as_bytes());
    bytes.extend_from_slice(&named.version.number().to_be_bytes());
    bytes.extend_from_slice(named.tag.as_bytes());
}

// Lengths are bounded by `ENVELOPE_BYTES_MAX`, far below either width's end.
fn push_u8(bytes: &mut Vec<u8>, value: usize) {
    bytes.push(u8::try_from(value).unwrap_or(u8::MAX));
}

fn push_u16(bytes: &mut Vec<u8>, value: usize) {
    bytes.extend_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes());
}

const MAGIC: [u8; 4] = *b"PCDK";
const FORMAT_VERSION: u8 = 1;
/// Magic, format version, length, purpose, algorithm, data key length, parent length.
const HEADER_BYTES: usize = 4 + 1 + 2 + 1 + 1 + 1 + 2;
/// Bytes that an envelope always begins with: enough to know its length.
pub(crate) const PREFIX_BYTES: usize = 7;
const AAD_LABEL: &[u8] = b"portcullis/v1/envelope";
const AAD_BYTES_MAX: usize = AAD_LABEL.len() + 4 + 1 + KEY_ID_BYTES_MAX + 4 + 8 + 32;
/// Bytes of a data key wrapped by AES-256-GCM-SIV beyond its own.
pub(crate) const WRAP_OVERHEAD_BYTES: usize = TAG_BYTES;
pub(crate) const WRAP_NONCE_BYTES: usize = NONCE_BYTES;

#[cfg(test)]
mod tests;
