//! Rows with a primitive beside them: the gate, data keys; objects are in a file of their own.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::audit::Release;
use portcullis::bench_support::BenchGate;

use super::measure::{Effort, Make, median, percentile, times, turn};
use super::objects::Objects;
use super::report::{Measured, Report};
use super::stored::Stored;
use crate::support::bare::Bare;
use crate::support::engine::Host;

/// An operation of the engine, and the primitive that it cannot beat.
pub struct Row<'a> {
    pub name: &'static str,
    pub baseline: &'static str,
    pub ratio: Ratio,
    /// Operations in one step, more than one where a step is shorter than a call.
    pub per_step: u32,
    /// Steps from one look at the clock to the next.
    pub batch: u32,
    /// Plaintext of one operation.
    pub bytes: Option<usize>,
    pub engine: Make<'a>,
    pub bare: Make<'a>,
}

#[derive(Clone, Copy)]
pub enum Ratio {
    /// Throughput over the primitive's: 1.0 is the limit.
    Throughput,
    /// Time over the primitive's: lower is better.
    Time,
}

impl Row<'_> {
    fn measure(&self, threads: usize, effort: Effort) -> Measured {
        let mut rounds = Vec::new();
        for _ in 0..effort.rounds {
            let of = |make| turn(make, threads, effort.window, self.batch);
            rounds.push((of(&self.engine), of(&self.bare)));
        }
        let median_of = |value: &dyn Fn(&(f64, f64)) -> f64| {
            median(&mut rounds.iter().map(value).collect::<Vec<_>>())
        };
        let per_step = f64::from(self.per_step);
        let engine_ns = median_of(&|(engine, _)| engine / per_step);
        let ratio = median_of(&|(engine, bare)| match self.ratio {
            Ratio::Throughput => bare / engine,
            Ratio::Time => engine / bare,
        });
        let window = effort.window * 50;
        let mut times = times(&self.engine, threads, window, effort.timed);
        let ops_per_s = threads as f64 * 1e9 / engine_ns;
        Measured {
            name: self.name.to_owned(),
            threads,
            ops_per_s,
            bytes_per_s: self.bytes.map(|bytes| bytes as f64 * ops_per_s),
            p50_ns: percentile(&mut times, 50) / u64::from(self.per_step),
            p99_ns: percentile(&mut times, 99) / u64::from(self.per_step),
            baseline: Some(self.baseline),
            baseline_ns: Some(median_of(&|(_, bare)| bare / per_step)),
            ratio: Some(ratio),
        }
    }
}

/// Measures every row whose name `wants` likes, on one thread and on two.
pub fn run(report: &mut Report, effort: Effort, wants: &dyn Fn(&str) -> bool) {
    let gate = BenchGate::new();
    let unaudited = Host::start(Release::Unaudited);
    let audited = Host::start(Release::Accepted);
    let (objects, stored) = (Objects::new(&audited), Stored::new(&audited));
    let rows = [
        gate_enter_leave(&gate),
        generate("generate_data_key_local", &unaudited),
        generate("generate_data_key_local_audited", &audited),
        decrypt("decrypt_data_key_local", &unaudited),
        decrypt("decrypt_data_key_local_audited", &audited),
    ];
    let (objects, stored) = (objects.rows(), stored.rows());
    let rows = rows.iter().chain(&objects).chain(&stored);
    for row in rows.filter(|row| wants(row.name)) {
        for threads in [1, 2] {
            report.add(row.measure(threads, effort));
        }
    }
    assert!(!unaudited.has_records());
}

fn gate_enter_leave(gate: &BenchGate) -> Row<'_> {
    Row {
        name: "gate_enter_leave",
        baseline: "two uncontended atomic additions",
        ratio: Ratio::Time,
        per_step: GATE_PASSES,
        batch: 16,
        bytes: None,
        engine: Box::new(move |_| {
            Box::new(move || {
                for _ in 0..GATE_PASSES {
                    assert!(gate.pass(|stripe| _ = black_box(stripe)));
                }
            })
        }),
        bare: Box::new(|_| {
            let lines = [Line::default(), Line::default()];
            Box::new(move || {
                for _ in 0..GATE_PASSES {
                    black_box(lines[0].0.fetch_add(8, Ordering::Acquire));
                    black_box(lines[1].0.fetch_add(8, Ordering::Release));
                }
            })
        }),
    }
}

fn generate<'a>(name: &'static str, host: &'a Host) -> Row<'a> {
    Row {
        name,
        baseline: "random bytes + AES-256-GCM-SIV + SHA-256 + HMAC-SHA-256",
        ratio: Ratio::Throughput,
        per_step: 1,
        batch: 64,
        bytes: None,
        engine: Box::new(move |_| Box::new(move || _ = black_box(host.generate()))),
        bare: Box::new(|_| {
            let mut bare = Bare::new();
            Box::new(move || _ = black_box(bare.generate()))
        }),
    }
}

fn decrypt<'a>(name: &'static str, host: &'a Host) -> Row<'a> {
    Row {
        name,
        baseline: "AES-256-GCM-SIV + SHA-256 + HMAC-SHA-256",
        ratio: Ratio::Throughput,
        per_step: 1,
        batch: 64,
        bytes: None,
        engine: Box::new(move |_| {
            let made = host.generate();
            let (mut expected, mut opened) = ([0; 32], [0; 32]);
            made.key.copy_into(&mut expected).expect("the engine runs");
            host.decrypt(&made.wrapped).copy_into(&mut opened).expect("the engine runs");
            assert_eq!(expected, opened);
            Box::new(move || _ = black_box(host.decrypt(black_box(&made.wrapped))))
        }),
        bare: Box::new(|_| {
            let mut bare = Bare::new();
            let (key, wrapped) = bare.generate();
            assert_eq!(key, bare.decrypt(&wrapped));
            Box::new(move || _ = black_box(bare.decrypt(black_box(&wrapped))))
        }),
    }
}

#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

const GATE_PASSES: u32 = 64;
