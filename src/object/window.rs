//! A buffer of fixed size with a window of bytes that wait in it; wiped when dropped.

use zeroize::Zeroize;

/// Bytes go in at the window's end and leave at its start. One allocation, made when it is first
/// needed.
#[derive(Default)]
pub(crate) struct Window {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Nothing was ever written from here on, so that a short stream wipes little.
    touched: usize,
}

impl Window {
    /// An empty window in `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), start: 0, end: 0, touched: 0 }
    }

    /// Makes it hold `capacity` bytes, if it holds fewer.
    pub(crate) fn reserve(&mut self, capacity: usize) {
        if self.bytes.len() < capacity {
            let mut larger = Self::new(capacity);
            assert!(larger.push(self.waiting()), "it is larger");
            *self = larger;
        }
    }

    /// The bytes that wait.
    #[inline]
    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no byte waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// All the room there is behind the bytes that wait, which are moved to the front first.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// The first `len` bytes of the room were written and now wait; `false` if there are not that
    /// many.
    #[must_use]
    pub(crate) fn grow(&mut self, len: usize) -> bool {
        if len > self.bytes.len() - self.end {
            return false;
        }
        self.end += len;
        self.touched = self.touched.max(self.end);
        true
    }

    /// Puts `bytes` behind those that wait; `false` if there is no room for them.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.room().get_mut(..bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.grow(bytes.len())
    }

    /// The first `len` bytes that wait have left.
    #[inline]
    pub(crate) fn shrink(&mut self, len: usize) {
        self.start = self.end.min(self.start + len);
    }

    /// Somebody wrote into the room and did not say how much.
    pub(crate) fn distrust(&mut self) {
        self.touched = self.bytes.len();
    }

    /// Wipes everything; no byte waits any more.
    pub(crate) fn wipe(&mut self) {
        if let Some(touched) = self.bytes.get_mut(..self.touched) {
            touched.zeroize();
        }
        (self.start, self.end, self.touched) = (0, 0, 0);
    }

    /// Whether every byte of the buffer is zero.
    #[cfg(test)]
    pub(crate) fn is_wiped(&self) -> bool {
        self.bytes.iter().all(|&byte| byte == 0)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut window = Window::new(8);
        assert!(window.push(b"abcdef"));
        window.shrink(4);
        assert!(window.push(b"ghijkl"));
        assert_eq!(window.waiting(), b"efghijkl");
        assert!(!window.push(b"m"));
        assert!(!window.grow(1));
        window.shrink(99);
        assert!(window.is_empty());
        assert_eq!(window.room().len(), 8);
    }

    #[test]
    fn a_window_that_grows_keeps_what_waits() {
        let mut window = Window::default();
        assert!(window.room().is_empty() && !window.push(b"a"));
        window.reserve(6);
        assert!(window.push(b"abcdef"));
        window.shrink(2);
        window.reserve(3);
        window.reserve(9);
        assert!(window.push(b"ghijk") && !window.grow(1));
        assert_eq!(window.waiting(), b"cdefghijk");
    }

    #[test]
    fn a_wipe_reaches_bytes_that_have_left_and_those_nobody_spoke_of() {
        let mut window = Window::new(8);
        assert!(window.push(b"abcdef"));
        window.shrink(6);
        window.wipe();
        assert!(window.is_wiped());
        window.room().fill(1);
        window.distrust();
        window.wipe();
        assert!(window.is_wiped() && window.is_empty());
    }
}
