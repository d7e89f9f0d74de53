//! The data plane: what a caller's own thread reads and does under a permit of the gate.
//!
//! Owns what callers share: the gate, the published generation, key memory, random bytes, audit
//! buffers, the operations under way. Actors publish into it and read from it; nothing in here
//! waits, and nothing in here knows of them.
//!
//! Invariants:
//!
//! 1. Keys are used only inside a section. What a section releases is recorded in it, and released
//!    only if the record was accepted (guarantee 4).
//! 2. A generation is published before the gate opens and withdrawn after it was closed and quiet.

pub(crate) mod data_key;
pub(crate) mod object;
pub(crate) mod operations;
pub(crate) mod payload;
pub(crate) mod range;
pub(crate) mod remote;
#[cfg(feature = "testing")]
pub(crate) mod stamps;
pub(crate) mod stream;
mod under_way;

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::audit::{
    self, AuditBuffers, Caller, Outcome, RecordRef, Release, Resource, Stage, Ticket,
};
use crate::backend::{BackendKind, Capabilities};
use crate::clock::{BootTime, Clock};
use crate::error::{Error, Refused};
use crate::gate::{Class, Gate, stripe_of_thread};
use crate::key::table::KeyTable;
use crate::key::{KeyId, KeyVersion};
use crate::metrics::Counts;
use crate::object::Suite;
use crate::secret::fork::ForkSentinel;
use crate::secret::random::RandomPool;
use crate::secret::slots::Slots;
use crate::status::{self, Status};

use self::operations::{AsOperations, Operations, Registered};
use self::remote::{Answers, Wanted};

/// What callers and actors of one engine share.
pub(crate) struct Plane {
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<RandomPool>,
    pub(crate) slots: Slots,
    pub(crate) audit: Arc<AuditBuffers>,
    pub(crate) operations: Operations,
    pub(crate) counts: Counts,
    pub(crate) status: ArcSwap<Status>,
    current: ArcSwapOption<Generation>,
    sentinel: ForkSentinel,
    #[cfg(feature = "testing")]
    pub(crate) stamps: stamps::Stamps,
}

/// What one successful start or reconfiguration published.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) keys: Arc<KeyTable>,
    pub(crate) backend: BackendKind,
    pub(crate) capabilities: Capabilities,
    pub(crate) release: Release,
    pub(crate) default_key: Option<KeyId>,
    pub(crate) cloned_host: bool,
    pub(crate) object_threads: usize,
}

impl Generation {
    /// With which AEAD objects are sealed.
    pub(crate) fn suite(&self) -> Suite {
        if self.cloned_host { Suite::Aes256GcmSiv } else { Suite::Aes256Gcm }
    }
}

impl Plane {
    /// A plane whose gate is closed and that knows no generation, and where the writer of its audit
    /// records finds them.
    ///
    /// # Errors
    /// The system's, if it cannot tell a forked child (see [`ForkSentinel`]).
    pub(crate) fn new<R>(
        clock: Arc<dyn Clock>,
        audit: impl FnOnce(usize) -> (AuditBuffers, R),
        status: Status,
    ) -> rustix::io::Result<(Self, R)> {
        let gate = Gate::new();
        let stripes = gate.stripes();
        let (audit, blocks) = audit(stripes);
        let plane = Self {
            gate: Arc::new(gate),
            clock,
            random: Arc::new(RandomPool::new(stripes, false)),
            slots: Slots::new(stripes),
            audit: Arc::new(audit),
            operations: Operations::new(),
            counts: Counts::new(stripes),
            status: ArcSwap::from_pointee(status),
            current: ArcSwapOption::empty(),
            sentinel: ForkSentinel::new()?,
            #[cfg(feature = "testing")]
            stamps: stamps::Stamps::default(),
        };
        Ok((plane, blocks))
    }

    /// Publishes `generation`; what it replaces is in use until quiescence.
    pub(crate) fn publish(&self, generation: Arc<Generation>) -> Option<Arc<Generation>> {
        self.current.swap(Some(generation))
    }

