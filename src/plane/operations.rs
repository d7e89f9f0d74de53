//! Work that is longer than a section: operations, each with a ticket that can be cut.
//!
//! A ticket holds what its operation works with - the scheduled key of a stream, or the data key
//! that it will be made of - so that a stop takes the key away without the operation's help: a host
//! that never polls its stream again, or leaked it, keeps nothing alive.
//!
//! Invariants:
//!
//! 1. A ticket that was cut yields its cipher to nobody.
//! 2. Cutting runs when the gate is closed and quiet, so it never meets a section that works with
//!    the cipher; the lock is for the compiler, and sections only ever try it. Several threads may
//!    work with one cipher at once.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::crypto::aead::KEY_BYTES;
use crate::error::{Error, ObjectError, Refused};
use crate::limits::OPERATIONS_MAX;
use crate::object::ChunkCipher;
use crate::secret::Secret;

/// The operations under way in one engine.
pub(crate) struct Operations {
    live: Mutex<BTreeMap<u64, Arc<Ticket>>>,
    next: AtomicU64,
}

/// One operation's right to go on.
pub(crate) struct Ticket {
    work: RwLock<Work>,
}

enum Work {
    /// Its key is not known yet.
    Waiting,
    /// Its data key is; what it works with depends on what is still to be read.
    Holding(Secret<KEY_BYTES>),
    Running(ChunkCipher),
    Cut(Refused),
}

/// A ticket in its operation's hands; dropping it ends the operation.
pub(crate) struct Registered {
    operations: Arc<dyn AsOperations>,
    number: u64,
    ticket: Arc<Ticket>,
}

/// Whatever owns the [`Operations`], so that a ticket can end itself there.
pub(crate) trait AsOperations: Send + Sync {
    fn operations(&self) -> &Operations;
}

impl Operations {
    pub(crate) fn new() -> Self {
        Self { live: Mutex::new(BTreeMap::new()), next: AtomicU64::new(0) }
    }

    /// A ticket for a new operation.
    ///
    /// # Errors
    /// [`Refused::Full`] if [`OPERATIONS_MAX`] are under way.
    pub(crate) fn register(owner: Arc<dyn AsOperations>) -> Result<Registered, Refused> {
        let ticket = Arc::new(Ticket { work: RwLock::new(Work::Waiting) });
        let operations = owner.operations();
        let number = operations.next.fetch_add(1, Ordering::Relaxed);
        let mut live = lock(&operations.live);
        if live.len() >= OPERATIONS_MAX {
            let retry_after = super::LEASE_RETRY;
            return Err(Refused::Full { limit: "OPERATIONS_MAX", retry_after });
        }
        live.insert(number, Arc::clone(&ticket));
        drop(live);
        Ok(Registered { operations: owner, number, ticket })
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        lock(&self.live).len()
    }

    /// Cuts every operation with `why` and wipes their keys; how many held one. The gate is closed
    /// and quiet (invariant 2).
    pub(crate) fn cut(&self, why: Refused) -> u64 {
        let live = core::mem::take(&mut *lock(&self.live));
        let cut = |ticket: Arc<Ticket>| {
            let mut work = ticket.work.write().unwrap_or_else(PoisonError::into_inner);
            let work = core::mem::replace(&mut *work, Work::Cut(why));
            u64::from(matches!(work, Work::Holding(_) | Work::Running(_)))
        };
        live.into_values().map(cut).sum()
    }
}

impl Registered {
    /// Gives the operation what it works with. Called in the section that made or opened its key.
    ///
    /// # Errors
    /// Why it was cut, if it was.
    pub(crate) fn begin(&self, cipher: ChunkCipher) -> Result<(), Refused> {
        self.put(Work::Running(cipher))
    }

    /// Gives the operation its data key, to be kept until [`Self::derive`]. Called in the section
    /// that opened it.
    ///
    /// # Errors
    /// Why it was cut, if it was.
    pub(crate) fn hold(&self, data_key: Secret<KEY_BYTES>) -> Result<(), Refused> {
        self.put(Work::Holding(data_key))
    }

    /// Makes the cipher from the data key that is held, which is wiped. Called in a section.
    ///
    /// # Errors
    /// Why the operation was cut, if it was, and those of `derive`.
    pub(crate) fn derive(
        &self,
        derive: impl FnOnce(&[u8; KEY_BYTES]) -> Result<ChunkCipher, ObjectError>,
    ) -> Result<(), Error> {
        let mut work = self.ticket.work.try_write().map_err(|_| Refused::Draining)?;
        let cipher = match &*work {
            Work::Holding(data_key) => derive(data_key.expose())?,
            Work::Waiting | Work::Running(_) => return Err(Refused::Stale.into()),
            Work::Cut(why) => return Err((*why).into()),
        };
        *work = Work::Running(cipher);
        Ok(())
    }

    fn put(&self, new: Work) -> Result<(), Refused> {
        let mut work = self.ticket.work.try_write().map_err(|_| Refused::Draining)?;
        if let Work::Cut(why) = &*work {
            return Err(*why);
        }
        *work = new;
        Ok(())
    }

    /// Works with the operation's key. Called in a section.
    ///
    /// # Errors
    /// Why the operation was cut, if it was.
    pub(crate) fn with_cipher<R>(
        &self,
        work: impl FnOnce(&ChunkCipher) -> R,
    ) -> Result<R, Refused> {
        match &*self.ticket.work.try_read().map_err(|_| Refused::Draining)? {
            Work::Running(cipher) => Ok(work(cipher)),
            Work::Waiting | Work::Holding(_) => Err(Refused::Stale),
            Work::Cut(why) => Err(*why),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.operations.operations().live).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic inside a section leaves nothing half done in here.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
