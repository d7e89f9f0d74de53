//! The slots that leases stand for: key bytes that the engine can wipe while a host still holds a
//! handle on them.
//!
//! Each stripe grows slabs of slots, in [`pages`](super::pages), as they are needed and keeps its
//! free slots in a list without locks. The bytes of a slot are atomic words, so that wiping needs no
//! cooperation from whoever holds the handle. A forked child finds every slot wiped, its version
//! too: no handle reads anything there.
//!
//! Invariants:
//!
//! 1. A slot's version is odd while it is taken. It grows each time the slot is taken and each time
//!    it is freed or wiped, which only one of the two can do; a handle of an earlier version reads
//!    nothing and frees nothing.
//! 2. A slot is wiped before it can be given out again.
//! 3. [`Slots::wipe`] runs when no section can read (the gate is closed and quiet), so no reader
//!    sees half a key.
//!
//! Taking and giving back a slot cost about 10 ns each, reading 32 bytes about 2 ns.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::pages::Pages;
use crate::limits::{DATA_KEY_BYTES_MAX, LEASES_PER_STRIPE_MAX};

/// All slots of an engine.
pub(crate) struct Slots {
    stripes: Box<[CachePadded<Stripe>]>,
    /// Whether pages that the system does not lock are refused.
    must_lock: AtomicBool,
}

/// One taken slot. Whoever drops it without [`Slots::free`] leaks the slot until the next wipe.
pub(crate) struct SlotHandle {
    stripe: u16,
    index: u32,
    version: u32,
    len: u8,
}

impl SlotHandle {
    /// Bytes of the key.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The stripe that the slot is of, less than [`Slots::stripes`].
    pub(crate) fn stripe(&self) -> usize {
        usize::from(self.stripe)
    }
}

/// The handle's key is gone: its slot was wiped.
pub(crate) struct Gone;

impl Slots {
    /// Slots in `stripes` stripes, none of them made yet.
    pub(crate) fn new(stripes: usize) -> Self {
        let stripes = (0..stripes).map(|_| CachePadded::new(Stripe::new())).collect();
        Self { stripes, must_lock: AtomicBool::new(false) }
    }

    /// Whether slots in pages that the system does not lock are refused, from now on.
    pub(crate) fn require_locked(&self, must_lock: bool) {
        self.must_lock.store(must_lock, Ordering::Relaxed);
    }

    /// How many stripes there are.
    pub(crate) fn stripes(&self) -> usize {
        self.stripes.len()
    }

    /// Puts a copy of `key` into a slot of `stripe` or, where that is full, of another; `None` if
    /// all are full or the key is longer than a slot.
    pub(crate) fn put(&self, stripe: usize, key: &[u8]) -> Option<SlotHandle> {
        let len = u8::try_from(key.len()).ok().filter(|_| key.len() <= DATA_KEY_BYTES_MAX)?;
        let count = self.stripes.len();
        let tries = (0..count).map(|n| (stripe + n) % count);
        let (stripe, index) = tries
            .filter_map(|at| Some((at, self.stripes.get(at)?.take(&self.must_lock)?)))
            .next()?;
        let slot = self.stripes.get(stripe)?.slot(index)?;
        slot.write(key);
        // Odd from here on: what a wipe finds odd has its key.
        let version = slot.version.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        Some(SlotHandle { stripe: u16::try_from(stripe).ok()?, index, version, len })
    }

    /// Copies the key of `handle` into `out`, which is as long as the key.
    ///
    /// # Errors
    /// [`Gone`] if the slot was wiped since.
    pub(crate) fn read(&self, handle: &SlotHandle, out: &mut [u8]) -> Result<(), Gone> {
        let slot = self.slot(handle).ok_or(Gone)?;
        slot.read(out);
        Ok(())
    }

    /// Whether the key of `handle` is still there.
    #[cfg(test)]
    pub(crate) fn holds(&self, handle: &SlotHandle) -> bool {
        self.slot(handle).is_some()
    }

