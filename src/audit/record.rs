//! One record: what a caller hands in, and what a sink receives.

use core::time::Duration;

use super::{Caller, ErrorClass, Operation, Stage};
use crate::clock::WallTime;
use crate::error::AuditFieldError;
use crate::key::{KeyId, KeyVersion};
use crate::limits::RESOURCE_NAME_BYTES_MAX;

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Not known yet: the record tells of an intent.
    Pending,
    /// It was done.
    Succeeded,
    /// It was denied, or it failed.
    Failed(ErrorClass),
}

impl Outcome {
    /// The outcome as a word; the class of a failure has its own field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "success",
            Self::Failed(_) => "failure",
        }
    }

    /// The class of a failure.
    #[must_use]
    pub const fn class(self) -> Option<ErrorClass> {
        match self {
            Self::Pending | Self::Succeeded => None,
            Self::Failed(class) => Some(class),
        }
    }

    /// The code in stored records: classes begin at 16.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Succeeded => 1,
            Self::Failed(class) => class.code(),
        }
    }

    /// The outcome with this code.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Pending),
            1 => Some(Self::Succeeded),
            class => ErrorClass::from_code(class).map(Self::Failed),
        }
    }
}

impl<T> From<&Result<T, crate::error::Error>> for Outcome {
    fn from(result: &Result<T, crate::error::Error>) -> Self {
        match result {
            Ok(_) => Self::Succeeded,
            Err(error) => Self::Failed(ErrorClass::from(error)),
        }
    }
}

/// The bucket, and the object in it if there is one, that an operation was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource<'a> {
    bucket: &'a str,
    object: Option<&'a str>,
}

impl<'a> Resource<'a> {
    /// A resource by its names, which are kept as they are: S3 lets them hold any character.
    ///
    /// # Errors
    /// [`AuditFieldError`] if a name is empty or longer than [`RESOURCE_NAME_BYTES_MAX`].
    pub(crate) fn new(bucket: &'a str, object: Option<&'a str>) -> Result<Self, AuditFieldError> {
        check_name("bucket", bucket)?;
        if let Some(object) = object {
            check_name("object name", object)?;
        }
        Ok(Self { bucket, object })
    }

    /// The bucket's name.
    pub(crate) fn bucket(&self) -> &'a str {
        self.bucket
    }

    /// The object's name.
    pub(crate) fn object(&self) -> Option<&'a str> {
        self.object
    }
}

fn check_name(field: &'static str, name: &str) -> Result<(), AuditFieldError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > RESOURCE_NAME_BYTES_MAX {
        "is longer than 1024 bytes"
    } else {
        return Ok(());
    };
    Err(AuditFieldError { field, problem })
}

/// A record as its caller hands it in: borrowed, without a number, encoded on the spot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordRef<'a> {
    pub(crate) time: WallTime,
    pub(crate) caller: &'a Caller,
    pub(crate) operation: Operation,
    pub(crate) stage: Stage,
    pub(crate) outcome: Outcome,
    /// A key id, as [`KeyId`] takes it.
    pub(crate) key: Option<&'a str>,
    pub(crate) key_version: Option<KeyVersion>,
    pub(crate) resource: Option<Resource<'a>>,
    pub(crate) latency: Duration,
    pub(crate) generation: u64,
    /// How many events it stands for: one, but for counted refusals.
    pub(crate) count: u64,
    /// Whether it is audited late: its operation took effect while the sink was down.
    pub(crate) late: bool,
}

impl<'a> RecordRef<'a> {
    /// The record of a whole operation that succeeded; the rest is set by field.
    pub(crate) fn event(caller: &'a Caller, operation: Operation, time: WallTime) -> Self {
        Self {
            time,
            caller,
            operation,
            stage: Stage::Event,
            outcome: Outcome::Succeeded,
            key: None,
            key_version: None,
            resource: None,
            latency: Duration::ZERO,
            generation: 0,
            count: 1,
            late: false,
        }
    }
}

/// A record as a sink receives it.
///
/// It carries no key, no token, no context value and no text of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its number: one more than the record written before it.
    pub sequence: u64,
    /// When its operation ended, or is about to begin for an intent.
    pub time: WallTime,
    /// Who asked.
    pub caller: Caller,
    /// What was asked for.
    pub operation: Operation,
    /// Which part of the operation this tells of.
    pub stage: Stage,
    /// What came of it.
    pub outcome: Outcome,
    /// The master key.
    pub key: Option<KeyId>,
    /// The version of the master key that was used.
    pub key_version: Option<KeyVersion>,
    /// The bucket it was for.
    pub bucket: Option<String>,
    /// The object it was for.
    pub object: Option<String>,
    /// From the call to its end, to the nanosecond.
    pub latency: Duration,
    /// The start of the engine that served it; zero before the first.
    pub generation: u64,
    /// How many events it stands for: one, but for counted refusals.
    pub count: u64,
    /// Whether it is audited late: its operation took effect while the sink was down.
    pub late: bool,
}
