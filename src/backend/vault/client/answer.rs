//! What Vault answers, told apart by status and by the few texts that say more than it.

use core::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{CredentialError, VaultError};
use crate::secret::SecretBuffer;

/// An answer with a result, or one that says where there is none.
pub(crate) struct Answer {
    body: SecretBuffer,
}

impl Answer {
    /// The answer of `status` with `body`.
    ///
    /// # Errors
    /// [`VaultError`] where Vault did not do it. A version of a secret that is gone is an answer
    /// that says so: 404 with data.
    pub(super) fn of(
        status: u16,
        body: SecretBuffer,
        retry_after: Option<Duration>,
    ) -> Result<Self, VaultError> {
        if (200..=299).contains(&status) || (status == 404 && has_data(&body)) {
            return Ok(Self { body });
        }
        Err(classify(status, &Errors::of(&body), retry_after))
    }

    /// The body, for who reads secrets in place.
    pub(crate) fn into_body(self) -> SecretBuffer {
        self.body
    }

    /// The result, as a `T`. Fields that `T` does not name are passed over: Vault adds some.
    ///
    /// # Errors
    /// [`VaultError::Malformed`].
    pub(crate) fn data<T: DeserializeOwned>(&self) -> Result<T, VaultError> {
        self.whole::<WithData<T>>().map(|answer| answer.data)
    }

    /// The whole body, as a `T`.
    ///
    /// # Errors
    /// [`VaultError::Malformed`].
    pub(crate) fn whole<T: DeserializeOwned>(&self) -> Result<T, VaultError> {
        let parsed = serde_json::from_slice(self.body.expose());
        parsed.map_err(|_error| VaultError::Malformed("not the fields of this answer"))
    }
}

#[derive(Deserialize)]
struct WithData<T> {
    data: T,
}

fn has_data(body: &SecretBuffer) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        data: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(body.expose()).is_ok_and(|probe| probe.data.is_some())
}

/// Vault's own words, for as long as they are compared.
struct Errors(Vec<String>);

impl Errors {
    fn of(body: &SecretBuffer) -> Self {
        #[derive(Deserialize)]
        struct Body {
            errors: Vec<String>,
        }
        let body = serde_json::from_slice::<Body>(body.expose());
        Self(body.map_or_else(|_error| Vec::new(), |body| body.errors))
    }

    fn say(&self, words: &str) -> bool {
        self.0.iter().any(|error| error.contains(words))
    }
}

fn classify(status: u16, errors: &Errors, retry_after: Option<Duration>) -> VaultError {
    match status {
        _ if errors.say("Vault is sealed") => VaultError::Sealed,
        _ if errors.say("not yet initialized") || errors.say("not initialized") => {
            VaultError::Uninitialised
        }
        _ if errors.say("check-and-set parameter") => VaultError::Conflict,
        _ if errors.say("no handler for route") || errors.say("unsupported path") => {
            VaultError::Mount("is not there, or is of another kind")
        }
        _ if errors.say("active cluster node not found") || errors.say("node not active") => {
            VaultError::NoLeader
        }
        400 if errors.say("missing client token") => CredentialError::Absent.into(),
        400 if errors.say("key not found") => VaultError::NotFound,
        400 if errors.say("disallowed by policy") => {
            VaultError::Rejected("a version that is too old")
        }
        400 => VaultError::Rejected("bad request"),
        403 => VaultError::Forbidden("permission denied"),
        404 => VaultError::NotFound,
        405 => VaultError::Rejected("unsupported operation"),
        412 | 472 | 473 => VaultError::NoLeader,
        429 => VaultError::RateLimited { retry_after: retry_after.unwrap_or(RETRY_AFTER) },
        500..=599 => VaultError::Unavailable(status),
        _ => VaultError::Malformed("a status that Vault does not use"),
    }
}

/// Where a rate limit does not say for how long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Answer, VaultError> {
        Answer::of(status, SecretBuffer::from_vec(body.as_bytes().to_vec()), None)
    }

    #[test]
    fn answers_are_told_apart_without_keeping_their_text() {
        let cases = [
            (503, r#"{"errors":["Vault is sealed"]}"#, VaultError::Sealed),
            (400, r#"{"errors":["check-and-set parameter did not match"]}"#, VaultError::Conflict),
            (404, r#"{"errors":[]}"#, VaultError::NotFound),
            (404, "nginx says no", VaultError::NotFound),
            (
                403,
                r#"{"errors":["permission denied"]}"#,
                VaultError::Forbidden("permission denied"),
            ),
            (412, "", VaultError::NoLeader),
            (473, "", VaultError::NoLeader),
            (502, "<html>", VaultError::Unavailable(502)),
            (429, "", VaultError::RateLimited { retry_after: RETRY_AFTER }),
            (302, "", VaultError::Malformed("a status that Vault does not use")),
        ];
        for (status, body, expected) in cases {
            assert_eq!(answer(status, body).err(), Some(expected), "{status} {body}");
        }
        let mount = answer(404, r#"{"errors":["no handler for route \"x/data/y\""]}"#);
        assert!(matches!(mount.err(), Some(VaultError::Mount(_))));
    }

    #[test]
    fn a_version_that_is_gone_is_an_answer() {
        assert!(answer(404, r#"{"data":{"data":null,"metadata":{"destroyed":true}}}"#).is_ok());
        assert!(answer(200, r#"{"data":{}}"#).is_ok());
        assert!(answer(404, r#"{"data":null}"#).is_err());
        assert!(answer(404, r#"{"data":{"#).is_err());
    }
}
