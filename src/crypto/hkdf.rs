//! HKDF-SHA-512 (RFC 5869), by `aws-lc-rs`.

use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use zeroize::Zeroize;

use super::Failed;

/// Bytes of a pseudorandom key: the hash's output.
pub(crate) const PRK_BYTES: usize = 64;

/// Longest pseudorandom key that [`expand`] takes, in bytes: what `aws-lc-rs` takes
/// without a panic.
const PRK_BYTES_MAX: usize = 64;

/// `out = HKDF-Expand-SHA-512(prk, info[0] || info[1] || ...)`: RFC 5869, section 2.3.
///
/// # Errors
/// [`Failed`] if `out` is longer than 255 blocks or `prk` is longer than 64 bytes.
pub(crate) fn expand(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<(), Failed> {
    if prk.len() > PRK_BYTES_MAX {
        return Err(Failed);
    }
    let prk = Prk::new_less_safe(HKDF_SHA512, prk);
    prk.expand(info, Length(out.len())).and_then(|okm| okm.fill(out)).map_err(|_| Failed)
}

/// `prk = HKDF-Extract-SHA-512(salt, input) = HMAC-SHA-512(salt, input)`: RFC 5869, section 2.2.
/// By the `hmac` crate: `aws-lc-rs` does not let the key out.
///
/// # Errors
/// [`Failed`] if `prk` is not [`PRK_BYTES`] long.
pub(crate) fn extract(salt: &[u8], input: &[u8], prk: &mut [u8]) -> Result<(), Failed> {
    let prk: &mut [u8; PRK_BYTES] = prk.try_into().map_err(|_| Failed)?;
    let mut mac = Hmac::<Sha512>::new_from_slice(salt).map_err(|_| Failed)?;
    mac.update(input);
    let mut extracted = mac.finalize().into_bytes();
    prk.copy_from_slice(&extracted);
    extracted.as_mut_slice().zeroize();
    Ok(())
}

/// `out = HKDF-SHA-512(salt, input, info)`: extract, then expand (RFC 5869, sections 2.2 and 2.3).
///
/// # Errors
/// [`Failed`] if `out` is longer than 255 blocks.
pub(crate) fn derive(
    salt: &[u8],
    input: &[u8],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<(), Failed> {
    let prk = Salt::new(HKDF_SHA512, salt).extract(input);
    prk.expand(info, Length(out.len())).and_then(|okm| okm.fill(out)).map_err(|_| Failed)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
