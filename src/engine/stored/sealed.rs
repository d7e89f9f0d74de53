//! Objects that are put whole.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use super::Kms;
use crate::context::EncryptionContext;
use crate::engine::objects::{AnyError, reads};
use crate::error::Error;
use crate::object::stream::Turning;
use crate::object::{
    Buffered, Facts, Items, ObjectName, ObjectRecord, PollSource, Protection, ReadSource, Seal,
};
use crate::plane::Call;
use crate::plane::object::Subject;
use crate::plane::object::seal::{NewObject, SealOperation};

/// Stored objects.
impl Kms {
    /// Seals what `reader` gives as the object `name`, bound to its name and to `context`. The
    /// result reads as the sealed bytes, in constant memory; [`SealedObject::finish`] gives the
    /// record to store beside them. `reader` is an [`AsyncRead`] or an [`io::Read`], and so is the
    /// result.
    ///
    /// # Errors
    /// As [`Self::generate_data_key`].
    pub async fn seal_object<R>(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
        reader: R,
    ) -> Result<SealedObject<Buffered<R>>, Error> {
        self.seal_object_from(name, context, protection, Buffered::new(reader)).await
    }

    /// [`Self::seal_object`] of a stream of `Bytes`, sealed where they lie: the body of a request,
    /// as HTTP servers hand it over.
    ///
    /// # Errors
    /// As [`Self::seal_object`].
    pub async fn seal_object_stream<S, E>(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
        stream: S,
    ) -> Result<SealedObject<Items<S>>, Error>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<AnyError>,
    {
        self.seal_object_from(name, context, protection, Items::new(stream)).await
    }

    async fn seal_object_from<I>(
        &self,
        name: &ObjectName,
        context: &EncryptionContext,
        protection: Protection<'_>,
        input: I,
    ) -> Result<SealedObject<I>, Error> {
        let (plane, subject) = (&self.shared.plane, Subject::new(name, context));
        let key = self.key_for(protection)?;
        let (operation, object) = self
            .carry(Some(&key), |call| plane.begin_object(call, &subject, &key, protection))
            .await?;
        let turning = Turning::sealing(input, operation, &[], object.header());
        Ok(SealedObject { turning, object })
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
    /// An object that is sealed as it is read: `AsyncRead`, or a `futures::Stream` of pieces of up
    /// to 64 KiB; `std::io::Read` where its input blocks.
    pub struct SealedObject<I> {
        #[pin]
        turning: Turning<I, Seal, SealOperation>,
        object: NewObject,
    }
}

reads!(SealedObject);

impl<I> SealedObject<I> {
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

/// A small object, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmallObject {
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// The record to store beside them.
    pub record: ObjectRecord,
}
