//! Telling a forked child from the process that started the engine.
//!
//! A child shares its parent's pool of random bytes and its use counts: both would hand out the
//! same keys and nonces. One page that the kernel wipes in a child (`MADV_WIPEONFORK`, Linux 4.14)
//! holds a word that is never zero in the process that made it. Reading it costs one load.

#![expect(unsafe_code, reason = "the page is mapped and unmapped here, and nowhere else")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// A word that reads as zero in a forked child.
pub(crate) struct ForkSentinel(NonNull<AtomicU64>);

impl ForkSentinel {
    /// Maps the page and marks it.
    ///
    /// # Errors
    /// The system's, if it maps no page or does not know `MADV_WIPEONFORK`.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        // SAFETY: a fresh private mapping at an address of the kernel's choice touches no memory
        // that anything else knows of.
        let page = unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            mmap_anonymous(core::ptr::null_mut(), PAGE_BYTES, flags, MapFlags::PRIVATE)?
        };
        let word = NonNull::new(page.cast::<AtomicU64>()).ok_or(rustix::io::Errno::NOMEM)?;
        let sentinel = Self(word);
        // SAFETY: the page was mapped above with this length and is not yet shared.
        unsafe { madvise(page, PAGE_BYTES, Advice::LinuxWipeOnFork)? };
        sentinel.word().store(MARK, Ordering::Relaxed);
        Ok(sentinel)
    }

    /// Whether this process is a fork of the one that made the sentinel.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.word().load(Ordering::Relaxed) == 0
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped, aligned and zeroed or marked for as long as `self` lives, and
        // is only ever reached as an atomic.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for ForkSentinel {
    fn drop(&mut self) {
        // SAFETY: `self` owns the mapping and nothing borrows from it any more. A failure would
        // leave one page behind, which harms nothing.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), PAGE_BYTES) };
    }
}

// SAFETY: what is behind the pointer is an atomic in memory that belongs to the process, not to a
// thread.
unsafe impl Send for ForkSentinel {}
// SAFETY: as above; every access is atomic.
unsafe impl Sync for ForkSentinel {}

/// Mappings are whole pages anyway; the kernel rounds up where pages are larger.
const PAGE_BYTES: usize = 4096;
const MARK: u64 = 0x706f_7274_6375_6c6c;
