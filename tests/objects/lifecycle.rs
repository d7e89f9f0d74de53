//! What a stop, a freeze and a change of the key do to objects that are open, and what the trail
//! says of objects.

use portcullis::audit::{AuditRecord, ErrorClass, Operation, Outcome, Release, Stage};
use portcullis::error::{Error, KeyError, Refused};
use portcullis::key::{KeyId, Mutation};
use portcullis::objects::{ByteRange, Facts, Protection};
use portcullis::status::FreezeScope;
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, until};
use crate::host::{
    DOES_NOT_OPEN, Stored, customer, facts, get, name, number, open, plaintext, put, put_part,
    put_parts, whole,
};

fn refusal(error: &std::io::Error) -> Option<Refused> {
    match Error::in_stream(error) {
        Some(Error::Refused(refused)) => Some(*refused),
        _ => None,
    }
}

#[tokio::test]
async fn a_stop_cuts_every_reader_and_part_and_wipes_what_handles_hold() {
    let fixture = Fixture::running().await;
    let (kms, key) = (&fixture.kms, customer(1));
    let plain = plaintext(400_000);
    let (name, context) = (name("o"), context("a"));
    let under = Protection::SseC { key: &key };
    let stored = put(kms, &name, &context, under, &plain).await.unwrap();
    let object = open(kms, &name, &context, &stored, Some(&key)).await.unwrap();
    let sealed = stored.sealed();
    let mut reader = object.read(object.whole().unwrap(), &sealed[..]).await.unwrap();
    let plan = object.range(ByteRange::From { first: 9 }).unwrap();
    let mut ranged = object.read_from(plan, &sealed[..]).await.unwrap();
    let upload = kms.create_upload(&name, &context, under, None).await.unwrap();
    let mut part = upload.seal_part(number(1), Some(&key), &plain[..]).await.unwrap();
    let mut sealing = kms.seal_object(&name, &context, under, &plain[..]).await.unwrap();
    let done = put_part(&upload, 2, Some(&key), &plain).await.unwrap();
    let mut piece = vec![0; 30_000];
    reader.read_exact(&mut piece).await.unwrap();
    ranged.read_exact(&mut piece).await.unwrap();
    part.read_exact(&mut piece).await.unwrap();
    sealing.read_exact(&mut piece).await.unwrap();

    let report = kms.stop().await.unwrap();
    // Four ciphers; the keys of the object and its customer, of the upload, of what is sealed.
    assert_eq!(report.keys_wiped, 4 + 4, "{report:?}");
    for restart in [false, true] {
        if restart {
            kms.start().await.unwrap();
        }
        let expected = Some(Refused::Stopped);
        assert_eq!(refusal(&reader.read(&mut piece).await.unwrap_err()), expected);
        assert_eq!(refusal(&ranged.read(&mut piece).await.unwrap_err()), expected);
        assert_eq!(refusal(&part.read(&mut piece).await.unwrap_err()), expected);
        assert_eq!(refusal(&sealing.read(&mut piece).await.unwrap_err()), expected);
    }
    let stale = |answer: Error| matches!(answer, Error::Refused(Refused::Stale));
    assert!(stale(object.read(object.whole().unwrap(), &sealed[..]).await.unwrap_err()));
    assert!(stale(upload.seal_part(number(3), Some(&key), &plain[..]).await.unwrap_err()));
    assert!(stale(upload.list_parts(std::slice::from_ref(&done.0)).await.unwrap_err()));
    assert!(stale(upload.complete(std::slice::from_ref(&done.0), &facts()).await.unwrap_err()));

    // Opened again by their records, both go on.
    let again = kms.open_upload(&name, &context, upload.record()).await.unwrap();
    let (record, body) = done;
    let done = again.complete(&[record], &facts()).await.unwrap();
    let divided = Stored { record: done.record, parts: Some(done.parts), bodies: vec![(2, body)] };
    assert!(get(kms, &name, &context, &divided, Some(&key)).await.unwrap() == plain);
    assert!(get(kms, &name, &context, &stored, Some(&key)).await.unwrap() == plain);
}

