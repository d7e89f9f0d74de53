//! Engines beside each other and inside hosts of every kind, and what is left when they go.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::mem_forget,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

#[path = "guarantees/harness.rs"]
#[allow(dead_code, reason = "what the other suite needs")]
mod harness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{Error, OutcomeUnknown, Refused};
use portcullis::key::Mutation;
use portcullis::status::FreezeScope;
use portcullis::{DataKey, Engine, Kms, TryError};

use harness::{Fixture, Store, context, default_key, poll_once, until};

/// Threads are counted by the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine's threads in this process.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("portcullis"))
        .count()
}

/// What a forked child asks, and a number for each answer that is not the right one.
fn asked_in_a_child(kms: &Kms, lease: &DataKey, wrapped: &WrappedKey) -> u8 {
    let (key, a, spec) = (default_key(), context("a"), DataKeySpec::AES_256);
    let is_forked = |error: Error| matches!(error, Error::Refused(Refused::Forked));
    let failed = |error: TryError| match error {
        TryError::Failed(error) => is_forked(error),
        _ => false,
    };
    let now = |answer: Poll<Result<(), Error>>| match answer {
        Poll::Ready(Err(error)) => is_forked(error),
        Poll::Ready(Ok(())) | Poll::Pending => false,
    };
    let answers = [
        kms.try_generate_data_key(&key, spec, &a).is_err_and(failed),
        kms.try_decrypt_data_key(wrapped, &a).is_err_and(failed),
        kms.try_rewrap(wrapped, &a).is_err_and(failed),
        kms.try_encrypt(&key, b"payload", &a).is_err_and(failed),
        lease.copy_into(&mut [0; 32]).is_err_and(is_forked),
        kms.default_key().is_err_and(is_forked),
        now(poll_once(pin!(async { kms.seal(&key, &a, &b"object"[..]).await.map(drop) }))),
        now(poll_once(pin!(async { kms.describe_key(&key).await.map(drop) }))),
        now(poll_once(pin!(async { kms.rotate_key(&key).await.map(drop) }))),
        now(poll_once(pin!(async { kms.start().await.map(drop) }))),
        now(poll_once(pin!(async { kms.freeze(FreezeScope::All).await.map(drop) }))),
        now(poll_once(pin!(async { kms.stop().await.map(drop) }))),
    ];
    answers.iter().position(|right| !right).map_or(0, |wrong| wrong as u8 + 1)
}

/// A child has the memory of its parent's keys, random bytes and use counts, and none of its
/// threads.
#[test]
fn a_child_forked_from_a_running_engine_is_refused_everything_and_the_parent_goes_on() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(Fixture::running());
    let Fixture { engine, kms, key, store, sink, .. } = fixture;
    let (spec, a) = (DataKeySpec::AES_256, context("a"));
    let made = runtime.block_on(kms.generate_data_key(&key, spec, &a)).unwrap();
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            let asked = || asked_in_a_child(&kms, &made.key, &made.wrapped);
            let wrong = catch_unwind(AssertUnwindSafe(asked)).unwrap_or(100);
            // It joins nobody: those threads are the parent's. The directory is, too.
            drop(engine);
            std::process::exit(wrong.into());
        }
        fork::Fork::Parent(child) => {
            let ended = Mutex::new(None);
            until(|| {
                let mut ended = ended.lock().unwrap();
                *ended = fork::waitpid_nohang(child).unwrap();
                ended.is_some()
            });
            let status = ended.into_inner().unwrap().unwrap();
            assert_eq!(status, 0, "which answer was wrong, in the second byte");
        }
    }
    runtime.block_on(works(&kms));
    made.key.copy_into(&mut [0; 32]).unwrap();
    drop(engine);
    assert_eq!(threads(), 0);
    drop((store, sink));
}

async fn works(kms: &Kms) {
    let made =
        kms.generate_data_key(&default_key(), DataKeySpec::AES_256, &context("a")).await.unwrap();
    made.key.copy_into(&mut [0; 32]).unwrap();
    assert!(kms.decrypt_data_key(&made.wrapped, &context("a")).await.is_ok());
}

#[test]
fn handles_and_engines_go_to_any_thread() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Engine>();
    is_shared::<Kms>();
}

#[test]
fn two_engines_in_one_process_never_meet() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (first, second) = (Fixture::running().await, Fixture::running().await);
        let (spec, a) = (DataKeySpec::AES_256, context("a"));
        let made = first.kms.generate_data_key(&first.key, spec, &a).await.unwrap();
        assert!(second.kms.decrypt_data_key(&made.wrapped, &a).await.is_err());
        second.kms.change_key(&second.key, Mutation::Disable).await.unwrap();
        works(&first.kms).await;
        second.kms.stop().await.unwrap();
        works(&first.kms).await;
        drop(second);
        works(&first.kms).await;
        assert_eq!(first.kms.status().generation, 1);
    });
    assert_eq!(threads(), 0);
}

