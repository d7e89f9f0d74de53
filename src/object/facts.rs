//! What a host knows of an object's plaintext and stores sealed: its ETag and its checksums.
//!
//! Those of S3 are digests of the plaintext. Stored openly they would confirm guesses of it, so
//! they are sealed in the object's record and told to whoever may open the object.

use core::fmt;

use super::cursor::{Cursor, push_u8};
use crate::error::ObjectError;
use crate::limits::{CHECKSUMS_MAX, ETAG_BYTES_MAX};

/// The ETag and the checksums of an object or a part.
///
/// They have no `Debug` of their content: a digest of a short plaintext tells the plaintext.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Facts {
    etag: Option<String>,
    checksums: Vec<Checksum>,
}

impl Facts {
    /// No facts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this ETag: 1 to 128 bytes of visible ASCII, as the host wants it back.
    ///
    /// # Errors
    /// [`ObjectError::Invalid`] if it is not that.
    pub fn with_etag(mut self, etag: &str) -> Result<Self, ObjectError> {
        if !is_etag(etag) {
            let problem = "is not 1 to 128 bytes of visible ASCII";
            return Err(ObjectError::Invalid { field: "etag", problem });
        }
        self.etag = Some(etag.to_owned());
        Ok(self)
    }

    /// With this checksum too.
    ///
    /// # Errors
    /// [`ObjectError::Invalid`] if there is one of its algorithm.
    pub fn with_checksum(mut self, checksum: Checksum) -> Result<Self, ObjectError> {
        if self.checksum(checksum.algorithm).is_some() {
            let problem = "stands there twice";
            return Err(ObjectError::Invalid { field: "checksum", problem });
        }
        self.checksums.push(checksum);
        self.checksums.sort_by_key(|checksum| checksum.algorithm);
        Ok(self)
    }

    /// The ETag.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The checksums, at most one of each algorithm.
    #[must_use]
    pub fn checksums(&self) -> &[Checksum] {
        &self.checksums
    }

    /// The checksum of this algorithm.
    #[must_use]
    pub fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<&Checksum> {
        self.checksums.iter().find(|checksum| checksum.algorithm == algorithm)
    }

    /// Appends the stored form to `out`:
    ///
    /// ```text
    /// n u8 | etag [n] | count u8 | per checksum, by algorithm:
    ///                             algorithm u8 | scope u8 | bytes u8 | value
    /// ```
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let etag = self.etag.as_deref().unwrap_or("");
        push_u8(out, etag.len());
        out.extend_from_slice(etag.as_bytes());
        push_u8(out, self.checksums.len());
        for Checksum { algorithm, scope, value } in &self.checksums {
            out.extend([algorithm.code(), scope.code()]);
            push_u8(out, value.len());
            out.extend_from_slice(value);
        }
    }

    /// The facts of which `bytes` are the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ObjectError> {
        let malformed = |_| ObjectError::Malformed("facts");
        let mut rest = Cursor::new(bytes);
        let etag = rest.counted_u8("facts")?;
        let mut facts = Self::new();
        if !etag.is_empty() {
            let etag = core::str::from_utf8(etag).map_err(|_| ObjectError::Malformed("facts"))?;
            facts = facts.with_etag(etag).map_err(malformed)?;
        }
        let count = usize::from(rest.u8("facts")?);
        for _ in 0..count {
            let algorithm = ChecksumAlgorithm::from_code(rest.u8("facts")?);
            let scope = ChecksumScope::from_code(rest.u8("facts")?);
            let (algorithm, scope) = algorithm.zip(scope).ok_or(ObjectError::Malformed("facts"))?;
            let value = rest.counted_u8("facts")?;
            if facts.checksums.last().is_some_and(|last| last.algorithm >= algorithm) {
                return Err(ObjectError::Malformed("facts"));
            }
            let checksum = Checksum::new(algorithm, scope, value).map_err(malformed)?;
            facts.checksums.push(checksum);
        }
        rest.end("facts")?;
        Ok(facts)
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

/// One checksum of an object or a part.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    scope: ChecksumScope,
    value: Box<[u8]>,
}

