//! Objects that are put in parts: one key for all of them, one operation for each.

use std::sync::Arc;

use super::seal::{SealOperation, SealedBytes};
use super::{NewKeys, ObjectKeys, Subject, customer_input_key, open_customer};
use crate::audit::{self, Operation};
use crate::envelope::{Envelope, WrappedKey};
use crate::error::{Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PARTS_PER_SECTION;
use crate::object::customer::CustomerSeal;
use crate::object::keys::RecordKeys;
use crate::object::multipart::{PART_MAGIC, Part, PartEntry, Upload, total_plain_size};
use crate::object::record::{Body, Head, MAGIC, Record};
use crate::object::{
    CustomerKey, Facts, Header, Mode, ObjectRecord, PartNumber, PartRecord, PartTable, Protection,
    Suite, UploadId, UploadRecord,
};
use crate::plane::data_key::name_key;
use crate::plane::under_way::{KeyUnderWay, UnderWay, begin_record};
use crate::plane::{Call, Plane, Section, TryError};
use crate::secret::StackKey;

/// An upload that is under way.
pub(crate) struct OpenUpload {
    subject: Subject,
    pub(crate) id: UploadId,
    pub(crate) mode: Mode,
    suite: Suite,
    wrapped: WrappedKey,
    customer: Option<CustomerSeal>,
    keys: ObjectKeys,
}

impl OpenUpload {
    /// The master key that it depends on.
    pub(crate) fn key_id(&self) -> &KeyId {
        self.keys.master.id()
    }
}

/// A part whose body is being sealed: what its record will say.
pub(crate) struct NewPart {
    upload: Arc<OpenUpload>,
    number: PartNumber,
    header: Header,
    sealed: SealedBytes,
}

impl Plane {
    /// Begins an upload under a new key, which `key` wraps.
    pub(crate) fn create_upload(
        self: &Arc<Self>,
        call: &Call<'_>,
        subject: &Subject,
        key: &KeyId,
        protection: Protection<'_>,
        id: Option<&UploadId>,
    ) -> Result<(OpenUpload, UploadRecord), TryError> {
        let bound = subject.object();
        self.section(Class::Write, |section| {
            let mut record = section.record(call, Operation::CreateUpload)?;
            subject.name_in(&mut record);
            record.key = Some(key);
            let mut new = NewKeys::blank();
            let made = section.new_object(call, key, &bound, protection, &mut new);
            let made = made.and_then(|(protected, under)| {
                record.version = Some(under.version);
                let id = match id {
                    Some(id) => id.clone(),
                    None => UploadId::of_random(section.random()?),
                };
                let keys = RecordKeys::of(&new.object_key);
                let record = Upload::encode(&protected.head(), &id, |bytes| keys.mac(bytes));
                let master = KeyUnderWay::new(section, key, under)?;
                let keys = ObjectKeys::new(self, section, master, &new.object_key, None)?;
                let (subject, mode, suite) = (subject.clone(), protected.mode, protected.suite);
                let (wrapped, customer) = (protected.wrapped, protected.customer);
                let upload = OpenUpload { subject, id, mode, suite, wrapped, customer, keys };
                Ok((upload, record))
            });
            section.release(&record, made, |_| {})
        })
    }

    /// Opens the record of an upload.
    pub(crate) fn open_upload(
        self: &Arc<Self>,
        call: &Call<'_>,
        subject: &Subject,
        record: &UploadRecord,
    ) -> Result<OpenUpload, TryError> {
        let parsed = record.parsed();
        let bound = subject.object();
        let envelope = Envelope::parse(parsed.head.envelope)?;
        self.section(Class::Read, |section| {
            let mut recording = section.record(call, Operation::Inspect)?;
            subject.name_in(&mut recording);
            name_key(&mut recording, &envelope);
            let mut object_key = StackKey::blank();
            let opened = section.open_head(call, &parsed.head, &bound, &mut object_key);
            let opened = opened.and_then(|master| {
                RecordKeys::of(&object_key).check(parsed.authenticated, parsed.mac)?;
                let keys = ObjectKeys::new(self, section, master, &object_key, None)?;
                let Head { mode, suite, customer, .. } = parsed.head;
                let wrapped = parsed.head.wrapped()?;
                let (subject, id) = (subject.clone(), record.id());
                Ok(OpenUpload { subject, id, mode, suite, wrapped, customer, keys })
            });
            section.release(&recording, opened, |_| {})
        })
    }

    /// Begins to seal part `number` of `upload`.
    pub(crate) fn begin_part(
        self: &Arc<Self>,
        call: &Call<'_>,
        upload: &Arc<OpenUpload>,
        number: PartNumber,
        customer_key: Option<&CustomerKey>,
    ) -> Result<(SealOperation, NewPart), TryError> {
        let context = upload.subject.part(upload.id.as_str(), number);
        let ticket = self.register()?;
        let master = &upload.keys.master;
        let header = self.section(Class::Write, |section| {
            let mut recording = section.record(call, audit::Operation::Seal)?;
            upload.subject.name_in(&mut recording);
            recording.key = Some(master.id());
            recording.version = Some(master.version());
            let begin = || {
                master.check(section, Class::Write)?;
                let mut input_key = StackKey::blank();
                upload.keys.object_key.read(&mut input_key)?;
                let mut prk = StackKey::blank();
                open_customer(upload.customer.as_ref(), customer_key, &mut prk)?;
                if upload.customer.is_some() {
                    customer_input_key(&prk, &context, &mut input_key)?;
                }
                let (cipher, header) = section.new_body(upload.suite, &input_key, &context)?;
                ticket.begin(cipher)?;
                Ok(header)
            };
            begin_record(section, &recording, begin())
        })?;
        let name = Some(upload.subject.name.clone());
        let under_way = UnderWay::new(self, call, ticket, Class::Write, master.clone(), name);
        let (operation, sealed) = SealOperation::new(under_way);
        Ok((operation, NewPart { upload: Arc::clone(upload), number, header, sealed }))
    }

    /// What the records of parts say, each checked to be of `upload`.
    pub(crate) fn list_parts(
        &self,
        call: &Call<'_>,
        upload: &OpenUpload,
        records: &[PartRecord],
    ) -> Result<Vec<(PartEntry, Facts)>, TryError> {
        let mut listed = Vec::with_capacity(records.len());
        let checked = upload.check_parts(Class::Read, records, |keys, part| {
            listed.push((part.entry, keys.open_facts(PART_MAGIC, part.facts)?));
            Ok(())
        });
        self.conclude(call, upload, Class::Read, Operation::Inspect, |_, _| {
            checked?;
            Ok(listed)
        })
    }

    /// The record and the part table of the object that the parts of `records` are.
    pub(crate) fn complete_upload(
        &self,
        call: &Call<'_>,
        upload: &OpenUpload,
        records: &[PartRecord],
        facts: &Facts,
    ) -> Result<(ObjectRecord, PartTable), TryError> {
        let mut entries = Vec::with_capacity(records.len());
        let checked = upload.check_parts(Class::Write, records, |_, part| {
            entries.push(part.entry);
            Ok(())
        });
        // The table is hashed here, outside of any section.
        let table = checked.and_then(|()| {
            let table = PartTable::of(&entries)?;
            let digest = table.digest();
            Ok((table, digest, total_plain_size(&entries)?))
        });
        let operation = Operation::CompleteUpload;
        self.conclude(call, upload, Class::Write, operation, |section, object_key| {
            let (table, digest, plain_size) = table?;
            let keys = RecordKeys::of(object_key);
            let facts = keys.seal_facts(MAGIC, section.random()?, facts)?;
            let count = u16::try_from(entries.len()).map_err(|_| ObjectError::TooLong)?;
            let body = Body::Parts { upload: upload.id.as_str(), count, table: &digest };
            let OpenUpload { mode, suite, customer, .. } = *upload;
            let head = Head { mode, suite, envelope: upload.wrapped.as_bytes(), customer };
            let mac = |bytes: &[u8]| keys.mac(bytes);
            Ok((Record::encode(&head, plain_size, body, &facts, mac), table))
        })
    }

    /// The last section of work on an upload, which records what came of it.
    fn conclude<R>(
        &self,
        call: &Call<'_>,
        upload: &OpenUpload,
        class: Class,
        operation: Operation,
        work: impl FnOnce(&Section<'_>, &StackKey) -> Result<R, TryError>,
    ) -> Result<R, TryError> {
        self.section(class, |section| {
            let mut recording = section.record(call, operation)?;
            upload.subject.name_in(&mut recording);
            recording.key = Some(upload.keys.master.id());
            recording.version = Some(upload.keys.master.version());
            let done = || {
                upload.keys.master.check(section, class)?;
                let mut object_key = StackKey::blank();
                upload.keys.object_key.read(&mut object_key)?;
                work(section, &object_key)
            };
            section.release(&recording, done(), |_| {})
        })
    }
}

impl OpenUpload {
    /// Shows each of `records` to `take`, once it was found to be of this upload. A section sees a
    /// few of them at a time.
    fn check_parts(
        &self,
        class: Class,
        records: &[PartRecord],
        mut take: impl FnMut(&RecordKeys<'_>, &Part<'_>) -> Result<(), ObjectError>,
    ) -> Result<(), TryError> {
        for records in records.chunks(PARTS_PER_SECTION) {
            self.keys.in_section(class, |_, object_key| {
                let keys = RecordKeys::of(object_key);
                for record in records {
                    let part = record.parsed();
                    keys.check(part.authenticated, part.mac)?;
                    take(&keys, &part)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl NewPart {
    /// What stands before the first chunk.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The part's record, once its body was sealed.
    pub(crate) fn finish(&self, facts: &Facts) -> Result<PartRecord, Error> {
        let plain_size = self.sealed.at_the_end()?;
        let entry = PartEntry { number: self.number, plain_size, salt: *self.header.salt() };
        let made = self.upload.keys.in_section(Class::Write, |section, object_key| {
            let keys = RecordKeys::of(object_key);
            let facts = keys.seal_facts(PART_MAGIC, section.random()?, facts)?;
            Ok(Part::encode(&entry, &facts, |bytes| keys.mac(bytes)))
        });
        made.map_err(TryError::into_waitless)
    }
}
