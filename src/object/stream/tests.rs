//! Streams under every size, every change of their bytes, and readers that misbehave.

use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::crypto::aead::TAG_BYTES;
use crate::error::Refused;
use crate::limits::{CHUNK_BYTES, PAYLOAD_BYTES_MAX};
use crate::object::chunk::{CHUNKS_MAX, HEADER_BYTES, SEALED_CHUNK_BYTES, Suite, sealed_size};
use crate::object::payload::{open_payload, seal_payload};
use crate::object::probe::{
    Object, Probe, Source, constant, plaintext, poll_once, read_async, read_blocking, scattered,
};

const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::Aes256GcmSiv];

/// Sizes around every border of the first chunks, and around the eight that one read may bring.
fn border_sizes() -> impl Iterator<Item = usize> {
    let around = |chunks: usize| {
        let border = chunks * CHUNK_BYTES;
        border.saturating_sub(1)..=border + 1
    };
    [0, 1, 2, 3, 7, 8, 9, 17].into_iter().flat_map(around)
}

fn ends_with(end: io::Result<()>) -> String {
    let error = end.expect_err("the stream does not end well");
    Error::in_stream(&error).expect("it is the engine's error").to_string()
}

fn is_cut_by(end: &io::Result<()>, matches: impl FnOnce(&Error) -> bool) -> bool {
    end.as_ref().err().and_then(Error::in_stream).is_some_and(matches)
}

fn is_wiped<R, D: Direction>(reader: &Turning<Buffered<R>, D, Probe>) -> bool {
    reader.pipe.is_wiped() && reader.source.is_wiped()
}

fn is_bad(error: &Error) -> bool {
    matches!(error, Error::Object(ObjectError::DoesNotOpen | ObjectError::Malformed(_)))
}

/// `changed` must not open, and what is released must be whole chunks of `plain` from before the
/// first byte in which it differs from `sealed`.
fn fails(object: &Object, plain: &[u8], sealed: &[u8], changed: &[u8], what: &str) {
    let bad = sealed.iter().zip(changed).take_while(|(a, b)| a == b).count();
    let (released, end) = object.opened(changed);
    assert!(is_cut_by(&end, is_bad), "{what} at {bad}: {end:?}");
    let good = bad.saturating_sub(HEADER_BYTES) / SEALED_CHUNK_BYTES * CHUNK_BYTES;
    assert!(released.len() <= good, "{what} at {bad} releases {}", released.len());
    assert_eq!(released.len() % CHUNK_BYTES, 0, "{what} at {bad}");
    assert!(plain.starts_with(&released), "{what} at {bad}");
}

#[test]
fn every_form_agrees_byte_for_byte_at_every_border() {
    for (suite, size) in
        SUITES.into_iter().flat_map(|suite| border_sizes().map(move |n| (suite, n)))
    {
        let object = Object::of(suite);
        let plain = plaintext(size);
        let sealed = object.sealed(&plain);
        assert_eq!(Some(sealed.len() as u64), sealed_size(size as u64));
        let seed = size as u64;
        let source = Source::new(&plain, scattered(seed));
        let (again, end) = read_blocking(object.sealing(source, b""), &mut scattered(seed + 1));
        assert!(end.is_ok() && again == sealed, "{suite:?} {size}");
        let source = Source::new(&sealed, scattered(seed + 2));
        let (opened, end) = read_blocking(object.opening(source), &mut scattered(seed + 3));
        assert!(end.is_ok() && opened == plain, "{suite:?} {size}");
        let source = Source::new(&sealed, scattered(seed + 4));
        let (opened, end) = read_async(object.opening(source), &mut scattered(seed + 5));
        assert!(end.is_ok() && opened == plain, "{suite:?} {size}");

        let (cipher, header) = object.cipher();
        let (mut as_payload, mut opened) = (Vec::new(), Vec::new());
        let result = seal_payload(&cipher, &header, &plain, &mut as_payload);
        if size > PAYLOAD_BYTES_MAX {
            assert!(matches!(result, Err(Error::ApiMisuse(_))) && as_payload.is_empty());
            assert!(open_payload(&cipher, &sealed[HEADER_BYTES..], &mut opened).is_err());
        } else {
            assert!(result.is_ok() && as_payload == sealed, "{suite:?} {size}");
            open_payload(&cipher, &sealed[HEADER_BYTES..], &mut opened).unwrap();
            assert!(opened == plain, "{suite:?} {size}");
        }
    }
}

