//! Every form of sealing and opening against the others, whole and changed.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use proptest::prelude::*;
use rayon_core::ThreadPool;
use tokio::io::BufReader;

use super::buffer::{self, InPlace};
use super::chunk::{CHUNKS_MAX, ChunkCipher, HEADER_BYTES, Header, SEALED_CHUNK_BYTES, Suite};
use super::chunk::{plain_size, sealed_size};
use super::direction::{Direction, Open, Seal};
use super::input::{Items, Lent};
use super::pipe::Operation;
use super::probe::{
    Object, Source, constant, plaintext, poll_once, read_async, read_blocking, scattered,
};
use super::run::{self, Run, Sections};
use super::stream::Turning;
use super::workers::Workers;
use super::writer::Through;
use crate::crypto::aead::TAG_BYTES;
use crate::error::{Error, ObjectError, Refused};
use crate::limits::CHUNK_BYTES;

/// An operation that several threads may work on.
pub(super) struct Shared {
    object: Object,
    cipher: Option<ChunkCipher>,
    pool: Option<Arc<ThreadPool>>,
    /// Looks at the gate: one before each chunk.
    chunks: AtomicU64,
    /// Before which chunk it is shut.
    cut_at: u64,
}

impl Shared {
    fn sealing(object: &Object) -> (Self, Header) {
        let (cipher, header) = object.cipher();
        (Self { cipher: Some(cipher), ..Self::opening(object) }, header)
    }

    fn opening(object: &Object) -> Self {
        let chunks = AtomicU64::new(0);
        Self { object: object.clone(), cipher: None, pool: None, chunks, cut_at: u64::MAX }
    }

    fn helped(self, pool: &Arc<ThreadPool>) -> Self {
        Self { pool: Some(Arc::clone(pool)), ..self }
    }
}

impl Sections for Shared {
    fn section<T>(
        &self,
        work: impl FnOnce(&ChunkCipher, &dyn Fn() -> bool) -> T,
    ) -> Result<T, Error> {
        let pass = || self.chunks.fetch_add(1, Ordering::Relaxed) < self.cut_at;
        if !pass() {
            return Err(Refused::Stopped.into());
        }
        Ok(work(self.cipher.as_ref().expect("it has begun"), &pass))
    }
}

impl Operation for Shared {
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let Object { suite, key, context, .. } = &self.object;
        self.cipher = Some(ChunkCipher::for_opening(*suite, key, header, context)?);
        Ok(())
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        Sections::section(self, |cipher, _| work(cipher))
    }

    fn run<D: Direction>(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        match &self.pool {
            Some(pool) => run::turn_on::<D, _>(pool, self, first, input, out),
            None => run::turn::<D, _>(self, first, input, out),
        }
    }

    fn finished(&mut self, _: u64) {}
}

/// What came out, and how it ended.
type Outcome = (Vec<u8>, Result<(), String>);

/// One way to seal and to open; the seed decides the sizes of pieces.
pub(super) struct Form {
    pub(super) name: &'static str,
    seal: fn(&Object, &[u8], u64) -> Outcome,
    pub(super) open: fn(&Object, &[u8], u64) -> Outcome,
    /// Whether nothing is given unless all is good.
    is_whole: bool,
}

