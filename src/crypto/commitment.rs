//! `commitment = HMAC-SHA-256(data key, label || purpose || key spec || len(id) || id || H)` with
//! `H = SHA-256(canonical context)` (RFC 2104).
//!
//! AES-GCM and its relatives do not commit to their key: one ciphertext can be made to open under
//! two keys. The commitment closes that, and binds a data key to its master key and context. It
//! leaves out version, tag, nonce and wrapped bytes, so that a rewrap keeps it. It is only ever
//! keyed with a uniformly random data key.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Failed;
use super::message::Message;
use crate::limits::KEY_ID_BYTES_MAX;

/// Bytes of a commitment.
pub(crate) const COMMITMENT_BYTES: usize = 32;

/// What a data key commits to beside itself.
#[derive(Clone, Copy)]
pub(crate) struct Committed<'a> {
    pub(crate) purpose: u8,
    pub(crate) spec: u8,
    pub(crate) key_id: &'a [u8],
    /// SHA-256 of the canonical context.
    pub(crate) context: &'a [u8; 32],
}

/// The commitment of `data_key` to `to`.
pub(crate) fn commit(data_key: &[u8], to: Committed<'_>) -> [u8; COMMITMENT_BYTES] {
    mac(data_key, to).finalize().into_bytes().into()
}

/// Whether `commitment` is that of `data_key` to `to`; in constant time.
///
/// # Errors
/// [`Failed`] if it is not.
pub(crate) fn check(
    data_key: &[u8],
    to: Committed<'_>,
    commitment: &[u8; COMMITMENT_BYTES],
) -> Result<(), Failed> {
    verify_slices_are_equal(&commit(data_key, to), commitment).map_err(|_| Failed)
}

fn mac(data_key: &[u8], to: Committed<'_>) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(data_key).expect("HMAC takes keys of any length (RFC 2104)");
    let id_bytes = u8::try_from(to.key_id.len()).expect("key ids are at most 128 bytes");
    let mut message = Message::<MESSAGE_BYTES_MAX>::new();
    message.push(LABEL);
    message.push(&[to.purpose, to.spec, id_bytes]);
    message.push(to.key_id);
    message.push(to.context);
    mac.update(message.as_bytes());
    mac
}

const LABEL: &[u8] = b"portcullis/v1/commitment";
const MESSAGE_BYTES_MAX: usize = LABEL.len() + 3 + KEY_ID_BYTES_MAX + 32;
