//! Objects that are sealed and opened as they are read, asynchronously.
//!
//! What comes out is `AsyncRead` and `futures::Stream` of `Bytes`, whichever way the input comes.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::{Begun, Kms};
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::KeyId;
use crate::object::front::{Front, FrontReader, Kind};
use crate::object::stream::Turning;
use crate::object::{Buffered, Items, Lent, Open, PollSource, ReadSource, Seal};
use crate::plane::stream::{SealUnder, StreamOperation};

/// What an item's error must be that a stream may give.
pub(in crate::engine) type AnyError = Box<dyn core::error::Error + Send + Sync>;

/// Streams of objects.
impl Kms {
    /// Seals what `reader` gives under a new key of its own, wrapped by `key` and bound to
    /// `context`. The result reads as the sealed bytes, in constant memory (about 165 KiB).
    ///
    /// Reading it fails once the engine is stopped or frozen, or `key` is disabled or deleted; the
    /// reason is in the error ([`Error::in_stream`]).
    ///
    /// # Errors
    /// As [`Self::generate_data_key`].
    pub async fn seal<R: AsyncRead>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Sealed<Buffered<R>>, Error> {
        self.seal_from(key, context, Buffered::new(reader)).await
    }

    /// [`Self::seal`] of a reader that lends what it has read: chunks are sealed where they lie,
    /// and the stream needs about 33 KiB of its own.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub async fn seal_buf<R: AsyncBufRead>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Sealed<Lent<R>>, Error> {
        self.seal_from(key, context, Lent::new(reader)).await
    }

    /// [`Self::seal`] of a stream of `Bytes`, sealed where they lie: the body of a request, as HTTP
    /// servers hand it over.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub async fn seal_stream<S, E>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        stream: S,
    ) -> Result<Sealed<Items<S>>, Error>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<AnyError>,
    {
        self.seal_from(key, context, Items::new(stream)).await
    }

    /// Opens what any form of sealing gave, if `context` is the same. The result reads as the
    /// plaintext, in constant memory (about 165 KiB). A chunk's plaintext is given only after the
    /// chunk was authenticated, and the last byte only after the end was.
    ///
    /// # Errors
    /// [`ObjectError`](crate::error::ObjectError) if it is no sealed stream,
    /// [`EnvelopeError`](crate::error::EnvelopeError) if its key does not open,
    /// [`KeyError`](crate::error::KeyError) if the key's state does not allow unwrapping.
    pub async fn open<R: AsyncRead + Unpin>(
        &self,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Opened<Buffered<R>>, Error> {
        self.open_from(context, Buffered::new(reader)).await
    }

    /// [`Self::open`] of a reader that lends what it has read: see [`Self::seal_buf`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_buf<R: AsyncBufRead + Unpin>(
        &self,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Opened<Lent<R>>, Error> {
        self.open_from(context, Lent::new(reader)).await
    }

    /// [`Self::open`] of a stream of `Bytes`: see [`Self::seal_stream`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_stream<S, E>(
        &self,
        context: &EncryptionContext,
        stream: S,
    ) -> Result<Opened<Items<S>>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Into<AnyError>,
    {
        self.open_from(context, Items::new(stream)).await
    }

    async fn seal_from<I>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        input: I,
    ) -> Result<Sealed<I>, Error> {
        Ok(Sealed::new(input, self.begin_seal(SealUnder::Master(key), context).await?))
    }

    async fn open_from<I: PollSource + Unpin>(
        &self,
        context: &EncryptionContext,
        mut input: I,
    ) -> Result<Opened<I>, Error> {
        let front = read_front(&mut input).await?;
        Ok(Opened::new(input, self.begin_open(context, &front, None).await?))
    }
}

async fn read_front<I: PollSource + Unpin>(input: &mut I) -> Result<Front, Error> {
    let mut reader = FrontReader::new(Kind::Object);
    loop {
        if let Some(front) = reader.front()? {
            return Ok(front);
        }
        let (taken, ended) = poll_fn(|cx| {
            let filled = core::task::ready!(Pin::new(&mut *input).poll_fill(cx, 1))?;
            Poll::Ready(Ok::<_, Error>((reader.take(filled.bytes)?, filled.ended)))
        })
        .await?;
        Pin::new(&mut *input).consume(taken);
        if taken == 0 && ended {
            return Err(reader.cut_short());
        }
    }
}

pin_project! {
    /// An object that is sealed as it is read: `AsyncRead`, or a `futures::Stream` of pieces of up
    /// to 64 KiB; `std::io::Read` where its input blocks.
    pub struct Sealed<I> {
        #[pin]
        turning: Turning<I, Seal, StreamOperation>,
    }
}

pin_project! {
    /// An object that is opened as it is read: `AsyncRead`, or a `futures::Stream` of pieces of up
    /// to 64 KiB; `std::io::Read` where its input blocks.
    pub struct Opened<I> {
        #[pin]
        turning: Turning<I, Open, StreamOperation>,
    }
}

impl<I> Sealed<I> {
    pub(super) fn new(input: I, begun: Begun) -> Self {
        let Begun { operation, prefix, header } = begun;
        Self { turning: Turning::sealing(input, operation, &prefix, &header) }
    }
}

impl<I> Opened<I> {
    pub(super) fn new(input: I, operation: StreamOperation) -> Self {
        Self { turning: Turning::opening(input, operation) }
    }
}

macro_rules! reads {
    ($form:ident) => {
        impl<I: PollSource> AsyncRead for $form<I> {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.project().turning.poll_read(cx, buf)
            }
        }

        impl<I: PollSource> Stream for $form<I> {
            type Item = io::Result<Bytes>;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                self.project().turning.poll_next(cx)
            }
        }

        impl<I: ReadSource> io::Read for $form<I> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.turning.read(buf)
            }
        }

        impl<I> fmt::Debug for $form<I> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($form)).finish_non_exhaustive()
            }
        }
    };
}
pub(in crate::engine) use reads;

reads!(Sealed);
reads!(Opened);
