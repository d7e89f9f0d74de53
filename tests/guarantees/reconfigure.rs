//! What a store that is slow to open may not hold up, and what a swap may not lose.

use std::task::Poll;
use std::time::Duration;

use portcullis::Kms;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, KeyError, LifecycleError, Refused};
use portcullis::key::{KeyId, KeyState, Mutation};
use portcullis::status::{Phase, StartReport};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::timeout;

use crate::harness::{Fixture, PATIENCE, Store, context, poll_once, until};

type Swap = JoinHandle<Result<StartReport, Error>>;

/// A reconfiguration that the slow `store` holds up.
fn held_up(kms: &Kms, store: &Store) -> Swap {
    store.mark.loads.shut();
    let (kms, config) = (kms.clone(), store.config());
    let swap = tokio::spawn(async move { kms.reconfigure(config).await });
    block_in_place(|| store.mark.loads.reached());
    swap
}

fn is_down<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Refused(why @ Refused::Down { .. })) if why.is_retriable())
}

/// The store was opened on the thread that carries out changes: a brake waited as long as a
/// network does not answer, and was refused from then to the swap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brakes_act_and_use_counts_are_had_at_once_while_another_store_is_opened() {
    let (fixture, other) = (Fixture::running().await, Store::new());
    let Fixture { kms, key, .. } = &fixture;
    let cold = KeyId::new("cold").unwrap();
    kms.create_key(&cold).await.unwrap();
    let swap = held_up(kms, &other);
    assert!(kms.status().reconfiguring);
    let work = async {
        let spec = DataKeySpec::AES_256;
        kms.generate_data_key(&cold, spec, &context("a")).await.unwrap();
        let report = kms.change_key(key, Mutation::Disable).await.unwrap();
        assert!(report.changed && report.audited);
        let refused = kms.generate_data_key(key, spec, &context("a")).await;
        assert!(matches!(refused, Err(Error::Key(KeyError::Disabled))), "{refused:?}");
        kms.describe_key(key).await.unwrap();
        // What gives, or only changes, would be missing in a copy.
        assert!(is_down(&kms.change_key(key, Mutation::Enable).await));
        assert!(is_down(&kms.rotate_key(&cold).await));
        assert!(is_down(&kms.create_key(&KeyId::new("new").unwrap()).await));
    };
    timeout(Duration::from_secs(5), work).await.expect("nothing waits for the slow store");
    other.mark.loads.open();
    assert_eq!(swap.await.unwrap().unwrap().generation, 2);
    // It has a key of that name, but not that key.
    assert_eq!(kms.describe_key(key).await.unwrap().state, KeyState::Enabled);
    kms.rotate_key(key).await.unwrap();
}

/// Guarantee 2, over a swap: the copy knew nothing of what was taken away after it was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brake_during_the_opening_of_a_copy_holds_in_the_copy() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, .. } = &fixture;
    let (spec, a) = (DataKeySpec::AES_256, context("a"));
    let wrapped = kms.generate_data_key(key, spec, &a).await.unwrap().wrapped;
    kms.rotate_key(key).await.unwrap();
    let spare = KeyId::new("spare").unwrap();
    kms.create_key(&spare).await.unwrap();
    let copy = fixture.store.copied();
    let swap = held_up(kms, &copy);
    let retire = Mutation::Retire(portcullis::key::KeyVersion::FIRST);
    kms.change_key(key, retire).await.unwrap();
    kms.change_key(&spare, Mutation::ScheduleDeletion { days: 7 }).await.unwrap();
    copy.mark.loads.open();
    swap.await.unwrap().unwrap();
    let refused = kms.decrypt_data_key(&wrapped, &a).await;
    assert!(matches!(refused, Err(Error::Key(KeyError::VersionRetired(1)))), "{refused:?}");
    let refused = kms.generate_data_key(&spare, spec, &a).await;
    assert!(matches!(refused, Err(Error::Key(KeyError::PendingDeletion))), "{refused:?}");
    // Durably: after a start from that copy alone.
    kms.stop().await.unwrap();
    kms.start().await.unwrap();
    assert!(kms.decrypt_data_key(&wrapped, &a).await.is_err());
}

/// A version that is the current one of a copy cannot be retired there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_cannot_take_a_brake_over_does_not_come_into_use() {
    let fixture = Fixture::running().await;
    let Fixture { kms, key, .. } = &fixture;
    let copy = fixture.store.copied();
    kms.rotate_key(key).await.unwrap();
    let swap = held_up(kms, &copy);
    kms.change_key(key, Mutation::Retire(portcullis::key::KeyVersion::FIRST)).await.unwrap();
    copy.mark.loads.open();
    let refused = swap.await.unwrap();
    assert!(matches!(refused, Err(Error::Key(KeyError::CurrentVersion(1)))), "{refused:?}");
    assert_eq!((kms.status().phase, kms.status().generation), (Phase::Running, 1));
    kms.rotate_key(key).await.unwrap();
}

