//! Vaults that do not answer, or answer what Vault does not: bounded, typed, and never in the way of
//! a status or a stop (guarantee 10).

use std::time::{Duration, Instant};

use portcullis::Engine;
use portcullis::config::{Config, Profile};
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, VaultError};
use portcullis::status::BreakerState;
use portcullis::vault::{VaultConfig, VaultEngine};
use tokio::task::JoinSet;

use crate::fixture::{Server, binary};
use crate::proxy::{Mood, Proxy};
use crate::site::{Site, backend, context, id, within};

const CALL: Duration = Duration::from_secs(3);

/// An engine on a store behind `proxy`.
async fn behind(site: &Site, proxy: &Proxy) -> Engine {
    let mut config = site.config.clone();
    config.addresses = vec![proxy.address.clone()];
    config.skip_tls_verify = true;
    start(quick(config), site.engine).await
}

fn quick(mut config: VaultConfig) -> VaultConfig {
    config.call_deadline = CALL;
    config.request_timeout = Duration::from_secs(1);
    config.state_refresh = Duration::from_secs(3600);
    config
}

async fn start(config: VaultConfig, engine: VaultEngine) -> Engine {
    let mut whole = Config::new(backend(engine, config));
    whole.profile = Profile::Development;
    Engine::start(whole).await.unwrap()
}

async fn use_key(engine: &Engine) -> Result<(), Error> {
    let spec = DataKeySpec::AES_256;
    let made = engine.kms().generate_data_key(&id("default"), spec, &context("a")).await?;
    drop(engine.kms().decrypt_data_key(&made.wrapped, &context("a")).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_in_vaults_place_is_typed_bounded_and_got_over() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let proxy = Proxy::before(site.server.admin);
    let engine = behind(&site, &proxy).await;
    use_key(&engine).await.unwrap();
    for mood in [
        Mood::Status(429),
        Mood::Status(412),
        Mood::Status(473),
        Mood::Status(500),
        Mood::Status(502),
        Mood::Status(503),
        Mood::Truncated,
        Mood::Page,
        Mood::Nonsense,
        Mood::Silent,
        Mood::Closed,
    ] {
        proxy.be(mood);
        let began = Instant::now();
        let failed = use_key(&engine).await.expect_err("nothing answered");
        let took = began.elapsed();
        assert!(matches!(failed, Error::Vault(_) | Error::OutcomeUnknown(_)), "{mood:?}: {failed}");
        assert!(took < CALL + Duration::from_secs(1), "{mood:?} took {took:?}");
        proxy.be(Mood::Honest);
        within(Duration::from_secs(20), async || use_key(&engine).await.is_ok()).await;
    }
    let began = Instant::now();
    proxy.be(Mood::Silent);
    engine.kms().stop_within(Duration::from_secs(1)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_vault_fills_the_bulkhead_and_the_rest_is_refused_with_a_hint() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let proxy = Proxy::before(site.server.admin);
    let mut config = quick(site.config.clone());
    config.addresses = vec![proxy.address.clone()];
    config.skip_tls_verify = true;
    config.max_in_flight = 4;
    config.max_waiting = 12;
    let engine = start(config, site.engine).await;
    use_key(&engine).await.unwrap();
    proxy.be(Mood::Slow(Duration::from_millis(600)));
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let kms = engine.kms();
        callers.spawn(async move {
            let spec = DataKeySpec::AES_256;
            kms.generate_data_key(&id("default"), spec, &context("a")).await.map(drop)
        });
    }
    let (mut made, mut busy) = (0, 0);
    while let Some(ended) = callers.join_next().await {
        match ended.unwrap() {
            Ok(()) => made += 1,
            Err(Error::Vault(VaultError::Busy { retry_after })) => {
                assert!(retry_after > Duration::ZERO);
                busy += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((made, busy), (16, 84));
    let status = engine.kms().status().vault.unwrap();
    assert_eq!((status.in_flight, status.waiting), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_stands_still_opens_the_breaker_and_holds_up_no_status_and_no_stop() {
    let Some(binary) = binary() else { return };
    // Standing still is seen by whoever shares the server: this one is the test's own.
    let server: &'static Server = Box::leak(Box::new(Server::start(&binary)));
    let site = Site::on(server, VaultEngine::Transit).await;
    let engine = start(quick(site.config.clone()), site.engine).await;
    use_key(&engine).await.unwrap();
    server.stand_still();
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let kms = engine.kms();
        callers.spawn(async move {
            let spec = DataKeySpec::AES_256;
            kms.generate_data_key(&id("default"), spec, &context("a")).await.map(drop)
        });
    }
    let mut slowest = Duration::ZERO;
    while !callers.is_empty() {
        let asked = Instant::now();
        let status = engine.kms().status();
        slowest = slowest.max(asked.elapsed());
        assert!(status.vault.is_some());
        while let Some(ended) = callers.try_join_next() {
            let failed = ended.unwrap().unwrap_err();
            let typed = matches!(
                failed,
                Error::Vault(
                    VaultError::Timeout | VaultError::Paused { .. } | VaultError::Unreachable
                )
            );
            assert!(typed, "{failed}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < CALL + Duration::from_secs(1), "{:?}", began.elapsed());
    println!("slowest status while Vault stands still: {slowest:?}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    assert_ne!(engine.kms().status().vault.unwrap().breaker, BreakerState::Closed);
    server.go_on();
    within(Duration::from_secs(20), async || use_key(&engine).await.is_ok()).await;
    assert_eq!(engine.kms().status().vault.unwrap().breaker, BreakerState::Closed);

    server.stand_still();
    let kms = engine.kms();
    let hung = tokio::spawn(async move {
        let spec = DataKeySpec::AES_256;
        kms.generate_data_key(&id("default"), spec, &context("a")).await.map(drop)
    });
    let began = Instant::now();
    engine.kms().stop_within(Duration::from_millis(500)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(hung.await.unwrap().is_err());
    // A start against it is answered by another stop at once.
    let kms = engine.kms();
    let starting = tokio::spawn(async move { kms.start().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    engine.kms().stop_within(Duration::from_millis(500)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(starting.await.unwrap().is_err());
    server.go_on();
}
