use std::io::Write;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use portcullis::Kms;
use portcullis::audit::Release;
use portcullis::config::Profile;
use portcullis::context::EncryptionContext;
use portcullis::engine::{plain_size, sealed_size};
use portcullis::error::{EnvelopeError, Error, KeyError, ObjectError, Refused};
use portcullis::key::{KeyId, Mutation};
use portcullis::{Engine, TryError};
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, keystore, running};

/// Around the borders of one section, of what runs at once, and of what several threads share.
const SIZES: [usize; 12] =
    [0, 1, 1024, 16_384, 65_535, 65_536, 65_537, 262_144, 262_145, 1 << 20, 3 << 20, (3 << 20) + 5];

fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// What each form makes of `plain`, by its name.
async fn sealed_by_all(
    kms: &Kms,
    key: &KeyId,
    context: &EncryptionContext,
    plain: &[u8],
) -> Vec<(&'static str, Vec<u8>)> {
    let items = || stream::iter(plain.chunks(10_007).map(|item| Ok(Bytes::copy_from_slice(item))));
    let mut forms = Vec::new();
    let mut out = vec![9; 100_000];
    kms.seal_into(key, context, plain, &mut out).await.unwrap();
    forms.push(("seal_into", out.clone()));
    kms.try_seal_into(key, context, plain, &mut out).unwrap();
    forms.push(("try_seal_into", out.clone()));
    out.truncate(7);
    kms.seal_into_blocking(key, context, plain, &mut out).unwrap();
    forms.push(("seal_into_blocking", out));
    let mut out = plain.to_vec();
    kms.seal_in_place(key, context, &mut out).await.unwrap();
    forms.push(("seal_in_place", out));
    let mut out = Vec::with_capacity(2 * plain.len() + 1000);
    out.extend_from_slice(plain);
    kms.seal_in_place_blocking(key, context, &mut out).unwrap();
    forms.push(("seal_in_place_blocking", out));
    let given = Bytes::copy_from_slice(plain);
    let out = kms.seal_bytes(key, context, given, BytesMut::new()).await.unwrap();
    forms.push(("seal_bytes", out.to_vec()));

    let mut out = Vec::new();
    let mut sealing = kms.seal(key, context, plain).await.unwrap();
    AsyncReadExt::read_to_end(&mut sealing, &mut out).await.unwrap();
    forms.push(("seal", out));
    let mut out = Vec::new();
    let mut sealing = kms.seal_buf(key, context, plain).await.unwrap();
    AsyncReadExt::read_to_end(&mut sealing, &mut out).await.unwrap();
    forms.push(("seal_buf", out));
    let sealing = kms.seal_stream::<_, std::io::Error>(key, context, items()).await.unwrap();
    let out: Vec<Bytes> = sealing.map(Result::unwrap).collect().await;
    forms.push(("seal_stream", out.concat()));
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut kms.seal_read(key, context, plain).unwrap(), &mut out).unwrap();
    forms.push(("seal_read", out));
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut kms.seal_buf_read(key, context, plain).unwrap(), &mut out)
        .unwrap();
    forms.push(("seal_buf_read", out));
    let mut writer = kms.seal_write(key, context, Vec::new()).unwrap().with_window(2 << 20);
    writer.write_all(plain).unwrap();
    forms.push(("seal_write", writer.finish().unwrap()));
    forms
}

/// What each form makes of `sealed`; every one of them ends the same way.
async fn opened_by_all(
    kms: &Kms,
    context: &EncryptionContext,
    sealed: &[u8],
) -> Vec<(&'static str, Result<Vec<u8>, Error>)> {
    let mut forms = Vec::new();
    let mut add = |name, opened: Result<(), Error>, out: Vec<u8>| {
        assert!(opened.is_ok() || out.is_empty(), "{name} left something");
        forms.push((name, opened.map(|()| out)));
    };
    let mut out = vec![9; 100_000];
    let opened = kms.open_into(context, sealed, &mut out).await;
    add("open_into", opened, out.clone());
    let opened = kms.try_open_into(context, sealed, &mut out).map_err(|error| match error {
        TryError::Failed(error) => error,
        other => panic!("{other}"),
    });
    add("try_open_into", opened, out.clone());
    let opened = kms.open_into_blocking(context, sealed, &mut out);
    add("open_into_blocking", opened, out);
    let given = Bytes::copy_from_slice(sealed);
    let opened = kms.open_bytes(context, given, BytesMut::with_capacity(100)).await;
    forms.push(("open_bytes", opened.map(Vec::from)));
    let mut out = sealed.to_vec();
    let opened = kms.open_in_place(context, &mut out).await;
    forms.push(("open_in_place", opened.map(|()| out)));
    let mut out = sealed.to_vec();
    let opened = kms.open_in_place_blocking(context, &mut out);
    forms.push(("open_in_place_blocking", opened.map(|()| out)));

    forms.push(("open", read_all(kms.open(context, sealed).await).await));
    forms.push(("open_buf", read_all(kms.open_buf(context, sealed).await).await));
    let items = stream::iter(sealed.chunks(9_001).map(|item| Ok(Bytes::copy_from_slice(item))));
    let opened = kms.open_stream::<_, std::io::Error>(context, items).await;
    forms.push(("open_stream", read_all(opened).await));
    forms.push(("open_read", kms.open_read(context, sealed).and_then(read_blocking)));
    forms.push(("open_buf_read", kms.open_buf_read(context, sealed).and_then(read_blocking)));
    let mut writer = kms.open_write(context, Vec::new()).with_window(2 << 20);
    let written = writer.write_all(sealed).and_then(|()| writer.finish());
    forms.push(("open_write", written.map_err(|error| reason(&error))));
    forms
}