/// HKDF-Expand-SHA-512 (RFC 5869, section 2.3), by another implementation than the engine's.
#[cfg(feature = "local")]
fn expand(key: &[u8], info: &[u8], len: usize) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha512;

    let (mut out, mut block) = (Vec::new(), Vec::new());
    for counter in 1.. {
        if out.len() >= len {
            break;
        }
        let mut mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
        mac.update(&block);
        mac.update(info);
        mac.update(&[counter]);
        block = mac.finalize().into_bytes().to_vec();
        out.extend_from_slice(&block);
    }
    out.truncate(len);
    out
}

#[cfg(feature = "local")]
#[test]
fn siv_objects_are_those_that_other_primitives_make() {
    let object = Object::of(Suite::Aes256GcmSiv);
    let plain = plaintext(300 * CHUNK_BYTES + 5);
    let label = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM_SIV\0";
    let info = [&label[..], &object.salt, &object.context].concat();
    let derived = expand(&object.key, &info, 76);
    let key = derived[..32].try_into().unwrap();
    let mut expected = [&object.salt[..], &derived[44..]].concat();
    for (number, chunk) in plain.chunks(CHUNK_BYTES).enumerate() {
        let mut nonce: [u8; 12] = derived[32..44].try_into().unwrap();
        let number = u16::try_from(number).unwrap().to_be_bytes();
        nonce[10] ^= number[0];
        nonce[11] ^= number[1];
        let mut chunk = chunk.to_vec();
        let tag = crate::crypto::rest::seal(key, &nonce, &[], &mut chunk).unwrap();
        expected.extend(chunk);
        expected.extend(tag);
    }
    assert!(object.sealed(&plain) == expected);
}

#[test]
fn a_changed_byte_anywhere_opens_nothing_of_its_chunk_or_after() {
    for suite in SUITES {
        let object = Object::of(suite);
        let plain = plaintext(CHUNK_BYTES + 100);
        let sealed = object.sealed(&plain);
        let mut changed = sealed.clone();
        for at in 0..sealed.len() {
            changed[at] ^= 1 << (at % 8);
            fails(&object, &plain, &sealed, &changed, "a changed byte");
            changed[at] = sealed[at];
        }
        assert!(object.opened(&changed).1.is_ok());
    }
}

#[test]
fn an_object_cut_at_any_byte_does_not_open() {
    for suite in SUITES {
        let object = Object::of(suite);
        // Two full chunks and an empty one, and one full chunk and a short one.
        for size in [2 * CHUNK_BYTES, CHUNK_BYTES + 100] {
            let plain = plaintext(size);
            let sealed = object.sealed(&plain);
            for end in 0..sealed.len() {
                fails(&object, &plain, &sealed, &sealed[..end], "a cut");
            }
        }
    }
}

#[test]
fn bytes_dropped_repeated_or_put_in_do_not_open() {
    for suite in SUITES {
        let object = Object::of(suite);
        let plain = plaintext(CHUNK_BYTES + 100);
        let sealed = object.sealed(&plain);
        let places = (0..sealed.len()).step_by(97).chain([24, 56, 16_455, 16_456, 16_457]);
        for at in places.chain([sealed.len() - 1]) {
            let mut changed = sealed.clone();
            changed.remove(at);
            fails(&object, &plain, &sealed, &changed, "a dropped byte");
            changed.insert(at, sealed[at]);
            changed.insert(at, sealed[at]);
            fails(&object, &plain, &sealed, &changed, "a repeated byte");
        }
        for more in [1, 15, 16, 17, SEALED_CHUNK_BYTES, 9 * SEALED_CHUNK_BYTES] {
            let mut longer = sealed.clone();
            longer.resize(sealed.len() + more, 0);
            fails(&object, &plain, &sealed, &longer, "appended bytes");
        }
    }
}

