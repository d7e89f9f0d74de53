use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::audit::ErrorClass;

fn stored(record: &RecordRef<'_>) -> Vec<u8> {
    let len = encoded_len(record);
    let mut bytes = Vec::new();
    encode(record, len, &mut bytes);
    assert_eq!(bytes.len(), len);
    bytes
}

fn borrowed(record: &AuditRecord) -> RecordRef<'_> {
    RecordRef {
        time: record.time,
        caller: &record.caller,
        operation: record.operation,
        stage: record.stage,
        outcome: record.outcome,
        key: record.key.as_deref(),
        key_version: record.key_version,
        resource: record
            .bucket
            .as_deref()
            .map(|bucket| Resource::new(bucket, record.object.as_deref()).unwrap()),
        latency: record.latency,
        generation: record.generation,
        count: record.count,
        late: record.late,
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Pending),
        Just(Outcome::Succeeded),
        select(ErrorClass::ALL).prop_map(Outcome::Failed),
    ]
}

prop_compose! {
    fn records()(
        numbers in any::<[u64; 4]>(),
        fields in ("[^\\p{Cc}]{1,40}", "[^\\p{Cc}]{0,40}", "[^\\p{Cc}]{0,40}"),
        what in (select(Operation::ALL), select(Stage::ALL), outcomes(), any::<bool>()),
        key in proptest::option::of("[a-z]{1,128}"),
        version in any::<u32>(),
        bucket in proptest::option::of("(?s).{1,60}"),
        object in proptest::option::of("(?s).{1,200}"),
    ) -> AuditRecord {
        AuditRecord {
            sequence: 0,
            time: WallTime::from_millis(numbers[0]),
            caller: Caller::new(&fields.0, &fields.1, &fields.2).unwrap(),
            operation: what.0,
            stage: what.1,
            outcome: what.2,
            key: key.map(|key| KeyId::new(&key).unwrap()),
            key_version: KeyVersion::new(version),
            object: object.filter(|_| bucket.is_some()),
            bucket,
            latency: Duration::from_nanos(numbers[1]),
            generation: numbers[2],
            count: numbers[3],
            late: what.3,
        }
    }
}

#[test]
fn the_stored_form_is_fixed() {
    let caller = Caller::new("al", "r", "s").unwrap();
    let key = KeyId::new("k").unwrap();
    let record = RecordRef {
        key: Some(&key),
        key_version: KeyVersion::new(7),
        resource: Some(Resource::new("b", Some("o")).unwrap()),
        latency: Duration::from_nanos(9),
        generation: 3,
        ..RecordRef::event(&caller, Operation::DecryptDataKey, WallTime::from_millis(5))
    };
    let expected = [
        &[0, 61, 1, 3, 3, 1, 0][..],
        &5_u64.to_be_bytes(),
        &9_u64.to_be_bytes(),
        &3_u64.to_be_bytes(),
        &1_u64.to_be_bytes(),
        &7_u32.to_be_bytes(),
        &[0, 2, 0, 1, 0, 1, 1, 0, 1, 0, 1],
        b"alrskbo",
    ]
    .concat();
    assert_eq!(stored(&record), expected);
}

#[test]
fn the_longest_record_fits_its_length_field() {
    let field = "x".repeat(crate::limits::CALLER_FIELD_BYTES_MAX);
    let name = "x".repeat(crate::limits::RESOURCE_NAME_BYTES_MAX);
    let caller = Caller::new(&field, &field, &field).unwrap();
    let key = KeyId::new(&"k".repeat(crate::limits::KEY_ID_BYTES_MAX)).unwrap();
    let record = RecordRef {
        key: Some(&key),
        resource: Some(Resource::new(&name, Some(&name)).unwrap()),
        ..RecordRef::event(&caller, Operation::Seal, WallTime::default())
    };
    let bytes = stored(&record);
    assert_eq!(bytes.len(), 54 + 3 * 256 + 128 + 2 * 1024);
    let (decoded, rest) = Decoder::default().decode(&bytes).unwrap();
    assert_eq!((decoded.object.as_deref(), rest), (Some(&*name), &[][..]));
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_stored(record in records(), next in records()) {
        let mut bytes = stored(&borrowed(&record));
        bytes.extend(stored(&borrowed(&next)));
        let mut decoder = Decoder::default();
        let (first, rest) = decoder.decode(&bytes).unwrap();
        let (second, rest) = decoder.decode(rest).unwrap();
        prop_assert_eq!(first, record);
        prop_assert_eq!(second, next);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_record_cut_anywhere_is_refused(record in records(), at in any::<prop::sample::Index>()) {
        let bytes = stored(&borrowed(&record));
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(Decoder::default().decode(cut).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Decoder::default().decode(&bytes);
    }

    #[test]
    fn changed_bytes_are_refused_or_are_another_record_with_one_stored_form(
        record in records(), at in any::<prop::sample::Index>(), change in 1_u8..,
    ) {
        let mut bytes = stored(&borrowed(&record));
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok((other, rest)) = Decoder::default().decode(&bytes) {
            prop_assert_ne!(&other, &record);
            let read = bytes.len() - rest.len();
            prop_assert_eq!(stored(&borrowed(&other)), &bytes[..read]);
        }
    }
}