impl Checksum {
    /// A checksum by its raw bytes (not base64).
    ///
    /// # Errors
    /// [`ObjectError::Invalid`] if `value` has not the algorithm's length.
    pub fn new(
        algorithm: ChecksumAlgorithm,
        scope: ChecksumScope,
        value: &[u8],
    ) -> Result<Self, ObjectError> {
        if value.len() != algorithm.bytes() {
            let problem = "has not the length of its algorithm";
            return Err(ObjectError::Invalid { field: "checksum", problem });
        }
        Ok(Self { algorithm, scope, value: value.into() })
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// What it is the checksum of.
    #[must_use]
    pub fn scope(&self) -> ChecksumScope {
        self.scope
    }

    /// The raw bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksum").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The algorithms of S3's checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO 3309), 4 bytes.
    Crc32,
    /// CRC-32C (RFC 3720), 4 bytes.
    Crc32C,
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme,
    /// MD5 (RFC 1321), 16 bytes.
    Md5,
    /// SHA-1 (FIPS 180-4), 20 bytes.
    Sha1,
    /// SHA-256 (FIPS 180-4), 32 bytes.
    Sha256,
}

impl ChecksumAlgorithm {
    /// Bytes of a value.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32C => 4,
            Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Crc32 => 1,
            Self::Crc32C => 2,
            Self::Crc64Nvme => 3,
            Self::Md5 => 4,
            Self::Sha1 => 5,
            Self::Sha256 => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Crc32),
            2 => Some(Self::Crc32C),
            3 => Some(Self::Crc64Nvme),
            4 => Some(Self::Md5),
            5 => Some(Self::Sha1),
            6 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// What a checksum is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumScope {
    /// The whole plaintext.
    FullObject,
    /// The checksums of the parts, one after the other.
    Composite,
}

impl ChecksumScope {
    fn code(self) -> u8 {
        match self {
            Self::FullObject => 1,
            Self::Composite => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::FullObject),
            2 => Some(Self::Composite),
            _ => None,
        }
    }
}

fn is_etag(etag: &str) -> bool {
    (1..=ETAG_BYTES_MAX).contains(&etag.len()) && etag.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Longest stored form.
pub(crate) const FACTS_BYTES_MAX: usize = 2 + ETAG_BYTES_MAX + CHECKSUMS_MAX * (3 + 32);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [ChecksumAlgorithm; CHECKSUMS_MAX] = [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Md5,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ];

    fn full() -> Facts {
        let facts = Facts::new().with_etag("\"d41d8cd98f00b204e9800998ecf8427e-3\"").unwrap();
        ALL.iter().rev().fold(facts, |facts, &algorithm| {
            let value = vec![algorithm.code(); algorithm.bytes()];
            let checksum = Checksum::new(algorithm, ChecksumScope::Composite, &value).unwrap();
            facts.with_checksum(checksum).unwrap()
        })
    }

    fn encoded(facts: &Facts) -> Vec<u8> {
        let mut bytes = Vec::new();
        facts.encode(&mut bytes);
        bytes
    }

    #[test]
    fn facts_come_back_whatever_there_is_of_them() {
        for facts in [Facts::new(), Facts::new().with_etag("x").unwrap(), full()] {
            let bytes = encoded(&facts);
            assert!(bytes.len() <= FACTS_BYTES_MAX);
            assert!(Facts::decode(&bytes).unwrap() == facts);
        }
    }

    #[test]
    fn what_is_outside_the_limits_is_refused_before_it_is_stored() {
        let long = "x".repeat(ETAG_BYTES_MAX + 1);
        for etag in ["", "a b", "a\n", "\u{e9}", &long] {
            assert!(Facts::new().with_etag(etag).is_err(), "{etag}");
        }
        let value = [0; 31];
        let scope = ChecksumScope::FullObject;
        assert!(Checksum::new(ChecksumAlgorithm::Sha256, scope, &value).is_err());
        let twice = Checksum::new(ChecksumAlgorithm::Md5, scope, &value[..16]).unwrap();
        assert!(full().with_checksum(twice).is_err());
    }

    #[test]
    fn a_debug_shows_no_digest() {
        assert_eq!(format!("{:?}", full()), "Facts { .. }");
        assert_eq!(format!("{:?}", full().checksums[0]), "Checksum { algorithm: Crc32, .. }");
    }

    proptest! {
        #[test]
        fn bytes_are_taken_only_if_they_are_what_facts_encode_to(
            bytes in proptest::collection::vec(0_u8..8, 0..40),
        ) {
            if let Ok(facts) = Facts::decode(&bytes) {
                prop_assert_eq!(encoded(&facts), bytes);
            }
        }

        #[test]
        fn a_change_of_any_byte_gives_other_facts_or_none(at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = encoded(&full());
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(facts) = Facts::decode(&bytes) {
                prop_assert!(facts != full());
                prop_assert_eq!(encoded(&facts), bytes);
            }
            let whole = encoded(&full());
            prop_assert!(Facts::decode(&whole[..at]).is_err());
            prop_assert!(Facts::decode(&[&whole[..], &[flip]].concat()).is_err());
        }
    }
}
