//! Objects that are put whole.

use bytes::Bytes;
use futures_util::StreamExt;
use portcullis::error::{CustomerKeyError, EnvelopeError, Error, ObjectError};
use portcullis::key::KeyId;
use portcullis::limits::{CHUNK_BYTES, PAYLOAD_BYTES_MAX};
use portcullis::objects::{Mode, ObjectName, ObjectRecord, Protection};

use crate::harness::{Fixture, context};
use crate::host::{DOES_NOT_OPEN, customer, facts, get, name, open, plaintext, put, whole};

const SIZES: [usize; 9] = [
    0,
    1,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES,
    9 * CHUNK_BYTES + 77,
    PAYLOAD_BYTES_MAX,
    1 << 20,
];

#[tokio::test]
async fn an_object_of_any_size_comes_back_in_every_mode() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let own = KeyId::new("own").unwrap();
    kms.create_key(&own).await.unwrap();
    let key = customer(1);
    let modes = [
        (Protection::SseS3, Mode::SseS3, &fixture.key, None),
        (Protection::SseKms { key: None }, Mode::SseKms, &fixture.key, None),
        (Protection::SseKms { key: Some(&own) }, Mode::SseKms, &own, None),
        (Protection::SseC { key: &key }, Mode::SseC, &fixture.key, Some(&key)),
    ];
    for (protection, mode, master, key) in modes {
        for size in SIZES {
            let plain = plaintext(size);
            let stored = put(kms, &name("o"), &context("a"), protection, &plain).await.unwrap();
            assert_eq!(stored.record.mode(), mode);
            let object = open(kms, &name("o"), &context("a"), &stored, key).await.unwrap();
            assert_eq!((object.mode(), object.key_id()), (mode, master));
            assert_eq!(object.plain_size(), size as u64);
            assert_eq!(object.sealed_size().unwrap(), stored.sealed().len() as u64);
            assert_eq!((object.part_count(), object.parts().count()), (None, 0));
            assert!(*object.facts() == facts());
            assert!(get(kms, &name("o"), &context("a"), &stored, key).await.unwrap() == plain);
        }
    }
}

#[tokio::test]
async fn small_objects_and_streams_are_the_same_to_whoever_reads_them() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let key = customer(1);
    for (protection, key) in
        [(Protection::SseS3, None), (Protection::SseC { key: &key }, Some(&key))]
    {
        for size in SIZES.into_iter().filter(|&size| size <= PAYLOAD_BYTES_MAX) {
            let (name, context, plain) = (name("o"), context("a"), plaintext(size));
            let small =
                kms.seal_small_object(&name, &context, protection, &plain, &facts()).await.unwrap();
            let object = kms.open_object(&name, &context, &small.record, None, key).await.unwrap();
            let (read, end) = whole(&object, &small.sealed).await;
            assert!(end.is_ok() && read == plain);
            let streamed = put(kms, &name, &context, protection, &plain).await.unwrap();
            let sealed = streamed.sealed();
            let open = kms.open_small_object(&name, &context, &streamed.record, key, &sealed);
            let (read, known) = open.await.unwrap();
            assert!(read == plain && known == facts());
            assert_eq!(sealed.len(), small.sealed.len());
            assert_eq!(streamed.record.as_bytes().len(), small.record.as_bytes().len());
        }
    }
    let long = plaintext(PAYLOAD_BYTES_MAX + 1);
    let refused =
        kms.seal_small_object(&name("o"), &context("a"), Protection::SseS3, &long, &facts()).await;
    assert!(matches!(refused, Err(Error::Object(ObjectError::TooLong))));
    let stored = put(kms, &name("o"), &context("a"), Protection::SseS3, &long).await.unwrap();
    let sealed = stored.sealed();
    let refused =
        kms.open_small_object(&name("o"), &context("a"), &stored.record, None, &sealed).await;
    assert!(matches!(refused, Err(Error::Object(ObjectError::TooLong))));
}

