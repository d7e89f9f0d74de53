//! Objects that are opened: their records, and the operation that reads their bodies.

use std::sync::Arc;

use super::{ObjectKeys, Subject, open_customer};
use crate::audit::{self, ErrorClass, Outcome, Stage};
use crate::context::CanonicalContext;
use crate::envelope::Envelope;
use crate::error::{Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::object::keys::RecordKeys;
use crate::object::multipart::total_plain_size;
use crate::object::range::{BodyLayout, Layout};
use crate::object::record::{Body, MAGIC, Record};
use crate::object::run::{self, Run};
use crate::object::{
    ChunkCipher, CustomerKey, Facts, Header, Mode, ObjectRecord, Open, PartTable, Reading, Suite,
};
use crate::plane::data_key::name_key;
use crate::plane::under_way::UnderWay;
use crate::plane::{Call, Plane, TryError, unreachable_failure};
use crate::secret::StackKey;

/// An object whose record opened.
pub(crate) struct OpenedObject {
    pub(crate) subject: Subject,
    pub(crate) mode: Mode,
    pub(crate) suite: Suite,
    pub(crate) plain_size: u64,
    pub(crate) part_count: Option<u16>,
    pub(crate) facts: Facts,
    /// Absent where the object was put in parts and opened without its part table.
    pub(crate) layout: Option<Arc<Layout>>,
    /// The upload that it came of.
    upload: Option<Box<str>>,
    keys: ObjectKeys,
}

impl OpenedObject {
    /// The master key that it depends on.
    pub(crate) fn key_id(&self) -> &KeyId {
        self.keys.master.id()
    }

    /// The context of the body `body`.
    fn context_of(&self, body: &BodyLayout) -> Result<CanonicalContext, Error> {
        match (&self.upload, body.part) {
            (None, None) => Ok(self.subject.object().canonical),
            (Some(upload), Some(number)) => Ok(self.subject.part(upload, number)),
            (None, Some(_)) | (Some(_), None) => {
                Err(Error::Unreachable("a body that its object does not have"))
            }
        }
    }
}

impl Plane {
    /// Opens the record of an object: what is known of it, and its keys on lease.
    pub(crate) fn open_object(
        self: &Arc<Self>,
        call: &Call<'_>,
        subject: &Subject,
        record: &ObjectRecord,
        parts: Option<&PartTable>,
        customer_key: Option<&CustomerKey>,
    ) -> Result<OpenedObject, TryError> {
        let parsed = record.parsed();
        let (layout, matches) = layout(&parsed, parts);
        let bound = subject.object();
        let envelope = Envelope::parse(parsed.head.envelope)?;
        self.section(Class::Read, |section| {
            let mut recording = section.record(call, audit::Operation::Inspect)?;
            subject.name_in(&mut recording);
            name_key(&mut recording, &envelope);
            let mut object_key = StackKey::blank();
            let mut prk = StackKey::blank();
            let opened = section.open_head(call, &parsed.head, &bound, &mut object_key);
            let opened = opened.and_then(|master| {
                let keys = RecordKeys::of(&object_key);
                keys.check(parsed.authenticated, parsed.mac)?;
                if !matches {
                    return Err(ObjectError::DoesNotOpen.into());
                }
                open_customer(parsed.head.customer.as_ref(), customer_key, &mut prk)?;
                let facts = keys.open_facts(MAGIC, parsed.facts)?;
                let customer = parsed.head.customer.map(|_| &prk);
                let keys = ObjectKeys::new(self, section, master, &object_key, customer)?;
                let (part_count, upload) = match parsed.body {
                    Body::Whole { .. } => (None, None),
                    Body::Parts { count, upload, .. } => (Some(count), Some(Box::from(upload))),
                };
                Ok(OpenedObject {
                    subject: subject.clone(),
                    mode: parsed.head.mode,
                    suite: parsed.head.suite,
                    plain_size: parsed.plain_size,
                    part_count,
                    facts,
                    layout: layout.map(Arc::new),
                    upload,
                    keys,
                })
            });
            section.release(&recording, opened, |_| {})
        })
    }

    /// Begins to read bodies of `object`.
    pub(crate) fn begin_read(
        self: &Arc<Self>,
        call: &Call<'_>,
        object: &Arc<OpenedObject>,
    ) -> Result<ReadOperation, TryError> {
        let ticket = self.register()?;
        let master = &object.keys.master;
        self.section(Class::Read, |section| {
            let mut recording = section.record(call, audit::Operation::Open)?;
            object.subject.name_in(&mut recording);
            recording.key = Some(master.id());
            recording.version = Some(master.version());
            let usable = master.check(section, Class::Read).map_err(TryError::from);
            let usable = usable.and_then(|()| object.keys.object_key.read(&mut StackKey::blank()));
            match usable {
                Ok(()) => section.accept(&recording, Stage::Intent, Outcome::Pending),
                Err(error) => section.release(&recording, Err(error), |()| {}),
            }
        })?;
        let name = Some(object.subject.name.clone());
        let under_way = UnderWay::new(self, call, ticket, Class::Read, master.clone(), name);
        Ok(ReadOperation { under_way, object: Arc::clone(object) })
    }
}

/// The bodies that a record and a part table describe, and whether the table is the record's.
fn layout(record: &Record<'_>, parts: Option<&PartTable>) -> (Option<Layout>, bool) {
    match (record.body, parts) {
        (Body::Whole { salt }, None) => (Some(Layout::whole(record.plain_size, *salt)), true),
        (Body::Whole { .. }, Some(_)) => (None, false),
        (Body::Parts { .. }, None) => (None, true),
        (Body::Parts { count, table, .. }, Some(parts)) => {
            let entries = parts.entries();
            let matches = parts.digest() == *table
                && entries.len() == usize::from(count)
                && total_plain_size(&entries).is_ok_and(|size| size == record.plain_size);
            (matches.then(|| Layout::of_parts(&entries)), matches)
        }
    }
}

/// Bodies of an object that are being read.
pub(crate) struct ReadOperation {
    under_way: UnderWay,
    object: Arc<OpenedObject>,
}

impl Reading for ReadOperation {
    fn enter(&mut self, body: &BodyLayout, header: Option<&Header>) -> Result<(), Error> {
        let object = &self.object;
        let context = object.context_of(body)?;
        self.under_way.in_section(|_, ticket| {
            let mut input_key = StackKey::blank();
            object.keys.input_key(&context, &mut input_key)?;
            let (key, context) = (input_key.expose(), context.as_bytes());
            let cipher = match header {
                // The record knows the salt. Another is another upload of the part, or another
                // object; the commitment says whether the rest is this body's.
                Some(header) if *header.salt() != body.salt => {
                    return Err(ObjectError::DoesNotOpen.into());
                }
                Some(header) => ChunkCipher::for_opening(object.suite, key, header, context)?,
                // The key was committed to by the envelope and the salt by the record's MAC, so
                // there is one key, and its commitment need not be fetched.
                None => {
                    let made = ChunkCipher::for_sealing(object.suite, key, body.salt, context);
                    made.map_err(unreachable_failure)?.0
                }
            };
            Ok(ticket.begin(cipher)?)
        })
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.under_way.with_cipher(work)
    }

    fn run(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        run::turn::<Open, _>(&self.under_way, first, input, out)
    }

    fn finished(&mut self) {
        self.under_way.end(Outcome::Succeeded);
    }

    fn failed(&mut self, error: &Error) {
        self.under_way.end(Outcome::Failed(ErrorClass::from(error)));
    }
}
