//! The keys of an object's record, which come from the object's own key.
//!
//! ```text
//! MAC key      = HMAC-SHA-256(object's key, "portcullis/v1/object/mac")                  RFC 2104
//! facts key    = HMAC-SHA-256(object's key, "portcullis/v1/object/facts")
//! MAC          = HMAC-SHA-256(MAC key, the record without its MAC)
//! sealed facts = nonce 12 || AES-256-GCM-SIV Seal[facts key](nonce, magic of the record, facts)
//! ```
//!
//! The object's key is what the record's envelope wraps: the data key or, under a customer key, a
//! record key that seals nothing else. Every record begins with the magic of its kind, so the MAC
//! of one is never that of another. GCM-SIV (RFC 8452), because an upload may be completed, and so
//! its facts sealed, more than once under one key.
//!
//! Cost: about 1 us a record.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::facts::{FACTS_BYTES_MAX, Facts};
use crate::crypto::Failed;
use crate::crypto::aead::{AeadKey, KEY_BYTES, Mode, NONCE_BYTES, TAG_BYTES};
use crate::error::{Error, ObjectError};
use crate::secret::StackKey;

/// Bytes of a record's MAC.
pub(crate) const MAC_BYTES: usize = 32;
/// Longest sealed facts.
pub(crate) const SEALED_FACTS_BYTES_MAX: usize = FACTS_BYTES_MAX + NONCE_BYTES + TAG_BYTES;
/// Shortest sealed facts.
pub(crate) const SEALED_FACTS_BYTES_MIN: usize = 2 + NONCE_BYTES + TAG_BYTES;

/// The keys of one record, while a section works with the object's key.
pub(crate) struct RecordKeys<'k>(&'k [u8]);

impl<'k> RecordKeys<'k> {
    /// The keys that come from `object_key`, which is uniformly random.
    pub(crate) fn of(object_key: &'k StackKey) -> Self {
        Self(object_key.expose())
    }

    /// The MAC of `bytes`, a record without its MAC.
    pub(crate) fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mut key = StackKey::blank();
        self.derive(MAC_LABEL, &mut key);
        let mut mac = keyed(key.expose());
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// Whether `mac` is that of `bytes`; in constant time.
    ///
    /// # Errors
    /// [`ObjectError::DoesNotOpen`] if it is not.
    pub(crate) fn check(&self, bytes: &[u8], mac: &[u8; MAC_BYTES]) -> Result<(), ObjectError> {
        verify_slices_are_equal(&self.mac(bytes), mac).map_err(|_| ObjectError::DoesNotOpen)
    }

    /// `facts`, sealed for a record that begins with `magic`. `nonce` is random.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub(crate) fn seal_facts(
        &self,
        magic: [u8; 4],
        nonce: [u8; NONCE_BYTES],
        facts: &Facts,
    ) -> Result<Vec<u8>, Error> {
        let mut plain = Zeroizing::new(Vec::with_capacity(FACTS_BYTES_MAX));
        facts.encode(&mut plain);
        let mut sealed = vec![0; NONCE_BYTES + plain.len() + TAG_BYTES];
        let (front, rest) = sealed.split_at_mut(NONCE_BYTES);
        front.copy_from_slice(&nonce);
        self.facts_key()
            .and_then(|key| key.seal(nonce, &magic, &plain, rest))
            .map_err(|Failed| Error::Unreachable("facts sealed into a buffer of another size"))?;
        Ok(sealed)
    }

    /// The facts in `sealed`, of a record that begins with `magic`.
    ///
    /// # Errors
    /// [`ObjectError::DoesNotOpen`] if they do not open.
    pub(crate) fn open_facts(&self, magic: [u8; 4], sealed: &[u8]) -> Result<Facts, ObjectError> {
        let does_not_open = ObjectError::DoesNotOpen;
        let Some((nonce, rest)) = sealed.split_first_chunk() else {
            return Err(does_not_open);
        };
        let Some(plain_bytes) = rest.len().checked_sub(TAG_BYTES) else {
            return Err(does_not_open);
        };
        let mut plain = Zeroizing::new(vec![0; plain_bytes]);
        self.facts_key()
            .and_then(|key| key.open(*nonce, &magic, rest, &mut plain))
            .map_err(|Failed| does_not_open)?;
        Facts::decode(&plain)
    }

    fn facts_key(&self) -> Result<AeadKey, Failed> {
        let mut key = StackKey::blank();
        self.derive(FACTS_LABEL, &mut key);
        let key: &[u8; KEY_BYTES] = key.expose().try_into().map_err(|_| Failed)?;
        Ok(AeadKey::new(Mode::GcmSiv, key))
    }

    fn derive(&self, label: &[u8], out: &mut StackKey) {
        let mut mac = keyed(self.0);
        mac.update(label);
        let mut derived = mac.finalize().into_bytes();
        out.resize(KEY_BYTES).expect("a stack key holds 64 bytes").copy_from_slice(&derived);
        derived.as_mut_slice().zeroize();
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)")
}

const MAC_LABEL: &[u8] = b"portcullis/v1/object/mac";
const FACTS_LABEL: &[u8] = b"portcullis/v1/object/facts";
