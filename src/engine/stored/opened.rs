//! Objects that are read: whole, by range, by part.

use core::fmt;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::Kms;
use super::sealed::SealedObject;
use crate::Suite;
use crate::context::EncryptionContext;
use crate::error::{Error, ObjectError};
use crate::key::KeyId;
use crate::object::range::{Layout, Plan};
use crate::object::{
    Buffered, ByteRange, Facts, FetchReader, Mode, ObjectName, PartNumber, Protection,
    RangedSource, SealedRange, WalkReader,
};
use crate::plane::object::read::{OpenedObject, ReadOperation};

/// An object whose record opened. What it tells is authentic.
///
/// It holds the object's key in the engine's memory: a stop wipes that, and the object has to be
/// opened again after a start.
pub struct StoredObject {
    kms: Kms,
    object: Arc<OpenedObject>,
}

impl StoredObject {
    pub(super) fn new(kms: Kms, object: OpenedObject) -> Self {
        Self { kms, object: Arc::new(object) }
    }

    /// How it is protected.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.object.mode
    }

    /// The master key that it depends on; under SSE-C, that of its record.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        self.object.key_id()
    }

    /// The suite of its body.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.object.suite
    }

    /// Length of its plaintext in bytes.
    #[must_use]
    pub fn plain_size(&self) -> u64 {
        self.object.plain_size
    }

    /// Its ETag and checksums, as the host gave them.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.object.facts
    }

    /// In how many parts it was put; `None` if it was put whole.
    #[must_use]
    pub fn part_count(&self) -> Option<u16> {
        self.object.part_count
    }

    /// Its parts, in order; none if it was put whole or opened without its part table.
    pub fn parts(&self) -> impl Iterator<Item = PartInfo> {
        let bodies = self.object.layout.as_ref().map_or(&[][..], |layout| layout.bodies());
        bodies.iter().filter_map(|body| {
            let number = body.part?;
            Some(PartInfo { number, plain_start: body.start, plain_size: body.plain_size })
        })
    }

    /// Length of its sealed bytes, those of all its parts together.
    ///
    /// # Errors
    /// [`ObjectError::PartTableMissing`].
    pub fn sealed_size(&self) -> Result<u64, ObjectError> {
        Ok(self.layout()?.sealed_size())
    }

    /// A plan to read all of it.
    ///
    /// # Errors
    /// [`ObjectError::PartTableMissing`].
    pub fn whole(&self) -> Result<RangePlan, ObjectError> {
        Ok(RangePlan(self.layout()?.plan_whole()))
    }

    /// A plan to read a range of its plaintext.
    ///
    /// # Errors
    /// [`ObjectError::RangeNotSatisfiable`], [`ObjectError::PartTableMissing`].
    pub fn range(&self, range: ByteRange) -> Result<RangePlan, ObjectError> {
        let range = range.within(self.plain_size())?;
        Ok(RangePlan(self.layout()?.plan_range(range)))
    }

    /// A plan to read one part. An object that was put whole is its own part 1, as in S3.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchPart`], [`ObjectError::PartTableMissing`].
    pub fn part(&self, number: PartNumber) -> Result<RangePlan, ObjectError> {
        Ok(RangePlan(self.layout()?.plan_part(number)?))
    }

    /// Reads what `plan` is for. `reader` gives the plan's sealed ranges, one after the other, and
    /// ends with the last: for [`Self::whole`] that is all sealed bytes, parts in their order. The
    /// result is an [`AsyncRead`] and a [`Stream`], or an [`io::Read`], as `reader` is.
    ///
    /// # Errors
    /// [`Refused`](crate::error::Refused) if the engine does not run or was stopped since the
    /// object was opened, [`KeyError`](crate::error::KeyError) if the key's state does not allow it.
    pub async fn read<R>(&self, plan: RangePlan, reader: R) -> Result<ObjectReader<R>, Error> {
        let reading = self.begin(&plan).await?;
        Ok(ObjectReader { reader: WalkReader::new(plan.0, reading, reader) })
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
        let reading = self.begin(&plan).await?;
        Ok(RangedReader { reader: FetchReader::new(plan.0, reading, source) })
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
    ) -> Result<SealedObject<Buffered<RangedReader<S>>>, Error> {
        let reader = self.read_from(self.whole()?, source).await?;
        self.kms.seal_object(name, context, protection, reader).await
    }

    async fn begin(&self, plan: &RangePlan) -> Result<ReadOperation, Error> {
        if !self.object.layout.as_ref().is_some_and(|own| Arc::ptr_eq(own, &plan.0.layout)) {
            return Err(Error::ApiMisuse("the plan is of another object"));
        }
        let (plane, object) = (&self.kms.shared.plane, &self.object);
        self.kms.carry(None, |call| plane.begin_read(call, object)).await
    }

    fn layout(&self) -> Result<&Arc<Layout>, ObjectError> {
        self.object.layout.as_ref().ok_or(ObjectError::PartTableMissing)
    }
}

impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredObject").field("mode", &self.mode()).finish_non_exhaustive()
    }
}

/// One part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartInfo {
    /// Its number.
    pub number: PartNumber,
    /// Where its plaintext begins in the object's.
    pub plain_start: u64,
    /// Length of its plaintext in bytes.
    pub plain_size: u64,
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
    /// Plaintext of an object, opened as it is read from sealed bytes in their order: `AsyncRead`,
    /// or a `futures::Stream` of pieces of up to 64 KiB; `std::io::Read` where its input blocks.
    pub struct ObjectReader<R> {
        #[pin]
        reader: WalkReader<R, ReadOperation>,
    }
}

pin_project! {
    /// Plaintext of an object, opened as it is read from sealed bytes that are fetched:
    /// `AsyncRead`, or a `futures::Stream` of pieces of up to 64 KiB.
    pub struct RangedReader<S: RangedSource> {
        #[pin]
        reader: FetchReader<S, ReadOperation>,
    }
}

impl<R: io::Read> io::Read for ObjectReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

macro_rules! reads {
    (<$input:ident: $bound:ident> $reader:ident) => {
        impl<$input: $bound> AsyncRead for $reader<$input> {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.project().reader.poll_read(cx, buf)
            }
        }

        impl<$input: $bound> Stream for $reader<$input> {
            type Item = io::Result<Bytes>;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                self.project().reader.poll_next(cx)
            }
        }
    };
}

reads!(<R: AsyncRead> ObjectReader);
reads!(<S: RangedSource> RangedReader);

impl<R> fmt::Debug for ObjectReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader").finish_non_exhaustive()
    }
}

impl<S: RangedSource> fmt::Debug for RangedReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangedReader").finish_non_exhaustive()
    }
}

impl fmt::Debug for RangePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RangePlan").field(&self.plain()).finish()
    }
}
