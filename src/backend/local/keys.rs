//! The keys of a keystore, all derived from one random keystore key.
//!
//! ```text
//! record key   = HKDF-Expand-SHA-512(keystore key, "portcullis/v1/keystore/record", 32)
//! manifest key = HKDF-Expand-SHA-512(keystore key, "portcullis/v1/keystore/manifest", 32)
//! anchor key   = HKDF-Expand-SHA-512(keystore key, "portcullis/v1/keystore/anchor", 32)
//! ```
//!
//! The keystore key is uniformly random, so the extract step is left out (RFC 5869, section 3.3).

use core::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::crypto::schedule::labelled;
use crate::secret::Secret;

/// Sixteen random bytes that name a keystore for its whole life.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeystoreId([u8; 16]);

impl KeystoreId {
    /// An id of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for KeystoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeystoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeystoreId({self})")
    }
}

impl serde::Serialize for KeystoreId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The derived keys, each with one use.
pub(super) struct StoreKeys {
    /// Seals key records.
    pub(super) record: Secret<32>,
    /// Authenticates the manifest.
    pub(super) manifest: MacKey,
    /// Authenticates marks.
    pub(super) anchor: MacKey,
}

impl StoreKeys {
    pub(super) fn derive(keystore_key: &Secret<32>) -> Self {
        let mac = |label| MacKey(labelled(keystore_key, label));
        Self {
            record: labelled(keystore_key, b"portcullis/v1/keystore/record"),
            manifest: mac(b"portcullis/v1/keystore/manifest"),
            anchor: mac(b"portcullis/v1/keystore/anchor"),
        }
    }
}

/// A key of HMAC-SHA-256 (RFC 2104).
pub(super) struct MacKey(Secret<32>);

impl MacKey {
    #[cfg(test)]
    pub(super) fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// `HMAC-SHA-256(key, parts[0] || parts[1] || ...)`.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose())
            .expect("HMAC takes keys of any length (RFC 2104)");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the MAC of `parts`; in constant time.
    pub(super) fn holds(&self, parts: &[&[u8]], tag: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.mac(parts), tag).is_ok()
    }
}
