//! Sealing and opening, beside one bare AES-256-GCM call for each 16 KiB with the same memory
//! traffic: from one buffer of 64 MiB into another, both reused.

use std::hint::black_box;
use std::io::Read;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::bench_support::object::Bench;
use tokio::io::{AsyncRead, AsyncReadExt};

const CHUNK_BYTES: usize = 16 * 1024 - 1;
const OBJECT_BYTES: usize = 64 << 20;
/// What a host asks of a stream at once.
const READ_BYTES: usize = 64 * 1024;

fn objects(criterion: &mut Criterion) {
    for (name, plain_bytes) in [("chunk", CHUNK_BYTES), ("64mib", OBJECT_BYTES)] {
        let mut group = criterion.benchmark_group(format!("object::{name}"));
        group.throughput(Throughput::Bytes(plain_bytes as u64));
        group.sample_size(if plain_bytes == OBJECT_BYTES { 20 } else { 100 });
        let plain: Vec<u8> = (0..plain_bytes).map(|n| (n % 251) as u8).collect();
        forms(&mut group, &plain);
        group.finish();
    }
}

fn forms(group: &mut BenchmarkGroup<'_, WallTime>, plain: &[u8]) {
    let bench = Bench::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // Filled, so that no form pays for the pages of its output.
    let mut sealed = vec![1; Bench::sealed_bytes(plain.len())];
    let mut opened = vec![1; plain.len()];
    let mut bare = sealed.clone();

    group.bench_function("seal/form=bare", |b| {
        b.iter(|| bench.bare_seal(black_box(plain), &mut bare));
    });
    group.bench_function("open/form=bare", |b| {
        b.iter(|| bench.bare_open(black_box(&bare), &mut opened));
    });
    assert!(opened == plain);
    drop(bare);

    group.bench_function("seal/form=buffer", |b| {
        b.iter(|| bench.seal(black_box(plain), &mut sealed));
    });
    opened.fill(0);
    group.bench_function("open/form=buffer", |b| {
        b.iter(|| bench.open(black_box(&sealed), &mut opened));
    });
    assert!(opened == plain);

    let expected = sealed.clone();
    group.bench_function("seal/form=stream", |b| {
        b.iter(|| runtime.block_on(drain(bench.seal_stream(black_box(plain)), &mut sealed)));
    });
    assert!(sealed == expected);
    group.bench_function("open/form=stream", |b| {
        b.iter(|| runtime.block_on(drain(bench.open_stream(black_box(&*sealed)), &mut opened)));
    });
    assert!(opened == plain);

    group.bench_function("seal/form=read", |b| {
        b.iter(|| drain_blocking(bench.seal_stream(black_box(plain)), &mut sealed));
    });
    group.bench_function("open/form=read", |b| {
        b.iter(|| drain_blocking(bench.open_stream(black_box(&*sealed)), &mut opened));
    });
    assert!(opened == plain && sealed == expected);
}

async fn drain(reader: impl AsyncRead, out: &mut [u8]) {
    let mut reader = std::pin::pin!(reader);
    let mut at = 0;
    loop {
        let end = out.len().min(at + READ_BYTES);
        match reader.read(&mut out[at..end]).await.expect("the object is good") {
            0 => break,
            len => at += len,
        }
    }
    assert_eq!(at, out.len());
}

fn drain_blocking(mut reader: impl Read, out: &mut [u8]) {
    let mut at = 0;
    loop {
        let end = out.len().min(at + READ_BYTES);
        match Read::read(&mut reader, &mut out[at..end]).expect("the object is good") {
            0 => break,
            len => at += len,
        }
    }
    assert_eq!(at, out.len());
}

criterion_group!(benches, objects);
criterion_main!(benches);
