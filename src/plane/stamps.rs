//! What tests need to see of sections: a stamp in each, before its permit is given back.
//!
//! Off unless a test switches it on, so that benches with the same feature share no counter.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::gate::Class;

/// Sections that ended well, by class.
#[derive(Default)]
pub(crate) struct Stamps {
    on: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Stamps {
    #[inline]
    pub(super) fn stamp(&self, class: Class, ended_well: bool) {
        if ended_well && self.on.load(Ordering::Relaxed) {
            let stamps = match class {
                Class::Read => &self.reads,
                Class::Write => &self.writes,
            };
            stamps.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How many reads and writes ended well since the first call, which switches it on.
    pub(crate) fn count(&self) -> (u64, u64) {
        self.on.store(true, Ordering::SeqCst);
        (self.reads.load(Ordering::SeqCst), self.writes.load(Ordering::SeqCst))
    }
}
