//! Family and code of every error: names that scripts rely on and that never change.

use std::io;

use super::Family;
use crate::error::{
    ContextError, CustomerKeyError, EnvelopeError, Error, KeyError, KeystoreProblem,
    LifecycleError, ObjectError, Refused,
};

pub(super) fn of(error: &Error) -> (Family, &'static str) {
    match error {
        Error::Refused(refused) => (Family::Refused, of_refused(*refused)),
        Error::OutcomeUnknown(_) => (Family::OutcomeUnknown, "outcome-unknown"),
        Error::Key(error) => (Family::Key, of_key(error)),
        Error::Envelope(error) => (Family::Envelope, of_envelope(*error)),
        Error::Context(error) => (Family::Context, of_context(*error)),
        Error::Object(ObjectError::Io(error)) => (Family::Io, of_io(error)),
        Error::Object(error) => (Family::Object, of_object(error)),
        Error::Keystore(error) => (Family::Keystore, of_keystore(&error.problem)),
        Error::Config(_) => (Family::Config, "not-valid"),
        Error::Lifecycle(error) => (Family::Lifecycle, of_lifecycle(error)),
        Error::AuditField(_) => (Family::Audit, "field"),
        Error::Vault(error) => (Family::Vault, error.code()),
        Error::ApiMisuse(_) => (Family::Internal, "api-misuse"),
        Error::Randomness => (Family::Internal, "randomness"),
        Error::Unreachable(_) => (Family::Internal, "unreachable"),
    }
}

fn of_refused(refused: Refused) -> &'static str {
    match refused {
        Refused::AuditUnavailable => "audit-unavailable",
        Refused::Down { .. } => "down",
        Refused::Draining => "draining",
        Refused::Failed => "failed",
        Refused::Forked => "forked",
        Refused::Frozen => "frozen",
        Refused::Full { .. } => "full",
        Refused::Late => "late",
        Refused::NotConfigured => "not-configured",
        Refused::Stale => "stale",
        Refused::Starting => "starting",
        Refused::Stopped => "stopped",
    }
}

fn of_key(error: &KeyError) -> &'static str {
    match error {
        KeyError::AlreadyExists => "already-exists",
        KeyError::Damaged(_) => "damaged",
        KeyError::Disabled => "disabled",
        KeyError::Unsupported { .. } => "unsupported",
        KeyError::CurrentVersion(_) => "current-version",
        KeyError::Invalid { .. } => "invalid",
        KeyError::InvalidState { .. } => "invalid-state",
        KeyError::LimitExceeded(_) => "limit-exceeded",
        KeyError::NotFound => "not-found",
        KeyError::OpenOnly => "open-only",
        KeyError::PendingDeletion => "pending-deletion",
        KeyError::Destroyed => "destroyed",
        KeyError::UsesExhausted => "uses-exhausted",
        KeyError::VersionDestroyed(_) => "version-destroyed",
        KeyError::VersionNotFound(_) => "version-not-found",
        KeyError::VersionRetired(_) => "version-retired",
    }
}

fn of_envelope(error: EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::DoesNotOpen => "does-not-open",
        EnvelopeError::Malformed(_) => "malformed",
        EnvelopeError::UnknownFormat(_) => "unknown-format",
        EnvelopeError::UnknownKey => "unknown-key",
        EnvelopeError::UnknownKeyVersion => "unknown-key-version",
        EnvelopeError::WrongPurpose => "wrong-purpose",
    }
}

fn of_context(error: ContextError) -> &'static str {
    match error {
        ContextError::DuplicateName => "duplicate-name",
        ContextError::EmptyName => "empty-name",
        ContextError::TooLong => "too-long",
        ContextError::TooManyPairs => "too-many-pairs",
    }
}

fn of_object(error: &ObjectError) -> &'static str {
    match error {
        ObjectError::DoesNotOpen => "does-not-open",
        ObjectError::Malformed(_) => "malformed",
        ObjectError::UnknownFormat(_) => "unknown-format",
        ObjectError::TooLong => "too-long",
        ObjectError::Io(error) => of_io(error),
        ObjectError::Invalid { .. } => "invalid",
        ObjectError::CustomerKey(CustomerKeyError::Length) => "customer-key-length",
        ObjectError::CustomerKey(CustomerKeyError::Missing) => "customer-key-missing",
        ObjectError::CustomerKey(CustomerKeyError::Unexpected) => "customer-key-unexpected",
        ObjectError::CustomerKey(CustomerKeyError::Wrong) => "customer-key-wrong",
        ObjectError::RangeNotSatisfiable { .. } => "range-not-satisfiable",
        ObjectError::NoSuchPart(_) => "no-such-part",
        ObjectError::PartTableMissing => "part-table-missing",
        ObjectError::PartOrder => "part-order",
        ObjectError::NeedsReseal => "needs-reseal",
    }
}

fn of_keystore(problem: &KeystoreProblem) -> &'static str {
    match problem {
        KeystoreProblem::AlreadyInitialised => "already-initialised",
        KeystoreProblem::RolledBack { .. } => "rolled-back",
        KeystoreProblem::AnchorMismatch => "anchor-mismatch",
        KeystoreProblem::AnchorUnavailable => "anchor-unavailable",
        KeystoreProblem::Damaged(_) => "damaged",
        KeystoreProblem::Foreign => "foreign",
        KeystoreProblem::Io { .. } => "io",
        KeystoreProblem::Locked => "locked",
        KeystoreProblem::Missing => "missing",
        KeystoreProblem::Mode { .. } => "mode",
        KeystoreProblem::NoRandomness => "no-randomness",
        KeystoreProblem::NotInitialised => "not-initialised",
        KeystoreProblem::NotTheLatest => "not-the-latest",
        KeystoreProblem::NotAFile => "not-a-file",
        KeystoreProblem::Owner { .. } => "owner",
        KeystoreProblem::Poisoned => "poisoned",
        KeystoreProblem::RootKey(_) => "root-key",
        KeystoreProblem::TooLarge => "too-large",
        KeystoreProblem::Truncated => "truncated",
        KeystoreProblem::UnknownFormat(_) => "unknown-format",
        KeystoreProblem::WrongRootKey => "wrong-root-key",
    }
}

fn of_lifecycle(error: &LifecycleError) -> &'static str {
    match error {
        LifecycleError::NotNow { .. } => "not-now",
        LifecycleError::BackendHung => "backend-hung",
        LifecycleError::SecretWiped => "secret-wiped",
        LifecycleError::Stuck(_) => "stuck",
        LifecycleError::Superseded(_) => "superseded",
        LifecycleError::Threads(_) => "threads",
    }
}

/// The kinds that a command meets in practice have codes of their own.
pub(super) fn of_io(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "not-found",
        io::ErrorKind::PermissionDenied => "permission-denied",
        io::ErrorKind::AlreadyExists => "already-exists",
        io::ErrorKind::IsADirectory => "is-a-directory",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "storage-full",
        _ => "other",
    }
}