pub(super) const FORMS: &[Form] = &[
    Form {
        name: "AsyncRead",
        seal: |object, plain, seed| {
            let source = Source::new(plain, scattered(seed));
            told(read_async(object.sealing(source, &[]), &mut scattered(seed + 1)))
        },
        open: |object, sealed, seed| {
            let source = Source::new(sealed, scattered(seed));
            told(read_async(object.opening(source), &mut scattered(seed + 1)))
        },
        is_whole: false,
    },
    Form {
        name: "AsyncRead at once",
        seal: |object, plain, _| {
            told(read_async(object.sealing(plain, &[]), &mut constant(1 << 17)))
        },
        open: |object, sealed, _| told(read_async(object.opening(sealed), &mut constant(1 << 17))),
        is_whole: false,
    },
    Form {
        name: "AsyncBufRead",
        seal: |object, plain, seed| {
            let (operation, header) = Shared::sealing(object);
            let reader = Lent::new(BufReader::with_capacity(lent_bytes(seed), plain));
            let turning = Turning::sealing(reader, operation, &[], &header);
            told(read_async(turning, &mut scattered(seed)))
        },
        open: |object, sealed, seed| {
            let reader = Lent::new(BufReader::with_capacity(lent_bytes(seed), sealed));
            let turning = Turning::opening(reader, Shared::opening(object));
            told(read_async(turning, &mut scattered(seed)))
        },
        is_whole: false,
    },
    Form {
        name: "Stream in and out",
        seal: |object, plain, seed| {
            let (operation, header) = Shared::sealing(object);
            let items = Items::new(items(plain, seed));
            collect(Turning::sealing(items, operation, &[], &header))
        },
        open: |object, sealed, seed| {
            collect(Turning::opening(Items::new(items(sealed, seed)), Shared::opening(object)))
        },
        is_whole: false,
    },
    Form {
        name: "Read",
        seal: |object, plain, seed| {
            let source = Source::new(plain, scattered(seed));
            told(read_blocking(object.sealing(source, &[]), &mut scattered(seed + 1)))
        },
        open: |object, sealed, seed| {
            let source = Source::new(sealed, scattered(seed));
            told(read_blocking(object.opening(source), &mut scattered(seed + 1)))
        },
        is_whole: false,
    },
    Form {
        name: "BufRead",
        seal: |object, plain, seed| {
            let (operation, header) = Shared::sealing(object);
            let reader = Lent::new(io::BufReader::with_capacity(lent_bytes(seed), plain));
            let turning = Turning::sealing(reader, operation, &[], &header);
            told(read_blocking(turning, &mut scattered(seed)))
        },
        open: |object, sealed, seed| {
            let reader = Lent::new(io::BufReader::with_capacity(lent_bytes(seed), sealed));
            let turning = Turning::opening(reader, Shared::opening(object));
            told(read_blocking(turning, &mut scattered(seed)))
        },
        is_whole: false,
    },
    Form {
        name: "Write",
        seal: |object, plain, seed| {
            let (operation, header) = Shared::sealing(object);
            let mut out = Vec::new();
            let through = Through::sealing(&mut out, operation, &[], &header);
            let end = write(through.with_window(lent_bytes(seed)), plain, scattered(seed));
            told((out, end))
        },
        open: |object, sealed, seed| {
            let mut out = Vec::new();
            let through = Through::opening(&mut out, Shared::opening(object));
            let end = write(through.with_window(lent_bytes(seed)), sealed, scattered(seed));
            told((out, end))
        },
        is_whole: false,
    },
    Form {
        name: "Write at once, by several threads",
        seal: |object, plain, _| {
            let (operation, header) = Shared::sealing(object);
            let (mut out, operation) = (Vec::new(), operation.helped(&pool()));
            let through = Through::sealing(&mut out, operation, &[], &header);
            let end = write(through.with_window(1 << 22), plain, constant(1 << 22));
            told((out, end))
        },
        open: |object, sealed, _| {
            let (mut out, operation) = (Vec::new(), Shared::opening(object).helped(&pool()));
            let through = Through::opening(&mut out, operation);
            let end = write(through.with_window(1 << 22), sealed, constant(1 << 22));
            told((out, end))
        },
        is_whole: false,
    },
    Form {
        name: "buffer",
        seal: |object, plain, _| seal_buffer(Shared::sealing(object), plain),
        open: |object, sealed, _| open_buffer(Shared::opening(object), sealed),
        is_whole: true,
    },
    Form {
        name: "buffer, by several threads",
        seal: |object, plain, _| {
            let (operation, header) = Shared::sealing(object);
            seal_buffer((operation.helped(&pool()), header), plain)
        },
        open: |object, sealed, _| open_buffer(Shared::opening(object).helped(&pool()), sealed),
        is_whole: true,
    },
    Form { name: "in place", seal: seal_in_place, open: open_in_place, is_whole: true },
];

fn told((out, end): (Vec<u8>, io::Result<()>)) -> Outcome {
    let end = end.map_err(|error| match Error::in_stream(&error) {
        Some(Error::Object(ObjectError::DoesNotOpen | ObjectError::Malformed(_))) => BAD.to_owned(),
        other => format!("{other:?}"),
    });
    (out, end)
}