#[tokio::test]
async fn sixty_four_readers_and_as_many_parts_are_all_cut_by_a_stop_within_a_chunk() {
    let fixture = Fixture::for_load().await;
    let kms = &fixture.kms;
    let (name, context, plain) = (name("o"), context("a"), plaintext(300_000));
    let parts: [(u32, &[u8]); 2] = [(1, &plain[..150_000]), (2, &plain[150_000..])];
    let stored = put_parts(kms, &name, &context, Protection::SseS3, &parts).await;
    let sealed = stored.sealed();
    let upload = kms.create_upload(&name, &context, Protection::SseS3, None).await.unwrap();
    let (mut readers, mut sealers) = (Vec::new(), Vec::new());
    for nth in 0..64_u32 {
        let object = open(kms, &name, &context, &stored, None).await.unwrap();
        let mut reader = object.read(object.whole().unwrap(), &sealed[..]).await.unwrap();
        let mut sealer = upload.seal_part(number(nth + 1), None, &plain[..]).await.unwrap();
        // Some in the middle of a chunk, some at its border, some in the second part.
        let far = nth as usize * 4096 + 1;
        reader.read_exact(&mut vec![0; far]).await.unwrap();
        sealer.read_exact(&mut vec![0; far]).await.unwrap();
        readers.push(reader);
        sealers.push(sealer);
    }
    let report = kms.stop().await.unwrap();
    // A cipher and an object's key for each reader, a cipher for each part, the upload's key.
    assert_eq!(report.keys_wiped, 64 * 3 + 1, "{report:?}");
    for reader in &mut readers {
        let cut = reader.read(&mut [0; 100_000]).await.unwrap_err();
        assert_eq!(refusal(&cut), Some(Refused::Stopped));
    }
    for sealer in &mut sealers {
        let cut = sealer.read(&mut [0; 100_000]).await.unwrap_err();
        assert_eq!(refusal(&cut), Some(Refused::Stopped));
    }
    kms.start().await.unwrap();
    assert!(get(kms, &name, &context, &stored, None).await.unwrap() == plain);
}

#[tokio::test]
async fn a_record_that_was_not_made_before_a_stop_is_not_made_after() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let mut sealing =
        kms.seal_object(&name("o"), &context("a"), Protection::SseS3, &b"plain"[..]).await.unwrap();
    sealing.read_to_end(&mut Vec::new()).await.unwrap();
    kms.stop().await.unwrap();
    kms.start().await.unwrap();
    assert!(matches!(sealing.finish(&facts()), Err(Error::Refused(Refused::Stale))));
}

#[tokio::test]
async fn a_disabled_key_ends_reading_and_sealing_at_the_next_chunk() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let own = KeyId::new("own").unwrap();
    kms.create_key(&own).await.unwrap();
    let (name, context, plain) = (name("o"), context("a"), plaintext(400_000));
    let protection = Protection::SseKms { key: Some(&own) };
    let stored = put(kms, &name, &context, protection, &plain).await.unwrap();
    let object = open(kms, &name, &context, &stored, None).await.unwrap();
    let sealed = stored.sealed();
    let mut reader = object.read(object.whole().unwrap(), &sealed[..]).await.unwrap();
    let upload = kms.create_upload(&name, &context, protection, None).await.unwrap();
    let (part, _) = put_part(&upload, 1, None, &plain).await.unwrap();
    let mut sealing = kms.seal_object(&name, &context, protection, &b"plain"[..]).await.unwrap();
    sealing.read_to_end(&mut Vec::new()).await.unwrap();
    reader.read_exact(&mut vec![0; 30_000]).await.unwrap();

    kms.change_key(&own, Mutation::Disable).await.unwrap();
    let cut = reader.read(&mut [0; 1000]).await.unwrap_err();
    assert!(matches!(Error::in_stream(&cut), Some(Error::Key(KeyError::Disabled))));
    let disabled = |error: Error| matches!(error, Error::Key(KeyError::Disabled));
    assert!(disabled(object.read(object.whole().unwrap(), &sealed[..]).await.unwrap_err()));
    assert!(disabled(open(kms, &name, &context, &stored, None).await.unwrap_err()));
    assert!(disabled(sealing.finish(&facts()).unwrap_err()));
    assert!(disabled(upload.seal_part(number(2), None, &plain[..]).await.unwrap_err()));
    assert!(disabled(upload.complete(std::slice::from_ref(&part), &facts()).await.unwrap_err()));
    assert!(disabled(kms.rewrap_object(&name, &context, &stored.record, None).await.unwrap_err()));

    // What was open is as good as before once the key is enabled: nothing was wiped.
    kms.change_key(&own, Mutation::Enable).await.unwrap();
    assert!(whole(&object, &sealed).await.0 == plain);
    assert!(upload.complete(&[part], &facts()).await.is_ok());
}

