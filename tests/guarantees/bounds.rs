//! Guarantee 10: every limit is a typed error, and passes.

use std::time::{Duration, Instant};

use portcullis::error::{Error, Refused};
use portcullis::key::Mutation;
use portcullis::limits::{MAILBOX_MAX, OPERATIONS_MAX};
use portcullis::status::Phase;
use portcullis::{NeedsHop, TryError, envelope::DataKeySpec};
use tokio::time::timeout;

use crate::harness::{Fixture, PATIENCE, context, poll_once, until};

fn is_full<T>(answer: &Result<T, Error>, name: &str) -> bool {
    matches!(
        answer,
        Err(Error::Refused(Refused::Full { limit, retry_after }))
            if *limit == name && *retry_after > Duration::ZERO
    )
}

/// Of 1,500 askers a thousand and some wait, the rest is refused, and no brake is among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_asks_is_refused_past_the_mailbox_and_refuses_no_brake() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, store, .. } = &fixture;
    store.mark.stores.shut();
    let rotate = tokio::spawn({
        let (kms, key) = (kms.clone(), key.clone());
        async move { kms.rotate_key(&key).await }
    });
    tokio::task::block_in_place(|| store.mark.stores.reached());
    // The backend is away with that; what is asked now waits.
    let mut asks: Vec<_> = (0..1500).map(|_| Box::pin(kms.describe_key(key))).collect();
    let full = asks.iter_mut().filter_map(|ask| match poll_once(ask.as_mut()) {
        std::task::Poll::Ready(answer) => Some(answer),
        std::task::Poll::Pending => None,
    });
    let full: Vec<_> = full.collect();
    assert_eq!(full.len(), 1500 - (MAILBOX_MAX - 1), "one place is the rotation's");
    assert!(full.iter().all(|answer| is_full(answer, "MAILBOX_MAX")));
    let at = Instant::now();
    assert_eq!(kms.status().phase, Phase::Running);
    assert!(at.elapsed() < Duration::from_millis(1), "{:?}", at.elapsed());
    let disable = kms.change_key(key, Mutation::Disable);
    let stop = kms.stop();
    assert!(!kms.status().open_for_reads);
    store.mark.stores.open();
    let (disabled, stopped) =
        timeout(PATIENCE, async { tokio::join!(disable, stop) }).await.expect("no reply is lost");
    assert!(!matches!(disabled, Err(Error::Refused(Refused::Full { .. }))), "{disabled:?}");
    stopped.unwrap();
    timeout(PATIENCE, rotate).await.expect("no reply is lost").unwrap().unwrap();
    drop(asks);
    kms.start().await.unwrap();
    kms.describe_key(key).await.unwrap();
}

/// An open that was refused for a full mailbox made a start fail, and a close that was refused let
/// a stop answer while the store was open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_starts_stops_and_reconfigures_under_a_flood_of_asks() {
    let fixture = Fixture::for_load().await;
    let Fixture { kms, key, config, .. } = &fixture;
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flood = [(); 2].map(|()| {
        let (kms, key, over) = (kms.clone(), key.clone(), std::sync::Arc::clone(&over));
        std::thread::spawn(move || {
            let mut full = 0_u64;
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                let mut asks: Vec<_> =
                    (0..2000).map(|_| Box::pin(kms.describe_key(&key))).collect();
                for ask in &mut asks {
                    if let std::task::Poll::Ready(answer) = poll_once(ask.as_mut()) {
                        full += u64::from(is_full(&answer, "MAILBOX_MAX"));
                    }
                }
            }
            full
        })
    });
    for _ in 0..20 {
        kms.reconfigure(config.clone()).await.unwrap();
        kms.stop().await.unwrap();
        kms.start().await.unwrap();
    }
    over.store(true, std::sync::atomic::Ordering::SeqCst);
    let full: u64 = flood.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(full > 0, "it was a flood");
    println!("{full} asks refused for a full mailbox");
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
    made.key.copy_into(&mut [0; 32]).unwrap();
}

