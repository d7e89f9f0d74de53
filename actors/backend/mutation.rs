//! One change of one key, from intent to answer.
//!
//! ```text
//! gate open for writes?  ->  intent durable  ->  backend durable  ->  published
//!     ->  quiescence  ->  outcome durable  ->  answered
//! ```
//!
//! A change that only takes away goes without the first two: the brake acts first (guarantee 4).
//! Where another store is open already and waits to be swapped in, a brake is made durable there
//! too before it is answered.
//! The backend is away only up to "published"; the rest runs beside the next change.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::messages::MutationReport;
use super::supply::Errand;
use crate::actors::audit::Trail;
use crate::actors::port::Begun;
use crate::audit::{Caller, ErrorClass, Operation, Outcome, RecordRef, Stage};
use crate::backend::Backend;
use crate::clock::WallTime;
use crate::error::{Error, OutcomeUnknown, Refused};
use crate::gate::{Class, stripe_of_thread};
use crate::key::table::KeyTable;
use crate::key::{KeyDescription, KeyId, KeyRecord, KeyState, Mutation, VersionTag};
use crate::limits::QUIESCE_DEADLINE;
use crate::metrics::BackendCall;
use crate::plane::{Plane, TryError};
use crate::trace;

/// A change that waits for its turn.
pub(super) struct Job {
    pub(super) id: KeyId,
    pub(super) mutation: Mutation,
    pub(super) kind: Kind,
}

/// Who wants it.
pub(super) enum Kind {
    /// Somebody asked: audited.
    Asked { caller: Caller, span: Span, done: oneshot::Sender<Result<MutationReport, Error>> },
    /// Callers are short of use counts: not an act of anybody.
    Supply { errand: Errand, begun: Begun },
}

/// A backend that is away with a change, and the table in which its keys are published.
pub(super) struct Away {
    pub(super) keys: Arc<KeyTable>,
    pub(super) backend: Box<dyn Backend>,
}

/// The same, back from it.
pub(super) struct Returned {
    pub(super) keys: Arc<KeyTable>,
    pub(super) backend: Box<dyn Backend>,
    /// What is to be published.
    pub(super) record: Option<Arc<KeyRecord>>,
}

/// What a change came to.
pub(super) struct Done {
    pub(super) in_use: Returned,
    /// The candidate that a brake was carried over to.
    pub(super) next: Option<Returned>,
    /// It did not take it, and must not come into use.
    pub(super) next_failed: bool,
    /// What took something away, for a candidate that is not open yet.
    pub(super) brake: Option<Brake>,
    pub(super) finish: Finish,
}

/// A change that took something away from a key.
pub(super) struct Brake {
    id: KeyId,
    mutation: Mutation,
    /// The first version's tag, which tells keys of one id apart.
    origin: Option<VersionTag>,
}

/// What is left to do once the change is published.
pub(super) struct Finish {
    plane: Arc<Plane>,
    trail: Trail,
    job: Job,
    /// A description, not the record: nothing here may hold material past a stop.
    result: Result<(KeyDescription, bool), Error>,
}

impl Job {
    /// Whether somebody asked for something to be taken away.
    pub(super) fn is_brake(&self) -> bool {
        matches!(self.kind, Kind::Asked { .. }) && self.mutation.is_brake()
    }

    fn call(&self) -> BackendCall {
        match self.mutation {
            Mutation::ReserveUses { .. } => BackendCall::ReserveUses,
            _ => BackendCall::Change,
        }
    }

    /// Whose request it is part of.
    pub(super) fn span(&self) -> Span {
        match &self.kind {
            Kind::Asked { span, .. } => span.clone(),
            Kind::Supply { begun, .. } => begun.span().clone(),
        }
    }

    /// Refuses it before it began, which the trail counts where somebody asked (guarantee 4).
    pub(super) fn refuse(self, plane: &Plane, why: Refused) {
        if matches!(self.kind, Kind::Asked { .. }) {
            plane.refused(why);
        }
        self.fail(why.into());
    }

    pub(super) fn fail(self, error: Error) {
        match self.kind {
            Kind::Asked { done, .. } => drop(done.send(Err(error))),
            Kind::Supply { errand, .. } => errand.done(Err(error)),
        }
    }
}

/// Carries out `job` with the backend `in_use` and, if it is a brake, with the `next` one, up to
/// the point where it is durable.
pub(super) async fn carry_out(
    plane: Arc<Plane>,
    trail: Trail,
    in_use: Away,
    next: Option<Away>,
    job: Job,
) -> Done {
    let Away { keys, mut backend } = in_use;
    let now = plane.clock.wall();
    let mut result = match permitted(&plane, &trail, &job).await {
        Ok(()) => {
            let began = plane.clock.boot();
            let span = trace::backend(backend.kind().name(), job.call().name());
            let result = backend.mutate(&job.id, &job.mutation, now).instrument(span).await;
            let took = plane.clock.boot().since(began);
            plane.counts.called(backend.kind().name(), job.call(), took, &result);
            result
        }
        Err(error) => Err(error),
    };
    // Unchanged too: others may have changed it before.
    let record = result.as_ref().ok().map(|mutated| Arc::clone(&mutated.record));
    let brake = Brake::of(&job, record.as_ref());
    let in_use = Returned { keys, backend, record };
    let mut next = next.map(|Away { keys, backend }| Returned { keys, backend, record: None });
    let mut next_failed = false;
    if let (Some(next), Some(brake)) = (&mut next, &brake) {
        match carry_over(&mut *next.backend, brake, now).await {
            Ok(record) => next.record = record,
            Err(error) => {
                tracing::error!(%error, "a brake does not hold in the store that comes next");
                next_failed = true;
                // It holds here. Should that one be in use by now, somebody must look.
                result = Err(OutcomeUnknown.into());
            }
        }
    }
    let result = result.map(|mutated| (mutated.record.describe(), mutated.changed));
    let finish = Finish { plane, trail, job, result };
    Done { in_use, next, next_failed, brake, finish }
}

