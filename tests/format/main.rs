//! `src/manual/format.rs` against the engine: an opener in Python, written from that page alone,
//! opens what the engine seals and refuses what was changed.
//!
//! The opener needs Python 3 with `venv` and the `cryptography` package, which is installed once
//! into a virtual environment under the target directory. Where that cannot be had these tests say
//! so and pass; under `CI=true` they fail.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

// Marked, so that clippy takes their helpers for test code.
#[cfg(test)]
mod customer;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod page;
#[cfg(test)]
mod python;
#[cfg(test)]
#[path = "../support/venv.rs"]
mod venv;

use std::fs;
use std::path::Path;

use portcullis::context::EncryptionContext;
use portcullis::envelope::DataKeySpec;
use portcullis::key::{KeyId, Mutation};

use crate::fixture::{Fixture, context, passphrase, root_key_file};
use crate::python::{Opener, Verdict};

/// Borders of a chunk, and a few chunks.
const SIZES: [usize; 8] = [0, 1, 16_383, 16_384, 16_385, 32_768, 49_151, 200_003];

#[tokio::test]
async fn the_opener_opens_files_and_payloads_of_every_size_and_both_suites() {
    let Some(opener) = Opener::find() else { return };
    for cloned_host in [false, true] {
        let fixture = Fixture::new(root_key_file, cloned_host).await;
        let context = context();
        let mut sealed = Vec::new();
        for size in SIZES {
            let name = format!("{size}.sealed");
            let bytes = fixture.seal(&fixture.key, &context, &plain(size)).await;
            assert_eq!(bytes[5], if cloned_host { 2 } else { 1 });
            fs::write(fixture.path(&name), bytes).unwrap();
            sealed.push(("file", name, size));
        }
        for size in [0, 1, 16_384, 65_536] {
            let name = format!("{size}.payload");
            let bytes = fixture.kms.encrypt(&fixture.key, &plain(size), &context).await.unwrap();
            assert_eq!(bytes[5], if cloned_host { 2 } else { 1 });
            fs::write(fixture.path(&name), bytes).unwrap();
            sealed.push(("payload", name, size));
        }
        let at_rest = fixture.stop().await;
        for (form, name, size) in sealed {
            let opened = opener.open(&at_rest, form, &context, &name);
            assert!(opened == Verdict::Opened(plain(size)), "{name}: {opened:?}");
        }
    }
}

#[tokio::test]
async fn the_opener_opens_data_keys_and_payloads_of_every_version_and_name() {
    let Some(opener) = Opener::find() else { return };
    let fixture = Fixture::new(root_key_file, false).await;
    let (kms, context) = (&fixture.kms, EncryptionContext::new());
    // Names of both forms: escaped, and base32hex where that is too long.
    let ids = ["tenants/a.b_c-d".to_owned(), "-".repeat(128)];
    let mut data_keys = Vec::new();
    for (nth, id) in ids.iter().enumerate() {
        let id = KeyId::new(id).unwrap();
        kms.create_key(&id).await.unwrap();
        for version in 1..=3 {
            let spec = DataKeySpec::of_bytes(16 * version).unwrap();
            let made = kms.generate_data_key(&id, spec, &context).await.unwrap();
            let mut key = vec![0; spec.bytes()];
            made.key.copy_into(&mut key).unwrap();
            let name = format!("{nth}.{version}.key");
            fs::write(fixture.path(&name), made.wrapped.as_bytes()).unwrap();
            data_keys.push((name, key));
            kms.rotate_key(&id).await.unwrap();
        }
        let tags = [("team".to_owned(), "storage".to_owned())].into();
        kms.change_key(&id, Mutation::Tag(tags)).await.unwrap();
    }
    let payload = kms.encrypt(&fixture.key, &plain(40_000), &context).await.unwrap();
    fs::write(fixture.path("payload"), payload).unwrap();
    let at_rest = fixture.stop().await;
    for (name, key) in data_keys {
        let opened = opener.open(&at_rest, "data-key", &context, &name);
        assert!(opened == Verdict::Opened(key), "{name}: {opened:?}");
    }
    let opened = opener.open(&at_rest, "payload", &context, "payload");
    assert!(opened == Verdict::Opened(plain(40_000)), "{opened:?}");
}