fn of(end: Result<(), Error>) -> Result<(), String> {
    end.map_err(|error| match error {
        Error::Object(ObjectError::DoesNotOpen | ObjectError::Malformed(_)) => BAD.to_owned(),
        other => format!("{other:?}"),
    })
}

fn pool() -> Arc<ThreadPool> {
    static WORKERS: std::sync::OnceLock<Workers> = std::sync::OnceLock::new();
    WORKERS.get_or_init(Workers::default).pool(3).expect("threads start")
}

fn lent_bytes(seed: u64) -> usize {
    usize::try_from(seed % 50_000).unwrap() + 1
}

fn items(bytes: &[u8], seed: u64) -> impl Stream<Item = io::Result<Bytes>> + Unpin + use<> {
    let (mut rest, mut sizes) = (Bytes::copy_from_slice(bytes), scattered(seed));
    stream::iter(core::iter::from_fn(move || {
        // Some are empty.
        let len = (sizes() - 1).min(rest.len());
        (!rest.is_empty()).then(|| Ok(rest.split_to(len)))
    }))
}

fn collect(mut turning: impl Stream<Item = io::Result<Bytes>> + Unpin) -> Outcome {
    let mut out = Vec::new();
    let mut end = Ok(());
    futures_util::FutureExt::now_or_never(async {
        while let Some(item) = turning.next().await {
            assert!(end.is_ok(), "something follows an error");
            match item {
                Ok(piece) => {
                    assert!((1..=4 * SEALED_CHUNK_BYTES).contains(&piece.len()));
                    out.extend_from_slice(&piece);
                }
                Err(error) => end = Err(error),
            }
        }
        assert!(turning.next().await.is_none());
    })
    .expect("its input is there");
    told((out, end))
}

fn write<W: Write, D: Direction>(
    mut through: Through<W, D, Shared>,
    mut input: &[u8],
    mut sizes: impl FnMut() -> usize,
) -> io::Result<()> {
    while !input.is_empty() {
        let (piece, rest) = input.split_at(sizes().min(input.len()));
        through.write_all(piece)?;
        input = rest;
    }
    through.finish().map(drop)
}

fn seal_buffer((mut operation, header): (Shared, Header), plain: &[u8]) -> Outcome {
    let size = usize::try_from(sealed_size(plain.len() as u64).unwrap()).unwrap();
    let mut out = header.parts().concat();
    out.resize(size, 0xee);
    let end = buffer::turn::<Seal, _>(&mut operation, plain, &mut out[HEADER_BYTES..]);
    (out, of(end))
}

fn open_buffer(mut operation: Shared, sealed: &[u8]) -> Outcome {
    let parts = plain_size(sealed.len() as u64)
        .and_then(|size| Ok((usize::try_from(size).unwrap(), Header::split_from(sealed)?)));
    let (size, (header, body)) = match parts {
        Ok(parts) => parts,
        Err(error) => return (Vec::new(), of(Err(error.into()))),
    };
    let mut out = vec![0xee; size];
    let end = operation.begin(&header);
    let end = end.and_then(|()| buffer::turn::<Open, _>(&mut operation, body, &mut out));
    match end {
        // Where it never began, what was in the buffer may remain.
        Err(error) if operation.cipher.is_none() => (Vec::new(), of(Err(error))),
        Err(error) => {
            assert!(out.iter().all(|&byte| byte == 0), "something was left in the buffer");
            (Vec::new(), of(Err(error)))
        }
        Ok(()) => (out, Ok(())),
    }
}

fn seal_in_place(object: &Object, plain: &[u8], seed: u64) -> Outcome {
    let (mut operation, header) = Shared::sealing(object);
    let size = usize::try_from(sealed_size(plain.len() as u64).unwrap()).unwrap();
    let mut buffer = plain.to_vec();
    buffer.resize(size, 0xee);
    let mut in_place = InPlace::<Seal>::new(plain.len(), HEADER_BYTES);
    let most = 1 + usize::try_from(seed % 4).unwrap();
    while !in_place.step(&mut operation, &mut buffer, most).unwrap() {}
    buffer[..HEADER_BYTES].copy_from_slice(&header.parts().concat());
    (buffer, Ok(()))
}

