//! Guarantee 4: audit first, and what a sink that fails or blocks may and may not hold up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use portcullis::audit::{AuditRecord, Caller, Operation, Outcome, Release, Stage};
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, LifecycleError, Refused};
use portcullis::key::{KeyId, Mutation};
use portcullis::limits::AUDIT_DEADLINE;
use portcullis::status::FreezeScope;
use portcullis::{Kms, TryError};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::harness::{Fixture, Mode, Sink, context, poll_once, until};

fn is_unavailable<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Refused(Refused::AuditUnavailable)))
}

/// What gives is refused, what takes away acts; then the sink returns.
async fn a_sink_that(mode: Mode) {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, sink, .. } = &fixture;
    let spare = KeyId::new("spare").unwrap();
    kms.create_key(&spare).await.unwrap();
    let spec = DataKeySpec::AES_256;
    kms.generate_data_key(key, spec, &context("a")).await.unwrap();
    sink.set(mode);

    let at = Instant::now();
    let made = kms.create_key(&KeyId::new("new").unwrap()).await;
    assert!(is_unavailable(&made), "{made:?}");
    assert!(at.elapsed() < AUDIT_DEADLINE + Duration::from_secs(1), "{:?}", at.elapsed());
    until(|| {
        matches!(
            kms.try_generate_data_key(key, spec, &context("a")),
            Err(TryError::Failed(Error::Refused(Refused::AuditUnavailable)))
        )
    });
    assert!(!kms.status().audit_healthy);
    // From here on at once: nobody waits for a sink that is known to be down.
    let at = Instant::now();
    assert!(is_unavailable(&kms.generate_data_key(key, spec, &context("a")).await));
    assert!(is_unavailable(&kms.change_key(&spare, Mutation::Enable).await));
    assert!(is_unavailable(&kms.rotate_key(key).await));
    let disabled = kms.change_key(&spare, Mutation::Disable).await.unwrap();
    assert!(disabled.changed && !disabled.audited);
    let scheduled = kms.change_key(&spare, Mutation::ScheduleDeletion { days: 7 }).await.unwrap();
    assert!(scheduled.changed && !scheduled.audited);
    let frozen = kms.freeze(FreezeScope::Writes).await.unwrap();
    assert_eq!((frozen.scope, frozen.audited), (FreezeScope::Writes, false));
    assert!(is_unavailable(&kms.thaw().await));
    let report = kms.stop().await.unwrap();
    assert!(!report.audited);
    assert!(is_unavailable(&kms.start().await));
    assert!(at.elapsed() < AUDIT_DEADLINE, "{:?}", at.elapsed());

    let before = sink.records().len();
    sink.set(Mode::Takes);
    sink.wait_for(Operation::Stop);
    let records = sink.records();
    let late: Vec<_> = records[before..].iter().filter(|record| record.late).collect();
    let operations: Vec<_> = late.iter().map(|record| record.operation).collect();
    let braked =
        [Operation::Disable, Operation::ScheduleDeletion, Operation::Freeze, Operation::Stop];
    assert_eq!(operations, braked);
    // Without a restart of anything.
    until(|| kms.status().audit_healthy);
    kms.start().await.unwrap();
    kms.change_key(&spare, Mutation::CancelDeletion).await.unwrap();
    assert!(kms.generate_data_key(key, spec, &context("a")).await.is_ok());
    assert!(kms.freeze(FreezeScope::All).await.unwrap().audited);
    let report = kms.stop().await.unwrap();
    assert!(report.audited);
    assert_numbered(&sink.records());
}

#[tokio::test]
async fn a_sink_that_fails_refuses_what_gives_holds_up_no_brake_and_is_told_late() {
    a_sink_that(Mode::Fails).await;
}

#[tokio::test]
async fn a_sink_that_blocks_refuses_what_gives_holds_up_no_brake_and_is_told_late() {
    a_sink_that(Mode::Blocks).await;
}

