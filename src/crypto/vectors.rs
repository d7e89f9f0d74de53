//! Public vectors of the primitives (Wycheproof), and each of two implementations against the
//! other.

use proptest::prelude::*;
use serde_json::Value;

use super::aead::{AeadKey, Mode, TAG_BYTES};
use super::{hkdf, rest};

struct Group<'a>(&'a Value);

impl<'a> Group<'a> {
    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap()
    }

    fn tests(&self) -> impl Iterator<Item = Vector<'a>> {
        self.0["tests"].as_array().unwrap().iter().map(Vector)
    }
}

struct Vector<'a>(&'a Value);

impl Vector<'_> {
    fn id(&self) -> u64 {
        self.0["tcId"].as_u64().unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.0[name].as_str().unwrap()).unwrap()
    }

    fn is_valid(&self) -> bool {
        match self.0["result"].as_str().unwrap() {
            "valid" => true,
            "invalid" => false,
            other => panic!("vector {} has result {other}", self.id()),
        }
    }
}

fn groups(file: &Value) -> Vec<Group<'_>> {
    file["testGroups"].as_array().unwrap().iter().map(Group).collect()
}

#[test]
fn both_gcm_siv_implementations_pass_every_vector_of_their_key_size() {
    let file = include_str!("../../tests/vectors/aes_gcm_siv_test.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let (mut tried, mut not_applicable) = (0, 0);
    for group in groups(&file) {
        assert_eq!((group.number("ivSize"), group.number("tagSize")), (96, 128));
        if group.number("keySize") == 128 {
            // The engine has no 128-bit keys.
            not_applicable += group.tests().count();
            continue;
        }
        for vector in group.tests() {
            gcm_siv_vector(&vector);
            tried += 1;
        }
    }
    assert_eq!((tried, not_applicable), (103, 99));
}

fn gcm_siv_vector(vector: &Vector<'_>) {
    let id = vector.id();
    let key: [u8; 32] = vector.bytes("key").try_into().unwrap();
    let nonce: [u8; 12] = vector.bytes("iv").try_into().unwrap();
    let (aad, plain) = (vector.bytes("aad"), vector.bytes("msg"));
    let tag: [u8; TAG_BYTES] = vector.bytes("tag").try_into().unwrap();
    let sealed = [vector.bytes("ct"), tag.to_vec()].concat();
    let in_use = AeadKey::new(Mode::GcmSiv, &key);

    let mut opened = vec![0xff; sealed.len() - TAG_BYTES];
    let result = in_use.open(nonce, &aad, &sealed, &mut opened);
    let mut at_rest = vector.bytes("ct");
    let result_at_rest = rest::open(&key, &nonce, &aad, &mut at_rest, &tag);
    if vector.is_valid() {
        assert!(result.is_ok() && opened == plain, "vector {id} in use");
        assert!(result_at_rest.is_ok() && at_rest == plain, "vector {id} at rest");
        let mut out = vec![0; sealed.len()];
        in_use.seal(nonce, &aad, &plain, &mut out).unwrap();
        assert_eq!(out, sealed, "vector {id} in use");
        let mut buffer = plain;
        let tag_at_rest = rest::seal(&key, &nonce, &aad, &mut buffer).unwrap();
        assert_eq!([&buffer[..], &tag_at_rest].concat(), sealed, "vector {id} at rest");
    } else {
        assert!(result.is_err(), "vector {id} in use");
        assert!(opened.iter().all(|&byte| byte == 0), "vector {id} leaves plaintext");
        assert!(result_at_rest.is_err(), "vector {id} at rest");
    }
}

#[test]
fn hkdf_passes_every_vector() {
    let file = include_str!("../../tests/vectors/hkdf_sha512_test.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let mut tried = 0;
    for vector in groups(&file).iter().flat_map(Group::tests) {
        let id = vector.id();
        let size = usize::try_from(vector.0["size"].as_u64().unwrap()).unwrap();
        let (input, salt, info) = (vector.bytes("ikm"), vector.bytes("salt"), vector.bytes("info"));
        // Both whole and in two pieces: info is a list.
        let (front, back) = info.split_at(info.len() / 2);
        for info in [&[&info[..]][..], &[front, back]] {
            let mut out = vec![0; size];
            let result = hkdf::derive(&salt, &input, info, &mut out);
            assert_eq!(result.is_ok(), vector.is_valid(), "vector {id}");
            let mut expanded = vec![0; size];
            let mut prk = [0; hkdf::PRK_BYTES];
            hkdf::extract(&salt, &input, &mut prk).unwrap();
            let result = hkdf::expand(&prk, info, &mut expanded);
            assert_eq!(result.is_ok(), vector.is_valid(), "vector {id}, expanded");
            if vector.is_valid() {
                assert_eq!(out, vector.bytes("okm"), "vector {id}");
                assert_eq!(expanded, vector.bytes("okm"), "vector {id}, expanded");
            }
        }
        tried += 1;
    }
    assert_eq!(tried, 83);
}

#[test]
fn a_pseudorandom_key_past_the_limit_is_refused_and_not_a_panic() {
    let mut out = [0; 32];
    assert!(hkdf::expand(&[1; 64], &[b"info"], &mut out).is_ok());
    for len in [65, 80, 81, 1000] {
        assert!(hkdf::expand(&vec![1; len], &[b"info"], &mut out).is_err());
    }
}

proptest! {
    #[test]
    fn each_gcm_siv_implementation_opens_what_the_other_seals(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in proptest::collection::vec(any::<u8>(), 0..200),
        plain in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let in_use = AeadKey::new(Mode::GcmSiv, &key);
        let mut sealed = vec![0; plain.len() + TAG_BYTES];
        in_use.seal(nonce, &aad, &plain, &mut sealed).unwrap();
        let (ciphertext, tag) = sealed.split_at(plain.len());
        let mut buffer = ciphertext.to_vec();
        let tag = tag.try_into().unwrap();
        prop_assert!(rest::open(&key, &nonce, &aad, &mut buffer, tag).is_ok());
        prop_assert_eq!(&buffer, &plain);
        let tag = rest::seal(&key, &nonce, &aad, &mut buffer).unwrap();
        buffer.extend(tag);
        prop_assert_eq!(&buffer, &sealed);
        let mut opened = vec![0; plain.len()];
        prop_assert!(in_use.open(nonce, &aad, &buffer, &mut opened).is_ok());
        prop_assert_eq!(opened, plain);
    }
}
