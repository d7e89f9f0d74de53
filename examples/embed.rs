//! A host on tokio's threads: a keystore, data keys from tasks and plain threads, a sealed stream,
//! and the brakes.
//!
//! ```text
//! cargo run --example embed
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error as StdError;
use std::path::Path;

use portcullis::audit::Caller;
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, Refused};
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::status::FreezeScope;
use portcullis::{Engine, Kms};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

type Result<T> = core::result::Result<T, Box<dyn StdError + Send + Sync>>;

const TASKS: usize = 8;
const KEYS_EACH: usize = 500;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::start(new_keystore(directory.path())?).await?;
    let kms = engine.kms();
    let key = kms.default_key()?;
    println!("running: {:?}", kms.status());

    from_tasks(&kms, &key).await?;
    from_threads(&kms, &key)?;
    seal_and_open(&kms, &key).await?;
    rotate_and_rewrap(&kms, &key).await?;
    brake(&kms, &key).await?;

    // Dropping the engine closes the keystore and joins every thread it started.
    drop(engine);
    println!("done");
    Ok(())
}

/// A keystore with its default key: made once, by an operator or an installer.
fn new_keystore(directory: &Path) -> Result<Config> {
    // In production these three lie on different disks, or the root key comes from systemd.
    let (keys, root) = (directory.join("keys"), directory.join("root.key"));
    create_root_key_file(&root)?;
    let anchor = Anchor::File(directory.join("mark"));
    let local = LocalConfig::new(keys, RootKey::File(root), anchor);
    let mut options = InitOptions::new(SystemClock::default().wall());
    options.default_key = Some(KeyId::new(DEFAULT_KEY)?);
    let info = init(&local, options)?;
    println!("made keystore {} in {}", info.id, info.directory.display());
    Ok(Config::new(local))
}

/// Data keys from tasks of the host's runtime, each on behalf of somebody.
async fn from_tasks(kms: &Kms, key: &KeyId) -> Result<()> {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let caller = Caller::new(&format!("tenant-{task}"), &format!("request-{task}"), "::1")?;
        let (kms, key) = (kms.on_behalf_of(caller), key.clone());
        tasks.spawn(async move {
            let context = EncryptionContext::new().with("tenant", &task.to_string())?;
            for _ in 0..KEYS_EACH {
                let made = kms.generate_data_key(&key, DataKeySpec::AES_256, &context).await?;
                let opened = kms.decrypt_data_key(&made.wrapped, &context).await?;
                let (mut one, mut other) = ([0; 32], [0; 32]);
                made.key.copy_into(&mut one)?;
                opened.copy_into(&mut other)?;
                assert_eq!(one, other);
            }
            Ok::<_, Box<dyn StdError + Send + Sync>>(KEYS_EACH)
        });
    }
    let mut keys = 0;
    while let Some(made) = tasks.join_next().await {
        keys += made??;
    }
    assert_eq!(keys, TASKS * KEYS_EACH);
    println!("{keys} data keys from {TASKS} tasks");
    Ok(())
}

/// The same from plain threads, which know of no runtime: nothing waits.
fn from_threads(kms: &Kms, key: &KeyId) -> Result<()> {
    let context = EncryptionContext::new().with("host", "thread")?;
    let work = || {
        let made = kms.try_generate_data_key(key, DataKeySpec::AES_128, &context)?;
        let opened = kms.try_decrypt_data_key(&made.wrapped, &context)?;
        assert_eq!(opened.len(), 16);
        Ok::<_, portcullis::TryError>(())
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "it panicked")?.map_err(Box::from))
    })
}

/// A stream of any length, in constant memory.
async fn seal_and_open(kms: &Kms, key: &KeyId) -> Result<()> {
    const BYTES: u64 = 4 << 20;
    let context = EncryptionContext::new().with("path", "/var/backup/1")?;
    let plain = tokio::io::repeat(7).take(BYTES);
    let sealed = kms.seal(key, &context, plain).await?;
    let mut opened = kms.open(&context, Box::pin(sealed)).await?;
    let copied = tokio::io::copy(&mut opened, &mut tokio::io::sink()).await?;
    assert_eq!(copied, BYTES);
    println!("{copied} bytes sealed and opened as a stream");

    let small = kms.encrypt(key, b"a few bytes", &context).await?;
    assert_eq!(kms.decrypt(&small, &context).await?, b"a few bytes");
    let elsewhere = EncryptionContext::new().with("path", "/var/backup/2")?;
    assert!(matches!(kms.decrypt(&small, &elsewhere).await, Err(Error::Envelope(_))));
    Ok(())
}

/// Rotation: new data keys under the new version, old ones open as ever, a rewrap moves them.
async fn rotate_and_rewrap(kms: &Kms, key: &KeyId) -> Result<()> {
    let context = EncryptionContext::new();
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context).await?;
    let report = kms.rotate_key(key).await?;
    let moved = kms.rewrap(&made.wrapped, &context).await?;
    assert!(moved.changed);
    assert_eq!(moved.wrapped.describe()?.key_version, report.key.current_version);
    println!("rotated to version {}", report.key.current_version);
    Ok(())
}

/// Freeze, thaw, stop, start: what an operator does when something is wrong.
async fn brake(kms: &Kms, key: &KeyId) -> Result<()> {
    let context = EncryptionContext::new();
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context).await?;
    let mut bytes = [0; 32];

    kms.freeze(FreezeScope::All).await?;
    let frozen = made.key.copy_into(&mut bytes);
    assert!(matches!(frozen, Err(Error::Refused(Refused::Frozen))));
    kms.thaw().await?;
    made.key.copy_into(&mut bytes)?;

    let report = kms.stop().await?;
    assert!(report.keys_wiped >= 1);
    let stopped = kms.decrypt_data_key(&made.wrapped, &context).await;
    assert!(matches!(stopped, Err(Error::Refused(Refused::Stopped))));
    println!("stopped: {report:?}");

    let report = kms.start().await?;
    println!("started: {report:?}");
    // The lease ended with the stop; the envelope opens again.
    assert!(matches!(made.key.copy_into(&mut bytes), Err(Error::Refused(Refused::Stale))));
    let mut again = [0; 32];
    kms.decrypt_data_key(&made.wrapped, &context).await?.copy_into(&mut again)?;
    assert_eq!(bytes, again);
    Ok(())
}
