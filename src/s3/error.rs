//! What a client of S3 is told: S3's code, its HTTP status, a message.
//!
//! Two tables: the refusals of this module, and the engine's errors as S3 would tell them. A code
//! says no more than S3 says: what stands in the engine's own error is for the host's log.

use core::fmt;

use crate::error::{CustomerKeyError, EnvelopeError, Error, KeyError, ObjectError, Refused};

/// One row per code: its documentation, its name on the wire and its HTTP status.
macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $status:literal,)*) => {
        /// An error code of S3's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, as it stands in the `Code` element of S3's error document.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

table! {
    /// The customer's key is not the object's, or the bucket takes no customer's keys.
    AccessDenied = "AccessDenied" 403,
    /// The object is longer than the format allows.
    EntityTooLarge = "EntityTooLarge" 400,
    /// Something is wrong on this side; the host's log says what.
    InternalError = "InternalError" 500,
    /// A header has a value that is not allowed, alone or beside another.
    InvalidArgument = "InvalidArgument" 400,
    /// The algorithm for a customer's key is not AES256.
    InvalidEncryptionAlgorithm = "InvalidEncryptionAlgorithmError" 400,
    /// A part is not in the order of the parts' numbers.
    InvalidPartOrder = "InvalidPartOrder" 400,
    /// The object has no such part.
    InvalidPartNumber = "InvalidPartNumber" 416,
    /// No byte of the range is in the object.
    InvalidRange = "InvalidRange" 416,
    /// The headers do not fit the object or the connection.
    InvalidRequest = "InvalidRequest" 400,
    /// The master key is disabled.
    KmsDisabled = "KMS.DisabledException" 400,
    /// The master key's state does not allow it.
    KmsInvalidState = "KMS.KMSInvalidStateException" 400,
    /// There is no such master key.
    KmsNotFound = "KMS.NotFoundException" 400,
    /// A configuration is not of the published form.
    MalformedXml = "MalformedXML" 400,
    /// What was asked for is not built, or not possible with this backend.
    NotImplemented = "NotImplemented" 501,
    /// The engine does not take work now.
    ServiceUnavailable = "ServiceUnavailable" 503,
    /// The engine takes no more work at the moment.
    SlowDown = "SlowDown" 503,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal as S3 tells it.
///
/// It repeats nothing of what the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct S3Error {
    /// The code; it decides the HTTP status.
    pub code: Code,
    /// What is wrong, for whoever sent the request.
    pub message: &'static str,
}

impl S3Error {
    pub(super) const fn new(code: Code, message: &'static str) -> Self {
        Self { code, message }
    }

    pub(super) const fn argument(message: &'static str) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(super) const fn request(message: &'static str) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// What a client is told where the host itself fails.
    #[must_use]
    pub const fn internal() -> Self {
        INTERNAL
    }

    /// What S3 says of a part's call where it says other than of a read: of a customer's key that
    /// is not the upload's, `InvalidRequest`. `None` for every other error.
    #[must_use]
    pub fn on_part(error: &Error) -> Option<Self> {
        let wrong =
            matches!(error, Error::Object(ObjectError::CustomerKey(CustomerKeyError::Wrong)));
        wrong.then_some(Self::request(
            "The provided encryption parameters did not match the ones used originally.",
        ))
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.code.status()
    }
}

impl From<Error> for S3Error {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// What a client is told of an error of the engine.
impl From<&Error> for S3Error {
    fn from(error: &Error) -> Self {
        match error {
            Error::Refused(refused) => Self::from(*refused),
            Error::Key(error) => Self::from(error),
            Error::Envelope(error) => Self::from(*error),
            Error::Object(error) => Self::from(error),
            Error::Context(_) => super::context::REFUSED,
            Error::Vault(_) => UNAVAILABLE,
            // An answer that was lost, a keystore that is not as it was left, a wrong use of the
            // engine by the host: nothing that the client could mend.
            Error::OutcomeUnknown(_)
            | Error::Keystore(_)
            | Error::Config(_)
            | Error::Lifecycle(_)
            | Error::AuditField(_)
            | Error::ApiMisuse(_)
            | Error::Randomness
            | Error::Unreachable(_) => INTERNAL,
        }
    }
}

impl From<Refused> for S3Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full { .. } | Refused::Late => {
                Self::new(Code::SlowDown, "Please reduce your request rate.")
            }
            Refused::AuditUnavailable
            | Refused::Down { .. }
            | Refused::Draining
            | Refused::Failed
            | Refused::Forked
            | Refused::Frozen
            | Refused::NotConfigured
            | Refused::Stale
            | Refused::Starting
            | Refused::Stopped => UNAVAILABLE,
        }
    }
}

