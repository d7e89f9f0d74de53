use portcullis::config::{BackendConfig, Config};
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, KeystoreProblem, Refused};
use portcullis::keystore::{Anchor, LocalConfig, RootKey, create_root_key_file};

use crate::harness::{context, running};

fn local(config: &Config) -> LocalConfig {
    match &config.backend {
        BackendConfig::Local(local) => local.clone(),
        _ => panic!("the fixture has a local keystore"),
    }
}

#[tokio::test]
async fn a_successor_on_the_same_keystore_shares_it() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&fixture.key, spec, &context("a")).await.unwrap();
    let report = kms.reconfigure(fixture.config.clone()).await.unwrap();
    assert_eq!((report.generation, report.was_running), (2, false));
    assert!(made.key.copy_into(&mut [0; 32]).is_ok());
    kms.rotate_key(&fixture.key).await.unwrap();
    assert!(kms.decrypt_data_key(&made.wrapped, &context("a")).await.is_ok());
    drop(fixture.engine);
    let refused = kms.decrypt_data_key(&made.wrapped, &context("a")).await;
    assert!(matches!(refused, Err(Error::Refused(Refused::Stopped))));
}

#[tokio::test]
async fn a_successor_with_another_root_key_or_mark_is_refused_and_nothing_changes() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let other = fixture.directory.path().join("other.key");
    create_root_key_file(&other).unwrap();
    let mut wrong = local(&fixture.config);
    wrong.root_key = RootKey::File(other);
    let refused = kms.reconfigure(Config::new(wrong)).await;
    assert!(matches!(
        refused,
        Err(Error::Keystore(error)) if error.problem == KeystoreProblem::WrongRootKey
    ));
    let mut unmarked = local(&fixture.config);
    unmarked.anchor = Anchor::None;
    let refused = kms.reconfigure(Config::new(unmarked)).await;
    assert!(matches!(refused, Err(Error::Config(_))));
    let status = kms.status();
    assert_eq!((status.generation, status.reconfiguring), (1, false));
    assert!(kms.rotate_key(&fixture.key).await.is_ok());
}
