//! The stored form of a record.
//!
//! Big-endian; the head is 54 bytes long, the text follows without padding:
//!
//! ```text
//! length u16 (all of it) | format 0x01 | operation u8 | stage u8 | outcome u8 | late u8
//! time u64 (ms since 1970) | latency u64 (ns) | generation u64 | count u64 | key version u32
//! principal u16 | request id u16 | source u16 | key id u8 | bucket u16 | object u16  (bytes each)
//! principal, request id, source, key id, bucket, object  (UTF-8)
//! ```
//!
//! Zero stands for no key, no version, no bucket, no object. A record has one stored form and a
//! stored form one record: whatever [`Decoder`] accepts encodes to the same bytes again.

use core::time::Duration;

use super::record::{Outcome, Resource};
use super::{AuditRecord, Caller, Operation, RecordRef, Stage};
use crate::clock::WallTime;
use crate::key::{KeyId, KeyVersion};

const FORMAT: u8 = 1;

/// Bytes before the text.
const HEAD_BYTES: usize = 54;

/// Bytes of `record` in its stored form; at most 54 + 3 * 256 + 128 + 2 * 1024.
pub(super) fn encoded_len(record: &RecordRef<'_>) -> usize {
    let resource = record
        .resource
        .map_or(0, |resource| resource.bucket().len() + resource.object().map_or(0, str::len));
    HEAD_BYTES + record.caller.text().len() + record.key.map_or(0, str::len) + resource
}

/// Appends `record`, which takes `len` bytes, to `out`. Allocates nothing where `out` has room.
pub(super) fn encode(record: &RecordRef<'_>, len: usize, out: &mut Vec<u8>) {
    let key = record.key.unwrap_or("");
    let bucket = record.resource.map_or("", |resource| resource.bucket());
    let object = record.resource.and_then(|r| r.object()).unwrap_or("");
    let [principal, request_id, source] = record.caller.lengths();
    let latency = u64::try_from(record.latency.as_nanos()).unwrap_or(u64::MAX);

    let mut head = Head::new();
    head.put(narrow(len).to_be_bytes());
    head.put([
        FORMAT,
        record.operation.code(),
        record.stage.code(),
        record.outcome.code(),
        u8::from(record.late),
    ]);
    head.put(record.time.as_millis().to_be_bytes());
    head.put(latency.to_be_bytes());
    head.put(record.generation.to_be_bytes());
    head.put(record.count.to_be_bytes());
    head.put(record.key_version.map_or(0, KeyVersion::number).to_be_bytes());
    head.put(principal.to_be_bytes());
    head.put(request_id.to_be_bytes());
    head.put(source.to_be_bytes());
    head.put([u8::try_from(key.len()).unwrap_or(u8::MAX)]);
    head.put(narrow(bucket.len()).to_be_bytes());
    head.put(narrow(object.len()).to_be_bytes());

    out.extend_from_slice(&head.bytes);
    out.extend_from_slice(record.caller.text().as_bytes());
    out.extend_from_slice(key.as_bytes());
    if record.resource.is_some() {
        out.extend_from_slice(bucket.as_bytes());
        out.extend_from_slice(object.as_bytes());
    }
}

/// A length that its field's limit keeps far below the width.
fn narrow(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// The head while it is filled from front to back; compiles to plain stores.
struct Head {
    bytes: [u8; HEAD_BYTES],
    at: usize,
}

impl Head {
    fn new() -> Self {
        Self { bytes: [0; HEAD_BYTES], at: 0 }
    }

    fn put<const N: usize>(&mut self, field: [u8; N]) {
        let place = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = field;
        }
        self.at += N;
    }
}

/// The bytes are not a record; where they stop being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Reads records one after the other. Keeps the caller and the key of the last one, which are
/// most often those of the next one too, so that a batch shares them.
#[derive(Default)]
pub(super) struct Decoder {
    caller: Option<Caller>,
    key: Option<KeyId>,
}

