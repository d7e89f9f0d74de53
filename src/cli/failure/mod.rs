//! How a command fails: a family, which is the exit code, a code and a message.

mod code;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde_json::json;

use super::show::{Show, printable_lines};
use crate::error::{ConfigProblem, Error};

/// Whose fault it is. The table of exit codes in [`super`] is this enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Internal,
    Usage,
    Refused,
    OutcomeUnknown,
    Key,
    Envelope,
    Context,
    Object,
    Io,
    Keystore,
    Config,
    Lifecycle,
    Audit,
    Vault,
    /// Whoever read standard output went away: said by the code alone, as `SIGPIPE` would.
    OutputClosed,
}

impl Family {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::OutcomeUnknown => 4,
            Self::Key => 5,
            Self::Envelope => 6,
            Self::Context => 7,
            Self::Object => 8,
            Self::Io => 9,
            Self::Keystore => 10,
            Self::Config => 11,
            Self::Lifecycle => 12,
            Self::Audit => 13,
            Self::Vault => 14,
            Self::OutputClosed => 141,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::Key => "key",
            Self::Envelope => "envelope",
            Self::Context => "context",
            Self::Object => "object",
            Self::Io => "io",
            Self::Keystore => "keystore",
            Self::Config => "config",
            Self::Lifecycle => "lifecycle",
            Self::Audit => "audit",
            Self::Vault => "vault",
            Self::OutputClosed => "output-closed",
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    family: Family,
    code: &'static str,
    message: String,
    /// What to do about it, where that is known.
    hint: Option<String>,
    problems: Vec<ConfigProblem>,
}

impl Failure {
    pub(super) fn new(family: Family, code: &'static str, message: impl Into<String>) -> Self {
        Self { family, code, message: message.into(), hint: None, problems: Vec::new() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Family::Usage, "usage", message)
    }

    /// `operation` on `path` failed.
    pub(super) fn io(operation: &str, path: Option<&Path>, error: io::Error) -> Self {
        let code = code::of_io(&error);
        let message = match path {
            Some(path) => format!("{}: {operation} failed: {error}", path.display()),
            None => format!("{operation} failed: {error}"),
        };
        Self::new(Family::Io, code, message)
    }

    /// Writing to standard output failed.
    pub(super) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Self::new(Family::OutputClosed, "output-closed", "standard output was closed")
            }
            _ => Self::io("writing to standard output", None, error),
        }
    }

    /// The same failure, of another part's doing.
    pub(super) fn of_family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says it on standard error.
    pub(super) fn report(&self, show: &Show) -> ExitCode {
        let said = match (self.family, show.is_json()) {
            (Family::OutputClosed, _) => Ok(()),
            (_, true) => writeln!(io::stderr(), "{}", self.json()),
            (_, false) => self.say(),
        };
        // Nobody is left to be told that it cannot be said.
        drop(said);
        ExitCode::from(self.family.exit_code())
    }

    fn json(&self) -> serde_json::Value {
        let message = match &self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message.clone(),
        };
        let mut error =
            json!({ "family": self.family.name(), "code": self.code, "message": message });
        if self.family == Family::Config {
            let problems = self.problems.iter().map(|problem| {
                let ConfigProblem { line, field, problem } = problem;
                json!({ "line": line, "field": field, "problem": problem })
            });
            if let Some(error) = error.as_object_mut() {
                error.insert("problems".to_owned(), problems.collect());
            }
        }
        json!({ "error": error })
    }

    fn say(&self) -> io::Result<()> {
        let mut stderr = io::stderr().lock();
        // Paths stand in messages, and whoever makes a file chooses its name.
        writeln!(stderr, "portcullis: {}", printable_lines(&self.message))?;
        if let Some(hint) = &self.hint {
            writeln!(stderr, "  {}", printable_lines(hint))?;
        }
        Ok(())
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let (family, code) = code::of(error);
        let problems =
            if let Error::Config(errors) = error { errors.problems.clone() } else { Vec::new() };
        Self { problems, ..Self::new(family, code, error.to_string()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

macro_rules! through_error {
    ($($family:ty),*) => {$(
        impl From<$family> for Failure {
            fn from(error: $family) -> Self {
                Self::from(&Error::from(error))
            }
        }
    )*};
}
through_error!(
    crate::error::AuditFieldError,
    crate::error::ContextError,
    crate::error::EnvelopeError,
    crate::error::KeyError,
    crate::error::KeystoreError
);

/// Help that was asked for, or arguments that are wrong.
pub(super) fn of_arguments(error: &clap::Error, given: &[OsString]) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let is_json = given.iter().any(|argument| argument == "--json");
    if asked || !is_json {
        // Nobody is left to be told that it cannot be said.
        drop(error.print());
        return if asked { ExitCode::SUCCESS } else { ExitCode::from(Family::Usage.exit_code()) };
    }
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    Failure::usage(message).report(&Show::new(true, true))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error::{
        ConfigErrors, ContextError, EnvelopeError, KeyError, KeystoreError, KeystoreProblem,
        LifecycleError, ObjectError, OutcomeUnknown, Refused,
    };

    #[test]
    fn each_family_of_errors_has_the_exit_code_that_is_documented() {
        let io = || io::Error::from(io::ErrorKind::NotFound);
        let field = crate::audit::Caller::new("", "", "").unwrap_err();
        let locked = KeystoreError::new("keys", KeystoreProblem::Locked);
        let cases = [
            (1, "internal", Failure::from(Error::Randomness)),
            (1, "internal", Error::Unreachable("").into()),
            (2, "usage", Failure::usage("")),
            (3, "refused", Error::from(Refused::Frozen).into()),
            (4, "outcome-unknown", Error::from(OutcomeUnknown).into()),
            (5, "key", KeyError::NotFound.into()),
            (6, "envelope", EnvelopeError::DoesNotOpen.into()),
            (7, "context", Error::from(ContextError::EmptyName).into()),
            (8, "object", Error::from(ObjectError::DoesNotOpen).into()),
            (9, "io", Error::from(ObjectError::Io(io())).into()),
            (9, "io", Failure::io("opening", None, io())),
            (10, "keystore", locked.into()),
            (11, "config", Error::from(ConfigErrors::of("f", "is wrong")).into()),
            (12, "lifecycle", Error::from(LifecycleError::Stuck(1)).into()),
            (13, "audit", field.into()),
            (141, "output-closed", Failure::output(io::ErrorKind::BrokenPipe.into())),
        ];
        let documented = include_str!("../mod.rs");
        for (code, name, failure) in &cases {
            assert_eq!((failure.family.exit_code(), failure.family.name()), (*code, *name));
            let row = format!("//! | {code} | `{name}` |");
            assert!(*code == 141 || documented.contains(&row), "{row}");
        }
        let codes: BTreeSet<_> = cases.iter().map(|case| case.0).collect();
        assert_eq!(codes.len(), 14);
    }

    #[test]
    fn an_error_as_an_object_has_its_problems_line_by_line() {
        let failure = Failure::from(Error::from(ConfigErrors::of("f", "is wrong")));
        let problem = json!({ "line": null, "field": "f", "problem": "is wrong" });
        assert_eq!(failure.json()["error"]["problems"], json!([problem]));
        assert!(Failure::usage("x").json()["error"].get("problems").is_none());
    }
}
