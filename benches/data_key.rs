//! Data keys on the caller's thread, beside their primitives done bare.
//!
//! `release=unaudited` and `release=accepted` include taking, wiping and giving back the lease;
//! `copied` also reads it. The sink of `accepted` writes each record to a file, on its own thread.
//! Targets: unaudited at most 1/0.60 of the bare time, accepted generating at most 1/0.45.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops at once where it goes wrong"
)]

mod support;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use portcullis::audit::Release;

use self::support::bare::Bare;
use self::support::engine::Host;

fn generate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data_key::generate");
    let mut bare = Bare::new();
    group.bench_function("bare", |b| b.iter(|| black_box(bare.generate())));
    for (name, host) in hosts() {
        let (made, other) = (host.generate(), host.generate());
        assert!(made.wrapped != other.wrapped);
        assert_eq!(copy(&made.key), copy(&host.decrypt(&made.wrapped)));
        drop((made, other));
        group.bench_function(name, |b| b.iter(|| black_box(host.generate())));
        group.bench_function(format!("{name}/copied"), |b| {
            b.iter(|| black_box(copy(&host.generate().key)))
        });
        check(&host, name);
    }
    group.finish();
}

fn decrypt(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("data_key::decrypt");
    decrypt_bare(&mut group);
    for (name, host) in hosts() {
        let made = host.generate();
        let expected = copy(&made.key);
        group
            .bench_function(name, |b| b.iter(|| black_box(host.decrypt(black_box(&made.wrapped)))));
        group.bench_function(format!("{name}/copied"), |b| {
            b.iter(|| black_box(copy(&host.decrypt(black_box(&made.wrapped)))))
        });
        assert_eq!(copy(&host.decrypt(&made.wrapped)), expected);
        check(&host, name);
    }
    group.finish();
}

fn decrypt_bare(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut bare = Bare::new();
    let (key, wrapped) = bare.generate();
    assert_eq!(bare.decrypt(&wrapped), key);
    group.bench_function("bare", |b| b.iter(|| black_box(bare.decrypt(black_box(&wrapped)))));
}

fn hosts() -> impl Iterator<Item = (&'static str, Host)> {
    [("release=unaudited", Release::Unaudited), ("release=accepted", Release::Accepted)]
        .into_iter()
        .map(|(name, release)| (name, Host::start(release)))
}

fn copy(key: &portcullis::DataKey) -> [u8; 32] {
    let mut copy = [0; 32];
    key.copy_into(&mut copy).expect("the engine runs");
    copy
}

/// The sink has records of what was measured where it should have them, and not otherwise.
fn check(host: &Host, name: &str) {
    assert_eq!(host.has_records(), name.ends_with("accepted"));
}

criterion_group!(benches, generate, decrypt);
criterion_main!(benches);
