//! Master keys in HashiCorp Vault or OpenBao: in its KV engine, or in its Transit engine.
//!
//! ```text
//! config   where Vault is and where the keys are in it
//! tls      whom the engine trusts, what it shows; files that are read again
//! token    the token in force, which leaves as a header alone
//! client   one pool of connections for life; nodes, redirects, answers and their bounds
//! session  what stands between a backend and the client: login, waiting, repeating
//! auth     who the engine is to Vault
//! ```

pub(crate) mod auth;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod session;
mod tls;
pub(crate) mod token;

pub use auth::{SecretSource, VaultAuth};
pub use config::{ClientCertificate, VaultConfig};
