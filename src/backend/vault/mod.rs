//! Master keys in HashiCorp Vault or OpenBao: in its KV engine, or in its Transit engine.
//!
//! ```text
//! config   where Vault is and where the keys are in it
//! tls      whom the engine trusts, what it shows; files that are read again
//! token    the token in force, which leaves as a header alone
//! client   one pool of connections for life; nodes, redirects, answers and their bounds
//! breaker  when not to call at all
//! bulkhead how many calls there may be
//! retry    when to repeat, under one deadline
//! session  what stands between a backend and the client: login, waiting, repeating
//! auth     who the engine is to Vault
//! ```

pub(crate) mod auth;
pub(crate) mod breaker;
pub(crate) mod bulkhead;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod retry;
pub(crate) mod session;
mod tls;
pub(crate) mod token;

pub use auth::{AppRole, Kubernetes, LoginLimits, SecretId, SecretSource, VaultAuth};
pub use breaker::BreakerLimits;
pub use config::{ClientCertificate, VaultConfig};
pub use retry::RetryLimits;
