//! Ranges of objects: what they give, and what they take to give it.

use std::fs::File;
use std::future::{Ready, ready};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use portcullis::error::{Error, ObjectError};
use portcullis::limits::CHUNK_BYTES;
use portcullis::objects::{ByteRange, Protection, RangedSource, SealedRange};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context};
use crate::host::{
    DOES_NOT_OPEN, Read, Stored, drain, facts, fetch, name, open, plaintext, put, put_parts,
};

/// A source that remembers what it was asked for and answers with what the test made of it.
struct Odd<'a, F> {
    sealed: &'a [u8],
    asked: Arc<Mutex<Vec<SealedRange>>>,
    answer: F,
}

impl<'a, F: FnMut(&'a [u8], SealedRange) -> io::Result<Vec<u8>>> RangedSource for Odd<'a, F> {
    type Reader = io::Cursor<Vec<u8>>;
    type Fetch = Ready<io::Result<Self::Reader>>;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        self.asked.lock().unwrap().push(range);
        ready((self.answer)(self.sealed, range).map(io::Cursor::new))
    }
}

fn honest(sealed: &[u8], range: SealedRange) -> io::Result<Vec<u8>> {
    let from = range.offset as usize;
    Ok(sealed[from..from + range.length as usize].to_vec())
}

async fn read_with<'a>(
    stored: &'a Stored,
    fixture: &Fixture,
    range: ByteRange,
    answer: impl FnMut(&'a [u8], SealedRange) -> io::Result<Vec<u8>>,
) -> (Read, Vec<SealedRange>) {
    let object = open(&fixture.kms, &name("o"), &context("a"), stored, None).await.unwrap();
    let asked = Arc::default();
    let source = Odd { sealed: &stored.bodies[0].1, asked: Arc::clone(&asked), answer };
    let plan = object.range(range).unwrap();
    let planned: Vec<_> = plan.sealed().collect();
    let read = drain(Box::pin(object.read_from(plan, source).await.unwrap())).await;
    let asked = asked.lock().unwrap().clone();
    assert!(planned.starts_with(&asked));
    (read, asked)
}

#[tokio::test]
async fn what_is_not_within_an_object_is_told_with_its_size() {
    let fixture = Fixture::running().await;
    for size in [0_usize, 1, 100] {
        let plain = plaintext(size);
        let stored =
            put(&fixture.kms, &name("o"), &context("a"), Protection::SseS3, &plain).await.unwrap();
        let object = open(&fixture.kms, &name("o"), &context("a"), &stored, None).await.unwrap();
        let size = size as u64;
        for range in [
            ByteRange::From { first: size },
            ByteRange::From { first: u64::MAX },
            ByteRange::Inclusive { first: size, last: size + 1 },
            ByteRange::Inclusive { first: 1, last: 0 },
            ByteRange::Suffix { length: 0 },
            ByteRange::Exact { start: 0, length: size + 1 },
            ByteRange::Exact { start: u64::MAX, length: u64::MAX },
        ] {
            let refused = object.range(range);
            assert!(
                matches!(refused, Err(ObjectError::RangeNotSatisfiable { size: told }) if told == size),
                "{range:?} of {size}"
            );
        }
        let suffix = object.range(ByteRange::Suffix { length: 1000 });
        assert_eq!(suffix.map(|plan| plan.plain()).ok(), (size > 0).then_some(0..size));
        let nothing = object.range(ByteRange::Exact { start: size, length: 0 }).unwrap();
        assert_eq!(nothing.sealed().count(), 0);
        let (read, end) = fetch(&object, nothing, &stored).await;
        assert!(read.is_empty() && end.is_ok());
    }
}

#[tokio::test]
async fn a_range_takes_its_own_chunks_and_no_others() {
    let fixture = Fixture::running().await;
    let plain = plaintext(5 * CHUNK_BYTES + 100);
    let stored =
        put(&fixture.kms, &name("o"), &context("a"), Protection::SseS3, &plain).await.unwrap();
    let at = |chunk: u64| 56 + chunk * 16_400;
    let size = plain.len() as u64;
    let cases = [
        // The first byte: the header comes with the first chunk.
        (ByteRange::Inclusive { first: 0, last: 0 }, 0, at(1)),
        (ByteRange::Inclusive { first: 16_384, last: 16_384 }, at(1), at(2)),
        (ByteRange::Inclusive { first: 16_383, last: 16_384 }, 0, at(2)),
        (ByteRange::Exact { start: 40_000, length: 20_000 }, at(2), at(4)),
        (ByteRange::Suffix { length: 1 }, at(5), at(5) + 116),
        (ByteRange::Suffix { length: 101 }, at(4), at(5) + 116),
        (ByteRange::From { first: 0 }, 0, at(5) + 116),
        (ByteRange::Inclusive { first: 0, last: u64::MAX }, 0, at(5) + 116),
        (ByteRange::Suffix { length: u64::MAX }, 0, at(5) + 116),
    ];
    for (range, from, to) in cases {
        let ((read, end), asked) = read_with(&stored, &fixture, range, honest).await;
        let plain_range = range.within(size).unwrap();
        assert!(end.is_ok());
        assert!(read == plain[plain_range.start as usize..plain_range.end as usize]);
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].part, asked[0].offset, asked[0].length), (None, from, to - from));
    }
}

