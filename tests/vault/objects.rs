//! Objects under keys in Vault, in every form in which they are sealed, stored and read; what that
//! costs, as Vault counts it.

use bytes::{Bytes, BytesMut};
use portcullis::audit::Release;
use portcullis::config::Config;
use portcullis::error::{EnvelopeError, Error, KeyError, ObjectError};
use portcullis::key::{KeyVersion, Mutation};
use portcullis::objects::{ByteRange, Mode, Protection};
use portcullis::vault::VaultEngine;
use portcullis::{Engine, Kms, NeedsHop, TryError};
use tokio::io::AsyncReadExt;

use crate::blocking::{opens_without_a_runtime, sealed_without_a_runtime};
use crate::host::{
    Stored, customer, facts, fetch, get, name, number, open, plaintext, put, put_part, put_parts,
};
use crate::site::{BOTH, Site, context, id};

/// Lengths on both sides of what fits one section, and of what several threads share.
const LENGTHS: [usize; 4] = [0, 1000, 100_000, 3 << 20];

#[tokio::test(flavor = "multi_thread")]
async fn what_any_form_seals_any_form_opens() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let kms = node.kms();
        for length in LENGTHS {
            let plain = plaintext(length);
            let mut forms = sealed_in_every_form(&kms, &plain).await;
            let blocking = {
                let (kms, plain) = (kms.clone(), plain.clone());
                // No runtime is near: as in a host that has none.
                std::thread::spawn(move || sealed_without_a_runtime(&kms, &plain)).join().unwrap()
            };
            forms.extend(blocking);
            for sealed in forms {
                opens_in_every_form(&kms, &sealed, &plain).await;
                let kms = kms.clone();
                let plain = plain.clone();
                let opening = move || opens_without_a_runtime(&kms, &sealed, &plain);
                std::thread::spawn(opening).join().unwrap();
            }
        }
    }
}

async fn sealed_in_every_form(kms: &Kms, plain: &[u8]) -> Vec<Vec<u8>> {
    let (key, context) = (id("default"), context("a"));
    let mut streamed = Vec::new();
    let sealing = kms.seal(&key, &context, plain).await.unwrap();
    Box::pin(sealing).read_to_end(&mut streamed).await.unwrap();
    let mut whole = Vec::new();
    kms.seal_into(&key, &context, plain, &mut whole).await.unwrap();
    let mut in_place = plain.to_vec();
    kms.seal_in_place(&key, &context, &mut in_place).await.unwrap();
    let bytes = Bytes::copy_from_slice(plain);
    let lent = kms.seal_bytes(&key, &context, bytes, BytesMut::new()).await.unwrap();
    vec![streamed, whole, in_place, lent.to_vec()]
}

