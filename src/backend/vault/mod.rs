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
//! kv       single documents of the KV engine, by compare-and-set
//! document what stands in them
//! store    the records of keys: read, verified, changed
//! keeper   what differs between kv2 and transit
//! ```

pub(crate) mod auth;
pub(crate) mod breaker;
pub(crate) mod bulkhead;
pub(crate) mod client;
pub(crate) mod config;
mod document;
mod keeper;
mod kv;
mod kv2;
mod mount;
mod once;
mod policy;
pub(crate) mod retry;
pub(crate) mod session;
mod store;
mod tls;
pub(crate) mod token;
mod transit;

use std::sync::Arc;

pub use auth::{AppRole, Kubernetes, LoginLimits, SecretId, SecretSource, VaultAuth};
pub use breaker::BreakerLimits;
pub use client::NodeHealth;
pub use config::{ClientCertificate, VaultConfig};
pub use policy::least_policy;
pub use retry::RetryLimits;

use self::auth::Identities;
use self::client::Client;
use self::kv::Kv;
use self::kv2::Kv2Keeper;
pub(crate) use self::once::Once;
use self::session::Session;
use self::store::{Shared, VaultStore};
use self::transit::TransitKeeper;
use super::{Backend, Remote};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::key::KeyId;
use crate::secret::random::RandomPool;

/// Which engine of Vault keeps the material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VaultEngine {
    /// KV, version 2.
    Kv2,
    /// Transit.
    Transit,
}

impl VaultEngine {
    /// The backend's name in configuration, errors and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kv2 => "vault-kv2",
            Self::Transit => "vault-transit",
        }
    }
}

/// How each node that `config` names is, in that order; asked without a token.
///
/// The future needs a tokio runtime with I/O and time.
///
/// # Errors
/// [`ConfigErrors`](crate::error::ConfigErrors) for what is wrong with `config`.
pub async fn health(config: &VaultConfig) -> Result<Vec<NodeHealth>, Error> {
    Ok(Client::new(config)?.health().await)
}

/// Opens the store that `config` names.
///
/// # Errors
/// Those of the configuration, of Vault, and of the store.
pub(crate) async fn open(
    engine: VaultEngine,
    config: VaultConfig,
    random: Arc<RandomPool>,
    identities: Arc<dyn Identities>,
) -> Result<Box<dyn Backend>, Error> {
    let session = Session::open(&config, &*identities).await?;
    let every = config.state_refresh;
    Ok(match engine {
        VaultEngine::Kv2 => {
            Box::new(VaultStore::open(kv2(&config, session, random), every, None).await?)
        }
        VaultEngine::Transit => {
            let (shared, remote) = transit(&config, session, random);
            Box::new(VaultStore::open(shared, every, Some(remote)).await?)
        }
    })
}

/// Makes the store that `config` names, and its first key if `default_key` names one. It is made
/// once, by this and by nothing else: an engine that finds none refuses to start.
///
/// The future needs a tokio runtime with I/O and time.
///
/// # Errors
/// [`KeystoreProblem::AlreadyInitialised`](crate::error::KeystoreProblem) if there is one,
/// [`VaultError`](crate::error::VaultError) if Vault does not answer or does not let it.
pub async fn init(
    engine: VaultEngine,
    config: &VaultConfig,
    default_key: Option<&KeyId>,
) -> Result<(), Error> {
    let clock = Arc::new(SystemClock);
    let (random, now) = (Arc::new(RandomPool::new(1, true)), clock.wall());
    let session = Session::open(config, &Once(clock)).await?;
    match engine {
        VaultEngine::Kv2 => VaultStore::init(kv2(config, session, random), default_key, now).await,
        VaultEngine::Transit => {
            VaultStore::init(transit(config, session, random).0, default_key, now).await
        }
    }
}

fn kv2(config: &VaultConfig, session: Session, random: Arc<RandomPool>) -> Arc<Shared<Kv2Keeper>> {
    let kv = Kv::new(session, &config.kv_mount, &config.key_prefix);
    let keeper = Kv2Keeper::new(kv.clone(), Arc::clone(&random));
    Arc::new(Shared { kv, keeper, random })
}

fn transit(
    config: &VaultConfig,
    session: Session,
    random: Arc<RandomPool>,
) -> (Arc<Shared<TransitKeeper>>, Arc<dyn Remote>) {
    let kv = Kv::new(session.clone(), &config.kv_mount, &config.key_prefix);
    let (mount, prefix) = (&config.transit_mount, &config.key_prefix);
    let keeper = TransitKeeper::new(session, kv.clone(), mount, prefix);
    let remote = Arc::new(keeper.clone());
    (Arc::new(Shared { kv, keeper, random }), remote)
}

#[cfg(test)]
pub(crate) mod tests;
