//! Streams that seal and open as they are read, over `tokio::io::AsyncRead` or `std::io::Read`.
//!
//! Nothing but I/O happens here; what a stream promises stands in [`pipe`](super::pipe). A reader's
//! failure cuts the stream and is never taken for the end of its input.
//!
//! An error of the engine travels inside the `std::io::Error` that reading must answer with:
//! [`Error::in_stream`] finds it there.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::chunk::Header;
use super::pipe::{Direction, Open, Operation, Pipe, Seal};
use crate::error::{Error, ObjectError};

pin_project! {
    /// Reads plaintext from `R` and gives the sealed object.
    pub(crate) struct SealReader<R, O> {
        #[pin]
        reader: R,
        pipe: Pipe<Seal>,
        operation: O,
    }
}

impl<R, O: Operation> SealReader<R, O> {
    /// Seals what `reader` gives. The output is `prefix`, `header` and the chunks; `header` belongs
    /// to the cipher in whose sections `operation` runs work.
    pub(crate) fn new(reader: R, operation: O, prefix: &[u8], header: &Header) -> Self {
        Self { reader, pipe: Pipe::sealing(prefix, header), operation }
    }
}

impl<R: AsyncRead, O: Operation> AsyncRead for SealReader<R, O> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        poll_through(this.reader, this.pipe, this.operation, cx, buf)
    }
}

impl<R: io::Read, O: Operation> io::Read for SealReader<R, O> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_through(&mut self.reader, &mut self.pipe, &mut self.operation, buf)
    }
}

pin_project! {
    /// Reads a sealed object from `R`, from its header on, and gives the plaintext.
    pub(crate) struct OpenReader<R, O> {
        #[pin]
        reader: R,
        pipe: Pipe<Open>,
        operation: O,
    }
}

impl<R, O: Operation> OpenReader<R, O> {
    /// Opens what `reader` gives, whose first byte is the header's.
    pub(crate) fn new(reader: R, operation: O) -> Self {
        Self { reader, pipe: Pipe::opening(), operation }
    }
}

impl<R: AsyncRead, O: Operation> AsyncRead for OpenReader<R, O> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        poll_through(this.reader, this.pipe, this.operation, cx, buf)
    }
}

impl<R: io::Read, O: Operation> io::Read for OpenReader<R, O> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        read_through(&mut self.reader, &mut self.pipe, &mut self.operation, buf)
    }
}

impl Error {
    /// The engine's error inside that of a stream which it cut.
    ///
    /// An error of the stream's own reader is [`ObjectError::Io`] in here.
    #[must_use]
    pub fn in_stream(error: &io::Error) -> Option<&Self> {
        let inner = error.get_ref()?.downcast_ref::<Arc<Self>>()?;
        Some(inner)
    }
}

fn poll_through<R: AsyncRead, D: Direction, O: Operation>(
    mut reader: Pin<&mut R>,
    pipe: &mut Pipe<D>,
    operation: &mut O,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if buf.remaining() == 0 {
        return Poll::Ready(Ok(()));
    }
    while pipe.wants_input() {
        let mut room = ReadBuf::new(pipe.room());
        match ready!(reader.as_mut().poll_read(cx, &mut room)) {
            Ok(()) => {
                let len = room.filled().len();
                pipe.fed(len);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => pipe.input_failed(error),
        }
    }
    // No more than one step needs: what is not initialised yet has to be.
    let len = buf.remaining().min(D::OUTPUT_BYTES_MAX);
    let taken = pipe.take(operation, buf.initialize_unfilled_to(len));
    Poll::Ready(taken.map(|taken| buf.advance(taken)).map_err(cut))
}

fn read_through<R: io::Read, D: Direction, O: Operation>(
    reader: &mut R,
    pipe: &mut Pipe<D>,
    operation: &mut O,
    buf: &mut [u8],
) -> io::Result<usize> {
    if buf.is_empty() {
        return Ok(0);
    }
    while pipe.wants_input() {
        match reader.read(pipe.room()) {
            Ok(len) => pipe.fed(len),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => pipe.input_failed(error),
        }
    }
    pipe.take(operation, buf).map_err(cut)
}

pub(super) fn cut(error: Arc<Error>) -> io::Error {
    let kind = match &*error {
        Error::Object(ObjectError::Io(error)) => error.kind(),
        Error::Object(
            ObjectError::DoesNotOpen | ObjectError::Malformed(_) | ObjectError::UnknownFormat(_),
        ) => ErrorKind::InvalidData,
        Error::Object(ObjectError::TooLong) => ErrorKind::FileTooLarge,
        Error::Object(
            ObjectError::Invalid { .. }
            | ObjectError::RangeNotSatisfiable { .. }
            | ObjectError::NoSuchPart(_)
            | ObjectError::PartTableMissing
            | ObjectError::PartOrder
            | ObjectError::NeedsReseal,
        ) => ErrorKind::InvalidInput,
        Error::Object(ObjectError::CustomerKey(_)) => ErrorKind::PermissionDenied,
        Error::Key(_) | Error::Refused(_) => ErrorKind::PermissionDenied,
        Error::OutcomeUnknown(_)
        | Error::Envelope(_)
        | Error::AuditField(_)
        | Error::Context(_)
        | Error::Keystore(_)
        | Error::Config(_)
        | Error::Lifecycle(_)
        | Error::ApiMisuse(_)
        | Error::Randomness
        | Error::Unreachable(_) => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests;
