//! Keys made, used, rotated and taken away, on both backends; what that costs, as Vault counts it.

use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{EnvelopeError, Error, KeyError};
use portcullis::key::{KeyVersion, Mutation};
use portcullis::vault::VaultEngine;
use portcullis::{NeedsHop, TryError};
use tokio::io::AsyncReadExt;

use crate::site::{BOTH, Site, context, id};

#[tokio::test(flavor = "multi_thread")]
async fn data_keys_outlive_the_engine_that_made_them() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let mut stored = Vec::new();
        let node = site.start().await;
        let kms = node.kms();
        for bytes in [16, 32, 64] {
            let spec = DataKeySpec::of_bytes(bytes).unwrap();
            let made = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
            let mut key = vec![0; bytes];
            made.key.copy_into(&mut key).unwrap();
            stored.push((made.wrapped.as_bytes().to_vec(), key));
        }
        drop(node);
        let node = site.start().await;
        let kms = node.kms();
        for (wrapped, key) in stored {
            let wrapped = WrappedKey::from_bytes(&wrapped).unwrap();
            let mut again = vec![0; key.len()];
            let unwrapped = kms.decrypt_data_key(&wrapped, &context("a")).await.unwrap();
            unwrapped.copy_into(&mut again).unwrap();
            assert_eq!(again, key);
            let other = kms.decrypt_data_key(&wrapped, &context("b")).await.err();
            assert!(
                matches!(other, Some(Error::Envelope(EnvelopeError::DoesNotOpen))),
                "{other:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_and_streams_are_sealed_and_opened() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let kms = node.kms();
        let plain: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let small = &plain[..1000];
        let sealed = kms.encrypt(&id("default"), small, &context("a")).await.unwrap();
        assert_eq!(kms.decrypt(&sealed, &context("a")).await.unwrap(), small);
        assert!(kms.decrypt(&sealed, &context("b")).await.is_err());
        let mut stream = Vec::new();
        let sealing = kms.seal(&id("default"), &context("a"), &plain[..]).await.unwrap();
        Box::pin(sealing).read_to_end(&mut stream).await.unwrap();
        let mut opened = Vec::new();
        let opening = kms.open(&context("a"), &stream[..]).await.unwrap();
        Box::pin(opening).read_to_end(&mut opened).await.unwrap();
        assert_eq!(opened, plain);
        assert!(kms.open(&context("b"), &stream[..]).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_opens_what_it_wrapped_and_rewraps_it() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let kms = node.kms();
        let default = id("default");
        let old =
            kms.generate_data_key(&default, DataKeySpec::AES_256, &context("a")).await.unwrap();
        kms.rotate_key(&default).await.unwrap();
        let new = kms.rewrap(&old.wrapped, &context("a")).await.unwrap();
        assert!(new.changed);
        let described = new.wrapped.describe().unwrap();
        assert_eq!(described.key_version, KeyVersion::new(2).unwrap());
        let again = kms.rewrap(&new.wrapped, &context("a")).await.unwrap();
        assert!(!again.changed && again.wrapped == new.wrapped);
        let mut keys = [[0; 32]; 3];
        old.key.copy_into(&mut keys[0]).unwrap();
        for (wrapped, out) in [&old.wrapped, &new.wrapped].into_iter().zip(&mut keys[1..]) {
            let key = kms.decrypt_data_key(wrapped, &context("a")).await.unwrap();
            key.copy_into(out).unwrap();
        }
        assert!(keys[0] == keys[1] && keys[1] == keys[2]);
        let one = KeyVersion::FIRST;
        kms.change_key(&default, Mutation::Retire(one)).await.unwrap();
        let retired = kms.decrypt_data_key(&old.wrapped, &context("a")).await.err();
        assert!(matches!(retired, Some(Error::Key(KeyError::VersionRetired(1)))), "{retired:?}");
        kms.decrypt_data_key(&new.wrapped, &context("a")).await.unwrap();
        kms.change_key(&default, Mutation::Reinstate(one)).await.unwrap();
        kms.decrypt_data_key(&old.wrapped, &context("a")).await.unwrap();
        kms.destroy_key_version(&default, one, one).await.unwrap();
        drop(node);
        let node = site.start().await;
        let gone = node.kms().decrypt_data_key(&old.wrapped, &context("a")).await.err();
        assert!(matches!(gone, Some(Error::Key(KeyError::VersionDestroyed(1)))), "{gone:?}");
        node.kms().decrypt_data_key(&new.wrapped, &context("a")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transit_is_asked_once_for_each_use_and_not_for_what_is_current() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let node = site.start().await;
    let kms = node.kms();
    let default = id("default");
    let asked = |operation: &str| site.server.audited(&site.transit(operation, "default")).len();
    let spec = DataKeySpec::AES_256;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(kms.generate_data_key(&default, spec, &context("a")).await.unwrap().wrapped);
    }
    assert_eq!((asked("encrypt"), asked("decrypt"), asked("rewrap")), (5, 0, 0));
    for wrapped in &made {
        kms.decrypt_data_key(wrapped, &context("a")).await.unwrap();
    }
    assert_eq!((asked("encrypt"), asked("decrypt"), asked("rewrap")), (5, 5, 0));
    kms.rewrap(&made[0], &context("a")).await.unwrap();
    assert_eq!(asked("rewrap"), 0);
    kms.rotate_key(&default).await.unwrap();
    kms.rewrap(&made[0], &context("a")).await.unwrap();
    assert_eq!((asked("encrypt"), asked("decrypt"), asked("rewrap")), (5, 5, 1));
    // What must be refused is refused before Vault is asked.
    kms.change_key(&default, Mutation::Disable).await.unwrap();
    for wrapped in &made {
        assert!(kms.decrypt_data_key(wrapped, &context("a")).await.is_err());
    }
    assert_eq!(asked("decrypt"), 5);
    let tried = kms.try_generate_data_key(&default, spec, &context("a"));
    assert!(matches!(tried, Err(TryError::Failed(Error::Key(KeyError::Disabled)))));
    kms.change_key(&default, Mutation::Enable).await.unwrap();
    let tried = kms.try_generate_data_key(&default, spec, &context("a"));
    assert!(matches!(tried, Err(TryError::NeedsHop(NeedsHop::Backend))));
    let tried = kms.try_decrypt_data_key(&made[0], &context("a"));
    assert!(matches!(tried, Err(TryError::NeedsHop(NeedsHop::Backend))));
    assert_eq!(asked("encrypt"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_kv_is_used_without_asking_vault() {
    let Some(site) = Site::new(VaultEngine::Kv2).await else { return };
    let mut config = site.config.clone();
    // No look in between: whatever is counted is the use's own.
    config.state_refresh = std::time::Duration::from_secs(3600);
    let site = Site { config, ..site };
    let node = site.start().await;
    let kms = node.kms();
    let spec = DataKeySpec::AES_256;
    kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
    let before = site.server.audited(&site.mounts.kv).len();
    for _ in 0..1000 {
        let made = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
        kms.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
    }
    assert_eq!(site.server.audited(&site.mounts.kv).len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_by_vault_itself_is_followed() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let node = site.start().await;
    let kms = node.kms();
    let path = format!("{}/rotate", site.transit("keys", "default"));
    site.server.done("POST", &path, &serde_json::json!({}));
    // Also before a look has seen it: what Vault wrapped under says so itself.
    let made =
        kms.generate_data_key(&id("default"), DataKeySpec::AES_256, &context("a")).await.unwrap();
    assert_eq!(made.wrapped.describe().unwrap().key_version, KeyVersion::new(2).unwrap());
    kms.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
    // And the next change of the key makes it known to every node.
    kms.change_key(&id("default"), Mutation::Disable).await.unwrap();
    kms.change_key(&id("default"), Mutation::Enable).await.unwrap();
    let other = site.start().await;
    other.kms().decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transit_key_that_is_not_derived_is_no_master_key() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let node = site.start().await;
    for (name, settings) in [
        ("shared", serde_json::json!({ "type": "aes256-gcm96" })),
        (
            "open",
            serde_json::json!({ "type": "aes256-gcm96", "derived": true, "exportable": true }),
        ),
        ("other", serde_json::json!({ "type": "chacha20-poly1305", "derived": true })),
    ] {
        site.server.done("POST", &site.transit("keys", name), &settings);
        let refused = node.kms().create_key(&id(name)).await.unwrap_err();
        assert!(matches!(refused, Error::Key(KeyError::Invalid { .. })), "{refused}");
    }
    let settings = serde_json::json!({ "type": "aes256-gcm96", "derived": true });
    site.server.done("POST", &site.transit("keys", "made-before"), &settings);
    node.kms().create_key(&id("made-before")).await.unwrap();
}
