//! Which records have been written, and who waits to hear it.
//!
//! Buffers are collected in rounds, stripe by stripe, and written in that order. A record's place
//! is the round that will collect it and its stripe, so one word says for every record whether it
//! is written: the place up to which everything is.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The place of an accepted record in the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Ticket {
    const STRIPE_BITS: u32 = 16;

    /// What `round` collects from `stripe`. Rounds start at one, so that zero is before them all.
    pub(super) fn new(round: u64, stripe: u16) -> Self {
        Self((round << Self::STRIPE_BITS) | u64::from(stripe))
    }

    pub(super) fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(super) fn word(self) -> u64 {
        self.0
    }
}

/// The writer ended before the record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterEnded;

/// How far the writer is.
#[derive(Default)]
pub(crate) struct Confirmed {
    up_to: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    ended: bool,
    next: u64,
    /// By ticket and, among equal ones, by who came first.
    wakers: BTreeMap<(u64, u64), Waker>,
}

impl Confirmed {
    /// Whether the record of `ticket` is written and flushed.
    pub(crate) fn is_written(&self, ticket: Ticket) -> bool {
        self.up_to.load(Ordering::Acquire) >= ticket.0
    }

    /// Waits until the record of `ticket` is written and flushed. Needs no runtime; dropping it
    /// leaves nothing behind.
    pub(crate) fn written(self: &Arc<Self>, ticket: Ticket) -> Written {
        Written { confirmed: Arc::clone(self), ticket, place: None }
    }

    /// Futures that wait at present.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().wakers.len()
    }

    /// Everything up to `ticket` is written and flushed.
    pub(super) fn advance(&self, ticket: Ticket) {
        self.up_to.fetch_max(ticket.0, Ordering::AcqRel);
        let mut waiting = self.lock();
        let later = waiting.wakers.split_off(&(ticket.0.saturating_add(1), 0));
        let served = core::mem::replace(&mut waiting.wakers, later);
        // A waker runs its executor's code: not under the lock.
        drop(waiting);
        served.into_values().for_each(wake);
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        let all = core::mem::take(&mut waiting.wakers);
        drop(waiting);
        all.into_values().for_each(wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Nothing under the lock leaves it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waker is the host's code: its panic must not take the writer with it.
fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// Ready once a record is written and flushed.
pub(crate) struct Written {
    confirmed: Arc<Confirmed>,
    ticket: Ticket,
    place: Option<(u64, u64)>,
}

impl Future for Written {
    type Output = Result<(), WriterEnded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let confirmed = Arc::clone(&self.confirmed);
        if confirmed.is_written(self.ticket) {
            return Poll::Ready(Ok(()));
        }
        let mut waiting = confirmed.lock();
        // Again under the lock: whoever advances from here on finds the waker.
        if confirmed.is_written(self.ticket) {
            return Poll::Ready(Ok(()));
        }
        if waiting.ended {
            return Poll::Ready(Err(WriterEnded));
        }
        let ticket = self.ticket.0;
        let place = *self.place.get_or_insert_with(|| {
            waiting.next += 1;
            (ticket, waiting.next)
        });
        // The one that is replaced is dropped outside the lock.
        let before = waiting.wakers.insert(place, context.waker().clone());
        drop(waiting);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.confirmed.lock().wakers.remove(&place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_waiter_is_ready_once_its_place_is_written_and_not_before() {
        let confirmed = Arc::new(Confirmed::default());
        let mut first = confirmed.written(Ticket::new(1, 3));
        let mut second = confirmed.written(Ticket::new(2, 0));
        assert_eq!((&mut first).now_or_never(), None);
        confirmed.advance(Ticket::new(1, 2));
        assert_eq!((&mut first).now_or_never(), None);
        confirmed.advance(Ticket::new(1, 3));
        assert_eq!((&mut first).now_or_never(), Some(Ok(())));
        assert_eq!((&mut second).now_or_never(), None);
        confirmed.end();
        assert_eq!((&mut second).now_or_never(), Some(Err(WriterEnded)));
    }

    #[test]
    fn waiters_that_give_up_leave_nothing_behind() {
        let confirmed = Arc::new(Confirmed::default());
        for stripe in 0..100 {
            let mut written = confirmed.written(Ticket::new(1, stripe));
            assert_eq!((&mut written).now_or_never(), None);
            assert_eq!((&mut written).now_or_never(), None, "polled again");
            assert_eq!(confirmed.waiting(), 1);
        }
        assert_eq!(confirmed.waiting(), 0);
    }

    #[test]
    fn waiters_on_other_threads_are_woken() {
        let confirmed = Arc::new(Confirmed::default());
        let threads: Vec<_> = (1..=64_u64)
            .map(|round| {
                let written = confirmed.written(Ticket::new(round, 0));
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(written)
                })
            })
            .collect();
        for round in 1..=64 {
            confirmed.advance(Ticket::new(round, 0));
        }
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
    }
}
