//! Sealing and opening, through a handle: buffers, streams, and small payloads.
//!
//! ```text
//! streams.rs   `AsyncRead`, `AsyncBufRead` and `Stream` in; `AsyncRead` and `Stream` out
//! blocking.rs  `Read` and `BufRead` in, `Read` out; `Write` through to `Write`
//! buffers.rs   from one buffer into another, in place, `Bytes`
//! payloads.rs  `encrypt` and `decrypt`
//! ```
//!
//! Every form but the payloads' gives the same bytes, which any other form opens;
//! [`crate::manual::format`] has them:
//!
//! ```text
//! magic "PCSF" | format version 0x01 | suite u8 | envelope | salt 24 | commitment 32 | chunks
//! ```

mod blocking;
mod buffers;
mod output;
mod payloads;
mod streams;

use zeroize::Zeroize;

use super::{Kms, block_on};
use crate::context::EncryptionContext;
use crate::envelope::WrappedKey;
use crate::error::{Error, ObjectError};
use crate::key::KeyId;
use crate::object::front::{Front, Kind};
use crate::object::{Header, Suite, chunk};
use crate::plane::payload::Whole;
use crate::plane::stream::StreamOperation;
use crate::plane::{Call, TryError};

pub use blocking::{OpenWriter, SealWriter};
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
    let (_, envelope, _) = Kind::Object.split(front)?;
    let front = Kind::Object.front_bytes(envelope.len()) as u64;
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

    async fn begin_seal(&self, key: &KeyId, context: &EncryptionContext) -> Result<Begun, Error> {
        let (plane, suite) = (&self.shared.plane, self.suite());
        let begun =
            self.carry(Some(key), |call| plane.begin_seal(call, key, suite, context)).await?;
        Ok(Begun::new(suite, begun))
    }

    fn try_begin_seal(&self, key: &KeyId, context: &EncryptionContext) -> Result<Begun, TryError> {
        let (plane, suite) = (&self.shared.plane, self.suite());
        let begun = self.at_once(Some(key), |call| plane.begin_seal(call, key, suite, context))?;
        Ok(Begun::new(suite, begun))
    }

    async fn begin_open(
        &self,
        context: &EncryptionContext,
        front: &Front,
    ) -> Result<StreamOperation, Error> {
        let (plane, Front { wrapped, suite }) = (&self.shared.plane, front);
        self.carry(None, |call| plane.begin_open(call, wrapped, *suite, context)).await
    }

    fn try_begin_open(
        &self,
        context: &EncryptionContext,
        front: &Front,
    ) -> Result<StreamOperation, TryError> {
        let (plane, Front { wrapped, suite }) = (&self.shared.plane, front);
        self.at_once(None, |call| plane.begin_open(call, wrapped, *suite, context))
    }
}

impl Begun {
    fn new(suite: Suite, begun: (StreamOperation, WrappedKey, Header)) -> Self {
        let (operation, wrapped, header) = begun;
        let prefix = [&Kind::Object.head(suite)[..], wrapped.as_bytes()].concat();
        Self { operation, prefix, header }
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
        let open = |call: &Call<'_>| plane.open_whole(call, whole, sealed, out);
        let ((), unwritten) = self.attempt(None, open).await?;
        if let Some(ticket) = unwritten {
            out.as_mut_slice().zeroize();
            out.clear();
            self.shared.trail.written(ticket).await?;
            // A stop or a change of the key may have come meanwhile: it is opened again, so that
            // it is released in a section.
            let open = |call: &Call<'_>| plane.open_whole(call, whole, sealed, out);
            self.attempt_as(|| Call::recorded(&self.caller), None, open).await?;
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