/// Joining a writer whose sink blocks hung the host for ever.
#[tokio::test]
async fn an_engine_whose_sink_blocks_can_be_dropped() {
    let fixture = Fixture::running().await;
    let (sink, kms) = (fixture.sink.clone(), fixture.kms.clone());
    sink.set(Mode::Blocks);
    let made = kms.try_generate_data_key(&fixture.key, DataKeySpec::AES_256, &context("a"));
    drop(made);
    let dropped = tokio::task::spawn_blocking(move || drop(fixture));
    timeout(4 * AUDIT_DEADLINE, dropped).await.expect("it must not hang").unwrap();
    sink.set(Mode::Takes);
}

#[tokio::test]
async fn where_release_is_durable_nothing_is_given_before_its_record_is_written() {
    let durable = |config: &mut portcullis::config::Config| {
        config.audit.release = Release::Durable;
    };
    let fixture = Fixture::with(durable).await;
    let Fixture { kms, key, sink, .. } = &fixture;
    let spec = DataKeySpec::AES_256;
    let sealed = kms.encrypt(key, b"payload", &context("a")).await.unwrap();
    assert!(matches!(
        kms.try_decrypt(&sealed, &context("a")),
        Err(TryError::NeedsHop(portcullis::NeedsHop::DurableRecord))
    ));
    sink.set(Mode::Blocks);
    let before = sink.records().len();
    let (a, b) = (context("a"), context("b"));
    let mut decrypt = Box::pin(kms.decrypt(&sealed, &a));
    let mut generate = Box::pin(kms.generate_data_key(key, spec, &b));
    assert!(poll_once(decrypt.as_mut()).is_pending());
    assert!(poll_once(generate.as_mut()).is_pending());
    assert_eq!(sink.records().len(), before);
    sink.set(Mode::Takes);
    assert_eq!(decrypt.await.unwrap(), b"payload");
    generate.await.unwrap();
    let written = sink.records();
    let operations: BTreeSet<_> =
        written[before..].iter().map(|record| record.operation.name()).collect();
    assert!(operations.contains("decrypt") && operations.contains("generate-data-key"));
}

/// A payload that was opened and waited for its record was returned after a stop had answered.
#[tokio::test]
async fn a_payload_that_waits_for_its_record_is_not_released_after_a_stop() {
    let durable = |config: &mut portcullis::config::Config| {
        config.audit.release = Release::Durable;
    };
    let fixture = Fixture::with(durable).await;
    let Fixture { kms, key, sink, .. } = &fixture;
    let sealed = kms.encrypt(key, b"payload", &context("a")).await.unwrap();
    sink.set(Mode::Blocks);
    let a = context("a");
    let mut decrypt = Box::pin(kms.decrypt(&sealed, &a));
    assert!(poll_once(decrypt.as_mut()).is_pending());
    let stop = kms.stop();
    sink.set(Mode::Takes);
    stop.await.unwrap();
    let released = decrypt.await;
    assert!(matches!(released, Err(Error::Refused(Refused::Stopped))), "{released:?}");
}

fn assert_numbered(records: &[AuditRecord]) {
    for (record, sequence) in records.iter().zip(1..) {
        assert_eq!(record.sequence, sequence, "numbers have no gap");
    }
}

/// The records of `principal` by operation, stage and whether they tell of a failure.
fn told(sink: &Sink, principal: &str) -> BTreeSet<(&'static str, Stage2, bool)> {
    let records = sink.records();
    let of_principal = records.iter().filter(|record| record.caller.principal() == principal);
    of_principal
        .map(|record| {
            let failed = matches!(record.outcome, Outcome::Failed(_));
            (record.operation.name(), Stage2::from(record.stage), failed)
        })
        .collect()
}

/// [`Stage`] in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage2 {
    Intent,
    Outcome,
    Event,
}

impl From<Stage> for Stage2 {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Intent => Self::Intent,
            Stage::Outcome => Self::Outcome,
            Stage::Event => Self::Event,
            other => panic!("a stage that this test does not know: {other:?}"),
        }
    }
}

