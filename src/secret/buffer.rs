//! Bytes of any length that hold secrets for a while: a record between file and key table.

use zeroize::Zeroize;

/// Secret bytes of varying length, wiped when dropped and whenever they move to a larger place.
pub(crate) struct SecretBuffer(Vec<u8>);

impl SecretBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Takes `bytes` over, to be wiped from now on.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Adds `bytes` at the end. Growing copies into a place twice as large and wipes the old one.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.0.capacity() - self.0.len() < bytes.len() {
            let mut larger = Vec::with_capacity(2 * (self.0.len() + bytes.len()));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
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

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        self.0.zeroize();
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
        let expected: Vec<u8> = (0..100).flat_map(|n| [n, n]).collect();
        assert_eq!(buffer.expose(), expected);
    }
}
