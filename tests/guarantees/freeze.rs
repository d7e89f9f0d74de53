//! Guarantee 1: after a stop or a freeze has answered, nothing is released.

use std::time::{Duration, Instant};

use portcullis::bench_support::sections;
use portcullis::envelope::DataKeySpec;
use portcullis::status::FreezeScope;
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, running};
use crate::load::Callers;

/// A wrapped key and a sealed object to hammer with.
async fn targets(fixture: &Fixture) -> (portcullis::envelope::WrappedKey, Vec<u8>) {
    let kms = &fixture.kms;
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&fixture.key, spec, &context("load")).await.unwrap();
    let plain = vec![5; 100_000];
    let mut sealed = Vec::new();
    let mut sealer = kms.seal(&fixture.key, &context("load"), &plain[..]).await.unwrap();
    sealer.read_to_end(&mut sealed).await.unwrap();
    (made.wrapped, sealed)
}

/// Waits until the callers were served again, so that each cycle shuts a gate in use.
fn wait_for_service(callers: &Callers, served: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while callers.served.load(std::sync::atomic::Ordering::Relaxed) == served {
        assert!(Instant::now() < deadline, "nobody was served: a lost reply or a closed gate");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn guarantee_1_a_thousand_stops_release_nothing_after_their_answer() {
    let fixture = running().await;
    let (wrapped, sealed) = targets(&fixture).await;
    let kms = &fixture.kms;
    let callers = Callers::start(kms, &fixture.key, &wrapped, &sealed);
    let (began, mut cut) = (Instant::now(), 0);
    for cycle in 0..1000 {
        let served = callers.served.load(std::sync::atomic::Ordering::Relaxed);
        wait_for_service(&callers, served);
        // A stream that is left half-way, and one that is never dropped at all.
        let mut half = kms.open(&context("load"), &sealed[..]).await.unwrap();
        half.read_exact(&mut [0; 100]).await.unwrap();
        let report = kms.stop().await.unwrap();
        cut += report.cancelled;
        let after = sections(kms);
        assert!(half.read_exact(&mut [0; 100]).await.is_err());
        if cycle % 100 == 0 {
            std::mem::forget(half);
            std::thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..50 {
            std::thread::yield_now();
        }
        assert_eq!(sections(kms), after, "cycle {cycle}");
        kms.start().await.unwrap();
    }
    let served = callers.end();
    assert!(cut >= 1000);
    eprintln!("1000 stops in {:?}, {served} calls served, {cut} streams cut", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn guarantee_1_a_thousand_freezes_release_nothing_after_their_answer() {
    let fixture = running().await;
    let (wrapped, sealed) = targets(&fixture).await;
    let kms = &fixture.kms;
    let callers = Callers::start(kms, &fixture.key, &wrapped, &sealed);
    let began = Instant::now();
    for cycle in 0..1000 {
        let served = callers.served.load(std::sync::atomic::Ordering::Relaxed);
        wait_for_service(&callers, served);
        kms.freeze(FreezeScope::All).await.unwrap();
        let after = sections(kms);
        for _ in 0..50 {
            std::thread::yield_now();
        }
        assert_eq!(sections(kms), after, "cycle {cycle}");
        kms.thaw().await.unwrap();
    }
    let served = callers.end();
    eprintln!("1000 freezes in {:?}, {served} calls served", began.elapsed());
}

#[tokio::test]
async fn guarantee_1_a_freeze_of_writes_refuses_wraps_and_goes_on_opening() {
    let fixture = running().await;
    let (wrapped, _) = targets(&fixture).await;
    let kms = &fixture.kms;
    kms.freeze(FreezeScope::Writes).await.unwrap();
    let spec = DataKeySpec::AES_256;
    assert!(kms.generate_data_key(&fixture.key, spec, &context("load")).await.is_err());
    assert!(kms.encrypt(&fixture.key, b"x", &context("load")).await.is_err());
    assert!(kms.seal(&fixture.key, &context("load"), &b"x"[..]).await.is_err());
    assert!(kms.rotate_key(&fixture.key).await.is_err());
    let lease = kms.decrypt_data_key(&wrapped, &context("load")).await.unwrap();
    lease.copy_into(&mut [0; 32]).unwrap();
    kms.thaw().await.unwrap();
    assert!(kms.rotate_key(&fixture.key).await.is_ok());
}

#[tokio::test]
async fn guarantee_1_a_stop_whose_future_is_dropped_is_a_stop_all_the_same() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let before = sections(kms);
    drop(kms.stop());
    let spec = DataKeySpec::AES_256;
    assert!(kms.try_generate_data_key(&fixture.key, spec, &context("load")).is_err());
    kms.stop().await.unwrap();
    assert_eq!(sections(kms), before);
    kms.start().await.unwrap();
    assert!(kms.generate_data_key(&fixture.key, spec, &context("load")).await.is_ok());
}