#[tokio::test]
async fn another_name_or_context_opens_nothing() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let stored =
        put(kms, &name("o"), &context("a"), Protection::SseS3, b"plaintext").await.unwrap();
    let elsewhere = ObjectName::new("other", "o").unwrap();
    let joined = ObjectName::new("bucketo", "o").unwrap();
    let others = [
        (name("p"), context("a")),
        (elsewhere, context("a")),
        (joined, context("a")),
        (name("o"), context("b")),
        (name("o"), context("a").with("more", "").unwrap()),
        (name("o"), portcullis::context::EncryptionContext::new()),
    ];
    for (name, context) in others {
        let refused = open(kms, &name, &context, &stored, None).await;
        assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
        let sealed = stored.sealed();
        let refused = kms.open_small_object(&name, &context, &stored.record, None, &sealed).await;
        assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
        let refused = kms.rewrap_object(&name, &context, &stored.record, None).await;
        assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
    }
}

#[tokio::test]
async fn a_customer_key_that_is_wrong_missing_or_not_wanted_is_told_before_a_body_is_read() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (right, wrong) = (customer(1), customer(2));
    let (name, context) = (name("o"), context("a"));
    let under =
        put(kms, &name, &context, Protection::SseC { key: &right }, b"plaintext").await.unwrap();
    let not = put(kms, &name, &context, Protection::SseS3, b"plaintext").await.unwrap();
    let cases = [
        (&under, Some(&wrong), CustomerKeyError::Wrong),
        (&under, None, CustomerKeyError::Missing),
        (&not, Some(&right), CustomerKeyError::Unexpected),
    ];
    for (stored, key, expected) in cases {
        let refused = open(kms, &name, &context, stored, key).await;
        assert!(matches!(
            refused,
            Err(Error::Object(ObjectError::CustomerKey(told))) if told == expected
        ));
        let refused = kms.open_small_object(&name, &context, &stored.record, key, b"").await;
        assert!(matches!(
            refused,
            Err(Error::Object(ObjectError::CustomerKey(told))) if told == expected
        ));
    }
    // Two objects under one key have nothing in common, and neither holds the key or its digest.
    let again =
        put(kms, &name, &context, Protection::SseC { key: &right }, b"plaintext").await.unwrap();
    assert_ne!(under.record.as_bytes()[150..], again.record.as_bytes()[150..]);
    assert_ne!(under.sealed(), again.sealed());
    let bytes = [under.record.as_bytes(), &under.sealed()].concat();
    assert!(!bytes.windows(8).any(|window| window == [1; 8]));
}

#[tokio::test]
async fn a_record_does_not_open_the_body_of_another_object_or_of_an_earlier_put() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (context, plain) = (context("a"), plaintext(40_000));
    let first = put(kms, &name("o"), &context, Protection::SseS3, &plain).await.unwrap();
    let later = put(kms, &name("o"), &context, Protection::SseS3, &plain).await.unwrap();
    let other = put(kms, &name("p"), &context, Protection::SseS3, &plain).await.unwrap();
    let refused = open(kms, &name("o"), &context, &other, None).await;
    assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
    let object = open(kms, &name("o"), &context, &later, None).await.unwrap();
    for sealed in [first.sealed(), other.sealed()] {
        let (read, end) = whole(&object, &sealed).await;
        assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
    }
    // Not even with the salt of the right one in front.
    let mixed = [&later.sealed()[..24], &first.sealed()[24..]].concat();
    let (read, end) = whole(&object, &mixed).await;
    assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
}

#[tokio::test]
async fn a_body_that_was_cut_extended_or_changed_ends_in_an_error() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    for size in [0, 100, CHUNK_BYTES, 2 * CHUNK_BYTES + 5] {
        let plain = plaintext(size);
        let stored = put(kms, &name("o"), &context("a"), Protection::SseS3, &plain).await.unwrap();
        let object = open(kms, &name("o"), &context("a"), &stored, None).await.unwrap();
        let sealed = stored.sealed();
        let mut bad = vec![
            sealed[..sealed.len() - 1].to_vec(),
            sealed[..sealed.len() - 16].to_vec(),
            [&sealed[..], &[0]].concat(),
            [&sealed[..], &sealed[56..]].concat(),
            sealed[..56].to_vec(),
            sealed[..30].to_vec(),
            Vec::new(),
        ];
        for at in [0, 23, 24, 55, 56, sealed.len() - 17, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            bad.push(changed);
        }
        for bad in bad {
            let (read, end) = whole(&object, &bad).await;
            assert!(end.is_err());
            // What came before is authentic, and is not all of it.
            assert!(plain.starts_with(&read) && (read.len() < plain.len() || size == 0));
            let small =
                kms.open_small_object(&name("o"), &context("a"), &stored.record, None, &bad).await;
            assert!(matches!(small, Err(Error::Object(_))));
        }
    }
}