#[tokio::test]
async fn a_freeze_of_writes_lets_objects_be_read_and_nothing_be_put() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (name, context, plain) = (name("o"), context("a"), plaintext(50_000));
    let stored = put(kms, &name, &context, Protection::SseS3, &plain).await.unwrap();
    let upload = kms.create_upload(&name, &context, Protection::SseS3, None).await.unwrap();
    let (part, _) = put_part(&upload, 1, None, &plain).await.unwrap();
    kms.freeze(FreezeScope::Writes).await.unwrap();
    assert!(get(kms, &name, &context, &stored, None).await.unwrap() == plain);
    assert_eq!(upload.list_parts(std::slice::from_ref(&part)).await.unwrap().len(), 1);
    let frozen = |error: Error| matches!(error, Error::Refused(Refused::Frozen));
    assert!(frozen(put(kms, &name, &context, Protection::SseS3, &plain).await.err().unwrap()));
    assert!(frozen(upload.complete(&[part], &facts()).await.unwrap_err()));
    kms.freeze(FreezeScope::All).await.unwrap();
    assert!(frozen(open(kms, &name, &context, &stored, None).await.unwrap_err()));
    kms.thaw().await.unwrap();
    assert!(get(kms, &name, &context, &stored, None).await.unwrap() == plain);
}

#[tokio::test]
async fn a_reader_keeps_its_object_though_the_handle_is_gone() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let plain = plaintext(100_000);
    let parts: [(u32, &[u8]); 2] = [(1, &plain[..50_000]), (2, &plain[50_000..])];
    let stored = put_parts(kms, &name("o"), &context("a"), Protection::SseS3, &parts).await;
    let object = open(kms, &name("o"), &context("a"), &stored, None).await.unwrap();
    let sealed = stored.sealed();
    let mut reader = object.read(object.whole().unwrap(), &sealed[..]).await.unwrap();
    drop(object);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.unwrap();
    assert!(read == plain);
    drop(reader);
    assert_eq!(kms.stop().await.unwrap().keys_wiped, 0);
}

/// What the trail says of objects: operation, stage and outcome.
fn of_objects(records: &[AuditRecord]) -> Vec<(Operation, Stage, Outcome)> {
    let named = records.iter().filter(|record| record.bucket.is_some());
    named
        .inspect(|record| {
            assert_eq!(record.bucket.as_deref(), Some("bucket"));
            assert_eq!(record.object.as_deref(), Some("o"));
            assert!(record.key.is_some());
        })
        .map(|record| (record.operation, record.stage, record.outcome))
        .collect()
}

