//! What the benches of objects measure, beside the bare primitive: one AEAD call a chunk, by
//! `aws-lc-rs` directly.

use std::io::{BufRead, Read};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use tokio::io::{AsyncBufRead, AsyncRead};

use super::buffer;
use super::chunk::{ChunkCipher, HEADER_BYTES, Header, SEALED_CHUNK_BYTES, Suite, sealed_size};

use super::direction::{Open, Seal};
use super::input::Lent;
use super::pipe::Operation;
use super::stream::{OpenReader, SealReader, Turning};
use crate::error::Error;
use crate::limits::CHUNK_BYTES;

/// An object's key and a key of the bare primitive.
pub struct Bench {
    cipher: ChunkCipher,
    header: Header,
    bare: LessSafeKey,
}

/// An operation that always may go on.
struct Always(Option<ChunkCipher>);

impl Operation for Always {
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        self.0 = Some(ChunkCipher::for_opening(Suite::Aes256Gcm, &KEY, header, b"bench")?);
        Ok(())
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.0.as_ref().map(work).ok_or(Error::Unreachable("a section before the header"))
    }

    fn finished(&mut self, _: u64) {}
}

impl Default for Bench {
    fn default() -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &KEY).expect("AES-256 takes 32 bytes");
        let (cipher, header) = cipher();
        Self { cipher, header, bare: LessSafeKey::new(key) }
    }
}

impl Bench {
    /// Bytes of the object of `plain` bytes.
    pub fn sealed_bytes(plain: usize) -> usize {
        let size = sealed_size(plain as u64).and_then(|size| usize::try_from(size).ok());
        size.expect("benches use sizes far below the limit")
    }

    /// One bare call for each 16 KiB of `plain`, into `out` of the object's size.
    pub fn bare_seal(&self, plain: &[u8], out: &mut [u8]) {
        let out = out.get_mut(HEADER_BYTES..).unwrap_or_default();
        // One more chunk, empty where `plain` ends with a full one.
        let chunks = plain
            .chunks(CHUNK_BYTES)
            .chain(plain.len().is_multiple_of(CHUNK_BYTES).then_some(&[][..]));
        for (number, (plain, out)) in (0..).zip(chunks.zip(out.chunks_mut(SEALED_CHUNK_BYTES))) {
            let (ciphertext, tag) = out.split_at_mut(plain.len());
            self.bare
                .seal_out_of_place_scatter(nonce(number), Aad::empty(), plain, ciphertext, &[], tag)
                .expect("the sizes fit");
        }
    }

    /// One bare call for each sealed chunk of what [`bare_seal`](Self::bare_seal) made.
    pub fn bare_open(&self, sealed: &[u8], out: &mut [u8]) {
        let sealed = sealed.get(HEADER_BYTES..).unwrap_or_default().chunks(SEALED_CHUNK_BYTES);
        let out = out.chunks_mut(CHUNK_BYTES).chain([&mut [][..]]);
        for (number, (sealed, out)) in (0..).zip(sealed.zip(out)) {
            let (ciphertext, tag) = sealed.split_at(out.len());
            self.bare
                .open_separate_gather(nonce(number), Aad::empty(), ciphertext, tag, out)
                .expect("it was sealed with this key");
        }
    }

    /// One bare call for each chunk from number `first` on that `out` has room for, of what
    /// [`bare_seal`](Self::bare_seal) made.
    pub fn bare_open_chunks(&self, first: usize, sealed: &[u8], out: &mut [u8]) {
        let sealed = sealed.get(HEADER_BYTES + first * SEALED_CHUNK_BYTES..).unwrap_or_default();
        let chunks = sealed.chunks_exact(SEALED_CHUNK_BYTES).zip(out.chunks_exact_mut(CHUNK_BYTES));
        for (number, (sealed, out)) in (first as u64..).zip(chunks) {
            let (ciphertext, tag) = sealed.split_at(CHUNK_BYTES);
            self.bare
                .open_separate_gather(nonce(number), Aad::empty(), ciphertext, tag, out)
                .expect("it was sealed with this key");
        }
    }

    /// One chunk, with a key that is ready, into `out` of an object's size.
    pub fn seal_chunk(&self, plain: &[u8], out: &mut [u8]) {
        let out = out.get_mut(HEADER_BYTES..).unwrap_or_default();
        self.cipher.seal(0, plain, out).expect("the sizes fit");
    }

    /// One chunk of an object, with a key that is ready.
    pub fn open_chunk(&self, sealed: &[u8], out: &mut [u8]) {
        let sealed = sealed.get(HEADER_BYTES..).unwrap_or_default();
        self.cipher.open(0, sealed, out).expect("it was sealed with this key");
    }

    /// The chunks of `plain`, in one go, into `out` of the object's size.
    pub fn seal(&self, plain: &[u8], out: &mut [u8]) {
        let (header, body) = out.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&self.header.parts().concat());
        let mut operation = Always(Some(cipher().0));
        buffer::turn::<Seal, _>(&mut operation, plain, body).expect("the sizes fit");
    }

    /// The plaintext of an object, in one go.
    pub fn open(&self, sealed: &[u8], out: &mut [u8]) {
        let (header, body) = Header::split_from(sealed).expect("it has a header");
        let mut operation = Always(None);
        operation.begin(&header).expect("it was sealed with this key");
        buffer::turn::<Open, _>(&mut operation, body, out).expect("it was sealed with this key");
    }

    /// `source` sealed as a stream.
    pub fn seal_stream<R: AsyncRead + Read>(&self, source: R) -> impl AsyncRead + Read + use<R> {
        let (cipher, header) = cipher();
        SealReader::new(source, Always(Some(cipher)), &[], &header)
    }

    /// `source` sealed as a stream, from where it lies.
    pub fn seal_lent<R: AsyncBufRead + BufRead>(
        &self,
        source: R,
    ) -> impl AsyncRead + Read + use<R> {
        let (cipher, header) = cipher();
        Turning::sealing(Lent::new(source), Always(Some(cipher)), &[], &header)
    }

    /// `source` opened as a stream, from where it lies.
    pub fn open_lent<R: AsyncBufRead + BufRead>(
        &self,
        source: R,
    ) -> impl AsyncRead + Read + use<R> {
        Turning::opening(Lent::new(source), Always(None))
    }

    /// `source` opened as a stream.
    pub fn open_stream<R: AsyncRead + Read>(&self, source: R) -> impl AsyncRead + Read + use<R> {
        OpenReader::new(source, Always(None))
    }
}

fn cipher() -> (ChunkCipher, Header) {
    ChunkCipher::for_sealing(Suite::Aes256Gcm, &KEY, [9; 24], b"bench").expect("32 bytes")
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    if let Some(low) = nonce.last_chunk_mut() {
        *low = number.to_be_bytes();
    }
    Nonce::assume_unique_for_key(nonce)
}

const KEY: [u8; 32] = [7; 32];
