//! Objects of an object store: sealed, opened whole or by range, put in parts, re-sealed.
//!
//! What an object store keeps of an object are its sealed bytes, exactly those of C2SP
//! chunked-encryption, and beside them an [`ObjectRecord`]. For one that was put in parts there
//! are the sealed bytes of each part, the record, and a [`PartTable`].
//! [`crate::manual::objects`] shows the whole of it.

mod opened;
mod sealed;
mod upload;

use super::Kms;
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::KeyId;
use crate::object::{CustomerKey, Facts, ObjectName, ObjectRecord, PartTable, Protection};
use crate::plane::object::Subject;
use crate::plane::{Call, TryError};

pub use opened::{ObjectReader, PartInfo, RangePlan, RangedReader, StoredObject};
pub use sealed::{SealedObject, SmallObject};
pub use upload::{CompletedUpload, SealedPart, Upload, UploadedPart};

/// Stored objects.
impl Kms {
    /// Opens a small object of at most 64 KiB, in one go: its plaintext, which is the host's to
    /// wipe, and what is known of it. `sealed` is the whole of its sealed bytes.
    ///
    /// # Errors
    /// As [`Self::open_object`]; [`ObjectError`](crate::error::ObjectError) if the body does not
    /// open, was put in parts or is longer.
    pub async fn open_small_object(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        record: &ObjectRecord,
        customer_key: Option<&CustomerKey>,
        sealed: &[u8],
    ) -> Result<(Vec<u8>, Facts), Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let (mut plain, facts) = self
            .disclose(|call| plane.open_small(call, &subject, record, customer_key, sealed))
            .await?;
        Ok((core::mem::take(&mut *plain), facts))
    }

    /// Opens the record of an object: what it says is authentic from here on, and its body can be
    /// read, whole, by range and by part. `name` and `context` are those under which it was sealed.
    ///
    /// `parts` is the part table of an object that was put in parts. Without it sizes and facts are
    /// told, and nothing is read. `customer_key` comes with an object under SSE-C, and only then.
    ///
    /// # Errors
    /// [`EnvelopeError`](crate::error::EnvelopeError) if name or context are not the object's,
    /// [`ObjectError::DoesNotOpen`](crate::error::ObjectError::DoesNotOpen) if the record was
    /// changed or the table is not its own,
    /// [`CustomerKeyError`](crate::error::CustomerKeyError) if the customer key is not right,
    /// [`KeyError`](crate::error::KeyError) if the master key's state does not allow it.
    pub async fn open_object(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        record: &ObjectRecord,
        parts: Option<&PartTable>,
        customer_key: Option<&CustomerKey>,
    ) -> Result<StoredObject, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let opened = self
            .disclose(|call| plane.open_object(call, &subject, record, parts, customer_key))
            .await?;
        Ok(StoredObject::new(self.clone(), opened))
    }

    /// The same object with its key wrapped anew: under the current version of its master key or,
    /// where `to` says so, in another mode under another key. The body, the part table and the
    /// context stay as they are, and no plaintext is touched.
    ///
    /// # Errors
    /// [`ObjectError::NeedsReseal`](crate::error::ObjectError::NeedsReseal) if the mode is or would
    /// become SSE-C: that changes the body. Otherwise as [`Self::open_object`] and
    /// [`Self::seal_object`].
    pub async fn rewrap_object(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        record: &ObjectRecord,
        to: Option<Protection<'_>>,
    ) -> Result<RewrappedObject, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let (to, key) = match to {
            Some(to) => {
                let key = self.key_for(to)?;
                (Some((to.mode(), key.clone())), key)
            }
            None => (None, record.key_id()?),
        };
        let to = to.as_ref().map(|(mode, key)| (*mode, key));
        let rewrapped =
            self.carry(Some(&key), |call| plane.rewrap_object(call, &subject, record, to)).await?;
        Ok(match rewrapped {
            Some(record) => RewrappedObject { record, changed: true },
            None => RewrappedObject { record: record.clone(), changed: false },
        })
    }

    /// The master key that `protection` asks for.
    fn key_for(&self, protection: Protection<'_>) -> Result<KeyId, Error> {
        match protection {
            Protection::SseKms { key: Some(key) } => Ok(key.clone()),
            Protection::SseS3 | Protection::SseKms { key: None } | Protection::SseC { .. } => {
                self.default_key()
            }
        }
    }

    /// [`Self::carry`] for what tells of a plaintext: once its record is as durable as the
    /// configuration wants it is done again, because a stop or a change of the key may have come
    /// meanwhile, and released in the section that does it.
    async fn disclose<R>(
        &self,
        work: impl Fn(&Call<'_>) -> Result<R, TryError>,
    ) -> Result<R, Error> {
        let (result, unwritten) = self.attempt(None, &work).await?;
        let Some(ticket) = unwritten else {
            return Ok(result);
        };
        drop(result);
        self.shared.trail.written(ticket).await?;
        let (result, _) = self.attempt_as(|| Call::recorded(&self.caller), None, &work).await?;
        Ok(result)
    }
}

/// What rewrapping an object came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrappedObject {
    /// The record to store in place of the old one.
    pub record: ObjectRecord,
    /// Whether it is another: it is the same, byte for byte, where it was current already.
    pub changed: bool,
}
