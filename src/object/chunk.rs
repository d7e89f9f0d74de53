//! C2SP chunked-encryption v1: the keys of an object, its header, its chunks and its sizes
//! (c2sp.org/chunked-encryption).
//!
//! ```text
//! key 32 || base nonce 12 || commitment 32 = HKDF-Expand-SHA-512(input key, info)
//! info   = "c2sp.org/chunked-encryption@v1+" || AEAD name || 0x00 || salt 24 || context
//! object = salt 24 || commitment 32 || chunk 0 || chunk 1 || ...
//! chunk  = AEAD[key](base nonce XOR number as 96 bits big-endian, no AAD, at most 16 KiB)
//! ```
//!
//! Every chunk but the last is full, and the last is never full: it may be empty. So the end is
//! authenticated by its length, and a chunk moved, dropped, repeated or appended does not open.
//!
//! The commitment is checked before anything is opened: neither AEAD commits to its key, and a
//! ciphertext that opens under two keys is two objects.
//!
//! Cost: deriving 2 us, then that of the AEAD.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::crypto::Failed;
use crate::crypto::aead::{AeadKey, KEY_BYTES, Mode, NONCE_BYTES, TAG_BYTES};
use crate::crypto::hkdf;
use crate::error::{Error, ObjectError};
use crate::limits::CHUNK_BYTES;
use crate::secret::Secret;

/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 24;
/// Bytes of the commitment to key and context.
pub(crate) const COMMITMENT_BYTES: usize = 32;
/// Bytes before the first chunk.
pub(crate) const HEADER_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES;
/// Bytes of a full chunk with its tag.
pub(crate) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// Most chunks of one object.
pub(crate) const CHUNKS_MAX: u64 = 1 << 38;

/// With which AEAD an object is sealed. The layout is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suite {
    /// `Cobblestone-256`: AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm,
    /// AES-256-GCM-SIV (RFC 8452), for hosts that may be cloned or snapshotted while they run: a
    /// salt drawn twice only shows that two chunks are equal.
    Aes256GcmSiv,
}

impl Suite {
    /// The byte that stands for it in a sealed stream.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::Aes256GcmSiv => 2,
        }
    }

    /// The suite that a byte stands for.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::Aes256GcmSiv),
            _ => None,
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Aes256Gcm => Mode::Gcm,
            Self::Aes256GcmSiv => Mode::GcmSiv,
        }
    }

    /// Names of the IANA registry of AEAD algorithms (RFC 5116, RFC 8452).
    fn aead_name(self) -> &'static [u8] {
        match self {
            Self::Aes256Gcm => b"AEAD_AES_256_GCM",
            Self::Aes256GcmSiv => b"AEAD_AES_256_GCM_SIV",
        }
    }
}

/// What stands before the first chunk: `salt || commitment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    salt: [u8; SALT_BYTES],
    commitment: [u8; COMMITMENT_BYTES],
}

impl Header {
    /// The header at the front of `object`, and what follows it.
    ///
    /// # Errors
    /// [`ObjectError::Malformed`] if `object` ends inside it.
    pub(crate) fn split_from(object: &[u8]) -> Result<(Self, &[u8]), ObjectError> {
        let malformed = ObjectError::Malformed("header");
        let Some((salt, rest)) = object.split_first_chunk() else {
            return Err(malformed);
        };
        let Some((commitment, rest)) = rest.split_first_chunk() else {
            return Err(malformed);
        };
        let header = Self { salt: *salt, commitment: *commitment };
        Ok((header, rest))
    }

    /// The salt.
    pub(crate) fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// The header as it stands in the object: salt, then commitment.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.salt, &self.commitment]
    }
}

/// Seals and opens the chunks of one object. No `Debug`, no `Clone`; its key schedule is wiped when
/// it is dropped.
pub(crate) struct ChunkCipher {
    key: AeadKey,
    /// Not a secret: it only keeps the nonces of two objects apart.
    base_nonce: [u8; NONCE_BYTES],
}

impl ChunkCipher {
    /// The cipher and the header of a new object. `salt` is random and new: the same salt with the
    /// same key and context repeats nonces.
    ///
    /// # Errors
    /// [`Failed`] if `input_key` is not 32 bytes, the key size of both suites.
    pub(crate) fn for_sealing(
        suite: Suite,
        input_key: &[u8],
        salt: [u8; SALT_BYTES],
        context: &[u8],
    ) -> Result<(Self, Header), Failed> {
        let (cipher, commitment) = Self::derive(suite, input_key, &salt, context)?;
        Ok((cipher, Header { salt, commitment }))
    }

