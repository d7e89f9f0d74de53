//! Where an object's input comes from: readers, which fill a window of ours or lend one of theirs,
//! and streams of `Bytes`.
//!
//! What is lent is turned where it lies. A reader that lends nothing is read some chunks at a time,
//! because a read is often a system call or a hop to another thread; what it reads waits in a window
//! that is wiped.
//!
//! A source's failure is never taken for the end of its input.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, BufRead, ErrorKind, Read};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::chunk::{HEADER_BYTES, SEALED_CHUNK_BYTES};
use super::window::Window;
use crate::error::{Error, ObjectError};

/// Input that lies ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled<'s> {
    pub(crate) bytes: &'s [u8],
    /// Whether nothing comes behind them.
    pub(crate) ended: bool,
}

/// A source that is polled.
pub(crate) trait PollSource {
    /// What lies ready: at least one byte, or the end. A source that can gathers `at_least` bytes.
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        at_least: usize,
    ) -> Poll<Result<Filled<'_>, Error>>;

    /// The first `taken` bytes of what lay ready are done with.
    fn consume(self: Pin<&mut Self>, taken: usize);

    /// Wipes what it holds itself.
    fn wipe(self: Pin<&mut Self>);
}

/// A source that blocks.
pub(crate) trait ReadSource {
    /// As [`PollSource::poll_fill`].
    fn fill(&mut self, at_least: usize) -> Result<Filled<'_>, Error>;

    /// As [`PollSource::consume`].
    fn consume(&mut self, taken: usize);

    /// As [`PollSource::wipe`].
    fn wipe(&mut self);
}

pin_project! {
    /// A reader, `AsyncRead` or `std::io::Read`, that is read into 132 KiB of the engine's own.
    pub struct Buffered<R> {
        #[pin]
        reader: R,
        window: Window,
        ended: bool,
    }
}

impl<R> Buffered<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, window: Window::new(WINDOW_BYTES), ended: false }
    }

    #[cfg(test)]
    pub(crate) fn is_wiped(&self) -> bool {
        self.window.is_wiped()
    }
}

/// What a read into the room of `window` came to; whether it was the end.
fn read_into(window: &mut Window, read: io::Result<usize>) -> Result<bool, Error> {
    match read {
        Ok(0) => Ok(true),
        Ok(len) if window.grow(len) => Ok(false),
        Ok(_) => {
            window.distrust();
            Err(Error::ApiMisuse("a reader says it read more than it was given room for"))
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => {
            window.distrust();
            Err(ObjectError::Io(error).into())
        }
    }
}

impl<R: AsyncRead> PollSource for Buffered<R> {
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        at_least: usize,
    ) -> Poll<Result<Filled<'_>, Error>> {
        let mut this = self.project();
        while this.window.len() < at_least && !*this.ended {
            let mut room = ReadBuf::new(this.window.room());
            let read = ready!(this.reader.as_mut().poll_read(cx, &mut room));
            let read = read.map(|()| room.filled().len());
            *this.ended = read_into(this.window, read)?;
        }
        Poll::Ready(Ok(Filled { bytes: this.window.waiting(), ended: *this.ended }))
    }

    fn consume(self: Pin<&mut Self>, taken: usize) {
        self.project().window.shrink(taken);
    }

    fn wipe(self: Pin<&mut Self>) {
        self.project().window.wipe();
    }
}

impl<R: Read> ReadSource for Buffered<R> {
    fn fill(&mut self, at_least: usize) -> Result<Filled<'_>, Error> {
        while self.window.len() < at_least && !self.ended {
            let read = self.reader.read(self.window.room());
            self.ended = read_into(&mut self.window, read)?;
        }
        Ok(Filled { bytes: self.window.waiting(), ended: self.ended })
    }

    fn consume(&mut self, taken: usize) {
        self.window.shrink(taken);
    }

    fn wipe(&mut self) {
        self.window.wipe();
    }
}

pin_project! {
    /// A reader that lends what it has read, `AsyncBufRead` or `std::io::BufRead`: nothing is
    /// copied but what lies across the border of two chunks.
    pub struct Lent<R> {
        #[pin]
        reader: R,
    }
}

impl<R> Lent<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader }
    }
}

impl<R: AsyncBufRead> PollSource for Lent<R> {
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: usize,
    ) -> Poll<Result<Filled<'_>, Error>> {
        let filled = ready!(self.project().reader.poll_fill_buf(cx));
        Poll::Ready(lent(filled))
    }

    fn consume(self: Pin<&mut Self>, taken: usize) {
        self.project().reader.consume(taken);
    }

    fn wipe(self: Pin<&mut Self>) {}
}

impl<R: BufRead> ReadSource for Lent<R> {
    fn fill(&mut self, _: usize) -> Result<Filled<'_>, Error> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ObjectError::Io(error).into()),
            }
        }
        // It lies ready now: asked again, the reader reads nothing.
        lent(self.reader.fill_buf())
    }

    fn consume(&mut self, taken: usize) {
        self.reader.consume(taken);
    }

    fn wipe(&mut self) {}
}

fn lent(filled: io::Result<&[u8]>) -> Result<Filled<'_>, Error> {
    match filled {
        Ok(bytes) => Ok(Filled { bytes, ended: bytes.is_empty() }),
        Err(error) => Err(ObjectError::Io(error).into()),
    }
}

pin_project! {
    /// A stream of `Bytes`: nothing is copied but what lies across the border of two chunks.
    pub struct Items<S> {
        #[pin]
        stream: S,
        item: Bytes,
        ended: bool,
    }
}

impl<S> Items<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, item: Bytes::new(), ended: false }
    }
}

impl<S, E> PollSource for Items<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    fn poll_fill(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: usize,
    ) -> Poll<Result<Filled<'_>, Error>> {
        let mut this = self.project();
        while this.item.is_empty() && !*this.ended {
            match ready!(this.stream.as_mut().poll_next(cx)) {
                Some(Ok(item)) => *this.item = item,
                Some(Err(error)) => {
                    return Poll::Ready(Err(ObjectError::Io(io_error(error.into())).into()));
                }
                None => *this.ended = true,
            }
        }
        Poll::Ready(Ok(Filled { bytes: this.item, ended: *this.ended }))
    }

    fn consume(self: Pin<&mut Self>, taken: usize) {
        let item = self.project().item;
        item.advance(taken.min(item.len()));
    }

    fn wipe(self: Pin<&mut Self>) {
        *self.project().item = Bytes::new();
    }
}

/// An `io::Error` stays the one that it is.
fn io_error(error: Box<dyn core::error::Error + Send + Sync>) -> io::Error {
    match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(error) => io::Error::other(error),
    }
}

/// What one read may bring: eight chunks, and what is looked at beside them.
const WINDOW_BYTES: usize = HEADER_BYTES + 8 * SEALED_CHUNK_BYTES + 17;

// What `OPERATIONS_MAX` counts on, with one chunk carried and one waiting to leave.
const _: () = assert!(WINDOW_BYTES + 2 * SEALED_CHUNK_BYTES + 17 < 200 * 1024);