#[test]
fn chunks_moved_dropped_repeated_or_appended_do_not_open() {
    for (suite, last) in SUITES.into_iter().flat_map(|suite| [(suite, 0), (suite, 9)]) {
        let object = Object::of(suite);
        let plain = plaintext(10 * CHUNK_BYTES + last);
        let sealed = object.sealed(&plain);
        let (header, body) = sealed.split_at(HEADER_BYTES);
        let chunks: Vec<&[u8]> = body.chunks(SEALED_CHUNK_BYTES).collect();
        let check = |chunks: &[&[u8]], what: &str| {
            fails(&object, &plain, &sealed, &[header, &chunks.concat()].concat(), what);
        };
        for a in 0..chunks.len() {
            let mut dropped = chunks.clone();
            dropped.remove(a);
            check(&dropped, "a dropped chunk");
            let mut repeated = chunks.clone();
            repeated.insert(a, chunks[a]);
            check(&repeated, "a repeated chunk");
            let mut appended = chunks.clone();
            appended.push(chunks[a]);
            check(&appended, "an appended chunk");
            for b in a + 1..chunks.len() {
                let mut swapped = chunks.clone();
                swapped.swap(a, b);
                check(&swapped, "a moved chunk");
                let mut replaced = chunks.clone();
                replaced[b] = chunks[a];
                check(&replaced, "a chunk in another's place");
            }
        }
        // Chunks that were sealed under these very numbers, with the same key and salt.
        let longer = object.sealed(&plaintext(12 * CHUNK_BYTES));
        let spliced = [&sealed[..], &longer[sealed.len()..]].concat();
        fails(&object, &plain, &sealed, &spliced, "the end of a longer object");
    }
}

#[test]
fn another_key_context_suite_or_salt_opens_nothing() {
    for suite in SUITES {
        let object = Object::of(suite);
        let plain = plaintext(100);
        let sealed = object.sealed(&plain);
        let other = SUITES.into_iter().find(|&other| other != suite).unwrap();
        let wrong = [
            Object { key: vec![8; 32], ..object.clone() },
            Object { key: vec![7; 31], ..object.clone() },
            Object { context: b"contex".to_vec(), ..object.clone() },
            Object { context: Vec::new(), ..object.clone() },
            Object { suite: other, ..object.clone() },
        ];
        for wrong in wrong {
            let (released, end) = wrong.opened(&sealed);
            assert!(is_cut_by(&end, is_bad) && released.is_empty());
        }
        let salted = Object { salt: [1; 24], ..object.clone() }.sealed(&plain);
        let swapped_salt = [&salted[..24], &sealed[24..]].concat();
        fails(&object, &plain, &sealed, &swapped_salt, "a swapped salt");
        let swapped_header = [&salted[..56], &sealed[56..]].concat();
        fails(&object, &plain, &sealed, &swapped_header, "a swapped header");
    }
}

#[test]
fn a_stream_is_cut_at_the_section_that_the_engine_refuses() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(20 * CHUNK_BYTES + 77);
    let sealed = object.sealed(&plain);
    for cut_at in [0, 1, 5, 20] {
        let mut reader = object.opening(&*sealed);
        reader.operation.cut_at = cut_at;
        let (released, end) = read_async(&mut reader, &mut constant(CHUNK_BYTES));
        assert!(is_cut_by(&end, |error| matches!(error, Error::Refused(Refused::Stopped))));
        assert_eq!(end.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(released == plain[..CHUNK_BYTES * usize::try_from(cut_at).unwrap()]);
        assert!(is_wiped(&reader));
        // What the engine allows again later does not revive it.
        reader.operation.cut_at = u64::MAX;
        let (released, end) = read_async(&mut reader, &mut constant(1 << 16));
        assert!(released.is_empty());
        assert!(is_cut_by(&end, |error| matches!(error, Error::Refused(Refused::Stopped))));
        assert!(reader.operation.finished.take().is_empty());
    }
}

