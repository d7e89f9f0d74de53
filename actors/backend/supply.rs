//! Waiting for use counts: one message a key is under way, however many callers wait.
//!
//! Owns who waits for which key. Every caller of a key that nobody has used since the start finds
//! its block empty at once; a message each would fill the mailbox with the same question.
//!
//! Invariants:
//!
//! 1. A key has an entry while a message for it is under way, and whoever comes meanwhile joins.
//! 2. All who joined are told once, and the entry is gone before they are: the [`Errand`] that
//!    travels with the message tells them even where that is lost with its actor.
//! 3. Nobody works for the others: a caller who gives up leaves nothing undone.
//! 4. At most [`SUPPLY_WAITERS_MAX`] wait for one key.

use core::future::Future;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::actor::BackendActor;
use super::messages::ReserveUses;
use crate::actors::port::Port;
use crate::actors::timer::{Rang, Timer};
use crate::error::{Error, Refused};
use crate::key::KeyId;
use crate::limits::{ASK_DEADLINE, REBUILD_BACKOFF_MIN, SUPPLY_WAITERS_MAX};

/// The way to more use counts.
#[derive(Clone)]
pub(crate) struct Supplies {
    waiting: Arc<Waiting>,
    port: Port<BackendActor>,
    timer: Timer,
}

type Waiter = oneshot::Sender<Result<(), Error>>;

#[derive(Default)]
struct Waiting(Mutex<HashMap<KeyId, Vec<Waiter>>>);

impl Supplies {
    pub(crate) fn new(port: Port<BackendActor>, timer: Timer) -> Self {
        Self { waiting: Arc::default(), port, timer }
    }

    /// Waits until the key has been asked for another block. Dropping the future disturbs nobody.
    ///
    /// # Errors
    /// Why there is none, as everybody who waits is told; [`Refused::Full`] if too many wait.
    pub(crate) fn wait(
        &self,
        id: &KeyId,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static + use<> {
        let (waiter, answer) = oneshot::channel();
        let joined = self.waiting.join(id, Some(waiter));
        let sent = match joined {
            Ok(Joined::First) => self.send(id),
            Ok(Joined::Others) => Ok(()),
            Err(full) => Err(full),
        };
        let timer = self.timer.clone();
        async move {
            sent?;
            match timer.within(ASK_DEADLINE, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(LOST.into()),
                Err(Rang::Due) => Err(Refused::Late.into()),
                Err(Rang::TimerGone) => Err(Refused::Stopped.into()),
            }
        }
    }

    /// Has another block reserved before the last one is empty; nobody waits for it. Lost, it is
    /// asked for again by whoever finds that empty.
    pub(crate) fn ask_ahead(&self, id: &KeyId) {
        if matches!(self.waiting.join(id, None), Ok(Joined::First)) {
            let _ = self.send(id);
        }
    }

    fn send(&self, id: &KeyId) -> Result<(), Refused> {
        let errand = Errand { id: id.clone(), waiting: Some(Arc::clone(&self.waiting)) };
        self.port.tell(ReserveUses { id: id.clone(), errand })
    }
}

enum Joined {
    /// A message is to be sent.
    First,
    /// One is under way.
    Others,
}

impl Waiting {
    fn join(&self, id: &KeyId, waiter: Option<Waiter>) -> Result<Joined, Refused> {
        let mut waiting = self.lock();
        let Some(others) = waiting.get_mut(id) else {
            waiting.insert(id.clone(), waiter.into_iter().collect());
            return Ok(Joined::First);
        };
        if others.len() >= SUPPLY_WAITERS_MAX {
            others.retain(|other| !other.is_closed());
        }
        if others.len() >= SUPPLY_WAITERS_MAX {
            let (limit, retry_after) = ("SUPPLY_WAITERS_MAX", REBUILD_BACKOFF_MIN);
            return Err(Refused::Full { limit, retry_after });
        }
        others.extend(waiter);
        Ok(Joined::Others)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Vec<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to tell those who wait for a key, wherever its message ends.
pub(crate) struct Errand {
    id: KeyId,
    waiting: Option<Arc<Waiting>>,
}

impl Errand {
    /// Tells them.
    pub(super) fn done(mut self, answer: Result<(), Error>) {
        self.tell(&answer);
    }

    fn tell(&mut self, answer: &Result<(), Error>) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        // A waker is the host's code: not under the lock.
        let waiters = waiting.lock().remove(&self.id);
        for waiter in waiters.into_iter().flatten() {
            let _ = waiter.send(answer.as_ref().copied().map_err(Error::for_another));
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.tell(&Err(LOST.into()));
    }
}

/// The actor was lost with the message. Asking again is safe: at worst a block is reserved twice.
const LOST: Refused = Refused::Down { actor: "backend", retry_after: REBUILD_BACKOFF_MIN };
