//! Sealing and opening, beside one bare AES-256-GCM call for each 16 KiB with the same memory
//! traffic: from one buffer into another, both reused.
//!
//! `lent` is a stream whose reader lends what it has. `stream` copies its input once, which the
//! buffer does not; what that costs depends on where the input lies: `stream` reads 64 MiB that no
//! cache holds, `stream-hot` reads the same 256 KiB again and again, as a network stack's buffers
//! would be.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops at once where it goes wrong"
)]

use core::hint::black_box;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, Read};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::bench_support::object::Bench;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The longest object of one chunk.
const CHUNK_BYTES: usize = 16 * 1024 - 1;
const OBJECT_BYTES: usize = 64 << 20;
const HOT_BYTES: usize = 256 * 1024;
/// What a host asks of a stream at once.
const READ_BYTES: usize = 64 * 1024;

fn chunk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("object::chunk");
    group.throughput(Throughput::Bytes(CHUNK_BYTES as u64));
    let bench = Bench::default();
    let plain = vec![7; CHUNK_BYTES];
    let mut bare = vec![1; Bench::sealed_bytes(CHUNK_BYTES)];
    let mut sealed = bare.clone();
    let mut opened = vec![1; CHUNK_BYTES];
    bench.bare_seal(&plain, &mut bare);
    bench.seal_chunk(&plain, &mut sealed);
    bench.open_chunk(&sealed, &mut opened);
    assert!(opened == plain);
    group.bench_function("open/form=bare", |b| {
        b.iter(|| bench.bare_open(black_box(&bare), &mut opened));
    });
    group.bench_function("open/form=chunk", |b| {
        b.iter(|| bench.open_chunk(black_box(&sealed), &mut opened));
    });
    group.bench_function("seal/form=bare", |b| {
        b.iter(|| bench.bare_seal(black_box(&plain), &mut bare));
    });
    group.bench_function("seal/form=chunk", |b| {
        b.iter(|| bench.seal_chunk(black_box(&plain), &mut sealed));
    });
    group.finish();
}

fn object(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("object::64mib");
    group.throughput(Throughput::Bytes(OBJECT_BYTES as u64)).sample_size(20);
    let pattern: Vec<u8> = (0..=250).collect();
    let plain: Vec<u8> = pattern.iter().copied().cycle().take(OBJECT_BYTES).collect();
    forms(&mut group, &plain);
    group.finish();
}

fn forms(group: &mut BenchmarkGroup<'_, WallTime>, plain: &[u8]) {
    let bench = Bench::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // Filled, so that no form pays for the pages of its output.
    let mut bare = vec![1; Bench::sealed_bytes(plain.len())];
    let mut sealed = bare.clone();
    let mut opened = vec![1; plain.len()];

    // Opening first: what is sealed by the last form of sealing need not be `plain`.
    bench.bare_seal(plain, &mut bare);
    runtime.block_on(drain(bench.seal_stream(plain), &mut sealed));
    group.bench_function("open/form=bare", |b| {
        b.iter(|| bench.bare_open(black_box(&bare), &mut opened));
    });
    group.bench_function("open/form=buffer", |b| {
        b.iter(|| bench.open(black_box(&sealed), &mut opened));
    });
    group.bench_function("open/form=stream", |b| {
        b.iter(|| runtime.block_on(drain(bench.open_stream(black_box(&*sealed)), &mut opened)));
    });
    group.bench_function("open/form=lent", |b| {
        b.iter(|| runtime.block_on(drain(bench.open_lent(black_box(&*sealed)), &mut opened)));
    });
    group.bench_function("open/form=read", |b| {
        b.iter(|| drain_blocking(bench.open_stream(black_box(&*sealed)), &mut opened));
    });
    opened.fill(0);
    drain_blocking(bench.open_stream(&*sealed), &mut opened);
    assert!(opened == plain);

    group.bench_function("seal/form=bare", |b| {
        b.iter(|| bench.bare_seal(black_box(plain), &mut bare));
    });
    group.bench_function("seal/form=buffer", |b| {
        b.iter(|| bench.seal(black_box(plain), &mut sealed));
    });
    group.bench_function("seal/form=stream", |b| {
        b.iter(|| runtime.block_on(drain(bench.seal_stream(black_box(plain)), &mut sealed)));
    });
    group.bench_function("seal/form=lent", |b| {
        b.iter(|| runtime.block_on(drain(bench.seal_lent(black_box(plain)), &mut sealed)));
    });
    group.bench_function("seal/form=read", |b| {
        b.iter(|| drain_blocking(bench.seal_stream(black_box(plain)), &mut sealed));
    });
    opened.fill(0);
    bench.open(&sealed, &mut opened);
    assert!(opened == plain);
    group.bench_function("seal/form=stream-hot", |b| {
        b.iter(|| {
            let bytes = plain.get(..HOT_BYTES).unwrap_or_default();
            let hot = Hot { bytes, next: bytes, left: plain.len() };
            runtime.block_on(drain(bench.seal_stream(black_box(hot)), &mut sealed));
        });
    });
}

async fn drain(reader: impl AsyncRead, out: &mut [u8]) {
    let mut reader = core::pin::pin!(reader);
    for piece in out.chunks_mut(READ_BYTES) {
        reader.read_exact(piece).await.expect("the object is good");
    }
}

fn drain_blocking(mut reader: impl Read, out: &mut [u8]) {
    for piece in out.chunks_mut(READ_BYTES) {
        Read::read_exact(&mut reader, piece).expect("the object is good");
    }
}

/// `left` bytes, from the same place again and again.
struct Hot<'a> {
    bytes: &'a [u8],
    next: &'a [u8],
    left: usize,
}

impl Read for Hot<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.next.is_empty() {
            self.next = self.bytes;
        }
        let mut limited = Read::take(self.next, self.left as u64);
        let len = Read::read(&mut limited, buf)?;
        self.next = limited.into_inner();
        self.left -= len;
        Ok(len)
    }
}

impl AsyncRead for Hot<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = Read::read(&mut *self, buf.initialize_unfilled())?;
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

criterion_group!(benches, chunk, object);
criterion_main!(benches);
