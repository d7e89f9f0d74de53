//! The table, its page in the manual, and rounds.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::table::{BACKEND_CALLS, GATE_ENTRIES, KEY_MEMORY, QUEUE_WAIT};
use super::*;
use crate::key::KeyId;
use crate::limits::{METRIC_KEYS_MAX, METRIC_SAMPLES_MAX};

fn row(metric: &Metric) -> String {
    let unit = match metric.unit {
        Unit::Count => "",
        unit => unit.as_str(),
    };
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    let Metric { name, help, .. } = metric;
    format!("//! | `{name}` | {} | {unit} | {} | {help} |", metric.kind.name(), labels.join(", "))
}

#[test]
fn the_manual_has_every_row_of_the_table_word_for_word_and_no_other() {
    let page = include_str!("../manual/metrics.rs");
    let there: Vec<_> =
        page.lines().filter(|line| line.starts_with("//! | `portcullis_")).collect();
    let expected: Vec<_> = TABLE.iter().map(row).collect();
    assert_eq!(there, expected, "\n{}", expected.join("\n"));
    for label in TABLE.iter().flat_map(|metric| metric.labels) {
        assert!(page.contains(&format!("`{label}`")), "the manual does not explain `{label}`");
    }
}

#[test]
fn names_follow_prometheus_and_are_unique() {
    let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), TABLE.len());
    for Metric { name, kind, unit, labels, help } in TABLE {
        assert!(name.starts_with("portcullis_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        let base = name.trim_end_matches("_total");
        assert_eq!(base.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
        assert_eq!(base.ends_with("_bytes"), *unit == Unit::Bytes, "{name}");
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "{name}");
        assert!(help.ends_with('.'), "{name}");
    }
}

fn publisher(engine: &str) -> (Publisher, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let told = recorder.snapshotter();
    let options = MetricsOptions::new().with_engine(engine).with_recorder(Arc::new(recorder));
    (Publisher::new(options), told)
}

/// Name, labels and value.
type Series = (String, Vec<(String, String)>, DebugValue);

/// What was told since the last time.
fn told(snapshotter: &Snapshotter) -> Vec<Series> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    let flat = all.map(|(key, _, _, value)| {
        let key = key.key();
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        (key.name().to_owned(), labels.collect(), value)
    });
    flat.collect()
}

#[test]
fn counters_are_told_as_what_has_come_and_never_go_back() {
    let (publisher, snapshotter) = publisher("a");
    for (total, more) in [(0, 0), (5, 5), (5, 0), (4, 0), (9, 4)] {
        publisher.round(|round| round.counter(&GATE_ENTRIES, [], total));
        let labels = vec![("engine".to_owned(), "a".to_owned())];
        let expected = (GATE_ENTRIES.0.name.to_owned(), labels, DebugValue::Counter(more));
        assert_eq!(told(&snapshotter), [expected], "{total}");
    }
}

#[test]
fn what_is_the_processs_has_no_engine_and_an_empty_label_is_none() {
    let (publisher, snapshotter) = publisher("a");
    publisher.round(|round| {
        round.count(&KEY_MEMORY, [], 7);
        round.counter(&table::OPERATIONS, ["open", "success", ""], 1);
    });
    let told = told(&snapshotter);
    assert_eq!(told[0].1, []);
    let names: Vec<_> = told[1].1.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["engine", "operation", "outcome"]);
}

#[test]
fn many_samples_are_told_in_proportion_and_rare_ones_not_left_out() {
    let (publisher, snapshotter) = publisher("a");
    let mut samples = Samples::default();
    samples.0[0] = 30 * METRIC_SAMPLES_MAX;
    samples.0[3] = 10 * METRIC_SAMPLES_MAX;
    samples.0[13] = 1;
    publisher.round(|round| round.durations(&QUEUE_WAIT, ["backend"], samples));
    let [(_, _, DebugValue::Histogram(values))] = &told(&snapshotter)[..] else {
        panic!("one histogram was told");
    };
    let count = |from: f64, to: f64| {
        values.iter().filter(|value| (from..to).contains(&value.0)).count() as u64
    };
    let short = count(0.0, BUCKETS[0]);
    assert!(short.abs_diff(METRIC_SAMPLES_MAX * 3 / 4) <= 1, "{short}");
    assert!(count(BUCKETS[2], BUCKETS[3]).abs_diff(METRIC_SAMPLES_MAX / 4) <= 1);
    assert_eq!(count(BUCKETS[12], f64::INFINITY), 1);
    // Few are told one by one, and only the new ones.
    samples.0[1] += 3;
    publisher.round(|round| round.durations(&QUEUE_WAIT, ["backend"], samples));
    let [(_, _, DebugValue::Histogram(values))] = &told(&snapshotter)[..] else {
        panic!("one histogram was told");
    };
    assert_eq!(values.len(), 3);
}

#[test]
fn only_so_many_keys_have_series_of_their_own_and_always_the_same() {
    let (publisher, _told) = publisher("a");
    let key = |n: usize| KeyId::new(&format!("key-{n}")).unwrap();
    publisher.round(|round| {
        let named = (0..METRIC_KEYS_MAX + 50).filter(|n| round.names(&key(*n))).count();
        assert_eq!(named, METRIC_KEYS_MAX);
    });
    publisher.round(|round| {
        assert!(!round.names(&key(METRIC_KEYS_MAX)));
        assert!(round.names(&key(METRIC_KEYS_MAX - 1)));
    });
}

/// Panics while it is told to.
struct Panics(DebuggingRecorder, AtomicBool);

macro_rules! forward {
    ($($describe:ident $register:ident $handle:ident),*) => {
        impl Recorder for Panics {
            $(
                fn $describe(
                    &self,
                    name: ::metrics::KeyName,
                    unit: Option<Unit>,
                    help: ::metrics::SharedString,
                ) {
                    self.0.$describe(name, unit, help);
                }

                fn $register(
                    &self,
                    key: &::metrics::Key,
                    metadata: &::metrics::Metadata<'_>,
                ) -> ::metrics::$handle {
                    assert!(!self.1.load(Ordering::SeqCst), "on purpose");
                    self.0.$register(key, metadata)
                }
            )*
        }
    };
}

forward!(
    describe_counter register_counter Counter,
    describe_gauge register_gauge Gauge,
    describe_histogram register_histogram Histogram
);

#[test]
fn a_recorder_that_panicked_is_told_again() {
    let debugging = DebuggingRecorder::new();
    let snapshotter = debugging.snapshotter();
    let recorder = Arc::new(Panics(debugging, AtomicBool::new(true)));
    let options = MetricsOptions::new().with_recorder(Arc::clone(&recorder) as _);
    let publisher = Publisher::new(options);
    let round = || publisher.round(|round| round.flag(&table::CLOCK_JUMP, [], true));
    assert!(catch_unwind(AssertUnwindSafe(round)).is_err());
    recorder.1.store(false, Ordering::SeqCst);
    round();
    assert_eq!(told(&snapshotter).len(), 1);
}

#[test]
fn a_row_knows_how_many_labels_it_has() {
    fn labels<const N: usize>(row: &table::Histogram<N>) -> (usize, usize) {
        (N, row.0.labels.len())
    }
    assert_eq!(labels(&BACKEND_CALLS), (3, 4));
    assert_eq!(labels(&QUEUE_WAIT), (1, 2));
}