    /// Withdraws the generation.
    pub(crate) fn withdraw(&self) -> Option<Arc<Generation>> {
        self.current.swap(None)
    }

    /// The generation at this moment, outside a section: for what is not secret.
    pub(crate) fn generation(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Whether this process is a fork of the one that started the engine.
    pub(crate) fn is_forked(&self) -> bool {
        self.sentinel.is_forked()
    }

    /// Denies what is wrong before anything is looked up, and records that.
    pub(crate) fn deny<R>(
        &self,
        class: Class,
        call: &Call<'_>,
        operation: audit::Operation,
        error: impl Into<TryError>,
    ) -> Result<R, TryError> {
        self.section(class, |section| {
            let record = section.record(call, operation)?;
            section.release(&record, Err(error.into()), |_| {})
        })
    }

    /// Runs `work` in a section of the gate.
    #[inline]
    pub(crate) fn section<R>(
        &self,
        class: Class,
        work: impl FnOnce(&Section<'_>) -> Result<R, TryError>,
    ) -> Result<R, TryError> {
        if self.sentinel.is_forked() {
            return Err(Refused::Forked.into());
        }
        let passed = self.gate.pass(class, |permit| {
            let current = self.current.load();
            let Some(generation) = current.as_deref() else {
                return Err(Refused::Stopped.into());
            };
            let result = work(&Section { plane: self, class, generation, stripe: permit.stripe() });
            #[cfg(feature = "testing")]
            self.stamps.stamp(class, result.is_ok());
            result
        });
        match passed {
            Ok(result) => result,
            Err(closed) => {
                let why = status::refusal(closed.why);
                self.refused(why);
                Err(why.into())
            }
        }
    }

    /// A ticket for a new operation.
    ///
    /// # Errors
    /// [`Refused::Full`] if too many are under way; counted.
    pub(crate) fn register(self: &Arc<Self>) -> Result<Registered, Refused> {
        let registered = Operations::register(Arc::clone(self) as Arc<dyn AsOperations>);
        registered.inspect_err(|why| self.refused(*why))
    }

    /// Counts work that is turned away before it began, for the trail and for metrics.
    pub(crate) fn refused(&self, why: Refused) {
        let stripe = stripe_of_thread();
        self.audit.refused(stripe, why);
        self.counts.refused(stripe, audit::ErrorClass::from(why));
    }
}

/// One section: a permit, and what may be used under it.
pub(crate) struct Section<'p> {
    pub(crate) plane: &'p Plane,
    class: Class,
    pub(crate) generation: &'p Generation,
    pub(crate) stripe: usize,
}

/// One call of somebody, and what its section tells beside its result.
pub(crate) struct Call<'c> {
    caller: &'c Caller,
    /// Whether the caller can wait for what the section leaves to wait for.
    may_wait: bool,
    /// Whether its success is in the trail already.
    recorded: bool,
    ticket: Cell<Option<Ticket>>,
    rings: Cell<bool>,
    low: Cell<bool>,
    accepted: Cell<bool>,
    /// What the section asks of the backend, and in which generation.
    wants: Cell<Option<(Wanted, u64)>>,
    /// What the backend has answered to the call so far; nothing to one that cannot wait.
    answers: Option<&'c Answers>,
    /// The version of which a use was drawn.
    drawn: Cell<Option<KeyVersion>>,
}

impl<'c> Call<'c> {
    pub(crate) fn new(caller: &'c Caller, may_wait: bool) -> Self {
        Self {
            caller,
            may_wait,
            recorded: false,
            ticket: Cell::new(None),
            rings: Cell::new(false),
            low: Cell::new(false),
            accepted: Cell::new(false),
            wants: Cell::new(None),
            answers: None,
            drawn: Cell::new(None),
        }
    }

    /// A call whose success is in the trail already, and that is made again to release its result.
    pub(crate) fn recorded(caller: &'c Caller) -> Self {
        Self { recorded: true, ..Self::new(caller, true) }
    }

