use proptest::prelude::*;

use super::*;
use crate::limits::{ENVELOPE_BYTES_MAX, PARENT_BYTES_MAX};

const COMMITMENT: [u8; 32] = [0xcc; 32];

fn envelope<'a>(under: Under<'a>, nonce: &'a [u8], wrapped: &'a [u8]) -> Envelope<'a> {
    let algorithm = if nonce.is_empty() { WrapAlgorithm::Token } else { WrapAlgorithm::GcmSiv };
    Envelope {
        purpose: Purpose::DataKey,
        algorithm,
        spec: DataKeySpec::AES_256,
        under,
        nonce,
        wrapped,
        commitment: &COMMITMENT,
    }
}

fn named(key_id: &str) -> Named<'_> {
    let version = KeyVersion::new(5).unwrap();
    Named { key_id, version, tag: VersionTag::from_bytes([0x7a; 8]) }
}

fn plain() -> Vec<u8> {
    envelope(Under::Version(named("photos")), &[1; 12], &[2; 48]).encode().as_bytes().to_vec()
}

fn with_parent() -> Vec<u8> {
    let mut parent = envelope(Under::Version(named("photos")), &[1; 12], &[2; 48]);
    parent.purpose = Purpose::BucketKey;
    let parent = parent.encode();
    let mut child = envelope(Under::Parent(parent.as_bytes()), &[3; 12], &[4; 48]);
    child.purpose = Purpose::ObjectKey;
    child.encode().as_bytes().to_vec()
}

#[test]
fn the_form_is_fixed() {
    let expected = [
        &b"PCDK\x01\x00\x7e"[..],
        &[1, 1, 32, 0, 0, 6],
        b"photos",
        &[0, 0, 0, 5],
        &[0x7a; 8],
        &[12],
        &[1; 12],
        &[0, 48],
        &[2; 48],
        &[0xcc; 32],
    ]
    .concat();
    assert_eq!(plain(), expected);
    assert_eq!(expected.len(), 126);
}

#[test]
fn an_envelope_under_a_bucket_key_carries_it_whole() {
    let bytes = with_parent();
    let child = Envelope::parse(&bytes).unwrap();
    let Under::Parent(parent) = child.under else { panic!("the parent is lost") };
    assert_eq!(Envelope::parse(parent).unwrap().named().unwrap().key_id, "photos");
    assert!(child.named().is_err());
    let described = WrappedKey::from_bytes(&bytes).unwrap().describe().unwrap();
    assert!(described.has_parent);
    assert_eq!(described.key_id, "photos");
}

#[test]
fn a_parent_has_no_parent_and_is_a_bucket_key() {
    // A child of a child.
    let child = with_parent();
    assert!(child.len() <= PARENT_BYTES_MAX);
    let grandchild = envelope(Under::Parent(&child), &[3; 12], &[4; 48]).encode();
    assert!(Envelope::parse(grandchild.as_bytes()).is_err());
    // A data key in a parent's place.
    let plain = plain();
    let child = envelope(Under::Parent(&plain), &[3; 12], &[4; 48]).encode();
    assert!(Envelope::parse(child.as_bytes()).is_err());
}

#[test]
fn an_envelope_cut_or_extended_anywhere_is_refused() {
    for whole in [plain(), with_parent()] {
        for end in 0..whole.len() {
            assert!(Envelope::parse(&whole[..end]).is_err(), "cut at {end}");
        }
        for at in 0..=whole.len() {
            let mut longer = whole.clone();
            longer.insert(at, 0);
            assert!(Envelope::parse(&longer).is_err(), "extended at {at}");
        }
    }
}

#[test]
fn an_unknown_format_version_is_told_from_damage() {
    let mut bytes = plain();
    bytes[4] = 2;
    assert_eq!(WrappedKey::from_bytes(&bytes), Err(EnvelopeError::UnknownFormat(2)));
    bytes[0] = b'X';
    assert_eq!(WrappedKey::from_bytes(&bytes), Err(EnvelopeError::Malformed("magic")));
}

#[test]
fn a_backends_token_has_no_nonce_and_a_bound() {
    let token = [b't'; WRAPPED_MAX];
    let bytes = envelope(Under::Version(named("k")), &[], &token).encode();
    assert!(WrappedKey::from_bytes(bytes.as_bytes()).is_ok());
    let token = [b't'; WRAPPED_MAX + 1];
    let bytes = envelope(Under::Version(named("k")), &[], &token).encode();
    assert!(WrappedKey::from_bytes(bytes.as_bytes()).is_err());
}

const WRAPPED_MAX: usize = crate::limits::WRAPPED_BYTES_MAX;

#[test]
fn the_longest_envelope_is_within_its_bound() {
    let id = "x".repeat(KEY_ID_BYTES_MAX);
    let token = [b't'; WRAPPED_MAX];
    let whole = envelope(Under::Version(named(&id)), &[], &token).encode();
    assert!(whole.as_bytes().len() <= ENVELOPE_BYTES_MAX);
    let room = PARENT_BYTES_MAX + HEADER_BYTES + 3 + WRAPPED_MAX + COMMITMENT_BYTES;
    assert!(room <= ENVELOPE_BYTES_MAX);
}

proptest! {
    #[test]
    fn what_is_accepted_encodes_to_the_same_bytes(
        seed in prop_oneof![Just(plain()), Just(with_parent())],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = seed;
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(envelope) = Envelope::parse(&bytes) {
            let again = envelope.encode();
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = Envelope::parse(&bytes);
        let mut framed = b"PCDK\x01".to_vec();
        framed.extend(u16::try_from(bytes.len() + 7).unwrap().to_be_bytes());
        framed.extend(&bytes);
        let _ = Envelope::parse(&framed);
    }
}
