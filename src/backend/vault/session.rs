//! What stands between a backend and the client: the token, waiting, repeating.

use std::sync::Arc;

use rustify::endpoint::Endpoint;

use super::client::{Answer, Client, Repeat};
use crate::error::VaultError;

/// The way of a backend to Vault.
#[derive(Clone)]
pub(crate) struct Session {
    client: Arc<Client>,
}

impl Session {
    /// A session over `client`.
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    /// The client, for who logs in.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What Vault answers to `endpoint`.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(crate) async fn call<E: Endpoint>(
        &self,
        endpoint: &E,
        repeat: Repeat,
    ) -> Result<Answer, VaultError> {
        let token = self.client.tokens().current();
        let token = token.ok_or(VaultError::LoggedOut("none was had yet"))?;
        self.client.send(Some(&token), endpoint, repeat).await
    }
}
