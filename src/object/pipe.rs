//! A stream as a state machine: input bytes go in, output bytes come out, nothing is read or
//! written here.
//!
//! ```text
//! while pipe.wants_input() { read into pipe.room(); pipe.fed(n) }      0 is the end of input
//! pipe.take(operation, out)                                            0 is the end of output
//! ```
//!
//! One [`Pipe::take`] works on at most one chunk and hands bytes out inside one section of the
//! gate. Where `out` holds a whole chunk, the chunk is sealed or opened right into it.
//!
//! Opening looks 17 bytes past a full chunk before it opens it: if just an empty last chunk
//! follows, that is opened first. So whoever stops reading at the known length has still had the
//! end authenticated, and [`Operation::finished`] comes with the last byte.
//!
//! Cost: about 150 KiB a stream, no allocation after birth; input is read eight chunks at a time,
//! because a read is often a system call or a hop to another thread.

use core::marker::PhantomData;
use std::io;
use std::sync::Arc;

use super::chunk::{ChunkCipher, HEADER_BYTES, Header, SEALED_CHUNK_BYTES};
use super::window::Window;
use crate::crypto::aead::TAG_BYTES;
use crate::error::{Error, ObjectError};
use crate::limits::CHUNK_BYTES;

/// The engine's side of a stream: its ticket, its key and the gate.
pub(crate) trait Operation: Unpin {
    /// Makes the cipher that opens the object which begins with `header`. Called once, before the
    /// first section of a stream that opens; never for one that seals.
    ///
    /// # Errors
    /// The stream is cut.
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let _ = header;
        Err(Error::Unreachable("a stream that seals met a header to open"))
    }

    /// Runs `work` with the cipher inside one section of the gate, after ticket, generation and
    /// key state were checked. `work` is at most one chunk and does no I/O.
    ///
    /// # Errors
    /// `work` was not run, and the stream is cut.
    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error>;

    /// The stream ended well and its last byte was handed out. Called once.
    fn finished(&mut self, plain_bytes: u64);
}

/// Which way a pipe works.
pub(crate) trait Direction {
    /// Bytes before the first chunk of the input.
    const HEAD_BYTES: usize;
    /// Room for input.
    const INPUT_BYTES: usize;
    /// Most output of one step.
    const OUTPUT_BYTES_MAX: usize;

    /// The next step, given how many input bytes wait and whether more will come; `None` if more
    /// must come first.
    fn plan(waiting: usize, ended: bool) -> Result<Option<Step>, ObjectError>;

    /// Turns `input` of a step, whose first chunk is `number`, into all of `out`.
    fn turn(cipher: &ChunkCipher, number: u64, input: &[u8], out: &mut [u8]) -> Result<(), Error>;
}

/// One step of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    input: usize,
    output: usize,
    is_last: bool,
}

/// From plaintext to object.
pub(crate) enum Seal {}

impl Direction for Seal {
    const HEAD_BYTES: usize = 0;
    const INPUT_BYTES: usize = CHUNKS_READ * CHUNK_BYTES;
    const OUTPUT_BYTES_MAX: usize = SEALED_CHUNK_BYTES;

    fn plan(waiting: usize, ended: bool) -> Result<Option<Step>, ObjectError> {
        let is_last = waiting < CHUNK_BYTES;
        let input = waiting.min(CHUNK_BYTES);
        Ok((ended || !is_last).then_some(Step { input, output: input + TAG_BYTES, is_last }))
    }

    fn turn(cipher: &ChunkCipher, number: u64, input: &[u8], out: &mut [u8]) -> Result<(), Error> {
        cipher.seal(number, input, out)
    }
}

/// From object to plaintext.
pub(crate) enum Open {}

impl Direction for Open {
    const HEAD_BYTES: usize = HEADER_BYTES;
    const INPUT_BYTES: usize = HEADER_BYTES + CHUNKS_READ * SEALED_CHUNK_BYTES + TAG_BYTES + 1;
    const OUTPUT_BYTES_MAX: usize = CHUNK_BYTES;

