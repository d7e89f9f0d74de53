//! What an audit record costs its caller, beside a bare copy of the same bytes, and what it costs
//! the writer. With two threads the time is that of one record on each: equal to one thread's is
//! a scaling of 2.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops at once where it goes wrong"
)]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis::bench_support::audit::AuditBench;

/// Where a stripe rings; the bare copy begins anew there.
const HALF_BUFFER: usize = 512 * 1024;

/// Runs `work(thread, iterations)` on `threads` threads at once; the time until all are done.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn timed(threads: usize, iterations: u64, work: impl Fn(usize, u64) + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(thread, iterations);
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in running {
            thread.join().expect("the work does not panic");
        }
        start.elapsed()
    })
}

fn accept(criterion: &mut Criterion) {
    let bench = AuditBench::new(4);
    let record = vec![7_u8; bench.record_bytes()];
    let mut group = criterion.benchmark_group("audit_accept");
    group.throughput(Throughput::Elements(1));
    for threads in [1, 2] {
        group.bench_function(format!("bare_copy/threads={threads}"), |bencher| {
            bencher.iter_custom(|iterations| {
                timed(threads, iterations, |_, iterations| {
                    let mut buffer = Vec::with_capacity(2 * HALF_BUFFER);
                    for _ in 0..iterations {
                        if buffer.len() >= HALF_BUFFER {
                            buffer.clear();
                        }
                        buffer.extend_from_slice(black_box(&record));
                    }
                    black_box(&buffer);
                })
            });
        });
        group.bench_function(format!("accept/threads={threads}"), |bencher| {
            bencher.iter_custom(|iterations| {
                timed(threads, iterations, |thread, iterations| {
                    for _ in 0..iterations {
                        let accepted = bench.accept(black_box(thread), black_box(1));
                        if accepted.expect("there is always room") {
                            bench.collect();
                        }
                    }
                })
            });
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    /// Under the ring of one stripe, so that nothing is collected before its time.
    const RECORDS: u64 = 3000;
    let mut group = criterion.benchmark_group("audit_write");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("decode_and_number", |bencher| {
        bencher.iter_batched(
            || {
                let bench = AuditBench::new(1);
                for _ in 0..RECORDS {
                    assert_eq!(bench.accept(0, 1), Some(false));
                }
                bench
            },
            |bench| assert_eq!(bench.write_out(), RECORDS),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, accept, write);
criterion_main!(benches);
