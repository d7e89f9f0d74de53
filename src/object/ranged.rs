//! Walks under `tokio::io::AsyncRead`, `futures::Stream` and `std::io::Read`: over one reader, and
//! over a source that is asked for one stretch after the other. Nothing but I/O happens here; what
//! is promised stands in [`walk`](super::walk).

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, ErrorKind};
use std::vec;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::range::{Plan, SealedRange};
use super::source::RangedSource;
use super::stream::{ITEM_BYTES_MAX, cut};
use super::walk::{Reading, Walk};

pin_project! {
    /// Reads a plan's sealed bytes from `R`, which ends with them, and gives the plaintext.
    pub(crate) struct WalkReader<R, O> {
        #[pin]
        reader: R,
        walk: Walk,
        reading: O,
        // Whether a stream of items has told its end.
        told: bool,
    }
}

impl<R, O: Reading> WalkReader<R, O> {
    pub(crate) fn new(plan: Plan, reading: O, reader: R) -> Self {
        Self { reader, walk: Walk::new(plan, true), reading, told: false }
    }
}

impl<R: AsyncRead, O: Reading> WalkReader<R, O> {
    /// Brings the input that the next step needs.
    fn poll_input(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while this.walk.wants_input() {
            ready!(poll_feed(this.reader.as_mut(), u64::MAX, this.walk, cx));
        }
        Poll::Ready(())
    }
}

impl<R: io::Read, O: Reading> io::Read for WalkReader<R, O> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Self { reader, walk, reading, .. } = self;
        while !buf.is_empty() {
            while walk.wants_input() {
                match reader.read(walk.room()) {
                    Ok(len) => walk.fed(len),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => walk.input_failed(error),
                }
            }
            let taken = walk.take(reading, buf).map_err(cut)?;
            if taken > 0 || walk.is_over() {
                return Ok(taken);
            }
        }
        Ok(0)
    }
}

pin_project! {
    /// Fetches a plan's sealed bytes from `S`, stretch by stretch, and gives the plaintext.
    pub(crate) struct FetchReader<S: RangedSource, O> {
        source: S,
        stretches: vec::IntoIter<SealedRange>,
        #[pin]
        fetching: Fetching<S::Fetch, S::Reader>,
        walk: Walk,
        reading: O,
        // Whether a stream of items has told its end.
        told: bool,
    }
}

pin_project! {
    #[project = FetchingNow]
    enum Fetching<F, R> {
        Idle,
        Asking { #[pin] fetch: F, length: u64 },
        Reading { #[pin] reader: R, left: u64 },
    }
}

impl<S: RangedSource, O: Reading> FetchReader<S, O> {
    pub(crate) fn new(plan: Plan, reading: O, source: S) -> Self {
        let stretches = plan.sealed().collect::<Vec<_>>().into_iter();
        let walk = Walk::new(plan, false);
        Self { source, stretches, fetching: Fetching::Idle, walk, reading, told: false }
    }

    /// Brings the input that the next step needs.
    fn poll_input(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while self.walk.wants_input() {
            ready!(self.as_mut().poll_more(cx));
        }
        Poll::Ready(())
    }

    /// Brings more input to the walk, or nothing where only the state went on.
    fn poll_more(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        match this.fetching.as_mut().project() {
            FetchingNow::Idle => match this.stretches.next() {
                Some(range) => {
                    let (fetch, length) = (this.source.fetch(range), range.length);
                    this.fetching.set(Fetching::Asking { fetch, length });
                }
                // All came, and it was too little.
                None => this.walk.fed(0),
            },
            FetchingNow::Asking { fetch, length } => match ready!(fetch.poll(cx)) {
                Ok(reader) => {
                    let left = *length;
                    this.fetching.set(Fetching::Reading { reader, left });
                }
                Err(error) => this.walk.input_failed(error),
            },
            // What a source gives beyond what it was asked for is never looked at.
            FetchingNow::Reading { left: 0, .. } => this.fetching.set(Fetching::Idle),
            FetchingNow::Reading { reader, left } => {
                let read = ready!(poll_feed(reader, *left, this.walk, cx));
                *left = left.saturating_sub(read as u64);
            }
        }
        Poll::Ready(())
    }
}

macro_rules! reads {
    (<$input:ident: $bound:ident> $reader:ident) => {
        impl<$input: $bound, O: Reading> AsyncRead for $reader<$input, O> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                while buf.remaining() > 0 {
                    ready!(self.as_mut().poll_input(cx));
                    let this = self.as_mut().project();
                    // No more than one step gives: what is not initialised yet has to be.
                    let len = buf.remaining().min(this.walk.gives());
                    let room = buf.initialize_unfilled_to(len);
                    let taken = this.walk.take(this.reading, room).map_err(cut)?;
                    buf.advance(taken);
                    if taken > 0 || this.walk.is_over() {
                        break;
                    }
                }
                Poll::Ready(Ok(()))
            }
        }

        impl<$input: $bound, O: Reading> Stream for $reader<$input, O> {
            type Item = io::Result<Bytes>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                while !self.told {
                    ready!(self.as_mut().poll_input(cx));
                    let this = self.as_mut().project();
                    let mut room = BytesMut::zeroed(this.walk.gives().min(ITEM_BYTES_MAX));
                    let item = match this.walk.take(this.reading, &mut room) {
                        Ok(0) => None,
                        Ok(taken) => {
                            room.truncate(taken);
                            Some(Ok(room.freeze()))
                        }
                        Err(error) => Some(Err(cut(error))),
                    };
                    *this.told = this.walk.is_over() || matches!(item, Some(Err(_)));
                    if item.is_some() {
                        return Poll::Ready(item);
                    }
                }
                Poll::Ready(None)
            }
        }
    };
}

reads!(<R: AsyncRead> WalkReader);
reads!(<S: RangedSource> FetchReader);

/// Reads once, at most `most` bytes, into the walk; how many came.
fn poll_feed<R: AsyncRead>(
    reader: Pin<&mut R>,
    most: u64,
    walk: &mut Walk,
    cx: &mut Context<'_>,
) -> Poll<usize> {
    let room = walk.room();
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(room.len());
    let mut room = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
    match ready!(reader.poll_read(cx, &mut room)) {
        Ok(()) => {
            let len = room.filled().len();
            walk.fed(len);
            Poll::Ready(len)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Poll::Ready(0),
        Err(error) => {
            walk.input_failed(error);
            Poll::Ready(0)
        }
    }
}