#[test]
fn an_engine_works_on_a_plain_thread_and_its_handle_in_an_actix_host() {
    let _alone = alone();
    let store = Store::new();
    let engine = Engine::start_blocking(store.config()).unwrap();
    assert!(threads() >= 4, "control, backend, audit, writer");
    let kms = engine.kms();
    actix::System::new().block_on(async move { works(&kms).await });
    drop(engine);
    assert_eq!(threads(), 0);
    actix::System::new().block_on(async {
        let engine = Engine::start(store.config()).await.unwrap();
        works(&engine.kms()).await;
        // Inside the host's runtime, on its thread.
        drop(engine);
    });
    assert_eq!(threads(), 0);
}

/// The store was opened on the backend's own thread; now there is one more to join.
#[test]
fn dropping_an_engine_joins_the_thread_that_opens_another_store() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fixture, slow) = (runtime.block_on(Fixture::running()), Store::new());
    slow.mark.loads.shut();
    let swap = runtime.spawn({
        let (kms, config) = (fixture.kms.clone(), slow.config());
        async move { kms.reconfigure(config).await }
    });
    slow.mark.loads.reached();
    let kms = fixture.kms.clone();
    let dropping = std::thread::spawn(move || drop(fixture));
    until(|| !kms.status().open_for_reads);
    assert!(!dropping.is_finished(), "there is somebody to wait for");
    slow.mark.loads.open();
    dropping.join().unwrap();
    assert_eq!(threads(), 0);
    // It ends in either way: it may just have been done.
    let _ended = runtime.block_on(swap).unwrap();
}

#[test]
fn dropping_an_engine_joins_its_threads_while_callers_call_and_futures_wait() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    for _ in 0..50 {
        let fixture = runtime.block_on(Fixture::for_load());
        let kms = fixture.kms.clone();
        let over = Arc::new(AtomicBool::new(false));
        let callers = [(); 2].map(|()| {
            let (kms, over, served) = (kms.clone(), Arc::clone(&over), Arc::clone(&served));
            std::thread::spawn(move || call(&kms, &served, &over))
        });
        let before = served.load(Ordering::SeqCst);
        until(|| served.load(Ordering::SeqCst) > before + 10);
        let key = default_key();
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(kms.rotate_key(&key))).collect();
        for ask in &mut waiting {
            let _ = poll_once(ask.as_mut());
        }
        let lease = runtime
            .block_on(kms.generate_data_key(&key, DataKeySpec::AES_256, &context("a")))
            .map(|made| made.key);
        // Inside a runtime, as a host's own value is dropped.
        runtime.block_on(async { drop(fixture) });
        assert_eq!(threads(), 0);
        for ask in waiting {
            let answer = runtime.block_on(ask);
            let ended = matches!(
                answer,
                Ok(_) | Err(Error::Refused(_) | Error::OutcomeUnknown(OutcomeUnknown { .. }))
            );
            assert!(ended, "{answer:?}");
        }
        if let Ok(lease) = lease {
            let refused = lease.copy_into(&mut [0; 32]);
            assert!(matches!(refused, Err(Error::Refused(Refused::Stopped))), "{refused:?}");
        }
        over.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
        let stopped = runtime.block_on(kms.stop());
        assert!(stopped.is_err(), "there is nobody to stop: {stopped:?}");
    }
    println!("{} calls over 50 drops", served.load(Ordering::SeqCst));
}

fn call(kms: &Kms, served: &AtomicU64, over: &AtomicBool) {
    let (key, a) = (default_key(), context("a"));
    while !over.load(Ordering::SeqCst) {
        match kms.try_generate_data_key(&key, DataKeySpec::AES_256, &a) {
            Ok(made) => {
                let mut plain = [0; 32];
                if made.key.copy_into(&mut plain).is_ok() {
                    assert!(plain[..16] != [0; 16] && plain[16..] != [0; 16], "half a key");
                }
                served.fetch_add(1, Ordering::SeqCst);
            }
            Err(TryError::NeedsHop(_)) => {
                let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let _ = tokio.block_on(kms.generate_data_key(&key, DataKeySpec::AES_256, &a));
                served.fetch_add(1, Ordering::SeqCst);
            }
            Err(TryError::Failed(Error::Refused(_))) => std::thread::yield_now(),
            Err(other) => panic!("{other:?}"),
        }
    }
}
