//! Objects that are sealed and opened as they are written, through to a `std::io::Write`.
//!
//! Long pieces are turned where they lie, as many chunks at once as the window holds; what a stream
//! promises stands in [`pipe`](super::pipe).

use std::io::{self, Write};

use zeroize::Zeroizing;

use super::chunk::Header;
use super::direction::{Direction, Open, Seal};
use super::pipe::{Operation, Pipe, Step};
use super::stream::cut;
use crate::error::{Error, ObjectError};

/// Takes input by `Write` and writes what becomes of it.
pub(crate) struct Through<W, D, O> {
    writer: W,
    pipe: Pipe<D>,
    operation: O,
    /// Output on its way to the writer; made when it is first needed.
    window: Zeroizing<Vec<u8>>,
    window_bytes: usize,
}

impl<W: Write, O: Operation> Through<W, Seal, O> {
    /// Seals what is written. What comes out begins with `prefix` and `header`.
    pub(crate) fn sealing(writer: W, operation: O, prefix: &[u8], header: &Header) -> Self {
        Self::new(writer, operation, Pipe::sealing(prefix, header))
    }
}

impl<W: Write, O: Operation> Through<W, Open, O> {
    /// Opens what is written, whose first byte is the header's.
    pub(crate) fn opening(writer: W, operation: O) -> Self {
        Self::new(writer, operation, Pipe::opening())
    }
}

impl<W: Write, D: Direction, O: Operation> Through<W, D, O> {
    fn new(writer: W, operation: O, pipe: Pipe<D>) -> Self {
        Self { writer, pipe, operation, window: Zeroizing::default(), window_bytes: WINDOW_BYTES }
    }

    /// Writes about `bytes` at a time, as whole chunks.
    pub(crate) fn with_window(self, bytes: usize) -> Self {
        Self { window: Zeroizing::default(), window_bytes: bytes, ..self }
    }

    /// The same with the operation that `change` makes of its own.
    pub(crate) fn map(self, change: impl FnOnce(O) -> O) -> Self {
        Self { operation: change(self.operation), ..self }
    }

    /// The end of the input: turns and writes what is left, and gives the writer back, flushed.
    ///
    /// # Errors
    /// As writing; nothing was said to be complete then.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        while !self.pipe.has_ended() {
            self.step(&[], true)?;
        }
        self.flush()?;
        Ok(self.writer)
    }

    /// Works on `input` and writes what comes of it; how much of `input` was taken.
    fn step(&mut self, input: &[u8], ended: bool) -> io::Result<usize> {
        if self.window.is_empty() {
            let chunks = (self.window_bytes / D::OUTPUT_BYTES).max(1);
            self.window = Zeroizing::new(vec![0; chunks * D::OUTPUT_BYTES]);
        }
        let step = self.pipe.work(&mut self.operation, input, ended, &mut self.window);
        let Step { taken, given } = step.map_err(cut)?;
        let out = self.window.get(..given).unwrap_or_default();
        match self.writer.write_all(out) {
            Ok(()) => Ok(taken),
            Err(error) => Err(cut(self.pipe.cut(Error::Object(ObjectError::Io(error))))),
        }
    }
}

impl<W: Write, D: Direction, O: Operation> Write for Through<W, D, O> {
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        if input.is_empty() {
            return Ok(0);
        }
        loop {
            // What was waiting to leave goes first.
            let taken = self.step(input, false)?;
            if taken > 0 {
                return Ok(taken);
            }
        }
    }

    /// Flushes the writer. The beginning of a chunk waits for the rest of it.
    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What is written at a time unless set otherwise.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;
