//! Rows of objects: whole buffers, streams, and small ones with a data key each.
//!
//! Buffers and their primitive both go from one buffer into another, both used before. A stream is
//! held against the engine's own buffer form: `seal_stream_64mib` and `open_stream_64mib` where the
//! reader lends what it has, as a request's body does, the rows of `_read_` where each read copies
//! into the stream's window.

use std::hint::black_box;
use std::pin::pin;

use portcullis::bench_support::object::Bench;
use portcullis::{TryError, audit::Release};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Builder;

use super::rows::{Ratio, Row};
use crate::support::bare::Bare;
use crate::support::engine::Host;

/// What rows of objects share.
pub struct Objects<'h> {
    host: &'h Host,
    /// An engine whose own threads help.
    helped: Host,
    bench: Bench,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    bare_sealed: Vec<u8>,
}

impl<'h> Objects<'h> {
    /// Objects of `host`, which works on its callers' threads alone.
    pub fn new(host: &'h Host) -> Self {
        let plain: Vec<u8> = (0..OBJECT_BYTES).map(|n| (n % 251) as u8).collect();
        let bench = Bench::default();
        let (mut sealed, mut bare_sealed) =
            (Vec::new(), vec![0; Bench::sealed_bytes(OBJECT_BYTES)]);
        seal(host, &plain, &mut sealed);
        bench.bare_seal(&plain, &mut bare_sealed);
        let helped = Host::with_threads(Release::Accepted, 2);
        Self { host, helped, bench, plain, sealed, bare_sealed }
    }

    /// The rows.
    pub fn rows(&self) -> Vec<Row<'_>> {
        vec![
            self.seal_buffer("seal_64mib", self.host),
            self.open_buffer("open_64mib", self.host, self.sealed.clone()),
            self.seal_buffer("seal_64mib_helped", &self.helped),
            self.open_buffer("open_64mib_helped", &self.helped, sealed(&self.helped, &self.plain)),
            self.seal_stream(),
            self.open_stream(),
            self.seal_read(),
            self.open_read(),
            self.seal_small(),
            self.open_small(),
        ]
    }

    fn seal_buffer<'a>(&'a self, name: &'static str, host: &'a Host) -> Row<'a> {
        Row {
            name,
            baseline: "AES-256-GCM over 16 KiB chunks",
            engine: Box::new(move |_| {
                let mut out = sealed(host, &self.plain);
                Box::new(move || seal(host, black_box(&self.plain), &mut out))
            }),
            bare: Box::new(move |_| {
                let mut out = vec![1; self.bare_sealed.len()];
                Box::new(move || self.bench.bare_seal(black_box(&self.plain), &mut out))
            }),
            ..large()
        }
    }

    fn open_buffer<'a>(&'a self, name: &'static str, host: &'a Host, sealed: Vec<u8>) -> Row<'a> {
        let sealed = std::sync::Arc::new(sealed);
        Row {
            name,
            baseline: "AES-256-GCM over 16 KiB chunks",
            engine: Box::new(move |_| {
                let (sealed, mut out) = (sealed.clone(), vec![1; OBJECT_BYTES]);
                Box::new(move || open(host, black_box(&sealed), &mut out))
            }),
            bare: Box::new(move |_| {
                let mut out = vec![1; OBJECT_BYTES];
                Box::new(move || self.bench.bare_open(black_box(&self.bare_sealed), &mut out))
            }),
            ..large()
        }
    }

    fn seal_stream(&self) -> Row<'_> {
        let Self { host, plain, .. } = self;
        Row {
            name: "seal_stream_64mib",
            baseline: "the buffer form",
            engine: Box::new(move |_| {
                let mut out = sealed(host, plain);
                let runtime = Builder::new_current_thread().build().expect("a runtime");
                Box::new(move || {
                    runtime.block_on(async {
                        let (key, context) = (&host.key, &host.context);
                        let stream = host.kms.seal_buf(key, context, black_box(&plain[..])).await;
                        drain(stream.expect("it is sealed"), &mut out).await;
                    });
                })
            }),
            bare: self.seal_buffer("", host).engine,
            ..large()
        }
    }

    fn open_stream(&self) -> Row<'_> {
        let Self { host, sealed, .. } = self;
        Row {
            name: "open_stream_64mib",
            baseline: "the buffer form",
            engine: Box::new(move |_| {
                let mut out = vec![1; OBJECT_BYTES];
                let runtime = Builder::new_current_thread().build().expect("a runtime");
                Box::new(move || {
                    runtime.block_on(async {
                        let stream = host.kms.open_buf(&host.context, black_box(&sealed[..])).await;
                        drain(stream.expect("it opens"), &mut out).await;
                    });
                })
            }),
            bare: self.open_buffer("", host, sealed.clone()).engine,
            ..large()
        }
    }

    fn seal_read(&self) -> Row<'_> {
        let Self { host, plain, .. } = self;
        Row {
            name: "seal_read_64mib",
            baseline: "the buffer form",
            engine: Box::new(move |_| {
                let mut out = sealed(host, plain);
                let runtime = Builder::new_current_thread().build().expect("a runtime");
                Box::new(move || {
                    runtime.block_on(async {
                        let (key, context) = (&host.key, &host.context);
                        let stream = host.kms.seal(key, context, black_box(&plain[..])).await;
                        drain(stream.expect("it is sealed"), &mut out).await;
                    });
                })
            }),
            bare: self.seal_buffer("", host).engine,
            ..large()
        }
    }

    fn open_read(&self) -> Row<'_> {
        let Self { host, sealed, .. } = self;
        Row {
            name: "open_read_64mib",
            baseline: "the buffer form",
            engine: Box::new(move |_| {
                let mut out = vec![1; OBJECT_BYTES];
                let runtime = Builder::new_current_thread().build().expect("a runtime");
                Box::new(move || {
                    runtime.block_on(async {
                        let stream = host.kms.open(&host.context, black_box(&sealed[..])).await;
                        drain(stream.expect("it opens"), &mut out).await;
                    });
                })
            }),
            bare: self.open_buffer("", host, sealed.clone()).engine,
            ..large()
        }
    }

    fn seal_small(&self) -> Row<'_> {
        Row {
            name: "seal_1kib",
            baseline: "a data key, HKDF-SHA-512 and AES-256-GCM",
            engine: Box::new(move |_| {
                let mut out = Vec::new();
                Box::new(move || seal(self.host, black_box(&self.plain[..SMALL_BYTES]), &mut out))
            }),
            bare: Box::new(move |_| {
                let (mut bare, mut out) = (Bare::new(), vec![0; SMALL_BYTES + 16]);
                Box::new(move || {
                    _ = black_box(bare.seal(black_box(&self.plain[..SMALL_BYTES]), &mut out));
                })
            }),
            ..small()
        }
    }

    fn open_small(&self) -> Row<'_> {
        Row {
            name: "open_1kib",
            baseline: "a data key, HKDF-SHA-512 and AES-256-GCM",
            engine: Box::new(move |_| {
                let mut out = Vec::new();
                let object = sealed(self.host, &self.plain[..SMALL_BYTES]);
                Box::new(move || open(self.host, black_box(&object), &mut out))
            }),
            bare: Box::new(move |_| {
                let (mut bare, mut out) = (Bare::new(), vec![0; SMALL_BYTES]);
                let mut object = vec![0; SMALL_BYTES + 16];
                let (wrapped, salt) = bare.seal(&self.plain[..SMALL_BYTES], &mut object);
                Box::new(move || bare.open(&wrapped, &salt, black_box(&object), &mut out))
            }),
            ..small()
        }
    }
}

