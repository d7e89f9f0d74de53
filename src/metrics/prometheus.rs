//! Metrics as Prometheus reads them (feature `prometheus`): text, without a server of its own.
//!
//! A host serves [`Exporter::render`] wherever it serves its own metrics:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), portcullis::Error> {
//! use portcullis::Engine;
//! use portcullis::engine::EngineOptions;
//! use portcullis::metrics::prometheus::{CONTENT_TYPE, Exporter};
//!
//! let exporter = Exporter::new();
//! let options = EngineOptions::new().with_metrics(exporter.options());
//! let engine = Engine::launch(options).await?;
//! let kms = engine.kms();
//!
//! // In the handler of `GET /metrics`, with this Content-Type:
//! assert!(CONTENT_TYPE.starts_with("text/plain"));
//! let body = exporter.render([&kms]);
//! assert!(body.contains("portcullis_phase{engine=\"main\",phase=\"not-configured\"} 1"));
//! # Ok(())
//! # }
//! ```
//!
//! A host that has a recorder of the facade already needs none of this: the engine tells the global
//! one by itself. It should show histograms by [`BUCKETS`](super::BUCKETS).

use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{BUCKETS, Kind, MetricsOptions, Recorder, TABLE};
use crate::Kms;

/// The `Content-Type` of what [`Exporter::render`] gives: the text format, version 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A recorder whose metrics are read as text. Clones are the same one.
#[derive(Clone)]
pub struct Exporter {
    recorder: Arc<dyn Recorder + Send + Sync>,
    handle: PrometheusHandle,
}

impl Exporter {
    /// An exporter that shows histograms by [`BUCKETS`].
    #[must_use]
    pub fn new() -> Self {
        let histograms = TABLE.iter().filter(|metric| metric.kind == Kind::Histogram);
        let builder = histograms.fold(PrometheusBuilder::new(), |builder, metric| {
            builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), &BUCKETS)
                .expect("there are buckets")
        });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder: Arc::new(recorder), handle }
    }

    /// Options for an engine that tells this exporter. Single samples are kept no longer than to the
    /// engine's next round, whether or not somebody scrapes.
    #[must_use]
    pub fn options(&self) -> MetricsOptions {
        let handle = self.handle.clone();
        let options = MetricsOptions::new().with_recorder(self.recorder());
        MetricsOptions { after: Some(Arc::new(move || handle.run_upkeep())), ..options }
    }

    /// The recorder itself, which other metrics of the host may go to as well.
    #[must_use]
    pub fn recorder(&self) -> Arc<dyn Recorder + Send + Sync> {
        Arc::clone(&self.recorder)
    }

    /// All metrics that the recorder was told of, those of `engines` as they are now.
    pub fn render<'k>(&self, engines: impl IntoIterator<Item = &'k Kms>) -> String {
        for kms in engines {
            kms.publish_metrics();
        }
        self.handle.render()
    }
}

impl Default for Exporter {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}
