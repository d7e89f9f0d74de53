//! The stores against a real server, through the trait that the engine's actor uses.

mod damage;
#[path = "../../../tests/vault/fixture.rs"]
#[allow(clippy::disallowed_methods, dead_code, reason = "shared with the tests of the interface")]
pub(crate) mod fixture;
mod nodes;

use std::sync::Arc;

use secrecy::SecretString;

use self::fixture::{Mounts, Server};
use super::*;
use crate::clock::WallTime;
use crate::key::{KeyRecord, Mutation};

pub(crate) const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

/// A place on the shared server that a test has to itself, and a token under the least policy.
pub(crate) struct Site {
    pub(crate) server: &'static Server,
    pub(crate) mounts: Mounts,
    pub(crate) engine: VaultEngine,
    pub(crate) config: VaultConfig,
}

impl Site {
    /// A place without a store; `None` where there is no server.
    pub(crate) fn bare(engine: VaultEngine) -> Option<Self> {
        let server = fixture::shared()?;
        let mounts = server.mounts();
        let auth = VaultAuth::Token(SecretSource::Env(String::new()));
        let mut config = VaultConfig::new(vec![server.address()], auth);
        config.ca_certificate = Some(server.ca.clone());
        config.kv_mount.clone_from(&mounts.kv);
        config.transit_mount.clone_from(&mounts.transit);
        config.key_prefix.clone_from(&mounts.prefix);
        let token = server.token(&least_policy(engine, &config), "1h");
        config.auth = given(&token);
        Some(Self { server, mounts, engine, config })
    }

    /// A place with a store, and the key `default` in it.
    pub(crate) async fn with_store(engine: VaultEngine) -> Option<Self> {
        let site = Self::bare(engine)?;
        init(engine, &site.config, Some(&id("default"))).await.unwrap();
        Some(site)
    }

    /// One more node of the store.
    pub(crate) async fn open(&self) -> Box<dyn Backend> {
        self.try_open().await.unwrap()
    }

    pub(crate) async fn try_open(&self) -> Result<Box<dyn Backend>, Error> {
        let random = Arc::new(RandomPool::new(1, false));
        let identities = Arc::new(Once(Arc::new(SystemClock)));
        open(self.engine, self.config.clone(), random, identities).await
    }

    /// The path of what stands in KV for the key `id`, below `data/` or whatever `kind` is.
    pub(crate) fn path(&self, kind: &str, id: &str, rest: &str) -> String {
        let Mounts { kv, prefix, .. } = &self.mounts;
        let name = self::id(id).storage_name();
        format!("{kv}/{kind}/{prefix}/k/{name}/{rest}")
    }
}

pub(crate) fn given(token: &str) -> VaultAuth {
    VaultAuth::Token(SecretSource::Given(Arc::new(SecretString::from(token.to_owned()))))
}

pub(crate) fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

pub(crate) fn create() -> Mutation {
    Mutation::Create {
        description: String::new(),
        tags: std::collections::BTreeMap::new(),
        policy: crate::key::KeyPolicy::new(),
    }
}

/// What others have changed, as a look finds it, taken in.
pub(crate) async fn look(backend: &mut dyn Backend) -> Vec<Arc<KeyRecord>> {
    let watcher = backend.watcher().unwrap();
    let found = watcher.look.look(backend.records().clone(), None).await.unwrap();
    backend.take_in(found)
}

/// A policy that lets its token ask about itself, and no more.
const NOTHING: &str = "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }";

pub(crate) const BOTH: [VaultEngine; 2] = [VaultEngine::Kv2, VaultEngine::Transit];

#[tokio::test]
async fn a_store_that_was_never_made_is_not_an_empty_one() {
    for engine in BOTH {
        let Some(site) = Site::bare(engine) else { return };
        let error = site.try_open().await.err().unwrap();
        let message = error.to_string();
        assert!(message.contains("holds no keystore"), "{message}");
        init(engine, &site.config, None).await.unwrap();
        assert!(site.open().await.records().is_empty());
        let again = init(engine, &site.config, None).await.unwrap_err().to_string();
        assert!(again.contains("holds a keystore already"), "{again}");
    }
}

#[tokio::test]
async fn a_wrong_mount_or_a_missing_policy_is_not_an_empty_store() {
    use crate::error::VaultError;
    for engine in BOTH {
        let Some(site) = Site::with_store(engine).await else { return };
        let change = |change: &dyn Fn(&mut VaultConfig)| {
            let mut config = site.config.clone();
            // Nothing is forbidden to this one: what is wrong is the place.
            config.auth = given(&site.server.root);
            change(&mut config);
            let Site { server, engine, .. } = site;
            let mounts =
                Mounts { kv: String::new(), transit: String::new(), prefix: String::new() };
            async move { Site { server, mounts, engine, config }.try_open().await.err() }
        };
        let kv1 = format!("{}v1", site.mounts.kv);
        site.server.done("POST", &format!("sys/mounts/{kv1}"), &serde_json::json!({"type": "kv"}));
        for mount in ["nothing-here", &kv1, &site.mounts.transit] {
            let error = change(&|config| config.kv_mount = mount.to_owned()).await;
            assert!(matches!(error, Some(Error::Vault(VaultError::Mount(_)))), "{mount} {error:?}");
        }
        let error = change(&|config| config.key_prefix = "another".to_owned()).await;
        assert!(error.unwrap().to_string().contains("holds no keystore"));
        if engine == VaultEngine::Transit {
            for mount in ["nothing-here", &site.mounts.kv] {
                let error = change(&|config| config.transit_mount = mount.to_owned()).await;
                assert!(matches!(error, Some(Error::Vault(VaultError::Mount(_)))), "{error:?}");
            }
        }
        let token = site.server.token(NOTHING, "1h");
        let error = change(&|config| config.auth = given(&token)).await;
        assert!(matches!(error, Some(Error::Vault(VaultError::Forbidden(_)))), "{error:?}");
    }
}

#[tokio::test]
async fn a_mount_that_deletes_by_itself_is_refused() {
    let Some(site) = Site::with_store(VaultEngine::Kv2).await else { return };
    let config = serde_json::json!({ "delete_version_after": "720h" });
    site.server.done("POST", &format!("{}/config", site.mounts.kv), &config);
    let message = site.try_open().await.err().unwrap().to_string();
    assert!(message.contains("delete_version_after"), "{message}");
}