impl Decoder {
    /// The first record of `bytes`, without a number, and the bytes behind it.
    ///
    /// # Errors
    /// [`Malformed`] if they do not begin with a record.
    pub(super) fn decode<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<(AuditRecord, &'a [u8]), Malformed> {
        let total = bytes.first_chunk().ok_or(Malformed("length"))?;
        let total = usize::from(u16::from_be_bytes(*total));
        let (record, rest) = bytes.split_at_checked(total).ok_or(Malformed("length"))?;
        let mut fields = Fields(record.get(2..).ok_or(Malformed("length"))?);

        let [format, operation, stage, outcome, late] = fields.take("head")?;
        if format != FORMAT {
            return Err(Malformed("format"));
        }
        let time = WallTime::from_millis(u64::from_be_bytes(fields.take("time")?));
        let latency = Duration::from_nanos(u64::from_be_bytes(fields.take("latency")?));
        let generation = u64::from_be_bytes(fields.take("generation")?);
        let count = u64::from_be_bytes(fields.take("count")?);
        let version = u32::from_be_bytes(fields.take("key version")?);
        let principal = u16::from_be_bytes(fields.take("principal")?);
        let request_id = u16::from_be_bytes(fields.take("request id")?);
        let source = u16::from_be_bytes(fields.take("source")?);
        let [key] = fields.take("key id")?;
        let bucket = u16::from_be_bytes(fields.take("bucket")?);
        let object = u16::from_be_bytes(fields.take("object")?);

        let principal = fields.text(principal, "principal")?;
        let request_id = fields.text(request_id, "request id")?;
        let source = fields.text(source, "source")?;
        let key = fields.text(u16::from(key), "key id")?;
        let bucket = fields.text(bucket, "bucket")?;
        let object = fields.text(object, "object")?;
        if !fields.0.is_empty() {
            return Err(Malformed("end"));
        }
        let resource = resource(bucket, object)?;
        let record = AuditRecord {
            sequence: 0,
            time,
            caller: self.caller(principal, request_id, source)?,
            operation: Operation::from_code(operation).ok_or(Malformed("operation"))?,
            stage: Stage::from_code(stage).ok_or(Malformed("stage"))?,
            outcome: Outcome::from_code(outcome).ok_or(Malformed("outcome"))?,
            key: self.key(key)?,
            key_version: KeyVersion::new(version),
            bucket: resource.map(|resource| resource.bucket().to_owned()),
            object: resource.and_then(|r| r.object()).map(str::to_owned),
            latency,
            generation,
            count,
            late: match late {
                0 => false,
                1 => true,
                _ => return Err(Malformed("late")),
            },
        };
        Ok((record, rest))
    }

    fn caller(
        &mut self,
        principal: &str,
        request_id: &str,
        source: &str,
    ) -> Result<Caller, Malformed> {
        let same = self.caller.as_ref().filter(|last| {
            last.principal() == principal
                && last.request_id() == request_id
                && last.source() == source
        });
        if let Some(same) = same {
            return Ok(same.clone());
        }
        let caller =
            Caller::new(principal, request_id, source).map_err(|error| Malformed(error.field))?;
        self.caller = Some(caller.clone());
        Ok(caller)
    }

    fn key(&mut self, id: &str) -> Result<Option<KeyId>, Malformed> {
        if id.is_empty() {
            return Ok(None);
        }
        if let Some(same) = self.key.as_ref().filter(|last| last.as_str() == id) {
            return Ok(Some(same.clone()));
        }
        let key = KeyId::new(id).map_err(|_| Malformed("key id"))?;
        self.key = Some(key.clone());
        Ok(Some(key))
    }
}

fn resource<'a>(bucket: &'a str, object: &'a str) -> Result<Option<Resource<'a>>, Malformed> {
    match (bucket, object) {
        ("", "") => Ok(None),
        (bucket, "") => Resource::new(bucket, None).map(Some),
        (bucket, object) => Resource::new(bucket, Some(object)).map(Some),
    }
    .map_err(|error| Malformed(error.field))
}

/// What of a record is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed(name))?;
        self.0 = rest;
        Ok(*field)
    }

    fn text(&mut self, len: u16, name: &'static str) -> Result<&'a str, Malformed> {
        let (text, rest) = self.0.split_at_checked(usize::from(len)).ok_or(Malformed(name))?;
        self.0 = rest;
        core::str::from_utf8(text).map_err(|_| Malformed(name))
    }
}

#[cfg(test)]
mod tests;
