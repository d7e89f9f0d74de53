//! The same work on `rustfs-kms` 1.0.1 and on Portcullis, each on its local backend, and objects on
//! the static backends too.
//!
//! ```text
//! cd benches/peers && cargo run --release --ignore-rust-version [-- --json FILE]
//! ```
//!
//! Both sides are called through their asynchronous interface on one thread, with the same context
//! of two pairs, and every answer is checked. They take turns; what is shown is the median of the
//! turns. Portcullis runs audited (`release = "accepted"`), as it does by default, and its data key
//! is copied out of its lease, because the rival hands out bytes.

mod objects;

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use objects::Pair;
use portcullis::backend::{KeySource, StaticConfig};
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::{Engine, Kms};
use rustfs_kms::config::KmsConfig;
use rustfs_kms::manager::KmsManager;
use rustfs_kms::service::ObjectEncryptionService;
use rustfs_kms::service_manager::KmsServiceManager;
use rustfs_kms::types::{CreateKeyRequest, DecryptRequest, GenerateDataKeyRequest, KeySpec};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What one side took, in nanoseconds an operation, turn by turn.
#[derive(Default)]
struct Turns(Vec<f64>);

impl Turns {
    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

struct Rival {
    service: std::sync::Arc<ObjectEncryptionService>,
    manager: std::sync::Arc<KmsManager>,
    key: String,
    context: HashMap<String, String>,
}

impl Rival {
    async fn start(directory: &std::path::Path) -> Outcome<Self> {
        let service = KmsServiceManager::new();
        let config = KmsConfig::local(directory.to_owned()).with_insecure_development_defaults();
        service.configure(config).await?;
        service.start().await?;
        let manager = service.get_manager().await.ok_or("the rival did not start")?;
        let request = CreateKeyRequest { key_name: Some("bench".to_owned()), ..Default::default() };
        let key = manager.create_key(request).await?.key_id;
        let service = service.get_encryption_service().await.ok_or("the rival did not start")?;
        let context = PAIRS.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Ok(Self { service, manager, key, context: context.collect() })
    }

    async fn generate(&self) -> Outcome<(Vec<u8>, Vec<u8>)> {
        let mut request = GenerateDataKeyRequest::new(self.key.clone(), KeySpec::Aes256);
        request.encryption_context = self.context.clone();
        let made = self.manager.generate_data_key(request).await?;
        Ok((made.plaintext_key.to_vec(), made.ciphertext_blob.clone()))
    }

    async fn decrypt(&self, wrapped: &[u8]) -> Outcome<Vec<u8>> {
        let mut request = DecryptRequest::new(wrapped.to_vec());
        request.encryption_context = self.context.clone();
        Ok(self.manager.decrypt(request).await?.plaintext.to_vec())
    }
}

struct Ours {
    kms: Kms,
    key: KeyId,
    context: EncryptionContext,
}

impl Ours {
    async fn start(directory: &std::path::Path) -> Outcome<(Engine, Self)> {
        let root = directory.join("root.key");
        create_root_key_file(&root)?;
        let anchor = Anchor::File(directory.join("mark"));
        let local = LocalConfig::new(directory.join("keys"), RootKey::File(root), anchor);
        let key = KeyId::new(DEFAULT_KEY)?;
        let mut options = InitOptions::new(SystemClock::default().wall());
        options.default_key = Some(key.clone());
        init(&local, options)?;
        let engine = Engine::start(Config::new(local)).await?;
        let mut context = EncryptionContext::new();
        for (name, value) in PAIRS {
            context.insert(name, value)?;
        }
        let ours = Self { kms: engine.kms(), key, context };
        Ok((engine, ours))
    }

    async fn generate(&self) -> Outcome<([u8; 32], WrappedKey)> {
        let spec = DataKeySpec::AES_256;
        let made = self.kms.generate_data_key(&self.key, spec, &self.context).await?;
        let mut key = [0; 32];
        made.key.copy_into(&mut key)?;
        Ok((key, made.wrapped))
    }