    /// A call that is made with what the backend has answered to it so far.
    pub(crate) fn with(self, answers: &'c Answers) -> Self {
        Self { answers: Some(answers), ..self }
    }

    /// What is to be asked of the backend before the call is made again, and in which generation
    /// that was found.
    pub(crate) fn wanted(&self) -> Option<(Wanted, u64)> {
        self.wants.take()
    }

    /// The record that must be written before the result may go, under `release = "durable"`.
    pub(crate) fn unwritten(&self) -> Option<Ticket> {
        self.ticket.get()
    }

    /// Whether the collector of audit records is to be rung.
    pub(crate) fn rings(&self) -> bool {
        self.rings.get()
    }

    /// Whether the key's block of use counts is half empty.
    pub(crate) fn is_low(&self) -> bool {
        self.low.get()
    }

    /// Whether a record of the call was accepted: never where the engine runs unaudited.
    pub(crate) fn was_recorded(&self) -> bool {
        self.accepted.get()
    }

    /// Says that it is.
    pub(crate) fn runs_low(&self) {
        self.low.set(true);
    }

    /// Says that a use of `version` was drawn.
    pub(crate) fn has_drawn(&self, version: KeyVersion) {
        self.drawn.set(Some(version));
    }
}

impl Section<'_> {
    /// Whether the gate has not been shut since the section began: looked at between the chunks of
    /// one section, so that a stop waits for one chunk.
    pub(crate) fn is_open(&self) -> bool {
        self.plane.gate.is_open(self.class)
    }

    /// Begins the record of what this section does.
    ///
    /// # Errors
    /// [`NeedsHop::DurableRecord`] if the record must be durable first and the caller cannot wait.
    #[inline]
    pub(crate) fn record<'r>(
        &self,
        call: &'r Call<'r>,
        operation: audit::Operation,
    ) -> Result<Recording<'r>, TryError> {
        let began = match self.generation.release {
            Release::Unaudited => BootTime::default(),
            Release::Durable if !call.may_wait => {
                return Err(TryError::NeedsHop(NeedsHop::DurableRecord));
            }
            Release::Accepted | Release::Durable => self.plane.clock.boot(),
        };
        Ok(Recording { call, operation, began, key: None, version: None, resource: None })
    }

    /// Ends the record with what came of it, and lets that go only if the record was accepted.
    ///
    /// A failure stays the failure that it was, even where its record finds no room: nothing is
    /// released then, and the loss is counted.
    #[inline]
    pub(crate) fn release<R>(
        &self,
        recording: &Recording<'_>,
        result: Result<R, TryError>,
        undo: impl FnOnce(&R),
    ) -> Result<R, TryError> {
        let outcome = match &result {
            Ok(_) if recording.call.recorded => return result,
            Ok(_) => Outcome::Succeeded,
            // What waits and comes again is recorded when it has come to something.
            Err(TryError::NeedsHop(_)) => return result,
            Err(TryError::Failed(error)) => {
                self.give_back(recording);
                Outcome::Failed(audit::ErrorClass::from(error))
            }
        };
        match (self.accept(recording, Stage::Outcome, outcome), result) {
            (Ok(()), result) => {
                self.plane.counts.ended(self.stripe, recording.operation, outcome);
                result
            }
            (Err(_), Err(error)) => {
                self.plane.counts.ended(self.stripe, recording.operation, outcome);
                Err(error)
            }
            (Err(why), Ok(released)) => {
                undo(&released);
                Err(why)
            }
        }
    }

    /// Puts a record into the caller's buffer, unless the engine runs unaudited.
    ///
    /// # Errors
    /// [`NeedsHop::AuditBuffer`] where it has no room, [`Refused::AuditUnavailable`] where the sink
    /// is down. A use that the section drew is given back then: it comes again, or to nothing.
    #[inline]
    pub(crate) fn accept(
        &self,
        recording: &Recording<'_>,
        stage: Stage,
        outcome: Outcome,
    ) -> Result<(), TryError> {
        if self.generation.release == Release::Unaudited {
            return Ok(());
        }
        let (clock, call) = (&self.plane.clock, recording.call);
        let now = clock.boot();
        let record = RecordRef {
            stage,
            outcome,
            key: recording.key,
            key_version: recording.version,
            resource: recording.resource,
            latency: now.since(recording.began),
            generation: self.generation.number,
            ..RecordRef::event(call.caller, recording.operation, clock.wall())
        };
        match self.plane.audit.accept(stripe_of_thread(), &record, now) {
            Ok(accepted) => {
                call.rings.set(accepted.ring);
                call.accepted.set(true);
                if self.generation.release == Release::Durable {
                    call.ticket.set(Some(accepted.ticket));
                }
                Ok(())
            }
            Err(refused) => {
                self.give_back(recording);
                match refused {
                    Refused::Full { .. } => Err(TryError::NeedsHop(NeedsHop::AuditBuffer)),
                    refused => {
                        let why = audit::ErrorClass::from(refused);
                        self.plane.counts.refused(self.stripe, why);
                        Err(refused.into())
                    }
                }
            }
        }
    }

    /// Gives back the use that was drawn for what this section does not release.
    #[cold]
    fn give_back(&self, recording: &Recording<'_>) {
        let (Some(key), Some(version)) = (recording.key, recording.call.drawn.take()) else {
            return;
        };
        self.generation.keys.with(key, |cell| {
            if let Some(uses) = cell.map(|cell| cell.view()).as_ref().and_then(|v| v.uses(version))
            {
                uses.give_back(self.stripe);
            }
        });
    }
}

