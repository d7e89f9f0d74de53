//! Rows of stored objects: small ones with their record, a whole one, and a range of it.
//!
//! A small object is held against all its primitives done bare, those of its record too. The whole
//! object is held against the engine's buffer form, the range against one bare AES-256-GCM call for
//! each chunk that it takes.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;

use futures_util::FutureExt;
use portcullis::bench_support::object::Bench;
use portcullis::objects::{
    ByteRange, Facts, ObjectName, ObjectRecord, Protection, SmallObject, StoredObject,
};
use tokio::io::AsyncReadExt;

use super::objects::{OBJECT_BYTES, SMALL_BYTES, drain, large, open, small};
use super::rows::Row;
use crate::support::bare::Bare;
use crate::support::engine::Host;

/// What rows of stored objects share.
pub struct Stored<'h> {
    host: &'h Host,
    name: ObjectName,
    plain: Vec<u8>,
    /// The sealed bytes of `plain`, and its record.
    sealed: Vec<u8>,
    record: ObjectRecord,
    /// The same sealed by the buffer form, and bare.
    buffer: Vec<u8>,
    bench: Bench,
    bare: Vec<u8>,
}

impl<'h> Stored<'h> {
    /// Objects of `host`.
    pub fn new(host: &'h Host) -> Self {
        let name = ObjectName::new("photos", "2024/06/17/0001.jpg").expect("a name");
        let plain: Vec<u8> = (0..OBJECT_BYTES).map(|n| (n % 251) as u8).collect();
        let (sealed, record) = seal(host, &name, &plain);
        let mut buffer = Vec::new();
        let sealing = host.kms.seal_into(&host.key, &host.context, &plain, &mut buffer);
        host.runtime.block_on(sealing).expect("it is sealed");
        let (bench, mut bare) = (Bench::default(), vec![0; Bench::sealed_bytes(OBJECT_BYTES)]);
        bench.bare_seal(&plain, &mut bare);
        Self { host, name, plain, sealed, record, buffer, bench, bare }
    }

