//! Pages that hold keys: locked into memory, left out of core dumps, wiped in forked children, and
//! fenced by pages that nobody may touch.
//!
//! ```text
//!   guard | key pages ... | guard        guards: PROT_NONE, an overrun faults
//!           mlock(2), MADV_DONTDUMP, MADV_WIPEONFORK (Linux 4.14)
//! ```
//!
//! A system that forbids locking (`RLIMIT_MEMLOCK`) still gets its keys, and [`report`] says how
//! much is not locked. Nothing is logged here: pages are also mapped inside sections of the gate,
//! where no subscriber of the host's runs. A system that cannot wipe pages in a forked child gets
//! none: both processes would hand out the same keys.
//!
//! Cost: two system calls a page or so, about 14 us; so pages are mapped many at a time.

#![expect(unsafe_code, reason = "memory is mapped, viewed and unmapped here")]

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::io::{Errno, Result};
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mlock, mmap_anonymous, mprotect, munmap,
};
use rustix::param::page_size;

/// Mapped pages, zero at first. They are unmapped, and so unlocked, when this is dropped; whoever
/// wrote keys there has wiped them before.
pub(super) struct Pages {
    /// First usable byte.
    first: NonNull<c_void>,
    bytes: usize,
    is_locked: bool,
}

/// A type of which a run of zero bytes is a valid value, and whose values may be shared.
///
/// # Safety
/// That is so, and dropping a value does nothing.
pub(super) unsafe trait AllZero: Sync {}

// SAFETY: an integer; zero is a value of it.
unsafe impl AllZero for AtomicU64 {}
// SAFETY: made of atomic integers alone, which have no drop.
unsafe impl AllZero for super::slots::Slot {}

impl Pages {
    /// Maps at least `bytes`, which is not zero.
    ///
    /// # Errors
    /// The system's, if it maps no pages or does not know `MADV_WIPEONFORK`.
    pub(super) fn map(bytes: usize) -> Result<Self> {
        let page = page_size();
        let bytes = bytes.checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
        let whole = bytes.checked_add(2 * page).ok_or(Errno::NOMEM)?;
        let none = core::ptr::null_mut();
        // SAFETY: a fresh private mapping at an address of the kernel's choice touches no memory
        // that anything else knows of.
        let start = unsafe { mmap_anonymous(none, whole, ProtFlags::empty(), MapFlags::PRIVATE)? };
        let first = NonNull::new(start.wrapping_byte_add(page)).ok_or(Errno::NOMEM)?;
        // From here on dropping it unmaps what was mapped, and takes it out of the counts.
        MAPPED.fetch_add(bytes, Ordering::Relaxed);
        UNLOCKED.fetch_add(bytes, Ordering::Relaxed);
        let mut pages = Self { first, bytes, is_locked: false };
        let first = first.as_ptr();
        // SAFETY: `first` and `bytes` lie inside the mapping made above, which nobody else has.
        unsafe {
            mprotect(first, bytes, MprotectFlags::READ | MprotectFlags::WRITE)?;
            madvise(first, bytes, Advice::LinuxWipeOnFork)?;
            madvise(first, bytes, Advice::LinuxDontDump)?;
            pages.is_locked = mlock(first, bytes).is_ok();
        }
        if pages.is_locked {
            UNLOCKED.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(pages)
    }

    /// Usable bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the system has locked them.
    pub(super) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// The pages as values of `T`.
    pub(super) fn view<T: AllZero>(&self) -> &[T] {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        let count = self.bytes / size_of::<T>();
        // SAFETY: the pages are mapped for as long as `self` lives, aligned to a page, and hold
        // zeroes or what was written through such a view: `T` is valid as zeroes, and a page has
        // one view only, because each owner uses one type.
        unsafe { core::slice::from_raw_parts(self.first.as_ptr().cast::<T>(), count) }
    }

    /// The address of byte `offset`, for the one owner that hands out parts of the pages.
    pub(super) fn part(&self, offset: usize) -> Option<NonNull<u8>> {
        if offset >= self.bytes {
            return None;
        }
        NonNull::new(self.first.as_ptr().cast::<u8>().wrapping_add(offset))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let page = page_size();
        let start = self.first.as_ptr().wrapping_byte_sub(page);
        MAPPED.fetch_sub(self.bytes, Ordering::Relaxed);
        if !self.is_locked {
            UNLOCKED.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        // SAFETY: `self` owns the mapping, guards included, and nothing borrows from it any more. A
        // failure would leave pages behind, which harms nothing.
        let _ = unsafe { munmap(start, self.bytes + 2 * page) };
    }
}

// SAFETY: the memory behind the pointer belongs to the process, not to a thread.
unsafe impl Send for Pages {}
// SAFETY: shared access is to `Sync` values, or to parts that `heap` gives to one owner each.
unsafe impl Sync for Pages {}

/// The key memory of this process, at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KeyMemory {
    /// Bytes of pages mapped for keys, in use or free.
    pub mapped_bytes: u64,
    /// Those of them that the system did not let us lock: they may be written to swap.
    pub unlocked_bytes: u64,
}

/// How much key memory this process has, and whether all of it is locked.
#[must_use]
pub fn report() -> KeyMemory {
    KeyMemory {
        mapped_bytes: MAPPED.load(Ordering::Relaxed) as u64,
        unlocked_bytes: UNLOCKED.load(Ordering::Relaxed) as u64,
    }
}

/// Maps and unmaps one page: whether the system lets this process lock memory now.
pub(crate) fn can_lock() -> bool {
    Pages::map(1).is_ok_and(|pages| pages.is_locked)
}

/// Counts of the process, as the system's limit is one of the process.
static MAPPED: AtomicUsize = AtomicUsize::new(0);
static UNLOCKED: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_as_zeroes_and_are_undumpable_and_fork_wiped_between_guards() {
        let pages = Pages::map(3 * page_size() - 5).unwrap();
        assert_eq!(pages.bytes(), 3 * page_size());
        let words = pages.view::<AtomicU64>();
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words.last().unwrap().store(7, Ordering::Relaxed);
        let at = pages.first.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = flags_of(&maps, at).unwrap();
        for flag in ["rd", "wr", "dd", "wf"] {
            assert!(flags.split(' ').any(|set| set == flag), "{flag} is not in {flags}");
        }
        assert_eq!(flags.split(' ').any(|set| set == "lo"), pages.is_locked, "{flags}");
        for guard in [at - 1, at + pages.bytes()] {
            let flags = flags_of(&maps, guard).unwrap();
            assert!(!flags.split(' ').any(|set| set == "rd"), "a guard can be read: {flags}");
        }
    }

    /// `VmFlags` of the mapping that holds `address` (proc(5)).
    fn flags_of(maps: &str, address: usize) -> Option<&str> {
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((from, to)) = range
                && let (Ok(from), Ok(to)) =
                    (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = (from..to).contains(&address);
            }
            if inside && let Some(flags) = line.strip_prefix("VmFlags: ") {
                return Some(flags.trim());
            }
        }
        None
    }
}