#[tokio::test]
async fn any_changed_byte_of_a_record_is_refused() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let key = customer(1);
    for (protection, key) in
        [(Protection::SseS3, None), (Protection::SseC { key: &key }, Some(&key))]
    {
        let small = kms
            .seal_small_object(&name("o"), &context("a"), protection, b"plaintext", &facts())
            .await
            .unwrap();
        let bytes = small.record.as_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            // Taken as bytes or not, it does not open, and it does not come back rewrapped.
            let Ok(record) = ObjectRecord::from_bytes(&changed) else { continue };
            let opened = kms.open_object(&name("o"), &context("a"), &record, None, key).await;
            assert!(opened.is_err(), "byte {at}");
            let rewrapped = kms.rewrap_object(&name("o"), &context("a"), &record, None).await;
            assert!(rewrapped.is_err(), "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_record_is_made_at_the_end_and_not_before() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let plain = plaintext(50_000);
    let mut sealing =
        kms.seal_object(&name("o"), &context("a"), Protection::SseS3, &plain[..]).await.unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut sealing, &mut vec![0; 20_000]).await.unwrap();
    assert!(matches!(sealing.finish(&facts()), Err(Error::ApiMisuse(_))));
}

#[tokio::test]
async fn every_form_of_putting_and_getting_gives_the_same_object() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (name, context) = (name("o"), context("a"));
    for size in SIZES {
        let plain = plaintext(size);
        let pieces =
            plain.chunks(10_007).map(|piece| Ok::<_, Error>(Bytes::copy_from_slice(piece)));
        let items = futures_util::stream::iter(pieces);
        let mut sealing =
            kms.seal_object_stream(&name, &context, Protection::SseS3, items).await.unwrap();
        let mut sealed = Vec::new();
        while let Some(piece) = sealing.next().await {
            sealed.extend(piece.unwrap());
        }
        let record = sealing.finish(&facts()).unwrap();
        let object = kms.open_object(&name, &context, &record, None, None).await.unwrap();
        let mut reader = object.read(object.whole().unwrap(), &sealed[..]).await.unwrap();
        let mut read = Vec::new();
        while let Some(piece) = reader.next().await {
            let piece = piece.unwrap();
            assert!(!piece.is_empty() && piece.len() <= 4 * CHUNK_BYTES);
            read.extend(piece);
        }
        assert!(read == plain);
        assert!(reader.next().await.is_none());

        // Blocking, both ways.
        let source = std::io::Cursor::new(&plain);
        let mut sealing =
            kms.seal_object(&name, &context, Protection::SseS3, source).await.unwrap();
        let mut sealed = Vec::new();
        std::io::Read::read_to_end(&mut sealing, &mut sealed).unwrap();
        let record = sealing.finish(&facts()).unwrap();
        let object = kms.open_object(&name, &context, &record, None, None).await.unwrap();
        let source = std::io::Cursor::new(&sealed);
        let mut reader = object.read(object.whole().unwrap(), source).await.unwrap();
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
        assert!(read == plain);

        // A stream tells its error once, and then its end.
        if let Some(last) = sealed.last_mut() {
            *last ^= 1;
        }
        let plan = object.whole().unwrap();
        let mut reader = Box::pin(object.read_from(plan, &sealed[..]).await.unwrap());
        let mut given = 0;
        let error = loop {
            match reader.next().await.expect("an error comes before the end") {
                Ok(piece) => given += piece.len(),
                Err(error) => break error,
            }
        };
        assert!(given < size || size == 0);
        assert!(matches!(Error::in_stream(&error), Some(Error::Object(_))));
        assert!(reader.next().await.is_none());
    }
}