    /// The rows.
    pub fn rows(&self) -> Vec<Row<'_>> {
        vec![
            self.seal_small(),
            self.open_small(),
            self.seal_whole(),
            self.open_whole(),
            self.open_range(),
        ]
    }

    fn seal_small(&self) -> Row<'_> {
        Row {
            name: "seal_stored_1kib",
            baseline: "a data key, HKDF-SHA-512, AES-256-GCM, and a record's HMACs and facts",
            engine: Box::new(move |_| {
                let facts = Facts::default();
                Box::new(move || _ = black_box(self.sealed_small(&facts)))
            }),
            bare: Box::new(move |_| {
                let (mut bare, mut out) = (Bare::new(), vec![0; SMALL_BYTES + 16]);
                Box::new(move || {
                    let (wrapped, salt) =
                        bare.seal(black_box(&self.plain[..SMALL_BYTES]), &mut out);
                    black_box((bare.record(&wrapped, self.record_bytes()), salt));
                })
            }),
            ..small()
        }
    }

    fn open_small(&self) -> Row<'_> {
        Row {
            name: "open_stored_1kib",
            baseline: "a data key, HKDF-SHA-512, AES-256-GCM, and a record's HMACs and facts",
            engine: Box::new(move |_| {
                let object = self.sealed_small(&Facts::default());
                let SmallObject { sealed, record, .. } = object;
                Box::new(move || {
                    let Host { kms, context, .. } = self.host;
                    let opening =
                        kms.open_small_object(&self.name, context, &record, None, &sealed);
                    _ = black_box(at_once(self.host, opening).expect("it opens"));
                })
            }),
            bare: Box::new(move |_| {
                let (mut bare, mut out) = (Bare::new(), vec![0; SMALL_BYTES]);
                let mut object = vec![0; SMALL_BYTES + 16];
                let (wrapped, salt) = bare.seal(&self.plain[..SMALL_BYTES], &mut object);
                let record = bare.record(&wrapped, self.record_bytes());
                Box::new(move || {
                    bare.open(&wrapped, &salt, black_box(&object), &mut out);
                    bare.check(&wrapped, self.record_bytes(), black_box(&record));
                })
            }),
            ..small()
        }
    }

    fn seal_whole(&self) -> Row<'_> {
        Row {
            name: "seal_stored_64mib",
            baseline: "the buffer form",
            engine: Box::new(move |_| {
                let mut out = self.sealed.clone();
                Box::new(move || {
                    let Host { kms, context, .. } = self.host;
                    let (name, plain) = (&self.name, black_box(&self.plain[..]));
                    let sealing = async {
                        let sealing = kms.seal_object(name, context, Protection::SseS3, plain);
                        let mut sealing = sealing.await.expect("it is sealed");
                        drain(&mut sealing, &mut out).await;
                        sealing.finish(&Facts::default()).expect("all of it was read")
                    };
                    _ = black_box(at_once(self.host, sealing));
                })
            }),
            bare: Box::new(move |_| {
                let mut out = self.buffer.clone();
                Box::new(move || {
                    let Host { kms, key, context, .. } = self.host;
                    kms.seal_into_blocking(key, context, black_box(&self.plain), &mut out)
                        .expect("it is sealed");
                })
            }),
            ..large()
        }
    }

    fn open_whole(&self) -> Row<'_> {
        Row {
            name: "open_stored_64mib",
            baseline: "the buffer form",
            engine: Box::new(move |_| {
                let (object, mut out) = (self.opened(), vec![1; OBJECT_BYTES]);
                Box::new(move || {
                    let plan = object.whole().expect("it was put whole");
                    let reading = async {
                        let reader = object.read(plan, black_box(&self.sealed[..])).await;
                        drain(reader.expect("it opens"), &mut out).await;
                    };
                    at_once(self.host, reading);
                })
            }),
            bare: Box::new(move |_| {
                let mut out = vec![1; OBJECT_BYTES];
                Box::new(move || open(self.host, black_box(&self.buffer), &mut out))
            }),
            ..large()
        }
    }

    fn open_range(&self) -> Row<'_> {
        Row {
            name: "open_range_1mib",
            baseline: "AES-256-GCM over the chunks of the range",
            bytes: Some(RANGE_BYTES),
            batch: 4,
            engine: Box::new(move |_| {
                let (object, mut out) = (self.opened(), vec![1; RANGE_BYTES]);
                Box::new(move || {
                    let (start, length) = (RANGE_START as u64, RANGE_BYTES as u64);
                    let plan = object.range(ByteRange::Exact { start, length });
                    let plan = plan.expect("it is in the object");
                    let reading = async {
                        let reader = object.read_from(plan, black_box(&self.sealed[..])).await;
                        drain(reader.expect("it opens"), &mut out).await;
                    };
                    at_once(self.host, reading);
                })
            }),
            bare: Box::new(move |_| {
                let mut out = vec![1; CHUNKS * CHUNK_BYTES];
                Box::new(move || {
                    self.bench.bare_open_chunks(FIRST_CHUNK, black_box(&self.bare), &mut out);
                })
            }),
            ..large()
        }
    }

    fn sealed_small(&self, facts: &Facts) -> SmallObject {
        let Host { kms, context, .. } = self.host;
        let plain = black_box(&self.plain[..SMALL_BYTES]);
        let sealing = kms.seal_small_object(&self.name, context, Protection::SseS3, plain, facts);
        at_once(self.host, sealing).expect("it is sealed")
    }

    fn opened(&self) -> StoredObject {
        let Host { kms, context, .. } = self.host;
        let opening = kms.open_object(&self.name, context, &self.record, None, None);
        self.host.runtime.block_on(opening).expect("it opens")
    }

    /// As many bytes as the MAC of a record covers.
    fn record_bytes(&self) -> &[u8] {
        let record = self.record.as_bytes();
        &record[..record.len() - 32]
    }
}

/// `plain` as a stored object.
fn seal(host: &Host, name: &ObjectName, plain: &[u8]) -> (Vec<u8>, ObjectRecord) {
    host.runtime.block_on(async {
        let sealing = host.kms.seal_object(name, &host.context, Protection::SseS3, plain);
        let mut sealing = sealing.await.expect("it is sealed");
        let mut sealed = Vec::new();
        sealing.read_to_end(&mut sealed).await.expect("it is sealed");
        (sealed, sealing.finish(&Facts::default()).expect("all of it was read"))
    })
}

/// What `work` comes to: at once, and waiting only where it must.
fn at_once<T>(host: &Host, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match work.as_mut().now_or_never() {
        Some(done) => done,
        None => host.runtime.block_on(work),
    }
}

const CHUNK_BYTES: usize = 16 * 1024;
const RANGE_BYTES: usize = 1 << 20;
/// In the middle of a chunk, so that the range takes one chunk more than its length says.
const RANGE_START: usize = FIRST_CHUNK * CHUNK_BYTES + 1000;
const FIRST_CHUNK: usize = 2000;
const CHUNKS: usize = RANGE_BYTES / CHUNK_BYTES + 1;
