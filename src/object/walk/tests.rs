#![allow(clippy::cast_possible_truncation, reason = "sizes in these tests fit")]

use std::io::Read as _;

use proptest::prelude::*;

use super::super::chunk::{SALT_BYTES, Suite};
use super::super::multipart::PartEntry;
use super::super::name::PartNumber;
use super::super::probe::{Object, constant, plaintext, read_async, read_blocking, scattered};
use super::super::range::{ByteRange, Layout, SealedRange};
use super::super::ranged::{FetchReader, WalkReader};
use super::super::source::RangedSource;
use super::*;
use crate::error::Refused;

/// The engine's side of a walk, which counts, and can be told to refuse.
struct Probe {
    key: Vec<u8>,
    cipher: Option<ChunkCipher>,
    sections: u64,
    refuse_at: u64,
    /// Chunks of the longest run.
    longest_run: usize,
    finished: u32,
    failed: u32,
}

impl Probe {
    fn new() -> Self {
        let key = vec![7; 32];
        Self {
            key,
            cipher: None,
            sections: 0,
            refuse_at: u64::MAX,
            longest_run: 0,
            finished: 0,
            failed: 0,
        }
    }
}

impl Reading for Probe {
    fn enter(&mut self, body: &BodyLayout, header: Option<&Header>) -> Result<(), Error> {
        let (cipher, own) = cipher(&self.key, body.salt);
        if header.is_some_and(|header| *header != own) {
            return Err(ObjectError::DoesNotOpen.into());
        }
        self.cipher = Some(cipher);
        Ok(())
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.sections += 1;
        if self.sections >= self.refuse_at {
            return Err(Refused::Stopped.into());
        }
        Ok(work(self.cipher.as_ref().expect("a walk enters before it works")))
    }

    fn run(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        self.longest_run = self.longest_run.max(out.len() / CHUNK_BYTES);
        let mut done = 0;
        let chunks = input.chunks(SEALED_CHUNK_BYTES).zip(out.chunks_mut(CHUNK_BYTES));
        for (number, (sealed, out)) in (first..).zip(chunks) {
            let opened = self.section(|cipher| cipher.open(number, sealed, out));
            if let Err(error) = opened.and_then(|opened| opened) {
                return Run { done, end: Err(error) };
            }
            done += 1;
        }
        Run { done, end: Ok(()) }
    }

    fn finished(&mut self) {
        self.finished += 1;
    }

    fn failed(&mut self, _: &Error) {
        self.failed += 1;
    }
}

fn cipher(key: &[u8], salt: [u8; SALT_BYTES]) -> (ChunkCipher, Header) {
    ChunkCipher::for_sealing(Suite::Aes256Gcm, key, salt, b"context").unwrap()
}

/// Parts of these sizes: their layout, their sealed bytes and their plaintext.
fn divided(sizes: &[usize]) -> (Arc<Layout>, Vec<u8>, Vec<u8>) {
    let total = plaintext(sizes.iter().sum());
    let (mut rest, mut entries, mut sealed) = (&total[..], Vec::new(), Vec::new());
    for (number, &size) in (1_u32..).zip(sizes) {
        let (plain, more) = rest.split_at(size);
        rest = more;
        let salt = [number as u8; SALT_BYTES];
        let number = PartNumber::new(number).unwrap();
        entries.push(PartEntry { number, plain_size: size as u64, salt });
        let object = Object { salt, ..Object::of(Suite::Aes256Gcm) };
        sealed.extend(object.sealed(plain));
    }
    (Arc::new(Layout::of_parts(&entries)), sealed, total)
}

fn bytes_of(plan: &Plan, sealed: &[u8]) -> Vec<u8> {
    let place = |part: PartNumber| {
        let before = plan.layout.bodies().iter().take_while(|body| body.part != Some(part));
        before.map(|body| super::super::chunk::sealed_size(body.plain_size).unwrap()).sum::<u64>()
    };
    plan.sealed()
        .flat_map(|range| {
            let from = (place(range.part.unwrap()) + range.offset) as usize;
            sealed[from..from + range.length as usize].to_vec()
        })
        .collect()
}

#[test]
fn a_refused_section_cuts_the_walk_and_wipes_it() {
    let (layout, sealed, plain) = divided(&[100_000]);
    for refuse_at in 1..=7 {
        let mut walk = Walk::new(layout.plan_whole(), true);
        let mut probe = Probe { refuse_at, ..Probe::new() };
        let (mut source, mut read) = (&sealed[..], Vec::new());
        let error = loop {
            while walk.wants_input() {
                let len = source.read(walk.room()).unwrap();
                walk.fed(len);
            }
            let mut piece = [0; CHUNK_BYTES];
            match walk.take(&mut probe, &mut piece) {
                Ok(len) => read.extend_from_slice(&piece[..len]),
                Err(error) => break error,
            }
        };
        assert!(matches!(*error, Error::Refused(Refused::Stopped)));
        assert!(read == plain[..(refuse_at as usize - 1) * CHUNK_BYTES]);
        assert!(walk.input.is_wiped() && walk.output.is_wiped());
        let again = walk.take(&mut probe, &mut [0]).unwrap_err();
        assert!(Arc::ptr_eq(&error, &again));
        assert_eq!(probe.finished, 0);
        assert!(probe.failed > 0);
    }
}

