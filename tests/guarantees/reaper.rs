//! What happens by itself, by a clock that the test moves.

use std::time::Duration;

use portcullis::clock::{Clock, ManualClock, SystemClock};
use portcullis::engine::EngineOptions;
use portcullis::envelope::DataKeySpec;
use portcullis::key::{KeyId, KeyPolicy, KeyState, Mutation};
use portcullis::{Engine, Kms};

use crate::harness::{Fixture, PATIENCE, Sink, Store, context, default_key};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn running() -> (Fixture, ManualClock) {
    let (store, sink) = (Store::new(), Sink::default());
    let clock = ManualClock::new(SystemClock::default().wall());
    let options = EngineOptions::new()
        .with_clock(std::sync::Arc::new(clock.clone()))
        .with_audit_sink(sink.clone())
        .with_reap_interval(Duration::from_millis(5));
    let engine = Engine::launch(options).await.unwrap();
    let (kms, config) = (engine.kms(), store.config());
    kms.configure(config.clone()).await.unwrap();
    kms.start().await.unwrap();
    (Fixture { engine, kms, key: default_key(), config, store, sink }, clock)
}

/// Asks until the key is as `holds` wants it.
async fn becomes(kms: &Kms, key: &KeyId, holds: impl Fn(KeyState, u32) -> bool) {
    let looked = async {
        loop {
            let described = kms.describe_key(key).await.unwrap();
            if holds(described.state, described.current_version.number()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("the reaper does it");
}

#[tokio::test]
async fn a_key_is_destroyed_after_its_window_and_not_where_only_the_wall_clock_jumped() {
    let (fixture, clock) = running().await;
    let Fixture { kms, key, .. } = &fixture;
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(key, spec, &context("a")).await.unwrap();
    kms.change_key(key, Mutation::ScheduleDeletion { days: 7 }).await.unwrap();
    clock.jump_wall(30 * DAY);
    crate::harness::until(|| kms.status().clock_jump);
    // Held, however long the clocks go together again.
    clock.advance(30 * DAY);
    let other = KeyId::new("other").unwrap();
    kms.create_key(&other).await.unwrap();
    let mut policy = KeyPolicy::new();
    policy.rotate_after = Some(Duration::from_secs(3600));
    kms.change_key(&other, Mutation::SetPolicy(policy)).await.unwrap();
    clock.advance(Duration::from_secs(7200));
    // Rotation goes on: it takes nothing away. And so the reaper has looked, and held.
    becomes(kms, &other, |_, version| version == 2).await;
    let state = kms.describe_key(key).await.unwrap().state;
    assert!(matches!(state, KeyState::PendingDeletion { .. }), "{state:?}");
    kms.stop().await.unwrap();
    assert!(kms.status().clock_jump, "a stop forgets nothing");
    // Whoever starts the engine accepts the clock, and what is due is done.
    kms.start().await.unwrap();
    assert!(!kms.status().clock_jump);
    becomes(kms, key, |state, _| state == KeyState::Destroyed).await;
    kms.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap_err();
    // And a start brings nothing back.
    kms.stop().await.unwrap();
    kms.start().await.unwrap();
    kms.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap_err();
    assert!(kms.change_key(key, Mutation::CancelDeletion).await.is_err());
}

#[tokio::test]
async fn a_key_is_destroyed_once_its_window_has_passed() {
    let (fixture, clock) = running().await;
    let Fixture { kms, key, .. } = &fixture;
    kms.change_key(key, Mutation::ScheduleDeletion { days: 7 }).await.unwrap();
    clock.advance(7 * DAY);
    becomes(kms, key, |state, _| state == KeyState::Destroyed).await;
    assert!(!kms.status().clock_jump);
}

#[tokio::test]
async fn a_key_is_rotated_by_use_and_old_envelopes_open() {
    let (fixture, _clock) = running().await;
    let Fixture { kms, key, .. } = &fixture;
    let mut policy = KeyPolicy::new();
    policy.rotate_at_uses = Some(1000);
    kms.change_key(key, Mutation::SetPolicy(policy)).await.unwrap();
    let (spec, a) = (DataKeySpec::AES_256, context("a"));
    let first = kms.generate_data_key(key, spec, &a).await.unwrap();
    for _ in 0..900 {
        kms.generate_data_key_without_plaintext(key, spec, &a).await.unwrap();
    }
    // Not before its limit, though a block of uses is many times that.
    assert_eq!(kms.describe_key(key).await.unwrap().current_version.number(), 1);
    for _ in 0..3000 {
        kms.generate_data_key_without_plaintext(key, spec, &a).await.unwrap();
    }
    becomes(kms, key, |_, version| version > 1).await;
    assert!(kms.decrypt_data_key(&first.wrapped, &a).await.is_ok());
    let versions = kms.describe_key_versions(key).await.unwrap();
    assert!(versions.iter().all(|version| version.uses_reserved <= 1000 + (1 << 16)));
}
