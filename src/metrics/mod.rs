//! Metrics: what an engine tells of itself in numbers, through the [`metrics`] facade.
//!
//! Owns the one table of all metrics ([`TABLE`], explained in [`manual::metrics`]), the counters
//! that no other part keeps, and the rounds that carry everything to the host's recorder. Whatever
//! counts in the engine counts for itself, in its own stripes; a *round* reads the counts and tells
//! the recorder what has come since the one before. Rounds are made by a timer and whenever somebody
//! asks ([`Kms::publish_metrics`](crate::Kms::publish_metrics)), on a thread where a recorder may
//! take its time: it is the host's code, and no caller and no actor ever waits for it.
//!
//! Invariants:
//!
//! 1. Nothing global is owned here. An engine tells the recorder that its
//!    [`EngineOptions`](crate::engine::EngineOptions) name, under a label `engine` that they name
//!    too.
//! 2. Every series is a row of [`TABLE`] with that row's labels, checked by the compiler as to how
//!    many and by tests as to which.
//! 3. Label values are words of fixed lists, but for the ids of at most
//!    [`METRIC_KEYS_MAX`](crate::limits::METRIC_KEYS_MAX) master keys and the engine's name. No
//!    value is a context, a principal, a resource, or the text of an error.
//! 4. Counters are told as what has come since the last round: an engine that takes another's place
//!    under its name goes on where that ended.
//!
//! Cost: one addition in a line of the thread's own for each operation, nothing else on a caller's
//! thread; a round reads and tells some hundreds of numbers, and looks at each lease ever made and
//! each key in use.
//!
//! A part of the engine that has something to tell adds a row to the table and the line that reads
//! it in `src/engine/metrics.rs`; the tests name whatever is then missing from the manual.
//!
//! [`manual::metrics`]: crate::manual::metrics

mod counts;
mod durations;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod round;
pub(crate) mod table;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

pub use ::metrics::{Recorder, Unit};

pub(crate) use self::counts::{BackendCall, Counts, blame};
pub use self::durations::BUCKETS;
pub(crate) use self::durations::{Durations, Samples};
pub(crate) use self::round::{Publisher, Round};
pub use self::table::TABLE;
use crate::limits::METRICS_INTERVAL;

/// One row of the table of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, as Prometheus writes it.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Their unit; [`Unit::Count`] where they have none.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number as it is now.
    Gauge,
    /// How many samples were how long, by [`BUCKETS`].
    Histogram,
}

impl Kind {
    /// The kind as a word, Prometheus's own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Where the metrics of an engine go, and how often.
#[derive(Clone)]
#[non_exhaustive]
pub struct MetricsOptions {
    /// The value of the label `engine`. Two engines that tell one recorder need two names: of
    /// equal names counters add up, and a gauge shows who spoke last.
    pub engine: Arc<str>,
    /// Who is told; the process's global recorder of the [`metrics`] facade if `None`.
    /// A host installs that before it starts the engine: what is told before is lost.
    pub recorder: Option<Arc<dyn Recorder + Send + Sync>>,
    /// How often, at least; with `None` only when somebody asks
    /// ([`Kms::publish_metrics`](crate::Kms::publish_metrics)).
    pub interval: Option<Duration>,
    /// Done after each round: an exporter lets go of samples that nobody has read.
    after: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl MetricsOptions {
    /// The global recorder, the name `main`, every [`METRICS_INTERVAL`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            engine: Arc::from("main"),
            recorder: None,
            interval: Some(METRICS_INTERVAL),
            after: None,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn with_engine(self, engine: &str) -> Self {
        Self { engine: Arc::from(engine), ..self }
    }

    /// The same to a recorder of its own.
    #[must_use]
    pub fn with_recorder(self, recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        Self { recorder: Some(recorder), after: None, ..self }
    }

    /// The same with another interval.
    #[must_use]
    pub fn with_interval(self, interval: Option<Duration>) -> Self {
        Self { interval, ..self }
    }
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MetricsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsOptions")
            .field("engine", &self.engine)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
