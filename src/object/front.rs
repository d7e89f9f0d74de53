//! What stands before the object in something sealed that says by itself which key opens it.
//!
//! ```text
//! magic 4 | format version 0x01 | suite u8 | envelope                            the key is in it
//! magic 4 | format version 0x01 | suite u8 | customer salt 32 | key check 32     a customer has it
//! ```
//!
//! The magic is `PCSF` for objects of any length and `PCSP` for small payloads, which carry their
//! key wrapped, and `PCSC` for objects of any length under a customer's key.

use super::chunk::Suite;
use super::customer::{CUSTOMER_SALT_BYTES, CustomerSeal, KEY_CHECK_BYTES};
use crate::envelope::{self, WrappedKey};
use crate::error::{Error, ObjectError};
use crate::limits::ENVELOPE_BYTES_MAX;

/// What is sealed with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An object: a file, a stream, a buffer.
    Object,
    /// A payload of at most 64 KiB.
    Payload,
}

/// Suite and key of something sealed.
pub(crate) struct Front {
    pub(crate) suite: Suite,
    pub(crate) key: FrontKey,
}

/// Which key opens something sealed.
pub(crate) enum FrontKey {
    /// Its own, which is wrapped in here.
    Wrapped(WrappedKey),
    /// A customer's, which this is of.
    Customer(CustomerSeal),
}

/// The same, where it lies in something sealed.
pub(crate) enum KeyIn<'s> {
    Envelope(&'s [u8]),
    Customer(CustomerSeal),
}

/// How the key is told.
#[derive(Clone, Copy)]
enum Form {
    Envelope,
    Customer,
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
        head(self.magic(), suite)
    }

    /// Bytes of a front whose envelope has `envelope` of them.
    pub(crate) fn front_bytes(self, envelope: usize) -> usize {
        self.magic().len() + 2 + envelope
    }

    /// How many bytes are missing behind `front` before more is known; zero if all of it is there.
    fn missing(self, front: &[u8]) -> Result<usize, Error> {
        let Some((head, key)) = front.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(HEAD_BYTES - front.len());
        };
        let key_bytes = match self.parse_head(*head)?.1 {
            Form::Customer => CUSTOMER_BYTES,
            Form::Envelope if key.len() < envelope::PREFIX_BYTES => envelope::PREFIX_BYTES,
            Form::Envelope => envelope::total_bytes(key)?,
        };
        Ok(key_bytes.saturating_sub(key.len()))
    }

    fn parse_head(self, head: [u8; HEAD_BYTES]) -> Result<(Suite, Form), ObjectError> {
        let [magic @ .., version, suite] = head;
        let form = if magic == self.magic() {
            Form::Envelope
        } else if magic == CUSTOMER_MAGIC && self == Self::Object {
            Form::Customer
        } else {
            return Err(ObjectError::Malformed("magic"));
        };
        if version != FORMAT_VERSION {
            return Err(ObjectError::UnknownFormat(version));
        }
        Ok((Suite::from_code(suite).ok_or(ObjectError::Malformed("suite"))?, form))
    }

    /// Suite and key at the front of `sealed`, and what follows them.
    ///
    /// # Errors
    /// [`ObjectError`] if it is not of this kind, [`EnvelopeError`](crate::error::EnvelopeError) if
    /// its envelope is none.
    pub(crate) fn split(self, sealed: &[u8]) -> Result<(Suite, KeyIn<'_>, &[u8]), Error> {
        let mut len = 0;
        loop {
            let front = sealed.get(..len).ok_or_else(|| cut_short(sealed))?;
            match (self.missing(front)?, front.split_first_chunk()) {
                (0, Some((head, key))) => {
                    let rest = sealed.get(len..).unwrap_or_default();
                    let (suite, form) = self.parse_head(*head)?;
                    let key = match form {
                        Form::Envelope => KeyIn::Envelope(key),
                        Form::Customer => KeyIn::Customer(parse_customer(key)?),
                    };
                    return Ok((suite, key, rest));
                }
                (missing, _) => len += missing,
            }
        }
    }
}

fn head(magic: [u8; 4], suite: Suite) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = magic;
    [a, b, c, d, FORMAT_VERSION, suite.code()]
}

fn parse_customer(key: &[u8]) -> Result<CustomerSeal, ObjectError> {
    let seal = key.split_first_chunk().and_then(|(salt, check)| {
        Some(CustomerSeal { salt: *salt, check: check.try_into().ok()? })
    });
    seal.ok_or(ObjectError::Malformed("customer key"))
}

