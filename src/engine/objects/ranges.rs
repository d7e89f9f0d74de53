//! A stretch of something sealed, read from just the bytes that it takes.
//!
//! ```text
//! the front and the header      one fetch of at most 1,598 bytes
//! the end of the object         one chunk, opened: from here on the length is authentic
//! the chunks of the stretch     as they are read
//! ```
//!
//! What carries no record has its length from the store. A suffix of a file that was cut would be
//! other bytes than those asked for, each of them authentic: so the end is opened first, always.

use core::fmt;
use core::ops::Range;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::Kms;
use crate::context::EncryptionContext;
use crate::error::{Error, ObjectError};
use crate::object::chunk::HEADER_BYTES;
use crate::object::front::{FRONT_BYTES_MAX, Front, Kind};
use crate::object::range::Layout;
use crate::object::{
    ByteRange, CustomerKey, FetchReader, Header, RangedSource, SealedRange, chunk,
};
use crate::plane::range::RangeOperation;

/// Ranges.
impl Kms {
    /// Opens a range of what any form of sealing gave. `source` is where it lies, and `sealed_bytes`
    /// how long it is there; `customer_key` comes with what is under one
    /// ([`Self::seal_write_sse_c`]), and only then.
    ///
    /// Of the sealed bytes only the beginning, the last chunk and those of the range are fetched. The
    /// last chunk is opened before anything is given, so that a range of something cut or extended is
    /// an error and never other bytes than were asked for.
    ///
    /// # Errors
    /// [`ObjectError::RangeNotSatisfiable`] if no byte of the range is in it,
    /// [`CustomerKeyError`](crate::error::CustomerKeyError) if the customer key is not right, and as
    /// [`Self::open`].
    pub async fn open_range<S: RangedSource>(
        &self,
        context: &EncryptionContext,
        customer_key: Option<&CustomerKey>,
        range: ByteRange,
        mut source: S,
        sealed_bytes: u64,
    ) -> Result<OpenedRange<S>, Error> {
        let beginning = beginning(&mut source, sealed_bytes).await?;
        let (front, object) = Front::split_from(Kind::Object, &beginning)?;
        let front_bytes = (beginning.len() - object.len()) as u64;
        let (header, _) = Header::split_from(object)?;
        let plain_size = chunk::plain_size(sealed_bytes.saturating_sub(front_bytes))?;
        let layout = Arc::new(Layout::whole(plain_size, *header.salt()));
        let operation = self.begin_open(context, &front, customer_key).await?;
        let mut operation = RangeOperation::begin(operation, &header)?;
        let mut source = BehindFront { source, front_bytes };
        // The last byte comes only after the end has opened; where there is none, all is the end.
        let end = match plain_size.checked_sub(1) {
            Some(last) => layout.plan_range(last..plain_size),
            None => layout.plan_whole(),
        };
        let end = FetchReader::new(end, operation.first_of_two(), &mut source);
        read_to_its_end(end).await.map_err(engine_error)?;
        let range = range.within(plain_size).map_err(|error| operation.fails(error.into()))?;
        let plan = layout.plan_range(range.clone());
        let reader = FetchReader::new(plan, operation, source);
        Ok(OpenedRange { reader, range, plain_size })
    }
}

/// As many of the first bytes as a front and a header can have, or all there are.
async fn beginning<S: RangedSource>(source: &mut S, sealed_bytes: u64) -> Result<Vec<u8>, Error> {
    let length = sealed_bytes.min((FRONT_BYTES_MAX + HEADER_BYTES) as u64);
    let mut beginning = Vec::new();
    if length > 0 {
        let fetch = source.fetch(SealedRange { part: None, offset: 0, length });
        let reader = pin!(fetch.await.map_err(ObjectError::Io)?);
        let read = reader.take(length).read_to_end(&mut beginning).await;
        read.map_err(ObjectError::Io)?;
    }
    Ok(beginning)
}

/// Reads what `reader` gives, which is next to nothing, for the sake of what opens on the way.
async fn read_to_its_end(reader: impl AsyncRead) -> io::Result<()> {
    let mut reader = pin!(reader);
    while reader.read(&mut [0]).await? > 0 {}
    Ok(())
}

/// What cut a reader that is gone.
fn engine_error(error: io::Error) -> Error {
    match error.downcast::<Arc<Error>>() {
        Ok(error) => Arc::into_inner(error)
            .unwrap_or(Error::Unreachable("a reader that is gone keeps its error")),
        Err(error) => ObjectError::Io(error).into(),
    }
}

/// The object behind the front of something sealed.
struct BehindFront<S> {
    source: S,
    front_bytes: u64,
}

impl<S: RangedSource> RangedSource for BehindFront<S> {
    type Reader = S::Reader;
    type Fetch = S::Fetch;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        let offset = range.offset.saturating_add(self.front_bytes);
        self.source.fetch(SealedRange { offset, ..range })
    }
}

pin_project! {
    /// A range of something sealed, opened as it is read from sealed bytes that are fetched:
    /// `AsyncRead`, or a `futures::Stream` of pieces of up to 64 KiB.
    pub struct OpenedRange<S: RangedSource> {
        #[pin]
        reader: FetchReader<BehindFront<S>, RangeOperation>,
        range: Range<u64>,
        plain_size: u64,
    }
}

impl<S: RangedSource> OpenedRange<S> {
    /// The bytes of the plaintext that it gives.
    #[must_use]
    pub fn plain(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Length of the whole plaintext in bytes, which is authentic.
    #[must_use]
    pub fn plain_size(&self) -> u64 {
        self.plain_size
    }
}

impl<S: RangedSource> AsyncRead for OpenedRange<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().reader.poll_read(cx, buf)
    }
}

impl<S: RangedSource> Stream for OpenedRange<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().reader.poll_next(cx)
    }
}

impl<S: RangedSource> fmt::Debug for OpenedRange<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedRange").field("plain", &self.range).finish_non_exhaustive()
    }
}
