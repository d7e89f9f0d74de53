//! What a host stores beside a sealed object: how it is protected, what it consists of, and what
//! is known of its plaintext.
//!
//! ```text
//! head   = magic [4] | format version 0x01 | mode u8 | suite u8 | envelope (names its own length)
//!          | under a customer key: customer salt [32] | key check [32]
//! record = head "PCOR" | plain size u64
//!          | 0x01 | salt [24]                                                  one body
//!            or 0x02 | n u8 | upload id [n] | parts u16 | SHA-256 of the part table [32]
//!          | f u16 | sealed facts [f] | MAC [32]
//! ```
//!
//! The envelope wraps the object's data key or, under a customer key, its record key. It is bound
//! to bucket, object name and the caller's context, so a record is of one object; the MAC covers
//! every byte before it.
//!
//! Invariants:
//!
//! 1. The parser is strict: each length is checked against its bound, every byte is accounted for,
//!    and what it accepts encodes to the same bytes again.
//! 2. What a parsed record says is claimed, not known, until [`RecordKeys::check`] has passed.
//!
//! [`RecordKeys::check`]: super::keys::RecordKeys::check

use core::fmt;

use super::chunk::{SALT_BYTES, Suite, sealed_size};
use super::cursor::{Cursor, push_u8, push_u16};
use super::customer::{CustomerKey, CustomerSeal};
use super::keys::{MAC_BYTES, SEALED_FACTS_BYTES_MAX, SEALED_FACTS_BYTES_MIN};
use super::name::UploadId;
use crate::envelope::{Envelope, WrappedKey, total_bytes};
use crate::error::ObjectError::{self, Malformed, UnknownFormat};
use crate::key::KeyId;
use crate::limits::{ENVELOPE_BYTES_MAX, PART_NUMBER_MAX, UPLOAD_ID_BYTES_MAX};

/// How an object is to be protected.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Protection<'a> {
    /// SSE-S3: a data key under the engine's default key.
    SseS3,
    /// SSE-KMS: a data key under a key that the caller names, or else the default key.
    SseKms {
        /// The master key.
        key: Option<&'a KeyId>,
    },
    /// SSE-C: the customer's own key, which is stored nowhere. The record's own key is under the
    /// default key.
    SseC {
        /// The customer's key.
        key: &'a CustomerKey,
    },
}

impl Protection<'_> {
    /// The mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::SseS3 => Mode::SseS3,
            Self::SseKms { .. } => Mode::SseKms,
            Self::SseC { .. } => Mode::SseC,
        }
    }
}

/// How an object is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// SSE-S3.
    SseS3,
    /// SSE-KMS.
    SseKms,
    /// SSE-C.
    SseC,
}

impl Mode {
    fn code(self) -> u8 {
        match self {
            Self::SseS3 => 1,
            Self::SseKms => 2,
            Self::SseC => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::SseS3),
            2 => Some(Self::SseKms),
            3 => Some(Self::SseC),
            _ => None,
        }
    }
}

/// Bytes of one kind that a host stores: well-formed, and to be believed once they opened.
macro_rules! stored {
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Box<[u8]>);

        impl $name {
            /// Takes `bytes`, which may come from anywhere.
            ///
            /// # Errors
            /// [`ObjectError::Malformed`] or [`ObjectError::UnknownFormat`] if they are not one.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, ObjectError> {
                $parse(bytes)?;
                Ok(Self(bytes.into()))
            }

            /// The bytes to store.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// What was encoded just now.
            pub(crate) fn encoded(bytes: Vec<u8>) -> Self {
                debug_assert!($parse(&bytes).is_ok(), "what is encoded parses");
                Self(bytes.into_boxed_slice())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}
pub(super) use stored;

stored!(
    /// An object's record: what to store beside its sealed bytes. At most 2,181 bytes, most often about
    /// 300 bytes. Not secret.
    ObjectRecord,
    Record::parse
);

impl ObjectRecord {
    /// The mode that it names. Not known to be true before the object was opened.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.parsed().head.mode
    }

    /// How many parts the object is said to have been put in; `None` for one that was put whole.
    /// Not known to be true before the object was opened.
    #[must_use]
    pub fn part_count(&self) -> Option<u16> {
        match self.parsed().body {
            Body::Whole { .. } => None,
            Body::Parts { count, .. } => Some(count),
        }
    }

    /// The master key that it names.
    pub(crate) fn key_id(&self) -> Result<KeyId, crate::error::Error> {
        let envelope = Envelope::parse(self.parsed().head.envelope)?;
        Ok(KeyId::new(envelope.named()?.key_id)?)
    }

    pub(crate) fn parsed(&self) -> Record<'_> {
        Record::parse(&self.0).expect("it was parsed when it was taken")
    }
}

/// What records of objects and of uploads begin with.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) mode: Mode,
    pub(crate) suite: Suite,
    /// A well-formed envelope.
    pub(crate) envelope: &'a [u8],
    /// Present under a customer key, and only then.
    pub(crate) customer: Option<CustomerSeal>,
}

impl<'a> Head<'a> {
    pub(super) fn parse(cursor: &mut Cursor<'a>, magic: [u8; 4]) -> Result<Self, ObjectError> {
        if cursor.array("magic")? != &magic {
            return Err(Malformed("magic"));
        }
        let version = cursor.u8("format version")?;
        if version != FORMAT_VERSION {
            return Err(UnknownFormat(version));
        }
        let mode = Mode::from_code(cursor.u8("mode")?).ok_or(Malformed("mode"))?;
        let suite = Suite::from_code(cursor.u8("suite")?).ok_or(Malformed("suite"))?;
        let malformed = |_| Malformed("envelope");
        let total = total_bytes(cursor.rest()).map_err(malformed)?;
        let envelope = cursor.take(total, "envelope")?;
        Envelope::parse(envelope).map_err(malformed)?;
        let customer = match mode {
            Mode::SseS3 | Mode::SseKms => None,
            Mode::SseC => Some(CustomerSeal {
                salt: *cursor.array("customer salt")?,
                check: *cursor.array("key check")?,
            }),
        };
        Ok(Self { mode, suite, envelope, customer })
    }

