//! Metrics of a running engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use portcullis::envelope::DataKeySpec;
use portcullis::error::{EnvelopeError, Error, KeyError, Refused};
use portcullis::key::{KeyId, Mutation};
use portcullis::metrics::{MetricsOptions, TABLE};
use portcullis::status::FreezeScope;
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, Told, context, until, value};

/// Does something of everything, so that each row has something to tell.
async fn work(fixture: &Fixture) {
    let Fixture { kms, key, .. } = fixture;
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
    assert!(kms.decrypt_data_key(&made.wrapped, &context("b")).await.is_err());
    kms.rotate_key(key).await.unwrap();
    kms.freeze(FreezeScope::All).await.unwrap();
    assert!(kms.try_decrypt_data_key(&made.wrapped, &context("a")).is_err());
    kms.thaw().await.unwrap();
}

#[tokio::test]
async fn guideline_m2_every_row_of_the_table_is_told_with_its_labels_and_nothing_else() {
    let (fixture, told) = Fixture::watched().await;
    work(&fixture).await;
    fixture.kms.publish_metrics();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in told.series() {
        let row = TABLE.iter().find(|row| row.name == series.name).expect(&series.name);
        assert_eq!(series.unit, Some(row.unit), "{}", row.name);
        assert_eq!(series.help.as_deref(), Some(row.help), "{}", row.name);
        let labels = seen.entry(series.name).or_default();
        labels.extend(series.labels.into_keys());
        for label in labels.iter() {
            assert!(row.labels.contains(&label.as_str()), "{} has a label {label}", row.name);
        }
    }
    // Those of Vault have tests of their own, beside it.
    let others = TABLE.iter().filter(|row| !row.name.starts_with("portcullis_vault_"));
    for row in others {
        let labels: BTreeSet<_> = row.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(seen.get(row.name), Some(&labels), "{}", row.name);
    }
}

#[tokio::test]
async fn operations_are_counted_by_what_came_of_them() {
    let (fixture, told) = Fixture::watched().await;
    let Fixture { kms, key, .. } = &fixture;
    let (spec, a) = (DataKeySpec::AES_256, context("a"));
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(kms.generate_data_key(key, spec, &a).await.unwrap());
    }
    for _ in 0..2 {
        let refused = kms.decrypt_data_key(&keys[0].wrapped, &context("b")).await.map(drop);
        assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
    }
    let mut sealed = Vec::new();
    let plain = vec![7_u8; 100_000];
    kms.seal(key, &a, &plain[..]).await.unwrap().read_to_end(&mut sealed).await.unwrap();
    // Dropped before its end.
    drop(kms.open(&a, &sealed[..]).await.unwrap());
    let spare = KeyId::new("spare").unwrap();
    kms.create_key(&spare).await.unwrap();
    assert!(matches!(kms.create_key(&spare).await, Err(Error::Key(KeyError::AlreadyExists))));
    kms.change_key(&spare, Mutation::Disable).await.unwrap();
    let denied = kms.generate_data_key(&spare, spec, &a).await.map(drop);
    assert!(matches!(denied, Err(Error::Key(KeyError::Disabled))));
    kms.publish_metrics();
    let series = told.series();
    let operations = |operation, outcome, error| {
        let labels = [("operation", operation), ("outcome", outcome), ("error", error)];
        value(&series, "portcullis_operations_total", &labels)
    };
    assert_eq!(operations("generate-data-key", "success", ""), 3.0);
    assert_eq!(operations("generate-data-key", "denied", "key-disabled"), 1.0);
    assert_eq!(operations("decrypt-data-key", "integrity", "envelope-does-not-open"), 2.0);
    assert_eq!(operations("seal", "success", ""), 1.0);
    assert_eq!(operations("open", "invalid", "abandoned"), 1.0);
    assert_eq!(operations("create", "success", ""), 1.0);
    assert_eq!(operations("create", "invalid", "key-already-exists"), 1.0);
    assert_eq!(operations("start", "success", ""), 1.0);
    assert_eq!(value(&series, "portcullis_leases", &[]), 3.0);
    assert_eq!(value(&series, "portcullis_keys", &[("state", "enabled")]), 1.0);
    assert_eq!(value(&series, "portcullis_keys", &[("state", "disabled")]), 1.0);
    assert_eq!(value(&series, "portcullis_key_version", &[("key", key.as_str())]), 1.0);
    assert!(value(&series, "portcullis_key_uses", &[("key", key.as_str())]) >= 4.0);
    let calls = [("backend", "local"), ("call", "change"), ("outcome", "success")];
    assert_eq!(value(&series, "portcullis_backend_call_seconds", &calls), 2.0);
    assert_eq!(value(&series, "portcullis_backend_faults_total", &[("call", "change")]), 0.0);
}

