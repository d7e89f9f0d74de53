//! Guarantee 2: after a key's state was changed, nothing uses the old one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portcullis::TryError;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, KeyError};
use portcullis::key::{KeyVersion, Mutation};
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, running};

/// Two threads that wrap and unwrap under the fixture's key, and what they saw after `changed`.
struct Hammer {
    threads: Vec<std::thread::JoinHandle<u64>>,
    changed: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
    wraps: Arc<AtomicU64>,
}

impl Hammer {
    /// `is_old` says of a call that began after the change whether it used the old state.
    async fn start(fixture: &Fixture, unwraps: bool, old_version: u32) -> Self {
        let kms = fixture.kms.clone();
        let key = fixture.key.clone();
        let spec = DataKeySpec::AES_256;
        let made = kms.generate_data_key(&key, spec, &context("h")).await.unwrap();
        let (changed, end) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let wraps = Arc::<AtomicU64>::default();
        let run = || {
            let (kms, key, wrapped) = (kms.clone(), key.clone(), made.wrapped.clone());
            let (changed, end, wraps) =
                (Arc::clone(&changed), Arc::clone(&end), Arc::clone(&wraps));
            std::thread::spawn(move || {
                let mut violations = 0;
                while !end.load(Ordering::Relaxed) {
                    // Read before the call: a call that begins after the answer sees it.
                    let after = changed.load(Ordering::SeqCst);
                    let used_old = if unwraps {
                        kms.try_decrypt_data_key(&wrapped, &context("h")).is_ok()
                    } else {
                        match kms.try_generate_data_key(&key, spec, &context("h")) {
                            Ok(made) => {
                                wraps.fetch_add(1, Ordering::Relaxed);
                                let version = made.wrapped.describe().unwrap().key_version;
                                version.number() == old_version
                            }
                            Err(_) => false,
                        }
                    };
                    violations += u64::from(after && used_old);
                }
                violations
            })
        };
        Self { threads: vec![run(), run()], changed, end, wraps }
    }

    /// Lets them go on for a while after the change was answered; how often the old state was used.
    fn violations(self) -> u64 {
        self.changed.store(true, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(30));
        self.end.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn guarantee_2_after_disable_and_scheduled_deletion_nothing_wraps_or_unwraps() {
    for unwraps in [false, true] {
        for round in 0..20 {
            let fixture = running().await;
            let hammer = Hammer::start(&fixture, unwraps, 1).await;
            let mutation = match round % 2 {
                0 => Mutation::Disable,
                _ => Mutation::ScheduleDeletion { days: 7 },
            };
            let report = fixture.kms.change_key(&fixture.key, mutation).await.unwrap();
            assert!(report.changed && report.audited);
            assert_eq!(hammer.violations(), 0, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn guarantee_2_after_rotate_every_wrap_uses_the_new_version() {
    let fixture = running().await;
    for old in 1..=30 {
        let hammer = Hammer::start(&fixture, false, old).await;
        fixture.kms.rotate_key(&fixture.key).await.unwrap();
        let wraps = Arc::clone(&hammer.wraps);
        assert_eq!(hammer.violations(), 0, "version {old}");
        let _ = wraps.load(Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn guarantee_2_after_retire_nothing_unwraps_under_the_version_until_it_is_reinstated() {
    let fixture = running().await;
    let kms = &fixture.kms;
    for version in 1..=20 {
        let hammer = Hammer::start(&fixture, true, version).await;
        kms.rotate_key(&fixture.key).await.unwrap();
        let number = KeyVersion::new(version).unwrap();
        kms.change_key(&fixture.key, Mutation::Retire(number)).await.unwrap();
        assert_eq!(hammer.violations(), 0, "version {version}");
    }
}

#[tokio::test]
async fn guarantee_2_streams_end_at_the_next_chunk_after_disable_and_survive_a_rotation() {
    let fixture = running().await;
    let (kms, key) = (&fixture.kms, &fixture.key);
    let plain = vec![9; 1 << 20];
    let mut sealed = Vec::new();
    let mut sealer = kms.seal(key, &context("s"), &plain[..]).await.unwrap();
    sealer.read_to_end(&mut sealed).await.unwrap();

    let mut opener = kms.open(&context("s"), &sealed[..]).await.unwrap();
    let mut sealer = kms.seal(key, &context("s"), &plain[..]).await.unwrap();
    opener.read_exact(&mut [0; 20_000]).await.unwrap();
    sealer.read_exact(&mut [0; 20_000]).await.unwrap();
    kms.rotate_key(key).await.unwrap();
    opener.read_exact(&mut [0; 100_000]).await.unwrap();
    sealer.read_exact(&mut [0; 100_000]).await.unwrap();

    kms.change_key(key, Mutation::Disable).await.unwrap();
    for error in [
        opener.read_exact(&mut [0; 1]).await.unwrap_err(),
        sealer.read_exact(&mut [0; 1]).await.unwrap_err(),
    ] {
        let inner = Error::in_stream(&error);
        assert!(matches!(inner, Some(Error::Key(KeyError::Disabled))), "{error:?}");
    }
    let refused = kms.try_generate_data_key(key, DataKeySpec::AES_256, &context("s"));
    assert!(matches!(refused, Err(TryError::Failed(Error::Key(KeyError::Disabled)))));
}
