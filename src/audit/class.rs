//! Why something failed, as records say it: one word of a fixed list, never the text of an error.

use super::operation::codes;
use crate::error::{
    EnvelopeError, Error, KeyError, KeystoreError, KeystoreProblem, ObjectError, Refused,
};

codes! {
    /// The class of an error in an audit record. Names and codes never change.
    ErrorClass {
        /// The audit sink takes no records.
        AuditUnavailable = 16 "audit-unavailable",
        /// The buffers for audit records are full.
        AuditBufferFull = 17 "audit-buffer-full",
        /// An actor is being rebuilt.
        Down = 18 "down",
        /// The engine is stopping.
        Draining = 19 "draining",
        /// The engine failed.
        Failed = 20 "failed",
        /// The process is a fork.
        Forked = 21 "forked",
        /// The engine is frozen.
        Frozen = 22 "frozen",
        /// A limit of admission is reached.
        Full = 23 "full",
        /// The deadline had passed.
        Late = 24 "late",
        /// There is no configuration.
        NotConfigured = 25 "not-configured",
        /// The handle belongs to an earlier start.
        Stale = 26 "stale",
        /// The engine is starting.
        Starting = 27 "starting",
        /// The engine is stopped.
        Stopped = 28 "stopped",
        /// The answer was lost: it may have been done.
        OutcomeUnknown = 29 "outcome-unknown",

        /// The key exists.
        KeyAlreadyExists = 32 "key-already-exists",
        /// The key is disabled.
        KeyDisabled = 33 "key-disabled",
        /// The backend cannot do it.
        Unsupported = 34 "unsupported",
        /// The key's state, or its current version, does not allow it.
        KeyInvalidState = 35 "key-invalid-state",
        /// A limit of the key or the keystore is reached.
        KeyLimitExceeded = 36 "key-limit-exceeded",
        /// There is no such key.
        KeyNotFound = 37 "key-not-found",
        /// The key only opens until it is rotated.
        KeyOpenOnly = 38 "key-open-only",
        /// The key waits for its deletion.
        KeyPendingDeletion = 39 "key-pending-deletion",
        /// The key is destroyed.
        KeyDestroyed = 40 "key-destroyed",
        /// The version has been used as often as is safe.
        KeyUsesExhausted = 41 "key-uses-exhausted",
        /// The version is destroyed.
        VersionDestroyed = 42 "version-destroyed",
        /// There is no such version.
        VersionNotFound = 43 "version-not-found",
        /// The version is retired.
        VersionRetired = 44 "version-retired",

        /// The envelope does not open.
        EnvelopeDoesNotOpen = 48 "envelope-does-not-open",
        /// The envelope is malformed or of an unknown format.
        EnvelopeMalformed = 49 "envelope-malformed",
        /// The envelope names a key or version of another history.
        EnvelopeUnknownKey = 50 "envelope-unknown-key",
        /// The envelope has another purpose.
        EnvelopeWrongPurpose = 51 "envelope-wrong-purpose",
        /// The object does not open.
        ObjectDoesNotOpen = 52 "object-does-not-open",
        /// The object is malformed, too long or of an unknown format.
        ObjectMalformed = 53 "object-malformed",
        /// The host's stream failed.
        StreamFailed = 54 "stream-failed",
        /// The host dropped a stream before its end.
        Abandoned = 55 "abandoned",

        /// A field, a context or the use of the interface is not valid.
        InvalidRequest = 56 "invalid-request",
        /// The configuration is not valid.
        InvalidConfiguration = 57 "invalid-configuration",
        /// The engine's state does not allow it.
        InvalidState = 58 "invalid-state",
        /// The keystore cannot be reached or used.
        KeystoreUnavailable = 59 "keystore-unavailable",
        /// The keystore is not as it was left.
        KeystoreIntegrity = 60 "keystore-integrity",
        /// A bug of the engine.
        Internal = 61 "internal",
        /// The customer key is absent, not the object's, or not wanted.
        CustomerKeyRefused = 62 "customer-key-refused",
    }
}

impl ErrorClass {
    /// One more than the highest code, for tables indexed by code.
    pub(super) const CODES: usize = 64;
}

impl From<&Error> for ErrorClass {
    fn from(error: &Error) -> Self {
        match error {
            Error::Refused(refused) => Self::from(*refused),
            Error::OutcomeUnknown(_) => Self::OutcomeUnknown,
            Error::Key(error) => Self::from(error),
            Error::Envelope(error) => Self::from(*error),
            Error::Context(_) | Error::AuditField(_) | Error::ApiMisuse(_) => Self::InvalidRequest,
            Error::Object(error) => Self::from(error),
            Error::Keystore(error) => Self::from(error),
            Error::Config(_) => Self::InvalidConfiguration,
            Error::Lifecycle(_) => Self::InvalidState,
            Error::Randomness | Error::Vault(_) => Self::KeystoreUnavailable,
            Error::Unreachable(_) => Self::Internal,
        }
    }
}

