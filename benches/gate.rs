//! One permit taken and given back, beside two uncontended atomic additions, which it cannot beat.
//!
//! `gate_enter_leave/*` run on one thread; `*_two_threads` give the time of one passage per thread
//! while two threads pass, each on its own stripe or both on one. Target: `pass` takes at most
//! twice the time of `two_atomic_additions`.

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
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Barrier;
use std::thread;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use portcullis::bench_support::BenchGate;

fn gate_enter_leave(c: &mut Criterion) {
    let mut group = c.benchmark_group("gate_enter_leave");
    let lines = [Line::default(), Line::default()];
    group.bench_function("two_atomic_additions", |b| b.iter(|| add_twice(&lines)));
    let gate = BenchGate::new();
    group.bench_function("pass", |b| b.iter(|| gate.pass(|stripe| _ = black_box(stripe))));
    group.bench_function("shut_and_open", |b| b.iter(|| gate.shut_and_open()));

    on_two_threads(&mut group, "two_atomic_additions_two_threads", |_| {
        let lines = [Line::default(), Line::default()];
        move || _ = add_twice(&lines)
    });
    on_two_threads(&mut group, "pass_two_threads_own_stripes", |thread| {
        let gate = &gate;
        move || _ = gate.pass_on(thread, |stripe| _ = black_box(stripe))
    });
    on_two_threads(&mut group, "pass_two_threads_shared_stripe", |_| {
        let gate = &gate;
        move || _ = gate.pass_on(0, |stripe| _ = black_box(stripe))
    });
    group.finish();
}

/// Two atomic additions with the gate's orders, on two lines.
fn add_twice([first, second]: &[Line; 2]) -> u64 {
    let entered = first.0.fetch_add(8, Ordering::Acquire);
    black_box(entered);
    second.0.fetch_add(8, Ordering::Release)
}

/// Times what `make` gives each of two threads while both do it; the slower one counts.
fn on_two_threads<S: FnMut()>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    make: impl Fn(usize) -> S + Sync,
) {
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let start = Barrier::new(2);
            let run = |thread: usize| {
                let mut step = make(thread);
                start.wait();
                time(|| (0..iterations).for_each(|_| step()))
            };
            thread::scope(|scope| {
                let other = scope.spawn(|| run(1));
                let mine = run(0);
                mine.max(other.join().expect("a step does not panic"))
            })
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn time(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

criterion_group!(benches, gate_enter_leave);
criterion_main!(benches);
