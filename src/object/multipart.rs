//! Uploads in parts: what a host stores while one is under way, and the table of its parts after.
//!
//! ```text
//! upload record = head "PCUR" (see `record`) | n u8 | upload id [n] | MAC [32]
//! part record   = "PCPR" | format version 0x01 | part number u16 | plain size u64 | salt [24]
//!                 | f u16 | sealed facts [f] | MAC [32]
//! part table    = "PCPT" | format version 0x01 | parts u16
//!                 | per part, by number: part number u16 | plain size u64 | salt [24]
//! ```
//!
//! One key per upload: its envelope stands in the upload's record and, once it is complete, in the
//! object's. Each upload of a part draws a salt, so a part that is uploaded twice has other chunk
//! keys the second time. The part table has no MAC: its SHA-256 stands in the object's record.
//!
//! The salt is what tells the uploads of one part apart: a part put back from an earlier upload,
//! even of the same number under the same upload, has another salt than the table says.

use super::chunk::{SALT_BYTES, sealed_size};
use super::cursor::{Cursor, push_u8, push_u16};
use super::keys::{MAC_BYTES, SEALED_FACTS_BYTES_MAX};
use super::name::{PartNumber, UploadId};
use super::record::{
    FORMAT_VERSION, HEAD_BYTES_MAX, Head, Mode, parse_facts, parse_upload_id, split_mac, stored,
};
use crate::crypto::digest::sha256;
use crate::error::ObjectError::{self, Malformed, UnknownFormat};
use crate::limits::{PART_NUMBER_MAX, UPLOAD_ID_BYTES_MAX};

use core::fmt;

stored!(
    /// The record of an upload that is under way: what to store from its creation until it is
    /// completed or aborted. Not secret.
    UploadRecord,
    Upload::parse
);

impl UploadRecord {
    /// The mode that it names. Not known to be true before the upload was opened.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.parsed().head.mode
    }

    /// The upload's id. Not known to be true before the upload was opened.
    #[must_use]
    pub fn id(&self) -> UploadId {
        UploadId::of_valid(self.parsed().id)
    }

    pub(crate) fn parsed(&self) -> Upload<'_> {
        Upload::parse(&self.0).expect("it was parsed when it was taken")
    }
}

/// A parsed upload record.
#[derive(Clone, Copy)]
pub(crate) struct Upload<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) id: &'a str,
    pub(crate) mac: &'a [u8; MAC_BYTES],
    pub(crate) authenticated: &'a [u8],
}

impl<'a> Upload<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let (authenticated, mac) = split_mac(bytes, UPLOAD_BYTES_MAX)?;
        let mut rest = Cursor::new(authenticated);
        let head = Head::parse(&mut rest, UPLOAD_MAGIC)?;
        let id = parse_upload_id(&mut rest)?;
        rest.end("length")?;
        Ok(Self { head, id, mac, authenticated })
    }

    pub(crate) fn encode(
        head: &Head<'_>,
        id: &UploadId,
        mac: impl FnOnce(&[u8]) -> [u8; MAC_BYTES],
    ) -> UploadRecord {
        let mut out = Vec::with_capacity(UPLOAD_BYTES_MAX);
        head.encode(UPLOAD_MAGIC, &mut out);
        push_u8(&mut out, id.as_str().len());
        out.extend_from_slice(id.as_str().as_bytes());
        let mac = mac(&out);
        out.extend_from_slice(&mac);
        UploadRecord::encoded(out)
    }
}

stored!(
    /// The record of a part that was uploaded: what to store beside its sealed bytes until the
    /// upload is completed. Not secret.
    PartRecord,
    Part::parse
);

impl PartRecord {
    /// The part's number. Not known to be true before the upload has taken the record.
    #[must_use]
    pub fn number(&self) -> PartNumber {
        self.parsed().entry.number
    }

    pub(crate) fn parsed(&self) -> Part<'_> {
        Part::parse(&self.0).expect("it was parsed when it was taken")
    }
}

/// A parsed part record.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) entry: PartEntry,
    pub(crate) facts: &'a [u8],
    pub(crate) mac: &'a [u8; MAC_BYTES],
    pub(crate) authenticated: &'a [u8],
}

impl<'a> Part<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let (authenticated, mac) = split_mac(bytes, PART_BYTES_MAX)?;
        let mut rest = Cursor::new(authenticated);
        parse_magic(&mut rest, PART_MAGIC)?;
        let entry = PartEntry::parse(&mut rest)?;
        let facts = parse_facts(&mut rest)?;
        rest.end("length")?;
        Ok(Self { entry, facts, mac, authenticated })
    }

    pub(crate) fn encode(
        entry: &PartEntry,
        facts: &[u8],
        mac: impl FnOnce(&[u8]) -> [u8; MAC_BYTES],
    ) -> PartRecord {
        let mut out = Vec::with_capacity(PART_BYTES_MAX);
        out.extend_from_slice(&PART_MAGIC);
        out.push(FORMAT_VERSION);
        entry.encode(&mut out);
        push_u16(&mut out, facts.len());
        out.extend_from_slice(facts);
        let mac = mac(&out);
        out.extend_from_slice(&mac);
        PartRecord::encoded(out)
    }
}