#[test]
fn a_read_of_several_chunks_gives_none_of_them_where_the_engine_refuses_one() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(20 * CHUNK_BYTES + 77);
    let sealed = object.sealed(&plain);
    for cut_at in 0..9 {
        let mut reader = object.opening(&*sealed);
        reader.operation.cut_at = cut_at;
        let (released, end) = read_async(&mut reader, &mut constant(4 * CHUNK_BYTES));
        assert!(is_cut_by(&end, |error| matches!(error, Error::Refused(Refused::Stopped))));
        let whole_reads = usize::try_from(cut_at).unwrap() / 4 * 4;
        assert!(released == plain[..CHUNK_BYTES * whole_reads]);
    }
}

#[test]
fn bytes_that_wait_in_the_stream_are_not_released_after_a_cut() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(3 * CHUNK_BYTES);
    let sealed = object.sealed(&plain);
    let mut reader = object.opening(&*sealed);
    let first = poll_once(&mut reader, 10);
    assert!(matches!(first, Poll::Ready(Ok(bytes)) if bytes == plain[..10]));
    assert!(!is_wiped(&reader));
    reader.operation.cut_at = reader.operation.sections;
    let Poll::Ready(Err(error)) = poll_once(&mut reader, 10) else {
        panic!("a cut stream goes on");
    };
    assert!(matches!(Error::in_stream(&error), Some(Error::Refused(Refused::Stopped))));
    assert!(is_wiped(&reader));

    let mut reader = object.sealing(&*plain, b"prefix");
    assert!(matches!(poll_once(&mut reader, 6), Poll::Ready(Ok(bytes)) if bytes == b"prefix"));
    reader.operation.cut_at = reader.operation.sections;
    assert!(matches!(poll_once(&mut reader, 10), Poll::Ready(Err(_))));
}

#[test]
fn a_bad_chunk_wipes_the_stream_and_is_its_last_word() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(3 * CHUNK_BYTES + 1);
    let mut sealed = object.sealed(&plain);
    sealed[HEADER_BYTES + SEALED_CHUNK_BYTES + 3] ^= 1;
    for size in [1, 1000, 1 << 16] {
        let mut reader = object.opening(&*sealed);
        let (released, end) = read_async(&mut reader, &mut constant(size));
        assert!(released == plain[..CHUNK_BYTES]);
        assert_eq!(end.as_ref().unwrap_err().kind(), ErrorKind::InvalidData);
        let first = ends_with(end);
        assert!(is_wiped(&reader));
        let (released, end) = read_async(&mut reader, &mut constant(size));
        assert!(released.is_empty());
        assert_eq!(ends_with(end), first);
    }
}

#[test]
fn a_failing_reader_is_never_taken_for_the_end() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(2 * CHUNK_BYTES);
    let sealed = object.sealed(&plain);
    // Also where the input could well end: before any, after a chunk, after the last byte.
    for at in [0, 30, 56, 1000, 16_456, 16_457, 32_856, sealed.len()] {
        for kind in [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof] {
            let is_io = |error: &Error| matches!(error, Error::Object(ObjectError::Io(io)) if io.kind() == kind);
            let mut source = Source::new(&sealed[..at], scattered(at as u64));
            source.failure = Some(kind.into());
            let mut reader = object.opening(source);
            let (released, end) = read_async(&mut reader, &mut constant(5000));
            assert!(is_cut_by(&end, is_io), "at {at}: {end:?}");
            assert_eq!(end.unwrap_err().kind(), kind);
            assert!(plain.starts_with(&released) && released.len() <= CHUNK_BYTES);
            let (_, end) = read_async(&mut reader, &mut constant(5000));
            assert!(is_cut_by(&end, is_io), "at {at} the failure did not stick: {end:?}");

            let mut source = Source::new(&plain[..at.min(plain.len())], constant(at.max(1)));
            source.failure = Some(kind.into());
            let mut reader = object.sealing(source, b"");
            let (_, end) = read_blocking(&mut reader, &mut constant(5000));
            assert!(is_cut_by(&end, is_io), "at {at}: {end:?}");
            assert!(is_wiped(&reader) && reader.operation.finished.take().is_empty());
        }
    }
}

