//! Bytes of any length that hold secrets for a while: a record between file and key table.

use allocator_api2::vec::Vec;
use zeroize::Zeroize;

use super::heap::KeyHeap;

/// Secret bytes of varying length in key memory, wiped when dropped and whenever they move to a
/// larger place: key memory wipes what it is given back.
pub(crate) struct SecretBuffer(Vec<u8, KeyHeap>);

impl SecretBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity_in(capacity, KeyHeap))
    }

    /// `len` zeroes, to be filled in place.
    pub(crate) fn zeroes(len: usize) -> Self {
        let mut bytes = Vec::with_capacity_in(len, KeyHeap);
        bytes.resize(len, 0);
        Self(bytes)
    }

    /// Takes `bytes` over: they are copied into key memory and wiped where they were.
    pub(crate) fn from_vec(mut bytes: std::vec::Vec<u8>) -> Self {
        let mut buffer = Self::with_capacity(bytes.len());
        buffer.push(&bytes);
        bytes.zeroize();
        buffer
    }

    /// Adds `bytes` at the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Keeps the first `len` bytes; the others are wiped with the buffer.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The bytes. Whoever writes this word answers for where they go.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be written.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_grows_keeps_its_bytes() {
        let mut buffer = SecretBuffer::with_capacity(3);
        for n in 0..100_u8 {
            buffer.push(&[n, n]);
        }
        let expected: std::vec::Vec<u8> = (0..100).flat_map(|n| [n, n]).collect();
        assert_eq!(buffer.expose(), expected);
    }
}
