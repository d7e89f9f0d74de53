//! What stands before the object in something sealed that carries its own key.
//!
//! ```text
//! magic 4 | format version 0x01 | suite u8 | envelope
//! ```
//!
//! The magic is `PCSF` for objects of any length and `PCSP` for small payloads.

use super::chunk::Suite;
use crate::envelope::{self, WrappedKey};
use crate::error::{Error, ObjectError};

/// What is sealed with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An object: a file, a stream, a buffer.
    Object,
    /// A payload of at most 64 KiB.
    Payload,
}

/// Suite and wrapped key of something sealed.
pub(crate) struct Front {
    pub(crate) suite: Suite,
    pub(crate) wrapped: WrappedKey,
}

impl Kind {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Object => *b"PCSF",
            Self::Payload => *b"PCSP",
        }
    }

    /// The bytes before the envelope.
    pub(crate) fn head(self, suite: Suite) -> [u8; HEAD_BYTES] {
        let [a, b, c, d] = self.magic();
        [a, b, c, d, FORMAT_VERSION, suite.code()]
    }

    /// Bytes of a front whose envelope has `envelope` of them.
    pub(crate) fn front_bytes(self, envelope: usize) -> usize {
        self.magic().len() + 2 + envelope
    }

    /// How many bytes are missing behind `front` before more is known; zero if all of it is there.
    fn missing(self, front: &[u8]) -> Result<usize, Error> {
        let Some((head, wrapped)) = front.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(HEAD_BYTES - front.len());
        };
        self.suite(*head)?;
        if wrapped.len() < envelope::PREFIX_BYTES {
            return Ok(envelope::PREFIX_BYTES - wrapped.len());
        }
        Ok(envelope::total_bytes(wrapped)?.saturating_sub(wrapped.len()))
    }

    fn suite(self, head: [u8; HEAD_BYTES]) -> Result<Suite, ObjectError> {
        let [magic @ .., version, suite] = head;
        if magic != self.magic() {
            return Err(ObjectError::Malformed("magic"));
        }
        if version != FORMAT_VERSION {
            return Err(ObjectError::UnknownFormat(version));
        }
        Suite::from_code(suite).ok_or(ObjectError::Malformed("suite"))
    }
}

impl Kind {
    /// Suite and envelope at the front of `sealed`, and what follows them.
    ///
    /// # Errors
    /// [`ObjectError`] if it is not of this kind, [`EnvelopeError`](crate::error::EnvelopeError) if
    /// its envelope is none.
    pub(crate) fn split(self, sealed: &[u8]) -> Result<(Suite, &[u8], &[u8]), Error> {
        let mut len = 0;
        loop {
            let front = sealed.get(..len).ok_or_else(|| cut_short(sealed))?;
            match (self.missing(front)?, front.split_first_chunk()) {
                (0, Some((head, envelope))) => {
                    let rest = sealed.get(len..).unwrap_or_default();
                    return Ok((self.suite(*head)?, envelope, rest));
                }
                (missing, _) => len += missing,
            }
        }
    }
}

/// What is wrong where nothing follows `front`.
fn cut_short(front: &[u8]) -> Error {
    let field = if front.len() < HEAD_BYTES { "magic" } else { "envelope" };
    ObjectError::Malformed(field).into()
}

impl Front {
    /// The front of `sealed`, and what follows it.
    ///
    /// # Errors
    /// As [`Kind::split`].
    pub(crate) fn split_from(kind: Kind, sealed: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (suite, envelope, rest) = kind.split(sealed)?;
        Ok((Self { suite, wrapped: WrappedKey::from_bytes(envelope)? }, rest))
    }
}

/// A front that comes piece by piece.
pub(crate) struct FrontReader {
    kind: Kind,
    bytes: Vec<u8>,
}

impl FrontReader {
    /// Nothing of a front of `kind` yet.
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, bytes: Vec::new() }
    }

    /// Takes what it needs next from the front of `input`; how much that was.
    ///
    /// # Errors
    /// As [`Kind::split`].
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<usize, Error> {
        let missing = self.kind.missing(&self.bytes)?;
        let taken = input.get(..missing.min(input.len())).unwrap_or_default();
        self.bytes.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// The front, once all of it was taken.
    ///
    /// # Errors
    /// As [`Kind::split`].
    pub(crate) fn front(&self) -> Result<Option<Front>, Error> {
        if self.kind.missing(&self.bytes)? > 0 {
            return Ok(None);
        }
        Front::split_from(self.kind, &self.bytes).map(|(front, _)| Some(front))
    }

    /// What is wrong where nothing more comes.
    pub(crate) fn cut_short(&self) -> Error {
        cut_short(&self.bytes)
    }
}

const FORMAT_VERSION: u8 = 1;
/// Bytes before the envelope.
pub(crate) const HEAD_BYTES: usize = 6;
