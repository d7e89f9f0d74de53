//! Who waits for a side of the gate to empty: their wakers, and nothing else.
//!
//! A leaving permit that sees the waiting flag takes this list's lock for a few instructions and
//! wakes everybody in it. Only permits that were out at the flip can see the flag, so that is at
//! most once per permit and flip; no other passage comes near this lock. Cloning, waking and
//! dropping wakers, which is foreign code, happens outside it.
//!
//! **No wake-up is lost.** Who waits (1) leaves its waker here, then (2) looks at the count. The
//! last permit (a) counts itself out, then (b) takes the wakers. The lock puts (1) and (b) in an
//! order. If (b) is first, then (a) happened before (2), which therefore sees the count and does
//! not wait. If (1) is first, (b) finds the waker. Everybody is woken, not one, so it does not
//! matter who gives up in between.

use core::task::Waker;
use std::sync::PoisonError;

use super::atoms::{Mutex, MutexGuard};

/// The wakers of quiesces under way.
pub(super) struct Waiters(Mutex<Vec<(WaiterId, Waker)>>);

/// Tells the quiesces of one gate apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct WaiterId(pub(super) u64);

impl Waiters {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Leaves `waker` in place of the one that `id` left before.
    pub(super) fn register(&self, id: WaiterId, waker: &Waker) {
        let waker = waker.clone();
        let mut list = lock(&self.0);
        let replaced = match list.iter_mut().find(|(other, _)| *other == id) {
            Some((_, slot)) => Some(core::mem::replace(slot, waker)),
            None => {
                list.push((id, waker));
                None
            }
        };
        drop(list);
        drop(replaced);
    }

    /// Takes back the waker that `id` left, if it is still here.
    pub(super) fn remove(&self, id: WaiterId) {
        let mut list = lock(&self.0);
        let position = list.iter().position(|(other, _)| *other == id);
        let removed = position.map(|at| list.swap_remove(at));
        drop(list);
        drop(removed);
    }

    /// Wakes everybody; they look for themselves and come back if they must.
    #[cold]
    pub(super) fn wake_all(&self) {
        let wakers = core::mem::take(&mut *lock(&self.0));
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    #[cfg(all(test, not(gate_loom)))]
    pub(super) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

/// Locks, poisoned or not: no critical section of the gate leaves its data half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