fn open_in_place(object: &Object, sealed: &[u8], seed: u64) -> Outcome {
    let mut operation = Shared::opening(object);
    let parts = plain_size(sealed.len() as u64)
        .and_then(|size| Ok((usize::try_from(size).unwrap(), Header::split_from(sealed)?.0)));
    let begun = parts.map_err(Error::from).and_then(|(size, header)| {
        operation.begin(&header)?;
        Ok(size)
    });
    let size = match begun {
        Ok(size) => size,
        Err(error) => return (Vec::new(), of(Err(error))),
    };
    let mut buffer = sealed.to_vec();
    let mut in_place = InPlace::<Open>::new(size, HEADER_BYTES);
    let most = 1 + usize::try_from(seed % 4).unwrap();
    loop {
        match in_place.step(&mut operation, &mut buffer, most) {
            Ok(false) => {}
            Ok(true) => {
                buffer.truncate(size);
                return (buffer, Ok(()));
            }
            Err(error) => {
                assert!(buffer.iter().all(|&byte| byte == 0), "something was left in the buffer");
                return (Vec::new(), of(Err(error)));
            }
        }
    }
}

/// What every form says of something that does not open.
pub(super) const BAD: &str = "it does not open";
const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::Aes256GcmSiv];

#[test]
fn every_form_gives_and_takes_the_same_bytes_at_every_border() {
    for (chunks, around) in [0, 1, 2, 3, 4, 7, 8, 9, 16, 17, 33]
        .into_iter()
        .flat_map(|chunks| [-17, -16, -1, 0, 1, 16, 17].map(move |around| (chunks, around)))
    {
        let Some(size) = (chunks * CHUNK_BYTES).checked_add_signed(around) else { continue };
        let object = Object::of(SUITES[chunks % 2]);
        let plain = plaintext(size);
        let expected = object.sealed(&plain);
        for form in FORMS {
            let seed = size as u64;
            let (sealed, end) = (form.seal)(&object, &plain, seed);
            assert!(end.is_ok() && sealed == expected, "{} of {size} bytes: {end:?}", form.name);
            let (opened, end) = (form.open)(&object, &expected, seed);
            assert!(end.is_ok() && opened == plain, "{} of {size} bytes: {end:?}", form.name);
        }
    }
}

/// One way in which something sealed is not what it was.
#[derive(Clone, Copy, Debug)]
enum Change {
    Flip,
    DropByte,
    RepeatByte,
    AppendByte,
    Cut,
    DropChunk,
    RepeatChunk,
    SwapChunks,
    AppendChunk,
}

impl Change {
    const ALL: [Self; 9] = [
        Self::Flip,
        Self::DropByte,
        Self::RepeatByte,
        Self::AppendByte,
        Self::Cut,
        Self::DropChunk,
        Self::RepeatChunk,
        Self::SwapChunks,
        Self::AppendChunk,
    ];

    /// `sealed` changed at byte `at`, or at its chunk.
    fn of(self, sealed: &[u8], at: usize, other: usize) -> Vec<u8> {
        let mut changed = sealed.to_vec();
        let (header, body) = sealed.split_at(HEADER_BYTES);
        let mut chunks: Vec<&[u8]> = body.chunks(SEALED_CHUNK_BYTES).collect();
        let (a, b) = (at % chunks.len(), other % chunks.len());
        let at = at % sealed.len();
        match self {
            Self::Flip => changed[at] ^= 1 << (other % 8),
            Self::DropByte => _ = changed.remove(at),
            Self::RepeatByte => changed.insert(at, sealed[at]),
            Self::AppendByte => changed.push(u8::try_from(other % 256).unwrap()),
            Self::Cut => changed.truncate(at),
            Self::DropChunk => _ = chunks.remove(a),
            Self::RepeatChunk => chunks.insert(a, chunks[a]),
            Self::SwapChunks => chunks.swap(a, b),
            Self::AppendChunk => chunks.push(chunks[a]),
        }
        match self {
            Self::Flip | Self::DropByte | Self::RepeatByte | Self::AppendByte | Self::Cut => {
                changed
            }
            Self::DropChunk | Self::RepeatChunk | Self::SwapChunks | Self::AppendChunk => {
                [header, &chunks.concat()].concat()
            }
        }
    }
}