    fn plan(waiting: usize, ended: bool) -> Result<Option<Step>, ObjectError> {
        let step = |input, output, is_last| Ok(Some(Step { input, output, is_last }));
        match waiting {
            FULL_AND_MORE.. => step(SEALED_CHUNK_BYTES, CHUNK_BYTES, false),
            _ if !ended => Ok(None),
            FULL_AND_EMPTY => step(FULL_AND_EMPTY, CHUNK_BYTES, true),
            TAG_BYTES..SEALED_CHUNK_BYTES => step(waiting, waiting - TAG_BYTES, true),
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

/// A stream in one direction.
pub(crate) struct Pipe<D> {
    state: State,
    input: Window,
    input_ended: bool,
    /// Output of a step that did not fit where it was wanted.
    output: Window,
    /// Number of the next chunk.
    number: u64,
    plain_bytes: u64,
    direction: PhantomData<fn() -> D>,
}

enum State {
    /// The header has not been read.
    Head,
    /// Chunks are being turned.
    Body,
    /// The last chunk was turned; not all of it was handed out.
    Tail,
    /// Everything was handed out.
    Ended,
    /// The stream failed, for ever.
    Cut(Arc<Error>),
}

impl Pipe<Seal> {
    /// A pipe that gives `prefix`, then `header`, then chunks.
    pub(crate) fn sealing(prefix: &[u8], header: &Header) -> Self {
        let front = prefix.len() + HEADER_BYTES;
        let mut pipe = Self::new(State::Body, Seal::OUTPUT_BYTES_MAX.max(front));
        let [salt, commitment] = header.parts();
        for part in [prefix, salt, commitment] {
            assert!(pipe.output.push(part), "the window was made to hold them");
        }
        pipe
    }
}

impl Pipe<Open> {
    /// A pipe whose input begins with a header.
    pub(crate) fn opening() -> Self {
        Self::new(State::Head, Open::OUTPUT_BYTES_MAX)
    }
}

impl<D: Direction> Pipe<D> {
    fn new(state: State, output_bytes: usize) -> Self {
        Self {
            state,
            input: Window::new(D::INPUT_BYTES),
            input_ended: false,
            output: Window::new(output_bytes),
            number: 0,
            plain_bytes: 0,
            direction: PhantomData,
        }
    }

    /// Whether the next [`take`](Self::take) needs more input first.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        if self.input_ended || !self.output.is_empty() {
            return false;
        }
        let head = match self.state {
            State::Head => D::HEAD_BYTES,
            State::Body => 0,
            State::Tail | State::Ended | State::Cut(_) => return false,
        };
        match self.input.len().checked_sub(head) {
            None => true,
            Some(waiting) => matches!(D::plan(waiting, false), Ok(None)),
        }
    }

    /// Where to read input to; not empty while input is wanted.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.input.room()
    }

    /// `len` bytes were read into the room; none is the end of input, for ever.
    pub(crate) fn fed(&mut self, len: usize) {
        self.input_ended |= len == 0;
        if !self.input.grow(len) {
            self.input.distrust();
            self.cut(Error::ApiMisuse("a reader says it read more than it was given room for"));
        }
    }

    /// The input failed: the stream is cut.
    pub(crate) fn input_failed(&mut self, error: io::Error) {
        self.input.distrust();
        self.cut(Error::Object(ObjectError::Io(error)));
    }

