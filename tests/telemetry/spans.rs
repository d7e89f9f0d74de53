//! One request, followed from its caller through the actors.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::{Debug, Write};
use std::sync::{Mutex, OnceLock};
use std::thread::ThreadId;

use portcullis::audit::Caller;
use portcullis::envelope::DataKeySpec;
use portcullis::key::KeyId;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::harness::{Fixture, context, until};

/// One span, by its place in the log.
#[derive(Clone, Debug)]
pub struct Span {
    parent: Option<usize>,
    name: &'static str,
    target: &'static str,
    pub fields: BTreeMap<&'static str, String>,
    entered_on: HashSet<ThreadId>,
    closed: bool,
}

/// Everything that the process's subscriber was told: the engine's threads see no other.
#[derive(Default)]
pub struct Log {
    spans: Mutex<Vec<Span>>,
    /// Events but for audit records, field by field.
    events: Mutex<Vec<String>>,
}

pub fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let mut is_new = false;
    let log = LOG.get_or_init(|| {
        is_new = true;
        Log::default()
    });
    if is_new {
        let subscriber = tracing_subscriber::registry().with(Logging(log));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    }
    log
}

impl Log {
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    /// Paths from the root to each span of the request, and the spans.
    fn of_request(&self, request_id: &str) -> Vec<(String, Span)> {
        let spans = self.spans();
        let mut found = Vec::new();
        for span in &spans {
            let line: Vec<_> =
                std::iter::successors(Some(span), |span| Some(&spans[span.parent?])).collect();
            let is_of =
                |span: &&Span| span.fields.get("request_id").is_some_and(|it| it == request_id);
            if line.iter().any(is_of) {
                let labels: Vec<_> = line.iter().rev().map(|span| span.label()).collect();
                found.push((labels.join(" > "), span.clone()));
            }
        }
        found
    }
}

impl Span {
    fn label(&self) -> &str {
        self.fields.get("otel.name").map_or(self.name, String::as_str)
    }
}

struct Logging(&'static Log);

/// A span's place in the log.
struct Place(usize);

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.0.insert(field.name(), text);
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Logging {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let parent = span.parent().and_then(|span| Some(span.extensions().get::<Place>()?.0));
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let metadata = attributes.metadata();
        let mut spans = self.0.spans.lock().unwrap();
        span.extensions_mut().insert(Place(spans.len()));
        spans.push(Span {
            parent,
            name: metadata.name(),
            target: metadata.target(),
            fields: fields.0,
            entered_on: HashSet::new(),
            closed: false,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.change(id, &context, |span| {
            let mut fields = Fields::default();
            values.record(&mut fields);
            span.fields.append(&mut fields.0);
        });
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "rustfs::kms" {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.events.lock().unwrap().extend(fields.0.into_values());
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let thread = std::thread::current().id();
        self.change(id, &context, |span| {
            span.entered_on.insert(thread);
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.change(&id, &context, |span| span.closed = true);
    }
}

impl Logging {
    fn change<S>(&self, id: &Id, context: &Context<'_, S>, change: impl FnOnce(&mut Span))
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let place = context.span(id).and_then(|span| Some(span.extensions().get::<Place>()?.0));
        if let Some(place) = place {
            change(&mut self.0.spans.lock().unwrap()[place]);
        }
    }
}

/// The paths of a request's spans, all of which have ended.
fn paths(request_id: &str) -> BTreeSet<String> {
    // Whoever answers last gives its span back after the answer.
    until(|| log().of_request(request_id).iter().all(|(_, span)| span.closed));
    log().of_request(request_id).into_iter().map(|(path, _)| path).collect()
}

#[track_caller]
fn assert_has(paths: &BTreeSet<String>, expected: &[&str]) {
    for path in expected {
        assert!(paths.contains(*path), "no {path} in {paths:#?}");
    }
}

fn caller(request_id: &str) -> Caller {
    Caller::new("alice", request_id, "").unwrap()
}

#[tokio::test]
async fn a_start_is_followed_from_its_caller_through_lifecycle_and_backend() {
    log();
    let (fixture, _told) = Fixture::watched().await;
    let kms = fixture.kms.on_behalf_of(caller("start-1"));
    fixture.kms.stop().await.unwrap();
    async { kms.start().await.unwrap() }.instrument(info_span!("host")).await;
    let found = paths("start-1");
    let opening = "host > start > Start > OpenCandidate > open";
    assert_has(&found, &["host > start > Start > Adopt", "host > start > AcceptClock", opening]);
    let here = std::thread::current().id();
    for (path, span) in log().of_request("start-1") {
        if ["Start", "OpenCandidate"].contains(&span.label()) {
            assert!(!span.entered_on.is_empty() && !span.entered_on.contains(&here), "{path}");
            assert!(span.fields.contains_key("waited_us"), "{path}");
        }
    }
    let threads = |name: &str| {
        let spans = log().of_request("start-1").into_iter().map(|(_, span)| span);
        let named = spans.filter(|span| span.label() == name);
        named.flat_map(|span| span.entered_on).collect::<HashSet<_>>()
    };
    assert!(threads("Start").is_disjoint(&threads("OpenCandidate")));
}

#[tokio::test]
async fn a_change_of_a_key_and_a_stop_are_followed_too() {
    log();
    let (fixture, _told) = Fixture::watched().await;
    let kms = fixture.kms.on_behalf_of(caller("change-1"));
    kms.rotate_key(&fixture.key).await.unwrap();
    assert_has(&paths("change-1"), &["rotate", "rotate > Mutate", "rotate > Mutate > change"]);
    let kms = fixture.kms.on_behalf_of(caller("describe-1"));
    kms.describe_key(&fixture.key).await.unwrap();
    assert_has(&paths("describe-1"), &["describe > Describe"]);
    fixture.kms.on_behalf_of(caller("stop-1")).stop().await.unwrap();
    assert_has(&paths("stop-1"), &["stop > Stop", "stop > Stop > Close"]);
}

#[tokio::test]
async fn a_hit_has_no_span_and_what_it_waits_for_has() {
    log();
    let (fixture, _told) = Fixture::watched().await;
    let kms = fixture.kms.on_behalf_of(caller("hit-1"));
    let generate = || kms.generate_data_key(&fixture.key, DataKeySpec::AES_256, &CONTEXT);
    generate().await.unwrap();
    let first = paths("hit-1");
    assert_has(&first, &["use-counts > ReserveUses > reserve-uses"]);
    let before = log().of_request("hit-1").len();
    for _ in 0..100 {
        generate().await.unwrap();
    }
    assert_eq!(log().of_request("hit-1").len(), before);
}

static CONTEXT: std::sync::LazyLock<portcullis::context::EncryptionContext> =
    std::sync::LazyLock::new(|| context("a"));

#[tokio::test]
async fn what_the_engine_does_by_itself_has_no_span() {
    log();
    let (fixture, _told) = Fixture::watched().await;
    fixture.kms.create_key(&KeyId::new("other").unwrap()).await.unwrap();
    // Audit records are collected every 20 ms, and nobody asked for that.
    drop(fixture);
    let spans = log().spans();
    let ours = spans.iter().filter(|span| span.target == "portcullis");
    for span in ours {
        let line = std::iter::successors(Some(span), |span| Some(&spans[span.parent?]));
        assert!(line.into_iter().any(|span| ["call", "wait"].contains(&span.name)), "{span:?}");
    }
}
