//! Ranges of what was sealed, from just the bytes that they take.

use std::future::{Ready, ready};
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use portcullis::engine::OpenedRange;
use portcullis::error::{CustomerKeyError, Error, ObjectError, Refused};
use portcullis::limits::CHUNK_BYTES;
use portcullis::objects::{ByteRange, CustomerKey, RangedSource, SealedRange};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, running};

/// A source that remembers what it was asked for and answers with what the test made of it.
struct Odd<F> {
    asked: Arc<Mutex<Vec<SealedRange>>>,
    answer: F,
}

impl<F: FnMut(SealedRange) -> io::Result<Vec<u8>>> RangedSource for Odd<F> {
    type Reader = Cursor<Vec<u8>>;
    type Fetch = Ready<io::Result<Self::Reader>>;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        assert!(range.part.is_none() && range.length > 0);
        self.asked.lock().unwrap().push(range);
        ready((self.answer)(range).map(Cursor::new))
    }
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

async fn sealed(fixture: &Fixture, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let (kms, key) = (&fixture.kms, &fixture.key);
    kms.seal_into(key, &context("a"), plain, &mut sealed).await.unwrap();
    sealed
}

/// `range` of `sealed`, which `answer` gives in pieces.
async fn read(
    fixture: &Fixture,
    sealed: &[u8],
    range: ByteRange,
    answer: impl FnMut(SealedRange) -> io::Result<Vec<u8>>,
) -> (Result<Vec<u8>, Error>, Vec<SealedRange>) {
    let asked = Arc::default();
    let source = Odd { asked: Arc::clone(&asked), answer };
    let len = sealed.len() as u64;
    let opened = fixture.kms.open_range(&context("a"), None, range, source, len).await;
    let result = match opened {
        Ok(reader) => all(reader).await,
        Err(error) => Err(error),
    };
    let asked = asked.lock().unwrap().clone();
    (result, asked)
}

async fn all<S: RangedSource>(reader: OpenedRange<S>) -> Result<Vec<u8>, Error> {
    let (mut reader, mut read) = (Box::pin(reader), Vec::new());
    match reader.read_to_end(&mut read).await {
        Ok(_) => Ok(read),
        Err(error) => match Error::in_stream(&error).unwrap() {
            Error::Object(ObjectError::DoesNotOpen) => Err(ObjectError::DoesNotOpen.into()),
            Error::Object(ObjectError::Malformed(at)) => Err(ObjectError::Malformed(at).into()),
            Error::Refused(why) => Err((*why).into()),
            other => panic!("{other}"),
        },
    }
}

fn honest(sealed: &[u8]) -> impl FnMut(SealedRange) -> io::Result<Vec<u8>> {
    |range| {
        let from = range.offset as usize;
        Ok(sealed[from..from + range.length as usize].to_vec())
    }
}

#[test]
fn any_range_of_any_size_is_that_of_the_plaintext() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(running());
    let config = ProptestConfig::with_cases(200);
    proptest!(config, |(
        chunks in 0_usize..12, around in -20_isize..20, (first, last) in any::<(u32, u32)>(),
    )| {
        let size = (chunks * CHUNK_BYTES).saturating_add_signed(around);
        let plain = plaintext(size);
        runtime.block_on(async {
            let sealed = sealed(&fixture, &plain).await;
            let span = size as u64 + 3;
            let (first, last) = (u64::from(first) % span, u64::from(last) % span);
            for range in [
                ByteRange::Inclusive { first: first.min(last), last: first.max(last) },
                ByteRange::From { first },
                ByteRange::Suffix { length: last },
                ByteRange::Exact { start: first.min(last), length: first.max(last) - first.min(last) },
            ] {
                let (got, asked) = read(&fixture, &sealed, range, honest(&sealed)).await;
                match range.within(size as u64) {
                    Ok(expected) => {
                        let expected = expected.start as usize..expected.end as usize;
                        assert!(got.unwrap() == plain[expected.clone()]);
                        // The beginning, the end and the chunks of the range.
                        let fetched: u64 = asked.iter().map(|range| range.length).sum();
                        let most = 1600 + expected.len() + 5 * (CHUNK_BYTES + 16) + 56;
                        assert!(fetched <= most as u64, "{fetched} bytes for {range:?}");
                    }
                    Err(_) => {
                        let told = matches!(
                            got,
                            Err(Error::Object(ObjectError::RangeNotSatisfiable { size: told }))
                                if told == size as u64
                        );
                        assert!(told, "{range:?} of {size}");
                    }
                }
            }
        });
    });
}

