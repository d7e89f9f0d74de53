//! Section 6 of the design: who wins, who is told, and what a reconfiguration leaves alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis::Kms;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{
    Error, KeyError, KeystoreProblem, LifecycleError, OutcomeUnknown, Refused,
};
use portcullis::key::{KeyId, Mutation};
use portcullis::keystore::{LocalConfig, RootKey};
use portcullis::status::{FreezeScope, Phase};
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, Store, context, until};

/// The status, which is there at once in every state.
fn phase(kms: &Kms) -> Phase {
    let at = Instant::now();
    let phase = kms.status().phase;
    let took = at.elapsed();
    // Another thread may have been given this core meanwhile; thrice in a row it was not that.
    let again = || {
        let at = Instant::now();
        let _ = kms.status();
        at.elapsed()
    };
    let took = took.min(again()).min(again());
    assert!(took < Duration::from_millis(1), "{took:?}");
    phase
}

fn started(fixture: &Fixture) -> tokio::task::JoinHandle<Result<(), Error>> {
    let kms = fixture.kms.clone();
    let start = tokio::spawn(async move { kms.start().await.map(drop) });
    tokio::task::block_in_place(|| fixture.store.mark.loads.reached());
    start
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_stop_or_start_takes_over_from_a_start_that_a_slow_store_holds_up() {
    let fixture = Fixture::running().await;
    let Fixture { kms, store, .. } = &fixture;
    kms.stop().await.unwrap();
    store.mark.loads.shut();
    let first = started(&fixture);
    assert_eq!(phase(kms), Phase::Starting);
    let second = tokio::spawn({
        let kms = kms.clone();
        async move { kms.start().await }
    });
    let superseded = first.await.unwrap();
    assert!(matches!(superseded, Err(Error::Lifecycle(LifecycleError::Superseded("start")))));
    assert_eq!(phase(kms), Phase::Starting);
    let hung = kms.stop_within(Duration::from_millis(20)).await;
    let superseded = second.await.unwrap();
    assert!(matches!(superseded, Err(Error::Lifecycle(LifecycleError::Superseded("stop")))));
    // The store is still being opened: there may be keys in memory, and it does not say otherwise.
    assert!(matches!(hung, Err(Error::Lifecycle(LifecycleError::BackendHung))), "{hung:?}");
    assert_eq!(phase(kms), Phase::Draining);
    store.mark.loads.open();
    until(|| phase(kms) == Phase::Stopped);
    let report = kms.start().await.unwrap();
    assert_eq!(report.generation, 2, "only successes take a number");
    assert_eq!(phase(kms), Phase::Running);
}

#[tokio::test]
async fn what_does_not_apply_is_refused_with_a_hint_and_changes_nothing() {
    let fixture = Fixture::running().await;
    let Fixture { kms, config, key, .. } = &fixture;
    let refused = kms.configure(config.clone()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "configure is not possible while the engine is running; use reconfigure"
    );
    assert!(kms.start().await.unwrap().was_running);
    kms.freeze(FreezeScope::All).await.unwrap();
    assert_eq!(phase(kms), Phase::Frozen(FreezeScope::All));
    let refused = kms.start().await.unwrap_err();
    assert_eq!(refused.to_string(), "start is not possible while the engine is frozen; thaw it");
    let refused = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await;
    assert!(matches!(refused, Err(Error::Refused(Refused::Frozen))));
    kms.stop().await.unwrap();
    let refused = kms.freeze(FreezeScope::All).await.unwrap_err();
    assert_eq!(refused.to_string(), "freeze is not possible while the engine is stopped");
    let refused = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await;
    assert!(matches!(refused, Err(Error::Refused(Refused::Stopped))), "{refused:?}");
}

/// The configuration that had failed to open was taken over by the next start.
#[tokio::test]
async fn a_reconfiguration_that_fails_leaves_the_old_one_for_now_and_for_the_next_start() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, config, store, .. } = &fixture;
    let root = RootKey::File(store.directory.path().join("root.key"));
    let absent = LocalConfig::new(store.directory.path().join("absent"), root, Default::default());
    let mut wrong = portcullis::config::Config::new(absent);
    wrong.default_key = None;
    let refused = kms.reconfigure(wrong).await;
    assert!(matches!(
        refused,
        Err(Error::Keystore(error)) if error.problem != KeystoreProblem::Locked
    ));
    assert_eq!((phase(kms), kms.status().generation), (Phase::Running, 1));
    assert!(kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.is_ok());
    kms.stop().await.unwrap();
    kms.start().await.unwrap();
    assert_eq!(kms.status().generation, 2);
    assert_eq!(Some(kms.default_key().unwrap()), config.default_key);
    assert!(kms.rotate_key(key).await.is_ok());
}

