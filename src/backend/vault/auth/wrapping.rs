//! Response wrapping: a secret id that waits in Vault for whoever shows a wrapping token, once.
//!
//! Whoever intercepts the wrapping token can unwrap it, but not unseen: it is used up then, and
//! that is told as what it may be, a theft. Whoever exchanges it for one of their own would have
//! the engine log in as somebody they choose; so before it is unwrapped, Vault is asked what it
//! wraps (`sys/wrapping/lookup`), and anything but a secret id of the role is refused.
//!
//! <https://developer.hashicorp.com/vault/docs/concepts/response-wrapping>, "Response wrapping
//! token validation".

use serde::Serialize;

use super::answer::{self, SecretIdFacts};
use super::source::{copy, json, text};
use super::{Repeat, Wire, empty, is_refusal, post};
use crate::error::{CredentialError, VaultError};
use crate::secret::SecretBuffer;

/// The secret id that `token` wraps.
///
/// # Errors
/// [`CredentialError::WrappingTokenSpent`], [`CredentialError::WrappingTokenForeign`], or a
/// [`VaultError`] if Vault could not be asked.
pub(super) async fn unwrap_secret_id(
    wire: &dyn Wire,
    token: &SecretBuffer,
    mount: &str,
    role: Option<&str>,
) -> Result<(SecretBuffer, SecretIdFacts), VaultError> {
    #[derive(Serialize)]
    struct Body<'a> {
        token: &'a str,
    }
    let body = json(&Body { token: text(token) });
    let looked = post(wire, "sys/wrapping/lookup", None, Repeat::Safe, body).await;
    if !answer::wraps(&looked.map_err(spent)?, |path| is_secret_id_of(path, mount, role))? {
        return Err(CredentialError::WrappingTokenForeign.into());
    }
    let token = wire.tokens().make(copy(token));
    let unwrapped = post(wire, "sys/wrapping/unwrap", Some(&token), Repeat::Never, empty()).await;
    answer::unwrapped(&unwrapped.map_err(spent)?)
}

/// Vault refuses a wrapping token that it does not know, or does not know any more.
fn spent(error: VaultError) -> VaultError {
    if is_refusal(error) { CredentialError::WrappingTokenSpent.into() } else { error }
}

/// Whether `path` is where secret ids of the role are made.
fn is_secret_id_of(path: &str, mount: &str, role: Option<&str>) -> bool {
    let rest = path.strip_prefix("auth/").and_then(|path| path.strip_prefix(mount));
    let rest = rest.and_then(|path| path.strip_prefix("/role/"));
    let made = rest.and_then(|path| {
        path.strip_suffix("/custom-secret-id").or_else(|| path.strip_suffix("/secret-id"))
    });
    made.is_some_and(|found| {
        !found.is_empty() && !found.contains('/') && role.is_none_or(|role| role == found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_id_of_the_role_may_be_wrapped() {
        for (path, any, that) in [
            ("auth/approle/role/portcullis/secret-id", true, true),
            ("auth/approle/role/portcullis/custom-secret-id", true, true),
            ("auth/approle/role/another/secret-id", true, false),
            ("auth/elsewhere/role/portcullis/secret-id", false, false),
            ("auth/approle/role/a/b/secret-id", false, false),
            ("auth/approle/role//secret-id", false, false),
            ("auth/approle/role/portcullis/role-id", false, false),
            ("sys/wrapping/wrap", false, false),
            ("cubbyhole/response", false, false),
        ] {
            assert_eq!(is_secret_id_of(path, "approle", None), any, "{path}");
            assert_eq!(is_secret_id_of(path, "approle", Some("portcullis")), that, "{path}");
        }
    }
}
