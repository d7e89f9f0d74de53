//! The engine's own timer: deadlines for futures that any executor polls.
//!
//! Owns the wakers of those who wait for a moment. A host may have no tokio, and a tokio `Sleep`
//! panics once its runtime is gone, so neither the host's timer nor the engine's can be lent out.
//!
//! 1. An [`Alarm`] is ready at its moment, or as soon as the timer has ended, never later.
//! 2. An alarm that is dropped leaves nothing behind: what waits here is bounded by what is polled.
//! 3. No foreign code (a waker's `wake`, `clone` or `drop`) runs under the lock.
//!
//! Cost: one short lock to begin waiting and one to end it, none for an answer that is there at the
//! first poll; the timer's thread wakes once for many alarms that are dropped in time.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// A handle to the timer of one engine.
#[derive(Clone)]
pub(crate) struct Timer(Arc<Shared>);

struct Shared {
    now: fn() -> Instant,
    waiting: Mutex<Waiting>,
    /// Rung by an alarm that cannot wait until the timer looks by itself.
    sooner: Notify,
    gone: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    alarms: BTreeMap<(Instant, u64), Waker>,
    /// When the timer looks next by itself. It may be sooner than any alarm: one that is dropped
    /// does not call the timer off, so that asks one after another do not wake it each time.
    armed: Option<Instant>,
    next_id: u64,
}

/// How the wait for a moment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rang {
    /// The moment has come.
    Due,
    /// The timer ended first: the engine's threads have stopped.
    TimerGone,
}

impl Timer {
    /// A timer that reads the machine's monotonic clock, whatever the runtime of the thread that
    /// asks has done to its own. The future must be polled on a runtime in real time.
    pub(crate) fn real() -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::reading(monotonic_now)
    }

    /// A timer that reads the clock of the caller's tokio runtime, which tests may pause. The
    /// timer, its future and all who wait belong on that runtime.
    #[cfg(test)]
    pub(crate) fn of_runtime() -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::reading(Instant::now)
    }

    fn reading(now: fn() -> Instant) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let timer = Self(Arc::new(Shared {
            now,
            waiting: Mutex::default(),
            sooner: Notify::new(),
            gone: AtomicBool::new(false),
        }));
        // Made here, not inside the future: it must ring even if that is dropped unpolled.
        let driving = Driving(timer.clone());
        (timer, async move { driving.run().await })
    }

    /// The moment it is.
    pub(crate) fn now(&self) -> Instant {
        (self.0.now)()
    }

    /// The moment `after` from now; the far future if that is not representable.
    pub(crate) fn after(&self, after: Duration) -> Instant {
        const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
        let now = self.now();
        now.checked_add(after).unwrap_or_else(|| now + FAR)
    }

    /// A future that is ready at `moment`.
    pub(crate) fn at(&self, moment: Instant) -> Alarm {
        Alarm { timer: self.clone(), moment, id: None }
    }

    /// What `future` comes to, or how the wait ended if that is not within `time`.
    pub(crate) async fn within<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Rang> {
        let mut alarm = pin!(self.at(self.after(time)));
        let mut future = pin!(future);
        // The future first: what is there is given, however late it is asked for.
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => alarm.as_mut().poll(cx).map(Err),
        })
        .await
    }

    /// Whether the timer has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock can panic half-way: a poisoned map is a whole one.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The future of [`Timer::at`].
#[must_use]
pub(crate) struct Alarm {
    timer: Timer,
    moment: Instant,
    id: Option<u64>,
}

impl Future for Alarm {
    type Output = Rang;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rang> {
        let alarm = self.get_mut();
        if alarm.timer.now() >= alarm.moment {
            return Poll::Ready(Rang::Due);
        }
        let waker = cx.waker().clone();
        let mut waiting = alarm.timer.lock();
        // Read under the lock: the timer sets it before it takes the lock to ring for all.
        if alarm.timer.is_gone() {
            return Poll::Ready(Rang::TimerGone);
        }
        let id = *alarm.id.get_or_insert_with(|| {
            waiting.next_id = waiting.next_id.wrapping_add(1);
            waiting.next_id
        });
        let replaced = waiting.alarms.insert((alarm.moment, id), waker);
        let is_sooner = waiting.armed.is_none_or(|armed| alarm.moment < armed);
        if is_sooner {
            waiting.armed = Some(alarm.moment);
        }
        drop(waiting);
        drop(replaced);
        if is_sooner {
            alarm.timer.0.sooner.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.timer.lock().alarms.remove(&(self.moment, id));
            drop(waker);
        }
    }
}

/// The side that rings. Dropping it, wherever its future is dropped, rings for everybody.
struct Driving(Timer);

impl Driving {
    async fn run(self) {
        let timer = &self.0;
        loop {
            let sooner = timer.0.sooner.notified();
            match self.ring_due() {
                Some(next) => {
                    // Elapsed or rung: both mean to look again.
                    let _ = tokio::time::timeout_at(next, sooner).await;
                }
                None => sooner.await,
            }
        }
    }

    /// Wakes all whose moment has come and answers the next one.
    fn ring_due(&self) -> Option<Instant> {
        let now = self.0.now();
        let mut waiting = self.0.lock();
        let later = waiting.alarms.split_off(&(now, u64::MAX));
        let due = core::mem::replace(&mut waiting.alarms, later);
        let next = waiting.alarms.keys().next().map(|(moment, _)| *moment);
        waiting.armed = next;
        drop(waiting);
        for waker in due.into_values() {
            waker.wake();
        }
        next
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.0.gone.store(true, Ordering::Release);
        let all = core::mem::take(&mut self.0.lock().alarms);
        for waker in all.into_values() {
            waker.wake();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "deadlines of asks, not lifetimes: they must not follow a clock that the host paused"
)]
fn monotonic_now() -> Instant {
    Instant::from_std(std::time::Instant::now())
}

#[cfg(test)]
mod tests;
