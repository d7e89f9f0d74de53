//! Sealing and opening, through a handle: buffers, streams, and small payloads.
//!
//! ```text
//! streams.rs   `AsyncRead`, `AsyncBufRead` and `Stream` in; `AsyncRead` and `Stream` out
//! blocking.rs  `Read` and `BufRead` in, `Read` out; `Write` through to `Write`
//! buffers.rs   from one buffer into another, in place, `Bytes`
//! ranges.rs    a stretch of something sealed, from just the bytes that it takes
//! payloads.rs  `encrypt` and `decrypt`
//! ```
//!
//! Every form but the payloads' gives the same bytes, which any other form opens;
//! [`crate::manual::format`] has them:
//!
//! ```text
//! magic "PCSF" | format version 0x01 | suite u8 | envelope | salt 24 | commitment 32 | chunks
//! ```
//!
//! Under a customer's key `"PCSC"` and what tells that key stand in place of magic and envelope;
//! only the forms that take such a key give and open these.

mod blocking;
mod buffers;
mod output;
mod payloads;
mod ranges;
mod streams;

use zeroize::Zeroize;

use super::{Kms, block_on};
use crate::context::EncryptionContext;
use crate::envelope::WrappedKey;
use crate::error::{Error, ObjectError};
use crate::key::KeyId;
use crate::object::front::{Front, Kind};
use crate::object::{CustomerKey, Header, Suite, chunk};
use crate::plane::payload::Whole;
use crate::plane::remote::Answers;
use crate::plane::stream::{SealUnder, StreamOperation};
use crate::plane::{Call, TryError};

pub use blocking::{OpenWriter, SealWriter};
pub use ranges::OpenedRange;
pub(super) use streams::{AnyError, reads};
pub use streams::{Opened, Sealed};

/// How long the sealed form of `plain_bytes` under `key` is, exactly, in every form but a payload's.
///
/// # Errors
/// [`ObjectError::TooLong`] past the 4 PiB that the format allows.
pub fn sealed_size(key: &KeyId, plain_bytes: u64) -> Result<u64, ObjectError> {
    let front = Kind::Object.front_bytes(WrappedKey::object_key_bytes(key));
    let object = chunk::sealed_size(plain_bytes).ok_or(ObjectError::TooLong)?;
    object.checked_add(front as u64).ok_or(ObjectError::TooLong)
}

/// How long the plaintext of something sealed is that has `sealed_bytes` and begins with `front`:
/// 1,542 bytes are enough, or all there are.
///
/// A length is not authenticated before all of it was opened.
///
/// # Errors
/// [`ObjectError`] or [`EnvelopeError`](crate::error::EnvelopeError) if `front` is that of nothing
/// sealed, or nothing sealed has this length.
pub fn plain_size(front: &[u8], sealed_bytes: u64) -> Result<u64, Error> {
    let (_, _, rest) = Kind::Object.split(front)?;
    let front = (front.len() - rest.len()) as u64;
    let object = sealed_bytes.checked_sub(front).ok_or(ObjectError::Malformed("header"))?;
    Ok(chunk::plain_size(object)?)
}

/// A sealing that has begun, and all that stands before its chunks but the header.
struct Begun {
    operation: StreamOperation,
    prefix: Vec<u8>,
    header: Header,
}

/// Beginning, for every form.
impl Kms {
    fn suite(&self) -> Suite {
        let generation = self.shared.plane.generation();
        generation.map_or(Suite::Aes256Gcm, |generation| generation.suite())
    }

    async fn begin_seal(
        &self,
        under: SealUnder<'_>,
        context: &EncryptionContext,
    ) -> Result<Begun, Error> {
        let (plane, suite) = (&self.shared.plane, self.suite());
        let seal = |call: &Call<'_>| plane.begin_seal(call, under, suite, context);
        Ok(Begun::new(self.carry(under.master(), seal).await?))
    }

    fn try_begin_seal(&self, key: &KeyId, context: &EncryptionContext) -> Result<Begun, TryError> {
        let (plane, suite) = (&self.shared.plane, self.suite());
        let seal = |call: &Call<'_>| plane.begin_seal(call, SealUnder::Master(key), suite, context);
        Ok(Begun::new(self.at_once(Some(key), seal)?))
    }

    async fn begin_open(
        &self,
        context: &EncryptionContext,
        front: &Front,
        customer_key: Option<&CustomerKey>,
    ) -> Result<StreamOperation, Error> {
        let plane = &self.shared.plane;
        self.carry(None, |call| plane.begin_open(call, front, customer_key, context)).await
    }

    fn try_begin_open(
        &self,
        context: &EncryptionContext,
        front: &Front,
    ) -> Result<StreamOperation, TryError> {
        let plane = &self.shared.plane;
        self.at_once(None, |call| plane.begin_open(call, front, None, context))
    }
}

impl Begun {
    fn new((operation, front, header): (StreamOperation, Front, Header)) -> Self {
        Self { operation, prefix: front.of_object(), header }
    }
}

/// Small ones, in one section.
impl Kms {
    async fn seal_whole(
        &self,
        kind: Kind,
        key: &KeyId,
        context: &EncryptionContext,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (plane, whole) = (&self.shared.plane, Whole { kind, context });
        let sealed = self.carry(Some(key), |call| plane.seal_whole(call, whole, key, plain, out));
        sealed.await
    }

    fn try_seal_whole(
        &self,
        kind: Kind,
        key: &KeyId,
        context: &EncryptionContext,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        let (plane, whole) = (&self.shared.plane, Whole { kind, context });
        self.at_once(Some(key), |call| plane.seal_whole(call, whole, key, plain, out))
    }

    async fn open_whole(
        &self,
        kind: Kind,
        context: &EncryptionContext,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (plane, whole) = (&self.shared.plane, Whole { kind, context });
        let (first, recorded) = (|| Call::new(&self.caller, true), || Call::recorded(&self.caller));
        let mut answers = Answers::default();
        let open = |call: &Call<'_>| plane.open_whole(call, whole, sealed, out);
        let ((), unwritten) = self.attempt_as(first, &mut answers, None, open).await?;
        if let Some(ticket) = unwritten {
            out.as_mut_slice().zeroize();
            out.clear();
            self.shared.trail.written(ticket).await?;
            // A stop or a change of the key may have come meanwhile: it is opened again, so that
            // it is released in a section.
            let open = |call: &Call<'_>| plane.open_whole(call, whole, sealed, out);
            self.attempt_as(recorded, &mut answers, None, open).await?;
        }
        Ok(())
    }

    fn try_open_whole(
        &self,
        kind: Kind,
        context: &EncryptionContext,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        let (plane, whole) = (&self.shared.plane, Whole { kind, context });
        self.at_once(None, |call| plane.open_whole(call, whole, sealed, out))
    }
}