#[tokio::test]
async fn the_opener_opens_a_keystore_under_a_passphrase() {
    let Some(opener) = Opener::find() else { return };
    let fixture = Fixture::new(passphrase, false).await;
    let context = context();
    let sealed = fixture.seal(&fixture.key, &context, b"text").await;
    fs::write(fixture.path("sealed"), sealed).unwrap();
    let at_rest = fixture.stop().await;
    let opened = opener.open(&at_rest, "file", &context, "sealed");
    assert!(opened == Verdict::Opened(b"text".to_vec()), "{opened:?}");
}

#[tokio::test]
async fn the_opener_refuses_a_changed_byte_of_every_field() {
    let Some(opener) = Opener::find() else { return };
    let fixture = Fixture::new(root_key_file, false).await;
    let context = context();
    let older = fs::read(fixture.path("keys/kdefault.key")).unwrap();
    fixture.kms.rotate_key(&fixture.key).await.unwrap();
    let sealed = fixture.seal(&fixture.key, &context, &plain(20_000)).await;
    let at_rest = fixture.stop().await;
    let refused = |case: &str, context: &EncryptionContext| {
        let opened = opener.open(&at_rest, "file", context, "sealed");
        assert!(matches!(opened, Verdict::Refused(_)), "{case}: {opened:?}");
        assert!(!at_rest.path("out").exists(), "{case}: it left something");
    };
    let write = |bytes: &[u8]| fs::write(at_rest.path("sealed"), bytes).unwrap();

    // Section 1 and section 3: one byte in each field of a file under a key id of seven letters.
    let head = 6 + 12 + 1 + 7 + 4 + 8;
    let envelope = head + 1 + 12 + 2 + 48 + 32;
    let fields = [0, 4, 5, 6, 10, 12, 13, 14, 15, 17, 18, 19, 26, 30, 38, 39, 52, 54, 102];
    let object = [0, 24, 56, 56 + 16_400, 56 + 16_400 + 3616];
    let object = object.map(|at| envelope + at);
    for at in fields.into_iter().chain(object) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        write(&changed);
        refused(&format!("byte {at} of the file"), &context);
    }
    for cut in [0, 5, 12, envelope, envelope + 30, envelope + 56 + 16_400, sealed.len() - 1] {
        write(&sealed[..cut]);
        refused(&format!("cut to {cut}"), &context);
    }
    write(&[&sealed[..], b"\0"].concat());
    refused("extended", &context);
    write(&sealed);
    refused("another context", &EncryptionContext::new());

    // Sections 4 to 7: the keystore and its mark.
    for name in ["keys/keystore", "keys/manifest", "keys/kdefault.key", "mark"] {
        let whole = fs::read(at_rest.path(name)).unwrap();
        for at in [0, 5, 40, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(at_rest.path(name), changed).unwrap();
            refused(&format!("byte {at} of {name}"), &context);
        }
        fs::write(at_rest.path(name), whole).unwrap();
    }
    let newest = fs::read(at_rest.path("keys/kdefault.key")).unwrap();
    fs::write(at_rest.path("keys/kdefault.key"), older).unwrap();
    refused("an earlier record", &context);
    fs::write(at_rest.path("keys/kdefault.key"), newest).unwrap();
    let opened = opener.open(&at_rest, "file", &context, "sealed");
    assert!(opened == Verdict::Opened(plain(20_000)), "whole again: {opened:?}");
}

#[tokio::test]
async fn the_opener_refuses_an_older_copy_of_the_whole_directory() {
    let Some(opener) = Opener::find() else { return };
    let fixture = Fixture::new(root_key_file, false).await;
    let context = context();
    let sealed = fixture.seal(&fixture.key, &context, b"text").await;
    fs::write(fixture.path("sealed"), sealed).unwrap();
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&fixture.path("keys"), &fixture.path("older"));
    fixture.kms.rotate_key(&fixture.key).await.unwrap();
    let at_rest = fixture.stop().await;
    let opened = opener.open(&at_rest, "file", &context, "sealed");
    assert!(opened == Verdict::Opened(b"text".to_vec()), "{opened:?}");
    copy(&at_rest.path("older"), &at_rest.path("keys"));
    let opened = opener.open(&at_rest, "file", &context, "sealed");
    let older = Verdict::Refused("refused: the keystore is an older copy\n".to_owned());
    assert!(opened == older, "{opened:?}");
}