async fn everything(kms: &Kms, key: &KeyId) {
    let (a, b) = (context("a"), context("b"));
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(key, spec, &a).await.unwrap();
    kms.generate_data_key_without_plaintext(key, spec, &a).await.unwrap();
    kms.decrypt_data_key(&made.wrapped, &a).await.unwrap();
    kms.rewrap(&made.wrapped, &a).await.unwrap();
    let sealed = kms.encrypt(key, b"payload", &a).await.unwrap();
    kms.decrypt(&sealed, &a).await.unwrap();
    let mut object = Vec::new();
    kms.seal(key, &a, &b"object"[..]).await.unwrap().read_to_end(&mut object).await.unwrap();
    let mut plain = Vec::new();
    kms.open(&a, &object[..]).await.unwrap().read_to_end(&mut plain).await.unwrap();
    // Denials, each of its own kind.
    kms.decrypt_data_key(&made.wrapped, &b).await.unwrap_err();
    kms.decrypt(&sealed[..sealed.len() - 1], &a).await.unwrap_err();
    kms.decrypt(b"nonsense", &a).await.unwrap_err();
    kms.encrypt(key, &vec![0; 65 * 1024], &a).await.unwrap_err();
    kms.rotate_key(&KeyId::new("absent").unwrap()).await.unwrap_err();
    kms.change_key(key, Mutation::Disable).await.unwrap();
    kms.generate_data_key(key, spec, &a).await.unwrap_err();
    kms.change_key(key, Mutation::Enable).await.unwrap();
    kms.freeze(FreezeScope::All).await.unwrap();
    kms.thaw().await.unwrap();
}

#[tokio::test]
async fn every_operation_and_every_denial_leaves_a_record_under_its_principal() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, sink, config, .. } = &fixture;
    let alice = kms.on_behalf_of(Caller::new("alice", "request-1", "10.0.0.1").unwrap());
    everything(&alice, key).await;
    alice.reconfigure(config.clone()).await.unwrap();
    let refused = alice.configure(config.clone()).await;
    assert!(matches!(refused, Err(Error::Lifecycle(LifecycleError::NotNow { .. }))));
    alice.stop().await.unwrap();
    // Also of an engine that is stopped already.
    let again = alice.stop().await.unwrap();
    assert!(again.audited);
    alice.configure(config.clone()).await.unwrap();
    alice.start().await.unwrap();

    use Stage2::{Event, Intent};
    let done = Stage2::Outcome;
    let told = told(sink, "alice");
    let (good, bad) = (false, true);
    for expected in [
        ("generate-data-key", done, good),
        ("generate-data-key", done, bad),
        ("generate-data-key-without-plaintext", done, good),
        ("decrypt-data-key", done, good),
        ("decrypt-data-key", done, bad),
        ("rewrap", done, good),
        ("encrypt", done, good),
        ("encrypt", done, bad),
        ("decrypt", done, good),
        ("decrypt", done, bad),
        ("seal", Intent, good),
        ("seal", done, good),
        ("open", Intent, good),
        ("open", done, good),
        ("rotate", done, bad),
        ("disable", done, good),
        ("enable", Intent, good),
        ("enable", done, good),
        ("freeze", Event, good),
        ("thaw", Intent, good),
        ("thaw", done, good),
        ("reconfigure", Intent, good),
        ("reconfigure", done, good),
        ("configure", Intent, good),
        ("configure", done, bad),
        ("configure", done, good),
        ("stop", Event, good),
        ("start", Intent, good),
        ("start", done, good),
    ] {
        assert!(told.contains(&expected), "{expected:?} is missing in {told:#?}");
    }
    let records = sink.records();
    let decrypts = records.iter().filter(|record| {
        record.operation == Operation::Decrypt && matches!(record.outcome, Outcome::Failed(_))
    });
    assert_eq!(decrypts.count(), 2, "also of what is no envelope at all");
    let stops = records.iter().filter(|record| record.operation == Operation::Stop);
    assert_eq!(stops.count(), 2);
    assert_numbered(&records);
}
