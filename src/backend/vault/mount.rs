//! What is mounted where, and how a node is: requests that `vaultrs` does not have as they are
//! needed here.

use rustify_derive::Endpoint;

use super::client::{Answer, Repeat};
use super::session::Session;
use crate::error::VaultError;

/// `sys/internal/ui/mounts/<path>`: the kind of a mount, for every token that has any right below
/// it. `vaultrs` has no such request.
#[derive(Debug, Endpoint)]
#[endpoint(path = "sys/internal/ui/mounts/{self.mount}")]
struct DescribeMount {
    #[endpoint(skip)]
    mount: String,
}

/// `sys/health`: the answer's status tells how the node is. `vaultrs` asks for other statuses.
#[derive(Debug, Endpoint)]
#[endpoint(path = "sys/health")]
pub(super) struct ReadHealth {}

/// The mount `mount`, as Vault describes it.
///
/// # Errors
/// [`VaultError::Forbidden`] also where there is none: Vault does not tell the two apart.
pub(super) async fn describe(session: &Session, mount: &str) -> Result<Answer, VaultError> {
    session.call(&DescribeMount { mount: mount.to_owned() }, Repeat::Safe).await
}
