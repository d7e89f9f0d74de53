//! What is found out about a plaintext while it passes: its length, its MD5, its checksums.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use md5::{Digest, Md5};
use portcullis::objects::{Checksum, ChecksumAlgorithm, ChecksumScope, Facts};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::Checksum as _;
use s3s::dto::StreamingBlob;
use s3s::{S3Request, S3Result, TrailingHeaders, s3_error};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::io::StreamReader;

use crate::answer::engine;

/// S3's checksum headers.
const CHECKSUMS: [(&str, ChecksumAlgorithm); 5] = [
    ("x-amz-checksum-crc32", ChecksumAlgorithm::Crc32),
    ("x-amz-checksum-crc32c", ChecksumAlgorithm::Crc32C),
    ("x-amz-checksum-crc64nvme", ChecksumAlgorithm::Crc64Nvme),
    ("x-amz-checksum-sha1", ChecksumAlgorithm::Sha1),
    ("x-amz-checksum-sha256", ChecksumAlgorithm::Sha256),
];

/// The body of a request: read by one, and by another what that one left.
#[derive(Clone)]
pub struct RequestBody(Arc<Mutex<Reading>>);

struct Reading {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    /// Whether the client sends it: at once, or once it was told to by a first read.
    is_sent: bool,
}

impl RequestBody {
    /// The `body` of `request`, out of which it was taken.
    pub fn new<T>(request: &S3Request<T>, body: Option<StreamingBlob>) -> Self {
        let body = body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let reader = Box::pin(StreamReader::new(body.map_err(io::Error::other)));
        let is_sent = !request.headers.contains_key("expect");
        Self(Arc::new(Mutex::new(Reading { reader, is_sent })))
    }

    /// Reads what is left of the body of a refused request, if that is little and comes soon: a
    /// client that is still sending would find its connection closed before it sees the answer.
    /// One that waits for `100 Continue` sees the answer instead of that.
    pub async fn discard(self) {
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_sent {
            return;
        }
        let (mut rest, mut sink) = (self.take(DISCARDED_BYTES_MAX), tokio::io::sink());
        let discard = tokio::io::copy(&mut rest, &mut sink);
        let _ = tokio::time::timeout(DISCARD_DEADLINE, discard).await;
    }
}

impl AsyncRead for RequestBody {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.is_sent = true;
        reading.reader.as_mut().poll_read(cx, buf)
    }
}

/// Reads through, and digests what passes.
pub struct Digested<R> {
    reader: R,
    digests: Digests,
}

/// The digests, for whoever gave the reader away.
#[derive(Clone)]
pub struct Digests(Arc<Mutex<State>>);

struct State {
    bytes: u64,
    md5: Md5,
    checksums: ChecksumHasher,
}

impl<R> Digested<R> {
    /// `reader` with digests on: MD5, and the checksums that `expected` names.
    pub fn new(reader: R, expected: &Expected) -> (Self, Digests) {
        let state = State { bytes: 0, md5: Md5::new(), checksums: expected.hasher() };
        let digests = Digests(Arc::new(Mutex::new(state)));
        (Self { reader, digests: digests.clone() }, digests)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Digested<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let mut state = self.digests.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes += read.len() as u64;
        state.md5.update(read);
        state.checksums.update(read);
        Poll::Ready(Ok(()))
    }
}

/// What a plaintext was found to be.
pub struct Found {
    /// How long it is.
    pub bytes: u64,
    /// Its MD5.
    pub md5: [u8; 16],
    checksums: Vec<(&'static str, Checksum)>,
}

impl Digests {
    /// What was found, once everything was read.
    pub fn found(self) -> S3Result<Found> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let md5 = core::mem::take(&mut state.md5).finalize().into();
        let sums = core::mem::take(&mut state.checksums).finalize();
        let sums = [
            sums.checksum_crc32,
            sums.checksum_crc32c,
            sums.checksum_crc64nvme,
            sums.checksum_sha1,
            sums.checksum_sha256,
        ];
        let mut checksums = Vec::new();
        for ((header, algorithm), sum) in CHECKSUMS.into_iter().zip(sums) {
            let Some(sum) = sum.and_then(|sum| STANDARD.decode(sum).ok()) else { continue };
            let sum = Checksum::new(algorithm, ChecksumScope::FullObject, &sum).map_err(engine)?;
            checksums.push((header, sum));
        }
        Ok(Found { bytes: state.bytes, md5, checksums })
    }
}

