//! What an engine is made with.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::audit::{AuditSink, TracingSink};
use crate::clock::{Clock, SystemClock};
use crate::limits::REAP_INTERVAL;
use crate::metrics::MetricsOptions;

/// What an engine is made with, beside its configuration.
#[non_exhaustive]
pub struct EngineOptions {
    /// Where it reads time from.
    pub clock: Arc<dyn Clock>,
    /// Where audit records go.
    pub audit_sink: Box<dyn AuditSink>,
    /// How often it looks for deletions and rotations that are due.
    pub reap_interval: Duration,
    /// Where its metrics go.
    pub metrics: MetricsOptions,
}

impl EngineOptions {
    /// The system's clocks, records as `tracing` events, a look at what is due each minute, and
    /// metrics to the process's global recorder, if it has one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            audit_sink: Box::new(TracingSink::new()),
            reap_interval: REAP_INTERVAL,
            metrics: MetricsOptions::new(),
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same with another sink.
    #[must_use]
    pub fn with_audit_sink(self, sink: impl AuditSink + 'static) -> Self {
        Self { audit_sink: Box::new(sink), ..self }
    }

    /// The same with another interval.
    #[must_use]
    pub fn with_reap_interval(self, reap_interval: Duration) -> Self {
        Self { reap_interval, ..self }
    }

    /// The same with metrics that go elsewhere.
    #[must_use]
    pub fn with_metrics(self, metrics: MetricsOptions) -> Self {
        Self { metrics, ..self }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions").finish_non_exhaustive()
    }
}