async fn opens_in_every_form(kms: &Kms, sealed: &[u8], plain: &[u8]) {
    let (context, other) = (context("a"), context("b"));
    let mut streamed = Vec::new();
    let opening = kms.open(&context, sealed).await.unwrap();
    Box::pin(opening).read_to_end(&mut streamed).await.unwrap();
    let mut whole = Vec::new();
    kms.open_into(&context, sealed, &mut whole).await.unwrap();
    let mut in_place = sealed.to_vec();
    kms.open_in_place(&context, &mut in_place).await.unwrap();
    let bytes = Bytes::copy_from_slice(sealed);
    let lent = kms.open_bytes(&context, bytes, BytesMut::new()).await.unwrap();
    assert!(streamed == plain && whole == plain && in_place == plain && lent == plain);
    let refused = kms.open_into(&other, sealed, &mut whole).await.unwrap_err();
    assert!(matches!(refused, Error::Envelope(EnvelopeError::DoesNotOpen)), "{refused}");
    assert!(whole.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_do_not_wait_say_that_transit_has_to_be_asked_and_keep_nothing() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let node = site.start().await;
    let (kms, key, context) = (node.kms(), id("default"), context("a"));
    let asked = || asked(&site, "default");
    for length in LENGTHS {
        let plain = plaintext(length);
        let mut sealed = Vec::new();
        kms.seal_into(&key, &context, &plain, &mut sealed).await.unwrap();
        let before = asked();
        let needs = |tried: Result<(), TryError>| {
            matches!(tried, Err(TryError::NeedsHop(NeedsHop::Backend)))
        };
        let mut out = b"what was here".to_vec();
        assert!(needs(kms.try_seal_into(&key, &context, &plain, &mut out)));
        assert!(needs(kms.try_open_into(&context, &sealed, &mut out)));
        assert!(out.is_empty());
        assert_eq!(asked(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_objects_of_every_mode_are_read_whole_by_range_and_by_part() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let (kms, own, key) = (node.kms(), id("own"), customer(1));
        kms.create_key(&own).await.unwrap();
        let (name, context) = (name("o"), context("a"));
        let plain = plaintext(200_000);
        let parts: [(u32, &[u8]); 3] = [(1, &plain[..70_000]), (2, &[]), (9, &plain[70_000..])];
        for (protection, key) in [
            (Protection::SseS3, None),
            (Protection::SseKms { key: Some(&own) }, None),
            (Protection::SseC { key: &key }, Some(&key)),
        ] {
            let whole = put(&kms, &name, &context, protection, &plain).await.unwrap();
            let divided = put_parts(&kms, &name, &context, protection, &parts).await;
            for stored in [&whole, &divided] {
                assert!(get(&kms, &name, &context, stored, key).await.unwrap() == plain);
                let object = open(&kms, &name, &context, stored, key).await.unwrap();
                assert!(*object.facts() == facts());
                for (start, length) in [(0, 1), (69_999, 2), (16_383, 100_000), (199_999, 1)] {
                    let range = ByteRange::Exact { start, length };
                    let plan = object.range(range).unwrap();
                    let (read, end) = fetch(&object, plan, stored).await;
                    end.unwrap();
                    let (start, end) = (start as usize, (start + length) as usize);
                    assert!(read == plain[start..end]);
                }
                let wrong = open(&kms, &name, &crate::site::context("b"), stored, key).await;
                let wrong = wrong.err().unwrap();
                assert!(matches!(wrong, Error::Envelope(EnvelopeError::DoesNotOpen)), "{wrong}");
            }
            let object = open(&kms, &name, &context, &divided, key).await.unwrap();
            let (read, _) = fetch(&object, object.part(number(9)).unwrap(), &divided).await;
            assert!(read == plain[70_000..]);
            let small = &plain[..5000];
            let made =
                kms.seal_small_object(&name, &context, protection, small, &facts()).await.unwrap();
            let (read, found) = kms
                .open_small_object(&name, &context, &made.record, key, &made.sealed)
                .await
                .unwrap();
            assert!(read == small && found == facts());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_in_another_engine_and_lists_its_parts() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let (name, context) = (name("o"), context("a"));
        let plain = plaintext(100_000);
        let node = site.start().await;
        let kms = node.kms();
        let begun = kms.create_upload(&name, &context, Protection::SseS3, None).await.unwrap();
        let first = put_part(&begun, 1, None, &plain).await.unwrap();
        let record = begun.record().clone();
        drop((begun, node));
        let node = site.start().await;
        let kms = node.kms();
        let upload = kms.open_upload(&name, &context, &record).await.unwrap();
        let second = put_part(&upload, 2, None, &plain).await.unwrap();
        let records = [first.0, second.0];
        let listed = upload.list_parts(&records).await.unwrap();
        let listed: Vec<_> =
            listed.iter().map(|part| (part.number.get(), part.plain_size)).collect();
        assert_eq!(listed, [(1, 100_000), (2, 100_000)]);
        let done = upload.complete(&records, &facts()).await.unwrap();
        let bodies = vec![(1, first.1), (2, second.1)];
        let stored = Stored { record: done.record, parts: Some(done.parts), bodies };
        let read = get(&kms, &name, &context, &stored, None).await.unwrap();
        assert!(read == plain.repeat(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_wrapped_anew_under_the_current_version_another_key_and_another_mode() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let (kms, own, key) = (node.kms(), id("own"), customer(1));
        kms.create_key(&own).await.unwrap();
        let (name, context, plain) = (name("o"), context("a"), plaintext(50_000));
        let parts: [(u32, &[u8]); 2] = [(1, &plain[..20_000]), (5, &plain[20_000..])];
        let mut objects = vec![
            (put(&kms, &name, &context, Protection::SseS3, &plain).await.unwrap(), None),
            (put_parts(&kms, &name, &context, Protection::SseS3, &parts).await, None),
            (
                put(&kms, &name, &context, Protection::SseC { key: &key }, &plain).await.unwrap(),
                Some(&key),
            ),
        ];
        for (stored, _) in &objects {
            let same = kms.rewrap_object(&name, &context, &stored.record, None).await.unwrap();
            assert!(!same.changed && same.record == stored.record);
        }
        kms.rotate_key(&id("default")).await.unwrap();
        for (stored, _) in &mut objects {
            let new = kms.rewrap_object(&name, &context, &stored.record, None).await.unwrap();
            assert!(new.changed);
            stored.record = new.record;
        }
        // Nothing but the new version is needed any more.
        kms.change_key(&id("default"), Mutation::Retire(KeyVersion::FIRST)).await.unwrap();
        for (stored, key) in &objects {
            assert!(get(&kms, &name, &context, stored, *key).await.unwrap() == plain);
        }
        for (stored, _) in &mut objects[..2] {
            for (to, mode, key) in [
                (Protection::SseKms { key: Some(&own) }, Mode::SseKms, &own),
                (Protection::SseS3, Mode::SseS3, &id("default")),
            ] {
                let new =
                    kms.rewrap_object(&name, &context, &stored.record, Some(to)).await.unwrap();
                assert!(new.changed);
                stored.record = new.record;
                let object = open(&kms, &name, &context, stored, None).await.unwrap();
                assert_eq!((object.mode(), object.key_id()), (mode, key));
                assert!(get(&kms, &name, &context, stored, None).await.unwrap() == plain);
            }
            let nobody = Protection::SseKms { key: Some(&id("nobody")) };
            let refused = kms.rewrap_object(&name, &context, &stored.record, Some(nobody)).await;
            let refused = refused.unwrap_err();
            assert!(matches!(refused, Error::Key(KeyError::NotFound)), "{refused}");
        }
        let to = Some(Protection::SseS3);
        let refused = kms.rewrap_object(&name, &context, &objects[2].0.record, to).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::NeedsReseal))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_wrapped_anew_under_a_key_that_another_node_has_just_made() {
    for engine in BOTH {
        let Some(mut site) = Site::new(engine).await else { return };
        // No look in between: only being asked for the key makes it known.
        site.config.state_refresh = std::time::Duration::from_secs(3600);
        let (node, other) = (site.start().await, site.start().await);
        let (name, context, plain) = (name("o"), context("a"), plaintext(100));
        let mut stored =
            put(&node.kms(), &name, &context, Protection::SseS3, &plain).await.unwrap();
        let new = id("made-elsewhere");
        other.kms().create_key(&new).await.unwrap();
        let to = Some(Protection::SseKms { key: Some(&new) });
        let moved = node.kms().rewrap_object(&name, &context, &stored.record, to).await.unwrap();
        stored.record = moved.record;
        assert!(get(&other.kms(), &name, &context, &stored, None).await.unwrap() == plain);
    }
}

/// How often Transit was asked to wrap, unwrap and rewrap under `key` since `site` was made.
fn asked(site: &Site, key: &str) -> [usize; 3] {
    ["encrypt", "decrypt", "rewrap"].map(|it| site.server.audited(&site.transit(it, key)).len())
}

/// A node whose records are durable before anything is released, or not.
async fn start(site: &Site, release: Release) -> Engine {
    let mut config = Config::new(site.backend());
    config.audit.release = release;
    Engine::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn transit_is_asked_once_for_each_object_however_much_of_it_is_read() {
    for release in [Release::Accepted, Release::Durable] {
        let Some(site) = Site::new(VaultEngine::Transit).await else { return };
        let node = start(&site, release).await;
        let kms = node.kms();
        let (name, context, plain) = (name("o"), context("a"), plaintext(200_000));
        let parts: [(u32, &[u8]); 2] = [(1, &plain), (2, &plain)];
        let asked = |key| asked(&site, key);
        let whole = put(&kms, &name, &context, Protection::SseS3, &plain).await.unwrap();
        assert_eq!(asked("default"), [1, 0, 0]);
        // One key for all parts: neither sealing nor listing nor completing asks.
        let divided = put_parts(&kms, &name, &context, Protection::SseS3, &parts).await;
        assert_eq!(asked("default"), [2, 0, 0]);
        for (opened, stored) in [(1, &whole), (2, &divided)] {
            let object = open(&kms, &name, &context, stored, None).await.unwrap();
            for first in [0, 50_000, 199_999] {
                let plan = object.range(ByteRange::From { first }).unwrap();
                fetch(&object, plan, stored).await.1.unwrap();
            }
            assert_eq!(asked("default"), [2, opened, 0]);
        }
        let sealed = kms.encrypt(&id("default"), b"a payload", &context).await.unwrap();
        kms.decrypt(&sealed, &context).await.unwrap();
        assert_eq!(asked("default"), [3, 3, 0]);
        // The record of an object is sealed under its data key: wrapping it anew needs both.
        kms.rewrap_object(&name, &context, &whole.record, None).await.unwrap();
        assert_eq!(asked("default"), [3, 4, 0]);
        kms.rotate_key(&id("default")).await.unwrap();
        kms.rewrap_object(&name, &context, &whole.record, None).await.unwrap();
        assert_eq!(asked("default"), [4, 5, 0]);
        let nobody = Some(Protection::SseKms { key: Some(&id("nobody")) });
        kms.rewrap_object(&name, &context, &whole.record, nobody).await.unwrap_err();
        assert_eq!(asked("default"), [4, 6, 0]);
        assert_eq!(asked("nobody"), [0, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_cut_where_its_key_is_disabled_or_the_engine_stops() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let (kms, name, context) = (node.kms(), name("o"), context("a"));
        let plain = plaintext(1 << 20);
        let stored = put(&kms, &name, &context, Protection::SseS3, &plain).await.unwrap();
        for stops in [false, true] {
            let object = open(&kms, &name, &context, &stored, None).await.unwrap();
            let sealed = stored.sealed();
            let mut reader = object.read(object.whole().unwrap(), &sealed[..]).await.unwrap();
            let mut piece = [0; 1000];
            reader.read_exact(&mut piece).await.unwrap();
            if stops {
                kms.stop().await.unwrap();
            } else {
                kms.change_key(&id("default"), Mutation::Disable).await.unwrap();
            }
            let (read, end) = crate::host::drain(reader).await;
            assert!(end.is_err());
            assert!(read.len() < plain.len() - 1000 && plain[1000..].starts_with(&read));
            if !stops {
                assert!(open(&kms, &name, &context, &stored, None).await.is_err());
                kms.change_key(&id("default"), Mutation::Enable).await.unwrap();
            }
        }
    }
}
