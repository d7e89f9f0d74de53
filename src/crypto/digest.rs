//! `SHA-256(parts)` (FIPS 180-4), by which contexts and files are named.

use sha2::{Digest, Sha256};

/// `SHA-256(parts[0] || parts[1] || ...)`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
