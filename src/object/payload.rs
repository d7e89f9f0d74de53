//! Small payloads in one go, over the format of [`chunk`](super::chunk): made for one section of
//! the gate, which is what bounds their size.

use zeroize::Zeroize;

use super::chunk::{
    ChunkCipher, HEADER_BYTES, Header, SEALED_CHUNK_BYTES, plain_size, sealed_size,
};
use crate::crypto::aead::TAG_BYTES;
use crate::error::{Error, ObjectError};
use crate::limits::{CHUNK_BYTES, PAYLOAD_BYTES_MAX};

/// Appends `header` and the chunks of `plain` to `out`; `out` is as before where that fails.
///
/// # Errors
/// [`Error::ApiMisuse`] past [`PAYLOAD_BYTES_MAX`].
pub(crate) fn seal_payload(
    cipher: &ChunkCipher,
    header: &Header,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    if plain.len() > PAYLOAD_BYTES_MAX {
        return Err(Error::ApiMisuse("a payload is at most 64 KiB"));
    }
    let size = sealed_size(plain.len() as u64)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or(ObjectError::TooLong)?;
    out.reserve_exact(size);
    for part in header.parts() {
        out.extend_from_slice(part);
    }
    let body = out.len();
    out.resize(body + size - HEADER_BYTES, 0);
    let sealed = out.get_mut(body..).unwrap_or_default();
    let result = seal_chunks(cipher, plain, sealed);
    if result.is_err() {
        out.truncate(body - HEADER_BYTES);
    }
    result
}

/// Appends the plaintext of `body`, what follows an object's header, to `out`; nothing is added
/// where that fails.
///
/// # Errors
/// [`ObjectError::DoesNotOpen`] if a chunk does not open, [`ObjectError::Malformed`] if no payload
/// has this length.
pub(crate) fn open_payload(
    cipher: &ChunkCipher,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let size = plain_size((HEADER_BYTES + body.len()) as u64)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|&size| size <= PAYLOAD_BYTES_MAX)
        .ok_or(ObjectError::Malformed("length"))?;
    let before = out.len();
    out.reserve_exact(size);
    out.resize(before + size, 0);
    let plain = out.get_mut(before..).unwrap_or_default();
    let result = open_chunks(cipher, body, plain);
    if result.is_err() {
        plain.zeroize();
        out.truncate(before);
    }
    result
}

/// Seals all of `plain` into `out`, which has its exact size.
pub(crate) fn seal_chunks(cipher: &ChunkCipher, plain: &[u8], out: &mut [u8]) -> Result<(), Error> {
    let (full, last) = plain.as_chunks::<CHUNK_BYTES>();
    let (full_out, last_out) = out.as_chunks_mut::<SEALED_CHUNK_BYTES>();
    let mut number = 0;
    for (plain, out) in full.iter().zip(full_out) {
        cipher.seal(number, plain, out)?;
        number += 1;
    }
    cipher.seal(number, last, last_out)
}

/// Opens all of `body` into `out`, which has its exact size.
pub(crate) fn open_chunks(cipher: &ChunkCipher, body: &[u8], out: &mut [u8]) -> Result<(), Error> {
    let (full, last) = body.as_chunks::<SEALED_CHUNK_BYTES>();
    let (full_out, last_out) = out.as_chunks_mut::<CHUNK_BYTES>();
    let mut number = 0;
    for (sealed, out) in full.iter().zip(full_out) {
        cipher.open(number, sealed, out)?;
        number += 1;
    }
    cipher.open(number, last, last_out)
}

// A section works on one payload: no more than five chunks, the last of them empty.
const _: () = assert!(PAYLOAD_BYTES_MAX / CHUNK_BYTES == 4 && TAG_BYTES < CHUNK_BYTES);
