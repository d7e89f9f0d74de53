//! Rounds: counts that the engine keeps, told to a recorder.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use ::metrics::{Key, Label, Level, Metadata, Recorder};

use super::durations::Samples;
use super::table::{Counter, Gauge, Histogram, TABLE};
use super::{Kind, Metric, MetricsOptions};
use crate::key::KeyId;
use crate::limits::{METRIC_KEYS_MAX, METRIC_SAMPLES_MAX};

/// What an engine tells, and what it has told already.
pub(crate) struct Publisher {
    options: MetricsOptions,
    told: Mutex<Told>,
}

/// A series: its metric's name and the values of its labels.
type Series = (&'static str, Vec<String>);

#[derive(Default)]
struct Told {
    totals: HashMap<Series, u64>,
    /// Of what is replaced now and then: the sum of those before, and the last count.
    #[cfg(feature = "vault")]
    restarts: HashMap<Series, (u64, u64)>,
    #[cfg(feature = "vault")]
    had_vault: bool,
    samples: HashMap<Series, Samples>,
    /// Keys that have series of their own, for as long as the engine lives.
    keys: BTreeSet<KeyId>,
}

impl Publisher {
    pub(crate) fn new(options: MetricsOptions) -> Self {
        Self { options, told: Mutex::default() }
    }

    /// How often rounds are made by themselves.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.options.interval
    }

    /// Makes one round, after the one that another thread is making.
    pub(crate) fn round(&self, tell: impl FnOnce(&mut Round<'_>)) {
        // A recorder that panicked has heard part of a round; the rest is told by the next.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = &mut *told;
        let engine = &self.options.engine;
        let mut tell = Some(tell);
        let mut with = |recorder: &dyn Recorder| {
            describe(recorder);
            if let Some(tell) = tell.take() {
                tell(&mut Round { recorder, engine, told });
            }
        };
        match &self.options.recorder {
            Some(recorder) => with(&**recorder),
            None => ::metrics::with_recorder(|recorder| with(recorder)),
        }
        if let Some(after) = &self.options.after {
            after();
        }
    }
}

/// Tells what the metrics are: in each round, because a global recorder may have come since.
fn describe(recorder: &dyn Recorder) {
    for Metric { name, kind, unit, help, .. } in TABLE {
        let (name, unit, help) = ((*name).into(), Some(*unit), (*help).into());
        match kind {
            Kind::Counter => recorder.describe_counter(name, unit, help),
            Kind::Gauge => recorder.describe_gauge(name, unit, help),
            Kind::Histogram => recorder.describe_histogram(name, unit, help),
        }
    }
}

/// One round under way.
pub(crate) struct Round<'r> {
    recorder: &'r dyn Recorder,
    engine: &'r str,
    told: &'r mut Told,
}

impl Round<'_> {
    /// Tells a number that has grown to `total`.
    pub(crate) fn counter<const N: usize>(
        &mut self,
        Counter(metric): &Counter<N>,
        values: [&str; N],
        total: u64,
    ) {
        let before = self.told.totals.entry(series(metric, &values)).or_default();
        // Counts that are read while they grow may be seen out of order.
        let more = total.saturating_sub(*before);
        *before = total.max(*before);
        // Also where nothing came: a series that is there from the start shows its first event.
        self.recorder.register_counter(&self.key(metric, &values), &METADATA).increment(more);
    }

    /// Tells a number that grows, of something that may be replaced by another that begins at 0.
    #[cfg(feature = "vault")]
    pub(crate) fn restarting<const N: usize>(
        &mut self,
        row: &Counter<N>,
        values: [&str; N],
        count: u64,
    ) {
        let before = self.told.restarts.entry(series(&row.0, &values)).or_default();
        let (earlier, last) = *before;
        let earlier = if count < last { earlier + last } else { earlier };
        *before = (earlier, count);
        self.counter(row, values, earlier + count);
    }

    /// Whether there was ever a connection to Vault: what was told of it must not stay.
    #[cfg(feature = "vault")]
    pub(crate) fn remembers_vault(&mut self, there_is: bool) -> bool {
        self.told.had_vault |= there_is;
        self.told.had_vault
    }

    /// Tells a number as it is now.
    pub(crate) fn gauge<const N: usize>(
        &mut self,
        Gauge(metric): &Gauge<N>,
        values: [&str; N],
        value: f64,
    ) {
        self.recorder.register_gauge(&self.key(metric, &values), &METADATA).set(value);
    }

    /// Tells a whole number as it is now; beyond 2^53 the nearest that a recorder can show.
    pub(crate) fn count<const N: usize>(&mut self, row: &Gauge<N>, values: [&str; N], value: u64) {
        self.gauge(row, values, value as f64);
    }

    /// Tells whether something holds now.
    pub(crate) fn flag<const N: usize>(&mut self, row: &Gauge<N>, values: [&str; N], holds: bool) {
        self.gauge(row, values, if holds { 1.0 } else { 0.0 });
    }

    /// Tells durations, of which there are `samples` by now. Recorders keep each one for a while:
    /// of more than [`METRIC_SAMPLES_MAX`] in a round they get a part in proportion.
    pub(crate) fn durations<const N: usize>(
        &mut self,
        Histogram(metric): &Histogram<N>,
        values: [&str; N],
        samples: Samples,
    ) {
        let before = self.told.samples.entry(series(metric, &values)).or_default();
        let before = core::mem::replace(before, samples);
        let more = samples.total().saturating_sub(before.total());
        if more == 0 {
            return;
        }
        let histogram = self.recorder.register_histogram(&self.key(metric, &values), &METADATA);
        for (value, count) in samples.since(before) {
            let part = part_of(count, more);
            if part > 0 {
                histogram.record_many(value, usize::try_from(part).unwrap_or(usize::MAX));
            }
        }
    }

    /// Whether the key `id` has series of its own: those that came first do.
    pub(crate) fn names(&mut self, id: &KeyId) -> bool {
        let keys = &mut self.told.keys;
        keys.contains(id) || keys.len() < METRIC_KEYS_MAX && keys.insert(id.clone())
    }

    fn key(&self, metric: &Metric, values: &[&str]) -> Key {
        let is_engines = metric.labels.len() > values.len();
        let engine = is_engines.then_some(self.engine).into_iter();
        let values = engine.chain(values.iter().copied());
        let labels = metric.labels.iter().zip(values);
        // An empty label is no label, to Prometheus; other recorders are spared it.
        let labels = labels.filter(|(_, value)| !value.is_empty());
        let labels: Vec<_> =
            labels.map(|(name, value)| Label::new(*name, value.to_owned())).collect();
        Key::from_parts(metric.name, labels)
    }
}

/// How many of `count` samples are told where there are `all` in the round. What there is of is
/// never told as nothing.
fn part_of(count: u64, all: u64) -> u64 {
    if all <= METRIC_SAMPLES_MAX {
        return count;
    }
    let part = u128::from(count) * u128::from(METRIC_SAMPLES_MAX) / u128::from(all);
    u64::try_from(part).unwrap_or(count).max(u64::from(count > 0))
}

fn series(metric: &Metric, values: &[&str]) -> Series {
    (metric.name, values.iter().map(|value| (*value).to_owned()).collect())
}

static METADATA: Metadata<'static> = Metadata::new("portcullis", Level::INFO, Some(module_path!()));
