//! Stops of an engine whose callers do nothing but work.
//!
//! `stop_gate_shut` is the time from the call of `stop` to its return: the gate is shut by then,
//! and no call that a caller began later has succeeded, which is checked in each round.
//! `stop_answered` is the time to its report: the last permit is back, and the keys are wiped.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use portcullis::TryError;
use portcullis::audit::Release;
use portcullis::envelope::DataKeySpec;

use super::measure::{Effort, nanos, now, percentile};
use super::report::{Measured, Report};
use crate::support::engine::Host;

/// One stop, in nanoseconds from its call.
struct Stopped {
    shut: u64,
    answered: u64,
}

/// Measures stops under the load of one thread and of two.
pub fn run(report: &mut Report, effort: Effort) {
    let host = Host::start(Release::Accepted);
    for threads in [1, 2] {
        let stops: Vec<_> = (0..effort.stops).map(|_| stop_under_load(&host, threads)).collect();
        let mut add = |name: &str, mut times: Vec<u64>| {
            let total: u64 = times.iter().sum();
            report.add(Measured {
                name: name.to_owned(),
                threads,
                ops_per_s: times.len() as f64 * 1e9 / total as f64,
                bytes_per_s: None,
                p50_ns: percentile(&mut times, 50),
                p99_ns: percentile(&mut times, 99),
                baseline: None,
                baseline_ns: None,
                ratio: None,
            });
        };
        add("stop_gate_shut", stops.iter().map(|stopped| stopped.shut).collect());
        add("stop_answered", stops.iter().map(|stopped| stopped.answered).collect());
    }
}

fn stop_under_load(host: &Host, threads: usize) -> Stopped {
    let start = Barrier::new(threads + 1);
    let done = AtomicU64::new(0);
    let work = || {
        start.wait();
        let mut last = now();
        loop {
            let begun = now();
            let spec = DataKeySpec::AES_256;
            match host.kms.try_generate_data_key(&host.key, spec, &host.context) {
                Ok(_made) => last = begun,
                // Buffers or use counts wait for others; the load goes on.
                Err(TryError::NeedsHop(_)) => thread::yield_now(),
                Err(_stopped) => return last,
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let stopped = thread::scope(|scope| {
        let callers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        start.wait();
        while done.load(Ordering::Relaxed) < CALLS_BEFORE {
            thread::yield_now();
        }
        let begun = now();
        let stop = host.kms.stop();
        let shut_at = now();
        host.runtime.block_on(stop).expect("the engine stops");
        let answered = nanos(begun.elapsed());
        let last = callers.into_iter().map(|caller| caller.join().expect("a caller panicked"));
        let last: Instant = last.max().expect("there are callers");
        assert!(last <= shut_at, "a call that began after the stop has succeeded");
        Stopped { shut: nanos(shut_at - begun), answered }
    });
    host.runtime.block_on(host.kms.start()).expect("the engine starts again");
    stopped
}

/// Calls until the load counts as full.
const CALLS_BEFORE: u64 = 2_000;