/// A caller who must never be refused: whatever it makes it also uses.
fn work(kms: &Kms, key: &KeyId, served: &AtomicU64, over: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (a, spec) = (context("a"), DataKeySpec::AES_256);
    while !over.load(Ordering::SeqCst) {
        runtime.block_on(async {
            let made = kms.generate_data_key(key, spec, &a).await.unwrap();
            made.key.copy_into(&mut [0; 32]).unwrap();
            let mut object = Vec::new();
            let mut sealing = kms.seal(key, &a, &[7; 50_000][..]).await.unwrap();
            sealing.read_to_end(&mut object).await.unwrap();
            assert!(object.len() > 50_000);
        });
        served.fetch_add(1, Ordering::SeqCst);
    }
}

async fn reconfigured_under_load(stores: [&portcullis::config::Config; 2], kms: &Kms, key: &KeyId) {
    let (served, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let threads = [(); 2].map(|()| {
        let (kms, key) = (kms.clone(), key.clone());
        let (served, over) = (Arc::clone(&served), Arc::clone(&over));
        std::thread::spawn(move || work(&kms, &key, &served, &over))
    });
    let rounds = 100;
    for round in 0..rounds {
        let before = served.load(Ordering::SeqCst);
        let report = kms.reconfigure(stores[round % 2].clone()).await.unwrap();
        assert_eq!(report.generation, 2 + round as u64);
        until(|| served.load(Ordering::SeqCst) > before);
    }
    over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    println!("{rounds} swaps over {} rounds of work", served.load(Ordering::SeqCst));
    assert_eq!(phase(kms), Phase::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reconfiguration_on_the_same_directory_fails_no_operation() {
    let fixture = Fixture::for_load().await;
    let config = &fixture.config;
    reconfigured_under_load([config, config], &fixture.kms, &fixture.key).await;
}

/// Streams under way were cut by the swap, and use counts that were asked for in it were refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reconfiguration_on_another_directory_fails_no_operation() {
    let (fixture, other) = (Fixture::for_load().await, Store::new());
    let stores = [&other.config(), &fixture.config];
    reconfigured_under_load(stores, &fixture.kms, &fixture.key).await;
}

#[tokio::test]
async fn a_stream_outlives_a_swap_and_obeys_the_new_store_where_that_has_its_key() {
    let (fixture, other) = (Fixture::running().await, Store::new());
    let Fixture { kms, key, config, .. } = &fixture;
    let plain = vec![3; 100_000];
    let mut sealing = kms.seal(key, &context("a"), &plain[..]).await.unwrap();
    let mut object = vec![0; 1000];
    sealing.read_exact(&mut object).await.unwrap();
    kms.reconfigure(other.config()).await.unwrap();
    // Its own key of that name is another key.
    kms.change_key(key, Mutation::Disable).await.unwrap();
    let mut some = [0; 20_000];
    sealing.read_exact(&mut some).await.unwrap();
    object.extend_from_slice(&some);
    kms.reconfigure(config.clone()).await.unwrap();
    kms.change_key(key, Mutation::Disable).await.unwrap();
    let cut = sealing.read_exact(&mut some).await.unwrap_err();
    assert!(matches!(Error::in_stream(&cut), Some(Error::Key(KeyError::Disabled))), "{cut}");
}

/// The old store was forgotten where a freeze came before nobody used it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_that_was_replaced_is_closed_and_can_be_opened_by_others() {
    let (fixture, other) = (Fixture::running().await, Store::new());
    let kms = &fixture.kms;
    for _ in 0..20 {
        kms.reconfigure(other.config()).await.unwrap();
        kms.freeze(FreezeScope::All).await.unwrap();
        let second = portcullis::Engine::start(fixture.config.clone()).await.unwrap();
        drop(second);
        kms.thaw().await.unwrap();
        kms.reconfigure(fixture.config.clone()).await.unwrap();
    }
}

/// A host's mark that panics takes the backend actor with it, in the middle of a change.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_panic_in_a_change_is_an_unknown_outcome_and_the_backend_is_built_again_from_disk() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, store, .. } = &fixture;
    let (a, spec) = (context("a"), DataKeySpec::AES_256);
    kms.generate_data_key(key, spec, &a).await.unwrap();
    store.mark.panics.store(true, Ordering::SeqCst);
    let unknown = kms.rotate_key(key).await;
    assert!(matches!(unknown, Err(Error::OutcomeUnknown(OutcomeUnknown { .. }))), "{unknown:?}");
    store.mark.panics.store(false, Ordering::SeqCst);
    // Callers go on meanwhile.
    let made = kms.generate_data_key(key, spec, &a).await.unwrap();
    let described = loop {
        match kms.describe_key(key).await {
            Err(Error::Refused(Refused::Down { retry_after, .. })) => {
                tokio::time::sleep(retry_after).await;
            }
            described => break described.unwrap(),
        }
    };
    assert!((1..=2).contains(&described.current_version.number()), "the old state or the new one");
    let report = kms.rotate_key(key).await.unwrap();
    assert_eq!(report.key.current_version.number(), described.current_version.number() + 1);
    assert!(kms.decrypt_data_key(&made.wrapped, &a).await.is_ok());
    assert_eq!(phase(kms), Phase::Running);
}

