//! Who the engine is to Vault: how it logs in, and where the secret for that comes from.

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

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
