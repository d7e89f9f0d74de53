//! Objects that are put whole.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::Kms;
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::object::{Facts, ObjectName, ObjectRecord, Protection, SealReader};
use crate::plane::Call;
use crate::plane::object::Subject;
use crate::plane::object::seal::{NewObject, SealOperation};

/// Stored objects.
impl Kms {
    /// Seals what `reader` gives as the object `name`, bound to its name and to `context`. The
    /// result reads as the sealed bytes; [`SealedObject::finish`] gives the record to store beside
    /// them.
    ///
    /// # Errors
    /// As [`Self::generate_data_key`].
    pub async fn seal_object<R: AsyncRead>(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
        reader: R,
    ) -> Result<SealedObject<R>, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let key = self.key_for(protection)?;
        let (operation, object) = self
            .carry(Some(&key), |call| plane.begin_object(call, &subject, &key, protection))
            .await?;
        let reader = SealReader::new(reader, operation, &[], object.header());
        Ok(SealedObject { reader, object })
    }

    /// Seals a small object of at most 64 KiB, in one go. Larger ones and those that come as a
    /// stream go through [`Self::seal_object`]; what is stored is the same.
    ///
    /// # Errors
    /// [`ObjectError::TooLong`](crate::error::ObjectError::TooLong), and as
    /// [`Self::generate_data_key`].
    pub async fn seal_small_object(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
        plain: &[u8],
        facts: &Facts,
    ) -> Result<SmallObject, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let key = self.key_for(protection)?;
        let seal =
            |call: &Call<'_>| plane.seal_small(call, &subject, &key, protection, (plain, facts));
        let (sealed, record) = self.carry(Some(&key), seal).await?;
        Ok(SmallObject { sealed, record })
    }
}

pin_project! {
    /// An object that is sealed as it is read.
    pub struct SealedObject<R> {
        #[pin]
        reader: SealReader<R, SealOperation>,
        object: NewObject,
    }
}

impl<R> SealedObject<R> {
    /// The record to store beside the sealed bytes, once all of them were read. `facts` are what
    /// the host found out about the plaintext meanwhile; they are sealed.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] before the end was read, [`Refused`](crate::error::Refused) if the
    /// engine was stopped since, [`KeyError`](crate::error::KeyError) if the key was disabled.
    pub fn finish(self, facts: &Facts) -> Result<ObjectRecord, Error> {
        self.object.finish(facts)
    }
}

impl<R: AsyncRead> AsyncRead for SealedObject<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().reader.poll_read(cx, buf)
    }
}

impl<R> fmt::Debug for SealedObject<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedObject").finish_non_exhaustive()
    }
}

/// A small object, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmallObject {
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// The record to store beside them.
    pub record: ObjectRecord,
}
