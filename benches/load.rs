//! The load bench: each row with one thread and with two, beside its primitive in the same run.
//!
//! ```text
//! cargo bench --features testing --bench load -- [--json FILE] [--smoke] [NAME ...]
//! ```
//!
//! Rows are named as in section 13 of the design; a NAME keeps those that contain it. Engine and
//! primitive take turns, and what is shown is the median of many short turns: `ratio` is the median of
//! the turns' own ratios. `--smoke` (or `--test`) takes seconds and shows only that all still runs.
//! Figures are of the machine that they were measured on; ratios travel.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops at once where it goes wrong"
)]

#[path = "load/measure.rs"]
mod measure;
#[path = "load/mixed.rs"]
mod mixed;
#[path = "load/objects.rs"]
mod objects;
#[path = "load/report.rs"]
mod report;
#[path = "load/rows.rs"]
mod rows;
#[path = "load/stop.rs"]
mod stop;
#[path = "load/stored.rs"]
mod stored;
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use self::measure::Effort;
use self::report::Report;

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("usage: load [--json FILE] [--smoke] [NAME ...]");
        return ExitCode::from(2);
    };
    let mut report = Report::default();
    rows::run(&mut report, options.effort, &|name| options.wants(name));
    if options.wants("stop_gate_shut") || options.wants("stop_answered") {
        stop::run(&mut report, options.effort);
    }
    if options.wants("mixed") {
        mixed::run(&mut report, options.effort);
    }
    if let Some(path) = &options.json
        && let Err(error) = report.write(path)
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Options {
    effort: Effort,
    json: Option<PathBuf>,
    names: Vec<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { effort: Effort::FULL, json: None, names: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says that it runs benches.
                "--bench" => {}
                "--json" => options.json = Some(arguments.next()?.into()),
                "--smoke" | "--test" => options.effort = Effort::SMOKE,
                option if option.starts_with('-') => return None,
                name => options.names.push(name.to_owned()),
            }
        }
        Some(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| name.contains(wanted.as_str()))
    }
}
