//! What somebody does to keys in Vault while engines use them: told, named, never used, and the
//! other keys unharmed (guarantee 8). Each kind of damage is tried on the stores themselves beside
//! their code; here it is what a host sees.

use std::time::Duration;

use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{EnvelopeError, Error, KeyError};
use portcullis::key::{KeyVersion, VersionState};
use portcullis::vault::VaultEngine;
use serde_json::{Value, json};

use crate::site::{BOTH, Site, context, id, within};

const SOON: Duration = Duration::from_secs(20);

/// The path of what stands in KV for the key `victim`, below `data/` or whatever `kind` is.
fn path(site: &Site, kind: &str, rest: &str) -> String {
    let name = id("victim").storage_name();
    format!("{}/{kind}/{}/k/{name}/{rest}", site.mounts.kv, site.mounts.prefix)
}

fn read(site: &Site, path: &str) -> Value {
    let (status, answer) = site.server.call("GET", path, None);
    assert_eq!(status, 200, "{answer}");
    answer["data"]["data"].clone()
}

fn is_damaged<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Key(KeyError::Damaged(_))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_tampered_with_is_named_and_not_used_from_the_next_look_on() {
    for engine in BOTH {
        for how in ["edited", "soft-deleted", "metadata deleted", "another key's"] {
            let Some(site) = Site::new(engine).await else { return };
            let node = site.start().await;
            let kms = node.kms();
            let (victim, spec) = (id("victim"), DataKeySpec::AES_256);
            kms.create_key(&victim).await.unwrap();
            let made = kms.generate_data_key(&victim, spec, &context("a")).await.unwrap();
            let good = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
            let state = path(&site, "data", "state");
            match how {
                "edited" => {
                    let mut document = read(&site, &state);
                    let record = document["record"].as_str().unwrap();
                    let record = record.replace("\"description\":\"\"", "\"description\":\"x\"");
                    let record = record.replace("\"written\":1", "\"written\":2");
                    document["record"] = json!(record);
                    site.server.done("POST", &state, &json!({ "data": document }));
                }
                "soft-deleted" => drop(site.server.call("DELETE", &state, None)),
                "metadata deleted" => {
                    drop(site.server.call("DELETE", &path(&site, "metadata", "state"), None));
                }
                _ => {
                    let of_default =
                        state.replace(&id("victim").storage_name(), &id("default").storage_name());
                    let document = read(&site, &of_default);
                    site.server.done("POST", &state, &json!({ "data": document }));
                }
            }
            within(SOON, async || {
                is_damaged(kms.decrypt_data_key(&made.wrapped, &context("a")).await)
            })
            .await;
            assert!(is_damaged(kms.generate_data_key(&victim, spec, &context("a")).await));
            assert!(is_damaged(kms.rewrap(&made.wrapped, &context("a")).await));
            assert!(is_damaged(kms.rotate_key(&victim).await));
            let damage = kms.describe_key(&victim).await.unwrap().damage.unwrap();
            let named = state.replace("/data/", "/");
            assert!(damage.starts_with(&named), "{how}: {damage}");
            kms.decrypt_data_key(&good.wrapped, &context("a")).await.unwrap();
            kms.rotate_key(&id("default")).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn material_that_is_deleted_or_exchanged_in_kv_is_named_by_the_next_start() {
    for how in ["soft-deleted", "destroyed", "another version's"] {
        let Some(site) = Site::new(VaultEngine::Kv2).await else { return };
        let node = site.start().await;
        let victim = id("victim");
        node.kms().create_key(&victim).await.unwrap();
        node.kms().rotate_key(&victim).await.unwrap();
        let spec = DataKeySpec::AES_256;
        let made = node.kms().generate_data_key(&victim, spec, &context("a")).await.unwrap();
        drop(node);
        let place = path(&site, "data", "v/2");
        match how {
            "soft-deleted" => drop(site.server.call("DELETE", &place, None)),
            "destroyed" => {
                let versions = json!({ "versions": [1] });
                site.server.done("PUT", &path(&site, "destroy", "v/2"), &versions);
            }
            _ => {
                let document = read(&site, &path(&site, "data", "v/1"));
                site.server.done("POST", &place, &json!({ "data": document }));
            }
        }
        let node = site.start().await;
        let kms = node.kms();
        assert!(is_damaged(kms.decrypt_data_key(&made.wrapped, &context("a")).await), "{how}");
        let damage = kms.describe_key(&victim).await.unwrap().damage.unwrap();
        assert!(damage.starts_with(&place.replace("/data/", "/")), "{how}: {damage}");
        kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
    }
}

/// `envelope` with the token of `other` in it.
fn with_token_of(envelope: &WrappedKey, other: &WrappedKey) -> WrappedKey {
    let token_at = |bytes: &[u8]| bytes.windows(8).position(|it| it == b"vault:v1").unwrap();
    let (mut bytes, donor) = (envelope.as_bytes().to_vec(), other.as_bytes());
    let (to, from) = (token_at(&bytes), token_at(donor));
    // `vault:v1:` and base64 of nonce, 32 bytes and tag.
    let length = 9 + (12 + 32 + 16) / 3 * 4;
    bytes[to..to + length].copy_from_slice(&donor[from..from + length]);
    assert!(bytes != envelope.as_bytes());
    WrappedKey::from_bytes(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ciphertext_of_transit_put_in_place_does_not_open() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let node = site.start().await;
    let (kms, spec) = (node.kms(), DataKeySpec::AES_256);
    kms.create_key(&id("other")).await.unwrap();
    let make = async |key: &str, object: &str| {
        kms.generate_data_key(&id(key), spec, &context(object)).await.unwrap().wrapped
    };
    let own = make("default", "a").await;
    for (donor, why) in [
        (make("other", "a").await, "another key's"),
        (make("default", "b").await, "another context's"),
        // Vault opens this one: that it is not what was put here is told by the commitment.
        (make("default", "a").await, "another data key's"),
    ] {
        let forged = with_token_of(&own, &donor);
        let refused = kms.decrypt_data_key(&forged, &context("a")).await.err();
        let told = matches!(refused, Some(Error::Envelope(EnvelopeError::DoesNotOpen)));
        assert!(told, "{why}: {refused:?}");
    }
    kms.decrypt_data_key(&own, &context("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_transit_itself_was_told_to_withhold_open_nothing() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let node = site.start().await;
    let (kms, default) = (node.kms(), id("default"));
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&default, spec, &context("a")).await.unwrap();
    kms.rotate_key(&default).await.unwrap();
    let config = format!("{}/config", site.transit("keys", "default"));
    site.server.done("POST", &config, &json!({ "min_decryption_version": 2 }));
    let refused = kms.decrypt_data_key(&made.wrapped, &context("a")).await.err();
    // Vault refuses at once; the engine by itself from the next start on.
    assert!(matches!(refused, Some(Error::Envelope(EnvelopeError::DoesNotOpen))), "{refused:?}");
    let asked = || site.server.audited(&site.transit("decrypt", "default")).len();
    site.server.done(
        "POST",
        &config,
        &json!({ "min_decryption_version": 2, "min_encryption_version": 2 }),
    );
    site.server.done(
        "POST",
        &format!("{}/trim", site.transit("keys", "default")),
        &json!({ "min_available_version": 2 }),
    );
    let other = site.start().await;
    let before = asked();
    let refused = other.kms().decrypt_data_key(&made.wrapped, &context("a")).await.err();
    assert!(matches!(refused, Some(Error::Key(KeyError::VersionDestroyed(1)))), "{refused:?}");
    assert_eq!(asked(), before);
    let versions = other.kms().describe_key_versions(&default).await.unwrap();
    let states: Vec<_> = versions.iter().map(|it| (it.version, it.state)).collect();
    let two = KeyVersion::new(2).unwrap();
    assert_eq!(states, [(KeyVersion::FIRST, VersionState::Destroyed), (two, VersionState::Active)]);
    other.kms().generate_data_key(&default, spec, &context("a")).await.unwrap();
}
