//! What no other part of the engine counts: operations by their outcome, refusals, backend calls.
//!
//! Counting a success is one addition in a line of the thread's own stripe. Failures share a table,
//! made row by row as they come: they are rare, or somebody is guessing, who may pay for it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use once_cell::race::OnceBox;

use super::durations::{Durations, Samples};
use crate::audit::{ErrorClass, Operation, Outcome};
use crate::error::Error;

/// Codes of error classes are less.
const CLASSES: usize = 64;

/// Codes of operations are less.
const OPERATIONS: usize = 128;

/// Codes of operations on callers' own threads are less.
const STRIPED: usize = 16;

/// The counts of one engine.
pub(crate) struct Counts {
    stripes: Box<[CachePadded<Stripe>]>,
    /// Successes of what actors do.
    others: [AtomicU64; OPERATIONS],
    failed: [OnceBox<[AtomicU64; CLASSES]>; OPERATIONS],
    calls: papaya::HashMap<(&'static str, BackendCall), Arc<Calls>>,
}

struct Stripe {
    succeeded: [AtomicU64; STRIPED],
    refused: [AtomicU64; CLASSES],
}

/// What is asked of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BackendCall {
    /// A key is changed.
    Change,
    /// The backend is opened and probed.
    Open,
    /// A block of use counts is reserved.
    ReserveUses,
    /// A data key is moved to the current version, where the backend does that itself.
    Rewrap,
    /// A data key is unwrapped, where the backend does that itself.
    Unwrap,
    /// A data key is wrapped, where the backend does that itself.
    Wrap,
}

impl BackendCall {
    /// The calls that are made to a backend whose keys are used in this process, or are not.
    pub(crate) fn made_to(is_in_process: bool) -> &'static [Self] {
        const CHANGES: &[BackendCall] =
            &[BackendCall::Change, BackendCall::Open, BackendCall::ReserveUses];
        const ALL: &[BackendCall] = &[
            BackendCall::Change,
            BackendCall::Open,
            BackendCall::ReserveUses,
            BackendCall::Rewrap,
            BackendCall::Unwrap,
            BackendCall::Wrap,
        ];
        if is_in_process { CHANGES } else { ALL }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Open => "open",
            Self::ReserveUses => "reserve-uses",
            Self::Rewrap => "rewrap",
            Self::Unwrap => "unwrap",
            Self::Wrap => "wrap",
        }
    }
}