#[tokio::test]
async fn a_source_that_lies_is_an_error_and_never_other_bytes() {
    let fixture = running().await;
    let plain = plaintext(10 * CHUNK_BYTES + 7);
    let good = sealed(&fixture, &plain).await;
    let other = sealed(&fixture, &plain).await;
    let range = ByteRange::Exact { start: 5 * CHUNK_BYTES as u64 - 3, length: 6 };
    let context = context("a");
    // Each fetch in turn - the beginning, the end, the range - is answered with something else.
    for lie_at in 0..3 {
        for lie in 0..5 {
            let (mut nth, mut truth) = (0, honest(&good));
            let answer = |range: SealedRange| {
                let mut bytes = truth(range)?;
                nth += 1;
                if nth - 1 != lie_at {
                    return Ok(bytes);
                }
                match lie {
                    0 => bytes.truncate(bytes.len().min(150) / 2),
                    1 => bytes = honest(&other)(range)?,
                    2 => bytes = Vec::new(),
                    3 => bytes[range.length as usize * 2 / 3] ^= 1,
                    _ => return Err(io::ErrorKind::ConnectionReset.into()),
                }
                Ok(bytes)
            };
            let opened = fixture.kms.open_range(
                &context,
                None,
                range,
                Odd { asked: Arc::default(), answer },
                good.len() as u64,
            );
            let released = match opened.await {
                Ok(mut reader) => {
                    let (mut reader, mut read) = (std::pin::Pin::new(&mut reader), Vec::new());
                    let end = reader.read_to_end(&mut read).await;
                    let is_whole = end.is_ok();
                    // A change behind what was needed of the beginning changes nothing.
                    assert!(!is_whole || (lie_at == 0 && lie == 3), "lie {lie} at {lie_at}");
                    read
                }
                Err(_) => Vec::new(),
            };
            let start = 5 * CHUNK_BYTES - 3;
            assert!(plain[start..start + 6].starts_with(&released), "lie {lie} at {lie_at}");
        }
    }
    // More than was asked for is not looked at.
    let mut truth = honest(&good);
    let longer = |range: SealedRange| Ok([truth(range)?, vec![1; 100]].concat());
    let (got, _) = read(&fixture, &good, range, longer).await;
    assert!(got.unwrap() == plain[5 * CHUNK_BYTES - 3..][..6]);
}

#[tokio::test]
async fn a_length_that_is_not_the_objects_opens_nothing() {
    let fixture = running().await;
    let plain = plaintext(3 * CHUNK_BYTES + 100);
    let good = sealed(&fixture, &plain).await;
    let len = good.len() as u64;
    let chunk = CHUNK_BYTES as u64 + 16;
    let padded = [&good[..], &vec![0; 2 * chunk as usize]].concat();
    for wrong in [0, 1, 100, len - chunk, len - 1, len + 1, len + chunk, len - 116 + 16] {
        let source = &padded[..];
        let range = ByteRange::Suffix { length: 10 };
        let opened = fixture.kms.open_range(&context("a"), None, range, source, wrong).await;
        assert!(opened.is_err(), "{wrong} of {len} bytes");
    }
}

#[tokio::test]
async fn a_stop_cuts_a_range_that_is_being_read() {
    let fixture = running().await;
    let plain = plaintext(40 * CHUNK_BYTES);
    let good = sealed(&fixture, &plain).await;
    let (range, len) = (ByteRange::From { first: 0 }, good.len() as u64);
    let context = context("a");
    let opened = fixture.kms.open_range(&context, None, range, &good[..], len);
    let mut reader = Box::pin(opened.await.unwrap());
    let mut piece = vec![0; CHUNK_BYTES];
    reader.read_exact(&mut piece).await.unwrap();
    fixture.kms.stop_within(std::time::Duration::ZERO).await.unwrap();
    let error = reader.read(&mut piece).await.unwrap_err();
    assert!(matches!(Error::in_stream(&error), Some(Error::Refused(_))), "{error}");
    let again = fixture.kms.open_range(&context, None, range, &good[..], len).await;
    assert!(matches!(again, Err(Error::Refused(Refused::Stopped))));
}

#[tokio::test]
async fn a_customers_key_opens_ranges_of_what_it_sealed_and_other_forms_ask_for_it() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let key = || CustomerKey::from_bytes(&[5; 32]).unwrap();
    let plain = plaintext(2 * CHUNK_BYTES + 9);
    let mut sealing = kms.seal_write_sse_c(&key(), &context("a"), Vec::new()).unwrap();
    sealing.write_all(&plain).unwrap();
    let sealed = sealing.finish().unwrap();
    let len = sealed.len() as u64;
    let open = |context, key| {
        let range = ByteRange::Inclusive { first: 16_000, last: 17_000 };
        kms.open_range(context, key, range, &sealed[..], len)
    };
    let (a, b, own) = (context("a"), context("b"), key());
    let read = all(open(&a, Some(&own)).await.unwrap()).await.unwrap();
    assert!(read == plain[16_000..17_001]);
    let wrong = CustomerKey::from_bytes(&[6; 32]).unwrap();
    let customer = |error| matches!(error, Error::Object(ObjectError::CustomerKey(_)));
    let error = open(&a, Some(&wrong)).await.unwrap_err();
    let is_wrong =
        matches!(error, Error::Object(ObjectError::CustomerKey(CustomerKeyError::Wrong)));
    assert!(is_wrong, "{error}");
    assert!(customer(open(&a, None).await.unwrap_err()));
    let error = open(&b, Some(&own)).await.unwrap_err();
    assert!(matches!(error, Error::Object(ObjectError::DoesNotOpen)), "{error}");
    // Forms that take no customer's key say that one is missing.
    assert!(customer(kms.open(&a, &sealed[..]).await.unwrap_err()));
    assert!(customer(kms.open_into(&a, &sealed, &mut Vec::new()).await.unwrap_err()));
    let mut short = kms.seal_write_sse_c(&own, &a, Vec::new()).unwrap();
    short.write_all(b"short").unwrap();
    let short = short.finish().unwrap();
    assert!(customer(kms.open_into(&a, &short, &mut Vec::new()).await.unwrap_err()));
}
