//! Keystores to seal under, and what is left of them on disk.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use portcullis::clock::WallTime;
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::{Engine, Kms};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::page;

/// What the passphrase of [`passphrase`] is.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// A running engine on a new keystore in `keys`, with its mark in `mark`.
pub struct Fixture {
    engine: Engine,
    pub kms: Kms,
    pub key: KeyId,
    at_rest: AtRest,
}

/// A keystore that no process has open.
pub struct AtRest {
    directory: TempDir,
    pub config: Config,
}

impl Fixture {
    pub async fn new(root_key: fn(&Path) -> RootKey, cloned_host: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let root_key = root_key(&directory.path().join("root.key"));
        let local = local(directory.path(), root_key);
        let mut options = InitOptions::new(WallTime::from_millis(1_700_000_000_000));
        options.default_key = KeyId::new(DEFAULT_KEY).ok();
        init(&local, options).unwrap();
        let mut config = Config::new(local);
        config.host.cloned_host = cloned_host;
        let engine = Engine::start(config.clone()).await.unwrap();
        Self {
            kms: engine.kms(),
            engine,
            key: KeyId::new(DEFAULT_KEY).unwrap(),
            at_rest: AtRest { directory, config },
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.at_rest.path(name)
    }

    pub async fn seal(&self, key: &KeyId, context: &EncryptionContext, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let mut sealer = self.kms.seal(key, context, plain).await.unwrap();
        sealer.read_to_end(&mut sealed).await.unwrap();
        sealed
    }

    pub async fn stop(self) -> AtRest {
        self.kms.stop().await.unwrap();
        drop(self.engine);
        self.at_rest
    }
}

impl AtRest {
    /// The keystore on the page.
    pub fn from_page() -> Self {
        let directory = TempDir::new().unwrap();
        fs::DirBuilder::new().mode(0o700).create(directory.path().join("keys")).unwrap();
        let lock = ("keys/lock".to_owned(), Vec::new());
        for (name, bytes) in page::example().files.into_iter().chain([lock]) {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let root_key = RootKey::File(directory.path().join("root.key"));
        let config = Config::new(local(directory.path(), root_key));
        Self { directory, config }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A root key in a file.
pub fn root_key_file(path: &Path) -> RootKey {
    create_root_key_file(path).unwrap();
    RootKey::File(path.to_owned())
}

/// A root key that is a passphrase.
pub fn passphrase(_: &Path) -> RootKey {
    RootKey::Passphrase(std::sync::Arc::new(PASSPHRASE.into()))
}

/// A context whose names are not in the order in which they are given.
pub fn context() -> EncryptionContext {
    let context = EncryptionContext::new().with("tenant", "a").unwrap();
    context.with("name", "gr\u{fc}n = green").unwrap()
}

pub async fn open(kms: &Kms, context: &EncryptionContext, sealed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut opener = kms.open(context, sealed).await.unwrap();
    opener.read_to_end(&mut plain).await.unwrap();
    plain
}

fn local(directory: &Path, root_key: RootKey) -> LocalConfig {
    LocalConfig::new(directory.join("keys"), root_key, Anchor::File(directory.join("mark")))
}
