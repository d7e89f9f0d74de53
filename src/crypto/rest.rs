//! `Seal[key](nonce, aad, plaintext)` of records at rest: AES-256-GCM-SIV (RFC 8452), by the
//! `aes-gcm-siv` crate.
//!
//! The crate leaves a round key on its caller's stack, so the stack below both functions is
//! overwritten after them (guarantee 6). Keys in use are `aws-lc-rs`'s; in tests each checks the
//! other.

use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Nonce, Tag};
use zeroize::zeroize_stack;

use super::Failed;
use super::aead::{KEY_BYTES, NONCE_BYTES, TAG_BYTES};

/// Encrypts `buffer` in place and gives the tag.
///
/// # Errors
/// [`Failed`] past the mode's limit of 2^36 bytes.
pub(crate) fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    buffer: &mut [u8],
) -> Result<[u8; TAG_BYTES], Failed> {
    let tag = scrubbed(|| {
        let cipher = Aes256GcmSiv::new(key.into());
        cipher.encrypt_inout_detached(&Nonce::from(*nonce), aad, buffer.into())
    });
    tag.map(Into::into).map_err(|_| Failed)
}

/// Decrypts `buffer` in place.
///
/// # Errors
/// [`Failed`] if it does not open; `buffer` is then not to be used.
pub(crate) fn open(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), Failed> {
    let opened = scrubbed(|| {
        let cipher = Aes256GcmSiv::new(key.into());
        cipher.decrypt_inout_detached(&Nonce::from(*nonce), aad, buffer.into(), &Tag::from(*tag))
    });
    opened.map_err(|_| Failed)
}

/// Runs `work` in frames of its own, and overwrites them.
fn scrubbed<R>(work: impl FnOnce() -> R) -> R {
    #[inline(never)]
    fn apart<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    let done = apart(work);
    zeroize_stack::<STACK_BYTES>();
    done
}

/// More than the crate's deepest frames take: two schedules of 240 bytes, POLYVAL's powers, a block
/// of eight counters.
const STACK_BYTES: usize = 16 * 1024;