#[test]
fn plaintext_that_was_not_asked_for_is_wiped_too() {
    let (layout, sealed, _) = divided(&[3 * CHUNK_BYTES]);
    let plan = layout.plan_range(20_000..20_010);
    let bytes = bytes_of(&plan, &sealed);
    let mut walk = Walk::new(plan, false);
    let mut probe = Probe::new();
    let mut source = &bytes[..];
    while walk.wants_input() {
        let len = source.read(walk.room()).unwrap();
        walk.fed(len);
    }
    assert_eq!(walk.take(&mut probe, &mut [0; 4]).unwrap(), 4);
    assert!(!walk.output.is_wiped());
    walk.input_failed(io::Error::other("on purpose"));
    assert!(walk.input.is_wiped() && walk.output.is_wiped());
}

#[test]
fn a_walk_tells_its_end_once_and_only_when_it_is_there() {
    for sizes in [&[0][..], &[CHUNK_BYTES], &[5, 0, 2 * CHUNK_BYTES, 0]] {
        let (layout, sealed, plain) = divided(sizes);
        let mut walk = Walk::new(layout.plan_whole(), true);
        let mut probe = Probe::new();
        let (mut source, mut read) = (&sealed[..], Vec::new());
        while !walk.is_over() {
            while walk.wants_input() {
                let len = source.read(walk.room()).unwrap();
                walk.fed(len);
            }
            let mut piece = [0; 1000];
            let len = walk.take(&mut probe, &mut piece).unwrap();
            read.extend_from_slice(&piece[..len]);
            assert_eq!(probe.finished, u32::from(walk.is_over()));
        }
        assert!(read == plain);
        assert_eq!(walk.take(&mut probe, &mut [0; 9]).unwrap(), 0);
        assert_eq!((probe.finished, probe.failed), (1, 0));
    }
}

/// Seals any chunk of an object of zeroes when it is asked for, and counts what it gave.
struct Lazily {
    cipher: ChunkCipher,
    header: Header,
    size: u64,
    given: std::rc::Rc<std::cell::Cell<u64>>,
}

impl RangedSource for Lazily {
    type Reader = io::Cursor<Vec<u8>>;
    type Fetch = core::future::Ready<io::Result<Self::Reader>>;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        let mut sealed = Vec::new();
        let mut at = range.offset;
        if at == 0 {
            sealed.extend(self.header.parts().concat());
            at = HEADER_BYTES as u64;
        }
        while (sealed.len() as u64) < range.length {
            let number = (at - HEADER_BYTES as u64) / SEALED_CHUNK_BYTES as u64;
            let begin = number * CHUNK_BYTES as u64;
            let plain = (self.size - begin).min(CHUNK_BYTES as u64) as usize;
            let mut chunk = vec![0; plain + TAG_BYTES];
            self.cipher.seal(number, &vec![0; plain], &mut chunk).unwrap();
            sealed.extend(&chunk);
            at += chunk.len() as u64;
        }
        assert_eq!(sealed.len() as u64, range.length);
        self.given.set(self.given.get() + range.length);
        core::future::ready(Ok(io::Cursor::new(sealed)))
    }
}

