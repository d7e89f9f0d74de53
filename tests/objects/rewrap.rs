//! Objects under other versions, keys and modes: with the body as it was, and sealed again.

use portcullis::error::{Error, KeyError, ObjectError};
use portcullis::key::{KeyId, KeyVersion, Mutation};
use portcullis::objects::{Mode, ObjectRecord, Protection};
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context};
use crate::host::{Stored, customer, facts, fetch, get, name, open, plaintext, put, put_parts};

async fn rewrap(
    fixture: &Fixture,
    stored: &Stored,
    to: Option<Protection<'_>>,
) -> Result<(ObjectRecord, bool), Error> {
    let kms = &fixture.kms;
    let done = kms.rewrap_object(&name("o"), &context("a"), &stored.record, to).await?;
    Ok((done.record, done.changed))
}

#[tokio::test]
async fn a_rewrap_moves_an_object_to_the_current_version_and_leaves_its_body() {
    let fixture = Fixture::running().await;
    let (kms, key) = (&fixture.kms, customer(1));
    let plain = plaintext(100_000);
    let parts: [(u32, &[u8]); 2] = [(1, &plain), (5, &plain[..9])];
    let (name, context) = (name("o"), context("a"));
    let under = Protection::SseC { key: &key };
    let mut objects = vec![
        (put(kms, &name, &context, Protection::SseS3, &plain).await.unwrap(), None),
        (put(kms, &name, &context, under, &plain).await.unwrap(), Some(&key)),
        (put_parts(kms, &name, &context, Protection::SseS3, &parts).await, None),
        (put_parts(kms, &name, &context, under, &parts).await, Some(&key)),
    ];
    for (stored, _) in &objects {
        let (record, changed) = rewrap(&fixture, stored, None).await.unwrap();
        assert!(!changed && record == stored.record);
    }
    kms.rotate_key(&fixture.key).await.unwrap();
    for (stored, _) in &mut objects {
        let (record, changed) = rewrap(&fixture, stored, None).await.unwrap();
        assert!(changed && record != stored.record);
        let old = std::mem::replace(&mut stored.record, record);
        let (again, changed) = rewrap(&fixture, stored, None).await.unwrap();
        assert!(!changed && again == stored.record);
        assert!(
            kms.open_object(&name, &context, &old, None, None).await.is_ok()
                || old.mode() == Mode::SseC
        );
    }
    // Nothing but the new version is needed any more.
    kms.change_key(&fixture.key, Mutation::Retire(KeyVersion::FIRST)).await.unwrap();
    for (stored, key) in &objects {
        let read = get(kms, &name, &context, stored, *key).await.unwrap();
        assert!(read.starts_with(&plain));
        let object = open(kms, &name, &context, stored, *key).await.unwrap();
        assert!(*object.facts() == facts());
    }
}

#[tokio::test]
async fn mode_and_key_change_with_the_body_as_it_was_where_the_data_key_may_stay() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let own = KeyId::new("own").unwrap();
    kms.create_key(&own).await.unwrap();
    let plain = plaintext(50_000);
    let (name, context) = (name("o"), context("a"));
    let mut stored = put(kms, &name, &context, Protection::SseS3, &plain).await.unwrap();
    let steps = [
        (Protection::SseKms { key: Some(&own) }, Mode::SseKms, &own),
        (Protection::SseKms { key: None }, Mode::SseKms, &fixture.key),
        (Protection::SseS3, Mode::SseS3, &fixture.key),
    ];
    for (to, mode, key) in steps {
        let (record, changed) = rewrap(&fixture, &stored, Some(to)).await.unwrap();
        assert!(changed);
        stored.record = record;
        let (_, changed) = rewrap(&fixture, &stored, Some(to)).await.unwrap();
        assert!(!changed);
        let object = open(kms, &name, &context, &stored, None).await.unwrap();
        assert_eq!((object.mode(), object.key_id()), (mode, key));
        assert!(get(kms, &name, &context, &stored, None).await.unwrap() == plain);
    }
    let nobody = KeyId::new("nobody").unwrap();
    let refused = rewrap(&fixture, &stored, Some(Protection::SseKms { key: Some(&nobody) })).await;
    assert!(matches!(refused, Err(Error::Key(KeyError::NotFound))));
    let key = customer(1);
    let under = Protection::SseC { key: &key };
    let refused = rewrap(&fixture, &stored, Some(under)).await;
    assert!(matches!(refused, Err(Error::Object(ObjectError::NeedsReseal))));
    let stored = put(kms, &name, &context, under, &plain).await.unwrap();
    for to in [under, Protection::SseS3] {
        let refused = rewrap(&fixture, &stored, Some(to)).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::NeedsReseal))));
    }
}

#[tokio::test]
async fn an_object_is_sealed_again_from_any_mode_into_any_other() {
    let fixture = Fixture::running().await;
    let (kms, one, two) = (&fixture.kms, customer(1), customer(2));
    let plain = plaintext(100_000);
    let parts: [(u32, &[u8]); 2] = [(1, &plain[..60_000]), (2, &plain[60_000..])];
    let modes = [
        (Protection::SseS3, None),
        (Protection::SseKms { key: None }, None),
        (Protection::SseC { key: &one }, Some(&one)),
        (Protection::SseC { key: &two }, Some(&two)),
    ];
    for (from, old_key) in modes {
        let whole = put(kms, &name("o"), &context("a"), from, &plain).await.unwrap();
        let divided = put_parts(kms, &name("o"), &context("a"), from, &parts).await;
        for (to, new_key) in modes {
            for stored in [&whole, &divided] {
                let object = open(kms, &name("o"), &context("a"), stored, old_key).await.unwrap();
                let (read, _) = fetch(&object, object.whole().unwrap(), stored).await;
                assert!(read == plain);
                let source = portcullis::objects::PartSources::new(
                    |range: &portcullis::objects::SealedRange| {
                        let part = range.part.map_or(0, |part| part.get());
                        let body = stored.bodies.iter().find(|(number, _)| *number == part);
                        &body.unwrap().1[..]
                    },
                );
                let sealing = object.reseal(source, &name("p"), &context("b"), to).await.unwrap();
                let mut sealing = Box::pin(sealing);
                let mut sealed = Vec::new();
                sealing.read_to_end(&mut sealed).await.unwrap();
                let sealing = std::pin::Pin::into_inner(sealing);
                let record = sealing.finish(object.facts()).unwrap();
                let copy = Stored { record, parts: None, bodies: vec![(0, sealed)] };
                assert!(
                    get(kms, &name("p"), &context("b"), &copy, new_key).await.unwrap() == plain
                );
            }
        }
    }
}