/// Every caller of a key that nobody had used since the start sent a message of its own: past the
/// mailbox they were refused, and each of the others was another question with the same answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_callers_of_a_cold_key_wait_for_one_message() {
    let fixture = Fixture::for_load().await;
    let Fixture { kms, key, store, .. } = &fixture;
    let messages = || {
        let lane = |actor: &&portcullis::status::ActorActivity| actor.actor == "backend supply";
        kms.activity().actors.iter().find(lane).unwrap().messages
    };
    let before = messages().received;
    store.mark.stores.shut();
    let (a, spec) = (context("a"), DataKeySpec::AES_256);
    let make = |_| Box::pin(kms.generate_data_key_without_plaintext(key, spec, &a));
    let mut callers: Vec<_> = (0..3 * MAILBOX_MAX).map(make).collect();
    for caller in &mut callers {
        assert!(poll_once(caller.as_mut()).is_pending());
    }
    tokio::task::block_in_place(|| store.mark.stores.reached());
    assert_eq!(messages().received, before + 1);
    // The one who came first gives up; nobody is disturbed.
    drop(callers.remove(0));
    store.mark.stores.open();
    for caller in callers {
        timeout(PATIENCE, caller).await.expect("no reply is lost").unwrap();
    }
    assert_eq!(messages().received, before + 1);
}

#[tokio::test]
async fn leases_are_limited_and_can_be_had_again() {
    let fixture = Fixture::for_load().await;
    let Fixture { kms, key, .. } = &fixture;
    let a = context("a");
    let wrapped = kms.generate_data_key(key, DataKeySpec::AES_256, &a).await.unwrap().wrapped;
    let mut leases = Vec::new();
    let full = loop {
        match kms.decrypt_data_key(&wrapped, &a).await {
            Ok(lease) => leases.push(lease),
            Err(error) => break Err::<(), _>(error),
        }
    };
    assert!(is_full(&full, "LEASES_PER_STRIPE_MAX"), "{full:?}");
    leases[0].copy_into(&mut [0; 32]).unwrap();
    leases.pop();
    kms.decrypt_data_key(&wrapped, &a).await.unwrap();
    println!("{} leases", leases.len());
    let held = leases.len() as u64;
    let report = kms.stop().await.unwrap();
    assert_eq!(report.keys_wiped, held);
}

#[tokio::test]
async fn streams_are_limited_and_can_be_had_again() {
    let fixture = Fixture::for_load().await;
    let Fixture { kms, key, .. } = &fixture;
    let a = context("a");
    let mut streams = Vec::new();
    for _ in 0..OPERATIONS_MAX {
        streams.push(kms.seal(key, &a, tokio::io::empty()).await.unwrap());
    }
    let refused = kms.seal(key, &a, tokio::io::empty()).await;
    assert!(is_full(&refused, "OPERATIONS_MAX"));
    streams.pop();
    let one_more = kms.seal(key, &a, tokio::io::empty()).await.unwrap();
    assert_eq!(kms.status().operations, OPERATIONS_MAX as u64);
    drop((streams, one_more));
    assert_eq!(kms.status().operations, 0);
}

/// 1 MiB a stripe, and a sink that takes nothing: the data plane says what it waits for, then why
/// it is refused, and goes on when the sink does.
#[tokio::test]
async fn audit_buffers_are_limited_and_empty_again() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, sink, .. } = &fixture;
    let a = context("a");
    let wrapped = kms.generate_data_key(key, DataKeySpec::AES_256, &a).await.unwrap().wrapped;
    sink.set(crate::harness::Mode::Blocks);
    let began = Instant::now();
    let why = loop {
        assert!(began.elapsed() < PATIENCE);
        match kms.try_decrypt_data_key(&wrapped, &a) {
            Ok(_) | Err(TryError::NeedsHop(_)) => {}
            Err(why) => break why,
        }
    };
    assert!(matches!(why, TryError::Failed(Error::Refused(Refused::AuditUnavailable))), "{why}");
    // What comes to nothing uses nothing up: this is more than a block of use counts.
    for _ in 0..100_000 {
        let refused = kms.try_generate_data_key_without_plaintext(key, DataKeySpec::AES_256, &a);
        assert!(matches!(
            refused,
            Err(TryError::NeedsHop(NeedsHop::AuditBuffer)
                | TryError::Failed(Error::Refused(Refused::AuditUnavailable)))
        ));
    }
    sink.set(crate::harness::Mode::Takes);
    until(|| kms.try_decrypt_data_key(&wrapped, &a).is_ok());
    kms.try_generate_data_key(key, DataKeySpec::AES_256, &a).unwrap();
}
