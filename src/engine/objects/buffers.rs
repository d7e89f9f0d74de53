//! Objects that lie whole in memory: from one buffer into another, in place, and `Bytes`.
//!
//! ```text
//! up to 64 KiB    one section, on the caller's thread
//! more            a section for each chunk of 16 KiB; 1 MiB and more on several threads:
//!   `try_`, `_blocking`   the caller's thread works too, and is held
//!   `_bytes`              all on the engine's threads, awaited
//!   asynchronous          borrowed buffers cannot leave the caller's thread: 256 KiB at a time,
//!                         and others of its executor run in between
//! ```
//!
//! Outputs are all or nothing: what fails, or is given up before its end, is wiped.

use core::future::poll_fn;
use core::task::Poll;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rayon_core::ThreadPool;
use tokio::sync::oneshot;

use super::output::{AllOrNothing, Room, bytes_of};
use super::{Begun, Kms, block_on};
use crate::context::EncryptionContext;
use crate::error::{Error, ObjectError};
use crate::key::KeyId;
use crate::limits::{AT_ONCE_BYTES_MAX, CHUNK_BYTES, PARALLEL_BYTES_MIN, PAYLOAD_BYTES_MAX};
use crate::object::buffer::{InPlace, Turn};
use crate::object::front::{Front, Kind};
use crate::object::{Direction, Header, Open, Operation, Seal, chunk};
use crate::plane::TryError;
use crate::plane::stream::{SealUnder, StreamOperation};

/// Objects, from buffer to buffer.
impl Kms {
    /// Makes `sealed` the sealed form of `plain`, under a new key of its own that `key` wraps, bound
    /// to `context`.
    ///
    /// `sealed` is replaced. Give the same buffer again: one that is long enough costs no new pages,
    /// which would take several times as long as sealing does. [`sealed_size`](super::sealed_size)
    /// tells beforehand how long it will be.
    ///
    /// # Errors
    /// As [`Self::generate_data_key`]; `sealed` is empty then.
    pub async fn seal_into(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        plain: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if plain.len() <= PAYLOAD_BYTES_MAX {
            return self.seal_whole(Kind::Object, key, context, plain, sealed).await;
        }
        let mut out = AllOrNothing::new(sealed);
        let mut sealing =
            Sealing::new(self.begin_seal(SealUnder::Master(key), context).await?, plain.len())?;
        sealing.make_room(&mut out);
        while !sealing.step(plain, &mut out, CHUNKS_AT_ONCE)? {
            let_others_run().await;
        }
        out.complete();
        Ok(())
    }

    /// [`Self::seal_into`] without waiting for anything but the work itself.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_seal_into(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        plain: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        if plain.len() <= PAYLOAD_BYTES_MAX {
            return self.try_seal_whole(Kind::Object, key, context, plain, sealed);
        }
        let out = AllOrNothing::new(sealed);
        let sealing = Sealing::new(self.try_begin_seal(key, context)?, plain.len())?;
        sealing.all(plain, out, self.helpers(plain.len()))?;
        Ok(())
    }

    /// [`Self::seal_into`] for a thread that may block.
    ///
    /// # Errors
    /// As [`Self::seal_into`].
    pub fn seal_into_blocking(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        plain: &[u8],
        sealed: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if plain.len() <= PAYLOAD_BYTES_MAX {
            return block_on(self.seal_whole(Kind::Object, key, context, plain, sealed));
        }
        let out = AllOrNothing::new(sealed);
        let sealing =
            Sealing::new(block_on(self.begin_seal(SealUnder::Master(key), context))?, plain.len())?;
        sealing.all(plain, out, self.helpers(plain.len()))?;
        Ok(())
    }

    /// Makes `plain` the plaintext of what any form of sealing gave, if `context` is the same.
    ///
    /// `plain` is replaced; see [`Self::seal_into`]. What it holds is the host's to wipe.
    ///
    /// # Errors
    /// As [`Self::open`]; `plain` is wiped and empty then, whatever had opened before the fault.
    pub async fn open_into(
        &self,
        context: &EncryptionContext,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if sealed.len() <= PAYLOAD_BYTES_MAX {
            return self.open_whole(Kind::Object, context, sealed, plain).await;
        }
        let mut out = AllOrNothing::new(plain);
        let parts = Parts::of(sealed)?;
        let mut opening =
            Opening::new(self.begin_open(context, &parts.front, None).await?, &parts)?;
        out.resize_for(parts.plain_bytes);
        while !opening.step(parts.body(sealed), &mut out, CHUNKS_AT_ONCE)? {
            let_others_run().await;
        }
        out.complete();
        Ok(())
    }

    /// [`Self::open_into`] without waiting for anything but the work itself.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_open_into(
        &self,
        context: &EncryptionContext,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        if sealed.len() <= PAYLOAD_BYTES_MAX {
            return self.try_open_whole(Kind::Object, context, sealed, plain);
        }
        let mut out = AllOrNothing::new(plain);
        let parts = Parts::of(sealed)?;
        let opening = Opening::new(self.try_begin_open(context, &parts.front)?, &parts)?;
        out.resize_for(parts.plain_bytes);
        opening.all(parts.body(sealed), out, self.helpers(sealed.len()))?;
        Ok(())
    }

    /// [`Self::open_into`] for a thread that may block.
    ///
    /// # Errors
    /// As [`Self::open_into`].
    pub fn open_into_blocking(
        &self,
        context: &EncryptionContext,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if sealed.len() <= PAYLOAD_BYTES_MAX {
            return block_on(self.open_whole(Kind::Object, context, sealed, plain));
        }
        let mut out = AllOrNothing::new(plain);
        let parts = Parts::of(sealed)?;
        let opening =
            Opening::new(block_on(self.begin_open(context, &parts.front, None))?, &parts)?;
        out.resize_for(parts.plain_bytes);
        opening.all(parts.body(sealed), out, self.helpers(sealed.len()))?;
        Ok(())
    }
}

