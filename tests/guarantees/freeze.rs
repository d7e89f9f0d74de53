//! Guarantee 1: after a stop or a freeze has answered, nothing is released.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use portcullis::bench_support::sections;
use portcullis::status::{FreezeScope, Phase};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::harness::{Fixture, PATIENCE, context, poll_once, until};
use crate::load::{Callers, Tally};

const CYCLES: usize = 1000;

/// Waits until the callers have come to `more` ends.
fn go_on(tally: &Tally, more: u64) {
    let before = tally.ended();
    until(|| tally.ended() >= before + more);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn after_each_of_a_thousand_stops_under_load_nothing_is_released_until_the_next_start() {
    let fixture = Fixture::for_load().await;
    let kms = &fixture.kms;
    let _counts_from_now = sections(kms);
    let callers = Callers::start(kms, &fixture.key, 2).await;
    let (began, mut took) = (Instant::now(), Vec::with_capacity(CYCLES));
    for cycle in 0..CYCLES {
        let served = callers.tally.served.load(Ordering::SeqCst);
        until(|| callers.tally.served.load(Ordering::SeqCst) > served + 1);
        let at = Instant::now();
        let report = timeout(PATIENCE, kms.stop()).await.expect("no reply is lost").unwrap();
        took.push(at.elapsed());
        let released = sections(kms);
        assert!(report.audited);
        let status = kms.status();
        assert_eq!(status.phase, Phase::Stopped);
        assert_eq!((status.keys, status.open_for_reads), (0, false));
        // While they go on asking.
        go_on(&callers.tally, 4);
        assert_eq!(sections(kms), released, "cycle {cycle}");
        let report = timeout(PATIENCE, kms.start()).await.expect("no reply is lost").unwrap();
        assert_eq!(report.generation, 2 + cycle as u64);
    }
    let spent = began.elapsed();
    let tally = callers.end();
    assert_eq!(tally.begun.load(Ordering::SeqCst), tally.ended(), "every caller was answered");
    took.sort();
    println!(
        "{CYCLES} stops in {spent:?}: {} served, {} refused, {} leaks; stop p50 {:?}, p99 {:?}",
        tally.served.load(Ordering::SeqCst),
        tally.refused.load(Ordering::SeqCst),
        tally.leaked.load(Ordering::SeqCst),
        took[CYCLES / 2],
        took[CYCLES * 99 / 100],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn after_each_of_a_thousand_freezes_under_load_nothing_of_its_scope_is_released() {
    let fixture = Fixture::for_load().await;
    let kms = &fixture.kms;
    let _counts_from_now = sections(kms);
    let callers = Callers::start(kms, &fixture.key, 2).await;
    let began = Instant::now();
    let mut reads_meanwhile = 0;
    for cycle in 0..CYCLES {
        let served = callers.tally.served.load(Ordering::SeqCst);
        until(|| callers.tally.served.load(Ordering::SeqCst) > served + 1);
        let scope = if cycle % 2 == 0 { FreezeScope::All } else { FreezeScope::Writes };
        timeout(PATIENCE, kms.freeze(scope)).await.expect("no reply is lost").unwrap();
        let (reads, writes) = sections(kms);
        assert_eq!(kms.status().phase, Phase::Frozen(scope));
        go_on(&callers.tally, 8);
        let (reads_after, writes_after) = sections(kms);
        assert_eq!(writes_after, writes, "cycle {cycle}");
        match scope {
            FreezeScope::All => assert_eq!(reads_after, reads, "cycle {cycle}"),
            FreezeScope::Writes => reads_meanwhile += reads_after - reads,
        }
        timeout(PATIENCE, kms.thaw()).await.expect("no reply is lost").unwrap();
    }
    let spent = began.elapsed();
    let tally = callers.end();
    assert_eq!(tally.begun.load(Ordering::SeqCst), tally.ended(), "every caller was answered");
    assert!(reads_meanwhile > CYCLES as u64, "reads go on while writes are frozen");
    println!(
        "{CYCLES} freezes in {spent:?}: {} served, {} refused, {reads_meanwhile} reads frozen",
        tally.served.load(Ordering::SeqCst),
        tally.refused.load(Ordering::SeqCst),
    );
}

#[tokio::test]
async fn a_stream_that_is_leaked_half_way_is_cut_and_its_key_wiped() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let plain = vec![5; 100_000];
    let mut object = Vec::new();
    let mut sealing = kms.seal(&fixture.key, &context("a"), &plain[..]).await.unwrap();
    sealing.read_to_end(&mut object).await.unwrap();
    let mut opening = kms.open(&context("a"), &object[..]).await.unwrap();
    let mut some = [0; 100];
    opening.read_exact(&mut some).await.unwrap();
    assert_eq!(kms.status().operations, 2, "one is at its end and not dropped");
    let report = kms.stop().await.unwrap();
    assert_eq!((report.cancelled, report.keys_wiped), (2, 2));
    assert_eq!(kms.status().operations, 0);
    let cut = opening.read_exact(&mut some).await.unwrap_err();
    kms.start().await.unwrap();
    let again = opening.read_exact(&mut some).await.unwrap_err();
    assert_eq!(cut.to_string(), again.to_string(), "a stream that was cut stays cut");
}

/// Dropped before its turn, the message of a stop was taken back, and the engine stayed shut and
/// said that it ran.
#[tokio::test]
async fn a_stop_whose_future_is_dropped_or_never_polled_stops_all_the_same() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    drop(kms.stop());
    assert!(!kms.status().open_for_reads, "at once");
    until(|| kms.status().phase == Phase::Stopped);
    kms.start().await.unwrap();
    assert!(kms.status().open_for_writes);
    let mut forgotten = Box::pin(kms.freeze(FreezeScope::Writes));
    let _ = poll_once(forgotten.as_mut());
    let _never_dropped = std::mem::ManuallyDrop::new(forgotten);
    until(|| kms.status().phase == Phase::Frozen(FreezeScope::Writes));
    kms.thaw().await.unwrap();
    assert!(kms.status().open_for_writes);
}

#[tokio::test]
async fn two_stops_at_once_are_both_answered_and_the_shorter_deadline_counts() {
    let fixture = Fixture::running().await;
    let kms = &fixture.kms;
    let hour = kms.stop_within(Duration::from_secs(3600));
    let short = kms.stop_within(Duration::from_millis(1));
    let (hour, short) = tokio::join!(hour, short);
    // The backend may take longer than that to close; the engine stops in either case.
    assert!(hour.is_ok() == short.is_ok());
    until(|| kms.status().phase == Phase::Stopped);
}
