//! Reading and writing the fields of stored records: strict, and without a panic.

use crate::error::ObjectError;
use crate::error::ObjectError::Malformed;

/// What is left to read.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Everything that is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], ObjectError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a [u8; N], ObjectError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed(field))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, ObjectError> {
        self.array::<1>(field).map(|&[byte]| byte)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, ObjectError> {
        self.array(field).map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, ObjectError> {
        self.array(field).map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Bytes behind their number, one byte wide.
    pub(super) fn counted_u8(&mut self, field: &'static str) -> Result<&'a [u8], ObjectError> {
        let count = usize::from(self.u8(field)?);
        self.take(count, field)
    }

    /// Bytes behind their number, two bytes wide, at most `limit`.
    pub(super) fn counted_u16(
        &mut self,
        limit: usize,
        field: &'static str,
    ) -> Result<&'a [u8], ObjectError> {
        let count = usize::from(self.u16(field)?);
        if count > limit {
            return Err(Malformed(field));
        }
        self.take(count, field)
    }

    /// Nothing may be left.
    pub(super) fn end(&self, field: &'static str) -> Result<(), ObjectError> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed(field)) }
    }
}

// Lengths are bounded by `limits`, below either width's end.
pub(super) fn push_u8(out: &mut Vec<u8>, value: usize) {
    out.push(u8::try_from(value).unwrap_or(u8::MAX));
}

pub(super) fn push_u16(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes());
}