async fn read_all(
    reader: Result<impl tokio::io::AsyncRead + Unpin, Error>,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let read = reader?.read_to_end(&mut out).await;
    read.map(|_| out).map_err(|error| reason(&error))
}

fn read_blocking(mut reader: impl std::io::Read) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let read = std::io::Read::read_to_end(&mut reader, &mut out);
    read.map(|_| out).map_err(|error| reason(&error))
}

/// The engine's error, of which there may be others.
fn reason(error: &std::io::Error) -> Error {
    match Error::in_stream(error).unwrap() {
        Error::Object(ObjectError::DoesNotOpen) => ObjectError::DoesNotOpen.into(),
        Error::Object(ObjectError::Malformed(field)) => ObjectError::Malformed(field).into(),
        Error::Envelope(EnvelopeError::DoesNotOpen) => EnvelopeError::DoesNotOpen.into(),
        Error::Refused(why) => (*why).into(),
        Error::Key(KeyError::Disabled) => KeyError::Disabled.into(),
        other => panic!("{other}"),
    }
}

async fn on(cloned_host: bool) -> Fixture {
    let (mut config, directory) = keystore();
    config.host.cloned_host = cloned_host;
    config.objects.threads = Some(3);
    let engine = Engine::start(config.clone()).await.unwrap();
    let key = config.default_key.clone().unwrap();
    Fixture { kms: engine.kms(), engine, key, config, directory }
}

#[tokio::test]
async fn every_form_seals_what_every_form_opens_and_its_size_is_known_beforehand() {
    for (size, siv) in SIZES.into_iter().zip([false, true].into_iter().cycle()) {
        let fixture = on(siv).await;
        let Fixture { kms, key, .. } = &fixture;
        let (plain, context) = (plaintext(size), context("a"));
        for (form, sealed) in sealed_by_all(kms, key, &context, &plain).await {
            let len = sealed.len() as u64;
            assert_eq!(sealed_size(key, size as u64).unwrap(), len, "{form} of {size}");
            assert_eq!(plain_size(&sealed, len).unwrap(), size as u64, "{form} of {size}");
            assert_eq!(sealed[5], if siv { 2 } else { 1 });
            let mut opened = Vec::new();
            kms.open_into(&context, &sealed, &mut opened).await.unwrap();
            assert!(opened == plain, "{form} of {size}");
        }
        let mut sealed = Vec::new();
        kms.seal_into(key, &context, &plain, &mut sealed).await.unwrap();
        for (form, opened) in opened_by_all(kms, &context, &sealed).await {
            assert!(opened.unwrap() == plain, "{form} of {size}");
        }
    }
}

