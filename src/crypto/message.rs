//! The input of a primitive, put together of its parts on the stack: primitives take one piece
//! faster than many short ones, and nothing is allocated.

/// At most `N` bytes. Not for secrets: it is not wiped.
pub(crate) struct Message<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Message<N> {
    /// No bytes yet.
    #[inline]
    pub(crate) fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// `self || part`. `N` is the sum of the parts' bounds.
    #[inline]
    pub(crate) fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        let room = self.bytes.get_mut(self.len..end).expect("the bound counts every part");
        room.copy_from_slice(part);
        self.len = end;
    }

    /// All that was pushed.
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