/// A row of 64 MiB, to be filled in.
pub fn large<'a>() -> Row<'a> {
    Row { batch: 1, bytes: Some(OBJECT_BYTES), ..small() }
}

/// A row of 1 KiB, to be filled in.
pub fn small<'a>() -> Row<'a> {
    Row {
        name: "",
        baseline: "",
        ratio: Ratio::Throughput,
        per_step: 1,
        batch: 32,
        bytes: Some(SMALL_BYTES),
        engine: Box::new(|_| Box::new(|| {})),
        bare: Box::new(|_| Box::new(|| {})),
    }
}

fn sealed(host: &Host, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal(host, plain, &mut out);
    out
}

/// As a host on a thread seals: at once, and waiting only where it must.
fn seal(host: &Host, plain: &[u8], out: &mut Vec<u8>) {
    match host.kms.try_seal_into(&host.key, &host.context, plain, out) {
        Ok(()) => {}
        Err(TryError::NeedsHop(_)) => {
            let (key, context) = (&host.key, &host.context);
            host.kms.seal_into_blocking(key, context, plain, out).expect("it is sealed");
        }
        Err(error) => panic!("{error}"),
    }
}

/// As a host on a thread opens: at once, and waiting only where it must.
pub fn open(host: &Host, sealed: &[u8], out: &mut Vec<u8>) {
    match host.kms.try_open_into(&host.context, sealed, out) {
        Ok(()) => {}
        Err(TryError::NeedsHop(_)) => {
            host.kms.open_into_blocking(&host.context, sealed, out).expect("it opens");
        }
        Err(error) => panic!("{error}"),
    }
}

/// Reads to the end, which is the end of `out` too.
pub async fn drain(reader: impl AsyncRead, out: &mut [u8]) {
    let mut reader = pin!(reader);
    let mut at = 0;
    loop {
        let end = out.len().min(at + READ_BYTES);
        match reader.read(&mut out[at..end]).await.expect("the stream goes on") {
            0 => break,
            len => at += len,
        }
    }
    assert_eq!(at, out.len());
}

pub const OBJECT_BYTES: usize = 64 << 20;
pub const SMALL_BYTES: usize = 1024;
/// What a host asks of a stream at once.
const READ_BYTES: usize = 64 * 1024;
