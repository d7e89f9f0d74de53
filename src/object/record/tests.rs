use proptest::prelude::*;

use super::super::facts::Facts;
use super::super::keys::RecordKeys;
use super::super::multipart::{PART_MAGIC, Part, PartEntry};
use super::super::name::PartNumber;
use super::*;
use crate::envelope::{DataKeySpec, Named, Purpose, Under, WrapAlgorithm};
use crate::key::{KeyVersion, VersionTag};
use crate::secret::StackKey;

/// An object's key of 32 equal bytes.
pub(crate) fn object_key(byte: u8) -> StackKey {
    let mut key = StackKey::blank();
    key.resize(32).unwrap().fill(byte);
    key
}

/// A well-formed envelope of no key.
pub(crate) fn envelope(key_id: &str) -> WrappedKey {
    let named = Named { key_id, version: KeyVersion::FIRST, tag: VersionTag::from_bytes([9; 8]) };
    let envelope = Envelope {
        purpose: Purpose::ObjectKey,
        algorithm: WrapAlgorithm::GcmSiv,
        spec: DataKeySpec::AES_256,
        under: Under::Version(named),
        nonce: &[1; 12],
        wrapped: &[2; 48],
        commitment: &[3; 32],
    };
    envelope.encode()
}

/// A head in `mode` over `envelope`.
pub(crate) fn head(mode: Mode, envelope: &WrappedKey) -> Head<'_> {
    let customer = CustomerSeal { salt: [4; 32], check: [5; 32] };
    Head {
        mode,
        suite: Suite::Aes256Gcm,
        envelope: envelope.as_bytes(),
        customer: (mode == Mode::SseC).then_some(customer),
    }
}

fn record(mode: Mode, parts: bool, key_id: &str) -> ObjectRecord {
    let (wrapped, key) = (envelope(key_id), object_key(7));
    let keys = RecordKeys::of(&key);
    let facts = keys.seal_facts(MAGIC, [6; 12], &Facts::new().with_etag("etag").unwrap()).unwrap();
    let body = if parts {
        Body::Parts { upload: "upload", count: 3, table: &[8; 32] }
    } else {
        Body::Whole { salt: &[8; SALT_BYTES] }
    };
    Record::encode(&head(mode, &wrapped), 1234, body, &facts, |bytes| keys.mac(bytes))
}

fn any_record() -> impl Strategy<Value = ObjectRecord> {
    let modes = prop_oneof![Just(Mode::SseS3), Just(Mode::SseKms), Just(Mode::SseC)];
    (modes, any::<bool>(), "[a-z]{1,128}").prop_map(|(mode, parts, id)| record(mode, parts, &id))
}

#[test]
fn every_record_says_what_was_put_into_it() {
    for mode in [Mode::SseS3, Mode::SseKms, Mode::SseC] {
        for parts in [false, true] {
            let record = record(mode, parts, "default");
            assert_eq!((record.mode(), record.part_count()), (mode, parts.then_some(3)));
            assert_eq!(record.key_id().unwrap().as_str(), "default");
            let parsed = record.parsed();
            assert_eq!(parsed.plain_size, 1234);
            let key = object_key(7);
            let keys = RecordKeys::of(&key);
            keys.check(parsed.authenticated, parsed.mac).unwrap();
            let facts = keys.open_facts(MAGIC, parsed.facts).unwrap();
            assert_eq!(facts.etag(), Some("etag"));
            assert_eq!(parsed.head.customer.is_some(), mode == Mode::SseC);
        }
    }
}

#[test]
fn a_record_is_of_its_key_and_facts_are_of_their_kind_of_record() {
    let record = record(Mode::SseS3, false, "default");
    let parsed = record.parsed();
    let (own, other) = (object_key(7), object_key(8));
    let other = RecordKeys::of(&other);
    assert!(other.check(parsed.authenticated, parsed.mac).is_err());
    assert!(other.open_facts(MAGIC, parsed.facts).is_err());
    let own = RecordKeys::of(&own);
    assert!(own.open_facts(PART_MAGIC, parsed.facts).is_err());
    // Facts that are moved into the record of a part do not open there, even under one key.
    let entry = PartEntry { number: PartNumber::new(1).unwrap(), plain_size: 5, salt: [0; 24] };
    let part = Part::encode(&entry, parsed.facts, |bytes| own.mac(bytes));
    assert!(own.check(part.parsed().authenticated, part.parsed().mac).is_ok());
    assert!(own.open_facts(PART_MAGIC, part.parsed().facts).is_err());
}

#[test]
fn versions_and_sizes_that_are_not_this_format_have_their_own_errors() {
    let bytes = record(Mode::SseS3, false, "default").as_bytes().to_vec();
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert!(matches!(ObjectRecord::from_bytes(&newer), Err(UnknownFormat(2))));
    let mut longest = bytes;
    let size = longest.len() - MAC_BYTES - (2 + 34) - SALT_BYTES - 1 - 8;
    longest[size..size + 8].copy_from_slice(&u64::MAX.to_be_bytes());
    assert!(matches!(ObjectRecord::from_bytes(&longest), Err(Malformed("plain size"))));
    let huge = vec![0; RECORD_BYTES_MAX + 1];
    assert!(matches!(ObjectRecord::from_bytes(&huge), Err(Malformed("length"))));
}

proptest! {
    #[test]
    fn a_record_that_was_changed_cut_or_extended_is_refused_or_does_not_authenticate(
        record in any_record(), at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let bytes = record.as_bytes();
        let at = at.index(bytes.len());
        let mut changed = bytes.to_vec();
        changed[at] ^= flip;
        if let Ok(changed) = ObjectRecord::from_bytes(&changed) {
            let key = object_key(7);
            let parsed = changed.parsed();
            prop_assert!(RecordKeys::of(&key).check(parsed.authenticated, parsed.mac).is_err());
        }
        prop_assert!(ObjectRecord::from_bytes(&bytes[..at]).is_err());
        prop_assert!(ObjectRecord::from_bytes(&[bytes, &[flip]].concat()).is_err());
        prop_assert!(ObjectRecord::from_bytes(&[&[flip], bytes].concat()).is_err());
    }

    #[test]
    fn what_is_taken_as_a_record_encodes_to_the_same_bytes(
        record in any_record(),
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = record.as_bytes().to_vec();
        let at = at.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        if let Ok(taken) = ObjectRecord::from_bytes(&bytes) {
            let Record { head, plain_size, body, facts, mac, .. } = taken.parsed();
            let again = Record::encode(&head, plain_size, body, facts, |_| *mac);
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = ObjectRecord::from_bytes(&bytes);
        let _ = ObjectRecord::from_bytes(&[&b"PCOR\x01\x01\x01"[..], &bytes].concat());
    }
}
