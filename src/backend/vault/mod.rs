//! Master keys in HashiCorp Vault or OpenBao: in its KV engine, or in its Transit engine.
//!
//! ```text
//! config   where Vault is and where the keys are in it
//! tls      whom the engine trusts, what it shows; files that are read again
//! token    the token in force, which leaves as a header alone
//! client   one pool of connections for life; nodes, redirects, answers and their bounds
//! session  what stands between a backend and the client: login, waiting, repeating
//! auth     who the engine is to Vault
//! kv       single documents of the KV engine, by compare-and-set
//! document what stands in them
//! store    the records of keys: read, verified, changed
//! keeper   what differs between kv2 and transit
//! ```

pub(crate) mod auth;
pub(crate) mod client;
pub(crate) mod config;
mod document;
mod keeper;
mod kv;
mod kv2;
mod mount;
pub(crate) mod session;
mod store;
mod tls;
pub(crate) mod token;
mod transit;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use auth::{SecretSource, VaultAuth};
pub use config::{ClientCertificate, VaultConfig};

use self::client::Client;
use self::kv::Kv;
use self::kv2::Kv2Keeper;
use self::session::Session;
use self::store::{Shared, VaultStore};
use self::transit::TransitKeeper;
use super::{Backend, BackendKind, Remote};
use crate::clock::WallTime;
use crate::error::Error;
use crate::key::KeyId;
use crate::secret::random::RandomPool;

/// Opens the store that `config` names, of either kind.
///
/// # Errors
/// Those of the configuration, of Vault, and of the store.
pub(crate) async fn open(
    kind: BackendKind,
    config: VaultConfig,
    random: Arc<RandomPool>,
    abandoned: Arc<AtomicBool>,
) -> Result<Box<dyn Backend>, Error> {
    // It is dropped where it is no longer wanted.
    drop(abandoned);
    let session = connect(&config).await?;
    let every = config.state_refresh;
    let store: Box<dyn Backend> = match kind {
        BackendKind::VaultTransit => {
            let (shared, remote) = transit(&config, session, random);
            Box::new(VaultStore::open(shared, every, Some(remote)).await?)
        }
        _ => Box::new(VaultStore::open(kv2(&config, session, random), every, None).await?),
    };
    Ok(store)
}

/// Makes the store that `config` names, and its first key if `default_key` names one.
///
/// # Errors
/// [`KeystoreProblem::AlreadyInitialised`](crate::error::KeystoreProblem) if there is one, and as
/// opening one.
pub(crate) async fn init(
    kind: BackendKind,
    config: VaultConfig,
    default_key: Option<&KeyId>,
    now: WallTime,
) -> Result<(), Error> {
    let random = Arc::new(RandomPool::new(1, true));
    let session = connect(&config).await?;
    match kind {
        BackendKind::VaultTransit => {
            VaultStore::init(transit(&config, session, random).0, default_key, now).await
        }
        _ => VaultStore::init(kv2(&config, session, random), default_key, now).await,
    }
}

async fn connect(config: &VaultConfig) -> Result<Session, Error> {
    let client = Arc::new(Client::new(config)?);
    auth::log_in(&client, &config.auth).await?;
    Ok(Session::new(client))
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
