//! Guarantee 2: after a change of a key has answered, nobody uses the old state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use portcullis::TryError;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{Error, KeyError};
use portcullis::key::{KeyVersion, Mutation};
use tokio::io::AsyncReadExt;

use crate::harness::{Fixture, context, until};

const ROUNDS: u32 = 100;

/// What the test has been answered, as callers see it before they ask.
#[derive(Default)]
struct Answered {
    revoked: AtomicBool,
    retired: AtomicBool,
    version: AtomicU32,
    asked: [AtomicU64; 2],
    over: AtomicBool,
}

fn caller(fixture: &Fixture, answered: &Answered, old: &WrappedKey, thread: usize) {
    let (kms, key, context) = (&fixture.kms, &fixture.key, context("a"));
    while !answered.over.load(Ordering::SeqCst) {
        let revoked = answered.revoked.load(Ordering::SeqCst);
        let retired = answered.retired.load(Ordering::SeqCst);
        let version = answered.version.load(Ordering::SeqCst);
        let made = kms.try_generate_data_key(key, DataKeySpec::AES_256, &context);
        let opened = kms.try_decrypt_data_key(old, &context);
        assert!(!(revoked && made.is_ok()), "a wrap began after the answer");
        assert!(!((revoked || retired) && opened.is_ok()), "an unwrap began after the answer");
        match &made {
            Ok(made) => {
                let used = made.wrapped.describe().unwrap().key_version.number();
                assert!(used >= version, "version {used} after {version} was answered");
            }
            Err(TryError::NeedsHop(_)) => {}
            Err(TryError::Failed(Error::Key(why))) => {
                assert!(matches!(why, KeyError::Disabled | KeyError::PendingDeletion), "{why}");
            }
            Err(other) => panic!("{other:?}"),
        }
        answered.asked[thread].fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_operation_that_begins_after_the_answer_uses_the_state_before_it() {
    let fixture = Arc::new(Fixture::for_load().await);
    let (kms, key) = (fixture.kms.clone(), fixture.key.clone());
    let spec = DataKeySpec::AES_256;
    let old = kms.generate_data_key(&key, spec, &context("a")).await.unwrap().wrapped;
    kms.rotate_key(&key).await.unwrap();
    let answered = Arc::new(Answered::default());
    let threads = [0, 1].map(|thread| {
        let (fixture, answered) = (Arc::clone(&fixture), Arc::clone(&answered));
        let old = old.clone();
        std::thread::spawn(move || caller(&fixture, &answered, &old, thread))
    });
    let asked = || answered.asked.each_ref().map(|asked| asked.load(Ordering::SeqCst));
    // Each of them: what it has read before its call is that old at most.
    let go_on = || {
        let [first, second] = asked();
        until(|| asked()[0] > first + 5 && asked()[1] > second + 5);
    };
    for _ in 0..ROUNDS {
        let pairs = [
            (Mutation::Disable, Mutation::Enable, &answered.revoked),
            (Mutation::ScheduleDeletion { days: 7 }, Mutation::CancelDeletion, &answered.revoked),
            (
                Mutation::Retire(KeyVersion::FIRST),
                Mutation::Reinstate(KeyVersion::FIRST),
                &answered.retired,
            ),
        ];
        for (takes, gives, flag) in pairs {
            kms.change_key(&key, takes).await.unwrap();
            flag.store(true, Ordering::SeqCst);
            go_on();
            flag.store(false, Ordering::SeqCst);
            // A caller that has seen the flag has asked by the time that this begins.
            go_on();
            kms.change_key(&key, gives).await.unwrap();
        }
        let report = kms.rotate_key(&key).await.unwrap();
        answered.version.store(report.key.current_version.number(), Ordering::SeqCst);
        go_on();
    }
    answered.over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    println!("{} calls over {ROUNDS} rounds", 2 * asked().iter().sum::<u64>());
}

#[tokio::test]
async fn open_streams_end_at_the_next_chunk_after_a_disable_and_keep_their_key_over_a_rotation() {
    let fixture = Fixture::running().await;
    let (kms, key) = (&fixture.kms, &fixture.key);
    let plain: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let mut object = Vec::new();
    let mut sealing = kms.seal(key, &context("a"), &plain[..]).await.unwrap();
    let mut head = [0; 1000];
    sealing.read_exact(&mut head).await.unwrap();
    object.extend_from_slice(&head);
    kms.rotate_key(key).await.unwrap();
    sealing.read_to_end(&mut object).await.unwrap();
    let mut opening = kms.open(&context("a"), &object[..]).await.unwrap();
    let mut opened = Vec::new();
    opening.read_to_end(&mut opened).await.unwrap();
    assert!(opened == plain, "sealed under the key that it began with");

    let mut opening = kms.open(&context("a"), &object[..]).await.unwrap();
    let mut sealing = kms.seal(key, &context("a"), &plain[..]).await.unwrap();
    opening.read_exact(&mut head).await.unwrap();
    sealing.read_exact(&mut head).await.unwrap();
    kms.change_key(key, Mutation::Disable).await.unwrap();
    // Not even the rest of the chunk that was opened already.
    for error in [
        opening.read_exact(&mut head).await.unwrap_err(),
        sealing.read_exact(&mut head).await.unwrap_err(),
    ] {
        let why = Error::in_stream(&error);
        assert!(matches!(why, Some(Error::Key(KeyError::Disabled))), "{why:?}");
    }
}
