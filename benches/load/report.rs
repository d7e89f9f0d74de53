//! Results: as lines for people, and as `--json FILE`.

use std::io;
use std::path::Path;

/// One result. What does not apply is null.
#[derive(serde::Serialize)]
pub struct Measured {
    /// As in section 13 of the design.
    pub name: String,
    /// Threads that work, or callers in the mix.
    pub threads: usize,
    /// Operations in one second, all threads together.
    pub ops_per_s: f64,
    /// Bytes of plaintext in one second.
    pub bytes_per_s: Option<f64>,
    /// Half of the operations took no longer.
    pub p50_ns: u64,
    /// 99 of 100 operations took no longer.
    pub p99_ns: u64,
    /// The primitive beside it.
    pub baseline: Option<&'static str>,
    /// One operation of the primitive on as many threads.
    pub baseline_ns: Option<f64>,
    /// Throughput over the primitive's; for the gate, time over the primitive's.
    pub ratio: Option<f64>,
}

/// All results of one run.
#[derive(Default, serde::Serialize)]
pub struct Report {
    results: Vec<Measured>,
}

impl Report {
    /// Adds a result and shows it.
    pub fn add(&mut self, result: Measured) {
        if self.results.is_empty() {
            println!(
                "{:<34}{:>8}{:>14}{:>11}{:>12}{:>12}{:>13}{:>8}",
                "", "threads", "ops/s", "MB/s", "p50 ns", "p99 ns", "baseline ns", "ratio"
            );
        }
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        println!(
            "{:<34}{:>8}{:>14.1}{:>11}{:>12}{:>12}{:>13}{:>8}",
            result.name,
            result.threads,
            result.ops_per_s,
            number(result.bytes_per_s.map(|bytes| bytes / 1e6), 0),
            result.p50_ns,
            result.p99_ns,
            number(result.baseline_ns, 1),
            number(result.ratio, 3),
        );
        self.results.push(result);
    }

    /// Writes them to `path`.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        std::fs::write(path, json)
    }
}