    async fn decrypt(&self, wrapped: &WrappedKey) -> Outcome<[u8; 32]> {
        let lease = self.kms.decrypt_data_key(wrapped, &self.context).await?;
        let mut key = [0; 32];
        lease.copy_into(&mut key)?;
        Ok(key)
    }
}

/// Runs `$work` again and again for one turn and notes what one took.
macro_rules! turn {
    ($turns:expr, $work:expr) => {{
        let began = Instant::now();
        let mut count = 0_u32;
        while began.elapsed() < TURN {
            for _ in 0..8 {
                $work;
                count += 1;
            }
        }
        $turns.0.push(began.elapsed().as_nanos() as f64 / f64::from(count));
    }};
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let rival = Rival::start(&directory.path().join("rival")).await?;
    let (_engine, ours) = Ours::start(directory.path()).await?;

    let (their_key, their_wrapped) = rival.generate().await?;
    assert_eq!(rival.decrypt(&their_wrapped).await?, their_key);
    let (our_key, our_wrapped) = ours.generate().await?;
    assert_eq!(ours.decrypt(&our_wrapped).await?, our_key);

    let [mut theirs, mut mine, mut their_opens, mut my_opens] = [const { Turns(Vec::new()) }; 4];
    for _ in 0..ROUNDS {
        turn!(theirs, assert_eq!(rival.generate().await?.0.len(), 32));
        turn!(mine, assert_ne!(ours.generate().await?.0, [0; 32]));
        turn!(their_opens, assert_eq!(rival.decrypt(&their_wrapped).await?, their_key));
        turn!(my_opens, assert_eq!(ours.decrypt(&our_wrapped).await?, our_key));
    }
    println!("{:<24}{:>16}{:>16}{:>10}", "", "rustfs-kms ns", "portcullis ns", "ratio");
    let mut measured = vec![
        ("generate_data_key_local".to_owned(), theirs.median(), mine.median()),
        ("decrypt_data_key_local".to_owned(), their_opens.median(), my_opens.median()),
    ];
    let (_fixed, fixed) =
        on_static_keys(&directory.path().join("fixed.key"), &ours.context).await?;
    let local = Pair {
        backend: "local",
        rival: rival.service,
        rival_key: rival.key,
        kms: ours.kms,
        key: ours.key,
        context: ours.context,
    };
    for pair in [local, fixed] {
        for (size, len) in [("1kib", 1 << 10), ("1mib", 1 << 20), ("64mib", 64 << 20)] {
            measured.extend(pair.measure(size, len).await?);
        }
    }
    let mut results = Vec::new();
    for (name, theirs, mine) in measured {
        let ratio = theirs / mine;
        println!("{name:<24}{theirs:>16.0}{mine:>16.0}{ratio:>10.1}");
        results.push(format!(
            "{{\"name\":\"{name}\",\"rustfs_kms_ns\":{theirs:.0},\"portcullis_ns\":{mine:.0},\
             \"ratio\":{ratio:.2}}}"
        ));
    }
    let mut arguments = std::env::args().skip(1);
    if let (Some("--json"), Some(file)) = (arguments.next().as_deref(), arguments.next()) {
        std::fs::write(file, format!("{{\"results\":[{}]}}\n", results.join(",")))?;
    }
    Ok(())
}

/// Both sides on one static key.
async fn on_static_keys(
    file: &std::path::Path,
    context: &EncryptionContext,
) -> Outcome<(Engine, Pair)> {
    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let service = KmsServiceManager::new();
    service.configure(KmsConfig::static_kms("bench".to_owned(), SECRET.to_owned())).await?;
    service.start().await?;
    let rival = service.get_encryption_service().await.ok_or("the rival did not start")?;
    create_root_key_file(file)?;
    let key = KeyId::new(DEFAULT_KEY)?;
    let source = KeySource::File(file.to_owned());
    let config = Config::new(StaticConfig::new(key.clone(), source));
    let engine = Engine::start(config).await?;
    let context = context.clone();
    let (backend, rival_key, kms) = ("static", "bench".to_owned(), engine.kms());
    Ok((engine, Pair { backend, rival, rival_key, kms, key, context }))
}

const BUCKET: &str = "photos";
const NAME: &str = "2026/11/24/0001.jpg";
const PAIRS: [(&str, &str); 2] = [("bucket", BUCKET), ("object_key", NAME)];
const ROUNDS: usize = 11;
const TURN: Duration = Duration::from_millis(200);
