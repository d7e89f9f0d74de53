//! How a Vault cluster is reached, and where in it the keys are.

use core::time::Duration;
use std::path::PathBuf;

use super::auth::{LoginLimits, VaultAuth};
use super::breaker::BreakerLimits;
use super::bulkhead::BulkheadLimits;
use super::retry::RetryLimits;
use crate::error::ConfigErrors;
use crate::limits;

/// A Vault or OpenBao cluster, and the place in it that is the engine's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VaultConfig {
    /// `https://host:port` of each node, or of what stands before them. The engine finds the active
    /// one and follows redirects to these addresses alone.
    pub addresses: Vec<String>,
    /// The namespace, where Vault has such.
    pub namespace: Option<String>,
    /// Where the KV version 2 engine is mounted, which keeps keys or, with Transit, their state.
    pub kv_mount: String,
    /// Where the Transit engine is mounted.
    pub transit_mount: String,
    /// What all paths and key names begin with: 1 to 64 of `[A-Za-z0-9_/]`.
    pub key_prefix: String,
    /// The certificate authority of Vault's own certificate (PEM); the system's where absent. Read
    /// again when the file changes.
    pub ca_certificate: Option<PathBuf>,
    /// What the engine shows where Vault asks for a certificate (PEM). Read again when it changes.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether any certificate is taken, and plain HTTP too: in the development profile only.
    pub skip_tls_verify: bool,
    /// How the engine proves who it is.
    pub auth: VaultAuth,
    /// How often it looks for what other nodes have changed.
    pub state_refresh: Duration,
    /// How long one connection may take to be made.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Requests under way at once; more wait.
    pub max_in_flight: usize,
    /// Calls that wait at once: for their turn, for a pause, for a login. More are refused with a
    /// hint.
    pub max_waiting: usize,
    /// How long one call may take, all attempts and pauses together.
    pub call_deadline: Duration,
    /// Pauses between the attempts of one call.
    pub retry: RetryLimits,
    /// When Vault is left alone, and for how long.
    pub breaker: BreakerLimits,
    /// How often the engine logs in.
    pub login: LoginLimits,
}

/// A certificate and its private key, each in a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate and the chain to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

impl ClientCertificate {
    /// The certificate in one file and its key in another.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, private_key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), private_key: private_key.into() }
    }
}

impl VaultConfig {
    /// The cluster at `addresses`, everything else by default.
    #[must_use]
    pub fn new(addresses: Vec<String>, auth: VaultAuth) -> Self {
        Self {
            addresses,
            namespace: None,
            kv_mount: "secret".to_owned(),
            transit_mount: "transit".to_owned(),
            key_prefix: "portcullis".to_owned(),
            ca_certificate: None,
            client_certificate: None,
            skip_tls_verify: false,
            auth,
            state_refresh: limits::VAULT_STATE_REFRESH,
            connect_timeout: limits::VAULT_CONNECT_TIMEOUT,
            request_timeout: limits::VAULT_REQUEST_TIMEOUT,
            max_in_flight: limits::VAULT_IN_FLIGHT,
            max_waiting: limits::VAULT_WAITING,
            call_deadline: limits::VAULT_CALL_DEADLINE,
            retry: RetryLimits::default(),
            breaker: BreakerLimits::default(),
            login: LoginLimits::default(),
        }
    }

    /// Whether it may be used; `is_development` for a profile that allows what is unsafe elsewhere.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong with it.
    pub(crate) fn check(&self, is_development: bool) -> Result<(), ConfigErrors> {
        let mut problems = Vec::new();
        let mut refuse = |field: &str, problem: &str| {
            problems.extend(ConfigErrors::of(&format!("backend.vault.{field}"), problem).problems);
        };
        if self.skip_tls_verify && !is_development {
            refuse("skip_tls_verify", "is allowed in the development profile only");
        }
        for address in &self.addresses {
            if let Err(problem) = super::client::check_address(address, self.skip_tls_verify) {
                refuse("addresses", problem);
            }
        }
        if self.addresses.is_empty() {
            refuse("addresses", "names none");
        }
        for (field, path) in [("kv_mount", &self.kv_mount), ("transit_mount", &self.transit_mount)]
        {
            let is_step = |step: &str| {
                !step.is_empty()
                    && !step.starts_with('.')
                    && step.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            };
            if path.len() > 128 || !path.split('/').all(is_step) {
                refuse(field, "is not a mount path such as `secret` or `team/kv`");
            }
        }
        let is_word = |step: &str| {
            !step.is_empty() && step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if self.key_prefix.len() > 64 || !self.key_prefix.split('/').all(is_word) {
            refuse("key_prefix", "is not 1 to 64 of A-Z a-z 0-9 _ in steps between slashes");
        }
        if self.request_timeout > self.call_deadline {
            refuse("request_timeout", "is longer than `call_deadline`");
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigErrors { file: None, problems }) }
    }

    pub(super) fn bulkhead(&self) -> BulkheadLimits {
        BulkheadLimits { in_flight_max: self.max_in_flight, waiting_max: self.max_waiting }
    }
}
