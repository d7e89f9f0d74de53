//! What keeps master keys: one trait, and each backend behind it.
//!
//! A backend owns the records of its keys and makes every change of them durable. It is driven by
//! one actor, a change at a time, so it needs no locks of its own. Using a key is not its business
//! where it is *in-process*: the engine then derives the wrap keys from the records' material and
//! uses them on the callers' threads.

#[cfg(test)]
pub(crate) mod contract;
#[cfg(feature = "local")]
pub(crate) mod local;
pub(crate) mod source;
pub(crate) mod static_key;
#[cfg(feature = "vault")]
pub(crate) mod vault;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use self::source::KeySource;
pub use self::static_key::StaticConfig;
use crate::clock::WallTime;
use crate::config::BackendConfig;
use crate::error::Error;
use crate::key::{KeyId, KeyRecord, KeyVersion, Mutation};
use crate::secret::SecretBuffer;
use crate::secret::random::RandomPool;

/// A future that its actor awaits while it alone holds the backend.
pub(crate) type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// One keeper of master keys.
pub(crate) trait Backend: Send {
    /// Which one it is, as configuration and errors name it.
    fn kind(&self) -> BackendKind;

    /// What it can do. Never lies: the contract suite tries what it says.
    fn capabilities(&self) -> Capabilities;

    /// Every key, tombstones included, by id.
    fn records(&self) -> &BTreeMap<KeyId, Arc<KeyRecord>>;

    /// Applies `mutation` to the key `id` by the rules of [`crate::key::apply`] and answers once
    /// that is durable (guarantee 3).
    ///
    /// # Errors
    /// `KeyError` if the rules or the capabilities do not allow it: nothing has changed. A fault of
    /// the store: the key is the old one or the new one, and the backend refuses everything until
    /// it is opened again, because it does not know which.
    fn mutate<'a>(
        &'a mut self,
        id: &'a KeyId,
        mutation: &'a Mutation,
        now: WallTime,
    ) -> BackendFuture<'a, Mutated>;

    /// Where keys are used that are not in this process. `None` for backends that hold material.
    fn remote(&self) -> Option<Arc<dyn Remote>> {
        None
    }

    /// How others' changes are seen. `None` where there are no others.
    fn watcher(&self) -> Option<Watcher> {
        None
    }

    /// Takes over the keys that a look found; those that are to be published.
    fn take_in(&mut self, found: Vec<Arc<KeyRecord>>) -> Vec<Arc<KeyRecord>> {
        drop(found);
        Vec::new()
    }
}

/// Looks at a store that others change too, beside everything else that is done with it.
#[derive(Clone)]
pub(crate) struct Watcher {
    pub(crate) look: Arc<dyn Look>,
    /// How often.
    pub(crate) every: Duration,
}

/// One look at a store.
pub(crate) trait Look: Send + Sync {
    /// The keys that are otherwise than in `known`: one key, or of all.
    fn look(
        self: Arc<Self>,
        known: Known,
        only: Option<KeyId>,
    ) -> BackendFuture<'static, Vec<Arc<KeyRecord>>>;

    /// What else is done now and then, and blocks for no longer than reading a small file.
    fn refresh(&self);
}

/// The keys that are known, as they were last published.
pub(crate) type Known = BTreeMap<KeyId, Arc<KeyRecord>>;

/// Uses keys where they are.
pub(crate) trait Remote: Send + Sync {
    /// `data_key` wrapped under the current version of `key`: the backend's token, and the version.
    fn wrap(
        &self,
        key: KeyId,
        data_key: SecretBuffer,
        context: [u8; 32],
    ) -> BackendFuture<'static, (Box<[u8]>, KeyVersion)>;

    /// The data key in `token`.
    fn unwrap(
        &self,
        key: KeyId,
        token: Box<[u8]>,
        context: [u8; 32],
    ) -> BackendFuture<'static, SecretBuffer>;

    /// `token` under the current version of `key`; the data key is not seen.
    fn rewrap(
        &self,
        key: KeyId,
        token: Box<[u8]>,
        context: [u8; 32],
    ) -> BackendFuture<'static, (Box<[u8]>, KeyVersion)>;
}

