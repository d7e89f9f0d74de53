//! Authenticated encryption with keys in use, by `aws-lc-rs`: AES-256-GCM-SIV (RFC 8452) and
//! AES-256-GCM (NIST SP 800-38D).
//!
//! `aws-lc-rs` keeps key schedules in allocations of its own, which it wipes when it frees them.

use aws_lc_rs::aead::{AES_256_GCM, AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};

use super::Failed;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a nonce (RFC 5116, section 5.2).
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// Which of the two modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// AES-256-GCM. A nonce must never come twice under one key.
    Gcm,
    /// AES-256-GCM-SIV. A repeated nonce only shows that two plaintexts are equal.
    GcmSiv,
}

/// A key of one mode, scheduled. No `Debug`, no `Clone`.
pub(crate) struct AeadKey(LessSafeKey);

impl AeadKey {
    /// Schedules `key`, which remains the caller's to wipe.
    pub(crate) fn new(mode: Mode, key: &[u8; KEY_BYTES]) -> Self {
        let algorithm = match mode {
            Mode::Gcm => &AES_256_GCM,
            Mode::GcmSiv => &AES_256_GCM_SIV,
        };
        let key = UnboundKey::new(algorithm, key).expect("both algorithms take 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// `out = Seal[key](nonce, aad, plaintext)`, ciphertext and then tag.
    ///
    /// # Errors
    /// [`Failed`] if `out` is not [`TAG_BYTES`] longer than `plaintext`.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<(), Failed> {
        let (ciphertext, tag) = out.split_at_mut_checked(plaintext.len()).ok_or(Failed)?;
        if tag.len() != TAG_BYTES {
            return Err(Failed);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], tag)
            .map_err(|_| Failed)
    }

    /// `out = Open[key](nonce, aad, sealed)`; `out` is zeroes where that fails.
    ///
    /// # Errors
    /// [`Failed`] if it does not open or `out` is not [`TAG_BYTES`] shorter than `sealed`.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<(), Failed> {
        let (ciphertext, tag) = sealed.split_at_checked(out.len()).ok_or(Failed)?;
        if tag.len() != TAG_BYTES {
            return Err(Failed);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.0.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out);
        if opened.is_err() {
            // The GCM of some builds decrypts while it authenticates.
            out.fill(0);
        }
        opened.map_err(|_| Failed)
    }
}