/// Calls of one kind to one backend.
#[derive(Default)]
struct Calls {
    succeeded: Durations,
    refused: Durations,
    failed: Durations,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallsRead {
    /// How long those took, by outcome.
    pub(crate) by_outcome: [(&'static str, Samples); 3],
    /// Those that the backend itself failed.
    pub(crate) faults: u64,
}

impl Counts {
    pub(crate) fn new(stripes: usize) -> Self {
        let stripe = || Stripe {
            succeeded: core::array::from_fn(|_| AtomicU64::new(0)),
            refused: core::array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            stripes: (0..stripes.max(1)).map(|_| CachePadded::new(stripe())).collect(),
            others: core::array::from_fn(|_| AtomicU64::new(0)),
            failed: core::array::from_fn(|_| OnceBox::new()),
            calls: papaya::HashMap::new(),
        }
    }

    /// Counts the end of an operation, on a thread of `stripe`.
    #[inline]
    pub(crate) fn ended(&self, stripe: usize, operation: Operation, outcome: Outcome) {
        match outcome {
            Outcome::Failed(class) => self.failed(operation, class),
            Outcome::Succeeded => self.succeeded(stripe, operation),
            Outcome::Pending => {}
        }
    }

    #[inline]
    fn succeeded(&self, stripe: usize, operation: Operation) {
        let code = usize::from(operation.code());
        let striped = self.stripe(stripe).and_then(|stripe| stripe.succeeded.get(code));
        if let Some(count) = striped.or_else(|| self.others.get(code)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cold]
    fn failed(&self, operation: Operation, class: ErrorClass) {
        let row = self.failed.get(usize::from(operation.code()));
        let row = row
            .map(|row| row.get_or_init(|| Box::new(core::array::from_fn(|_| AtomicU64::new(0)))));
        if let Some(count) = row.and_then(|row| row.get(usize::from(class.code()))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts work that was turned away before it began.
    pub(crate) fn refused(&self, stripe: usize, why: ErrorClass) {
        let stripe = self.stripe(stripe);
        if let Some(count) = stripe.and_then(|stripe| stripe.refused.get(usize::from(why.code()))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a call to `backend` that took so long.
    pub(crate) fn called<T>(
        &self,
        backend: &'static str,
        call: BackendCall,
        took: Duration,
        result: &Result<T, Error>,
    ) {
        let calls = self.calls.pin();
        let calls = calls.get_or_insert_with((backend, call), Arc::default);
        match result {
            Ok(_) => calls.succeeded.add(took),
            Err(error) if is_fault(error) => calls.failed.add(took),
            Err(_) => calls.refused.add(took),
        }
    }

    #[inline]
    fn stripe(&self, stripe: usize) -> Option<&Stripe> {
        self.stripes.get(stripe % self.stripes.len()).map(|stripe| &**stripe)
    }

    /// Tells `each` of operations by outcome, of those that there were.
    pub(crate) fn operations(&self, mut each: impl FnMut(Operation, Option<ErrorClass>, u64)) {
        for operation in (0..=u8::MAX).filter_map(Operation::from_code) {
            let code = usize::from(operation.code());
            let mut succeeded = 0_u64;
            for stripe in &self.stripes {
                succeeded += stripe.succeeded.get(code).map_or(0, read);
            }
            succeeded += self.others.get(code).map_or(0, read);
            if succeeded > 0 {
                each(operation, None, succeeded);
            }
            let Some(failed) = self.failed.get(code).and_then(OnceBox::get) else {
                continue;
            };
            for (class, count) in (0..=u8::MAX).zip(failed) {
                if let Some(class) = ErrorClass::from_code(class)
                    && read(count) > 0
                {
                    each(operation, Some(class), read(count));
                }
            }
        }
    }

    /// How much was turned away because of `why`.
    pub(crate) fn refusals(&self, why: ErrorClass) -> u64 {
        let code = usize::from(why.code());
        self.stripes.iter().map(|stripe| stripe.refused.get(code).map_or(0, read)).sum()
    }

    /// Calls of one kind to `backend`.
    pub(crate) fn calls(&self, backend: &'static str, call: BackendCall) -> CallsRead {
        let calls = self.calls.pin();
        let Some(calls) = calls.get(&(backend, call)) else {
            return CallsRead::default();
        };
        let failed = calls.failed.read();
        let by_outcome = [
            ("success", calls.succeeded.read()),
            ("refused", calls.refused.read()),
            ("fault", failed),
        ];
        CallsRead { by_outcome, faults: failed.total() }
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn is_fault(error: &Error) -> bool {
    match blame(ErrorClass::from(error)) {
        Blame::Fault | Blame::Integrity => true,
        Blame::Denied | Blame::Invalid | Blame::Refused => false,
    }
}

/// Whose an error is, as the label `outcome` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The state of a key forbids it.
    Denied,
    /// The engine or what it stands on fails.
    Fault,
    /// Something stored is not what it was, or was sealed under something else.
    Integrity,
    /// The request is wrong.
    Invalid,
    /// The state or a limit of the engine forbids it for now.
    Refused,
}

impl Blame {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Fault => "fault",
            Self::Integrity => "integrity",
            Self::Invalid => "invalid",
            Self::Refused => "refused",
        }
    }
}

/// Whose an error of `class` is.
pub(crate) fn blame(class: ErrorClass) -> Blame {
    match class {
        ErrorClass::KeyDisabled
        | ErrorClass::KeyInvalidState
        | ErrorClass::KeyOpenOnly
        | ErrorClass::KeyPendingDeletion
        | ErrorClass::KeyDestroyed
        | ErrorClass::KeyUsesExhausted
        | ErrorClass::VersionDestroyed
        | ErrorClass::VersionRetired => Blame::Denied,
        ErrorClass::AuditUnavailable
        | ErrorClass::Failed
        | ErrorClass::OutcomeUnknown
        | ErrorClass::KeystoreUnavailable
        | ErrorClass::Internal => Blame::Fault,
        ErrorClass::EnvelopeDoesNotOpen
        | ErrorClass::EnvelopeUnknownKey
        | ErrorClass::ObjectDoesNotOpen
        | ErrorClass::KeystoreIntegrity => Blame::Integrity,
        ErrorClass::KeyAlreadyExists
        | ErrorClass::Unsupported
        | ErrorClass::KeyLimitExceeded
        | ErrorClass::KeyNotFound
        | ErrorClass::VersionNotFound
        | ErrorClass::EnvelopeMalformed
        | ErrorClass::EnvelopeWrongPurpose
        | ErrorClass::ObjectMalformed
        | ErrorClass::StreamFailed
        | ErrorClass::Abandoned
        | ErrorClass::InvalidRequest
        | ErrorClass::InvalidConfiguration
        | ErrorClass::InvalidState
        | ErrorClass::CustomerKeyRefused => Blame::Invalid,
        ErrorClass::AuditBufferFull
        | ErrorClass::Down
        | ErrorClass::Draining
        | ErrorClass::Forked
        | ErrorClass::Frozen
        | ErrorClass::Full
        | ErrorClass::Late
        | ErrorClass::NotConfigured
        | ErrorClass::Stale
        | ErrorClass::Starting
        | ErrorClass::Stopped => Blame::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{KeyError, KeystoreError, KeystoreProblem};

    #[test]
    fn every_operation_and_every_class_has_its_place() {
        let counts = Counts::new(3);
        for (stripe, operation) in Operation::ALL.iter().enumerate() {
            counts.ended(stripe, *operation, Outcome::Succeeded);
            counts.ended(stripe, *operation, Outcome::Pending);
            for class in ErrorClass::ALL {
                counts.ended(stripe, *operation, Outcome::Failed(*class));
            }
        }
        let mut seen = 0;
        counts.operations(|_, _, count| {
            assert_eq!(count, 1);
            seen += 1;
        });
        assert_eq!(seen, Operation::ALL.len() * (ErrorClass::ALL.len() + 1));
        for class in ErrorClass::ALL {
            counts.refused(1, *class);
            assert_eq!(counts.refusals(*class), 1);
        }
    }

    #[test]
    fn a_rule_that_a_call_met_is_no_fault_of_the_backend() {
        let counts = Counts::new(1);
        let full = KeystoreProblem::Io { operation: "writing", kind: std::io::ErrorKind::Other };
        let results: [Result<(), Error>; 3] = [
            Ok(()),
            Err(KeyError::AlreadyExists.into()),
            Err(KeystoreError::new("keys", full).into()),
        ];
        for result in &results {
            counts.called("local", BackendCall::Change, Duration::from_micros(3), result);
        }
        let read = counts.calls("local", BackendCall::Change);
        assert_eq!(read.by_outcome.map(|(_, samples)| samples.total()), [1, 1, 1]);
        assert_eq!(read.faults, 1);
        assert_eq!(counts.calls("local", BackendCall::Open).faults, 0);
    }
}