    /// The cipher of the object that begins with `header`, once the header's commitment has shown
    /// that `input_key` and `context` are those of the object; in constant time.
    ///
    /// # Errors
    /// [`ObjectError::DoesNotOpen`] if they are not.
    pub(crate) fn for_opening(
        suite: Suite,
        input_key: &[u8],
        header: &Header,
        context: &[u8],
    ) -> Result<Self, ObjectError> {
        let (cipher, commitment) = Self::derive(suite, input_key, &header.salt, context)
            .map_err(|Failed| ObjectError::DoesNotOpen)?;
        verify_slices_are_equal(&commitment, &header.commitment)
            .map_err(|_| ObjectError::DoesNotOpen)?;
        Ok(cipher)
    }

    fn derive(
        suite: Suite,
        input_key: &[u8],
        salt: &[u8; SALT_BYTES],
        context: &[u8],
    ) -> Result<(Self, [u8; COMMITMENT_BYTES]), Failed> {
        // HKDF would take any length; the format wants the AEAD's, so that a key has one strength.
        if input_key.len() != KEY_BYTES {
            return Err(Failed);
        }
        let info = [LABEL, suite.aead_name(), &[0], salt, context];
        let derived =
            Secret::<DERIVED_BYTES>::fill_with(|out| hkdf::expand(input_key, &info, out))?;
        let (key, rest) = derived.expose().split_first_chunk().ok_or(Failed)?;
        let (base_nonce, commitment) = rest.split_first_chunk().ok_or(Failed)?;
        let cipher = Self { key: AeadKey::new(suite.mode(), key), base_nonce: *base_nonce };
        Ok((cipher, commitment.try_into().map_err(|_| Failed)?))
    }

    /// Seals chunk `number` into `out`, which is [`TAG_BYTES`] longer than `plain`. A full chunk is
    /// one that others follow.
    ///
    /// # Errors
    /// [`ObjectError::TooLong`] past [`CHUNKS_MAX`]; [`Error::Unreachable`] if the lengths do not
    /// fit.
    pub(crate) fn seal(&self, number: u64, plain: &[u8], out: &mut [u8]) -> Result<(), Error> {
        if plain.len() > CHUNK_BYTES {
            return Err(Error::Unreachable("a chunk of more than 16 KiB"));
        }
        let nonce = self.nonce(number, plain.len())?;
        self.key
            .seal(nonce, &[], plain, out)
            .map_err(|Failed| Error::Unreachable("a chunk sealed into a buffer of another size"))
    }

    /// Opens chunk `number` into `out`, which is [`TAG_BYTES`] shorter than `sealed`, and zeroes
    /// where that fails.
    ///
    /// # Errors
    /// [`ObjectError::DoesNotOpen`] if it does not open, [`ObjectError::TooLong`] past
    /// [`CHUNKS_MAX`].
    pub(crate) fn open(&self, number: u64, sealed: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let nonce = self.nonce(number, out.len())?;
        self.key.open(nonce, &[], sealed, out).map_err(|Failed| ObjectError::DoesNotOpen.into())
    }

    /// `base nonce XOR number`, for a chunk of `plain_bytes`.
    fn nonce(&self, number: u64, plain_bytes: usize) -> Result<[u8; NONCE_BYTES], Error> {
        // After a full chunk there must be room for a last one.
        let end = CHUNKS_MAX - u64::from(plain_bytes == CHUNK_BYTES);
        if number >= end {
            return Err(ObjectError::TooLong.into());
        }
        let mut nonce = self.base_nonce;
        let low = nonce.iter_mut().skip(NONCE_BYTES - size_of::<u64>());
        low.zip(number.to_be_bytes()).for_each(|(nonce, number)| *nonce ^= number);
        Ok(nonce)
    }
}

#[cfg(test)]
impl ChunkCipher {
    /// The cipher with exactly this key and base nonce.
    pub(crate) fn raw(suite: Suite, key: &[u8; KEY_BYTES], base_nonce: [u8; NONCE_BYTES]) -> Self {
        Self { key: AeadKey::new(suite.mode(), key), base_nonce }
    }
}

/// How long the object of a plaintext of `plain_bytes` is, header included; `None` if that is
/// longer than the format allows.
pub(crate) fn sealed_size(plain_bytes: u64) -> Option<u64> {
    if plain_bytes > PLAIN_BYTES_MAX {
        return None;
    }
    let chunks = plain_bytes / CHUNK + 1;
    Some(HEADER + plain_bytes + chunks * TAG)
}

/// How long the plaintext of an object of `sealed_bytes` is, header included.
///
/// The length is not authenticated before the last chunk has opened.
///
/// # Errors
/// [`ObjectError::Malformed`] if no object has this length, [`ObjectError::TooLong`] if it is
/// longer than the format allows.
pub(crate) fn plain_size(sealed_bytes: u64) -> Result<u64, ObjectError> {
    let body = sealed_bytes.checked_sub(HEADER).ok_or(ObjectError::Malformed("header"))?;
    let full_chunks = body / (CHUNK + TAG);
    let last = (body % (CHUNK + TAG)).checked_sub(TAG).ok_or(ObjectError::Malformed("length"))?;
    if full_chunks >= CHUNKS_MAX {
        return Err(ObjectError::TooLong);
    }
    Ok(full_chunks * CHUNK + last)
}