#[tokio::test]
async fn no_form_opens_what_was_changed_or_is_bound_to_another_context() {
    let fixture = on(false).await;
    let Fixture { kms, key, .. } = &fixture;
    for size in [1024, 200_000, 2 << 20] {
        let mut sealed = Vec::new();
        kms.seal_into(key, &context("a"), &plaintext(size), &mut sealed).await.unwrap();
        for (form, opened) in opened_by_all(kms, &context("b"), &sealed).await {
            let of_envelope = Err(Error::Envelope(EnvelopeError::DoesNotOpen));
            assert_eq!(
                format!("{opened:?}"),
                format!("{:?}", of_envelope as Result<Vec<u8>, _>),
                "{form}"
            );
        }
        for at in [200, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            for (form, opened) in opened_by_all(kms, &context("a"), &changed).await {
                assert!(
                    matches!(opened, Err(Error::Object(ObjectError::DoesNotOpen))),
                    "{form} at {at}"
                );
            }
        }
        for cut in [3, 50, 150, 230, sealed.len() - 1] {
            for (form, opened) in opened_by_all(kms, &context("a"), &sealed[..cut]).await {
                let is_bad = matches!(opened, Err(Error::Object(_) | Error::Envelope(_)));
                assert!(is_bad, "{form} cut at {cut}: {opened:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_disabled_key_and_a_stopped_engine_refuse_every_form() {
    let fixture = running().await;
    let Fixture { kms, key, .. } = &fixture;
    let (context, plain) = (context("a"), plaintext(300_000));
    let mut sealed = Vec::new();
    kms.seal_into(key, &context, &plain, &mut sealed).await.unwrap();
    kms.change_key(key, Mutation::Disable).await.unwrap();
    for (form, opened) in opened_by_all(kms, &context, &sealed).await {
        assert!(matches!(opened, Err(Error::Key(KeyError::Disabled))), "{form}: {opened:?}");
    }
    let mut buffer = plain.clone();
    let refused = kms.seal_in_place(key, &context, &mut buffer).await;
    assert!(matches!(refused, Err(Error::Key(KeyError::Disabled))));
    assert!(buffer == plain, "what never began leaves the plaintext");
    kms.stop().await.unwrap();
    for (form, opened) in opened_by_all(kms, &context, &sealed).await {
        let is_refused = matches!(opened, Err(Error::Refused(Refused::Stopped)));
        assert!(is_refused, "{form}: {opened:?}");
    }
}

#[tokio::test]
async fn payloads_of_a_cloned_host_are_sealed_with_siv() {
    for siv in [false, true] {
        let fixture = on(siv).await;
        let Fixture { kms, key, .. } = &fixture;
        let payload = kms.encrypt(key, b"text", &context("a")).await.unwrap();
        assert_eq!((&payload[..5], payload[5]), (&b"PCSP\x01"[..], if siv { 2 } else { 1 }));
        assert_eq!(kms.decrypt(&payload, &context("a")).await.unwrap(), b"text");
        let mut other = payload.clone();
        other[5] ^= 3;
        let refused = kms.decrypt(&other, &context("a")).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::DoesNotOpen))));
        // Neither is taken for the other.
        let mut out = Vec::new();
        let refused = kms.open_into(&context("a"), &payload, &mut out).await;
        assert!(matches!(refused, Err(Error::Object(ObjectError::Malformed("magic")))));
    }
}

#[tokio::test]
async fn durable_release_waits_in_the_asynchronous_forms_and_refuses_in_the_others() {
    let (mut config, _directory) = keystore();
    config.profile = Profile::Production;
    config.audit.release = Release::Durable;
    let key = config.default_key.clone().unwrap();
    let engine = Engine::start(config).await.unwrap();
    let kms = engine.kms();
    for size in [1024, 100_000] {
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        let plain = plaintext(size);
        let hop = kms.try_seal_into(&key, &context("a"), &plain, &mut sealed);
        assert!(matches!(hop, Err(TryError::NeedsHop(_))) && sealed.is_empty());
        kms.seal_into(&key, &context("a"), &plain, &mut sealed).await.unwrap();
        let hop = kms.try_open_into(&context("a"), &sealed, &mut opened);
        assert!(matches!(hop, Err(TryError::NeedsHop(_))) && opened.is_empty());
        kms.open_into(&context("a"), &sealed, &mut opened).await.unwrap();
        assert!(opened == plain);
        kms.open_into_blocking(&context("a"), &sealed, &mut opened).unwrap();
        assert!(opened == plain);
    }
}

/// A reconfiguration onto another keystore came between the envelope and the header of a stream:
/// its key, known when it began, was asked for again in a store that has never seen it.
#[tokio::test]
async fn a_stream_that_has_begun_opens_though_another_keystore_takes_over_before_its_header() {
    let fixture = running().await;
    let Fixture { kms, key, .. } = &fixture;
    let (context, plain) = (context("a"), plaintext(50_000));
    let mut sealed = Vec::new();
    kms.seal_into(key, &context, &plain, &mut sealed).await.unwrap();
    let header_at = usize::try_from(sealed_size(key, 0).unwrap()).unwrap() - 56 - 16;
    let (mut host, peer) = tokio::io::duplex(1 << 20);
    tokio::io::AsyncWriteExt::write_all(&mut host, &sealed[..header_at]).await.unwrap();
    let mut opening = kms.open(&context, peer).await.unwrap();
    let (other, _directory) = keystore();
    kms.reconfigure(other).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut host, &sealed[header_at..]).await.unwrap();
    drop(host);
    let mut opened = Vec::new();
    opening.read_to_end(&mut opened).await.unwrap();
    assert!(opened == plain);
    // What begins now asks the new store.
    let mut out = Vec::new();
    let refused = kms.open_into(&context, &sealed, &mut out).await;
    assert!(matches!(refused, Err(Error::Envelope(_))), "{refused:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_in_its_buffer() {
    let fixture = running().await;
    let Fixture { kms, key, .. } = &fixture;
    let (context, plain) = (context("a"), plaintext(2 << 20));
    let mut sealed = Vec::new();
    kms.seal_into(key, &context, &plain, &mut sealed).await.unwrap();
    let mut out = Vec::with_capacity(plain.len());
    {
        let opening = kms.open_into(&context, &sealed, &mut out);
        assert!(opening.now_or_never().is_none(), "a long buffer lets others run");
    }
    assert!(out.is_empty() && out.capacity() >= plain.len());
    assert_eq!(kms.status().operations, 0);
    let open = kms.open_bytes(&context, Bytes::from(sealed), BytesMut::new());
    drop(open);
    assert_eq!(kms.status().operations, 0);
}
