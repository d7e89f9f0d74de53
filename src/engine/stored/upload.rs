//! Objects that are put in parts.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::Kms;
use crate::context::EncryptionContext;
use crate::engine::objects::{AnyError, reads};
use crate::error::Error;
use crate::key::KeyId;
use crate::object::multipart::PartEntry;
use crate::object::stream::Turning;
use crate::object::{
    Buffered, CustomerKey, Facts, Items, Mode, ObjectName, ObjectRecord, PartNumber, PartRecord,
    PartTable, PollSource, Protection, ReadSource, Seal, UploadId, UploadRecord,
};
use crate::plane::Call;
use crate::plane::object::Subject;
use crate::plane::object::seal::SealOperation;
use crate::plane::object::upload::{NewPart, OpenUpload};

/// Uploads in parts.
impl Kms {
    /// Begins an upload in parts of the object `name`: one key for all of it. `id` is the host's
    /// own and new for each upload; without one, a random one is made.
    ///
    /// # Errors
    /// As [`Self::generate_data_key`].
    pub async fn create_upload(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
        id: Option<UploadId>,
    ) -> Result<Upload, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let (key, id) = (self.key_for(protection)?, id.as_ref());
        let create = |call: &Call<'_>| plane.create_upload(call, &subject, &key, protection, id);
        let (open, record) = self.carry(Some(&key), create).await?;
        Ok(Upload { kms: self.clone(), record, open: Arc::new(open) })
    }

    /// Opens the record of an upload that is under way, to seal parts of it or to complete it.
    /// `name` and `context` are those with which it was created.
    ///
    /// # Errors
    /// As [`Self::open_object`].
    pub async fn open_upload(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        record: &UploadRecord,
    ) -> Result<Upload, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let open = self.carry(None, |call| plane.open_upload(call, &subject, record)).await?;
        Ok(Upload { kms: self.clone(), record: record.clone(), open: Arc::new(open) })
    }
}

/// An upload in parts that is under way.
///
/// It holds the upload's key in the engine's memory: a stop wipes that, and the upload has to be
/// opened again after a start.
pub struct Upload {
    kms: Kms,
    record: UploadRecord,
    open: Arc<OpenUpload>,
}

impl Upload {
    /// The record to store until the upload is completed or aborted.
    #[must_use]
    pub fn record(&self) -> &UploadRecord {
        &self.record
    }

    /// The upload's id.
    #[must_use]
    pub fn id(&self) -> &UploadId {
        &self.open.id
    }

    /// How its parts are protected.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.open.mode
    }

    /// The master key that it depends on.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        self.open.key_id()
    }

    /// Seals what `reader` gives as part `number`. The result reads as the sealed bytes;
    /// [`SealedPart::finish`] gives the record to store beside them.
    ///
    /// A part that is uploaded again is sealed under another key than the first time. Copying a
    /// part of another object is sealing what its reader gives.
    ///
    /// # Errors
    /// [`CustomerKeyError`](crate::error::CustomerKeyError) if the customer key is not that of the
    /// upload; otherwise as [`Kms::seal_object`].
    pub async fn seal_part<R>(
        &self,
        number: PartNumber,
        customer_key: Option<&CustomerKey>,
        reader: R,
    ) -> Result<SealedPart<Buffered<R>>, Error> {
        self.seal_part_from(number, customer_key, Buffered::new(reader)).await
    }

    /// [`Self::seal_part`] of a stream of `Bytes`, sealed where they lie.
    ///
    /// # Errors
    /// As [`Self::seal_part`].
    pub async fn seal_part_stream<S, E>(
        &self,
        number: PartNumber,
        customer_key: Option<&CustomerKey>,
        stream: S,
    ) -> Result<SealedPart<Items<S>>, Error>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<AnyError>,
    {
        self.seal_part_from(number, customer_key, Items::new(stream)).await
    }

    async fn seal_part_from<I>(
        &self,
        number: PartNumber,
        customer_key: Option<&CustomerKey>,
        input: I,
    ) -> Result<SealedPart<I>, Error> {
        let (plane, open) = (&self.kms.shared.plane, &self.open);
        let (operation, part) =
            self.kms.carry(None, |call| plane.begin_part(call, open, number, customer_key)).await?;
        let turning = Turning::sealing(input, operation, &[], part.header());
        Ok(SealedPart { turning, part })
    }

    /// What `records` say of their parts: sizes, ETags, checksums.
    ///
    /// # Errors
    /// [`ObjectError::DoesNotOpen`](crate::error::ObjectError::DoesNotOpen) if one is not of this
    /// upload.
    pub async fn list_parts(&self, records: &[PartRecord]) -> Result<Vec<UploadedPart>, Error> {
        let (plane, open) = (&self.kms.shared.plane, &self.open);
        let listed = self.kms.disclose(|call| plane.list_parts(call, open, records)).await?;
        let part = |(entry, facts): (PartEntry, Facts)| {
            let PartEntry { number, plain_size, .. } = entry;
            UploadedPart { number, plain_size, facts }
        };
        Ok(listed.into_iter().map(part).collect())
    }

    /// Completes the upload: the parts of `records`, in that order, are the object. `facts` are its
    /// ETag and checksums. Parts that are not named are no part of it, whatever lies in the store.
    ///
    /// # Errors
    /// [`ObjectError::PartOrder`](crate::error::ObjectError::PartOrder) if the numbers do not
    /// ascend, and as [`Self::list_parts`].
    pub async fn complete(
        &self,
        records: &[PartRecord],
        facts: &Facts,
    ) -> Result<CompletedUpload, Error> {
        let (plane, open) = (&self.kms.shared.plane, &self.open);
        let (record, parts) =
            self.kms.carry(None, |call| plane.complete_upload(call, open, records, facts)).await?;
        Ok(CompletedUpload { record, parts })
    }
}

/// A part of an upload, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadedPart {
    /// Its number.
    pub number: PartNumber,
    /// Length of its plaintext in bytes.
    pub plain_size: u64,
    /// Its ETag and checksums, as the host gave them.
    pub facts: Facts,
}

/// What an upload came to: both to be stored beside the sealed bytes of the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletedUpload {
    /// The object's record.
    pub record: ObjectRecord,
    /// The table of its parts.
    pub parts: PartTable,
}

pin_project! {
    /// A part that is sealed as it is read: `AsyncRead`, or a `futures::Stream` of pieces of up to
    /// 64 KiB; `std::io::Read` where its input blocks.
    pub struct SealedPart<I> {
        #[pin]
        turning: Turning<I, Seal, SealOperation>,
        part: NewPart,
    }
}

reads!(SealedPart);

impl<I> SealedPart<I> {
    /// The record to store beside the part's sealed bytes, once all of them were read.
    ///
    /// # Errors
    /// As [`SealedObject::finish`](super::SealedObject::finish).
    pub fn finish(self, facts: &Facts) -> Result<PartRecord, Error> {
        self.part.finish(facts)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("id", self.id()).finish_non_exhaustive()
    }
}
