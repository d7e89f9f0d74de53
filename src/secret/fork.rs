//! Telling a forked child from the process that started the engine.
//!
//! A child shares its parent's pool of random bytes and its use counts: both would hand out the
//! same keys and nonces. One page that the kernel wipes in a child holds a word that is never zero
//! in the process that made it. Reading it costs one load.

use core::sync::atomic::{AtomicU64, Ordering};

use super::pages::Pages;

/// A word that reads as zero in a forked child.
pub(crate) struct ForkSentinel(Pages);

impl ForkSentinel {
    /// Maps the page and marks it.
    ///
    /// # Errors
    /// The system's, if it maps no page or does not know `MADV_WIPEONFORK`.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let page = Pages::map(size_of::<AtomicU64>())?;
        for word in page.view::<AtomicU64>() {
            word.store(MARK, Ordering::Relaxed);
        }
        Ok(Self(page))
    }

    /// Whether this process is a fork of the one that made the sentinel.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.0.view::<AtomicU64>().first().is_none_or(|word| word.load(Ordering::Relaxed) == 0)
    }
}

const MARK: u64 = 0x706f_7274_6375_6c6c;
