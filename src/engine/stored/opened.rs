//! Objects that are read: whole, by range, by part.

use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::sealed::SealedObject;
use super::{Kms, NOT_YET};
use crate::Suite;
use crate::context::EncryptionContext;
use crate::error::{Error, ObjectError};
use crate::key::KeyId;
use crate::object::range::Plan;
use crate::object::{
    ByteRange, Facts, Mode, ObjectName, PartNumber, Protection, RangedSource, SealedRange,
};

/// An object whose record opened. What it tells is authentic.
///
/// It holds the object's key in the engine's memory: a stop wipes that, and the object has to be
/// opened again after a start.
pub struct StoredObject {
    kms: Kms,
    mode: Mode,
    suite: Suite,
    key: KeyId,
    facts: Facts,
}

impl StoredObject {
    /// How it is protected.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The master key that it depends on; under SSE-C, that of its record.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key
    }

    /// The suite of its body.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Length of its plaintext in bytes.
    #[must_use]
    pub fn plain_size(&self) -> u64 {
        0
    }

    /// Its ETag and checksums, as the host gave them.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// In how many parts it was put; `None` if it was put whole.
    #[must_use]
    pub fn part_count(&self) -> Option<u16> {
        None
    }

    /// Its parts, in order; none if it was put whole or opened without its part table.
    pub fn parts(&self) -> impl Iterator<Item = PartInfo> {
        core::iter::empty()
    }

    /// A plan to read all of it.
    ///
    /// # Errors
    /// [`ObjectError::PartTableMissing`].
    pub fn whole(&self) -> Result<RangePlan, ObjectError> {
        Err(ObjectError::PartTableMissing)
    }

    /// A plan to read a range of its plaintext.
    ///
    /// # Errors
    /// [`ObjectError::RangeNotSatisfiable`], [`ObjectError::PartTableMissing`].
    pub fn range(&self, range: ByteRange) -> Result<RangePlan, ObjectError> {
        let _ = range;
        Err(ObjectError::PartTableMissing)
    }

    /// A plan to read one part. An object that was put whole is its own part 1, as in S3.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchPart`], [`ObjectError::PartTableMissing`].
    pub fn part(&self, number: PartNumber) -> Result<RangePlan, ObjectError> {
        Err(ObjectError::NoSuchPart(number.get()))
    }

    /// Reads what `plan` is for. `reader` gives the plan's sealed ranges, one after the other, and
    /// ends with the last: for [`Self::whole`] that is all sealed bytes, parts in their order.
    ///
    /// # Errors
    /// [`Refused`](crate::error::Refused) if the engine does not run or was stopped since the
    /// object was opened, [`KeyError`](crate::error::KeyError) if the key's state does not allow it.
    pub async fn read<R: AsyncRead>(
        &self,
        plan: RangePlan,
        reader: R,
    ) -> Result<ObjectReader<R>, Error> {
        let _ = (plan, reader, &self.kms);
        Err(NOT_YET)
    }

    /// Reads what `plan` is for from `source`, which is asked for one sealed range after the other
    /// as the plaintext is read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_from<S: RangedSource>(
        &self,
        plan: RangePlan,
        source: S,
    ) -> Result<RangedReader<S>, Error> {
        let _ = (plan, source);
        Err(NOT_YET)
    }

    /// Seals the whole object again, as another name, context or protection want it: a copy, or a
    /// change of key or mode. `source` is where this object's sealed bytes are.
    ///
    /// # Errors
    /// As [`Self::read`] and [`Kms::seal_object`].
    pub async fn reseal<S: RangedSource>(
        &self,
        source: S,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
    ) -> Result<SealedObject<RangedReader<S>>, Error> {
        let reader = self.read_from(self.whole()?, source).await?;
        self.kms.seal_object(name, context, protection, reader).await
    }
}

/// One part of an object or an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartInfo {
    /// Its number.
    pub number: PartNumber,
    /// Length of its plaintext in bytes.
    pub plain_size: u64,
    /// Length of its sealed bytes.
    pub sealed_size: u64,
}

/// A range of an object's plaintext, and the sealed bytes that it takes to read it.
#[derive(Clone)]
pub struct RangePlan(Plan);

impl RangePlan {
    /// The bytes of the object's plaintext that it is for: what S3 answers in `Content-Range`.
    #[must_use]
    pub fn plain(&self) -> Range<u64> {
        self.0.range.clone()
    }

    /// The sealed bytes that it takes, in order, one stretch for each part.
    pub fn sealed(&self) -> impl Iterator<Item = SealedRange> {
        self.0.sealed()
    }
}

pin_project! {
    /// Plaintext of an object, opened as it is read from sealed bytes in their order.
    pub struct ObjectReader<R> {
        #[pin]
        reader: R,
    }
}

pin_project! {
    /// Plaintext of an object, opened as it is read from sealed bytes that are fetched.
    pub struct RangedReader<S> {
        source: S,
    }
}

impl<R: AsyncRead> AsyncRead for ObjectReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().reader.poll_read(cx, buf)
    }
}

impl<S: RangedSource> AsyncRead for RangedReader<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let _ = self.project().source;
        Poll::Ready(Ok(()))
    }
}
