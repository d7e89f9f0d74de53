use portcullis::envelope::DataKeySpec;
use portcullis::error::{EnvelopeError, Error, KeyError, Refused};
use portcullis::key::Mutation;
use tokio::io::AsyncReadExt;

use crate::harness::{context, running};

#[tokio::test]
async fn a_data_key_comes_back_under_its_context_and_no_other() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&fixture.key, spec, &context("a")).await.unwrap();
    let (mut first, mut second) = ([0; 32], [0; 32]);
    made.key.copy_into(&mut first).unwrap();
    let opened = kms.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
    opened.copy_into(&mut second).unwrap();
    assert_eq!(first, second);
    assert_ne!(first, [0; 32]);
    let other = kms.decrypt_data_key(&made.wrapped, &context("b")).await;
    assert!(matches!(other, Err(Error::Envelope(EnvelopeError::DoesNotOpen))));
    assert!(kms.try_decrypt_data_key(&made.wrapped, &context("a")).is_ok());
}

#[tokio::test]
async fn a_rewrap_follows_a_rotation_and_changes_nothing_else() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&fixture.key, spec, &context("a")).await.unwrap();
    let same = kms.rewrap(&made.wrapped, &context("a")).await.unwrap();
    assert!(!same.changed && same.wrapped == made.wrapped);
    let report = kms.rotate_key(&fixture.key).await.unwrap();
    assert_eq!(report.key.current_version.number(), 2);
    let new = kms.rewrap(&made.wrapped, &context("a")).await.unwrap();
    assert!(new.changed);
    assert_eq!(new.wrapped.describe().unwrap().key_version.number(), 2);
    let retire = Mutation::Retire(portcullis::key::KeyVersion::FIRST);
    kms.change_key(&fixture.key, retire).await.unwrap();
    let old = kms.decrypt_data_key(&made.wrapped, &context("a")).await;
    assert!(matches!(old, Err(Error::Key(KeyError::VersionRetired(1)))));
    assert!(kms.decrypt_data_key(&new.wrapped, &context("a")).await.is_ok());
}

#[tokio::test]
async fn a_stop_takes_leases_away_and_a_start_serves_again() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&fixture.key, spec, &context("a")).await.unwrap();
    let report = kms.stop().await.unwrap();
    assert_eq!(report.keys_wiped, 1);
    let refused = made.key.copy_into(&mut [0; 32]);
    assert!(matches!(refused, Err(Error::Refused(Refused::Stopped))));
    kms.start().await.unwrap();
    let stale = made.key.copy_into(&mut [0; 32]);
    assert!(matches!(stale, Err(Error::Refused(Refused::Stale))));
    assert!(kms.decrypt_data_key(&made.wrapped, &context("a")).await.is_ok());
}

#[tokio::test]
async fn a_sealed_stream_and_a_payload_open_again() {
    let fixture = running().await;
    let kms = &fixture.kms;
    let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut sealed = Vec::new();
    let mut sealer = kms.seal(&fixture.key, &context("a"), &plain[..]).await.unwrap();
    sealer.read_to_end(&mut sealed).await.unwrap();
    let mut opened = Vec::new();
    let mut opener = kms.open(&context("a"), &sealed[..]).await.unwrap();
    opener.read_to_end(&mut opened).await.unwrap();
    assert!(opened == plain);
    let small = &plain[..4000];
    let payload = kms.encrypt(&fixture.key, small, &context("a")).await.unwrap();
    assert_eq!(kms.decrypt(&payload, &context("a")).await.unwrap(), small);
    assert!(kms.decrypt(&payload, &context("b")).await.is_err());
}
