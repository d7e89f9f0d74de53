//! The strict parser of envelopes.

use super::{
    DataKeySpec, Envelope, FORMAT_VERSION, MAGIC, Named, PREFIX_BYTES, Purpose, Under,
    WRAP_NONCE_BYTES, WRAP_OVERHEAD_BYTES, WrapAlgorithm,
};
use crate::error::EnvelopeError;
use crate::error::EnvelopeError::{Malformed, UnknownFormat};
use crate::key::{KeyId, KeyVersion, VersionTag};
use crate::limits::{ENVELOPE_BYTES_MAX, KEY_ID_BYTES_MAX, PARENT_BYTES_MAX, WRAPPED_BYTES_MAX};

impl<'a> Envelope<'a> {
    /// Parses `bytes`, all of them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let envelope = Self::parse_level(bytes, true)?;
        Ok(envelope)
    }

    fn parse_level(bytes: &'a [u8], may_have_parent: bool) -> Result<Self, EnvelopeError> {
        if total_bytes(bytes)? != bytes.len() {
            return Err(Malformed("length"));
        }
        let mut rest = Cursor(bytes.get(PREFIX_BYTES..).ok_or(Malformed("length"))?);
        let purpose = Purpose::from_code(rest.u8("purpose")?).ok_or(Malformed("purpose"))?;
        let algorithm = WrapAlgorithm::from_code(rest.u8("wrap algorithm")?)
            .ok_or(Malformed("wrap algorithm"))?;
        let spec = DataKeySpec::of_bytes(usize::from(rest.u8("data key length")?))
            .ok_or(Malformed("data key length"))?;
        let parent_bytes = usize::from(rest.u16("parent")?);
        let under = match parent_bytes {
            0 => Under::Version(rest.named()?),
            1..=PARENT_BYTES_MAX if may_have_parent => {
                let parent = rest.take(parent_bytes, "parent")?;
                if Self::parse_level(parent, false)?.purpose != Purpose::BucketKey {
                    return Err(Malformed("parent"));
                }
                Under::Parent(parent)
            }
            _ => return Err(Malformed("parent")),
        };
        let nonce_bytes = usize::from(rest.u8("nonce")?);
        let nonce = rest.take(nonce_bytes, "nonce")?;
        let wrapped_bytes = usize::from(rest.u16("wrapped key")?);
        let wrapped = rest.take(wrapped_bytes, "wrapped key")?;
        let fits = match algorithm {
            WrapAlgorithm::GcmSiv => {
                nonce_bytes == WRAP_NONCE_BYTES
                    && wrapped_bytes == spec.bytes() + WRAP_OVERHEAD_BYTES
            }
            WrapAlgorithm::Token => {
                nonce_bytes == 0 && (1..=WRAPPED_BYTES_MAX).contains(&wrapped_bytes)
            }
        };
        if !fits {
            return Err(Malformed("wrapped key"));
        }
        let commitment = rest.array("commitment")?;
        if !rest.0.is_empty() {
            return Err(Malformed("length"));
        }
        Ok(Self { purpose, algorithm, spec, under, nonce, wrapped, commitment })
    }
}

/// The length in bytes of the envelope that `bytes` begins with; the first seven tell.
pub(crate) fn total_bytes(bytes: &[u8]) -> Result<usize, EnvelopeError> {
    let mut prefix = Cursor(bytes);
    if prefix.array("magic")? != &MAGIC {
        return Err(Malformed("magic"));
    }
    let version = prefix.u8("format version")?;
    if version != FORMAT_VERSION {
        return Err(UnknownFormat(version));
    }
    let total = usize::from(prefix.u16("length")?);
    if total > ENVELOPE_BYTES_MAX {
        return Err(Malformed("length"));
    }
    Ok(total)
}

/// What is left to parse.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], EnvelopeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], EnvelopeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, EnvelopeError> {
        self.array::<1>(field).map(|&[byte]| byte)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, EnvelopeError> {
        self.array(field).map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn named(&mut self) -> Result<Named<'a>, EnvelopeError> {
        let id_bytes = usize::from(self.u8("key id")?);
        if id_bytes > KEY_ID_BYTES_MAX {
            return Err(Malformed("key id"));
        }
        let id = core::str::from_utf8(self.take(id_bytes, "key id")?);
        let key_id = id.ok().filter(|id| KeyId::is_valid(id)).ok_or(Malformed("key id"))?;
        let number = u32::from_be_bytes(*self.array("key version")?);
        let version = KeyVersion::new(number).ok_or(Malformed("key version"))?;
        let tag = VersionTag::from_bytes(*self.array("version tag")?);
        Ok(Named { key_id, version, tag })
    }
}
