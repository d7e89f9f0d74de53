//! What keeps master keys: one trait, and each backend behind it.
//!
//! A backend owns the records of its keys and makes every change of them durable. It is driven by
//! one actor, a change at a time, so it needs no locks of its own. Using a key is not its business
//! where it is *in-process*: the engine then derives the wrap keys from the records' material and
//! uses them on the callers' threads.

#[cfg(test)]
mod contract;
#[cfg(feature = "local")]
pub(crate) mod local;
pub(crate) mod source;
pub(crate) mod static_key;

use core::future::Future;
use core::pin::Pin;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use self::source::KeySource;
pub use self::static_key::StaticConfig;
use crate::clock::WallTime;
use crate::config::BackendConfig;
use crate::error::Error;
use crate::key::{KeyId, KeyRecord, Mutation};
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

/// Opens and probes the backend that `config` names. `abandoned` is looked at now and then: set, it
/// ends the opening soon.
pub(crate) fn open(
    config: BackendConfig,
    random: Arc<RandomPool>,
    abandoned: Arc<AtomicBool>,
) -> Preparation<Box<dyn Backend>> {
    match config {
        #[cfg(feature = "local")]
        BackendConfig::Local(config) => Preparation::blocking(move || {
            let backend = local::LocalBackend::open(&config, random, &abandoned)?;
            Ok(Box::new(backend) as Box<dyn Backend>)
        }),
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
}

impl BackendKind {
    /// The name in configuration, errors and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Static => "static",
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
}