/// Changes that waited behind one that was under way were carried out on the new store, or on the
/// old one after the copy had been read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_wait_when_another_store_is_wanted_are_refused_and_made_in_neither() {
    let (fixture, other) = (Fixture::running().await, Store::new());
    let Fixture { kms, key, store, config, .. } = &fixture;
    store.mark.stores.shut();
    let rotate = tokio::spawn({
        let (kms, key) = (kms.clone(), key.clone());
        async move { kms.rotate_key(&key).await }
    });
    block_in_place(|| store.mark.stores.reached());
    let ids: Vec<_> = (0..20).map(|n| KeyId::new(&format!("waits-{n}")).unwrap()).collect();
    let mut waiting: Vec<_> = ids.iter().map(|id| Box::pin(kms.create_key(id))).collect();
    for create in &mut waiting {
        assert!(matches!(poll_once(create.as_mut()), Poll::Pending));
    }
    let swap = tokio::spawn({
        let (kms, config) = (kms.clone(), other.config());
        async move { kms.reconfigure(config).await }
    });
    until(|| kms.status().reconfiguring);
    store.mark.stores.open();
    rotate.await.unwrap().unwrap();
    swap.await.unwrap().unwrap();
    let mut made = Vec::new();
    for (create, id) in waiting.into_iter().zip(&ids) {
        let answer = create.await;
        assert!(answer.is_ok() || is_down(&answer), "{answer:?}");
        made.extend(answer.is_ok().then_some(id));
    }
    assert!(made.len() < ids.len(), "some were still waiting");
    let keys = |page: portcullis::key::KeyPage| page.keys.into_iter().map(|key| key.id);
    let new: Vec<_> = keys(kms.list_keys(None, 100).await.unwrap()).collect();
    assert_eq!(new, std::slice::from_ref(key), "none of them is in the new store");
    kms.reconfigure(config.clone()).await.unwrap();
    let old: Vec<_> = keys(kms.list_keys(None, 100).await.unwrap()).collect();
    let expected = [key].into_iter().chain(made.iter().copied());
    let mut expected: Vec<_> = expected.cloned().collect();
    expected.sort();
    assert_eq!(old, expected, "those that were answered are in the old one, and no others");
}

/// A stop, or another reconfiguration, waits for no store that is slow to open: it says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_is_given_up_for_another_and_closed_by_a_stop() {
    let (fixture, slow) = (Fixture::running().await, Store::new());
    let Fixture { kms, key, config, .. } = &fixture;
    let first = held_up(kms, &slow);
    // On the store in use: its opening waits for the end of the one that is given up.
    let second = tokio::spawn({
        let (kms, config) = (kms.clone(), config.clone());
        async move { kms.reconfigure(config).await }
    });
    let superseded = first.await.unwrap();
    assert!(matches!(superseded, Err(Error::Lifecycle(LifecycleError::Superseded("reconfigure")))));
    // It is the same store: changes go on.
    timeout(PATIENCE, kms.rotate_key(key)).await.expect("it waits for nothing").unwrap();
    slow.mark.loads.open();
    second.await.unwrap().unwrap();
    let third = held_up(kms, &slow);
    let hung = kms.stop_within(Duration::from_millis(20)).await;
    assert!(matches!(hung, Err(Error::Lifecycle(LifecycleError::BackendHung))), "{hung:?}");
    assert!(matches!(
        third.await.unwrap(),
        Err(Error::Lifecycle(LifecycleError::Superseded("stop")))
    ));
    // The store that was in use is closed all the same.
    let elsewhere = portcullis::Engine::start(config.clone()).await.unwrap();
    drop(elsewhere);
    slow.mark.loads.open();
    until(|| kms.status().phase == Phase::Stopped);
    kms.start().await.unwrap();
}

/// A host's mark that panics while a candidate is opened harms nothing but that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_another_store_is_opened_leaves_the_one_in_use() {
    let (fixture, other) = (Fixture::running().await, Store::new());
    let Fixture { kms, key, .. } = &fixture;
    let swap = held_up(kms, &other);
    other.mark.panics.store(true, std::sync::atomic::Ordering::SeqCst);
    other.mark.loads.open();
    assert!(swap.await.unwrap().is_err());
    kms.rotate_key(key).await.unwrap();
    assert_eq!(kms.status().generation, 1);
}
