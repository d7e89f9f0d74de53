//! Sealing and opening streams: an operation that passes the gate for each chunk.
//!
//! A sealed stream is `envelope || object`: the wrapped key of the object, then C2SP
//! chunked-encryption v1 under it. The context is bound twice, by the envelope and by the object.

use std::sync::Arc;

use rayon_core::ThreadPool;

use super::data_key::{Binding, Bound, name_key};
use super::operations::{AsOperations, Operations, Registered};
use super::under_way::{KeyUnderWay, UnderWay, begin_record};
use super::{Call, Plane, Section, TryError, unreachable_failure};
use crate::audit::{self, ErrorClass, Outcome};
use crate::context::{CanonicalContext, ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Envelope, Purpose, WrappedKey};
use crate::error::{Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PARALLEL_BYTES_MIN;
use crate::object::run::{self, Run, Sections};
use crate::object::{ChunkCipher, Direction, Header, Operation, Suite};
use crate::secret::{Secret, StackKey};

/// A stream that is being sealed or opened.
pub(crate) struct StreamOperation {
    under_way: UnderWay,
    /// What opening needs, beside the data key in its ticket, until the object's header has come.
    pending: Option<Pending>,
    /// Threads that may help with long runs.
    help: Option<Arc<ThreadPool>>,
}

struct Pending {
    context: CanonicalContext,
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
        let ticket = self.register()?;
        let begun = self.section(Class::Write, |section| {
            let mut record = section.record(call, audit::Operation::Seal)?;
            record.key = Some(key);
            let begun = section.seal_first(call, &ticket, key, suite, &bound);
            record.version = begun.as_ref().ok().map(|begun| begun.0.version());
            begin_record(section, &record, begun)
        })?;
        let (key, wrapped, header) = begun;
        let under_way = UnderWay::new(self, call, ticket, Class::Write, key, None);
        let operation = StreamOperation { under_way, pending: None, help: None };
        Ok((operation, wrapped, header))
    }

    /// Begins to open the object whose key is in `wrapped`. The key is unwrapped now and held by the
    /// operation's ticket: what does not open is known before a byte of the body is read, and what
    /// does goes on opening though another generation takes over before the header has come.
    pub(crate) fn begin_open(
        self: &Arc<Self>,
        call: &Call<'_>,
        wrapped: &WrappedKey,
        suite: Suite,
        context: &EncryptionContext,
    ) -> Result<StreamOperation, TryError> {
        let envelope = Envelope::parse(wrapped.as_bytes())?;
        let bound = Bound::new(context, ContextKind::Object, &OBJECT_FIELDS);
        let ticket = self.register()?;
        let key = self.section(Class::Read, |section| {
            let mut record = section.record(call, audit::Operation::Open)?;
            name_key(&mut record, &envelope);
            let mut data_key = StackKey::blank();
            let opened =
                section.unwrap(call, &envelope, Purpose::ObjectKey, &bound.digest, &mut data_key);
            let opened = opened.and_then(|under| {
                let held = Secret::copy_of(data_key.expose()).ok_or(ObjectError::DoesNotOpen)?;
                ticket.hold(held)?;
                KeyUnderWay::of_envelope(section, &envelope, under)
            });
            begin_record(section, &record, opened)
        })?;
        let under_way = UnderWay::new(self, call, ticket, Class::Read, key, None);
        let pending = Some(Pending { context: bound.canonical, suite });
        Ok(StreamOperation { under_way, pending, help: None })
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
        let Pending { context, suite } = pending;
        self.under_way.in_section(|_, ticket| {
            let context = context.as_bytes();
            let begun = ticket.derive(|key| ChunkCipher::for_opening(suite, key, header, context));
            Ok(begun?)
        })
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.under_way.with_cipher(work)
    }

    fn run<D: Direction>(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        let help = self.help.as_deref().filter(|_| out.len() >= PARALLEL_BYTES_MIN);
        match help {
            Some(pool) => run::turn_on::<D, _>(pool, &*self, first, input, out),
            None => run::turn::<D, _>(&*self, first, input, out),
        }
    }

    fn finished(&mut self, _plain_bytes: u64) {
        self.under_way.end(Outcome::Succeeded);
    }

    fn failed(&mut self, error: &Error) {
        self.under_way.end(Outcome::Failed(ErrorClass::from(error)));
    }
}

impl Sections for StreamOperation {
    fn section<T>(
        &self,
        work: impl FnOnce(&ChunkCipher, &dyn Fn() -> bool) -> T,
    ) -> Result<T, Error> {
        let done = self.under_way.pass(|section, ticket| {
            Ok(ticket.with_cipher(|cipher| work(cipher, &|| section.is_open()))?)
        });
        done.map_err(TryError::into_waitless)
    }
}

impl StreamOperation {
    /// Lets the threads of `pool` help with runs that are long enough. Only for forms that may
    /// block their caller's thread.
    pub(crate) fn helped_by(self, pool: Option<Arc<ThreadPool>>) -> Self {
        Self { help: pool, ..self }
    }
}

/// Bucket and name of an object that has neither: a file, a stream.
pub(crate) const OBJECT_FIELDS: [&[u8]; 2] = [b"", b""];
