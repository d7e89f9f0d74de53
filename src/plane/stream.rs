//! Sealing and opening streams: an operation that passes the gate for each chunk.
//!
//! A sealed stream is `envelope || object`: the wrapped key of the object, then C2SP
//! chunked-encryption v1 under it. The context is bound twice, by the envelope and by the object.

use std::sync::Arc;

use super::data_key::{Binding, Bound, name_key};
use super::operations::{AsOperations, Operations, Registered};
use super::under_way::{KeyUnderWay, UnderWay, begin_record};
use super::{Call, Plane, Section, TryError, unreachable_failure};
use crate::audit::{self, Outcome};
use crate::context::{ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Envelope, Purpose, WrappedKey};
use crate::error::Error;
use crate::gate::Class;
use crate::key::KeyId;
use crate::object::{ChunkCipher, Header, Operation, Suite};
use crate::secret::StackKey;

/// A stream that is being sealed or opened.
pub(crate) struct StreamOperation {
    under_way: UnderWay,
    /// What opening needs until the object's header has come.
    pending: Option<Pending>,
}

struct Pending {
    wrapped: WrappedKey,
    bound: Bound,
    suite: Suite,
}

impl AsOperations for Plane {
    fn operations(&self) -> &Operations {
        &self.operations
    }
}

impl Plane {
    /// Begins to seal an object under a new key: the operation, the envelope and the header.
    pub(crate) fn begin_seal(
        self: &Arc<Self>,
        call: &Call<'_>,
        key: &KeyId,
        suite: Suite,
        context: &EncryptionContext,
    ) -> Result<(StreamOperation, WrappedKey, Header), TryError> {
        let bound = Bound::new(context, ContextKind::Object, &OBJECT_FIELDS);
        let ticket = Operations::register(Arc::clone(self) as Arc<dyn AsOperations>)?;
        let begun = self.section(Class::Write, |section| {
            let mut record = section.record(call, audit::Operation::Seal)?;
            record.key = Some(key);
            let begun = section.seal_first(call, &ticket, key, suite, &bound);
            record.version = begun.as_ref().ok().map(|begun| begun.0.version());
            begin_record(section, &record, begun)
        })?;
        let (key, wrapped, header) = begun;
        let under_way = UnderWay::new(self, call, ticket, Class::Write, key, None);
        let operation = StreamOperation { under_way, pending: None };
        Ok((operation, wrapped, header))
    }

    /// Begins to open the object whose key is in `wrapped`. The key is unwrapped now, so that what
    /// does not open is known before a byte of the body is read.
    pub(crate) fn begin_open(
        self: &Arc<Self>,
        call: &Call<'_>,
        wrapped: &WrappedKey,
        suite: Suite,
        context: &EncryptionContext,
    ) -> Result<StreamOperation, TryError> {
        let envelope = Envelope::parse(wrapped.as_bytes())?;
        let bound = Bound::new(context, ContextKind::Object, &OBJECT_FIELDS);
        let ticket = Operations::register(Arc::clone(self) as Arc<dyn AsOperations>)?;
        let key = self.section(Class::Read, |section| {
            let mut record = section.record(call, audit::Operation::Open)?;
            name_key(&mut record, &envelope);
            let mut data_key = StackKey::blank();
            let opened =
                section.unwrap(&envelope, Purpose::ObjectKey, &bound.digest, &mut data_key);
            let opened =
                opened.and_then(|under| KeyUnderWay::of_envelope(section, &envelope, under));
            begin_record(section, &record, opened)
        })?;
        let under_way = UnderWay::new(self, call, ticket, Class::Read, key, None);
        let pending = Some(Pending { wrapped: wrapped.clone(), bound, suite });
        Ok(StreamOperation { under_way, pending })
    }
}

impl Section<'_> {
    fn seal_first(
        &self,
        call: &Call<'_>,
        ticket: &Registered,
        key: &KeyId,
        suite: Suite,
        bound: &Bound,
    ) -> Result<(KeyUnderWay, WrappedKey, Header), TryError> {
        let mut data_key = StackKey::blank();
        let to = Binding {
            purpose: Purpose::ObjectKey,
            spec: DataKeySpec::AES_256,
            key_id: key,
            context: &bound.digest,
        };
        let (wrapped, under) = self.wrap_new(call, &to, &mut data_key)?;
        let salt = self.plane.random.array(self.stripe).map_err(|_| Error::Randomness)?;
        let context = bound.canonical.as_bytes();
        let (cipher, header) = ChunkCipher::for_sealing(suite, data_key.expose(), salt, context)
            .map_err(unreachable_failure)?;
        ticket.begin(cipher)?;
        Ok((KeyUnderWay::new(self, key, under)?, wrapped, header))
    }
}

impl Operation for StreamOperation {
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let envelope = Envelope::parse(pending.wrapped.as_bytes())?;
        self.under_way.in_section(|section, ticket| {
            let (purpose, digest) = (Purpose::ObjectKey, &pending.bound.digest);
            let mut data_key = StackKey::blank();
            section.unwrap(&envelope, purpose, digest, &mut data_key)?;
            let context = pending.bound.canonical.as_bytes();
            let key = data_key.expose();
            let cipher = ChunkCipher::for_opening(pending.suite, key, header, context)?;
            Ok(ticket.begin(cipher)?)
        })
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.under_way.with_cipher(work)
    }

    fn finished(&mut self, _plain_bytes: u64) {
        self.under_way.end(Outcome::Succeeded);
    }
}

/// Bucket and name of an object that has neither: a file, a stream.
pub(crate) const OBJECT_FIELDS: [&[u8]; 2] = [b"", b""];
