//! A key on the stack of the section that works with it.

use zeroize::Zeroize;

use crate::crypto::Failed;
use crate::limits::DATA_KEY_BYTES_MAX;

/// Up to 64 secret bytes that live no longer than one section, wiped when it ends.
pub(crate) struct StackKey {
    bytes: [u8; DATA_KEY_BYTES_MAX],
    len: usize,
}

impl StackKey {
    /// A key of no bytes yet. It is made before it is filled and handed on by reference only: to
    /// move it would leave a copy behind that nobody wipes.
    pub(crate) fn blank() -> Self {
        Self { bytes: [0; DATA_KEY_BYTES_MAX], len: 0 }
    }

    /// Makes it `len` bytes long, to be filled in place.
    ///
    /// # Errors
    /// [`Failed`] if it has no room for them.
    pub(crate) fn resize(&mut self, len: usize) -> Result<&mut [u8], Failed> {
        let bytes = self.bytes.get_mut(..len).ok_or(Failed)?;
        self.len = len;
        Ok(bytes)
    }

    /// The bytes. Whoever writes this word answers for where they go.
    pub(crate) fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for StackKey {
    fn drop(&mut self) {
        // As a slice: an array would be wiped byte by byte.
        self.bytes.as_mut_slice().zeroize();
    }
}