#[tokio::test]
async fn the_trail_names_the_object_of_each_operation_and_how_it_ended() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (name, context) = (name("o"), context("a"));
    let stored = put(kms, &name, &context, Protection::SseS3, b"plain").await.unwrap();
    let object = open(kms, &name, &context, &stored, None).await.unwrap();
    let sealed = stored.sealed();
    assert!(whole(&object, &sealed).await.1.is_ok());
    let (_, end) = whole(&object, &[&sealed[..70], &[0; 7]].concat()).await;
    assert_eq!(end.unwrap_err(), DOES_NOT_OPEN);
    drop(object.read(object.whole().unwrap(), &sealed[..]).await.unwrap());
    let key = customer(1);
    assert!(open(kms, &name, &context, &stored, Some(&key)).await.is_err());
    kms.rewrap_object(&name, &context, &stored.record, None).await.unwrap();
    let upload = kms.create_upload(&name, &context, Protection::SseS3, None).await.unwrap();
    let upload = kms.open_upload(&name, &context, upload.record()).await.unwrap();
    let (part, _) = put_part(&upload, 1, None, b"plain").await.unwrap();
    upload.list_parts(std::slice::from_ref(&part)).await.unwrap();
    upload.complete(&[part], &Facts::new()).await.unwrap();
    let refused = |class| Outcome::Failed(class);
    let expected = [
        (Operation::Seal, Stage::Intent, Outcome::Pending),
        (Operation::Seal, Stage::Outcome, Outcome::Succeeded),
        (Operation::Inspect, Stage::Outcome, Outcome::Succeeded),
        (Operation::Open, Stage::Intent, Outcome::Pending),
        (Operation::Open, Stage::Outcome, Outcome::Succeeded),
        (Operation::Open, Stage::Intent, Outcome::Pending),
        (Operation::Open, Stage::Outcome, refused(ErrorClass::ObjectDoesNotOpen)),
        (Operation::Open, Stage::Intent, Outcome::Pending),
        (Operation::Open, Stage::Outcome, refused(ErrorClass::Abandoned)),
        (Operation::Inspect, Stage::Outcome, refused(ErrorClass::CustomerKeyRefused)),
        (Operation::Rewrap, Stage::Outcome, Outcome::Succeeded),
        (Operation::CreateUpload, Stage::Outcome, Outcome::Succeeded),
        (Operation::Inspect, Stage::Outcome, Outcome::Succeeded),
        (Operation::Seal, Stage::Intent, Outcome::Pending),
        (Operation::Seal, Stage::Outcome, Outcome::Succeeded),
        (Operation::Inspect, Stage::Outcome, Outcome::Succeeded),
        (Operation::CompleteUpload, Stage::Outcome, Outcome::Succeeded),
    ];
    until(|| of_objects(&fixture.sink.records()).len() >= expected.len());
    assert_eq!(of_objects(&fixture.sink.records()), expected);
}

#[tokio::test]
async fn durable_records_come_before_anything_of_an_object() {
    let fixture = Fixture::with(|config| config.audit.release = Release::Durable).await;
    let kms = &fixture.kms;
    let (name, context) = (name("o"), context("a"));
    let small = kms
        .seal_small_object(&name, &context, Protection::SseS3, b"plain", &facts())
        .await
        .unwrap();
    let open = kms.open_small_object(&name, &context, &small.record, None, &small.sealed);
    let (plain, known) = open.await.unwrap();
    assert!(plain == b"plain" && known == facts());
    // Already written, not on its way: no waiting here.
    assert_eq!(of_objects(&fixture.sink.records()).len(), 2);
    let object = kms.open_object(&name, &context, &small.record, None, None).await.unwrap();
    assert_eq!(of_objects(&fixture.sink.records()).len(), 3);
    let (read, end) = whole(&object, &small.sealed).await;
    assert!(end.is_ok() && read == b"plain");
    let seals = [Operation::Seal, Operation::Open, Operation::Inspect, Operation::Open];
    let of = of_objects(&fixture.sink.records());
    assert!(of.iter().map(|(operation, ..)| *operation).take(4).eq(seals));
}