impl From<Refused> for ErrorClass {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AuditUnavailable => Self::AuditUnavailable,
            Refused::Down { .. } => Self::Down,
            Refused::Draining => Self::Draining,
            Refused::Failed => Self::Failed,
            Refused::Forked => Self::Forked,
            Refused::Frozen => Self::Frozen,
            Refused::Full { .. } => Self::Full,
            Refused::Late => Self::Late,
            Refused::NotConfigured => Self::NotConfigured,
            Refused::Stale => Self::Stale,
            Refused::Starting => Self::Starting,
            Refused::Stopped => Self::Stopped,
        }
    }
}

impl From<&KeyError> for ErrorClass {
    fn from(error: &KeyError) -> Self {
        match error {
            KeyError::AlreadyExists => Self::KeyAlreadyExists,
            KeyError::Damaged(_) => Self::KeystoreIntegrity,
            KeyError::Disabled => Self::KeyDisabled,
            KeyError::Unsupported { .. } => Self::Unsupported,
            KeyError::CurrentVersion(_) | KeyError::InvalidState { .. } => Self::KeyInvalidState,
            KeyError::Invalid { .. } => Self::InvalidRequest,
            KeyError::LimitExceeded(_) => Self::KeyLimitExceeded,
            KeyError::NotFound => Self::KeyNotFound,
            KeyError::OpenOnly => Self::KeyOpenOnly,
            KeyError::PendingDeletion => Self::KeyPendingDeletion,
            KeyError::Destroyed => Self::KeyDestroyed,
            KeyError::UsesExhausted => Self::KeyUsesExhausted,
            KeyError::VersionDestroyed(_) => Self::VersionDestroyed,
            KeyError::VersionNotFound(_) => Self::VersionNotFound,
            KeyError::VersionRetired(_) => Self::VersionRetired,
        }
    }
}

impl From<EnvelopeError> for ErrorClass {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::DoesNotOpen => Self::EnvelopeDoesNotOpen,
            EnvelopeError::Malformed(_) | EnvelopeError::UnknownFormat(_) => {
                Self::EnvelopeMalformed
            }
            EnvelopeError::UnknownKey | EnvelopeError::UnknownKeyVersion => {
                Self::EnvelopeUnknownKey
            }
            EnvelopeError::WrongPurpose => Self::EnvelopeWrongPurpose,
        }
    }
}

impl From<&ObjectError> for ErrorClass {
    fn from(error: &ObjectError) -> Self {
        match error {
            ObjectError::DoesNotOpen => Self::ObjectDoesNotOpen,
            ObjectError::Malformed(_) | ObjectError::UnknownFormat(_) | ObjectError::TooLong => {
                Self::ObjectMalformed
            }
            ObjectError::Io(_) => Self::StreamFailed,
            ObjectError::CustomerKey(_) => Self::CustomerKeyRefused,
            ObjectError::Invalid { .. }
            | ObjectError::RangeNotSatisfiable { .. }
            | ObjectError::NoSuchPart(_)
            | ObjectError::PartTableMissing
            | ObjectError::PartOrder
            | ObjectError::NeedsReseal => Self::InvalidRequest,
        }
    }
}

impl From<&KeystoreError> for ErrorClass {
    fn from(error: &KeystoreError) -> Self {
        match error.problem {
            KeystoreProblem::RolledBack { .. }
            | KeystoreProblem::AnchorMismatch
            | KeystoreProblem::Damaged(_)
            | KeystoreProblem::Foreign
            | KeystoreProblem::Missing
            | KeystoreProblem::NotTheLatest
            | KeystoreProblem::NotAFile
            | KeystoreProblem::Mode { .. }
            | KeystoreProblem::Owner { .. }
            | KeystoreProblem::TooLarge
            | KeystoreProblem::Truncated
            | KeystoreProblem::UnknownFormat(_) => Self::KeystoreIntegrity,
            KeystoreProblem::AlreadyInitialised
            | KeystoreProblem::AnchorUnavailable
            | KeystoreProblem::Io { .. }
            | KeystoreProblem::Locked
            | KeystoreProblem::NoRandomness
            | KeystoreProblem::NotInitialised
            | KeystoreProblem::Poisoned
            | KeystoreProblem::RootKey(_)
            | KeystoreProblem::WrongRootKey => Self::KeystoreUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_fit_the_tables() {
        let names: HashSet<_> = ErrorClass::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
        for &class in ErrorClass::ALL {
            assert_eq!(ErrorClass::from_code(class.code()), Some(class));
            // Codes below 16 say that nothing failed (`Outcome`).
            assert!((16..ErrorClass::CODES).contains(&usize::from(class.code())));
        }
    }
}
