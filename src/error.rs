//! Errors: one enum per family, one umbrella.
//!
//! Two axes are kept apart. *Delivery*: [`Refused`] means that nothing was done, [`OutcomeUnknown`]
//! that it may have been. *Domain*: what the key, the envelope, the keystore or the object said.
//! No error carries a secret, a context value or an id that its receiver did not send.

mod credential;
mod vault;

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

pub use self::credential::CredentialError;
pub use self::vault::VaultError;

/// Anything that a call of the engine can answer with instead of a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was done.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It may have been done.
    #[error(transparent)]
    OutcomeUnknown(#[from] OutcomeUnknown),
    /// The master key does not allow it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The wrapped data key does not allow it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The encryption context is not one.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The sealed object does not open, or the stream under it failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The keystore is not as it was left, or cannot be reached.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The engine's state does not allow it.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// A field that audit records would carry is not acceptable.
    #[error(transparent)]
    AuditField(#[from] AuditFieldError),
    /// The host called with arguments that no input of others can cause.
    #[error("wrong use of the interface: {0}")]
    ApiMisuse(&'static str),
    /// Vault did not do it, or cannot be reached.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The system gives no random bytes: no key can be made.
    #[error("the system gives no random bytes")]
    Randomness,
    /// A bug of the engine.
    #[error("this should not happen, please report it: {0}")]
    Unreachable(&'static str),
}

impl Error {
    /// The same for one more who waited for the same thing.
    pub(crate) fn for_another(&self) -> Self {
        match self {
            Self::Refused(refused) => Self::Refused(*refused),
            Self::OutcomeUnknown(unknown) => Self::OutcomeUnknown(*unknown),
            Self::Key(error) => Self::Key(error.clone()),
            Self::Envelope(error) => Self::Envelope(*error),
            Self::Context(error) => Self::Context(*error),
            Self::Object(_) => Self::Unreachable("nobody waits for another's object"),
            Self::Keystore(error) => Self::Keystore(error.clone()),
            Self::Config(error) => Self::Config(error.clone()),
            Self::Lifecycle(error) => Self::Lifecycle(error.clone()),
            Self::AuditField(error) => Self::AuditField(*error),
            Self::ApiMisuse(why) => Self::ApiMisuse(why),
            Self::Vault(error) => Self::Vault(*error),
            Self::Randomness => Self::Randomness,
            Self::Unreachable(why) => Self::Unreachable(why),
        }
    }
}

/// Nothing was done, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The audit sink does not take records within its deadline (guarantee 4).
    #[error("the audit sink does not take records")]
    AuditUnavailable,
    /// The actor that owns this was lost and is being rebuilt, or it is about to work with another
    /// store and takes no changes until it does.
    #[error("{actor} is being rebuilt or replaced; try again in {retry_after:?}")]
    Down {
        /// Which actor.
        actor: &'static str,
        /// When it may be back.
        retry_after: Duration,
    },
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Draining,
    /// The engine failed and stays closed until it is started again.
    #[error("the engine failed; its status says why")]
    Failed,
    /// This process is a fork of the one that started the engine.
    #[error("this process was forked from the one that started the engine")]
    Forked,
    /// The engine is frozen.
    #[error("the engine is frozen")]
    Frozen,
    /// A limit is reached.
    #[error("the limit of {limit} is reached; try again in {retry_after:?}")]
    Full {
        /// The limit's name.
        limit: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The deadline had passed before work began.
    #[error("the deadline passed before work began")]
    Late,
    /// The engine has no configuration.
    #[error("the engine is not configured")]
    NotConfigured,
    /// What the handle belongs to ended with an earlier start of the engine.
    #[error("the lease or stream belongs to an earlier start of the engine")]
    Stale,
    /// The engine is starting.
    #[error("the engine is starting")]
    Starting,
    /// The engine is stopped.
    #[error("the engine is stopped")]
    Stopped,
}

impl Refused {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retriable(self) -> bool {
        match self {
            Self::AuditUnavailable
            | Self::Down { .. }
            | Self::Full { .. }
            | Self::Late
            | Self::Starting => true,
            Self::Draining
            | Self::Failed
            | Self::Forked
            | Self::Frozen
            | Self::NotConfigured
            | Self::Stale
            | Self::Stopped => false,
        }
    }
}

/// The request was begun and its answer was lost: it may have taken effect.
///
/// Never retry a mutation on this without looking first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outcome is unknown: the request was begun and its answer was lost")]
#[non_exhaustive]
pub struct OutcomeUnknown;

/// What a master key, its state or its versions do not allow. Names follow AWS KMS where it has
/// one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is a key, or the tombstone of one, with this id.
    #[error("a key with this id exists")]
    AlreadyExists,
    /// The key's material or record is missing, or was changed, in its store (guarantee 8).
    #[error("the key is damaged in its store and not used: it {0}")]
    Damaged(&'static str),
    /// The key is disabled.
    #[error("the key is disabled")]
    Disabled,
    /// The backend cannot do this.
    #[error("the {backend} backend cannot {operation}")]
    Unsupported {
        /// Which backend.
        backend: &'static str,
        /// What it cannot do.
        operation: &'static str,
    },
    /// The current version cannot be retired or destroyed: rotate first.
    #[error("version {0} is the current one: rotate first")]
    CurrentVersion(u32),
    /// A field is outside its limits.
    #[error("{field} {problem}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The key's state does not allow this change.
    #[error("the key is {state}: {operation} is not possible")]
    InvalidState {
        /// The state it is in.
        state: &'static str,
        /// What was asked.
        operation: &'static str,
    },
    /// A limit of the keystore or the key is reached.
    #[error("the limit of {0} is reached")]
    LimitExceeded(&'static str),
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// The key came from a restored or older keystore and seals nothing until it is rotated.
    #[error("the key is open-only until it is rotated: its keystore was restored or rolled back")]
    OpenOnly,
    /// The key waits for its deletion.
    #[error("the key is pending deletion")]
    PendingDeletion,
    /// The key was destroyed.
    #[error("the key is destroyed")]
    Destroyed,
    /// The current version has been used as often as is safe: rotate it.
    #[error("the current version has reached its limit of uses: rotate the key")]
    UsesExhausted,
    /// The version was destroyed.
    #[error("version {0} of the key is destroyed")]
    VersionDestroyed(u32),
    /// There is no such version.
    #[error("the key has no version {0}")]
    VersionNotFound(u32),
    /// The version is retired and opens nothing.
    #[error("version {0} of the key is retired")]
    VersionRetired(u32),
}

/// Why a wrapped data key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It does not open under its key and this context, or it was changed. It is not said which.
    #[error("the envelope does not open under this key and context")]
    DoesNotOpen,
    /// The bytes are not an envelope; the field where they stop being one.
    #[error("the envelope is malformed at {0}")]
    Malformed(&'static str),
    /// The format version is one that this release does not know.
    #[error("the envelope has format version {0}, which this release does not know")]
    UnknownFormat(u8),
    /// The master key it names is not in this keystore.
    #[error("the envelope names a key that is not in this keystore")]
    UnknownKey,
    /// The version it names is not in this keystore's history of the key.
    #[error("the envelope names a key version that is not in this keystore's history")]
    UnknownKeyVersion,
    /// The envelope has another purpose than this call.
    #[error("the envelope was made for another purpose")]
    WrongPurpose,
}

/// Why a map of strings is not an encryption context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The name stands there already.
    #[error("a name stands twice in the encryption context")]
    DuplicateName,
    /// A name is empty.
    #[error("a name in the encryption context is empty")]
    EmptyName,
    /// More than [`CONTEXT_BYTES_MAX`](crate::limits::CONTEXT_BYTES_MAX) bytes.
    #[error("the encryption context is longer than 8192 bytes")]
    TooLong,
    /// More than [`CONTEXT_PAIRS_MAX`](crate::limits::CONTEXT_PAIRS_MAX) pairs.
    #[error("the encryption context has more than 64 pairs")]
    TooManyPairs,
}

/// Why a sealed object does not open, or cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// It does not open under its key and this context, or it was changed, cut or extended. It is
    /// not said which.
    #[error("the object does not open: it was changed, or the key or the context is another")]
    DoesNotOpen,
    /// The bytes are not a sealed object; the field where they stop being one.
    #[error("the sealed object is malformed at {0}")]
    Malformed(&'static str),
    /// The format version is one that this release does not know.
    #[error("the sealed object has format version {0}, which this release does not know")]
    UnknownFormat(u8),
    /// The object has more chunks than the format allows (2^38, 4 PiB).
    #[error("the object is longer than the format allows")]
    TooLong,
    /// The stream that is read from or written to failed.
    #[error("reading or writing the object failed: {0}")]
    Io(#[from] std::io::Error),
    /// A name, an id or a fact of the object is outside its limits.
    #[error("{field} {problem}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The customer key is absent, not the one, or not wanted (SSE-C).
    #[error(transparent)]
    CustomerKey(#[from] CustomerKeyError),
    /// No byte of the range is in the object: S3's `InvalidRange`, HTTP 416.
    #[error("the range is not within the object's {size} bytes")]
    RangeNotSatisfiable {
        /// Length of the object's plaintext in bytes.
        size: u64,
    },
    /// The object has no part of this number, or none at all.
    #[error("the object has no part {0}")]
    NoSuchPart(u16),
    /// The object was put in parts, and to read it its part table is needed.
    #[error("the object was put in parts: its part table is needed")]
    PartTableMissing,
    /// The parts of an upload that is to be completed are not in the order of their numbers.
    #[error("the parts are not in ascending order of their numbers")]
    PartOrder,
    /// The key or mode cannot be changed without sealing the body again.
    #[error("this change needs the object to be sealed again")]
    NeedsReseal,
}

/// What is wrong with the customer key that came, or did not come, with a call (SSE-C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CustomerKeyError {
    /// It is not exactly 32 bytes long.
    #[error("a customer key is exactly 32 bytes long")]
    Length,
    /// The object is under a customer key, and none came.
    #[error("the object is under a customer key, which did not come with the request")]
    Missing,
    /// The object is not under a customer key, and one came.
    #[error("a customer key came for an object that is not under one")]
    Unexpected,
    /// It is not the key of the object.
    #[error("the customer key is not the one of the object")]
    Wrong,
}

/// What is wrong with a keystore, and in which file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
#[non_exhaustive]
pub struct KeystoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: KeystoreProblem,
}

impl KeystoreError {
    /// `problem` with `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, problem: KeystoreProblem) -> Self {
        Self { path: path.into(), problem }
    }
}

/// What can be wrong with a keystore.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreProblem {
    /// There is a keystore already.
    #[error("holds a keystore already")]
    AlreadyInitialised,
    /// The mark kept elsewhere is newer: this is an older copy of the keystore.
    #[error(
        "is an older copy of the keystore (generation {found}, the anchor has seen {anchored}); \
         `keystore accept-rollback` accepts it on purpose"
    )]
    RolledBack {
        /// The generation found.
        found: u64,
        /// The generation that the anchor has seen.
        anchored: u64,
    },
    /// The mark kept elsewhere belongs to another keystore, or to another history of this one.
    #[error("is not the keystore, or not the history of it, that the anchor has seen")]
    AnchorMismatch,
    /// The mark kept elsewhere cannot be read or written.
    #[error("the anchor cannot be read or written")]
    AnchorUnavailable,
    /// A field is not what was written: the file was changed.
    #[error("was changed or damaged ({0})")]
    Damaged(&'static str),
    /// A file that the keystore did not make.
    #[error("is not a file of this keystore")]
    Foreign,
    /// An operation on the file failed.
    #[error("{operation} failed: {kind}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The system's answer.
        kind: std::io::ErrorKind,
    },
    /// Another process has the keystore open.
    #[error("is in use by another process")]
    Locked,
    /// A file that the keystore needs is absent.
    #[error("is missing")]
    Missing,
    /// The mode lets others in.
    #[error("has mode {found:04o}, not {expected:04o}")]
    Mode {
        /// The mode found.
        found: u32,
        /// The mode required.
        expected: u32,
    },
    /// The system gives no random bytes.
    #[error("cannot be written: the system gives no random bytes")]
    NoRandomness,
    /// There is no keystore here.
    #[error("holds no keystore; `init` makes one")]
    NotInitialised,
    /// The record stands where another belongs, or is an older one put back.
    #[error("is not the record that was last written there")]
    NotTheLatest,
    /// The file is a link, a directory or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// It belongs to another user.
    #[error("belongs to user {found}, not {expected}")]
    Owner {
        /// The user found.
        found: u32,
        /// The user required.
        expected: u32,
    },
    /// A fault of the store earlier on; nothing is done until it is opened again.
    #[error("the store failed earlier and must be opened again")]
    Poisoned,
    /// The root key cannot be had from its source.
    #[error("the root key cannot be had: {0}")]
    RootKey(&'static str),
    /// The file is larger than any that the keystore writes.
    #[error("is larger than any that the keystore writes")]
    TooLarge,
    /// The file ends too soon.
    #[error("is truncated")]
    Truncated,
    /// The format version is one that this release does not know.
    #[error("has format version {0}, which this release does not know")]
    UnknownFormat(u8),
    /// The root key is not the keystore's.
    #[error("does not open under this root key")]
    WrongRootKey,
}

