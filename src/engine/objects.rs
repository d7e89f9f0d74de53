//! Sealing and opening, through a handle: streams, and small payloads in one go.
//!
//! A sealed stream is what `portcullis seal` writes; [`crate::manual::format`] has it to the byte:
//!
//! ```text
//! magic "PCSF" | format version 0x01 | suite u8 | envelope | salt 24 | commitment 32 | chunks
//! ```

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::Kms;
use crate::context::EncryptionContext;
use crate::envelope::{self, WrappedKey};
use crate::error::{Error, ObjectError};
use crate::key::KeyId;
use crate::object::{OpenReader, SealReader, Suite};
use crate::plane::stream::StreamOperation;
use crate::plane::{Call, TryError};

/// Objects.
impl Kms {
    /// Seals what `reader` gives under a new key of its own, wrapped by `key` and bound to
    /// `context`. The result reads as the sealed bytes, in constant memory (about 150 KiB).
    ///
    /// Reading it fails once the engine is stopped or frozen, or `key` is disabled or deleted; the
    /// reason is in the error ([`Error::in_stream`]).
    ///
    /// # Errors
    /// As [`Self::generate_data_key`].
    pub async fn seal<R: AsyncRead>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Sealed<R>, Error> {
        let plane = &self.shared.plane;
        let cloned_host = plane.generation().is_some_and(|generation| generation.cloned_host);
        let suite = if cloned_host { Suite::Aes256GcmSiv } else { Suite::Aes256Gcm };
        let (operation, wrapped, header) =
            self.carry(Some(key), |call| plane.begin_seal(call, key, suite, context)).await?;
        let prefix = prefix(suite, &wrapped);
        Ok(Sealed { reader: SealReader::new(reader, operation, &prefix, &header) })
    }

    /// Opens what [`Self::seal`] gave, if `context` is the same. The result reads as the plaintext,
    /// in constant memory (about 165 KiB). A chunk's plaintext is given only after the chunk was
    /// authenticated, and the last byte only after the end was.
    ///
    /// # Errors
    /// [`ObjectError`] if it is no sealed stream, [`EnvelopeError`](crate::error::EnvelopeError) if its key does not open,
    /// [`KeyError`](crate::error::KeyError) if the key's state does not allow unwrapping.
    pub async fn open<R: AsyncRead + Unpin>(
        &self,
        context: &EncryptionContext,
        mut reader: R,
    ) -> Result<Opened<R>, Error> {
        let (suite, wrapped) = read_prefix(&mut reader).await?;
        let plane = &self.shared.plane;
        let operation =
            self.carry(None, |call| plane.begin_open(call, &wrapped, suite, context)).await?;
        Ok(Opened { reader: OpenReader::new(reader, operation) })
    }

    /// Encrypts `plain`, at most 64 KiB, under a new key of its own that `key` wraps, bound to
    /// `context`. The result carries its wrapped key.
    ///
    /// # Errors
    /// [`ObjectError::TooLong`], and as [`Self::generate_data_key`].
    pub async fn encrypt(
        &self,
        key: &KeyId,
        plain: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        self.carry(Some(key), |call| self.shared.plane.encrypt(call, key, plain, context)).await
    }

    /// [`Self::encrypt`] without waiting.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_encrypt(
        &self,
        key: &KeyId,
        plain: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, TryError> {
        self.at_once(Some(key), |call| self.shared.plane.encrypt(call, key, plain, context))
    }

    /// The plaintext of what [`Self::encrypt`] gave, if `context` is the same. It is the host's to
    /// wipe.
    ///
    /// # Errors
    /// [`EnvelopeError`](crate::error::EnvelopeError) or [`ObjectError`] if it does not open,
    /// [`KeyError`](crate::error::KeyError) if the key's state does not allow unwrapping.
    pub async fn decrypt(
        &self,
        sealed: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let plane = &self.shared.plane;
        let open = |call: &Call<'_>| plane.decrypt_payload(call, sealed, context);
        let (mut plain, unwritten) = self.attempt(None, open).await?;
        if let Some(ticket) = unwritten {
            drop(plain);
            self.shared.trail.written(ticket).await?;
            // A stop or a change of the key may have come meanwhile: it is opened again, so that
            // it is released in a section.
            let again = || Call::recorded(&self.caller);
            (plain, _) = self.attempt_as(again, None, open).await?;
        }
        Ok(core::mem::take(&mut *plain))
    }

    /// [`Self::decrypt`] without waiting.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_decrypt(
        &self,
        sealed: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, TryError> {
        let mut plain =
            self.at_once(None, |call| self.shared.plane.decrypt_payload(call, sealed, context))?;
        Ok(core::mem::take(&mut *plain))
    }
}

pin_project! {
    /// An object that is sealed as it is read.
    pub struct Sealed<R> {
        #[pin]
        reader: SealReader<R, StreamOperation>,
    }
}

pin_project! {
    /// An object that is opened as it is read.
    pub struct Opened<R> {
        #[pin]
        reader: OpenReader<R, StreamOperation>,
    }
}

impl<R: AsyncRead> AsyncRead for Sealed<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().reader.poll_read(cx, buf)
    }
}

impl<R: AsyncRead> AsyncRead for Opened<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().reader.poll_read(cx, buf)
    }
}

impl<R> fmt::Debug for Sealed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Opened<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

fn prefix(suite: Suite, wrapped: &WrappedKey) -> Vec<u8> {
    [&MAGIC[..], &[FORMAT_VERSION, suite.code()], wrapped.as_bytes()].concat()
}

async fn read_prefix<R: AsyncRead + Unpin>(reader: &mut R) -> Result<(Suite, WrappedKey), Error> {
    let mut head = [0; HEAD_BYTES];
    read_all(reader, &mut head, "magic").await?;
    let [magic @ .., version, suite] = head;
    if magic != MAGIC {
        return Err(ObjectError::Malformed("magic").into());
    }
    if version != FORMAT_VERSION {
        return Err(ObjectError::UnknownFormat(version).into());
    }
    let suite = Suite::from_code(suite).ok_or(ObjectError::Malformed("suite"))?;
    let mut wrapped = vec![0; envelope::PREFIX_BYTES];
    read_all(reader, &mut wrapped, "envelope").await?;
    let total = envelope::total_bytes(&wrapped)?;
    let begun = wrapped.len();
    wrapped.resize(total.max(begun), 0);
    let rest = wrapped.get_mut(begun..).unwrap_or_default();
    read_all(reader, rest, "envelope").await?;
    Ok((suite, WrappedKey::from_bytes(&wrapped)?))
}

async fn read_all<R: AsyncRead + Unpin>(
    reader: &mut R,
    out: &mut [u8],
    field: &'static str,
) -> Result<(), Error> {
    match reader.read_exact(out).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(ObjectError::Malformed(field).into())
        }
        Err(error) => Err(ObjectError::Io(error).into()),
    }
}

const MAGIC: [u8; 4] = *b"PCSF";
const FORMAT_VERSION: u8 = 1;
const HEAD_BYTES: usize = 6;