/// Objects in place, for hosts that have no memory for a second buffer.
impl Kms {
    /// Makes `buffer`, which holds plaintext, the sealed form of it: [`Self::seal_into`] with one
    /// buffer. It works on one thread. Where `buffer` has no room for
    /// [`sealed_size`](super::sealed_size) bytes, a longer one takes its place and the old one is
    /// wiped.
    ///
    /// # Errors
    /// As [`Self::generate_data_key`], and `buffer` is as before; where the engine is stopped or the
    /// key disabled before the end, it is wiped and empty.
    pub async fn seal_in_place(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let plain_bytes = buffer.len();
        let mut sealing =
            Sealing::new(self.begin_seal(SealUnder::Master(key), context).await?, plain_bytes)?;
        grow_wiping(buffer, sealing.total);
        let mut out = AllOrNothing::new(buffer);
        let mut in_place = InPlace::<Seal>::new(plain_bytes, sealing.front.len());
        while !in_place.step(&mut sealing.operation, out.bytes(), CHUNKS_AT_ONCE)? {
            let_others_run().await;
        }
        sealing.write_front(out.bytes());
        out.complete();
        Ok(())
    }

    /// [`Self::seal_in_place`] for a thread that may block.
    ///
    /// # Errors
    /// As [`Self::seal_in_place`].
    pub fn seal_in_place_blocking(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        block_on(self.seal_in_place(key, context, buffer))
    }

    /// Makes `buffer`, which holds something sealed, the plaintext of it: [`Self::open_into`] with
    /// one buffer. It works on one thread.
    ///
    /// # Errors
    /// As [`Self::open`], and `buffer` is as before where nothing of it has been opened, and wiped
    /// and empty else.
    pub async fn open_in_place(
        &self,
        context: &EncryptionContext,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let parts = Parts::of(buffer)?;
        let mut opening =
            Opening::new(self.begin_open(context, &parts.front, None).await?, &parts)?;
        let mut out = AllOrNothing::new(&mut *buffer);
        let mut in_place = InPlace::<Open>::new(parts.plain_bytes, parts.body_at);
        while !in_place.step(&mut opening.operation, out.bytes(), CHUNKS_AT_ONCE)? {
            let_others_run().await;
        }
        out.complete();
        buffer.truncate(parts.plain_bytes);
        Ok(())
    }

    /// [`Self::open_in_place`] for a thread that may block.
    ///
    /// # Errors
    /// As [`Self::open_in_place`].
    pub fn open_in_place_blocking(
        &self,
        context: &EncryptionContext,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        block_on(self.open_in_place(context, buffer))
    }
}

