//! Objects that lie whole in memory: from one buffer into another, or in place.
//!
//! Invariants:
//!
//! 1. All or nothing: where a chunk does not open or is refused, the whole output is wiped, in place
//!    too.
//! 2. Each chunk is a section of its own; steps take a bound, for callers that let others run in
//!    between.

use core::marker::PhantomData;

use zeroize::{Zeroize, Zeroizing};

use super::chunk::SEALED_CHUNK_BYTES;
use super::direction::Direction;
use super::pipe::Operation;
use super::run::Run;
use crate::crypto::aead::TAG_BYTES;
use crate::error::Error;
use crate::limits::CHUNK_BYTES;

/// How far the turning of one buffer into another has come.
pub(crate) struct Turn<D> {
    chunks: usize,
    direction: PhantomData<fn() -> D>,
}

impl<D: Direction> Turn<D> {
    /// Nothing has been turned.
    pub(crate) fn new() -> Self {
        Self { chunks: 0, direction: PhantomData }
    }

    /// Turns up to `most` chunks more of `input`, which begins with the first one, into `out`, which
    /// has the exact size; whether that was all. `out` is wiped where it fails.
    pub(crate) fn step<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        out: &mut [u8],
        most: usize,
    ) -> Result<bool, Error> {
        let turned = self.turn(operation, input, out, most);
        turned.inspect_err(|error| {
            out.zeroize();
            operation.failed(error);
        })
    }

    fn turn<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        out: &mut [u8],
        most: usize,
    ) -> Result<bool, Error> {
        let (from, to) = (self.chunks * D::INPUT_BYTES, self.chunks * D::OUTPUT_BYTES);
        let number = self.chunks as u64;
        let rest = input.get(from..).unwrap_or_default();
        let run = D::whole(rest.len()).min(most);
        if run > 0 {
            let rest = rest.get(..run * D::INPUT_BYTES).unwrap_or_default();
            let out = out.get_mut(to..to + run * D::OUTPUT_BYTES).unwrap_or_default();
            let Run { done, end } = operation.run::<D>(number, rest, out);
            self.chunks += done;
            return end.map(|()| false);
        }
        let out = out.get_mut(to..).unwrap_or_default();
        operation.section(|cipher| D::turn(cipher, number, rest, out))??;
        operation.finished((from.min(to) + D::plain(rest.len(), out.len())) as u64);
        Ok(true)
    }
}

/// Turns all of `input` into all of `out`, or wipes it.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn turn<D: Direction, O: Operation>(
    operation: &mut O,
    input: &[u8],
    out: &mut [u8],
) -> Result<(), Error> {
    let mut turn = Turn::<D>::new();
    while !turn.step(operation, input, out, usize::MAX)? {}
    Ok(())
}

/// How far the turning of a buffer in place has come.
///
/// Plaintext begins at the buffer's front, chunks behind what stands before them; the whole of the
/// buffer is what is sealed. Sealing goes from the last chunk to the first, so that each moves
/// toward the end over those that have moved, and opening the other way.
pub(crate) struct InPlace<D> {
    plain_bytes: usize,
    /// Where the chunks begin.
    at: usize,
    chunks: usize,
    /// A chunk on its way: it stays in the cache, and copying it costs a tenth of turning it.
    moved: Zeroizing<Vec<u8>>,
    direction: PhantomData<fn() -> D>,
}

impl<D: Direction> InPlace<D> {
    /// Nothing has been turned of `plain_bytes`, whose chunks begin at `at`.
    pub(crate) fn new(plain_bytes: usize, at: usize) -> Self {
        let moved = Zeroizing::new(vec![0; D::INPUT_BYTES]);
        Self { plain_bytes, at, chunks: 0, moved, direction: PhantomData }
    }

    /// Turns up to `most` chunks more; whether that was all. `buffer` is wiped where it fails.
    pub(crate) fn step<O: Operation>(
        &mut self,
        operation: &mut O,
        buffer: &mut [u8],
        most: usize,
    ) -> Result<bool, Error> {
        let last = self.plain_bytes / CHUNK_BYTES;
        let until = (self.chunks + most).min(last + 1);
        let turned = (self.chunks..until).try_for_each(|turned| {
            let chunk = if D::IS_BACKWARD { last - turned } else { turned };
            self.turn(operation, chunk, buffer)
        });
        self.chunks = until;
        match turned {
            Ok(()) if until <= last => Ok(false),
            Ok(()) => {
                operation.finished(self.plain_bytes as u64);
                Ok(true)
            }
            Err(error) => {
                buffer.zeroize();
                operation.failed(&error);
                Err(error)
            }
        }
    }

    fn turn<O: Operation>(
        &mut self,
        operation: &mut O,
        chunk: usize,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let plain_at = chunk * CHUNK_BYTES;
        let plain = (plain_at, CHUNK_BYTES.min(self.plain_bytes - plain_at));
        let sealed = (self.at + chunk * SEALED_CHUNK_BYTES, plain.1 + TAG_BYTES);
        let ((from, input), (to, output)) =
            if D::IS_BACKWARD { (plain, sealed) } else { (sealed, plain) };
        let outside = || Error::Unreachable("a chunk outside of its buffer");
        let input = buffer.get(from..from + input).ok_or_else(outside)?;
        let moved = self.moved.get_mut(..input.len()).ok_or_else(outside)?;
        moved.copy_from_slice(input);
        let out = buffer.get_mut(to..to + output).ok_or_else(outside)?;
        operation.section(|cipher| D::turn(cipher, chunk as u64, moved, out))?
    }
}
