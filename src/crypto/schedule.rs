//! The key schedule: every key that is derived, with its label.
//!
//! ```text
//! wrap key   = HKDF-Expand-SHA-512(version material, "portcullis/v1/wrap", 32)
//! record MAC = HKDF-Expand-SHA-512(version material, "portcullis/v1/record", 32)
//! ```
//!
//! A version's stored bytes are uniformly random, so the extract step of RFC 5869 (section 3.3) is
//! left out, and they are never themselves a key: each use has a label of its own.

use super::aead::{AeadKey, Mode};
use super::hkdf;
use crate::secret::Secret;

/// The key that wraps data keys under one version: AES-256-GCM-SIV.
pub(crate) fn wrap_key(material: &Secret<32>) -> AeadKey {
    AeadKey::new(Mode::GcmSiv, labelled(material, b"portcullis/v1/wrap").expose())
}

/// `HKDF-Expand-SHA-512(secret, label, 32)`.
pub(crate) fn labelled(secret: &Secret<32>, label: &[u8]) -> Secret<32> {
    Secret::fill_with(|out| hkdf::expand(secret.expose(), &[label], out))
        .expect("32 bytes are within HKDF's bounds")
}