    /// Hands out bytes: how many were written to the front of `out`, which is not empty. None means
    /// that everything has been handed out.
    ///
    /// # Errors
    /// The one with which the stream was cut; the same at every later call.
    pub(crate) fn take<O: Operation>(
        &mut self,
        operation: &mut O,
        out: &mut [u8],
    ) -> Result<usize, Arc<Error>> {
        let taken = match &self.state {
            State::Cut(error) => return Err(Arc::clone(error)),
            State::Ended => return Ok(0),
            State::Head | State::Body | State::Tail if !self.output.is_empty() => {
                let waiting = self.output.waiting();
                operation.section(|_| copy_front(waiting, out))
            }
            State::Head => self.begin(operation).and_then(|()| self.step(operation, out)),
            State::Body | State::Tail => self.step(operation, out),
        };
        let taken = taken.map_err(|error| self.cut(error))?;
        // A chunk that went straight into `out` left nothing to wait.
        self.output.shrink(taken);
        if matches!(self.state, State::Tail) && self.output.is_empty() {
            self.state = State::Ended;
            operation.finished(self.plain_bytes);
        }
        Ok(taken)
    }

    fn begin<O: Operation>(&mut self, operation: &mut O) -> Result<(), Error> {
        let (header, _) = Header::split_from(self.input.waiting())?;
        operation.begin(&header)?;
        self.input.shrink(D::HEAD_BYTES);
        self.state = State::Body;
        Ok(())
    }

    /// Turns the next chunk and hands out what fits, in one section.
    fn step<O: Operation>(&mut self, operation: &mut O, out: &mut [u8]) -> Result<usize, Error> {
        let step = D::plan(self.input.len(), self.input_ended)?
            .ok_or(Error::Unreachable("a stream was asked for output before it had its input"))?;
        let number = self.number;
        let input = self.input.waiting().get(..step.input).unwrap_or_default();
        let taken = if let Some(whole) = out.get_mut(..step.output) {
            operation.section(|cipher| D::turn(cipher, number, input, whole))??;
            step.output
        } else {
            let staged = self.output.room();
            let staged = staged.get_mut(..step.output).unwrap_or_default();
            let taken = operation.section(|cipher| {
                D::turn(cipher, number, input, staged)?;
                Ok::<_, Error>(copy_front(staged, out))
            });
            // Wiped with the rest whether or not the chunk was good.
            let grown = self.output.grow(step.output);
            let taken = taken??;
            if !grown {
                return Err(Error::Unreachable("a chunk outgrew its buffer"));
            }
            taken
        };
        self.input.shrink(step.input);
        self.number += 1;
        self.plain_bytes += step.input.min(step.output) as u64;
        if step.is_last {
            self.state = State::Tail;
        }
        Ok(taken)
    }

    /// Ends the stream with `error`, unless it was cut before; wipes its buffers.
    fn cut(&mut self, error: Error) -> Arc<Error> {
        self.input.wipe();
        self.output.wipe();
        if let State::Cut(first) = &self.state {
            return Arc::clone(first);
        }
        let error = Arc::new(error);
        self.state = State::Cut(Arc::clone(&error));
        error
    }
}

#[cfg(test)]
impl<D> Pipe<D> {
    /// As if `number` chunks had gone before.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.number = number;
    }

    /// Whether neither buffer holds anything.
    pub(crate) fn is_wiped(&self) -> bool {
        self.input.is_wiped() && self.output.is_wiped()
    }
}

/// Copies what fits of `from` to the front of `to`; how much that was.
fn copy_front(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) {
        to.copy_from_slice(from);
    }
    len
}

/// Chunks that one read may bring.
const CHUNKS_READ: usize = 8;
/// A full chunk and a last one that is empty.
const FULL_AND_EMPTY: usize = SEALED_CHUNK_BYTES + TAG_BYTES;
/// A full chunk and at least the beginning of another that is not empty.
const FULL_AND_MORE: usize = FULL_AND_EMPTY + 1;

// What `OPERATIONS_MAX` counts on.
const _: () = assert!(Open::INPUT_BYTES + Open::OUTPUT_BYTES_MAX < 200 * 1024);
const _: () = assert!(Seal::INPUT_BYTES + Seal::OUTPUT_BYTES_MAX < 200 * 1024);