/// Carries a brake over to a store that is to come into use, where that holds the same key; the key
/// if it changed there.
///
/// # Errors
/// Those of the store, and of the rules where the brake does not apply there: then the store must
/// not come into use.
pub(super) async fn carry_over(
    backend: &mut dyn Backend,
    brake: &Brake,
    now: WallTime,
) -> Result<Option<Arc<KeyRecord>>, Error> {
    let is_same = |key: &Arc<KeyRecord>| brake.origin.is_some() && origin(key) == brake.origin;
    let state = backend.records().get(&brake.id).filter(|key| is_same(key)).map(|key| key.state);
    match state {
        // Another key, or one that is good for nothing already.
        None | Some(KeyState::PendingDeletion { .. } | KeyState::Destroyed) => Ok(None),
        Some(KeyState::Enabled | KeyState::Disabled) => {
            let mutated = backend.mutate(&brake.id, &brake.mutation, now).await?;
            Ok(mutated.changed.then_some(mutated.record))
        }
    }
}

impl Brake {
    fn of(job: &Job, record: Option<&Arc<KeyRecord>>) -> Option<Self> {
        let record = record.filter(|_| job.is_brake())?;
        let (id, mutation) = (job.id.clone(), job.mutation.clone());
        Some(Self { id, mutation, origin: origin(record) })
    }
}

fn origin(key: &KeyRecord) -> Option<VersionTag> {
    key.versions.first().map(|version| version.tag)
}

/// Whether the change may begin: the gate is open for it and its intent is durable.
async fn permitted(plane: &Plane, trail: &Trail, job: &Job) -> Result<(), Error> {
    let Kind::Asked { caller, .. } = &job.kind else {
        return Ok(());
    };
    if job.mutation.is_brake() {
        return Ok(());
    }
    let open = plane.section(Class::Write, |_| Ok(()));
    open.map_err(|error| match error {
        TryError::Failed(error) => error,
        TryError::NeedsHop(_) => Error::Unreachable("looking at the gate waits for nothing"),
    })?;
    trail.durable(&record(plane, caller, job, Stage::Intent, Outcome::Pending)).await
}

fn record<'r>(
    plane: &Plane,
    caller: &'r Caller,
    job: &'r Job,
    stage: Stage,
    outcome: Outcome,
) -> RecordRef<'r> {
    RecordRef {
        stage,
        outcome,
        key: Some(&job.id),
        generation: plane.generation().map_or(0, |generation| generation.number),
        ..RecordRef::event(caller, Operation::from(&job.mutation), plane.clock.wall())
    }
}

impl Finish {
    /// Runs [`Self::run`] beside whatever comes next.
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends by its own deadlines and owns its answer"
    )]
    pub(super) fn spawn(self) {
        let span = self.job.span();
        tokio::task::spawn_local(self.run().instrument(span));
    }

    async fn run(self) {
        let Self { plane, trail, job, result } = self;
        let result = match result {
            // Unchanged too: a section of before an earlier change may still be inside.
            Ok(done) if matches!(job.kind, Kind::Asked { .. }) => {
                settled(&plane).await.map(|()| done)
            }
            result => result,
        };
        let outcome = match &result {
            Ok(_) => Outcome::Succeeded,
            Err(error) => Outcome::Failed(ErrorClass::from(error)),
        };
        match &job.kind {
            Kind::Supply { .. } => {}
            // Its intent was not taken: the sink would keep the refusal waiting as long again.
            Kind::Asked { .. }
                if matches!(result, Err(Error::Refused(Refused::AuditUnavailable))) =>
            {
                plane.refused(Refused::AuditUnavailable);
            }
            Kind::Asked { caller, .. } => {
                let operation = Operation::from(&job.mutation);
                plane.counts.ended(stripe_of_thread(), operation, outcome);
                let record = record(&plane, caller, &job, Stage::Outcome, outcome);
                let audited = if job.mutation.is_brake() {
                    Ok(trail.brake(&record).await)
                } else {
                    trail.durable(&record).await.map(|()| true)
                };
                return job.answer(result, audited);
            }
        }
        job.answer(result, Ok(true));
    }
}

/// Nobody uses the state before the change any more (guarantee 2).
///
/// # Errors
/// [`OutcomeUnknown`] if a section stays inside: the change is durable, and not yet in force for it.
async fn settled(plane: &Plane) -> Result<(), Error> {
    let quiet = tokio::time::timeout(QUIESCE_DEADLINE, plane.gate.quiesce_owned()).await;
    quiet.map_err(|_late| OutcomeUnknown.into())
}

impl Job {
    fn answer(self, result: Result<(KeyDescription, bool), Error>, audited: Result<bool, Error>) {
        match self.kind {
            Kind::Supply { errand, .. } => errand.done(result.map(|_| ())),
            Kind::Asked { done, .. } => {
                // A change that is durable and whose outcome is not in the trail: the trail has its
                // intent without an outcome, and the caller must look before it tries again.
                let report = match (result, audited) {
                    (Ok((key, changed)), Ok(audited)) => {
                        Ok(MutationReport { key, changed, audited })
                    }
                    (Ok(_), Err(_)) => Err(OutcomeUnknown.into()),
                    (Err(error), _) => Err(error),
                };
                let _ = done.send(report);
            }
        }
    }
}