#[test]
fn the_end_of_an_object_of_any_size_takes_its_own_bytes() {
    const WANTED: u64 = 1 << 20;
    // The last one is the longest body that the format has.
    for size in [10 << 30, (10 << 30) + 5, 5 << 40, (1 << 52) - 1] {
        let salt = [3; SALT_BYTES];
        let layout = Arc::new(Layout::whole(size, salt));
        let range = ByteRange::Suffix { length: WANTED }.within(size).unwrap();
        let (cipher, header) = cipher(&[7; 32], salt);
        let given = std::rc::Rc::default();
        let source = Lazily { cipher, header, size, given: std::rc::Rc::clone(&given) };
        let reader = FetchReader::new(layout.plan_range(range), Probe::new(), source);
        let (read, end) = read_async(reader, &mut constant(1 << 16));
        end.unwrap();
        assert!(read.len() as u64 == WANTED && read.iter().all(|&byte| byte == 0));
        assert!(given.get() < WANTED + WANTED / 10, "{}", given.get());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn both_ways_of_reading_give_the_range_in_reads_of_any_size(
        sizes in proptest::collection::vec(
            prop_oneof![Just(0_usize), 0_usize..100, 16_380_usize..16_390, 0_usize..100_000],
            1..4,
        ),
        a in any::<prop::sample::Index>(),
        b in any::<prop::sample::Index>(),
        seed: u64,
    ) {
        let (layout, sealed, plain) = divided(&sizes);
        let (a, b) = (a.index(plain.len() + 1), b.index(plain.len() + 1));
        let (start, end) = (a.min(b), a.max(b));
        let plan = layout.plan_range(start as u64..end as u64);
        let bytes = bytes_of(&plan, &sealed);
        let reader = WalkReader::new(plan.clone(), Probe::new(), &bytes[..]);
        let (read, ended) = read_async(reader, &mut scattered(seed));
        prop_assert!(ended.is_ok() && read == plain[start..end]);
        let reader = WalkReader::new(plan, Probe::new(), &bytes[..]);
        let (read, ended) = read_blocking(reader, &mut scattered(seed));
        prop_assert!(ended.is_ok() && read == plain[start..end]);
    }

    #[test]
    fn any_changed_dropped_or_added_byte_ends_a_walk_before_the_bytes_that_it_is_in(
        sizes in proptest::collection::vec(prop_oneof![Just(0_usize), 0_usize..50_000], 1..4),
        at in any::<prop::sample::Index>(),
        flip in 0_u8..,
        seed: u64,
    ) {
        let (layout, sealed, plain) = divided(&sizes);
        let at = at.index(sealed.len());
        let mut bad = sealed.clone();
        match flip {
            0 => { bad.remove(at); }
            1 => bad.insert(at, flip),
            2 => bad.truncate(at),
            _ => bad[at] ^= flip,
        }
        if bad != sealed {
            let reader = WalkReader::new(layout.plan_whole(), Probe::new(), &bad[..]);
            let (read, ended) = read_async(reader, &mut scattered(seed));
            prop_assert!(ended.is_err());
            prop_assert!(plain.starts_with(&read));
            // Of the chunk that is bad and what follows it nothing was given.
            let good = layout.bodies().iter().fold((0, 0), |(sealed_at, good), body| {
                let bytes = super::super::chunk::sealed_size(body.plain_size).unwrap() as usize;
                if at >= sealed_at + bytes {
                    (sealed_at + bytes, good + body.plain_size as usize)
                } else {
                    let inside = at.saturating_sub(sealed_at + HEADER_BYTES) / SEALED_CHUNK_BYTES;
                    let whole = if at < sealed_at { 0 } else { inside * CHUNK_BYTES };
                    (usize::MAX / 2, good + whole.min(body.plain_size as usize))
                }
            });
            prop_assert!(read.len() <= good.1, "{} of {}", read.len(), good.1);
        }
    }
}

/// Walks over all of `sealed` with `room` for each step: what it gave, how it ended, and the probe.
fn walk_all(
    layout: &Arc<Layout>,
    sealed: &[u8],
    room: usize,
    mut probe: Probe,
) -> (Vec<u8>, Result<(), Arc<Error>>, Probe) {
    let mut walk = Walk::new(layout.plan_whole(), true);
    let (mut source, mut read) = (sealed, Vec::new());
    while !walk.is_over() {
        while walk.wants_input() {
            let len = source.read(walk.room()).unwrap();
            walk.fed(len);
        }
        let gives = walk.gives();
        let mut piece = vec![0xee; room];
        match walk.take(&mut probe, &mut piece) {
            Ok(len) => {
                assert!(len <= gives, "it gave more than it said");
                read.extend_from_slice(&piece[..len]);
            }
            Err(error) => {
                // What was opened and not released is not in the host's buffer either.
                assert!(piece.iter().all(|&byte| byte == 0xee || byte == 0));
                return (read, Err(error), probe);
            }
        }
    }
    (read, Ok(()), probe)
}

#[test]
fn chunks_that_lie_ready_are_opened_in_one_run_and_end_as_steps_do() {
    for size in [8, 9, 40].map(|chunks| chunks * CHUNK_BYTES).into_iter().chain([300_001]) {
        let (layout, sealed, plain) = divided(&[size]);
        for (room, longest) in [(CHUNK_BYTES, 0), (3 * CHUNK_BYTES + 7, 3), (1 << 20, 8)] {
            let (read, end, probe) = walk_all(&layout, &sealed, room, Probe::new());
            assert!(end.is_ok() && read == plain, "{size} bytes in steps of {room}");
            assert!(probe.longest_run <= longest && (longest == 0) == (probe.longest_run == 0));
            assert_eq!((probe.finished, probe.failed), (1, 0));
        }
        // A fault of the object lets go what was before it, a refusal nothing of its step.
        for chunk in [1, 2, 5] {
            let mut bad = sealed.clone();
            bad[56 + chunk * SEALED_CHUNK_BYTES + 100] ^= 1;
            let (read, end, probe) = walk_all(&layout, &bad, 1 << 20, Probe::new());
            assert!(matches!(*end.unwrap_err(), Error::Object(ObjectError::DoesNotOpen)));
            assert!(read == plain[..chunk * CHUNK_BYTES], "chunk {chunk} of {size} bytes");
            assert!(probe.finished == 0 && probe.failed > 0);
        }
        let probe = Probe { refuse_at: 4, ..Probe::new() };
        let (read, end, _) = walk_all(&layout, &sealed, 1 << 20, probe);
        assert!(matches!(*end.unwrap_err(), Error::Refused(Refused::Stopped)));
        assert!(read == plain[..CHUNK_BYTES], "{size} bytes");
    }
}
