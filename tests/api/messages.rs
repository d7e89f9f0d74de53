//! Every way to ask: calls that wait, calls that do not, messages.

use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, KeyError, LifecycleError, Refused};
use portcullis::key::{ConfirmedVersion, KeyVersion, Mutation};
use portcullis::messages::{
    ChangeKey, ConfigureEngine, DescribeActivity, DescribeEngine, FreezeEngine, ReconfigureEngine,
    Rewrap, RotateKey, StartEngine, StopEngine, ThawEngine,
};
use portcullis::status::{FreezeScope, Phase};
use portcullis::{NeedsHop, TryError};

use crate::harness::{context, running};

#[tokio::test]
async fn the_whole_life_of_an_engine_can_be_asked_by_messages() {
    let fixture = running().await;
    let (kms, config) = (&fixture.kms, &fixture.config);
    let key = fixture.key.clone();
    let refused = kms.ask(ConfigureEngine { config: config.clone() }).await;
    assert!(matches!(refused, Err(Error::Lifecycle(LifecycleError::NotNow { .. }))));
    let report = kms.ask(ReconfigureEngine { config: config.clone() }).await.unwrap();
    assert_eq!(report.generation, 2);
    assert_eq!(kms.ask(RotateKey { id: key }).await.unwrap().key.current_version.number(), 2);
    let report = kms.ask(FreezeEngine { scope: FreezeScope::Writes }).await.unwrap();
    assert_eq!((report.scope, report.audited), (FreezeScope::Writes, true));
    kms.ask(ThawEngine {}).await.unwrap();
    assert!(kms.ask(StopEngine { drain: core::time::Duration::ZERO }).await.unwrap().audited);
    kms.ask(ConfigureEngine { config: config.clone() }).await.unwrap();
    assert_eq!(kms.ask(StartEngine {}).await.unwrap().generation, 3);
    assert_eq!(kms.ask(DescribeEngine {}).await.unwrap().phase, Phase::Running);
    let activity = kms.ask(DescribeActivity {}).await.unwrap();
    assert!(activity.actors.iter().any(|actor| actor.messages.begun > 0));
}

#[tokio::test]
async fn calls_that_do_not_wait_say_what_they_would_have_waited_for() {
    let fixture = running().await;
    let (kms, key, a, spec) = (&fixture.kms, &fixture.key, context("a"), DataKeySpec::AES_256);
    // The first use after a start.
    let cold = kms.try_generate_data_key_without_plaintext(key, spec, &a);
    assert!(matches!(cold, Err(TryError::NeedsHop(NeedsHop::UseCounts))), "{cold:?}");
    kms.generate_data_key_without_plaintext(key, spec, &a).await.unwrap();
    let wrapped = kms.try_generate_data_key_without_plaintext(key, spec, &a).unwrap();
    let same = kms.try_rewrap(&wrapped, &a).unwrap();
    assert!(!same.changed && same.wrapped == wrapped);
    kms.rotate_key(key).await.unwrap();
    // And the first use of a new version.
    let cold = kms.try_rewrap(&wrapped, &a);
    assert!(matches!(cold, Err(TryError::NeedsHop(NeedsHop::UseCounts))), "{cold:?}");
    let message = Rewrap { wrapped: wrapped.clone(), context: context("a") };
    assert!(kms.ask(message).await.unwrap().changed);
    let new = kms.try_rewrap(&wrapped, &a).unwrap();
    assert!(new.changed && !kms.try_rewrap(&new.wrapped, &a).unwrap().changed);
    assert!(matches!(kms.try_rewrap(&new.wrapped, &context("b")), Err(TryError::Failed(_))));
}

#[tokio::test]
async fn no_way_of_asking_destroys_a_version_that_was_named_once() {
    let fixture = running().await;
    let (kms, key) = (&fixture.kms, &fixture.key);
    kms.rotate_key(key).await.unwrap();
    let (first, second) = (KeyVersion::FIRST, KeyVersion::new(2).unwrap());
    assert!(ConfirmedVersion::new(first, second).is_none());
    let refused = kms.destroy_key_version(key, first, second).await;
    assert!(matches!(refused, Err(Error::ApiMisuse(_))));
    let sure = ConfirmedVersion::new(first, first).unwrap();
    let destroy = ChangeKey { id: key.clone(), mutation: Mutation::DestroyVersion(sure) };
    assert!(kms.ask(destroy).await.unwrap().changed);
}

#[tokio::test]
async fn an_engine_that_does_not_run_says_so_whatever_it_is_asked() {
    let fixture = running().await;
    let (kms, key) = (fixture.kms, fixture.key);
    kms.stop().await.unwrap();
    let stopped = |error: Error| matches!(error, Error::Refused(Refused::Stopped));
    assert!(stopped(kms.default_key().unwrap_err()));
    assert!(stopped(kms.describe_key(&key).await.unwrap_err()));
    kms.start().await.unwrap();
    assert_eq!(kms.default_key().unwrap(), key);
    let mut config = fixture.config.clone();
    config.default_key = None;
    kms.reconfigure(config.clone()).await.unwrap();
    assert!(matches!(kms.default_key(), Err(Error::Key(KeyError::NotFound))));
    drop(fixture.engine);
    assert_eq!(kms.status().phase, Phase::Stopped);
    assert!(stopped(kms.default_key().unwrap_err()));
    assert!(stopped(kms.start().await.unwrap_err()));
    assert!(stopped(kms.configure(config).await.unwrap_err()));
    assert!(stopped(kms.thaw().await.unwrap_err()));
    assert!(stopped(kms.stop().await.unwrap_err()));
    assert!(stopped(kms.rotate_key(&key).await.unwrap_err()));
}
