//! The public vectors of c2sp.org/chunked-encryption (Wycheproof's schema) through every form.

use std::io::Read;

use serde_json::Value;
use sha2::{Digest, Sha512};

use super::chunk::{ChunkCipher, Header, Suite, plain_size, sealed_size};
use super::forms::{BAD, FORMS};
use super::payload::{open_chunks, open_payload, seal_payload};
use super::probe::{Object, Source, constant, read_async, read_blocking, scattered};
use crate::error::{Error, ObjectError};
use crate::limits::PAYLOAD_BYTES_MAX;

struct Vector {
    id: u64,
    object: Object,
    sealed: Vec<u8>,
    /// Raw AEAD key and base nonce, where the header is good.
    raw: Option<([u8; 32], [u8; 12])>,
    /// Length and SHA-512 of the longest plaintext that may be released.
    releases: Option<(usize, Vec<u8>)>,
    is_valid: bool,
}

fn vectors() -> Vec<Vector> {
    let file = include_str!("../../tests/vectors/c2sp_chunked_encryption_aes_256_gcm_test.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let groups = file["testGroups"].as_array().unwrap();
    let tests = groups.iter().flat_map(|group| {
        assert_eq!(group["aead"], "AEAD_AES_256_GCM");
        assert_eq!(group["sha"], "SHA-512");
        group["tests"].as_array().unwrap()
    });
    let vectors: Vec<_> = tests.map(vector).collect();
    assert_eq!(vectors.len(), 35);
    assert_eq!(file["numberOfTests"], 35);
    vectors
}

fn vector(test: &Value) -> Vector {
    let bytes = |name: &str| hex::decode(test[name].as_str().unwrap()).unwrap();
    let id = test["tcId"].as_u64().unwrap();
    let mut sealed = Vec::new();
    flate2::read::ZlibDecoder::new(&*bytes("ct")).read_to_end(&mut sealed).unwrap();
    let salt = sealed.first_chunk().copied().unwrap_or_default();
    let object = Object { suite: Suite::Aes256Gcm, key: bytes("key"), context: bytes("ctx"), salt };
    let raw = test
        .get("aeadKey")
        .map(|_| (bytes("aeadKey").try_into().unwrap(), bytes("baseNonce").try_into().unwrap()));
    let releases = test
        .get("msgLength")
        .map(|length| (usize::try_from(length.as_u64().unwrap()).unwrap(), bytes("msgSha512")));
    let is_valid = match test["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("vector {id} has result {other}"),
    };
    Vector { id, object, sealed, raw, releases, is_valid }
}

impl Vector {
    fn check(&self, form: &str, released: &[u8], end: Result<(), &Error>) {
        let Self { id, .. } = self;
        match end {
            Ok(()) => assert!(self.is_valid, "vector {id} opened as {form}"),
            Err(Error::Object(ObjectError::DoesNotOpen | ObjectError::Malformed(_))) => {
                assert!(!self.is_valid, "vector {id} did not open as {form}");
            }
            Err(other) => panic!("vector {id} as {form}: {other}"),
        }
        match &self.releases {
            // What is at fault here is the end, which opens before the chunk ahead of it.
            Some(_) if [14, 19, 31].contains(id) => {
                assert_eq!(released.len(), 0, "vector {id} as {form}");
            }
            Some((len, digest)) => {
                assert_eq!(released.len(), *len, "vector {id} as {form}");
                assert_eq!(Sha512::digest(released)[..], **digest, "vector {id} as {form}");
            }
            None => assert_eq!(released.len(), 0, "vector {id} as {form}"),
        }
    }

    fn cipher(&self) -> Result<(ChunkCipher, &[u8]), Error> {
        let (header, body) = Header::split_from(&self.sealed)?;
        let Object { suite, key, context, .. } = &self.object;
        Ok((ChunkCipher::for_opening(*suite, key, &header, context)?, body))
    }

    fn plain(&self) -> Vec<u8> {
        let (plain, end) = self.object.opened(&self.sealed);
        end.unwrap_or_else(|error| panic!("vector {}: {error}", self.id));
        plain
    }
}

type Sizes = Box<dyn FnMut() -> usize>;

fn odd_sizes(seed: u64) -> [(&'static str, Sizes); 5] {
    [
        ("pieces of 1", Box::new(constant(1))),
        ("pieces of 7", Box::new(constant(7))),
        ("pieces of 16384", Box::new(constant(16_384))),
        ("pieces of 16400", Box::new(constant(16_400))),
        ("scattered pieces", Box::new(scattered(seed))),
    ]
}

#[test]
fn every_vector_passes_through_the_asynchronous_reader_in_pieces_of_every_size() {
    for vector in vectors() {
        for ((form, input), (_, mut output)) in odd_sizes(vector.id).into_iter().zip(odd_sizes(1)) {
            let source = Source::new(&vector.sealed, input);
            let (plain, end) = read_async(vector.object.opening(source), &mut output);
            vector.check(form, &plain, end.as_ref().map(|&()| ()).map_err(inner));
        }
        for (form, mut output) in odd_sizes(vector.id + 100) {
            let reader = vector.object.opening(&*vector.sealed);
            let (plain, end) = read_async(reader, &mut output);
            vector.check(form, &plain, end.as_ref().map(|&()| ()).map_err(inner));
        }
    }
}

#[test]
fn every_vector_passes_through_the_blocking_reader_in_pieces_of_every_size() {
    for vector in vectors() {
        for (form, mut output) in odd_sizes(vector.id) {
            let source = Source::new(&vector.sealed, scattered(vector.id));
            let (plain, end) = read_blocking(vector.object.opening(source), &mut output);
            vector.check(form, &plain, end.as_ref().map(|&()| ()).map_err(inner));
        }
    }
}

#[test]
fn every_vector_passes_through_every_form() {
    for vector in vectors() {
        for form in FORMS {
            let (released, end) = (form.open)(&vector.object, &vector.sealed, vector.id);
            let (id, name) = (vector.id, form.name);
            if vector.is_valid {
                assert!(end.is_ok() && released == vector.plain(), "vector {id} as {name}");
            } else {
                assert_eq!(end.unwrap_err(), BAD, "vector {id} as {name}");
                let most = vector.releases.as_ref().map_or(0, |(most, _)| *most);
                assert!(released.len() <= most, "vector {id} as {name}");
            }
        }
    }
}

#[test]
fn every_vector_that_is_small_passes_as_a_payload() {
    let mut tried = 0;
    for vector in vectors() {
        let mut out = b"before".to_vec();
        let opened =
            vector.cipher().and_then(|(cipher, body)| open_payload(&cipher, body, &mut out));
        if vector.sealed.len() > PAYLOAD_BYTES_MAX + 136 {
            assert!(opened.is_err(), "vector {} is no payload", vector.id);
            assert_eq!(out, b"before");
            continue;
        }
        tried += 1;
        assert_eq!(opened.is_ok(), vector.is_valid, "vector {}", vector.id);
        if vector.is_valid {
            vector.check("payload", &out[6..], opened.as_ref().map(|&()| ()));
        } else {
            // A payload is all or nothing.
            assert_eq!(out, b"before", "vector {}", vector.id);
        }
    }
    assert_eq!(tried, 33);
}

#[test]
fn every_valid_vector_is_what_its_plaintext_seals_to() {
    for vector in vectors().into_iter().filter(|vector| vector.is_valid) {
        let plain = vector.plain();
        assert_eq!(sealed_size(plain.len() as u64), Some(vector.sealed.len() as u64));
        assert_eq!(plain_size(vector.sealed.len() as u64).unwrap(), plain.len() as u64);
        for (form, mut output) in odd_sizes(vector.id) {
            let source = Source::new(&plain, scattered(vector.id));
            let (sealed, end) = read_async(vector.object.sealing(source, b""), &mut output);
            end.unwrap_or_else(|error| panic!("vector {}: {error}", vector.id));
            assert!(sealed == vector.sealed, "vector {} in {form}", vector.id);
        }
        let (cipher, header) = vector.object.cipher();
        if plain.len() <= PAYLOAD_BYTES_MAX {
            let mut sealed = Vec::new();
            seal_payload(&cipher, &header, &plain, &mut sealed).unwrap();
            assert!(sealed == vector.sealed, "vector {} as payload", vector.id);
        }
    }
}

#[test]
fn the_keys_and_nonces_that_the_vectors_name_open_their_chunks() {
    for vector in vectors().into_iter().filter(|vector| vector.is_valid) {
        let (key, nonce) = vector.raw.expect("valid vectors name their key");
        let cipher = ChunkCipher::raw(Suite::Aes256Gcm, &key, nonce);
        let plain = vector.plain();
        let mut out = vec![0; plain.len()];
        open_chunks(&cipher, &vector.sealed[56..], &mut out)
            .unwrap_or_else(|error| panic!("vector {}: {error}", vector.id));
        assert!(out == plain, "vector {}", vector.id);
    }
}

fn inner(error: &std::io::Error) -> &Error {
    Error::in_stream(error).expect("a stream ends with an error of the engine")
}
