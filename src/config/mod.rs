//! Validated settings, one struct per concern.

mod file;

#[cfg(feature = "local")]
use std::path::Path;

use crate::audit::Release;
use crate::backend::BackendKind;
#[cfg(feature = "local")]
use crate::backend::local::LocalConfig;
use crate::backend::static_key::StaticConfig;
#[cfg(feature = "vault")]
use crate::backend::vault::VaultConfig;
use crate::error::ConfigErrors;
use crate::key::KeyId;
use crate::limits::{OBJECT_THREADS_DEFAULT_MAX, OBJECT_THREADS_MAX};
use crate::secret::{pages, process};

/// Everything an engine is configured with.
///
/// Made in code, or read from a file by [`Config::from_toml`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How strict the engine is with the rest.
    pub profile: Profile,
    /// Where master keys are kept.
    pub backend: BackendConfig,
    /// The key that is used where a call names none.
    pub default_key: Option<KeyId>,
    /// When plaintext may leave, relative to its record.
    pub audit: AuditConfig,
    /// What the engine assumes of its host.
    pub host: HostConfig,
    /// Large objects.
    pub objects: ObjectsConfig,
}

impl Config {
    /// Everything that is wrong with it.
    ///
    /// # Errors
    /// [`ConfigErrors`] with each problem.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        if self.profile == Profile::Production && self.audit.release == Release::Unaudited {
            let problem = "is `unaudited`, which the production profile refuses";
            return Err(ConfigErrors::of("audit.release", problem));
        }
        if self.objects.threads.is_some_and(|threads| threads > OBJECT_THREADS_MAX) {
            return Err(ConfigErrors::of("objects.threads", "is more than 256"));
        }
        if self.host.require_locked_memory && !pages::can_lock() {
            let problem = "is set, and the system does not let this process lock memory: raise \
                           RLIMIT_MEMLOCK (ulimit -l; systemd: LimitMEMLOCK=)";
            return Err(ConfigErrors::of("host.require_locked_memory", problem));
        }
        #[cfg(feature = "vault")]
        if let BackendConfig::VaultKv2(vault) | BackendConfig::VaultTransit(vault) = &self.backend {
            vault.check(self.profile == Profile::Development)?;
        }
        Ok(())
    }

    /// Checks it, and does what it asks of the whole process.
    pub(crate) fn prepare(&self) -> Result<(), ConfigErrors> {
        self.check()?;
        if pages::report().unlocked_bytes > 0 || !pages::can_lock() {
            tracing::warn!(
                "the system does not let this process lock its key memory, which may be written \
                 to swap: raise RLIMIT_MEMLOCK (ulimit -l; systemd: LimitMEMLOCK=)"
            );
        }
        if self.host.harden_process {
            process::harden_process().map_err(|_| {
                let problem = "is set, and the system refuses it";
                ConfigErrors::of("host.harden_process", problem)
            })?;
        }
        Ok(())
    }

    /// The defaults with `backend`, and the default key that [`init`](crate::keystore::init) makes.
    #[must_use]
    pub fn new(backend: impl Into<BackendConfig>) -> Self {
        Self {
            profile: Profile::Production,
            backend: backend.into(),
            default_key: KeyId::new(DEFAULT_KEY).ok(),
            audit: AuditConfig::default(),
            host: HostConfig::default(),
            objects: ObjectsConfig::default(),
        }
    }
}

/// The id of the key that `init` makes unless told otherwise.
pub const DEFAULT_KEY: &str = "default";

/// How strict an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Profile {
    /// Settings that are unsafe outside development are allowed, with a warning at every start.
    Development,
    /// They are refused.
    #[default]
    Production,
}

/// Where master keys are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BackendConfig {
    /// In a directory on this machine.
    #[cfg(feature = "local")]
    Local(LocalConfig),
    /// One key, from the environment or a file.
    Static(StaticConfig),
    /// In Vault's KV engine, version 2.
    #[cfg(feature = "vault")]
    VaultKv2(VaultConfig),
    /// In Vault's Transit engine, with their state in its KV engine.
    #[cfg(feature = "vault")]
    VaultTransit(VaultConfig),
}

impl BackendConfig {
    /// Which backend it is of.
    pub(crate) fn kind(&self) -> BackendKind {
        match self {
            #[cfg(feature = "local")]
            Self::Local(_) => BackendKind::Local,
            Self::Static(_) => BackendKind::Static,
            #[cfg(feature = "vault")]
            Self::VaultKv2(_) => BackendKind::VaultKv2,
            #[cfg(feature = "vault")]
            Self::VaultTransit(_) => BackendKind::VaultTransit,
        }
    }

    /// Whether the host handed in a secret with it.
    pub(crate) fn holds_secret(&self) -> bool {
        match self {
            #[cfg(feature = "local")]
            Self::Local(config) => config.root_key.is_handed_in(),
            Self::Static(config) => config.source.is_handed_in(),
            #[cfg(feature = "vault")]
            Self::VaultKv2(config) | Self::VaultTransit(config) => config.auth.is_handed_in(),
        }
    }

    /// Whether `other` names the same store, so that a generation can share it with its successor.
    pub(crate) fn is_same_store(&self, other: &Self) -> bool {
        match (self, other) {
            #[cfg(feature = "local")]
            (Self::Local(this), Self::Local(other)) => same_path(&this.directory, &other.directory),
            // Reading a static key again costs nothing, and finds a new one. A store in Vault has
            // other users anyway: it is opened beside, over the connection that is wanted now.
            (_, _) => false,
        }
    }
}

#[cfg(feature = "local")]
fn same_path(this: &Path, other: &Path) -> bool {
    match (this.canonicalize(), other.canonicalize()) {
        (Ok(this), Ok(other)) => this == other,
        (_, _) => this == other,
    }
}

#[cfg(feature = "local")]
impl From<LocalConfig> for BackendConfig {
    fn from(local: LocalConfig) -> Self {
        Self::Local(local)
    }
}

impl From<StaticConfig> for BackendConfig {
    fn from(config: StaticConfig) -> Self {
        Self::Static(config)
    }
}

/// The audit trail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditConfig {
    /// When plaintext may leave: after its record was accepted, unless set otherwise.
    pub release: Release,
}

/// What the engine assumes of its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostConfig {
    /// Whether the machine may be snapshotted or cloned while it runs: every key and nonce is then
    /// drawn anew, with bytes of the operating system mixed in, and objects are sealed with
    /// AES-256-GCM-SIV.
    pub cloned_host: bool,
    /// Whether key memory that the system does not let the engine lock is refused: configuring
    /// fails then, and a lease that would need such a page. Otherwise it is warned of, and counted
    /// in [`report`](crate::memory::report).
    pub require_locked_memory: bool,
    /// Whether starting calls [`harden_process`](crate::memory::harden_process): no core dumps of
    /// the whole process, no debugger.
    pub harden_process: bool,
}

/// Large objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectsConfig {
    /// Threads of the engine's own that help with objects of 1 MiB and more, at most 256; none if
    /// zero. Unless set, as many as there are processors, and at most eight. They start with the
    /// first such object.
    pub threads: Option<usize>,
}

impl ObjectsConfig {
    pub(crate) fn threads(self) -> usize {
        self.threads.unwrap_or_else(|| {
            let processors = std::thread::available_parallelism();
            processors.map_or(1, usize::from).min(OBJECT_THREADS_DEFAULT_MAX)
        })
    }
}
