#![allow(clippy::cast_possible_truncation, reason = "sizes in these tests fit")]

use proptest::prelude::*;

use super::super::facts::Facts;
use super::super::keys::RecordKeys;
use super::super::record::tests::{envelope, head, object_key};
use super::*;

fn upload(mode: Mode) -> UploadRecord {
    let (wrapped, key) = (envelope("default"), object_key(7));
    let id = UploadId::new("upload-1").unwrap();
    Upload::encode(&head(mode, &wrapped), &id, |bytes| RecordKeys::of(&key).mac(bytes))
}

fn entry(number: u32, plain_size: u64) -> PartEntry {
    PartEntry { number: PartNumber::new(number).unwrap(), plain_size, salt: [number as u8; 24] }
}

fn part() -> PartRecord {
    let key = object_key(7);
    let keys = RecordKeys::of(&key);
    let facts = keys.seal_facts(PART_MAGIC, [6; 12], &Facts::new()).unwrap();
    Part::encode(&entry(9, 1234), &facts, |bytes| keys.mac(bytes))
}

#[test]
fn records_and_tables_say_what_was_put_into_them() {
    for mode in [Mode::SseS3, Mode::SseKms, Mode::SseC] {
        let upload = upload(mode);
        assert_eq!((upload.mode(), upload.id().as_str()), (mode, "upload-1"));
    }
    assert_eq!(part().parsed().entry, entry(9, 1234));
    let entries = [entry(1, 5), entry(2, 0), entry(10_000, 1 << 40)];
    let table = PartTable::of(&entries).unwrap();
    assert_eq!(table.as_bytes().len(), 7 + 3 * 34);
    assert_eq!(table.entries(), entries);
    assert_eq!(total_plain_size(&entries).unwrap(), 5 + (1 << 40));
}

#[test]
fn a_table_has_parts_in_ascending_order_and_a_sum() {
    let of = |entries: &[PartEntry]| PartTable::of(entries);
    assert!(matches!(of(&[]), Err(ObjectError::Invalid { field: "parts", .. })));
    for bad in [[entry(2, 1), entry(1, 1)], [entry(1, 1), entry(1, 1)]] {
        assert!(matches!(of(&bad), Err(ObjectError::PartOrder)));
    }
    // Four times the longest body is more than `u64` holds only from 4,096 of them on.
    let longest = (1_u64 << 52) - 1;
    let many: Vec<_> = (1..=4097).map(|number| entry(number, longest)).collect();
    assert!(matches!(of(&many), Err(ObjectError::TooLong)));
    assert!(of(&many[..4096]).is_ok());
    let most: Vec<_> = (1..=10_000).map(|number| entry(number, 1)).collect();
    assert_eq!(of(&most).unwrap().entries().len(), 10_000);
}

#[test]
fn one_kind_of_record_is_never_taken_for_another() {
    let table = PartTable::of(&[entry(1, 5)]).unwrap();
    let (upload, part) = (upload(Mode::SseS3), part());
    let all = [upload.as_bytes(), part.as_bytes(), table.as_bytes()];
    for (at, bytes) in all.into_iter().enumerate() {
        let taken = [
            UploadRecord::from_bytes(bytes).is_ok(),
            PartRecord::from_bytes(bytes).is_ok(),
            PartTable::from_bytes(bytes).is_ok(),
        ];
        assert_eq!(taken, [at == 0, at == 1, at == 2]);
        assert!(super::super::record::ObjectRecord::from_bytes(bytes).is_err());
        let mut newer = bytes.to_vec();
        newer[4] = 9;
        assert!(matches!(UploadRecord::from_bytes(&newer), Err(UnknownFormat(9))) == (at == 0));
        assert!(matches!(PartRecord::from_bytes(&newer), Err(UnknownFormat(9))) == (at == 1));
        assert!(matches!(PartTable::from_bytes(&newer), Err(UnknownFormat(9))) == (at == 2));
    }
}

proptest! {
    #[test]
    fn records_that_were_changed_cut_or_extended_are_refused_or_do_not_authenticate(
        at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let key = object_key(7);
        let keys = RecordKeys::of(&key);
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            bytes
        };
        for mode in [Mode::SseS3, Mode::SseC] {
            let upload = upload(mode);
            let bytes = upload.as_bytes();
            if let Ok(changed) = UploadRecord::from_bytes(&flipped(bytes)) {
                let parsed = changed.parsed();
                prop_assert!(keys.check(parsed.authenticated, parsed.mac).is_err());
            }
            prop_assert!(UploadRecord::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
            prop_assert!(UploadRecord::from_bytes(&[bytes, &[flip]].concat()).is_err());
        }
        let part = part();
        let bytes = part.as_bytes();
        if let Ok(changed) = PartRecord::from_bytes(&flipped(bytes)) {
            let parsed = changed.parsed();
            prop_assert!(keys.check(parsed.authenticated, parsed.mac).is_err());
        }
        prop_assert!(PartRecord::from_bytes(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(PartRecord::from_bytes(&[bytes, &[flip]].concat()).is_err());
    }

    #[test]
    fn a_table_that_was_changed_is_refused_or_another(
        sizes in proptest::collection::vec(0_u64..1 << 40, 1..20),
        at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let entries: Vec<_> = (1..).zip(&sizes).map(|(n, size)| entry(n * 3, *size)).collect();
        let table = PartTable::of(&entries).unwrap();
        let bytes = table.as_bytes();
        let at = at.index(bytes.len());
        let mut changed = bytes.to_vec();
        changed[at] ^= flip;
        if let Ok(changed) = PartTable::from_bytes(&changed) {
            prop_assert!(changed.digest() != table.digest());
            let again = PartTable::of(&changed.entries()).unwrap();
            prop_assert_eq!(again.as_bytes(), changed.as_bytes());
        }
        prop_assert!(PartTable::from_bytes(&bytes[..at]).is_err());
        prop_assert!(PartTable::from_bytes(&[bytes, &[flip]].concat()).is_err());
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for front in [&b""[..], b"PCUR\x01\x01\x01", b"PCPR\x01", b"PCPT\x01"] {
            let bytes = [front, &bytes].concat();
            let _ = UploadRecord::from_bytes(&bytes);
            let _ = PartRecord::from_bytes(&bytes);
            let _ = PartTable::from_bytes(&bytes);
        }
    }
}