/// One part: its number, the length of its plaintext, and the salt of the upload of it that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartEntry {
    pub(crate) number: PartNumber,
    pub(crate) plain_size: u64,
    pub(crate) salt: [u8; SALT_BYTES],
}

impl PartEntry {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, ObjectError> {
        let number = PartNumber::new(cursor.u16("part number")?.into());
        let number = number.ok_or(Malformed("part number"))?;
        let plain_size = cursor.u64("plain size")?;
        sealed_size(plain_size).ok_or(Malformed("plain size"))?;
        Ok(Self { number, plain_size, salt: *cursor.array("salt")? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.get().to_be_bytes());
        out.extend_from_slice(&self.plain_size.to_be_bytes());
        out.extend_from_slice(&self.salt);
    }
}

stored!(
    /// The table of the parts of a completed object: what to store beside its record, and needed
    /// to read it. 7 bytes and 34 more for each part. Not secret.
    PartTable,
    parse_table
);

impl PartTable {
    /// The table of `parts`.
    ///
    /// # Errors
    /// [`ObjectError::PartOrder`] if they are not in ascending order of their numbers,
    /// [`ObjectError::Invalid`] if there is none, [`ObjectError::TooLong`] if they are too long
    /// together.
    pub(crate) fn of(parts: &[PartEntry]) -> Result<Self, ObjectError> {
        if parts.is_empty() {
            return Err(ObjectError::Invalid { field: "parts", problem: "are none" });
        }
        if !parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(ObjectError::PartOrder);
        }
        total_plain_size(parts)?;
        let mut out = Vec::with_capacity(TABLE_HEAD_BYTES + parts.len() * ENTRY_BYTES);
        out.extend_from_slice(&TABLE_MAGIC);
        out.push(FORMAT_VERSION);
        push_u16(&mut out, parts.len());
        parts.iter().for_each(|part| part.encode(&mut out));
        Ok(Self::encoded(out))
    }

    /// The parts, in ascending order of their numbers.
    pub(crate) fn entries(&self) -> Vec<PartEntry> {
        parse_table(&self.0).expect("it was parsed when it was taken")
    }

    /// By what a record names it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(&[&self.0])
    }
}

/// Bytes of all the plaintexts together.
///
/// # Errors
/// [`ObjectError::TooLong`] past `u64`.
pub(crate) fn total_plain_size(parts: &[PartEntry]) -> Result<u64, ObjectError> {
    let add = |sum: u64, part: &PartEntry| sum.checked_add(part.plain_size);
    parts.iter().try_fold(0, add).ok_or(ObjectError::TooLong)
}

fn parse_table(bytes: &[u8]) -> Result<Vec<PartEntry>, ObjectError> {
    let mut rest = Cursor::new(bytes);
    parse_magic(&mut rest, TABLE_MAGIC)?;
    let count = rest.u16("part count")?;
    if !(1..=PART_NUMBER_MAX).contains(&count) {
        return Err(Malformed("part count"));
    }
    let entries = (0..count).map(|_| PartEntry::parse(&mut rest));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    rest.end("length")?;
    if !entries.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Malformed("part number"));
    }
    total_plain_size(&entries).map_err(|_| Malformed("plain size"))?;
    Ok(entries)
}

fn parse_magic(cursor: &mut Cursor<'_>, magic: [u8; 4]) -> Result<(), ObjectError> {
    if cursor.array("magic")? != &magic {
        return Err(Malformed("magic"));
    }
    match cursor.u8("format version")? {
        FORMAT_VERSION => Ok(()),
        version => Err(UnknownFormat(version)),
    }
}

const UPLOAD_MAGIC: [u8; 4] = *b"PCUR";
pub(crate) const PART_MAGIC: [u8; 4] = *b"PCPR";
const TABLE_MAGIC: [u8; 4] = *b"PCPT";
const TABLE_HEAD_BYTES: usize = 7;
const ENTRY_BYTES: usize = 2 + 8 + SALT_BYTES;
const UPLOAD_BYTES_MAX: usize = HEAD_BYTES_MAX + 1 + UPLOAD_ID_BYTES_MAX + MAC_BYTES;
const PART_BYTES_MAX: usize = 5 + ENTRY_BYTES + 2 + SEALED_FACTS_BYTES_MAX + MAC_BYTES;

#[cfg(test)]
mod tests;
