//! Engines on keystores of their own, and recorders that tests look into.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::engine::EngineOptions;
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::metrics::MetricsOptions;
use portcullis::{Engine, Kms};
use tempfile::TempDir;

/// A running engine, and the directory that it lives in.
pub struct Fixture {
    _engine: Engine,
    pub kms: Kms,
    pub key: KeyId,
    pub config: Config,
    pub directory: TempDir,
}

impl Fixture {
    /// A running engine whose metrics go there.
    pub async fn telling(metrics: MetricsOptions) -> Self {
        let (config, directory) = keystore();
        let engine = Engine::launch(EngineOptions::new().with_metrics(metrics)).await.unwrap();
        let kms = engine.kms();
        kms.configure(config.clone()).await.unwrap();
        kms.start().await.unwrap();
        Self { _engine: engine, kms, key: KeyId::new(DEFAULT_KEY).unwrap(), config, directory }
    }

    /// A running engine that tells a recorder of its own when it is asked to.
    pub async fn watched() -> (Self, Told) {
        let told = Told::new();
        (Self::telling(told.options().with_interval(None)).await, told)
    }
}

fn keystore() -> (Config, TempDir) {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root.key");
    create_root_key_file(&root).unwrap();
    let anchor = Anchor::File(directory.path().join("mark"));
    let local = LocalConfig::new(directory.path().join("keys"), RootKey::File(root), anchor);
    let mut options = InitOptions::new(SystemClock::default().wall());
    options.default_key = Some(KeyId::new(DEFAULT_KEY).unwrap());
    init(&local, options).unwrap();
    (Config::new(local), directory)
}

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// One series as it was told since the last look.
#[derive(Debug)]
pub struct Series {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    pub unit: Option<metrics::Unit>,
    pub help: Option<String>,
}

/// A recorder, and what it was told.
pub struct Told {
    pub recorder: Arc<DebuggingRecorder>,
    snapshotter: Snapshotter,
}

impl Told {
    pub fn new() -> Self {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        Self { recorder: Arc::new(recorder), snapshotter }
    }

    pub fn options(&self) -> MetricsOptions {
        MetricsOptions::new().with_recorder(Arc::clone(&self.recorder) as _)
    }

    /// All series; of a histogram, how many samples it has. Counters begin anew.
    pub fn series(&self) -> Vec<Series> {
        let all = self.snapshotter.snapshot().into_vec().into_iter();
        let series = all.map(|(key, unit, help, value)| {
            let labels = key.key().labels();
            Series {
                name: key.key().name().to_owned(),
                labels: labels.map(|l| (l.key().to_owned(), l.value().to_owned())).collect(),
                value: match value {
                    DebugValue::Counter(count) => count as f64,
                    DebugValue::Gauge(value) => value.0,
                    DebugValue::Histogram(samples) => samples.len() as f64,
                },
                unit,
                help: help.map(|help| help.to_string()),
            }
        });
        series.collect()
    }
}

/// The value of the one series of `name` that has these labels among its own; 0 if there is none.
#[track_caller]
pub fn value(series: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |series: &&Series| {
        let has = |(name, value): &(&str, &str)| {
            series.labels.get(*name).map_or("", String::as_str) == *value
        };
        series.name == name && labels.iter().all(has)
    };
    let found: Vec<_> = series.iter().filter(fits).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map_or(0.0, |series| series.value)
}

pub fn context(value: &str) -> EncryptionContext {
    EncryptionContext::new().with("tenant", value).unwrap()
}

/// Waits until `holds`, which another thread brings about.
#[track_caller]
pub fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never came about: {}", Location::caller());
        std::thread::yield_now();
    }
}

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