    /// Wipes the slot of `handle` and makes it free.
    pub(crate) fn free(&self, handle: &SlotHandle) {
        let Some(stripe) = self.stripe(handle) else {
            return;
        };
        let Some(slot) = stripe.slot(handle.index) else {
            return;
        };
        let next = handle.version.wrapping_add(1);
        // Only one of a wipe and the handle's own drop may put the slot on the free list.
        let freed = slot.version.compare_exchange(
            handle.version,
            next,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if freed.is_ok() {
            slot.wipe();
            stripe.give_back(handle.index);
        }
    }

    /// How many slots are taken. Looks at each that was ever made, some 1 ns to 5 ns a slot.
    pub(crate) fn taken(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.taken()).sum()
    }

    /// Wipes every slot and makes every handle stale; how many held a key.
    ///
    /// The caller has closed the gate and waited until it was quiet (invariant 3).
    pub(crate) fn wipe(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.wipe()).sum()
    }

    fn stripe(&self, handle: &SlotHandle) -> Option<&Stripe> {
        self.stripes.get(handle.stripe()).map(|stripe| &**stripe)
    }

    fn slot(&self, handle: &SlotHandle) -> Option<&Slot> {
        let slot = self.stripe(handle)?.slot(handle.index)?;
        (slot.version.load(Ordering::Acquire) == handle.version).then_some(slot)
    }
}

/// Slabs and free list of one stripe.
struct Stripe {
    slabs: [OnceLock<Pages>; SLABS],
    /// Slots ever made.
    made: AtomicU32,
    /// [times the head changed u32 | index of the first free slot + 1 u32]; the upper half keeps a
    /// slow taker from swinging the head onto a slot that was taken and given back meanwhile.
    free: AtomicU64,
}

impl Stripe {
    fn new() -> Self {
        Self {
            slabs: [const { OnceLock::new() }; SLABS],
            made: AtomicU32::new(0),
            free: AtomicU64::new(0),
        }
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        let index = usize::try_from(index).ok()?;
        self.slabs.get(index / SLAB_SLOTS)?.get()?.view::<Slot>().get(index % SLAB_SLOTS)
    }