impl From<&KeyError> for S3Error {
    fn from(error: &KeyError) -> Self {
        match error {
            KeyError::Disabled => Self::new(Code::KmsDisabled, "The KMS key is disabled."),
            KeyError::NotFound | KeyError::VersionNotFound(_) => NO_SUCH_KEY,
            KeyError::Invalid { .. } => INVALID_KEY_ID,
            KeyError::PendingDeletion => {
                Self::new(Code::KmsInvalidState, "The KMS key is pending deletion.")
            }
            KeyError::Destroyed | KeyError::VersionDestroyed(_) => {
                Self::new(Code::KmsInvalidState, "The KMS key, or the version of it, is destroyed.")
            }
            KeyError::CurrentVersion(_)
            | KeyError::InvalidState { .. }
            | KeyError::OpenOnly
            | KeyError::UsesExhausted
            | KeyError::VersionRetired(_) => Self::new(
                Code::KmsInvalidState,
                "The state of the KMS key is not valid for this request.",
            ),
            KeyError::Unsupported { .. } => NOT_IMPLEMENTED,
            KeyError::AlreadyExists | KeyError::Damaged(_) | KeyError::LimitExceeded(_) => INTERNAL,
        }
    }
}

impl From<EnvelopeError> for S3Error {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::UnknownKey | EnvelopeError::UnknownKeyVersion => NO_SUCH_KEY,
            // The host stores envelope and context: neither is the client's to send.
            EnvelopeError::DoesNotOpen
            | EnvelopeError::Malformed(_)
            | EnvelopeError::UnknownFormat(_)
            | EnvelopeError::WrongPurpose => INTERNAL,
        }
    }
}

impl From<&ObjectError> for S3Error {
    fn from(error: &ObjectError) -> Self {
        match error {
            ObjectError::TooLong => Self::new(
                Code::EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed object size.",
            ),
            ObjectError::CustomerKey(error) => Self::from(*error),
            ObjectError::RangeNotSatisfiable { .. } => {
                Self::new(Code::InvalidRange, "The requested range is not satisfiable")
            }
            ObjectError::NoSuchPart(_) => {
                Self::new(Code::InvalidPartNumber, "The requested partnumber is not satisfiable")
            }
            ObjectError::PartOrder => Self::new(
                Code::InvalidPartOrder,
                "The list of parts was not in ascending order. The parts list must be specified in \
                 order by part number.",
            ),
            ObjectError::Invalid { .. } => {
                Self::argument("A name or an id is outside the limits of this store.")
            }
            // What the host stores of an object is not what it was given, or it called wrongly.
            ObjectError::DoesNotOpen
            | ObjectError::Malformed(_)
            | ObjectError::UnknownFormat(_)
            | ObjectError::PartTableMissing
            | ObjectError::NeedsReseal
            | ObjectError::Io(_) => INTERNAL,
        }
    }
}

impl From<CustomerKeyError> for S3Error {
    fn from(error: CustomerKeyError) -> Self {
        match error {
            CustomerKeyError::Length => super::customer::INVALID_KEY,
            CustomerKeyError::Missing => super::customer::KEY_MISSING,
            CustomerKeyError::Unexpected => super::customer::KEY_NOT_APPLICABLE,
            CustomerKeyError::Wrong => Self::new(
                Code::AccessDenied,
                "Requests specifying Server Side Encryption with Customer provided keys must \
                 provide the correct secret key.",
            ),
        }
    }
}

const UNAVAILABLE: S3Error = S3Error::new(
    Code::ServiceUnavailable,
    "Encryption and decryption are not available at the moment.",
);
pub(super) const INTERNAL: S3Error =
    S3Error::new(Code::InternalError, "We encountered an internal error. Please try again.");
pub(super) const NOT_IMPLEMENTED: S3Error = S3Error::new(
    Code::NotImplemented,
    "A header you provided implies functionality that is not implemented.",
);
pub(super) const NO_SUCH_KEY: S3Error =
    S3Error::new(Code::KmsNotFound, "The KMS key does not exist.");
pub(super) const INVALID_KEY_ID: S3Error = S3Error::new(Code::KmsNotFound, "Invalid keyId");
