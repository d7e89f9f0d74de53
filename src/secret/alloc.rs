//! An allocator for the whole process that wipes what it frees.
//!
//! Keys of the engine lie in key memory and are wiped there. What libraries copy is not: an HTTP
//! client keeps the base64 of a key in its buffers, a TLS library its session keys. With this
//! allocator no freed block keeps its bytes, whoever wrote them.
//!
//! Cost: one pass of writes over each block as it is freed, which for small blocks is lost in the
//! allocator's own; growing a block in place is given up, because its old place must be wiped.

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicBool, Ordering};
use std::alloc::System;

/// A global allocator that overwrites every block with zeroes before it frees it, over `A`.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: portcullis::memory::WipingAlloc = portcullis::memory::WipingAlloc::new();
/// # fn main() {}
/// ```
///
/// The program `portcullis` installs it. A host that does so too has guarantee 6 for its whole
/// heap: after a stop no page of it holds a key, not even in copies that libraries made. Memory
/// that is never freed, stacks, and what the host itself keeps are not its business.
pub struct WipingAlloc<A = System>(A);

impl WipingAlloc {
    /// Over the system's allocator.
    #[must_use]
    pub const fn new() -> Self {
        Self(System)
    }
}

impl Default for WipingAlloc {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> WipingAlloc<A> {
    /// Over another allocator.
    #[must_use]
    pub const fn over(allocator: A) -> Self {
        Self(allocator)
    }
}

/// Whether the allocator of this process is [`WipingAlloc`]: one that was installed has served an
/// allocation before anything could ask.
#[must_use]
pub fn wipes_freed_memory() -> bool {
    IN_USE.load(Ordering::Relaxed)
}

static IN_USE: AtomicBool = AtomicBool::new(false);

// SAFETY: every block comes from `A` under the layout that it goes back under; between, this only
// writes to blocks that their owner is giving up.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note_use();
        // SAFETY: the caller's promises are those that `A` asks for.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note_use();
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is as long as its layout says, and its owner has given it up.
        unsafe {
            wipe(block, layout.size());
            self.0.dealloc(block, layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size <= layout.size() {
            // SAFETY: what is cut off is inside the block; it is the owner's wish to lose it. `A`
            // may move a block that shrinks: what stays is wiped in its old place by nobody, so it
            // is not left to `A`.
            return unsafe { self.shrink(block, layout, size) };
        }
        // SAFETY: `size` is not zero, because it is more than the size of a layout, and the caller
        // has promised that it does not overflow; the new block is larger than the old.
        unsafe {
            let larger = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !larger.is_null() {
                core::ptr::copy_nonoverlapping(block, larger, layout.size());
                self.dealloc(block, layout);
            }
            larger
        }
    }
}

impl<A: GlobalAlloc> WipingAlloc<A> {
    /// # Safety
    /// As for `realloc`, with `size` at most the layout's.
    unsafe fn shrink(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller has promised that `size` is not zero; the new block is smaller.
        unsafe {
            let smaller = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !smaller.is_null() {
                core::ptr::copy_nonoverlapping(block, smaller, size);
                self.dealloc(block, layout);
            }
            smaller
        }
    }
}

#[inline]
fn note_use() {
    // A load alone, after the first: no line of memory is written by every allocation.
    if !IN_USE.load(Ordering::Relaxed) {
        IN_USE.store(true, Ordering::Relaxed);
    }
}

/// # Safety
/// `block` is valid for writes of `len` bytes.
#[inline]
unsafe fn wipe(block: *mut u8, len: usize) {
    // SAFETY: the caller's promise. The barrier keeps the compiler from dropping writes to memory
    // that is about to be freed.
    unsafe { core::ptr::write_bytes(block, 0, len) };
    zeroize::optimization_barrier(&block);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An allocator that frees nothing, so that what was freed can be looked at.
    struct Keeping;

    // SAFETY: blocks come from the system and stay valid for good.
    unsafe impl GlobalAlloc for Keeping {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promises are those that the system asks for.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[test]
    fn a_block_is_wiped_when_it_is_freed_grown_or_shrunk_and_keeps_what_it_should() {
        let allocator = WipingAlloc::over(Keeping);
        let layout = Layout::array::<u8>(1000).unwrap();
        for size in [3000, 1000, 10] {
            // SAFETY: blocks are used within their sizes, and stay mapped because `Keeping` frees
            // nothing.
            unsafe {
                let first = allocator.alloc(layout);
                first.write_bytes(0xab, 1000);
                let second = allocator.realloc(first, layout, size);
                assert!(core::slice::from_raw_parts(first, 1000).iter().all(|&byte| byte == 0));
                let kept = size.min(1000);
                let bytes = core::slice::from_raw_parts(second, kept);
                assert!(bytes.iter().all(|&byte| byte == 0xab));
                allocator.dealloc(second, Layout::array::<u8>(size).unwrap());
                let bytes = core::slice::from_raw_parts(second, kept);
                assert!(bytes.iter().all(|&byte| byte == 0));
            }
        }
    }
}
