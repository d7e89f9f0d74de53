//! Sealing and opening streams: an operation that passes the gate for each chunk.
//!
//! A sealed stream is `envelope || object`: the wrapped key of the object, then C2SP
//! chunked-encryption v1 under it. The context is bound twice, by the envelope and by the object.

use std::sync::Arc;

use super::data_key::{Binding, Bound, WrappedUnder, name_key};
use super::operations::{AsOperations, Operations, Registered};
use super::remote::Held;
use super::{Call, Plane, Recording, Section, TryError, unreachable_failure};
use crate::audit::{self, Caller, ErrorClass, Outcome, RecordRef, Stage};
use crate::context::{ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Envelope, Purpose, WrappedKey};
use crate::error::{Error, KeyError};
use crate::gate::{Class, stripe_of_thread};
use crate::key::table::KeyCell;
use crate::key::{KeyId, KeyVersion, VersionTag};
use crate::object::{ChunkCipher, Header, Operation, Suite};
use crate::secret::StackKey;

/// An object that is being sealed or opened.
pub(crate) struct StreamOperation {
    plane: Arc<Plane>,
    ticket: Registered,
    caller: Caller,
    class: Class,
    key: KeyUnderWay,
    /// What opening needs until the object's header has come.
    pending: Option<Pending>,
    /// Whether the generation that it began in records what is done.
    is_audited: bool,
    ended: bool,
}

/// The master key version that a stream depends on.
struct KeyUnderWay {
    id: KeyId,
    version: KeyVersion,
    tag: VersionTag,
    cell: Arc<KeyCell>,
    /// The generation that the cell belongs to.
    generation: u64,
}

impl KeyUnderWay {
    /// Whether the stream may go on.
    ///
    /// After a swap to another store, that store's word counts where it has the key; where it has
    /// not, nobody can have taken the key away, and the stream goes on with the data key it has.
    fn check(&self, section: &Section<'_>, class: Class) -> Result<(), Error> {
        let Self { version, tag, .. } = *self;
        if section.generation.number == self.generation {
            return self.cell.view().check_stream(class, version, tag);
        }
        section.generation.keys.with(&self.id, |cell| match cell.map(|cell| cell.view()) {
            Some(view) if view.knows(version, tag) => view.check_stream(class, version, tag),
            Some(_) | None => Ok(()),
        })
    }
}

struct Pending {
    wrapped: WrappedKey,
    bound: Bound,
    suite: Suite,
    /// The data key, where the backend unwrapped it beyond this process.
    held: Option<Arc<Held>>,
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
            record.version = begun.as_ref().ok().map(|begun| begun.0.version);
            begin_record(section, &record, begun)
        })?;
        let (key, wrapped, header) = begun;
        let operation = StreamOperation {
            plane: Arc::clone(self),
            ticket,
            caller: call.caller.clone(),
            class: Class::Write,
            key,
            pending: None,
            is_audited: call.was_recorded(),
            ended: false,
        };
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
                section.unwrap(call, &envelope, Purpose::ObjectKey, &bound.digest, &mut data_key);
            let opened = opened.and_then(|WrappedUnder { version, tag }| {
                let id = KeyId::new(envelope.named()?.key_id)?;
                let (cell, generation) = (section.cell(&id)?, section.generation.number);
                Ok(KeyUnderWay { id, version, tag, cell, generation })
            });
            begin_record(section, &record, opened)
        })?;
        Ok(StreamOperation {
            plane: Arc::clone(self),
            ticket,
            caller: call.caller.clone(),
            class: Class::Read,
            key,
            pending: Some(Pending { wrapped: wrapped.clone(), bound, suite, held: call.held() }),
            is_audited: call.was_recorded(),
            ended: false,
        })
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
        let WrappedUnder { version, tag } = under;
        let (cell, generation) = (self.cell(key)?, self.generation.number);
        let key = KeyUnderWay { id: key.clone(), version, tag, cell, generation };
        Ok((key, wrapped, header))
    }

    fn cell(&self, id: &str) -> Result<Arc<KeyCell>, TryError> {
        self.generation.keys.with(id, |cell| cell.cloned()).ok_or(KeyError::NotFound.into())
    }
}

impl Operation for StreamOperation {
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let envelope = Envelope::parse(pending.wrapped.as_bytes())?;
        let (ticket, key_under_way) = (&self.ticket, &self.key);
        let call = Call::new(&self.caller, false);
        let begun = self.plane.section(Class::Read, |section| {
            let (purpose, digest) = (Purpose::ObjectKey, &pending.bound.digest);
            let mut data_key = StackKey::blank();
            match &pending.held {
                None => {
                    section.unwrap(&call, &envelope, purpose, digest, &mut data_key)?;
                }
                Some(held) => {
                    key_under_way.check(section, Class::Read)?;
                    held.read(section, &mut data_key)?;
                }
            }
            let context = pending.bound.canonical.as_bytes();
            let key = data_key.expose();
            let cipher = ChunkCipher::for_opening(pending.suite, key, header, context)?;
            Ok(ticket.begin(cipher)?)
        });
        begun.map_err(|error| self.cut(error))
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        let (key, ticket, class) = (&self.key, &self.ticket, self.class);
        let done = self.plane.section(class, |section| {
            key.check(section, class)?;
            Ok(ticket.with_cipher(work)?)
        });
        done.map_err(|error| self.cut(error))
    }

    fn finished(&mut self, _plain_bytes: u64) {
        self.end(Outcome::Succeeded);
    }
}

impl StreamOperation {
    fn cut(&mut self, error: TryError) -> Error {
        let error = match error {
            TryError::Failed(error) => error,
            TryError::NeedsHop(_) => Error::Unreachable("a chunk waits for nothing"),
        };
        self.end(Outcome::Failed(ErrorClass::from(&error)));
        error
    }

    /// Records the stream's end, once, without a permit: what cuts a stream is often a gate that is
    /// shut. Its beginning was accepted before a byte of it was released, so an end that finds the
    /// buffers full is counted and not waited for.
    fn end(&mut self, outcome: Outcome) {
        if core::mem::replace(&mut self.ended, true) || !self.is_audited {
            return;
        }
        let operation = match self.class {
            Class::Read => audit::Operation::Open,
            Class::Write => audit::Operation::Seal,
        };
        let (clock, audit) = (&self.plane.clock, &self.plane.audit);
        let record = RecordRef {
            stage: Stage::Outcome,
            outcome,
            key: Some(&self.key.id),
            key_version: Some(self.key.version),
            generation: self.plane.status.load().generation,
            ..RecordRef::event(&self.caller, operation, clock.wall())
        };
        let _ = audit.accept(stripe_of_thread(), &record, clock.boot());
    }
}

impl Drop for StreamOperation {
    fn drop(&mut self) {
        self.end(Outcome::Failed(ErrorClass::Abandoned));
    }
}

/// Records that a stream begins: its intent, or why it does not.
fn begin_record<R>(
    section: &Section<'_>,
    record: &Recording<'_>,
    begun: Result<R, TryError>,
) -> Result<R, TryError> {
    match begun {
        Ok(begun) => {
            section.accept(record, Stage::Intent, Outcome::Pending)?;
            Ok(begun)
        }
        Err(error) => section.release(record, Err(error), |_| {}),
    }
}

/// Bucket and name of an object that has neither: a file, a stream.
pub(crate) const OBJECT_FIELDS: [&[u8]; 2] = [b"", b""];
