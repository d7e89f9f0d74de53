//! Objects that are put in parts, and what an attacker with the store in hand can do to them.

use portcullis::error::{CustomerKeyError, EnvelopeError, Error, ObjectError};
use portcullis::limits::CHUNK_BYTES;
use portcullis::objects::{
    ByteRange, Facts, Mode, PartRecord, PartTable, Protection, UploadId, UploadRecord,
};

use crate::harness::{Fixture, context};
use crate::host::{
    DOES_NOT_OPEN, Stored, customer, facts, fetch, get, name, number, open, plaintext, put,
    put_part, put_parts, whole,
};

/// Parts of all lengths that matter, an empty one and gaps between the numbers.
fn plain_parts() -> Vec<(u32, Vec<u8>)> {
    let sizes = [CHUNK_BYTES * 3, CHUNK_BYTES + 1, 0, 70_000, 5];
    let numbers = [1, 2, 7, 9_999, 10_000];
    let offset = |at: usize| plaintext(200_000)[at * 31..].to_vec();
    let part = |(at, (number, size)): (usize, (u32, usize))| (number, offset(at)[..size].to_vec());
    numbers.into_iter().zip(sizes).enumerate().map(part).collect()
}

fn borrowed(parts: &[(u32, Vec<u8>)]) -> Vec<(u32, &[u8])> {
    parts.iter().map(|(number, plain)| (*number, &plain[..])).collect()
}

fn joined(parts: &[(u32, Vec<u8>)]) -> Vec<u8> {
    parts.iter().flat_map(|(_, plain)| plain.clone()).collect()
}

#[tokio::test]
async fn parts_come_back_in_order_by_number_and_by_range_across_their_borders() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (parts, key) = (plain_parts(), customer(1));
    let plain = joined(&parts);
    for (protection, key) in [
        (Protection::SseS3, None),
        (Protection::SseKms { key: None }, None),
        (Protection::SseC { key: &key }, Some(&key)),
    ] {
        let stored = put_parts(kms, &name("o"), &context("a"), protection, &borrowed(&parts)).await;
        assert!(get(kms, &name("o"), &context("a"), &stored, key).await.unwrap() == plain);
        let object = open(kms, &name("o"), &context("a"), &stored, key).await.unwrap();
        assert_eq!(object.part_count(), Some(5));
        assert_eq!(object.plain_size(), plain.len() as u64);
        assert_eq!(object.sealed_size().unwrap(), stored.sealed().len() as u64);
        assert!(*object.facts() == facts());
        for (info, (number, part)) in object.parts().zip(&parts) {
            assert_eq!(
                (u32::from(info.number.get()), info.plain_size),
                (*number, part.len() as u64)
            );
            let plan = object.part(info.number).unwrap();
            assert_eq!(plan.plain().start, info.plain_start);
            let (read, end) = fetch(&object, plan, &stored).await;
            assert!(end.is_ok() && read == *part, "part {number}");
        }
        let borders = [0, 1, CHUNK_BYTES, CHUNK_BYTES * 3, CHUNK_BYTES * 4 + 1, plain.len() - 5];
        for start in borders.into_iter().flat_map(|at| [at.saturating_sub(1), at, at + 1]) {
            for end in borders.into_iter().flat_map(|at| [at.saturating_sub(1), at, at + 1]) {
                if start > end {
                    continue;
                }
                let (from, length) = (start as u64, (end - start) as u64);
                let plan = object.range(ByteRange::Exact { start: from, length }).unwrap();
                let (read, end_of) = fetch(&object, plan, &stored).await;
                assert!(end_of.is_ok() && read == plain[start..end], "{start}..{end}");
            }
        }
        let missing = object.part(number(3));
        assert!(matches!(missing, Err(ObjectError::NoSuchPart(3))));
    }
}

#[tokio::test]
async fn without_its_part_table_an_object_is_described_and_not_read() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let parts = plain_parts();
    let stored =
        put_parts(kms, &name("o"), &context("a"), Protection::SseS3, &borrowed(&parts)).await;
    let headless = Stored { parts: None, ..stored };
    let object = open(kms, &name("o"), &context("a"), &headless, None).await.unwrap();
    assert_eq!(object.plain_size(), joined(&parts).len() as u64);
    assert_eq!((object.part_count(), object.parts().count()), (Some(5), 0));
    let missing = |plan: Result<_, _>| matches!(plan, Err(ObjectError::PartTableMissing));
    assert!(missing(object.whole().map(|_| ())));
    assert!(missing(object.part(number(1)).map(|_| ())));
    assert!(missing(object.range(ByteRange::From { first: 0 }).map(|_| ())));
}

