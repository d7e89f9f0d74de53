//! Objects that are sealed and opened as they are read: from any source, to `tokio::io::AsyncRead`,
//! `futures::Stream` of `Bytes`, or `std::io::Read`.
//!
//! Nothing but I/O happens here; what a stream promises stands in [`pipe`](super::pipe).
//!
//! An error of the engine travels inside the `std::io::Error` that reading must answer with:
//! [`Error::in_stream`] finds it there.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};
use zeroize::Zeroize;

use super::chunk::{Header, SEALED_CHUNK_BYTES};
use super::direction::{Direction, Open, Seal};
#[cfg(any(test, feature = "testing"))]
use super::input::Buffered;
use super::input::{Filled, PollSource, ReadSource};
use super::pipe::{Operation, Pipe};
use crate::error::{Error, ObjectError};

pin_project! {
    /// An object that is turned as it is read.
    pub(crate) struct Turning<I, D, O> {
        #[pin]
        source: I,
        pipe: Pipe<D>,
        operation: O,
        // Room for the next item of a stream.
        room: BytesMut,
        // Whether a stream of items has told its end.
        told: bool,
    }
}

/// Reads plaintext from `R` and gives the sealed object.
#[cfg(any(test, feature = "testing"))]
pub(crate) type SealReader<R, O> = Turning<Buffered<R>, Seal, O>;

/// Reads a sealed object from `R`, from its header on, and gives the plaintext.
#[cfg(any(test, feature = "testing"))]
pub(crate) type OpenReader<R, O> = Turning<Buffered<R>, Open, O>;

#[cfg(any(test, feature = "testing"))]
impl<R, O: Operation> SealReader<R, O> {
    /// Seals what `reader` gives: [`Turning::sealing`].
    pub(crate) fn new(reader: R, operation: O, prefix: &[u8], header: &Header) -> Self {
        Self::sealing(Buffered::new(reader), operation, prefix, header)
    }
}

#[cfg(any(test, feature = "testing"))]
impl<R, O: Operation> OpenReader<R, O> {
    /// Opens what `reader` gives: [`Turning::opening`].
    pub(crate) fn new(reader: R, operation: O) -> Self {
        Self::opening(Buffered::new(reader), operation)
    }
}

impl<I, O: Operation> Turning<I, Seal, O> {
    /// Seals what `source` gives. The output is `prefix`, `header` and the chunks; `header` belongs
    /// to the cipher in whose sections `operation` runs work.
    pub(crate) fn sealing(source: I, operation: O, prefix: &[u8], header: &Header) -> Self {
        Self::through(source, Pipe::sealing(prefix, header), operation)
    }
}

impl<I, O: Operation> Turning<I, Open, O> {
    /// Opens what `source` gives, whose first byte is the header's.
    pub(crate) fn opening(source: I, operation: O) -> Self {
        Self::through(source, Pipe::opening(), operation)
    }
}

impl<I, D: Direction, O: Operation> Turning<I, D, O> {
    fn through(source: I, pipe: Pipe<D>, operation: O) -> Self {
        Self { source, pipe, operation, room: BytesMut::new(), told: false }
    }
}

impl<I: PollSource, D: Direction, O: Operation> Turning<I, D, O> {
    /// Hands out bytes, where `room` makes place for about as many as it is told and says how many
    /// were given: none at the end.
    fn poll_work(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        place: &mut Place<'_, '_>,
    ) -> Poll<Result<usize, Arc<Error>>> {
        let mut this = self.project();
        loop {
            let wants = this.pipe.wants();
            let filled = match wants {
                0 => Ok(Filled { bytes: &[], ended: false }),
                _ => ready!(this.source.as_mut().poll_fill(cx, wants)),
            };
            let step = match filled {
                Ok(Filled { bytes, ended }) => {
                    let out = place.make(this.pipe.gives(bytes.len()));
                    this.pipe.work(this.operation, bytes, ended, out)
                }
                Err(error) => Err(this.pipe.cut(error)),
            };
            if this.pipe.is_cut() {
                this.source.as_mut().wipe();
            }
            let step = step?;
            if !this.pipe.is_cut() {
                this.source.as_mut().consume(step.taken);
            }
            if step.given > 0 || this.pipe.has_ended() {
                return Poll::Ready(Ok(step.given));
            }
        }
    }
}

/// Where a poll puts what it gives.
enum Place<'p, 'b> {
    Buffer(&'p mut ReadBuf<'b>),
    Item(&'p mut BytesMut),
}

impl Place<'_, '_> {
    /// Room for about `wanted` bytes, and never more than a poll may take time for.
    fn make(&mut self, wanted: usize) -> &mut [u8] {
        let wanted = wanted.min(POLL_BYTES_MAX);
        match self {
            // No more than will be given: what is not initialised yet has to be.
            Self::Buffer(buffer) => {
                let len = buffer.remaining().min(wanted);
                buffer.initialize_unfilled_to(len)
            }
            Self::Item(room) => {
                room.resize(wanted.min(ITEM_BYTES_MAX), 0);
                room
            }
        }
    }
}

impl<I: PollSource, D: Direction, O: Operation> AsyncRead for Turning<I, D, O> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let given = ready!(self.poll_work(cx, &mut Place::Buffer(buf)));
        Poll::Ready(given.map(|given| buf.advance(given)).map_err(cut))
    }
}

impl<I: PollSource, D: Direction, O: Operation> Stream for Turning<I, D, O> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.told {
            return Poll::Ready(None);
        }
        let mut room = core::mem::take(self.as_mut().project().room);
        let polled = self.as_mut().poll_work(cx, &mut Place::Item(&mut room));
        let item = match polled {
            Poll::Pending => {
                *self.project().room = room;
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => None,
            Poll::Ready(Ok(given)) => {
                room.truncate(given);
                Some(Ok(room.freeze()))
            }
            Poll::Ready(Err(error)) => {
                room.as_mut().zeroize();
                Some(Err(cut(error)))
            }
        };
        *self.project().told = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl<I: ReadSource, D: Direction, O: Operation> io::Read for Turning<I, D, O> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let filled = match self.pipe.wants() {
                0 => Ok(Filled { bytes: &[], ended: false }),
                wants => self.source.fill(wants),
            };
            let step = match filled {
                Ok(Filled { bytes, ended }) => {
                    self.pipe.work(&mut self.operation, bytes, ended, buf)
                }
                Err(error) => Err(self.pipe.cut(error)),
            };
            if self.pipe.is_cut() {
                self.source.wipe();
            }
            let step = step.map_err(cut)?;
            if !self.pipe.is_cut() {
                self.source.consume(step.taken);
            }
            if step.given > 0 || self.pipe.has_ended() {
                return Ok(step.given);
            }
        }
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

/// `error` as reading or writing must answer with it.
pub(crate) fn cut(error: Arc<Error>) -> io::Error {
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
        | Error::Vault(_)
        | Error::Unreachable(_) => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Most that one poll gives: some 25 us of work, so that a stream which is never out of input lets
/// others of its thread run.
const POLL_BYTES_MAX: usize = 16 * SEALED_CHUNK_BYTES;
/// Longest item of a stream.
const ITEM_BYTES_MAX: usize = 4 * SEALED_CHUNK_BYTES;

#[cfg(test)]
mod tests;