/// A record that is being made.
pub(crate) struct Recording<'r> {
    call: &'r Call<'r>,
    operation: audit::Operation,
    began: BootTime,
    pub(crate) key: Option<&'r str>,
    pub(crate) version: Option<KeyVersion>,
    pub(crate) resource: Option<Resource<'r>>,
}

/// What a synchronous call cannot do by itself, and its asynchronous form awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NeedsHop {
    /// The caller's audit buffers are full.
    AuditBuffer,
    /// The backend uses the key itself, beyond this process.
    Backend,
    /// The record must be durable before anything is released (`release = "durable"`).
    DurableRecord,
    /// The key, or the version of it, is not known here: another engine may have made it since.
    KeyVersion,
    /// The key's block of use counts is empty. So it is at the first use of each key after a start:
    /// a start writes nothing to the store, because it may be made only to read, and a block that
    /// is reserved and not used counts as used.
    UseCounts,
}

impl fmt::Display for NeedsHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuditBuffer => "the audit buffers are full",
            Self::Backend => "the backend uses the key itself",
            Self::DurableRecord => "the audit record must be durable first",
            Self::KeyVersion => "the key or its version may have been made elsewhere since",
            Self::UseCounts => "the key's block of use counts is empty",
        })
    }
}

/// Why a synchronous call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryError {
    /// Nothing was done: call the asynchronous form, which waits for this.
    #[error("this call has to wait: {0}")]
    NeedsHop(NeedsHop),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl TryError {
    /// The error of what has nothing to wait for: a chunk, a lease, what is recorded already.
    pub(crate) fn into_waitless(self) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::NeedsHop(_) => Error::Unreachable("a call waits that has nothing to wait for"),
        }
    }
}

macro_rules! failed_from {
    ($($family:ty),*) => {$(
        impl From<$family> for TryError {
            fn from(error: $family) -> Self {
                Self::Failed(error.into())
            }
        }
    )*};
}

failed_from!(
    Refused,
    crate::error::KeyError,
    crate::error::EnvelopeError,
    crate::error::ObjectError
);

/// The bug that no input can cause.
pub(crate) fn unreachable_failure(_: crate::crypto::Failed) -> TryError {
    TryError::Failed(Error::Unreachable("a primitive refused lengths that were checked"))
}

/// How long a caller should wait before it asks for a lease again where all are taken.
pub(crate) const LEASE_RETRY: Duration = Duration::from_millis(100);