#[test]
fn an_interrupted_read_is_repeated() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(5000);
    let mut source = Source::new(b"", constant(1));
    source.failure = Some(ErrorKind::Interrupted.into());
    let source = source.chain(&*plain);
    let (sealed, end) = read_blocking(object.sealing(source, b""), &mut constant(900));
    assert!(end.is_ok());
    assert!(sealed == object.sealed(&plain));
}

#[test]
fn a_reader_that_claims_more_than_its_room_is_refused() {
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            Ok(buf.len() + 1)
        }
    }
    let object = Object::of(Suite::Aes256Gcm);
    let (released, end) = read_blocking(object.opening(Liar), &mut constant(100));
    assert!(released.is_empty());
    assert!(is_cut_by(&end, |error| matches!(error, Error::ApiMisuse(_))));
}

#[test]
fn a_reader_that_stalls_before_each_byte_is_waited_for() {
    let object = Object::of(Suite::Aes256GcmSiv);
    let plain = plaintext(2 * CHUNK_BYTES + 3);
    let mut source = Source::new(&plain, constant(1));
    source.stalls = true;
    let (sealed, end) = read_async(object.sealing(source, b""), &mut constant(5));
    assert!(end.is_ok() && sealed == object.sealed(&plain));
    let mut source = Source::new(&sealed, constant(1));
    source.stalls = true;
    let (opened, end) = read_async(object.opening(source), &mut constant(5));
    assert!(end.is_ok() && opened == plain);
}

#[test]
fn the_end_is_opened_before_the_last_byte_is_released() {
    let object = Object::of(Suite::Aes256Gcm);
    for size in [1, CHUNK_BYTES, CHUNK_BYTES + 1, 8 * CHUNK_BYTES] {
        let plain = plaintext(size);
        let sealed = object.sealed(&plain);
        for piece in [CHUNK_BYTES, 1000] {
            let mut reader = object.opening(&*sealed);
            let finished = reader.operation.finished.clone();
            // A host that knows the length reads no further.
            let mut opened = vec![0; size];
            for piece in opened.chunks_mut(piece) {
                assert!(finished.take().is_empty());
                Read::read_exact(&mut reader, piece).unwrap();
            }
            assert!(opened == plain);
            assert_eq!(finished.take(), [size as u64]);
            assert_eq!(Read::read(&mut reader, &mut [0; 10]).unwrap(), 0);
            assert!(finished.take().is_empty());
        }
        let mut cut = sealed;
        let last = cut.len() - 1;
        cut[last] ^= 1;
        let (released, end) = object.opened(&cut);
        assert!(end.is_err() && released.len() < size);
    }
}

#[test]
fn a_seal_is_finished_with_its_last_byte_and_counts_its_plaintext() {
    let object = Object::of(Suite::Aes256Gcm);
    for size in [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
        let plain = plaintext(size);
        let mut reader = object.sealing(&*plain, b"an envelope");
        let finished = reader.operation.finished.clone();
        let mut sealed = vec![0; 11 + object.sealed(&plain).len()];
        let last = sealed.len() - 1;
        Read::read_exact(&mut reader, &mut sealed[..last]).unwrap();
        assert!(finished.take().is_empty());
        Read::read_exact(&mut reader, &mut sealed[last..]).unwrap();
        assert_eq!(finished.take(), [size as u64]);
        assert!(sealed.starts_with(b"an envelope") && sealed[11..] == object.sealed(&plain));
    }
}

#[test]
fn a_read_into_no_room_is_not_the_end() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(100);
    let mut reader = object.sealing(&*plain, b"");
    assert!(matches!(poll_once(&mut reader, 0), Poll::Ready(Ok(bytes)) if bytes.is_empty()));
    assert_eq!(Read::read(&mut reader, &mut []).unwrap(), 0);
    let (sealed, end) = read_async(reader, &mut constant(50));
    assert!(end.is_ok() && sealed == object.sealed(&plain));
}