/// Work that comes before a backend is in use, for its actor to have done beside its messages.
pub(crate) enum Preparation<T> {
    /// It blocks, on a disk or a memory-hard function: it runs on a thread of its own.
    Blocking(Box<dyn FnOnce() -> Result<T, Error> + Send>),
    /// It awaits a network and blocks nobody: it is polled on the actor's thread, in the runtime
    /// that will use the backend, and dropped where it is no longer wanted.
    Awaited(BackendFuture<'static, T>),
}

impl<T: 'static> Preparation<T> {
    fn blocking(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Self {
        Self::Blocking(Box::new(work))
    }

    /// The same with `then` done to what it comes to, in the same place.
    pub(crate) fn map<U>(self, then: impl FnOnce(T) -> U + Send + 'static) -> Preparation<U> {
        match self {
            Self::Blocking(work) => Preparation::Blocking(Box::new(|| work().map(then))),
            Self::Awaited(work) => {
                Preparation::Awaited(Box::pin(async move { work.await.map(then) }))
            }
        }
    }
}

/// What backends are opened with.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) random: Arc<RandomPool>,
    /// Who logs in to Vault and stays so.
    #[cfg(feature = "vault")]
    pub(crate) identities: Arc<dyn vault::auth::Identities>,
}

/// Opens and probes the backend that `config` names. `abandoned` is looked at now and then: set, it
/// ends the opening soon.
pub(crate) fn open(
    config: BackendConfig,
    means: Means,
    abandoned: Arc<AtomicBool>,
) -> Preparation<Box<dyn Backend>> {
    let random = means.random;
    match config {
        #[cfg(feature = "local")]
        BackendConfig::Local(config) => Preparation::blocking(move || {
            let backend = local::LocalBackend::open(&config, random, &abandoned)?;
            Ok(Box::new(backend) as Box<dyn Backend>)
        }),
        #[cfg(feature = "vault")]
        BackendConfig::VaultKv2(config) => {
            let open = vault::open(vault::VaultEngine::Kv2, config, random, means.identities);
            Preparation::Awaited(Box::pin(open))
        }
        #[cfg(feature = "vault")]
        BackendConfig::VaultTransit(config) => {
            let open = vault::open(vault::VaultEngine::Transit, config, random, means.identities);
            Preparation::Awaited(Box::pin(open))
        }
        BackendConfig::Static(config) => {
            let _ = (random, abandoned);
            let open = move || static_key::StaticBackend::open(&config);
            Preparation::blocking(move || Ok(Box::new(open()?) as Box<dyn Backend>))
        }
    }
}

/// Whether `config` may take over the store that `in_use` opened, without opening it again.
pub(crate) fn check_successor(config: BackendConfig, in_use: BackendConfig) -> Preparation<()> {
    match (config, in_use) {
        #[cfg(feature = "local")]
        (BackendConfig::Local(config), BackendConfig::Local(in_use)) => {
            Preparation::blocking(move || local::LocalBackend::check_successor(&config, &in_use))
        }
        (_, _) => Preparation::blocking(|| {
            Err(Error::Unreachable("two stores of different kinds are never the same"))
        }),
    }
}

/// A key after a mutation.
pub(crate) struct Mutated {
    pub(crate) record: Arc<KeyRecord>,
    /// Whether anything was different before.
    pub(crate) changed: bool,
}

/// The backends by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BackendKind {
    /// A keystore directory.
    Local,
    /// One key from the environment or a file, read-only.
    Static,
    /// Vault's KV engine, version 2: the engine holds the material while it runs.
    VaultKv2,
    /// Vault's Transit engine: the material never leaves Vault.
    VaultTransit,
}

impl BackendKind {
    /// The name in configuration, errors and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Static => "static",
            Self::VaultKv2 => "vault-kv2",
            Self::VaultTransit => "vault-transit",
        }
    }
}

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether keys can be made, changed and deleted.
    pub mutable: bool,
    /// Whether the engine holds key material and works with it on its callers' threads.
    pub in_process: bool,
    /// Whether use counts survive a restart.
    pub durable_use_counts: bool,
    /// Whether other engines may change the same keys: then this one looks now and then.
    pub shared: bool,
    /// Which versions can be retired.
    pub retire_version: VersionReach,
    /// Which versions can be destroyed.
    pub destroy_version: VersionReach,
}

/// Which versions of a key an operation reaches. The current version is never among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VersionReach {
    /// None.
    Nothing,
    /// Each one by itself.
    Any,
    /// The oldest ones, from the first up to one below the current: what lies above another that is
    /// not reached is not reached either.
    PrefixBelowLatest,
}