/// What is wrong where nothing follows `front`.
fn cut_short(front: &[u8]) -> Error {
    let field = match front.first_chunk() {
        None => "magic",
        Some(&CUSTOMER_MAGIC) => "customer key",
        Some(_) if front.len() < HEAD_BYTES => "magic",
        Some(_) => "envelope",
    };
    ObjectError::Malformed(field).into()
}

impl Front {
    /// The front of `sealed`, and what follows it.
    ///
    /// # Errors
    /// As [`Kind::split`].
    pub(crate) fn split_from(kind: Kind, sealed: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (suite, key, rest) = kind.split(sealed)?;
        let key = match key {
            KeyIn::Envelope(envelope) => FrontKey::Wrapped(WrappedKey::from_bytes(envelope)?),
            KeyIn::Customer(seal) => FrontKey::Customer(seal),
        };
        Ok((Self { suite, key }, rest))
    }

    /// The front of an object, as it stands before its header.
    pub(crate) fn of_object(&self) -> Vec<u8> {
        match &self.key {
            FrontKey::Wrapped(wrapped) => {
                [&Kind::Object.head(self.suite)[..], wrapped.as_bytes()].concat()
            }
            FrontKey::Customer(CustomerSeal { salt, check }) => {
                [&head(CUSTOMER_MAGIC, self.suite)[..], salt, check].concat()
            }
        }
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
/// Before an object under a customer's key.
const CUSTOMER_MAGIC: [u8; 4] = *b"PCSC";
/// What tells a customer's key.
const CUSTOMER_BYTES: usize = CUSTOMER_SALT_BYTES + KEY_CHECK_BYTES;
/// The longest front.
pub(crate) const FRONT_BYTES_MAX: usize = HEAD_BYTES + ENVELOPE_BYTES_MAX;
const _: () = assert!(CUSTOMER_BYTES < ENVELOPE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn customer(salt: u8, check: u8) -> Front {
        let seal = CustomerSeal { salt: [salt; 32], check: [check; 32] };
        Front { suite: Suite::Aes256GcmSiv, key: FrontKey::Customer(seal) }
    }

    #[test]
    fn a_customers_front_is_read_as_it_was_written_whole_and_piece_by_piece() {
        let mut sealed = customer(1, 2).of_object();
        assert_eq!(sealed.len(), HEAD_BYTES + CUSTOMER_BYTES);
        sealed.extend_from_slice(b"the object");
        let (front, rest) = Front::split_from(Kind::Object, &sealed).unwrap();
        assert!(matches!(front.key, FrontKey::Customer(seal) if seal.check == [2; 32]));
        assert_eq!((front.suite, rest), (Suite::Aes256GcmSiv, &b"the object"[..]));
        for piece in [1, 7, 64, 100] {
            let (mut reader, mut taken) = (FrontReader::new(Kind::Object), 0);
            while reader.front().unwrap().is_none() {
                let end = sealed.len().min(taken + piece);
                taken += reader.take(&sealed[taken..end]).unwrap();
            }
            assert_eq!(taken, sealed.len() - 10);
        }
        // It is the front of objects alone.
        assert!(Front::split_from(Kind::Payload, &sealed).is_err());
    }

    #[test]
    fn every_beginning_of_a_front_is_malformed_where_nothing_follows() {
        let front = customer(1, 2).of_object();
        for len in 0..front.len() {
            let cut = Front::split_from(Kind::Object, &front[..len]);
            assert!(matches!(cut, Err(Error::Object(ObjectError::Malformed(_)))), "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fall_over(
            magic in proptest::sample::select(vec![*b"PCSF", *b"PCSP", *b"PCSC", *b"PCDK"]),
            head in any::<[u8; 2]>(),
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            for version in [head[0], FORMAT_VERSION] {
                let bytes = [&magic[..], &[version, head[1]], &rest].concat();
                for kind in [Kind::Object, Kind::Payload] {
                    if let Ok((suite, key, after)) = kind.split(&bytes) {
                        prop_assert!(version == FORMAT_VERSION && suite.code() == head[1]);
                        let own = matches!(key, KeyIn::Customer(_)) == (magic == CUSTOMER_MAGIC);
                        prop_assert!(own && bytes.ends_with(after));
                    }
                }
            }
        }
    }
}
