//! Who the engine is to Vault: how it logs in, and where the secret for that comes from.

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::client::Client;
use crate::error::VaultError;
use crate::secret::SecretBuffer;

/// How the engine proves to Vault who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VaultAuth {
    /// With a token that somebody else makes and renews.
    Token(SecretSource),
}

/// Where a secret text comes from. It is never written into a configuration.
#[derive(Clone)]
#[non_exhaustive]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// The file at this path, read again when it changes; one newline at its end is not part of it.
    File(PathBuf),
    /// The host hands it in.
    Given(Arc<SecretString>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name})"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given(..)"),
        }
    }
}

/// Puts a token in force, once.
///
/// # Errors
/// [`VaultError::LoggedOut`](crate::error::VaultError) if there is none to be had.
pub(super) async fn log_in(client: &Client, auth: &VaultAuth) -> Result<(), VaultError> {
    let VaultAuth::Token(source) = auth;
    let value = source.read().map_err(VaultError::LoggedOut)?;
    drop(client.tokens().install(client.tokens().make(value)));
    Ok(())
}

impl SecretSource {
    /// The secret.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn read(&self) -> Result<SecretBuffer, &'static str> {
        use secrecy::ExposeSecret;
        let bytes = match self {
            Self::Env(name) => {
                std::env::var_os(name).ok_or("its variable is not set")?.into_encoded_bytes()
            }
            Self::File(path) => std::fs::read(path).map_err(|_error| "its file cannot be read")?,
            Self::Given(secret) => secret.expose_secret().as_bytes().to_vec(),
        };
        let mut secret = SecretBuffer::from_vec(bytes);
        while secret.expose().last() == Some(&b'\n') {
            secret = SecretBuffer::from_vec(
                secret.expose().split_last().map_or(Vec::new(), |(_, rest)| rest.to_vec()),
            );
        }
        if secret.expose().is_empty() { Err("it is empty") } else { Ok(secret) }
    }
}
