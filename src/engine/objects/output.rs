//! Where whole objects are put: buffers of the host's, used again and again.
//!
//! A buffer that has been as long before costs no pages and is not zeroed first: that would cost as
//! much as sealing.

use bytes::{Bytes, BytesMut};
use zeroize::Zeroize;

/// A buffer that can be made as long as it must be.
pub(super) trait Room {
    /// Makes it `len` bytes long. What they are does not matter.
    fn resize_for(&mut self, len: usize);

    /// Its bytes.
    fn bytes(&mut self) -> &mut [u8];

    /// Makes it empty.
    fn clear(&mut self);
}

impl Room for Vec<u8> {
    fn resize_for(&mut self, len: usize) {
        if self.capacity() < len {
            // Zeroed pages come from the system, and what was in the old ones is not copied.
            *self = vec![0; len];
        } else {
            self.resize(len, 0);
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        self
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl Room for BytesMut {
    fn resize_for(&mut self, len: usize) {
        if self.capacity() < len {
            *self = BytesMut::zeroed(len);
        } else {
            self.resize(len, 0);
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        self
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl<R: Room> Room for &mut R {
    fn resize_for(&mut self, len: usize) {
        (**self).resize_for(len);
    }

    fn bytes(&mut self) -> &mut [u8] {
        (**self).bytes()
    }

    fn clear(&mut self) {
        (**self).clear();
    }
}

/// An output that is wiped and emptied unless it is complete: where the work fails, and where its
/// future is dropped before the end.
pub(super) struct AllOrNothing<R: Room>(Option<R>);

impl<R: Room> AllOrNothing<R> {
    /// What is in `room` is replaced or, where something fails before that, wiped.
    pub(super) fn new(room: R) -> Self {
        Self(Some(room))
    }

    /// Makes it `len` bytes long. What they are does not matter.
    pub(super) fn resize_for(&mut self, len: usize) {
        if let Some(room) = &mut self.0 {
            room.resize_for(len);
        }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut().map(Room::bytes).unwrap_or_default()
    }

    /// It is complete.
    pub(super) fn complete(mut self) -> Option<R> {
        self.0.take()
    }
}

impl<R: Room> Drop for AllOrNothing<R> {
    fn drop(&mut self) {
        if let Some(room) = &mut self.0 {
            room.bytes().zeroize();
            room.clear();
        }
    }
}

/// What was made for nobody else, without a copy.
pub(super) fn bytes_of(buffer: Vec<u8>) -> BytesMut {
    BytesMut::from(Bytes::from(buffer))
}