const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+";
const DERIVED_BYTES: usize = KEY_BYTES + NONCE_BYTES + COMMITMENT_BYTES;

const CHUNK: u64 = CHUNK_BYTES as u64;
const TAG: u64 = TAG_BYTES as u64;
const HEADER: u64 = HEADER_BYTES as u64;
/// Longest plaintext: the last chunk is not full.
const PLAIN_BYTES_MAX: u64 = CHUNKS_MAX * CHUNK - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_both_ways_around_every_border() {
        for chunks in [0, 1, 2, 255, 256, 1 << 20, CHUNKS_MAX - 1] {
            for plain in (chunks * CHUNK).saturating_sub(20)..chunks * CHUNK + 20 {
                let sealed = sealed_size(plain).unwrap();
                assert_eq!(plain_size(sealed).unwrap(), plain);
            }
        }
        assert_eq!(sealed_size(0), Some(72));
        assert_eq!(sealed_size(CHUNK), Some(56 + 16_400 + 16));
    }

    #[test]
    fn lengths_that_no_object_has_are_refused() {
        for short in 0..HEADER {
            assert!(matches!(plain_size(short), Err(ObjectError::Malformed("header"))));
        }
        for full in [0, 1, 7, 300] {
            for over in 0..TAG {
                let size = HEADER + full * (CHUNK + TAG) + over;
                assert!(matches!(plain_size(size), Err(ObjectError::Malformed("length"))));
            }
        }
    }

    #[test]
    fn sizes_past_the_limit_are_refused_both_ways() {
        let longest = sealed_size(PLAIN_BYTES_MAX).unwrap();
        assert_eq!(plain_size(longest).unwrap(), PLAIN_BYTES_MAX);
        assert_eq!(sealed_size(PLAIN_BYTES_MAX + 1), None);
        assert_eq!(sealed_size(u64::MAX), None);
        let next = HEADER + CHUNKS_MAX * (CHUNK + TAG) + TAG;
        assert!(matches!(plain_size(next), Err(ObjectError::TooLong)));
        assert!(plain_size(u64::MAX).is_err());
    }

    #[test]
    fn the_last_number_takes_only_a_last_chunk_and_no_number_follows_it() {
        let (cipher, _) =
            ChunkCipher::for_sealing(Suite::Aes256Gcm, &[1; 32], [2; 24], b"").unwrap();
        let full = [0; CHUNK_BYTES];
        let mut sealed = [0; SEALED_CHUNK_BYTES];
        let mut plain = [0; CHUNK_BYTES];
        let last = CHUNKS_MAX - 1;
        let short = &mut sealed[..CHUNK_BYTES - 1 + TAG_BYTES];
        cipher.seal(last, &full[1..], short).unwrap();
        cipher.open(last, short, &mut plain[1..]).unwrap();
        let too_long = |result| matches!(result, Err(Error::Object(ObjectError::TooLong)));
        assert!(too_long(cipher.seal(last, &full, &mut sealed)));
        assert!(too_long(cipher.open(last, &sealed, &mut plain)));
        assert!(too_long(cipher.seal(last + 1, &[], &mut [0; TAG_BYTES])));
        assert!(too_long(cipher.open(last + 1, &[0; TAG_BYTES], &mut [])));
        assert!(cipher.seal(last - 1, &full, &mut sealed).is_ok());
    }

    #[test]
    fn suites_keys_contexts_and_salts_are_all_committed_to() {
        let key = [1; 32];
        let of = |suite, key: &[u8], salt, context: &[u8]| {
            ChunkCipher::for_sealing(suite, key, salt, context).unwrap().1
        };
        let header = of(Suite::Aes256Gcm, &key, [2; 24], b"context");
        let opens = |suite, key: &[u8], header: &Header, context: &[u8]| {
            ChunkCipher::for_opening(suite, key, header, context).is_ok()
        };
        assert!(opens(Suite::Aes256Gcm, &key, &header, b"context"));
        assert!(!opens(Suite::Aes256GcmSiv, &key, &header, b"context"));
        assert!(!opens(Suite::Aes256Gcm, &[3; 32], &header, b"context"));
        assert!(!opens(Suite::Aes256Gcm, &key, &header, b"contexT"));
        assert!(!opens(Suite::Aes256Gcm, &key, &header, b""));
        let other = of(Suite::Aes256Gcm, &key, [9; 24], b"context");
        let swapped = Header { salt: other.salt, ..header };
        assert!(!opens(Suite::Aes256Gcm, &key, &swapped, b"context"));
    }

    #[test]
    fn input_keys_of_another_length_are_refused() {
        for len in [0, 16, 31, 33, 64] {
            let key = vec![1; len];
            assert!(ChunkCipher::for_sealing(Suite::Aes256Gcm, &key, [2; 24], b"").is_err());
        }
    }
}