#[tokio::test]
async fn the_gate_is_told_as_it_is_and_what_it_turns_away_is_counted() {
    let (fixture, told) = Fixture::watched().await;
    let Fixture { kms, key, .. } = &fixture;
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
    kms.freeze(FreezeScope::Writes).await.unwrap();
    for _ in 0..5 {
        let refused = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await;
        assert!(matches!(refused.map(drop), Err(Error::Refused(Refused::Frozen))));
    }
    kms.publish_metrics();
    let series = told.series();
    let refused = |reason| value(&series, "portcullis_refused_total", &[("reason", reason)]);
    assert_eq!(refused("frozen"), 5.0);
    assert_eq!(value(&series, "portcullis_gate_open", &[("class", "reads")]), 1.0);
    assert_eq!(value(&series, "portcullis_gate_open", &[("class", "writes")]), 0.0);
    assert_eq!(value(&series, "portcullis_phase", &[("phase", "frozen")]), 1.0);
    assert_eq!(value(&series, "portcullis_phase", &[("phase", "running")]), 0.0);
    assert!(value(&series, "portcullis_gate_entries_total", &[]) >= 6.0);
    assert_eq!(value(&series, "portcullis_generation", &[]), 1.0);
    kms.stop().await.unwrap();
    drop(made);
    kms.publish_metrics();
    let series = told.series();
    assert_eq!(value(&series, "portcullis_leases", &[]), 0.0);
    assert_eq!(value(&series, "portcullis_phase", &[("phase", "stopped")]), 1.0);
    assert_eq!(value(&series, "portcullis_keys", &[("state", "enabled")]), 0.0);
    // Told as what has come since: nothing.
    assert_eq!(value(&series, "portcullis_refused_total", &[("reason", "frozen")]), 0.0);
}

#[tokio::test]
async fn two_engines_in_one_process_never_mix() {
    let shared = Told::new();
    let named = |name| shared.options().with_engine(name).with_interval(None);
    let (first, second) =
        (Fixture::telling(named("first")).await, Fixture::telling(named("second")).await);
    let (alone, own) = Fixture::watched().await;
    let generate = async |fixture: &Fixture, times| {
        for _ in 0..times {
            let (kms, key) = (&fixture.kms, &fixture.key);
            kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
        }
        fixture.kms.publish_metrics();
    };
    generate(&first, 1).await;
    generate(&second, 2).await;
    generate(&alone, 4).await;
    let operations = |series: &[_], engine| {
        let labels = [("engine", engine), ("operation", "generate-data-key")];
        value(series, "portcullis_operations_total", &labels)
    };
    let (shared, own) = (shared.series(), own.series());
    assert_eq!((operations(&shared, "first"), operations(&shared, "second")), (1.0, 2.0));
    assert_eq!(operations(&shared, "main"), 0.0);
    assert_eq!(operations(&own, "main"), 4.0);
    assert!(own.iter().all(|series| series.labels.get("engine").is_none_or(|it| it == "main")));
}

#[tokio::test]
async fn metrics_are_told_by_themselves_and_a_last_time_when_the_engine_ends() {
    let told = Told::new();
    let options = told.options().with_interval(Some(Duration::from_millis(100)));
    let fixture = Fixture::telling(options).await;
    until(|| value(&told.series(), "portcullis_phase", &[("phase", "running")]) == 1.0);
    drop(fixture);
    let series = told.series();
    assert_eq!(value(&series, "portcullis_phase", &[("phase", "stopped")]), 1.0);
    assert_eq!(value(&series, "portcullis_gate_open", &[("class", "reads")]), 0.0);
}

#[tokio::test]
async fn an_engine_without_a_recorder_of_its_own_tells_the_global_one() {
    let told = Told::new();
    metrics::set_global_recorder(Arc::clone(&told.recorder)).unwrap();
    let options = MetricsOptions::new().with_engine("by-the-global-one").with_interval(None);
    let fixture = Fixture::telling(options).await;
    fixture.kms.publish_metrics();
    let running = [("engine", "by-the-global-one"), ("phase", "running")];
    assert_eq!(value(&told.series(), "portcullis_phase", &running), 1.0);
}

/// A recorder that blocks while its valve is shut.
#[derive(Default)]
struct Blocks {
    shut: Mutex<bool>,
    waiting: Mutex<bool>,
    changed: Condvar,
}

impl Blocks {
    fn pass(&self) {
        *self.waiting.lock().unwrap() = true;
        let shut = self.shut.lock().unwrap();
        drop(self.changed.wait_while(shut, |shut| *shut).unwrap());
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.changed.notify_all();
    }
}

impl Recorder for Blocks {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.pass();
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_recorder_that_blocks_holds_up_no_caller_and_no_actor() {
    let recorder = Arc::new(Blocks::default());
    recorder.set(true);
    let options = MetricsOptions::new().with_recorder(Arc::clone(&recorder) as _);
    let fixture = Fixture::telling(options.with_interval(Some(Duration::from_millis(100)))).await;
    until(|| *recorder.waiting.lock().unwrap());
    let Fixture { kms, key, .. } = &fixture;
    kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
    kms.rotate_key(key).await.unwrap();
    kms.stop().await.unwrap();
    kms.start().await.unwrap();
    recorder.set(false);
}