#[tokio::test]
async fn opener_and_engine_agree_on_what_a_crash_or_a_hand_left_of_the_log() {
    let Some(opener) = Opener::find() else { return };
    let fixture = Fixture::new(root_key_file, false).await;
    let context = context();
    let behind = fs::read(fixture.path("mark")).unwrap();
    let sealed = fixture.seal(&fixture.key, &context, b"text").await;
    fs::write(fixture.path("sealed"), sealed).unwrap();
    let at_rest = fixture.stop().await;
    let manifest = fs::read(at_rest.path("keys/manifest")).unwrap();
    let mark = fs::read(at_rest.path("mark")).unwrap();
    let whole = manifest.len();
    let cut = |by: usize| manifest[..whole - by].to_vec();
    let and = |more: &[u8]| [&manifest[..], more].concat();
    let flipped = |at: usize| {
        let mut changed = manifest.clone();
        changed[at] ^= 1;
        changed
    };
    // Half of an intent whose second half lay in the next sector, and was lost.
    let mut half = vec![1; 512 - whole % 512];
    half[9] = 200;
    // The last entry is a `done` of 41 bytes, the one before an intent of 118.
    let cases = [
        ("whole", manifest.clone(), &mark),
        ("whole, and the mark one behind", manifest.clone(), &behind),
        ("a torn done", cut(1), &mark),
        ("an open intent", cut(41), &mark),
        ("an open intent, and the mark one behind", cut(41), &behind),
        ("a torn intent, though its file is the new one", cut(42), &behind),
        ("no change at all, though its file is the new one", cut(41 + 118), &behind),
        ("zeroes after the end", and(&[0; 402]), &mark),
        ("more zeroes than two entries", and(&[0; 403]), &mark),
        ("a sector that was not written", and(&[&half[..], &[0; 200]].concat()), &mark),
        ("the beginning of an intent", and(&[1, 0, 0, 0]), &mark),
        ("what is no entry", and(&[7; 60]), &mark),
        ("the last done again", and(&manifest[whole - 41..]), &mark),
        ("a changed done", flipped(whole - 20), &mark),
        ("a changed intent", flipped(whole - 60), &mark),
    ];
    let mut opened = 0;
    for (case, manifest, mark) in cases {
        fs::write(at_rest.path("keys/manifest"), &manifest).unwrap();
        fs::write(at_rest.path("mark"), mark).unwrap();
        // The opener first: it changes nothing.
        let verdict = opener.open(&at_rest, "file", &context, "sealed");
        let engine = portcullis::Engine::start(at_rest.config.clone()).await;
        assert_eq!(matches!(verdict, Verdict::Opened(_)), engine.is_ok(), "{case}: {verdict:?}");
        opened += u32::from(engine.is_ok());
    }
    assert_eq!(opened, 8);
}

#[tokio::test]
async fn the_example_on_the_page_opens_in_the_engine() {
    let (example, at_rest) = (page::example(), fixture::AtRest::from_page());
    let engine = portcullis::Engine::start(at_rest.config.clone()).await.unwrap();
    let sealed = fs::read(at_rest.path("greeting.sealed")).unwrap();
    let opened = fixture::open(&engine.kms(), &example.context, &sealed).await;
    assert_eq!(opened, example.plain);
}

#[test]
fn the_example_on_the_page_opens_in_the_opener_with_every_value_on_the_way() {
    let Some(opener) = Opener::find() else { return };
    let (example, at_rest) = (page::example(), fixture::AtRest::from_page());
    let shown = opener.show(&at_rest, &example.context, "greeting.sealed");
    assert_eq!(shown, example.values);
    assert_eq!(fs::read(at_rest.path("out")).unwrap(), example.plain);
}

/// Bytes that tell every place in them from every other near it.
fn plain(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_be_bytes()).take(size).collect()
}