/// Objects as `Bytes`, on the engine's threads.
impl Kms {
    /// The sealed form of `plain`, in `sealed` if that is long enough: [`Self::seal_into`] with
    /// buffers that are lent to the engine's threads, which share the work; the caller's runs other
    /// futures meanwhile. `BytesMut::new()` gives a buffer that is made for it.
    ///
    /// # Errors
    /// As [`Self::seal_into`].
    pub async fn seal_bytes(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        plain: Bytes,
        sealed: BytesMut,
    ) -> Result<BytesMut, Error> {
        if plain.len() <= AT_ONCE_BYTES_MAX {
            let mut out = Vec::new();
            self.seal_into(key, context, &plain, &mut out).await?;
            return Ok(bytes_of(out));
        }
        let sealing =
            Sealing::new(self.begin_seal(SealUnder::Master(key), context).await?, plain.len())?;
        let help = self.helpers(plain.len());
        let mut sealing = sealing.helped_by(help.clone());
        let mut out = AllOrNothing::new(sealed);
        sealing.make_room(&mut out);
        on_pool(help, out, move |out, most| sealing.step(&plain, out, most)).await
    }

    /// The plaintext of what any form of sealing gave, in `plain` if that is long enough: see
    /// [`Self::seal_bytes`].
    ///
    /// # Errors
    /// As [`Self::open_into`].
    pub async fn open_bytes(
        &self,
        context: &EncryptionContext,
        sealed: Bytes,
        plain: BytesMut,
    ) -> Result<BytesMut, Error> {
        if sealed.len() <= AT_ONCE_BYTES_MAX {
            let mut out = Vec::new();
            self.open_into(context, &sealed, &mut out).await?;
            return Ok(bytes_of(out));
        }
        let parts = Parts::of(&sealed)?;
        let opening = Opening::new(self.begin_open(context, &parts.front, None).await?, &parts)?;
        let help = self.helpers(sealed.len());
        let mut opening = opening.helped_by(help.clone());
        let mut out = AllOrNothing::new(plain);
        out.resize_for(parts.plain_bytes);
        let work = move |out: &mut AllOrNothing<BytesMut>, most| {
            opening.step(parts.body(&sealed), out, most)
        };
        on_pool(help, out, work).await
    }

    /// The engine's threads, where there is enough to do for them.
    pub(super) fn helpers(&self, bytes: usize) -> Option<Arc<ThreadPool>> {
        if bytes < PARALLEL_BYTES_MIN {
            return None;
        }
        let threads = self.shared.plane.generation()?.object_threads;
        self.shared.workers.pool(threads)
    }
}

/// Runs `work` on the pool, step by step until it says that it is done or nobody waits for it any
/// more; on this thread where there is no pool.
async fn on_pool<W>(
    pool: Option<Arc<ThreadPool>>,
    mut out: AllOrNothing<BytesMut>,
    mut work: W,
) -> Result<BytesMut, Error>
where
    W: FnMut(&mut AllOrNothing<BytesMut>, usize) -> Result<bool, Error> + Send + 'static,
{
    let lost = Error::Unreachable("work on a large object was lost");
    let Some(pool) = pool else {
        while !work(&mut out, CHUNKS_AT_ONCE)? {
            let_others_run().await;
        }
        return out.complete().ok_or(lost);
    };
    let (done, answer) = oneshot::channel();
    pool.spawn(move || {
        let turned = loop {
            match work(&mut out, CHUNKS_A_STEP) {
                Ok(false) if done.is_closed() => return,
                Ok(false) => {}
                Ok(true) => break Ok(out),
                Err(error) => break Err(error),
            }
        };
        // An answer that nobody takes is wiped.
        drop(work);
        drop(done.send(turned));
    });
    drop(pool);
    match answer.await {
        Ok(turned) => turned?.complete().ok_or(lost),
        Err(_) => Err(lost),
    }
}

/// A buffer that is being sealed.
struct Sealing {
    operation: StreamOperation,
    turn: Turn<Seal>,
    /// All that stands before the first chunk.
    front: Vec<u8>,
    /// The whole length.
    total: usize,
}

impl Sealing {
    fn new(begun: Begun, plain_bytes: usize) -> Result<Self, Error> {
        let Begun { operation, prefix, header } = begun;
        let [salt, commitment] = header.parts();
        let front = [&prefix[..], salt, commitment].concat();
        let object = chunk::sealed_size(plain_bytes as u64).ok_or(ObjectError::TooLong)?;
        let total =
            usize::try_from(object).ok().and_then(|object| object.checked_add(prefix.len()));
        let total = total.ok_or(ObjectError::TooLong)?;
        Ok(Self { operation, turn: Turn::new(), front, total })
    }