/// No form opens `changed`, and none releases anything of the first bad chunk or after it.
fn fails_in_every_form(object: &Object, plain: &[u8], sealed: &[u8], changed: &[u8], seed: u64) {
    let bad = sealed.iter().zip(changed).take_while(|(a, b)| a == b).count();
    let good = bad.saturating_sub(HEADER_BYTES) / SEALED_CHUNK_BYTES * CHUNK_BYTES;
    for form in FORMS {
        let (released, end) = (form.open)(object, changed, seed);
        assert_eq!(end.unwrap_err(), BAD, "{}", form.name);
        assert!(plain.starts_with(&released), "{}", form.name);
        assert!(released.len() <= good && released.len() % CHUNK_BYTES == 0, "{}", form.name);
        assert!(!form.is_whole || released.is_empty(), "{}", form.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_changed_opens_in_no_form_from_its_chunk_on(
        chunks in 0_usize..40,
        around in -20_isize..20,
        change in proptest::sample::select(&Change::ALL[..]),
        (at, other) in any::<(usize, usize)>(),
        siv in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let size = (chunks * CHUNK_BYTES).saturating_add_signed(around);
        let object = Object::of(SUITES[usize::from(siv)]);
        let plain = plaintext(size);
        let sealed = object.sealed(&plain);
        let changed = change.of(&sealed, at, other);
        if changed != sealed {
            fails_in_every_form(&object, &plain, &sealed, &changed, u64::from(seed));
        }
    }

    #[test]
    fn the_first_fault_ends_a_run_whichever_thread_meets_which_first(
        chunks in 9_usize..80,
        faults in proptest::collection::btree_set(0_usize..80, 1..5),
    ) {
        let object = Object::of(Suite::Aes256Gcm);
        let (operation, _) = Shared::sealing(&object);
        let plain = plaintext(chunks * CHUNK_BYTES);
        let mut sealed = vec![0; chunks * SEALED_CHUNK_BYTES];
        let whole = run::turn_on::<Seal, _>(&pool(), &operation, 0, &plain, &mut sealed);
        prop_assert!(whole.end.is_ok() && whole.done == chunks);
        for fault in faults.iter().filter(|&&fault| fault < chunks) {
            sealed[fault * SEALED_CHUNK_BYTES + fault] ^= 1;
        }
        let first = faults.iter().copied().min().unwrap().min(chunks);
        let mut opened = vec![0; plain.len()];
        let run = run::turn_on::<Open, _>(&pool(), &operation, 0, &sealed, &mut opened);
        prop_assert_eq!(run.done, first);
        prop_assert_eq!(run.end.is_err(), first < chunks);
        prop_assert!(opened[..first * CHUNK_BYTES] == plain[..first * CHUNK_BYTES]);
    }
}

#[test]
fn every_byte_of_header_borders_and_tags_counts_in_every_form() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(CHUNK_BYTES + 3);
    let sealed = object.sealed(&plain);
    let first = HEADER_BYTES + SEALED_CHUNK_BYTES;
    let places = (0..HEADER_BYTES + 2).chain(first - TAG_BYTES - 1..sealed.len());
    for at in places {
        let mut changed = sealed.clone();
        changed[at] ^= 0x10;
        fails_in_every_form(&object, &plain, &sealed, &changed, at as u64);
    }
}

#[test]
fn a_run_is_cut_at_the_chunk_before_which_the_gate_is_shut_and_leaves_nothing() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(40 * CHUNK_BYTES + 5);
    let sealed = object.sealed(&plain);
    let (header, body) = Header::split_from(&sealed).unwrap();
    for pool in [None, Some(pool())] {
        for cut_at in [0, 1, 7, 40] {
            let mut operation = Shared { cut_at, pool: pool.clone(), ..Shared::opening(&object) };
            operation.begin(&header).unwrap();
            let mut out = vec![0xee; plain.len()];
            let cut = buffer::turn::<Open, _>(&mut operation, body, &mut out);
            assert!(matches!(cut, Err(Error::Refused(Refused::Stopped))));
            assert!(out.iter().all(|&byte| byte == 0));
            // Whoever was at work met the shut gate with the next chunk, and the refusal after it.
            let threads = pool.as_ref().map_or(1, |pool| pool.current_num_threads() + 1);
            assert!(operation.chunks.into_inner() <= cut_at + 2 * threads as u64);
        }
    }
}

