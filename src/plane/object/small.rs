//! Small objects: key, body and record in one section; and the wrapping anew of an object's key.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{NewKeys, Protected, Subject, open_customer};
use crate::audit::Operation;
use crate::envelope::{Envelope, Purpose, WrappedKey};
use crate::error::ObjectError;
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::object::keys::RecordKeys;
use crate::object::record::{Body, Head, MAGIC, Record};
use crate::object::{
    ChunkCipher, CustomerKey, Facts, Header, Mode, ObjectRecord, Protection, payload,
};
use crate::plane::data_key::{Binding, name_key};
use crate::plane::{Call, Plane, TryError};
use crate::secret::StackKey;

impl Plane {
    /// The sealed bytes of `plain`, at most 64 KiB, and the object's record.
    pub(crate) fn seal_small(
        self: &Arc<Self>,
        call: &Call<'_>,
        subject: &Subject,
        key: &KeyId,
        protection: Protection<'_>,
        (plain, facts): (&[u8], &Facts),
    ) -> Result<(Vec<u8>, ObjectRecord), TryError> {
        if plain.len() > PAYLOAD_BYTES_MAX {
            return self.deny(Class::Write, call, Operation::Seal, ObjectError::TooLong);
        }
        let bound = subject.object();
        self.section(Class::Write, |section| {
            let mut record = section.record(call, Operation::Seal)?;
            subject.name_in(&mut record);
            record.key = Some(key);
            let mut new = NewKeys::blank();
            let made = section.new_object(call, key, &bound, protection, &mut new);
            let made = made.and_then(|(protected, under)| {
                record.version = Some(under.version);
                let mut input_key = StackKey::blank();
                new.input_key(&bound.canonical, &mut input_key)?;
                let Protected { suite, .. } = protected;
                let (cipher, header) = section.new_body(suite, &input_key, &bound.canonical)?;
                let mut sealed = Vec::new();
                payload::seal_payload(&cipher, &header, plain, &mut sealed)?;
                let keys = RecordKeys::of(&new.object_key);
                let facts = keys.seal_facts(MAGIC, section.random()?, facts)?;
                let body = Body::Whole { salt: header.salt() };
                let (head, size) = (protected.head(), plain.len() as u64);
                let made = Record::encode(&head, size, body, &facts, |bytes| keys.mac(bytes));
                Ok((sealed, made))
            });
            section.release(&record, made, |_| {})
        })
    }

    /// The plaintext and the facts of a small object.
    pub(crate) fn open_small(
        self: &Arc<Self>,
        call: &Call<'_>,
        subject: &Subject,
        record: &ObjectRecord,
        customer_key: Option<&CustomerKey>,
        sealed: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Facts), TryError> {
        // Wiped unless it is given to the host: opened, it may still not be released.
        let mut plain = Zeroizing::new(Vec::new());
        let parsed = record.parsed();
        let bound = subject.object();
        let envelope = Envelope::parse(parsed.head.envelope)?;
        let opened = self.section(Class::Read, |section| {
            let mut recording = section.record(call, Operation::Open)?;
            subject.name_in(&mut recording);
            name_key(&mut recording, &envelope);
            let mut keys = NewKeys::blank();
            let opened = section.open_head(call, &parsed.head, &bound, &mut keys.object_key);
            let opened = opened.and_then(|_| {
                RecordKeys::of(&keys.object_key).check(parsed.authenticated, parsed.mac)?;
                open_customer(parsed.head.customer.as_ref(), customer_key, &mut keys.prk)?;
                let (header, body) = small_body(&parsed, sealed)?;
                let mut input_key = StackKey::blank();
                keys.input_key(&bound.canonical, &mut input_key)?;
                let (key, context) = (input_key.expose(), bound.canonical.as_bytes());
                let cipher = ChunkCipher::for_opening(parsed.head.suite, key, &header, context)?;
                payload::open_payload(&cipher, body, &mut plain)?;
                Ok(RecordKeys::of(&keys.object_key).open_facts(MAGIC, parsed.facts)?)
            });
            section.release(&recording, opened, |_| {})
        });
        opened.map(|facts| (plain, facts))
    }

    /// The same object with its key wrapped anew: under the current version of `to`'s key, or of
    /// its own; `None` where it is that already.
    pub(crate) fn rewrap_object(
        &self,
        call: &Call<'_>,
        subject: &Subject,
        record: &ObjectRecord,
        to: Option<(Mode, &KeyId)>,
    ) -> Result<Option<ObjectRecord>, TryError> {
        let parsed = record.parsed();
        let Head { mode: before, suite, customer, .. } = parsed.head;
        let bound = subject.object();
        let envelope = Envelope::parse(parsed.head.envelope)?;
        let own = envelope.named()?.key_id;
        let mode = to.map_or(before, |(mode, _)| mode);
        self.section(Class::Write, |section| {
            let mut recording = section.record(call, Operation::Rewrap)?;
            subject.name_in(&mut recording);
            name_key(&mut recording, &envelope);
            let mut object_key = StackKey::blank();
            let opened = section.open_head(call, &parsed.head, &bound, &mut object_key);
            let rewrapped = opened.and_then(|_| {
                let keys = RecordKeys::of(&object_key);
                keys.check(parsed.authenticated, parsed.mac)?;
                if to.is_some() && (before == Mode::SseC || mode == Mode::SseC) {
                    return Err(ObjectError::NeedsReseal.into());
                }
                let binding = Binding {
                    purpose: Purpose::ObjectKey,
                    spec: envelope.spec,
                    key_id: to.map_or(own, |(_, key)| key),
                    context: &bound.digest,
                };
                let wrapped = section.wrap_anew(call, &binding, &envelope, &object_key)?;
                if wrapped.is_none() && mode == before {
                    return Ok(None);
                }
                let envelope = wrapped.as_ref().map_or(parsed.head.envelope, WrappedKey::as_bytes);
                let head = Head { mode, suite, envelope, customer };
                let Record { plain_size, body, facts, .. } = parsed;
                Ok(Some(Record::encode(&head, plain_size, body, facts, |bytes| keys.mac(bytes))))
            });
            section.release(&recording, rewrapped, |_| {})
        })
    }
}

/// Header and chunks of `sealed`, if they have the salt and the length that `record` says.
fn small_body<'s>(
    record: &Record<'_>,
    sealed: &'s [u8],
) -> Result<(Header, &'s [u8]), ObjectError> {
    let Body::Whole { salt } = record.body else {
        return Err(ObjectError::PartTableMissing);
    };
    if record.plain_size > PAYLOAD_BYTES_MAX as u64 {
        return Err(ObjectError::TooLong);
    }
    let (header, body) = Header::split_from(sealed)?;
    let size = crate::object::chunk::plain_size(sealed.len() as u64)?;
    if header.salt() != salt || size != record.plain_size {
        return Err(ObjectError::DoesNotOpen);
    }
    Ok((header, body))
}