    fn helped_by(self, pool: Option<Arc<ThreadPool>>) -> Self {
        Self { operation: self.operation.helped_by(pool), ..self }
    }

    /// Makes `out` as long as it will be, with the front in it.
    fn make_room<R: Room>(&self, out: &mut AllOrNothing<R>) {
        out.resize_for(self.total);
        self.write_front(out.bytes());
    }

    fn write_front(&self, out: &mut [u8]) {
        out.iter_mut().zip(&self.front).for_each(|(to, from)| *to = *from);
    }

    fn step<R: Room>(
        &mut self,
        plain: &[u8],
        out: &mut AllOrNothing<R>,
        most: usize,
    ) -> Result<bool, Error> {
        let body = out.bytes().get_mut(self.front.len()..).unwrap_or_default();
        self.turn.step(&mut self.operation, plain, body, most)
    }

    fn all(
        self,
        plain: &[u8],
        mut out: AllOrNothing<&mut Vec<u8>>,
        help: Option<Arc<ThreadPool>>,
    ) -> Result<(), Error> {
        let mut sealing = self.helped_by(help);
        sealing.make_room(&mut out);
        while !sealing.step(plain, &mut out, usize::MAX)? {}
        out.complete();
        Ok(())
    }
}

/// Where the parts of something sealed are.
struct Parts {
    front: Front,
    header: Header,
    /// Where its chunks begin.
    body_at: usize,
    plain_bytes: usize,
}

impl Parts {
    fn of(sealed: &[u8]) -> Result<Self, Error> {
        let (front, object) = Front::split_from(Kind::Object, sealed)?;
        let (header, body) = Header::split_from(object)?;
        let plain_bytes = usize::try_from(chunk::plain_size(object.len() as u64)?);
        let plain_bytes = plain_bytes.map_err(|_| ObjectError::TooLong)?;
        Ok(Self { front, header, body_at: sealed.len() - body.len(), plain_bytes })
    }

    fn body<'s>(&self, sealed: &'s [u8]) -> &'s [u8] {
        sealed.get(self.body_at..).unwrap_or_default()
    }
}

/// A buffer that is being opened.
struct Opening {
    operation: StreamOperation,
    turn: Turn<Open>,
}

impl Opening {
    fn new(mut operation: StreamOperation, parts: &Parts) -> Result<Self, Error> {
        let begun = operation.begin(&parts.header);
        begun.inspect_err(|error| operation.failed(error))?;
        Ok(Self { operation, turn: Turn::new() })
    }

    fn helped_by(self, pool: Option<Arc<ThreadPool>>) -> Self {
        Self { operation: self.operation.helped_by(pool), ..self }
    }

    fn step<R: Room>(
        &mut self,
        body: &[u8],
        out: &mut AllOrNothing<R>,
        most: usize,
    ) -> Result<bool, Error> {
        self.turn.step(&mut self.operation, body, out.bytes(), most)
    }

    fn all(
        self,
        body: &[u8],
        mut out: AllOrNothing<&mut Vec<u8>>,
        help: Option<Arc<ThreadPool>>,
    ) -> Result<(), Error> {
        let mut opening = self.helped_by(help);
        while !opening.step(body, &mut out, usize::MAX)? {}
        out.complete();
        Ok(())
    }
}

/// Gives the thread back to its executor, once.
///
/// tokio's own waits for tokio's loop, which does not turn while a blocking call waits on one of
/// its threads.
async fn let_others_run() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Makes `buffer` `len` bytes long, and leaves no copy of what was in it.
fn grow_wiping(buffer: &mut Vec<u8>, len: usize) {
    if buffer.capacity() < len {
        let mut larger = vec![0; len];
        larger.iter_mut().zip(&*buffer).for_each(|(to, from)| *to = *from);
        zeroize::Zeroize::zeroize(buffer);
        *buffer = larger;
    } else {
        buffer.resize(len, 0);
    }
}

/// Chunks between two looks at whether others of the executor want to run.
const CHUNKS_AT_ONCE: usize = AT_ONCE_BYTES_MAX / CHUNK_BYTES;
/// Chunks between two looks at whether anybody still waits: some 2 ms.
const CHUNKS_A_STEP: usize = 1024;

const _: () = assert!(Seal::AHEAD_BYTES == 0);