#[tokio::test]
async fn parts_that_were_dropped_swapped_renumbered_or_doubled_do_not_open() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let plain = plaintext(40_000);
    let parts: [(u32, &[u8]); 3] = [(1, &plain), (2, &plain), (3, &plain)];
    let stored = put_parts(kms, &name("o"), &context("a"), Protection::SseS3, &parts).await;
    let object = open(kms, &name("o"), &context("a"), &stored, None).await.unwrap();
    let [a, b, c] = [0, 1, 2].map(|at| stored.bodies[at].1.clone());
    for bad in [
        [&a[..], &b].concat(),
        [&a[..], &c].concat(),
        [&b[..], &a, &c].concat(),
        [&a[..], &c, &b].concat(),
        [&a[..], &a, &c].concat(),
        [&a[..], &b, &c, &c].concat(),
        [&a[..], &b, &c[..c.len() - 1]].concat(),
        [&a[..], &b, &c[..56 + 16_400]].concat(),
    ] {
        let (read, end) = whole(&object, &bad).await;
        assert!(end.is_err());
        assert!(read.len() < 3 * plain.len());
        assert!(plain.repeat(3).starts_with(&read));
    }
    // A store that answers for one part with another is found at its first byte, even by a range
    // that does not see the part's header.
    for (asked, given) in [(1_u16, 2_u16), (2, 1), (3, 2)] {
        let mut swapped = stored.clone();
        let other = swapped.bodies[usize::from(given) - 1].1.clone();
        swapped.bodies[usize::from(asked) - 1].1 = other;
        let start = u64::from(asked - 1) * 40_000 + 20_000;
        let plan = object.range(ByteRange::Exact { start, length: 10 }).unwrap();
        let (read, end) = fetch(&object, plan, &swapped).await;
        assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
    }
}

#[tokio::test]
async fn a_part_put_back_from_an_earlier_upload_of_its_number_is_found() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (name, context, key) = (name("o"), context("a"), customer(1));
    let plain = plaintext(40_000);
    for (protection, key) in
        [(Protection::SseS3, None), (Protection::SseC { key: &key }, Some(&key))]
    {
        let upload = kms.create_upload(&name, &context, protection, None).await.unwrap();
        let (old_record, old) = put_part(&upload, 1, key, &plain).await.unwrap();
        let (record, new) = put_part(&upload, 1, key, &plain).await.unwrap();
        // Never one key and nonce for both.
        assert_ne!(old[..24], new[..24]);
        assert_ne!(old[56..], new[56..]);
        let done = upload.complete(&[record], &facts()).await.unwrap();
        let stored =
            Stored { record: done.record, parts: Some(done.parts), bodies: vec![(1, old.clone())] };
        let object = open(kms, &name, &context, &stored, key).await.unwrap();
        let (read, end) = whole(&object, &old).await;
        assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
        let plan = object.range(ByteRange::Exact { start: 20_000, length: 1 }).unwrap();
        let (read, end) = fetch(&object, plan, &stored).await;
        assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));

        // The table of the other completion is not this record's.
        let other = upload.complete(&[old_record], &facts()).await.unwrap();
        let mixed = Stored { parts: Some(other.parts), ..stored };
        let refused = open(kms, &name, &context, &mixed, key).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))));

        // An earlier upload of the same name and number: another key.
        let earlier = kms.create_upload(&name, &context, protection, None).await.unwrap();
        let (foreign, replayed) = put_part(&earlier, 1, key, &plain).await.unwrap();
        let (read, end) = whole(&object, &replayed).await;
        assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
        let refused = upload.complete(&[foreign], &facts()).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))));
    }
}

#[tokio::test]
async fn tables_and_records_of_another_object_do_not_open() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let parts = plain_parts();
    let make = async |object: &str| {
        let parts = borrowed(&parts);
        put_parts(kms, &name(object), &context("a"), Protection::SseS3, &parts).await
    };
    let (one, two) = (make("o").await, make("p").await);
    let mixed = Stored { parts: two.parts.clone(), ..one.clone() };
    let refused = open(kms, &name("o"), &context("a"), &mixed, None).await;
    assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))));
    let mixed = Stored { record: two.record, ..one.clone() };
    let refused = open(kms, &name("o"), &context("a"), &mixed, None).await;
    assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
    let single = put(kms, &name("o"), &context("a"), Protection::SseS3, b"x").await.unwrap();
    let mixed = Stored { record: single.record, ..one.clone() };
    let refused = open(kms, &name("o"), &context("a"), &mixed, None).await;
    assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))));

    let table = one.parts.clone().unwrap();
    for at in 0..table.as_bytes().len() {
        let mut changed = table.as_bytes().to_vec();
        changed[at] ^= 1;
        let Ok(changed) = PartTable::from_bytes(&changed) else { continue };
        let mixed = Stored { parts: Some(changed), ..one.clone() };
        let refused = open(kms, &name("o"), &context("a"), &mixed, None).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))), "byte {at}");
    }
}

