//! A key on the stack of the section that works with it.

use zeroize::Zeroize;

use crate::limits::DATA_KEY_BYTES_MAX;

/// Up to 64 secret bytes that live no longer than one section, wiped when it ends.
pub(crate) struct StackKey {
    bytes: [u8; DATA_KEY_BYTES_MAX],
    len: usize,
}

impl StackKey {
    /// A key of `len` zeroes, to be filled in place; `None` if it does not fit.
    pub(crate) fn zeroes(len: usize) -> Option<Self> {
        (len <= DATA_KEY_BYTES_MAX).then_some(Self { bytes: [0; DATA_KEY_BYTES_MAX], len })
    }

    /// The bytes. Whoever writes this word answers for where they go.
    pub(crate) fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The bytes, to be written.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl Drop for StackKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