    fn take(&self, must_lock: &AtomicBool) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        while let Some(index) = first_of(head) {
            let next = self.slot(index)?.next.load(Ordering::Relaxed);
            let taken = changed(head, next);
            match self.free.compare_exchange_weak(head, taken, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    return Some(index);
                }
                Err(now) => head = now,
            }
        }
        self.make(must_lock.load(Ordering::Relaxed))
    }

    #[cold]
    fn make(&self, must_lock: bool) -> Option<u32> {
        let limit = u32::try_from(LEASES_PER_STRIPE_MAX).unwrap_or(u32::MAX);
        loop {
            let made = self.made.load(Ordering::Acquire);
            let slab = self.slabs.get(usize::try_from(made).ok()? / SLAB_SLOTS)?;
            // Pages first: an index without a slot would be lost for good.
            if slab.get().is_none() {
                let pages = Pages::map(SLAB_SLOTS * size_of::<Slot>()).ok()?;
                if must_lock && !pages.is_locked() {
                    return None;
                }
                // Whoever comes second drops its pages: nobody waits for another's system calls.
                let _ = slab.set(pages);
            }
            let next = (made < limit).then_some(made + 1)?;
            let won = self.made.compare_exchange(made, next, Ordering::AcqRel, Ordering::Relaxed);
            if won.is_ok() {
                return Some(made);
            }
        }
    }

    fn give_back(&self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            slot.next.store((head & LOW) as u32, Ordering::Relaxed);
            let given = changed(head, index.wrapping_add(1));
            match self.free.compare_exchange_weak(head, given, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn taken(&self) -> u64 {
        let slots = (0..self.made.load(Ordering::Acquire)).filter_map(|index| self.slot(index));
        let versions = slots.map(|slot| slot.version.load(Ordering::Relaxed));
        versions.map(|version| u64::from(!version.is_multiple_of(2))).sum()
    }

    fn wipe(&self) -> u64 {
        let mut wiped = 0;
        for index in 0..self.made.load(Ordering::Acquire) {
            let Some(slot) = self.slot(index) else {
                continue;
            };
            let version = slot.version.load(Ordering::Acquire);
            if version.is_multiple_of(2) {
                continue;
            }
            let freed = slot.version.compare_exchange(
                version,
                version.wrapping_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            // A handle that is dropped at this moment wipes the slot itself.
            if freed.is_ok() {
                slot.wipe();
                self.give_back(index);
                wiped += 1;
            }
        }
        wiped
    }
}

fn first_of(head: u64) -> Option<u32> {
    ((head & LOW) as u32).checked_sub(1)
}

fn changed(head: u64, first: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(first)
}

/// Room for one key.
#[repr(align(128))]
pub(super) struct Slot {
    words: [AtomicU64; WORDS],
    version: AtomicU32,
    next: AtomicU32,
}

impl Slot {
    fn write(&self, key: &[u8]) {
        let (words, rest) = key.as_chunks();
        for (word, bytes) in self.words.iter().zip(words) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(word) = self.words.get(words.len()) {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
    }

    fn read(&self, out: &mut [u8]) {
        let (words, rest) = out.as_chunks_mut();
        for (word, bytes) in self.words.iter().zip(&mut *words) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(word) = self.words.get(words.len()) {
            let last = word.load(Ordering::Relaxed).to_ne_bytes();
            rest.iter_mut().zip(last).for_each(|(to, from)| *to = from);
        }
    }

    fn wipe(&self) {
        // Atomic stores to memory that stays reachable are not optimised away.
        for word in &self.words {
            word.store(0, Ordering::Relaxed);
        }
        core::sync::atomic::fence(Ordering::Release);
    }
}

const WORDS: usize = DATA_KEY_BYTES_MAX / 8;
const SLAB_SLOTS: usize = 256;
const SLABS: usize = LEASES_PER_STRIPE_MAX / SLAB_SLOTS;
const LOW: u64 = 0xffff_ffff;

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_freed_slot_is_wiped_and_its_handle_is_dead() {
        let slots = Slots::new(1);
        let handle = slots.put(0, &[7; 32]).unwrap();
        let mut out = [0; 32];
        assert!(slots.read(&handle, &mut out).is_ok());
        assert_eq!(out, [7; 32]);
        slots.free(&handle);
        assert!(slots.read(&handle, &mut out).is_err());
        let slot = slots.stripes[0].slot(0).unwrap();
        assert!(slot.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        // Freeing twice must not put the slot on the list twice.
        slots.free(&handle);
        let (a, b) = (slots.put(0, &[1; 16]).unwrap(), slots.put(0, &[2; 16]).unwrap());
        assert_ne!(a.index, b.index);
    }

    #[test]
    fn wiping_leaves_no_key_and_every_slot_usable() {
        let slots = Slots::new(2);
        let handles: Vec<_> = (0..600).map(|n| slots.put(n % 2, &[9; 64]).unwrap()).collect();
        slots.free(&handles[0]);
        assert_eq!(slots.taken(), 599);
        assert_eq!(slots.wipe(), 599);
        assert_eq!(slots.taken(), 0);
        assert_eq!(slots.wipe(), 0);
        for stripe in &slots.stripes {
            for index in 0..stripe.made.load(Ordering::Relaxed) {
                let words = &stripe.slot(index).unwrap().words;
                assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
            }
        }
        for handle in &handles {
            assert!(!slots.holds(handle));
            slots.free(handle);
        }
        let again: Vec<_> = (0..600).map(|n| slots.put(n % 2, &[9; 64]).unwrap()).collect();
        assert!(again.iter().all(|handle| slots.holds(handle)));
        assert_eq!(slots.stripes[0].made.load(Ordering::Relaxed), 300);
    }

    #[test]
    fn a_full_stripe_borrows_from_the_next_and_then_refuses() {
        let slots = Slots::new(2);
        let all: Vec<_> =
            (0..2 * LEASES_PER_STRIPE_MAX).map(|_| slots.put(1, &[3; 16]).unwrap()).collect();
        assert!(slots.put(0, &[3; 16]).is_none());
        slots.free(&all[5]);
        assert!(slots.put(0, &[3; 16]).is_some());
        assert!(slots.put(0, &[0; 65]).is_none());
    }

    #[test]
    fn threads_never_share_a_slot() {
        let slots = Slots::new(1);
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let (slots, start) = (&slots, &start);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..20_000 {
                        let held = [slots.put(0, &[thread; 32]), slots.put(0, &[thread; 32])];
                        for handle in held.iter().flatten() {
                            let mut out = [0; 32];
                            assert!(slots.read(handle, &mut out).is_ok());
                            assert_eq!(out, [thread; 32]);
                            slots.free(handle);
                        }
                    }
                });
            }
        });
        assert!(slots.stripes[0].made.load(Ordering::Relaxed) <= 8);
    }
}
