//! Vault's answers to logins, renewals and lookups, read in place.
//!
//! Texts are borrowed from the body, which is wiped: an answer whose token needs unescaping is not
//! one of Vault's and is refused. Unknown fields are passed over; those that are read must have
//! their type.

use core::time::Duration;
use std::time::UNIX_EPOCH;

use serde::Deserialize;

use super::Grant;
use crate::clock::WallTime;
use crate::error::VaultError;
use crate::limits::VAULT_SECRET_BYTES_MAX;
use crate::secret::SecretBuffer;

#[derive(Deserialize)]
struct Login<'b> {
    #[serde(borrow)]
    auth: Auth<'b>,
}

#[derive(Deserialize)]
struct Auth<'b> {
    #[serde(borrow)]
    client_token: &'b str,
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Lookup<'b> {
    ttl: u64,
    #[serde(borrow)]
    expire_time: Option<&'b str>,
    renewable: Option<bool>,
}

#[derive(Deserialize)]
struct WrappedSecretId<'b> {
    #[serde(borrow)]
    secret_id: &'b str,
    secret_id_num_uses: Option<u64>,
    secret_id_ttl: Option<u64>,
}

#[derive(Deserialize)]
struct SecretIdLookup<'b> {
    /// Logins left, 0 for no limit: one that is used up is gone, and is not found.
    secret_id_num_uses: u64,
    #[serde(borrow)]
    expiration_time: Option<&'b str>,
}

#[derive(Deserialize)]
struct Wrapping<'b> {
    #[serde(borrow)]
    creation_path: &'b str,
}

/// What a secret id is still good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SecretIdFacts {
    /// Logins left; `None` if there is no limit, or it is not known.
    pub(super) uses: Option<u64>,
    /// Time left; `None` if there is no limit, or it is not known.
    pub(super) ttl: Option<Duration>,
}

/// A login's answer.
pub(super) fn login(body: &SecretBuffer) -> Result<(SecretBuffer, Grant), VaultError> {
    let Login { auth } = parse(body)?;
    Ok((copy(auth.client_token)?, grant(auth.lease_duration, auth.renewable)))
}

/// A renewal's answer.
pub(super) fn renewal(body: &SecretBuffer) -> Result<Grant, VaultError> {
    let Login { auth } = parse(body)?;
    Ok(grant(auth.lease_duration, auth.renewable))
}

/// A lookup's answer. A token without an end says 0 and no moment; one in its last second says 0.
pub(super) fn lookup(body: &SecretBuffer) -> Result<Grant, VaultError> {
    let Data { data: Lookup { ttl, expire_time, renewable } } = parse(body)?;
    let ends = expire_time.is_some();
    Ok(Grant {
        ttl: (ttl > 0 || ends).then_some(Duration::from_secs(ttl)),
        renewable: renewable.unwrap_or(false),
        can_look_up: Some(true),
        warning: None,
    })
}

/// An unwrapped secret id.
pub(super) fn unwrapped(body: &SecretBuffer) -> Result<(SecretBuffer, SecretIdFacts), VaultError> {
    let Data { data: WrappedSecretId { secret_id, secret_id_num_uses, secret_id_ttl } } =
        parse(body)?;
    let facts = SecretIdFacts {
        uses: secret_id_num_uses.filter(|uses| *uses > 0),
        ttl: secret_id_ttl.filter(|ttl| *ttl > 0).map(Duration::from_secs),
    };
    Ok((copy(secret_id)?, facts))
}

/// What Vault says at `now` of a secret id that has been used.
pub(super) fn secret_id(body: &SecretBuffer, now: WallTime) -> Result<SecretIdFacts, VaultError> {
    let Data { data: SecretIdLookup { secret_id_num_uses, expiration_time } } = parse(body)?;
    // One without an end has a moment in the year 1, which is not one of this clock.
    let expires = expiration_time.and_then(|time| humantime::parse_rfc3339(time).ok());
    let expires = expires.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let now = Duration::from_millis(now.as_millis());
    Ok(SecretIdFacts {
        uses: (secret_id_num_uses > 0).then_some(secret_id_num_uses),
        ttl: expires.map(|expires| expires.saturating_sub(now)),
    })
}

/// Whether the path whose answer a wrapping token wraps is `expected`.
pub(super) fn wraps(
    body: &SecretBuffer,
    expected: impl FnOnce(&str) -> bool,
) -> Result<bool, VaultError> {
    let Data { data: Wrapping { creation_path } } = parse(body)?;
    Ok(expected(creation_path))
}

fn grant(lease_duration: u64, renewable: bool) -> Grant {
    let ttl = (lease_duration > 0).then_some(Duration::from_secs(lease_duration));
    Grant { ttl, renewable, can_look_up: None, warning: None }
}

fn parse<'b, T: Deserialize<'b>>(body: &'b SecretBuffer) -> Result<T, VaultError> {
    // What is wrong with it stays in it: the parser's message repeats the text.
    serde_json::from_slice(body.expose()).map_err(|_error| VaultError::Malformed("of a login"))
}

fn copy(text: &str) -> Result<SecretBuffer, VaultError> {
    let is_one = !text.is_empty()
        && text.len() <= VAULT_SECRET_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_one {
        return Err(VaultError::Malformed("of a login"));
    }
    let mut copy = SecretBuffer::with_capacity(text.len());
    copy.push(text.as_bytes());
    Ok(copy)
}