#[test]
fn a_stream_ends_at_the_last_chunk_number_and_not_past_it() {
    let object = Object::of(Suite::Aes256Gcm);
    let too_long = |error: &Error| matches!(error, Error::Object(ObjectError::TooLong));
    let sealed_from = |plain: &[u8]| {
        let mut reader = object.sealing(plain, b"");
        reader.pipe.skip_to(CHUNKS_MAX - 2);
        read_async(&mut reader, &mut constant(1 << 16))
    };
    let opened_from = |sealed: &[u8], number| {
        let mut reader = object.opening(sealed);
        reader.pipe.skip_to(number);
        read_async(&mut reader, &mut constant(1 << 16))
    };
    let longest = plaintext(2 * CHUNK_BYTES - 1);
    let (sealed, end) = sealed_from(&longest);
    assert!(end.is_ok());
    let (opened, end) = opened_from(&sealed, CHUNKS_MAX - 2);
    assert!(end.is_ok() && opened == longest);
    let (_, end) = opened_from(&sealed, CHUNKS_MAX - 1);
    assert!(is_cut_by(&end, too_long));
    let (sealed, end) = sealed_from(&plaintext(2 * CHUNK_BYTES));
    assert!(is_cut_by(&end, too_long));
    assert_eq!(end.unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(sealed.len(), HEADER_BYTES + SEALED_CHUNK_BYTES);
}

#[test]
fn one_section_works_on_one_chunk() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(10 * CHUNK_BYTES + 9);
    let mut reader = object.sealing(&*plain, b"");
    let (sealed, _) = read_async(&mut reader, &mut constant(1 << 20));
    // One for the header, ten for full chunks, one for the last.
    assert_eq!(reader.operation.sections, 12);
    let mut reader = object.opening(&*sealed);
    read_async(&mut reader, &mut constant(1 << 20)).1.unwrap();
    assert_eq!(reader.operation.sections, 11);
}

#[tokio::test]
async fn a_stream_is_a_reader_like_any_other_to_tokio() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(5 * CHUNK_BYTES + 1);
    let (mut sealed, mut opened) = (Vec::new(), Vec::new());
    tokio::io::copy(&mut object.sealing(&*plain, b""), &mut sealed).await.unwrap();
    let mut reader = object.opening(&*sealed);
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut opened).await.unwrap();
    assert!(opened == plain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_size_in_any_pieces_comes_back(
        size in 0..20 * CHUNK_BYTES,
        seed in any::<u64>(),
        siv in any::<bool>(),
        prefix in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let object = Object::of(SUITES[usize::from(siv)]);
        let plain = plaintext(size);
        let source = Source::new(&plain, scattered(seed));
        let mut sizes = scattered(seed ^ 1);
        let (sealed, end) = read_async(object.sealing(source, &prefix), &mut sizes);
        prop_assert!(end.is_ok() && sealed.starts_with(&prefix));
        let source = Source::new(&sealed[prefix.len()..], scattered(seed ^ 2));
        let (opened, end) = read_blocking(object.opening(source), &mut scattered(seed ^ 3));
        prop_assert!(end.is_ok() && opened == plain);
    }

    #[test]
    fn any_bytes_at_all_open_to_nothing(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..40_000),
        keeps_header in any::<bool>(),
    ) {
        let object = Object::of(Suite::Aes256Gcm);
        let sealed = object.sealed(b"something else");
        if keeps_header && bytes.len() >= HEADER_BYTES {
            bytes[..HEADER_BYTES].copy_from_slice(&sealed[..HEADER_BYTES]);
        }
        let (released, end) = object.opened(&bytes);
        prop_assert!(released.is_empty() && is_cut_by(&end, is_bad));
    }
}

// The sizes that the tests above are written for.
const _: () = assert!(HEADER_BYTES == 56 && SEALED_CHUNK_BYTES == CHUNK_BYTES + TAG_BYTES);
