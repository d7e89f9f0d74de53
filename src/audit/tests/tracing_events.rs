//! What the events under `rustfs::kms` say, and what they must never say.

use std::collections::BTreeMap;
use std::fmt::Write;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::context::EncryptionContext;
use crate::error::{ConfigErrors, ConfigProblem, Error, KeyError, ObjectError};
use crate::key::{KeyId, KeyVersion};

/// One event: level, target, fields by name.
type Seen = (Level, String, BTreeMap<&'static str, String>);

/// Keeps every event.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let seen = (*metadata.level(), metadata.target().to_owned(), fields.0);
        self.0.lock().unwrap().push(seen);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.0.insert(field.name(), text);
    }
}

/// Writes what `fill` accepts through a [`TracingSink`]; the events.
fn events(fill: impl FnOnce(&AuditBuffers)) -> Vec<Seen> {
    let (buffers, blocks) = AuditBuffers::new(1);
    let clock = Arc::new(ManualClock::new(WallTime::from_millis(1_000)));
    let writer = Writer::new(blocks, &buffers, Box::new(TracingSink::new()), clock, 41);
    fill(&buffers);
    assert_eq!(buffers.close(), 0);
    let recorder = Recorder::default();
    let report = tracing::subscriber::with_default(recorder.clone(), || writer.run());
    assert_eq!(report.unwritten, 0);
    recorder.0.lock().unwrap().clone()
}

#[test]
fn guideline_m1_events_under_rustfs_kms_have_the_documented_fields() {
    let caller = Caller::new("alice", "req-7", "10.0.0.1:443").unwrap();
    let key = KeyId::new("tenant/a").unwrap();
    let done = RecordRef {
        key: Some(&key),
        key_version: KeyVersion::new(3),
        resource: Some(Resource::new("photos", Some("cat.jpg")).unwrap()),
        latency: core::time::Duration::from_micros(12),
        generation: 2,
        ..RecordRef::event(&caller, Operation::GenerateDataKey, WallTime::from_millis(5))
    };
    let denied = RecordRef {
        stage: Stage::Outcome,
        outcome: Outcome::Failed(ErrorClass::KeyDisabled),
        ..RecordRef::event(&caller, Operation::Rotate, WallTime::from_millis(6))
    };
    let intent = RecordRef { stage: Stage::Intent, outcome: Outcome::Pending, ..denied };
    let seen = events(|buffers| {
        for record in [done, intent, denied] {
            let _ = buffers.accept(0, &record, NOW).unwrap();
        }
    });
    let levels: Vec<_> = seen.iter().map(|(level, ..)| *level).collect();
    assert_eq!(levels, [Level::INFO, Level::INFO, Level::WARN]);
    assert!(seen.iter().all(|(_, target, _)| target == "rustfs::kms"));
    let expected = [
        ("bucket", "photos"),
        ("count", "1"),
        ("generation", "2"),
        ("key", "tenant/a"),
        ("key_version", "3"),
        ("late", "false"),
        ("latency_us", "12"),
        ("message", "audit"),
        ("object", "cat.jpg"),
        ("operation", "generate-data-key"),
        ("outcome", "success"),
        ("principal", "alice"),
        ("request_id", "req-7"),
        ("sequence", "41"),
        ("source", "10.0.0.1:443"),
        ("stage", "event"),
        ("time", "1970-01-01T00:00:00.005Z"),
    ];
    let expected = expected.map(|(name, value)| (name, value.to_owned()));
    assert_eq!(seen[0].2, BTreeMap::from(expected));
    let refusal = &seen[2].2;
    assert_eq!(refusal["error"], "key-disabled");
    assert_eq!(refusal["outcome"], "failure");
    assert_eq!(refusal["principal"], "alice");
    for absent in ["key", "key_version", "bucket", "object"] {
        assert!(!refusal.contains_key(absent), "{absent}");
    }
    assert_eq!((&*seen[1].2["stage"], &*seen[1].2["outcome"]), ("intent", "pending"));
}

#[test]
fn guideline_c2_no_text_of_an_error_and_no_context_reaches_an_event() {
    const PLANTED: &str = "planted-5d1f";
    let context = EncryptionContext::new().with("patient", PLANTED).unwrap();
    let duplicate = context.with("patient", PLANTED).map(drop).map_err(Error::from);
    let problem =
        ConfigProblem { line: Some(3), field: PLANTED.to_owned(), problem: PLANTED.to_owned() };
    let results = [
        duplicate,
        Err(Error::Config(ConfigErrors { file: None, problems: vec![problem] })),
        Err(Error::Object(ObjectError::Io(std::io::Error::other(PLANTED)))),
        Err(Error::Key(KeyError::Invalid { field: PLANTED, problem: PLANTED })),
        Err(Error::ApiMisuse(PLANTED)),
        Err(Error::Unreachable(PLANTED)),
    ];
    let caller = Caller::host();
    let seen = events(|buffers| {
        for result in &results {
            let record = RecordRef {
                outcome: Outcome::from(result),
                ..RecordRef::event(&caller, Operation::Encrypt, WallTime::default())
            };
            let _ = buffers.accept(0, &record, NOW).unwrap();
        }
    });
    let classes: Vec<_> = seen.iter().map(|(_, _, fields)| fields["error"].as_str()).collect();
    let expected = [
        "invalid-request",
        "invalid-configuration",
        "stream-failed",
        "invalid-request",
        "invalid-request",
        "internal",
    ];
    assert_eq!(classes, expected);
    for (_, _, fields) in &seen {
        for (name, value) in fields {
            assert!(!value.contains(PLANTED), "{name} = {value}");
        }
    }
}
