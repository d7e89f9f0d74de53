//! Who asks: the identity that a host binds to its calls.

use core::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::AuditFieldError;
use crate::limits::CALLER_FIELD_BYTES_MAX;

/// Who a call is made for, as its audit record names them.
///
/// Bound once and shared by reference from then on; a clone copies no text. The engine does not
/// verify it: the host says whom it has authenticated.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Principal, request id and source, one behind the other: a record copies all three at once.
    text: Arc<str>,
    principal: u16,
    request_id: u16,
}

impl Caller {
    /// A caller: `principal` as the host authenticated it, the `request_id` it logs itself, and
    /// the `source` that the request came from, such as an address. The last two may be empty.
    ///
    /// # Errors
    /// [`AuditFieldError`] if the principal is empty, or a field is longer than
    /// [`CALLER_FIELD_BYTES_MAX`] bytes or has a control character: a record is neither cut nor
    /// does it write escapes onto the terminal of whoever reads it.
    pub fn new(principal: &str, request_id: &str, source: &str) -> Result<Self, AuditFieldError> {
        if principal.is_empty() {
            return Err(AuditFieldError { field: "principal", problem: "is empty" });
        }
        let principal_bytes = check("principal", principal)?;
        let request_id_bytes = check("request id", request_id)?;
        check("source", source)?;
        Ok(Self {
            text: Arc::from([principal, request_id, source].concat()),
            principal: principal_bytes,
            request_id: request_id_bytes,
        })
    }

    /// The caller of calls that were bound to nobody: the host itself.
    #[must_use]
    pub fn host() -> Self {
        static HOST: OnceLock<Caller> = OnceLock::new();
        HOST.get_or_init(|| Self::named("host")).clone()
    }

    /// The engine, for what it does of its own accord.
    pub(crate) fn engine() -> Self {
        static ENGINE: OnceLock<Caller> = OnceLock::new();
        ENGINE.get_or_init(|| Self::named("engine")).clone()
    }

    fn named(principal: &'static str) -> Self {
        Self::new(principal, "", "").expect("the names of the engine's own callers are short")
    }

    /// Who.
    #[must_use]
    pub fn principal(&self) -> &str {
        self.text.get(..self.split().0).unwrap_or_default()
    }

    /// The host's name for the request; may be empty.
    #[must_use]
    pub fn request_id(&self) -> &str {
        let (from, to) = self.split();
        self.text.get(from..to).unwrap_or_default()
    }

    /// Where the request came from; may be empty.
    #[must_use]
    pub fn source(&self) -> &str {
        self.text.get(self.split().1..).unwrap_or_default()
    }

    /// The three fields' text, one behind the other.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of principal, request id and source.
    pub(super) fn lengths(&self) -> [u16; 3] {
        let total = u16::try_from(self.text.len()).unwrap_or(u16::MAX);
        let source = total.saturating_sub(self.principal).saturating_sub(self.request_id);
        [self.principal, self.request_id, source]
    }

    fn split(&self) -> (usize, usize) {
        let principal = usize::from(self.principal);
        (principal, principal + usize::from(self.request_id))
    }
}

fn check(field: &'static str, text: &str) -> Result<u16, AuditFieldError> {
    let problem = if text.len() > CALLER_FIELD_BYTES_MAX {
        "is longer than 256 bytes"
    } else if text.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(u16::try_from(text.len()).unwrap_or(u16::MAX));
    };
    Err(AuditFieldError { field, problem })
}

impl Default for Caller {
    fn default() -> Self {
        Self::host()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("principal", &self.principal())
            .field("request_id", &self.request_id())
            .field("source", &self.source())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_bound() {
        let caller = Caller::new("ali\u{e9}", "", "10.0.0.1").unwrap();
        assert_eq!(caller.principal(), "ali\u{e9}");
        assert_eq!(caller.request_id(), "");
        assert_eq!(caller.source(), "10.0.0.1");
        assert_eq!(Caller::default().principal(), "host");
    }

    #[test]
    fn a_field_that_would_be_cut_or_would_write_escapes_is_refused_by_name() {
        let long = "x".repeat(CALLER_FIELD_BYTES_MAX + 1);
        let problem = |p: &str, r: &str, s: &str| Caller::new(p, r, s).unwrap_err().field;
        assert_eq!(problem("", "", ""), "principal");
        assert_eq!(problem(&long, "", ""), "principal");
        assert_eq!(problem("a", "\u{1b}[2J", ""), "request id");
        assert_eq!(problem("a", "b", "c\nd"), "source");
        assert!(Caller::new(&"x".repeat(CALLER_FIELD_BYTES_MAX), "", "").is_ok());
    }
}