#[tokio::test]
async fn whatever_reaches_the_end_has_had_the_end_opened_first() {
    let fixture = Fixture::running().await;
    let plain = plaintext(3 * CHUNK_BYTES);
    let mut stored =
        put(&fixture.kms, &name("o"), &context("a"), Protection::SseS3, &plain).await.unwrap();
    let ends = stored.bodies[0].1.len();
    stored.bodies[0].1[ends - 1] ^= 1;
    for range in [ByteRange::Suffix { length: 1 }, ByteRange::From { first: 40_000 }] {
        let ((read, end), _) = read_with(&stored, &fixture, range, honest).await;
        assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
    }
    let before = ByteRange::Inclusive { first: 0, last: plain.len() as u64 - 2 };
    let ((read, end), _) = read_with(&stored, &fixture, before, honest).await;
    assert!(end.is_ok() && read == plain[..plain.len() - 1]);
}

#[tokio::test]
async fn a_source_that_fails_or_lies_is_answered_with_an_error_and_no_byte_of_it() {
    let fixture = Fixture::running().await;
    let plain = plaintext(5 * CHUNK_BYTES + 100);
    let stored =
        put(&fixture.kms, &name("o"), &context("a"), Protection::SseS3, &plain).await.unwrap();
    let range = ByteRange::Exact { start: 20_000, length: 40_000 };
    let wanted = &plain[20_000..60_000];

    let refuse = |_: &[u8], _: SealedRange| Err(io::Error::other("no such key"));
    let ((read, end), _) = read_with(&stored, &fixture, range, refuse).await;
    assert!(read.is_empty() && end.unwrap_err().contains("no such key"));

    for cut in [0, 1, 16_399, 16_400, 16_401, 3 * 16_400 - 1] {
        let short = |sealed: &[u8], range| honest(sealed, range).map(|it| it[..cut].to_vec());
        let ((read, end), _) = read_with(&stored, &fixture, range, short).await;
        assert_eq!(end.unwrap_err(), "the sealed object is malformed at length");
        assert!(wanted.starts_with(&read) && read.len() < wanted.len());
    }
    // More than was asked for is not looked at: stores that ignore a range's end do that.
    let long = |sealed: &[u8], range: SealedRange| Ok(sealed[range.offset as usize..].to_vec());
    let ((read, end), _) = read_with(&stored, &fixture, range, long).await;
    assert!(end.is_ok() && read == wanted);
    // A store that ignores the range altogether.
    let all = |sealed: &[u8], _: SealedRange| Ok(sealed.to_vec());
    let ((read, end), _) = read_with(&stored, &fixture, range, all).await;
    assert_eq!((read.len(), end.unwrap_err().as_str()), (0, DOES_NOT_OPEN));
    for at in [0, 5_000, 16_399, 16_400, 3 * 16_400 - 1] {
        let flip = |sealed: &[u8], range| {
            honest(sealed, range).map(|mut it| {
                it[at] ^= 1;
                it
            })
        };
        let ((read, end), _) = read_with(&stored, &fixture, range, flip).await;
        assert_eq!(end.unwrap_err(), DOES_NOT_OPEN);
        let good = at / 16_400 * CHUNK_BYTES;
        assert_eq!(read.len(), good.saturating_sub(20_000 - CHUNK_BYTES));
        assert!(wanted.starts_with(&read));
    }
}

#[tokio::test]
async fn a_file_is_a_source_and_its_own_position_does_not_matter() {
    let fixture = Fixture::running().await;
    let plain = plaintext(200_000);
    let stored =
        put(&fixture.kms, &name("o"), &context("a"), Protection::SseS3, &plain).await.unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&stored.sealed()).unwrap();
    let file: Arc<File> = Arc::new(file);
    let object = open(&fixture.kms, &name("o"), &context("a"), &stored, None).await.unwrap();
    for range in [ByteRange::Suffix { length: 70_000 }, ByteRange::From { first: 1 }] {
        let plan = object.range(range).unwrap();
        let plain_range = plan.plain().start as usize..plan.plain().end as usize;
        let (read, end) = drain(object.read_from(plan, Arc::clone(&file)).await.unwrap()).await;
        assert!(end.is_ok() && read == plain[plain_range]);
    }
    let blocking = std::io::BufReader::new(&stored.bodies[0].1[..]);
    let mut reader = object.read(object.whole().unwrap(), blocking).await.unwrap();
    let mut read = Vec::new();
    io::Read::read_to_end(&mut reader, &mut read).unwrap();
    assert!(read == plain);
}

#[tokio::test]
async fn a_plan_of_another_object_is_refused() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let stored = put(kms, &name("o"), &context("a"), Protection::SseS3, b"plain").await.unwrap();
    let one = open(kms, &name("o"), &context("a"), &stored, None).await.unwrap();
    let two = open(kms, &name("o"), &context("a"), &stored, None).await.unwrap();
    let body = stored.sealed();
    let refused = one.read_from(two.whole().unwrap(), &body[..]).await;
    assert!(matches!(refused, Err(Error::ApiMisuse(_))));
}