/// The brake was refused for as long as the backend was being built again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_brake_waits_for_a_backend_that_was_lost_and_acts_then() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, store, .. } = &fixture;
    store.mark.panics.store(true, Ordering::SeqCst);
    let _unknown = kms.rotate_key(key).await.unwrap_err();
    store.mark.panics.store(false, Ordering::SeqCst);
    assert!(kms.change_key(key, Mutation::Disable).await.unwrap().changed);
    let refused = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await;
    assert!(matches!(refused, Err(Error::Key(KeyError::Disabled))), "{refused:?}");
}

/// What cannot be opened again is a death like any other: the engine fails closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_that_does_not_open_again_after_a_panic_fails_the_engine() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, store, .. } = &fixture;
    let root = store.directory.path().join("root.key");
    let aside = store.directory.path().join("aside");
    std::fs::rename(&root, &aside).unwrap();
    store.mark.panics.store(true, Ordering::SeqCst);
    let _unknown = kms.rotate_key(key).await.unwrap_err();
    store.mark.panics.store(false, Ordering::SeqCst);
    until(|| matches!(phase(kms), Phase::Failed(_)));
    assert!(!kms.status().open_for_reads);
    assert!(matches!(
        kms.start().await,
        Err(Error::Keystore(error)) if error.problem == KeystoreProblem::Missing
    ));
    std::fs::rename(&aside, &root).unwrap();
    kms.start().await.unwrap();
    kms.rotate_key(key).await.unwrap();
}

