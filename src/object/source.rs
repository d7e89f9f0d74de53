//! Where sealed bytes are fetched from, a stretch at a time.

use core::future::{Ready, ready};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::io::{AsyncRead, ReadBuf};

use super::range::SealedRange;

/// Sealed bytes that can be fetched a stretch at a time: an S3 `GET` with `Range`, a file, memory.
///
/// Nothing that it gives is trusted: it may give other bytes, too few or too many, and the reader
/// over it answers with an error or the authentic plaintext, never with anything else.
///
/// ```
/// use std::future::Future;
/// use std::io;
/// use std::pin::Pin;
///
/// use portcullis::objects::{RangedSource, SealedRange};
/// use tokio::io::AsyncRead;
///
/// /// An object in a store that is asked over the network.
/// struct Remote {
///     url: String,
/// }
///
/// impl RangedSource for Remote {
///     type Reader = Pin<Box<dyn AsyncRead + Send>>;
///     type Fetch = Pin<Box<dyn Future<Output = io::Result<Self::Reader>> + Send>>;
///
///     fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
///         let last = range.offset + range.length - 1;
///         let header = format!("bytes={}-{last}", range.offset);
///         let url = match range.part {
///             Some(part) => format!("{}/{part}", self.url),
///             None => self.url.clone(),
///         };
///         Box::pin(async move { get(url, header).await })
///     }
/// }
/// # async fn get(_: String, _: String) -> io::Result<Pin<Box<dyn AsyncRead + Send>>> {
/// #     Ok(Box::pin(tokio::io::empty()))
/// # }
/// ```
pub trait RangedSource {
    /// Reads the bytes of one stretch.
    type Reader: AsyncRead;
    /// Asks for one stretch.
    type Fetch: Future<Output = io::Result<Self::Reader>>;

    /// Begins to fetch `range`. Stretches are asked for one after the other, each once.
    fn fetch(&mut self, range: SealedRange) -> Self::Fetch;
}

/// A source that is used again afterwards.
impl<S: RangedSource + ?Sized> RangedSource for &mut S {
    type Reader = S::Reader;
    type Fetch = S::Fetch;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        (**self).fetch(range)
    }
}

/// One body in memory: an object that was put whole, or one part.
impl<'a> RangedSource for &'a [u8] {
    type Reader = &'a [u8];
    type Fetch = Ready<io::Result<&'a [u8]>>;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        let whole: &'a [u8] = self;
        let stretch = usize::try_from(range.offset).ok().and_then(|from| whole.get(from..));
        let stretch = stretch.unwrap_or_default();
        let length = usize::try_from(range.length).unwrap_or(usize::MAX);
        ready(Ok(stretch.get(..length).unwrap_or(stretch)))
    }
}

/// One body in a file. Reading blocks the thread, as reading a local file does.
impl RangedSource for Arc<File> {
    type Reader = FileStretch;
    type Fetch = Ready<io::Result<FileStretch>>;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        let SealedRange { offset, length, .. } = range;
        ready(Ok(FileStretch { file: Arc::clone(self), offset, length }))
    }
}

/// A stretch of a file, read where it lies: the file's own position stays as it is.
#[derive(Debug)]
pub struct FileStretch {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

impl io::Read for FileStretch {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.length).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..most).unwrap_or_default();
        let read = self.file.read_at(buf, self.offset)?;
        self.offset += read as u64;
        self.length -= read as u64;
        Ok(read)
    }
}

impl AsyncRead for FileStretch {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = io::Read::read(self.get_mut(), buf.initialize_unfilled())?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// Parts, each in a source of its own.
#[derive(Debug)]
pub struct PartSources<F>(F);

impl<F> PartSources<F> {
    /// `open` gives the source of the part that a stretch is of.
    pub fn new(open: F) -> Self {
        Self(open)
    }
}

impl<S: RangedSource, F: FnMut(&SealedRange) -> S> RangedSource for PartSources<F> {
    type Reader = S::Reader;
    type Fetch = S::Fetch;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        let mut source = (self.0)(&range);
        source.fetch(range)
    }
}
