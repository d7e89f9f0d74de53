//! Engines on keystores of their own, removed when a test ends.

use std::sync::Arc;

use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::{Engine, Kms};
use tempfile::TempDir;

/// An engine, and the directory that it lives in.
pub struct Fixture {
    pub engine: Engine,
    pub kms: Kms,
    pub key: KeyId,
    pub config: Config,
    pub directory: Arc<TempDir>,
}

/// The configuration of a new keystore in a directory of its own.
pub fn keystore() -> (Config, Arc<TempDir>) {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root.key");
    create_root_key_file(&root).unwrap();
    let anchor = Anchor::File(directory.path().join("mark"));
    let local = LocalConfig::new(directory.path().join("keys"), RootKey::File(root), anchor);
    let mut options = InitOptions::new(SystemClock::default().wall());
    options.default_key = Some(KeyId::new(DEFAULT_KEY).unwrap());
    init(&local, options).unwrap();
    (Config::new(local), Arc::new(directory))
}

/// A running engine on a new keystore.
pub async fn running() -> Fixture {
    let (config, directory) = keystore();
    let engine = Engine::start(config.clone()).await.unwrap();
    let kms = engine.kms();
    Fixture { engine, kms, key: KeyId::new(DEFAULT_KEY).unwrap(), config, directory }
}

/// A context of one pair.
pub fn context(value: &str) -> EncryptionContext {
    EncryptionContext::new().with("tenant", value).unwrap()
}
