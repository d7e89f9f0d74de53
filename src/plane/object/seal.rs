//! Objects that are put whole, as a stream: an operation that passes the gate for each chunk, and
//! the record once the stream has ended.

use std::sync::{Arc, OnceLock};

use super::{NewKeys, ObjectKeys, Protected, Subject};
use crate::audit::{self, ErrorClass, Outcome};
use crate::error::Error;
use crate::gate::Class;
use crate::key::KeyId;
use crate::object::keys::RecordKeys;
use crate::object::record::{Body, MAGIC, Record};
use crate::object::run::{self, Run};
use crate::object::{ChunkCipher, Direction, Facts, Header, ObjectRecord, Operation, Protection};
use crate::plane::under_way::{KeyUnderWay, UnderWay, begin_record};
use crate::plane::{Call, Plane, TryError};
use crate::secret::StackKey;

/// A body that is being sealed.
pub(crate) struct SealOperation {
    under_way: UnderWay,
    sealed: SealedBytes,
}

/// How long a plaintext was, once all of it was sealed and handed out.
#[derive(Clone, Default)]
pub(crate) struct SealedBytes(Arc<OnceLock<u64>>);

impl SealedBytes {
    /// The length in bytes.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] before the end.
    pub(super) fn at_the_end(&self) -> Result<u64, Error> {
        let too_early = Error::ApiMisuse("a record is made once all sealed bytes were read");
        self.0.get().copied().ok_or(too_early)
    }
}

impl SealOperation {
    pub(super) fn new(under_way: UnderWay) -> (Self, SealedBytes) {
        let sealed = SealedBytes::default();
        (Self { under_way, sealed: sealed.clone() }, sealed)
    }
}

impl Operation for SealOperation {
    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.under_way.with_cipher(work)
    }

    fn run<D: Direction>(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        run::turn::<D, _>(&self.under_way, first, input, out)
    }

    fn finished(&mut self, plain_bytes: u64) {
        // A stream ends once.
        let _ = self.sealed.0.set(plain_bytes);
        self.under_way.end(Outcome::Succeeded);
    }

    fn failed(&mut self, error: &Error) {
        self.under_way.end(Outcome::Failed(ErrorClass::from(error)));
    }
}

/// An object whose body is being sealed: what its record will say.
pub(crate) struct NewObject {
    protected: Protected,
    keys: ObjectKeys,
    header: Header,
    sealed: SealedBytes,
}

impl Plane {
    /// Begins to seal an object under a new key, which `key` wraps.
    pub(crate) fn begin_object(
        self: &Arc<Self>,
        call: &Call<'_>,
        subject: &Subject,
        key: &KeyId,
        protection: Protection<'_>,
    ) -> Result<(SealOperation, NewObject), TryError> {
        let bound = subject.object();
        let ticket = self.register()?;
        let (protected, keys, header) = self.section(Class::Write, |section| {
            let mut record = section.record(call, audit::Operation::Seal)?;
            subject.name_in(&mut record);
            record.key = Some(key);
            let mut new = NewKeys::blank();
            let begun = section.new_object(call, key, &bound, protection, &mut new);
            let begun = begun.and_then(|(protected, under)| {
                record.version = Some(under.version);
                let mut input_key = StackKey::blank();
                new.input_key(&bound.canonical, &mut input_key)?;
                let (cipher, header) =
                    section.new_body(protected.suite, &input_key, &bound.canonical)?;
                ticket.begin(cipher)?;
                let master = KeyUnderWay::new(section, key, under)?;
                let keys = ObjectKeys::new(self, section, master, &new.object_key, None)?;
                Ok((protected, keys, header))
            });
            begin_record(section, &record, begun)
        })?;
        let name = Some(subject.name.clone());
        let master = keys.master.clone();
        let under_way = UnderWay::new(self, call, ticket, Class::Write, master, name);
        let (operation, sealed) = SealOperation::new(under_way);
        Ok((operation, NewObject { protected, keys, header, sealed }))
    }
}

impl NewObject {
    /// What stands before the first chunk.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The object's record, once its body was sealed.
    pub(crate) fn finish(&self, facts: &Facts) -> Result<ObjectRecord, Error> {
        let plain_size = self.sealed.at_the_end()?;
        let made = self.keys.in_section(Class::Write, |section, object_key| {
            let keys = RecordKeys::of(object_key);
            let facts = keys.seal_facts(MAGIC, section.random()?, facts)?;
            let body = Body::Whole { salt: self.header.salt() };
            let head = self.protected.head();
            Ok(Record::encode(&head, plain_size, body, &facts, |bytes| keys.mac(bytes)))
        });
        made.map_err(TryError::into_waitless)
    }
}
