//! What tests of streams share: an operation that can be told to cut, readers that misbehave, and
//! a host that reads in odd sizes.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

use futures_util::task::noop_waker;
use tokio::io::{AsyncRead, ReadBuf};

use super::chunk::{ChunkCipher, Header, Suite};
use super::pipe::Operation;
use super::stream::{OpenReader, SealReader};
use crate::error::{Error, Refused};

/// Key, context and suite of an object, and its salt when it is sealed.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) suite: Suite,
    pub(crate) key: Vec<u8>,
    pub(crate) context: Vec<u8>,
    pub(crate) salt: [u8; 24],
}

impl Object {
    pub(crate) fn of(suite: Suite) -> Self {
        Self { suite, key: vec![7; 32], context: b"context".to_vec(), salt: [9; 24] }
    }

    pub(crate) fn cipher(&self) -> (ChunkCipher, Header) {
        ChunkCipher::for_sealing(self.suite, &self.key, self.salt, &self.context)
            .expect("the key has 32 bytes")
    }

    pub(crate) fn sealing<R>(&self, reader: R, prefix: &[u8]) -> SealReader<R, Probe> {
        let (cipher, header) = self.cipher();
        let mut probe = Probe::new(self.clone());
        probe.cipher = Some(cipher);
        SealReader::new(reader, probe, prefix, &header)
    }

    pub(crate) fn opening<R>(&self, reader: R) -> OpenReader<R, Probe> {
        OpenReader::new(reader, Probe::new(self.clone()))
    }

    /// `plain` sealed as a stream.
    pub(crate) fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        let (sealed, end) = read_async(self.sealing(plain, &[]), &mut constant(1 << 15));
        end.expect("a whole plaintext seals");
        sealed
    }

    /// What a stream gives of `sealed`, and how it ends.
    pub(crate) fn opened(&self, sealed: &[u8]) -> (Vec<u8>, io::Result<()>) {
        read_async(self.opening(sealed), &mut constant(1 << 15))
    }
}

/// An operation that counts.
pub(crate) struct Probe {
    object: Object,
    pub(crate) cipher: Option<ChunkCipher>,
    pub(crate) sections: u64,
    /// Which section is refused, and all that follow.
    pub(crate) cut_at: u64,
    /// What `finished` was told, each time.
    pub(crate) finished: Rc<Cell<Vec<u64>>>,
}

impl Probe {
    fn new(object: Object) -> Self {
        Self { object, cipher: None, sections: 0, cut_at: u64::MAX, finished: Rc::default() }
    }
}

impl Operation for Probe {
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        assert!(self.cipher.is_none(), "a stream begins once");
        let Object { suite, key, context, .. } = &self.object;
        self.cipher = Some(ChunkCipher::for_opening(*suite, key, header, context)?);
        Ok(())
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        if self.sections >= self.cut_at {
            return Err(Refused::Stopped.into());
        }
        self.sections += 1;
        let cipher = self.cipher.as_ref().expect("a stream begins before its first section");
        Ok(work(cipher))
    }

    fn finished(&mut self, plain_bytes: u64) {
        let mut told = self.finished.take();
        told.push(plain_bytes);
        self.finished.set(told);
    }
}

/// A source that gives `data` in pieces of `sizes`.
pub(crate) struct Source<'a, S> {
    pub(crate) data: &'a [u8],
    pub(crate) sizes: S,
    /// Answers `Pending` before each piece.
    pub(crate) stalls: bool,
    /// What it says instead of the end of its input, once.
    pub(crate) failure: Option<io::Error>,
    stalled: bool,
}

impl<'a, S: FnMut() -> usize> Source<'a, S> {
    pub(crate) fn new(data: &'a [u8], sizes: S) -> Self {
        Self { data, sizes, stalls: false, failure: None, stalled: false }
    }

    fn next(&mut self, room: usize) -> io::Result<&'a [u8]> {
        if self.data.is_empty()
            && let Some(error) = self.failure.take()
        {
            return Err(error);
        }
        let len = (self.sizes)().clamp(1, room).min(self.data.len());
        let (piece, rest) = self.data.split_at(len);
        self.data = rest;
        Ok(piece)
    }
}

impl<S: FnMut() -> usize + Unpin> AsyncRead for Source<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stalled = self.stalls && !self.stalled;
        if self.stalled {
            return Poll::Pending;
        }
        let room = buf.remaining();
        Poll::Ready(self.next(room).map(|piece| buf.put_slice(piece)))
    }
}

impl<S: FnMut() -> usize> io::Read for Source<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let piece = self.next(buf.len())?;
        buf[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

/// Always the same size.
pub(crate) fn constant(size: usize) -> impl FnMut() -> usize + Unpin {
    move || size
}

/// Sizes that look random, small ones as often as large ones; the same for the same `seed`.
pub(crate) fn scattered(mut seed: u64) -> impl FnMut() -> usize + Unpin {
    move || {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        1 + (mixed >> 8) as usize % (1 << (mixed % 17))
    }
}

/// Reads to the end in pieces of `sizes`, polling again and again.
pub(crate) fn read_async(
    mut reader: impl AsyncRead + Unpin,
    sizes: &mut impl FnMut() -> usize,
) -> (Vec<u8>, io::Result<()>) {
    let mut out = Vec::new();
    loop {
        match poll_once(&mut reader, sizes()) {
            Poll::Pending => {}
            Poll::Ready(Ok(piece)) if piece.is_empty() => return (out, Ok(())),
            Poll::Ready(Ok(piece)) => out.extend(piece),
            Poll::Ready(Err(error)) => return (out, Err(error)),
        }
    }
}

/// One poll into a buffer of `size`, which must be as it was where nothing was read.
pub(crate) fn poll_once(
    reader: &mut (impl AsyncRead + Unpin),
    size: usize,
) -> Poll<io::Result<Vec<u8>>> {
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    let mut bytes = vec![0; size];
    let mut buf = ReadBuf::new(&mut bytes);
    let polled = Pin::new(reader).poll_read(&mut cx, &mut buf);
    let len = buf.filled().len();
    assert!(bytes[len..].iter().all(|&byte| byte == 0), "bytes beyond those released");
    bytes.truncate(len);
    polled.map_ok(|()| bytes)
}

/// Reads to the end in pieces of `sizes`, blocking.
pub(crate) fn read_blocking(
    mut reader: impl io::Read,
    sizes: &mut impl FnMut() -> usize,
) -> (Vec<u8>, io::Result<()>) {
    let mut out = Vec::new();
    loop {
        let mut piece = vec![0; sizes()];
        match reader.read(&mut piece) {
            Ok(0) => return (out, Ok(())),
            Ok(len) => out.extend_from_slice(&piece[..len]),
            Err(error) => return (out, Err(error)),
        }
    }
}

/// `len` bytes, no two chunks of which are equal.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
