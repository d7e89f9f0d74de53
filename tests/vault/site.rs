//! An engine on a store of a test's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::Engine;
use portcullis::config::{BackendConfig, Config};
use portcullis::context::EncryptionContext;
use portcullis::key::KeyId;
use portcullis::vault::{SecretSource, VaultAuth, VaultConfig, VaultEngine, init, least_policy};
use secrecy::SecretString;

use crate::fixture::{self, Mounts, Server};

pub const BOTH: [VaultEngine; 2] = [VaultEngine::Kv2, VaultEngine::Transit];

pub struct Site {
    pub server: &'static Server,
    pub mounts: Mounts,
    pub engine: VaultEngine,
    pub config: VaultConfig,
}

impl Site {
    /// A store with the key `default`, reached under the least policy; `None` without a server.
    pub async fn new(engine: VaultEngine) -> Option<Self> {
        Some(Self::on(fixture::shared()?, engine).await)
    }

    /// The same on `server`.
    pub async fn on(server: &'static Server, engine: VaultEngine) -> Self {
        let mounts = server.mounts();
        let auth = VaultAuth::Token(SecretSource::Env(String::new()));
        let mut config = VaultConfig::new(vec![server.address()], auth);
        config.ca_certificate = Some(server.ca.clone());
        config.kv_mount.clone_from(&mounts.kv);
        config.transit_mount.clone_from(&mounts.transit);
        config.key_prefix.clone_from(&mounts.prefix);
        config.state_refresh = Duration::from_millis(200);
        config.auth = given(&server.token(&least_policy(engine, &config), "1h"));
        init(engine, &config, Some(&id("default"))).await.unwrap();
        Self { server, mounts, engine, config }
    }

    pub fn backend(&self) -> BackendConfig {
        backend(self.engine, self.config.clone())
    }

    /// A node of it.
    pub async fn start(&self) -> Engine {
        Engine::start(Config::new(self.backend())).await.unwrap()
    }

    /// The path of Transit operations on the key `id`.
    pub fn transit(&self, operation: &str, id: &str) -> String {
        let Mounts { transit, prefix, .. } = &self.mounts;
        format!("{transit}/{operation}/{prefix}-{}", self::id(id).storage_name())
    }
}

pub fn backend(engine: VaultEngine, config: VaultConfig) -> BackendConfig {
    match engine {
        VaultEngine::Kv2 => BackendConfig::VaultKv2(config),
        _ => BackendConfig::VaultTransit(config),
    }
}

pub fn given(token: &str) -> VaultAuth {
    VaultAuth::Token(SecretSource::Given(Arc::new(SecretString::from(token.to_owned()))))
}

pub fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

pub fn context(object: &str) -> EncryptionContext {
    EncryptionContext::new().with("bucket", "photos").unwrap().with("object", object).unwrap()
}

/// Waits until `holds` does: what another node did is seen within its interval, not at once.
pub async fn within(time: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < time, "it did not come to pass in {time:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