/// Everything that is wrong with a configuration, all of it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigErrors {
    /// The file, where it came from one.
    pub file: Option<PathBuf>,
    /// Each problem; never empty.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigErrors {
    /// One problem of one field, of a configuration that was made in code.
    pub(crate) fn of(field: &str, problem: &str) -> Self {
        let (field, problem) = (field.to_owned(), problem.to_owned());
        Self { file: None, problems: vec![ConfigProblem { line: None, field, problem }] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the configuration {} is not valid", file.display())?,
            None => write!(f, "the configuration is not valid")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// The line in the file, where it came from one.
    pub line: Option<usize>,
    /// The field's full name, such as `backend.local.directory`.
    pub field: String,
    /// What is wrong and what to do. Never the value.
    pub problem: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// What the engine's state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// The message does not apply in this state.
    #[error("{message} is not possible while the engine is {state}{hint}")]
    NotNow {
        /// What was asked.
        message: &'static str,
        /// The state it is in.
        state: &'static str,
        /// What to do instead, with its own punctuation; may be empty.
        hint: &'static str,
    },
    /// The backend does not close within the deadline; the engine stays closed until it does.
    #[error("the backend does not close in time; the engine stays closed until it does")]
    BackendHung,
    /// The host handed a secret in with the configuration, and the last stop wiped it (guarantee 6):
    /// configure the engine again before it is started.
    #[error(
        "the root key that the host handed in was wiped when the engine stopped; configure it again"
    )]
    SecretWiped,
    /// Permits did not come back within their second; the engine stays closed.
    #[error("{0} permits did not come back in time; the engine stays closed until they do")]
    Stuck(u64),
    /// A later message took over.
    #[error("a later {0} took over")]
    Superseded(&'static str),
    /// The engine's threads could not be started or were lost.
    #[error("the engine's threads are gone: {0}")]
    Threads(&'static str),
}

/// A field that audit records would carry is not acceptable. Its text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
#[non_exhaustive]
pub struct AuditFieldError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}