#[tokio::test]
async fn an_upload_is_taken_up_again_by_its_record_alone() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (name, context, key) = (name("o"), context("a"), customer(1));
    let id = UploadId::new("my-upload~1").unwrap();
    let protection = Protection::SseC { key: &key };
    let upload = kms.create_upload(&name, &context, protection, Some(id.clone())).await.unwrap();
    assert_eq!((upload.id(), upload.mode()), (&id, Mode::SseC));
    let bytes = upload.record().as_bytes().to_vec();
    drop(upload);
    let record = UploadRecord::from_bytes(&bytes).unwrap();
    assert_eq!((record.id(), record.mode()), (id, Mode::SseC));
    let again = kms.open_upload(&name, &context, &record).await.unwrap();
    let (part, sealed) = put_part(&again, 4, Some(&key), b"plaintext").await.unwrap();
    assert_eq!(part.number(), number(4));
    for (given, expected) in
        [(None, CustomerKeyError::Missing), (Some(customer(2)), CustomerKeyError::Wrong)]
    {
        let refused = put_part(&again, 5, given.as_ref(), b"plaintext").await;
        assert!(matches!(
            refused,
            Err(Error::Object(ObjectError::CustomerKey(told))) if told == expected
        ));
    }
    let listed = again.list_parts(std::slice::from_ref(&part)).await.unwrap();
    assert_eq!((listed[0].number, listed[0].plain_size), (number(4), 9));
    assert_eq!(listed[0].facts.etag(), Some("part-4"));
    // The customer's key is not needed to complete.
    let done = again.complete(&[part], &Facts::new()).await.unwrap();
    let stored = Stored { record: done.record, parts: Some(done.parts), bodies: vec![(4, sealed)] };
    assert_eq!(get(kms, &name, &context, &stored, Some(&key)).await.unwrap(), b"plaintext");

    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let Ok(record) = UploadRecord::from_bytes(&changed) else { continue };
        assert!(kms.open_upload(&name, &context, &record).await.is_err(), "byte {at}");
    }
    let refused = kms.open_upload(&name, &crate::harness::context("b"), &record).await;
    assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
}

#[tokio::test]
async fn an_upload_is_completed_with_its_own_parts_in_their_order_and_no_others() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let upload =
        kms.create_upload(&name("o"), &context("a"), Protection::SseS3, None).await.unwrap();
    let mut records = Vec::new();
    for part in 1..=3 {
        records.push(put_part(&upload, part, None, b"plaintext").await.unwrap().0);
    }
    let [one, two, three] = [0, 1, 2].map(|at: usize| records[at].clone());
    for bad in [
        vec![two.clone(), one.clone()],
        vec![one.clone(), one.clone()],
        vec![one.clone(), three.clone(), two.clone()],
    ] {
        let refused = upload.complete(&bad, &facts()).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::PartOrder))));
    }
    let refused = upload.complete(&[], &facts()).await;
    assert!(matches!(refused, Err(Error::Object(ObjectError::Invalid { .. }))));
    // Any byte of a part's record.
    for at in 0..one.as_bytes().len() {
        let mut changed = one.as_bytes().to_vec();
        changed[at] ^= 1;
        let Ok(changed) = PartRecord::from_bytes(&changed) else { continue };
        let refused = upload.list_parts(std::slice::from_ref(&changed)).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))), "byte {at}");
        let refused = upload.complete(&[changed, two.clone()], &facts()).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))), "byte {at}");
    }
}

#[tokio::test]
async fn an_upload_of_ten_thousand_parts_completes() {
    let fixture = Fixture::for_load().await;
    let kms = &fixture.kms;
    let upload =
        kms.create_upload(&name("o"), &context("a"), Protection::SseS3, None).await.unwrap();
    let (mut records, mut sealed) = (Vec::new(), Vec::new());
    for part in 1..=10_000_u32 {
        let (record, body) = put_part(&upload, part, None, &part.to_be_bytes()).await.unwrap();
        records.push(record);
        sealed.extend(body);
    }
    assert_eq!(upload.list_parts(&records).await.unwrap().len(), 10_000);
    let done = upload.complete(&records, &facts()).await.unwrap();
    let stored = Stored { record: done.record, parts: Some(done.parts), bodies: Vec::new() };
    let object = open(kms, &name("o"), &context("a"), &stored, None).await.unwrap();
    let (read, end) = whole(&object, &sealed).await;
    end.unwrap();
    assert!(read == (1..=10_000_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_part_is_copied_from_a_range_of_another_object() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let (plain, key) = (plaintext(300_000), customer(1));
    let source = Protection::SseC { key: &key };
    let stored = put(kms, &name("from"), &context("a"), source, &plain).await.unwrap();
    let object = open(kms, &name("from"), &context("a"), &stored, Some(&key)).await.unwrap();
    let plan = object.range(ByteRange::Inclusive { first: 1000, last: 199_999 }).unwrap();
    let body = stored.sealed();
    let reader = object.read_from(plan, &body[..]).await.unwrap();
    let upload =
        kms.create_upload(&name("to"), &context("b"), Protection::SseS3, None).await.unwrap();
    let mut sealing = upload.seal_part(number(1), None, reader).await.unwrap();
    let mut sealed = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut sealing, &mut sealed).await.unwrap();
    let record = sealing.finish(&Facts::new()).unwrap();
    let done = upload.complete(&[record], &facts()).await.unwrap();
    let copy = Stored { record: done.record, parts: Some(done.parts), bodies: vec![(1, sealed)] };
    let read = get(kms, &name("to"), &context("b"), &copy, None).await.unwrap();
    assert!(read == plain[1000..200_000]);
}
