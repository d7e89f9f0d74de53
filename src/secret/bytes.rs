//! Key bytes of a fixed size in key memory, wiped when dropped.

use allocator_api2::boxed::Box;

use super::heap::KeyHeap;

/// `N` secret bytes, at one address from birth to wipe.
pub(crate) struct Secret<const N: usize>(Box<[u8; N], KeyHeap>);

impl<const N: usize> Secret<N> {
    /// `N` zeroes, to be filled in place.
    pub(crate) fn zeroes() -> Self {
        Self(Box::new_in([0; N], KeyHeap))
    }

    /// New secret bytes, filled in place.
    pub(crate) fn fill_with<E>(
        fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut secret = Self::zeroes();
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// A copy of `bytes`, which remain the caller's to wipe; `None` if the length is another.
    pub(crate) fn copy_of(bytes: &[u8]) -> Option<Self> {
        Self::fill_with(|secret| {
            if bytes.len() != N {
                return Err(());
            }
            secret.copy_from_slice(bytes);
            Ok(())
        })
        .ok()
    }

    /// The bytes. Whoever writes this word answers for where they go.
    pub(crate) fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be written.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

// Key memory wipes what it is given back: there is nothing to do on drop.