#[test]
fn a_run_ends_at_the_last_chunk_number_and_not_past_it() {
    let object = Object::of(Suite::Aes256Gcm);
    let (operation, _) = Shared::sealing(&object);
    let plain = plaintext(20 * CHUNK_BYTES);
    let mut sealed = vec![0; 20 * SEALED_CHUNK_BYTES];
    // The last number takes no full chunk: nineteen are left.
    let first = CHUNKS_MAX - 20;
    let sequential = run::turn::<Seal, _>(&operation, first, &plain, &mut sealed);
    let parallel = run::turn_on::<Seal, _>(&pool(), &operation, first, &plain, &mut sealed);
    for run in [sequential, parallel] {
        assert_eq!(run.done, 19);
        assert!(matches!(run.end, Err(Error::Object(ObjectError::TooLong))));
    }
    let mut opened = vec![0; 20 * CHUNK_BYTES];
    let run = run::turn_on::<Open, _>(&pool(), &operation, first, &sealed, &mut opened);
    assert!(run.done == 19 && matches!(run.end, Err(Error::Object(ObjectError::TooLong))));
    assert!(opened[..19 * CHUNK_BYTES] == plain[..19 * CHUNK_BYTES]);
}

#[test]
fn a_stream_that_fails_says_so_once_and_a_stalled_one_loses_nothing() {
    let object = Object::of(Suite::Aes256Gcm);
    let items = || stream::iter([Ok(Bytes::from_static(b"one")), Err("the peer is gone")]);
    let (operation, header) = Shared::sealing(&object);
    let sealing = Turning::sealing(Items::new(items()), operation, &[], &header);
    let (out, end) = collect(sealing);
    assert_eq!(out.len(), HEADER_BYTES);
    assert!(end.unwrap_err().contains("the peer is gone"));

    let plain = plaintext(3 * CHUNK_BYTES + 1);
    let sealed = object.sealed(&plain);
    let mut source = Source::new(&sealed, constant(1000));
    source.stalls = true;
    let mut opening = object.opening(source);
    let mut out = Vec::new();
    while out.len() < plain.len() {
        let waker = futures_util::task::noop_waker();
        let mut cx = core::task::Context::from_waker(&waker);
        if let core::task::Poll::Ready(item) = opening.poll_next_unpin(&mut cx) {
            out.extend_from_slice(&item.unwrap().unwrap());
        }
    }
    assert!(out == plain);
}

#[test]
fn a_writer_that_fails_cuts_the_stream_for_good() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.0);
            self.0 -= len;
            if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(5 * CHUNK_BYTES);
    for room in [0, 10, HEADER_BYTES, 40_000] {
        let (operation, header) = Shared::sealing(&object);
        let mut through = Through::sealing(Full(room), operation, &[], &header);
        let failed = through.write_all(&plain).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
        let again = through.write(b"more").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::StorageFull);
        assert_eq!(through.finish().map(drop).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn lent_input_is_turned_where_it_lies_several_chunks_a_poll() {
    let object = Object::of(Suite::Aes256Gcm);
    let plain = plaintext(64 * CHUNK_BYTES);
    let sealed = object.sealed(&plain);
    let mut opening = Turning::opening(Lent::new(&sealed[..]), Shared::opening(&object));
    // As many whole chunks as there is room for, and never more than a poll may take.
    for (room, given) in [(5 * CHUNK_BYTES + 9, 5), (1 << 20, 16)] {
        let core::task::Poll::Ready(Ok(piece)) = poll_once(&mut opening, room) else {
            panic!("the input is there");
        };
        assert_eq!(piece.len(), given * CHUNK_BYTES);
    }
    let mut rest = Vec::new();
    Read::read_to_end(&mut opening, &mut rest).unwrap();
    assert!(rest == plain[21 * CHUNK_BYTES..]);
}
