//! HKDF-SHA-512 (RFC 5869), by `aws-lc-rs`.

use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk, Salt};

use super::Failed;

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
