//! Reading fields off the front of bytes, strictly.
//!
//! All numbers in the keystore's files are big-endian and of fixed width. A field that is cut is
//! [`KeystoreProblem::Truncated`]; nothing here panics or allocates by a length it has read.

use crate::error::KeystoreProblem;

/// Bytes that are still to be read.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], KeystoreProblem> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(KeystoreProblem::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], KeystoreProblem> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(KeystoreProblem::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, KeystoreProblem> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, KeystoreProblem> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, KeystoreProblem> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, KeystoreProblem> {
        self.array().map(u64::from_be_bytes)
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Four bytes of magic, then the format version, which is 1.
    pub(super) fn magic(&mut self, magic: &[u8; 4]) -> Result<(), KeystoreProblem> {
        if self.array::<4>()? != *magic {
            return Err(KeystoreProblem::Damaged("magic"));
        }
        match self.u8()? {
            FORMAT_VERSION => Ok(()),
            other => Err(KeystoreProblem::UnknownFormat(other)),
        }
    }
}

/// The version of all formats of the local keystore.
pub(super) const FORMAT_VERSION: u8 = 1;