    pub(super) fn encode(&self, magic: [u8; 4], out: &mut Vec<u8>) {
        out.extend_from_slice(&magic);
        out.extend([FORMAT_VERSION, self.mode.code(), self.suite.code()]);
        out.extend_from_slice(self.envelope);
        if let Some(CustomerSeal { salt, check }) = &self.customer {
            out.extend_from_slice(salt);
            out.extend_from_slice(check);
        }
    }

    /// The envelope as a wrapped key.
    pub(crate) fn wrapped(&self) -> Result<WrappedKey, crate::error::EnvelopeError> {
        WrappedKey::from_bytes(self.envelope)
    }
}

/// What a sealed object consists of.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// One body, under this salt.
    Whole { salt: &'a [u8; SALT_BYTES] },
    /// The parts of an upload.
    Parts {
        upload: &'a str,
        count: u16,
        /// SHA-256 of the part table.
        table: &'a [u8; 32],
    },
}

/// A parsed object record.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) plain_size: u64,
    pub(crate) body: Body<'a>,
    pub(crate) facts: &'a [u8],
    pub(crate) mac: &'a [u8; MAC_BYTES],
    /// What the MAC covers.
    pub(crate) authenticated: &'a [u8],
}

impl<'a> Record<'a> {
    /// Parses `bytes`, all of them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let (authenticated, mac) = split_mac(bytes, RECORD_BYTES_MAX)?;
        let mut rest = Cursor::new(authenticated);
        let head = Head::parse(&mut rest, MAGIC)?;
        let plain_size = rest.u64("plain size")?;
        let body = match rest.u8("body")? {
            WHOLE => {
                sealed_size(plain_size).ok_or(Malformed("plain size"))?;
                Body::Whole { salt: rest.array("salt")? }
            }
            PARTS => {
                let upload = parse_upload_id(&mut rest)?;
                let count = rest.u16("part count")?;
                if !(1..=PART_NUMBER_MAX).contains(&count) {
                    return Err(Malformed("part count"));
                }
                Body::Parts { upload, count, table: rest.array("part table")? }
            }
            _ => return Err(Malformed("body")),
        };
        let facts = parse_facts(&mut rest)?;
        rest.end("length")?;
        Ok(Self { head, plain_size, body, facts, mac, authenticated })
    }

    /// The bytes of the record that `head` and `self` make, whose MAC `mac` gives.
    pub(crate) fn encode(
        head: &Head<'_>,
        plain_size: u64,
        body: Body<'_>,
        facts: &[u8],
        mac: impl FnOnce(&[u8]) -> [u8; MAC_BYTES],
    ) -> ObjectRecord {
        let mut out = Vec::with_capacity(RECORD_BYTES_MAX);
        head.encode(MAGIC, &mut out);
        out.extend_from_slice(&plain_size.to_be_bytes());
        match body {
            Body::Whole { salt } => {
                out.push(WHOLE);
                out.extend_from_slice(salt);
            }
            Body::Parts { upload, count, table } => {
                out.push(PARTS);
                push_u8(&mut out, upload.len());
                out.extend_from_slice(upload.as_bytes());
                out.extend_from_slice(&count.to_be_bytes());
                out.extend_from_slice(table);
            }
        }
        push_u16(&mut out, facts.len());
        out.extend_from_slice(facts);
        let mac = mac(&out);
        out.extend_from_slice(&mac);
        ObjectRecord::encoded(out)
    }
}

/// `bytes` up to the MAC at their end, and the MAC.
pub(super) fn split_mac(
    bytes: &[u8],
    limit: usize,
) -> Result<(&[u8], &[u8; MAC_BYTES]), ObjectError> {
    if bytes.len() > limit {
        return Err(Malformed("length"));
    }
    bytes.split_last_chunk().ok_or(Malformed("length"))
}

pub(super) fn parse_upload_id<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, ObjectError> {
    let id = core::str::from_utf8(cursor.counted_u8("upload id")?);
    id.ok().filter(|id| UploadId::is_valid(id)).ok_or(Malformed("upload id"))
}

pub(super) fn parse_facts<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], ObjectError> {
    let facts = cursor.counted_u16(SEALED_FACTS_BYTES_MAX, "facts")?;
    if facts.len() < SEALED_FACTS_BYTES_MIN {
        return Err(Malformed("facts"));
    }
    Ok(facts)
}

/// Format version of every record of this release.
pub(super) const FORMAT_VERSION: u8 = 1;
pub(crate) const MAGIC: [u8; 4] = *b"PCOR";
const WHOLE: u8 = 1;
const PARTS: u8 = 2;
/// Longest head.
pub(super) const HEAD_BYTES_MAX: usize = 7 + ENVELOPE_BYTES_MAX + 64;
/// Longest record.
const RECORD_BYTES_MAX: usize = HEAD_BYTES_MAX
    + 8
    + (1 + 1 + UPLOAD_ID_BYTES_MAX + 2 + 32)
    + (2 + SEALED_FACTS_BYTES_MAX)
    + MAC_BYTES;

#[cfg(test)]
pub(super) mod tests;