#[tokio::test]
async fn the_end_of_ten_gibibytes_takes_the_end_and_milliseconds() {
    const SIZE: u64 = 10 << 30;
    const WANTED: u64 = 1 << 20;
    let fixture = Fixture::running().await;
    let (name, context) = (name("o"), context("a"));
    let zeroes = tokio::io::repeat(0).take(SIZE);
    let mut sealing =
        fixture.kms.seal_object(&name, &context, Protection::SseS3, zeroes).await.unwrap();
    // Only the end is kept: whoever asked for more would not get it.
    let (mut kept, mut gone) = (Vec::new(), 0_u64);
    let mut piece = vec![0; 1 << 18];
    loop {
        let len = sealing.read(&mut piece).await.unwrap();
        if len == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..len]);
        if kept.len() > 8 << 20 {
            let dropped = kept.len() - (2 << 20);
            kept.drain(..dropped);
            gone += dropped as u64;
        }
    }
    let record = sealing.finish(&facts()).unwrap();
    let object = fixture.kms.open_object(&name, &context, &record, None, None).await.unwrap();
    assert_eq!(object.plain_size(), SIZE);
    assert_eq!(object.sealed_size().unwrap(), gone + kept.len() as u64);

    let began = Instant::now();
    let object = fixture.kms.open_object(&name, &context, &record, None, None).await.unwrap();
    let plan = object.range(ByteRange::Suffix { length: WANTED }).unwrap();
    assert_eq!(plan.plain(), SIZE - WANTED..SIZE);
    let asked = Arc::default();
    let answer = |kept: &[u8], range: SealedRange| {
        let from = (range.offset - gone) as usize;
        Ok(kept[from..from + range.length as usize].to_vec())
    };
    let source = Odd { sealed: &kept, asked: Arc::clone(&asked), answer };
    let (read, end) = drain(Box::pin(object.read_from(plan, source).await.unwrap())).await;
    let took = began.elapsed();
    end.unwrap();
    assert!(read.len() as u64 == WANTED && read.iter().all(|&byte| byte == 0));
    let fetched: u64 = asked.lock().unwrap().iter().map(|range| range.length).sum();
    assert!(fetched < WANTED + WANTED / 10, "{fetched} bytes");
    assert!(took.as_millis() < 100, "{took:?}");
    println!("1 MiB at the end of 10 GiB: {fetched} sealed bytes, {took:?}");
}

/// An object of three parts, or one.
fn any_object() -> impl Strategy<Value = (Vec<usize>, ByteRange)> {
    let sizes = prop_oneof![
        Just(0),
        0_usize..100,
        (0_usize..4, 0_usize..3).prop_map(|(n, off)| (n * CHUNK_BYTES + off).saturating_sub(1)),
        0_usize..200_000,
    ];
    let sizes = proptest::collection::vec(sizes, 1..4);
    let place = 0_u64..400_000;
    let range = prop_oneof![
        place.clone().prop_map(|first| ByteRange::From { first }),
        (place.clone(), place.clone())
            .prop_map(|(first, more)| ByteRange::Inclusive { first, last: first + more }),
        place.clone().prop_map(|length| ByteRange::Suffix { length }),
        (place.clone(), place).prop_map(|(start, length)| ByteRange::Exact { start, length }),
    ];
    (sizes, range)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_of_any_object_is_that_part_of_its_plaintext((sizes, range) in any_object()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::for_load().await;
            let (kms, name, context) = (&fixture.kms, name("o"), context("a"));
            let plain = plaintext(sizes.iter().sum());
            let stored = if let [_] = sizes[..] {
                put(kms, &name, &context, Protection::SseS3, &plain).await.unwrap()
            } else {
                let mut rest = &plain[..];
                let mut parts = Vec::new();
                for (number, size) in (1..).zip(&sizes) {
                    let (part, more) = rest.split_at(*size);
                    parts.push((number, part));
                    rest = more;
                }
                put_parts(kms, &name, &context, Protection::SseS3, &parts).await
            };
            let object = open(kms, &name, &context, &stored, None).await.unwrap();
            match object.range(range) {
                Ok(plan) => {
                    let wanted = plan.plain().start as usize..plan.plain().end as usize;
                    let sealed: u64 = plan.sealed().map(|range| range.length).sum();
                    let bodies = plan.sealed().count() as u64;
                    // Its own bytes, up to two chunks more, headers and tags.
                    let most = wanted.len() as u64 * 1001 / 1000 + 2 * 16_400 + bodies * 72;
                    prop_assert!(sealed <= most, "{} for {}", sealed, wanted.len());
                    let (read, end) = fetch(&object, plan, &stored).await;
                    prop_assert!(end.is_ok() && read == plain[wanted]);
                }
                Err(error) => {
                    prop_assert!(range.within(plain.len() as u64).is_err());
                    let is_typed = matches!(error, ObjectError::RangeNotSatisfiable { .. });
                    prop_assert!(is_typed);
                }
            }
            Ok(())
        })?;
    }
}