/// A stop that found the backend down took that for closed; the rebuilt backend then opened the
/// store of an engine that had stopped, and the next start found it locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stop_while_the_backend_is_built_again_closes_that_too() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, store, config, .. } = &fixture;
    for round in 1..4 {
        store.mark.panics.store(true, Ordering::SeqCst);
        let _unknown = kms.rotate_key(key).await.unwrap_err();
        store.mark.panics.store(false, Ordering::SeqCst);
        kms.stop().await.unwrap();
        let other = portcullis::Engine::start(config.clone()).await.unwrap();
        drop(other);
        assert_eq!(kms.start().await.unwrap().generation, round + 1);
    }
    // The fourth death within its window is one too many.
    store.mark.panics.store(true, Ordering::SeqCst);
    let _unknown = kms.rotate_key(key).await.unwrap_err();
    until(|| matches!(phase(kms), Phase::Failed(_)));
    store.mark.panics.store(false, Ordering::SeqCst);
    let refused = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await;
    assert!(matches!(refused, Err(Error::Refused(Refused::Failed))), "{refused:?}");
    kms.start().await.unwrap();
    kms.rotate_key(key).await.unwrap();
}

/// After the backend had died too often its store was remembered: the next start opened it again by
/// itself, whatever the engine was configured with by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_engine_that_has_failed_lets_its_store_go_for_good() {
    let (fixture, other) = (Fixture::running().await, Store::new());
    let Fixture { kms, key, store, config, .. } = &fixture;
    store.mark.panics.store(true, Ordering::SeqCst);
    while !matches!(phase(kms), Phase::Failed(_)) {
        let _lost = kms.rotate_key(key).await.unwrap_err();
        tokio::task::yield_now().await;
    }
    store.mark.panics.store(false, Ordering::SeqCst);
    let holder = portcullis::Engine::start(config.clone()).await.unwrap();
    kms.configure(other.config()).await.unwrap();
    kms.start().await.unwrap();
    kms.rotate_key(key).await.unwrap();
    drop(holder);
}

#[tokio::test]
async fn a_stop_without_patience_cuts_streams_and_reports_like_any_other() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, .. } = &fixture;
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
    let mut sealing = kms.seal(key, &context("a"), &[7; 100_000][..]).await.unwrap();
    let mut some = [0; 1000];
    sealing.read_exact(&mut some).await.unwrap();
    let report = kms.stop_within(Duration::ZERO).await.unwrap();
    assert_eq!((report.cancelled, report.keys_wiped, report.audited), (1, 2, true));
    assert_eq!(phase(kms), Phase::Stopped);
    assert!(sealing.read_exact(&mut some).await.is_err());
    drop(made);
}

/// Guarantee 6: the engine kept it for the next start.
#[tokio::test]
async fn a_root_key_that_the_host_hands_in_is_wiped_by_a_stop_and_must_be_handed_in_again() {
    let store = Store::new();
    let given = || {
        let bytes = std::fs::read(store.directory.path().join("root.key")).unwrap();
        let key: [u8; 32] = bytes.try_into().unwrap();
        let key = Arc::new(secrecy::SecretBox::new(Box::new(key)));
        let mut local = store.local();
        local.root_key = RootKey::Given(Arc::clone(&key));
        (portcullis::config::Config::new(local), Arc::downgrade(&key))
    };
    let (config, root_key) = given();
    let engine = portcullis::Engine::start(config).await.unwrap();
    let kms = engine.kms();
    assert!(root_key.upgrade().is_some(), "it is at hand while the engine runs");
    kms.stop().await.unwrap();
    assert!(root_key.upgrade().is_none());
    let refused = kms.start().await;
    assert!(matches!(refused, Err(Error::Lifecycle(LifecycleError::SecretWiped))), "{refused:?}");
    assert_eq!(phase(&kms), Phase::Stopped);
    let (config, root_key) = given();
    kms.configure(config).await.unwrap();
    kms.start().await.unwrap();
    kms.rotate_key(&portcullis::key::KeyId::new("default").unwrap()).await.unwrap();
    // Also one that was never used: a stop finds the engine stopped, and leaves no secret.
    kms.stop().await.unwrap();
    assert!(root_key.upgrade().is_none());
    let (config, root_key) = given();
    kms.configure(config).await.unwrap();
    assert!(root_key.upgrade().is_some());
    kms.stop().await.unwrap();
    assert!(root_key.upgrade().is_none());
}
