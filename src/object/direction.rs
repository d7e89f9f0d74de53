//! Which way an object goes: what a chunk of the input is, and what becomes of it.

use super::chunk::{ChunkCipher, HEADER_BYTES, SEALED_CHUNK_BYTES};
use crate::crypto::aead::TAG_BYTES;
use crate::error::{Error, ObjectError};
use crate::limits::CHUNK_BYTES;

/// Which way an object goes.
pub(crate) trait Direction: 'static {
    /// Bytes before the first chunk of the input.
    const HEAD_BYTES: usize;
    /// A full chunk of the input.
    const INPUT_BYTES: usize;
    /// What becomes of it.
    const OUTPUT_BYTES: usize;
    /// Bytes behind a full chunk that must be seen before it may be turned.
    const AHEAD_BYTES: usize;
    /// Whether a buffer is turned from its end to its front where it is turned in place.
    const IS_BACKWARD: bool;

    /// How long the output of the last chunk is, if the input ends after `input` bytes. Those are
    /// fewer than a full chunk and the bytes ahead.
    ///
    /// # Errors
    /// [`ObjectError::Malformed`] if no object ends so.
    fn last(input: usize) -> Result<usize, ObjectError>;

    /// Turns chunk `number` into all of `out`.
    ///
    /// # Errors
    /// Those of [`ChunkCipher::seal`] and [`ChunkCipher::open`].
    fn turn(cipher: &ChunkCipher, number: u64, input: &[u8], out: &mut [u8]) -> Result<(), Error>;

    /// How many chunks of `input` bytes may be turned before more is seen.
    fn whole(input: usize) -> usize {
        input.saturating_sub(Self::AHEAD_BYTES) / Self::INPUT_BYTES
    }

    /// How many bytes of plaintext went by, given those of input and of output.
    fn plain(input: usize, output: usize) -> usize {
        input.min(output)
    }
}

/// From plaintext to object.
pub(crate) enum Seal {}

impl Direction for Seal {
    const HEAD_BYTES: usize = 0;
    const INPUT_BYTES: usize = CHUNK_BYTES;
    const OUTPUT_BYTES: usize = SEALED_CHUNK_BYTES;
    // A full chunk is never the last.
    const AHEAD_BYTES: usize = 0;
    const IS_BACKWARD: bool = true;

    fn last(input: usize) -> Result<usize, ObjectError> {
        Ok(input + TAG_BYTES)
    }

    fn turn(cipher: &ChunkCipher, number: u64, input: &[u8], out: &mut [u8]) -> Result<(), Error> {
        cipher.seal(number, input, out)
    }
}

/// From object to plaintext.
pub(crate) enum Open {}

impl Direction for Open {
    const HEAD_BYTES: usize = HEADER_BYTES;
    const INPUT_BYTES: usize = SEALED_CHUNK_BYTES;
    const OUTPUT_BYTES: usize = CHUNK_BYTES;
    // If just an empty last chunk follows, it is opened first: whoever stops reading at the known
    // length has still had the end authenticated.
    const AHEAD_BYTES: usize = TAG_BYTES + 1;
    const IS_BACKWARD: bool = false;

    fn last(input: usize) -> Result<usize, ObjectError> {
        match input {
            FULL_AND_EMPTY => Ok(CHUNK_BYTES),
            TAG_BYTES..SEALED_CHUNK_BYTES => Ok(input - TAG_BYTES),
            // It ends inside a tag, or with a full chunk.
            _ => Err(ObjectError::Malformed("length")),
        }
    }

    fn turn(cipher: &ChunkCipher, number: u64, input: &[u8], out: &mut [u8]) -> Result<(), Error> {
        match input.split_at_checked(SEALED_CHUNK_BYTES) {
            Some((full, empty_last)) if !empty_last.is_empty() => {
                cipher.open(number + 1, empty_last, &mut [])?;
                cipher.open(number, full, out)
            }
            Some(_) | None => cipher.open(number, input, out),
        }
    }
}

/// A full chunk and a last one that is empty.
const FULL_AND_EMPTY: usize = SEALED_CHUNK_BYTES + TAG_BYTES;