impl Found {
    /// To be sealed in a record, with the ETag.
    pub fn facts(&self, etag: &str) -> S3Result<Facts> {
        let mut facts = Facts::new().with_etag(etag).map_err(engine)?;
        for (_, checksum) in &self.checksums {
            facts = facts.with_checksum(checksum.clone()).map_err(engine)?;
        }
        Ok(facts)
    }
}

/// The checksum headers of an answer.
pub fn checksum_headers(facts: &Facts) -> Vec<(&'static str, String)> {
    let known = CHECKSUMS.into_iter();
    known
        .filter_map(|(header, algorithm)| {
            facts.checksum(algorithm).map(|sum| (header, STANDARD.encode(sum.value())))
        })
        .collect()
}

/// What a client says that its body is.
pub struct Expected {
    md5: Option<String>,
    /// Header and value; the value is absent where it comes behind the body.
    checksums: Vec<(&'static str, Option<String>)>,
    trailers: Option<TrailingHeaders>,
}

impl Expected {
    /// What the headers of `request` say, and what it announces for behind its body.
    pub fn of<T>(request: &S3Request<T>) -> Self {
        let value = |name: &str| {
            request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let trailer = value("x-amz-trailer").unwrap_or_default();
        let announced: Vec<_> = trailer.split(',').map(str::trim).collect();
        let checksums = CHECKSUMS.into_iter().filter_map(|(header, _)| {
            let stated = value(header);
            (stated.is_some() || announced.contains(&header)).then_some((header, stated))
        });
        Self {
            md5: value("content-md5"),
            checksums: checksums.collect(),
            trailers: request.trailing_headers.clone(),
        }
    }

    /// Nothing, as of the body of a copy.
    pub fn nothing() -> Self {
        Self { md5: None, checksums: Vec::new(), trailers: None }
    }

    fn hasher(&self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        for (header, _) in &self.checksums {
            match *header {
                "x-amz-checksum-crc32" => hasher.crc32 = Some(s3s::crypto::Crc32::new()),
                "x-amz-checksum-crc32c" => hasher.crc32c = Some(s3s::crypto::Crc32c::new()),
                "x-amz-checksum-crc64nvme" => {
                    hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::new());
                }
                "x-amz-checksum-sha1" => hasher.sha1 = Some(s3s::crypto::Sha1::new()),
                _ => hasher.sha256 = Some(s3s::crypto::Sha256::new()),
            }
        }
        hasher
    }

    /// Whether it is what was found. The body was read to its end.
    pub fn check(&self, found: &Found) -> S3Result<()> {
        let matches_md5 = |md5: &String| *md5 == STANDARD.encode(found.md5);
        let trailing = |header: &str| {
            self.trailers.as_ref()?.read(|headers| {
                headers.get(header).and_then(|value| value.to_str().ok()).map(str::to_owned)
            })?
        };
        let matches = self.checksums.iter().all(|(header, stated)| {
            let sum = found.checksums.iter().find(|(name, _)| name == header);
            let sum = sum.map(|(_, sum)| STANDARD.encode(sum.value()));
            sum.is_some() && sum == stated.clone().or_else(|| trailing(header))
        });
        if self.md5.as_ref().is_none_or(matches_md5) && matches {
            return Ok(());
        }
        Err(s3_error!(BadDigest, "The digest you specified did not match what we received."))
    }
}

const DISCARDED_BYTES_MAX: u64 = 8 << 20;
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);
