//! Keys tampered with in Vault: detected, named, never used, and the others unharmed.

use serde_json::{Value, json};

use super::*;
use crate::error::KeyError;
use crate::key::table::KeyTable;
use crate::key::{ConfirmedVersion, KeyVersion, VersionState};

/// What a new node says of the key `victim`, which is good for nothing, beside `default`, which is
/// as it was.
async fn damage_of(site: &Site) -> String {
    let mut node = site.open().await;
    let record = Arc::clone(&node.records()["victim"]);
    let damage = record.damage.as_ref().expect("the damage is not seen").to_string();
    for mutation in [Mutation::Rotate, Mutation::Disable, Mutation::Enable] {
        let refused = node.mutate(&id("victim"), &mutation, NOW).await.err();
        assert!(matches!(refused, Some(Error::Key(KeyError::Damaged(_)))), "{refused:?}");
    }
    let table = KeyTable::of([&record]);
    table.with("victim", |cell| {
        let view = cell.unwrap().view();
        assert!(matches!(view.for_wrap(), Err(KeyError::Damaged(_))));
        let tag = crate::key::VersionTag::from_bytes([0; 8]);
        let refused = view.for_unwrap(KeyVersion::FIRST, tag).err();
        assert!(matches!(refused, Some(Error::Key(KeyError::Damaged(_)))));
    });
    assert!(node.records()["default"].damage.is_none());
    node.mutate(&id("default"), &Mutation::Rotate, NOW).await.unwrap();
    damage
}

/// A store with `default` and `victim`, the latter with two versions.
async fn with_victim(engine: VaultEngine) -> Option<Site> {
    let site = Site::with_store(engine).await?;
    let mut node = site.open().await;
    node.mutate(&id("victim"), &create(), NOW).await.unwrap();
    node.mutate(&id("victim"), &Mutation::Rotate, NOW).await.unwrap();
    node.mutate(&id("victim"), &Mutation::Disable, NOW).await.unwrap();
    Some(site)
}

fn read(site: &Site, path: &str) -> Value {
    let (status, answer) = site.server.call("GET", path, None);
    assert_eq!(status, 200, "{answer}");
    answer["data"]["data"].clone()
}

fn write(site: &Site, path: &str, document: &Value) {
    site.server.done("POST", path, &json!({ "data": document }));
}

#[tokio::test]
async fn a_state_that_was_edited_is_told() {
    for engine in BOTH {
        let Some(site) = with_victim(engine).await else { return };
        let state = site.path("data", "victim", "state");
        let mut document = read(&site, &state);
        let record = fixture::text(&document["record"]);
        // Enabled again, and even said to be the KV version that it becomes.
        let record = record.replace("\"disabled\"", "\"enabled\"");
        let record = record.replace("\"written\":3", "\"written\":4");
        document["record"] = json!(record);
        write(&site, &state, &document);
        let damage = damage_of(&site).await;
        assert_eq!(damage, format!("{} was changed", state.replace("/data/", "/")));
    }
}

#[tokio::test]
async fn an_older_state_written_again_is_told() {
    for engine in BOTH {
        let Some(site) = with_victim(engine).await else { return };
        let state = site.path("data", "victim", "state");
        let older = read(&site, &format!("{state}?version=2"));
        write(&site, &state, &older);
        assert!(damage_of(&site).await.ends_with("is an older state, put back"));
    }
}

#[tokio::test]
async fn a_state_that_is_missing_deleted_or_destroyed_is_told() {
    for engine in BOTH {
        let Some(site) = with_victim(engine).await else { return };
        let state = site.path("data", "victim", "state");
        site.server.call("DELETE", &state, None);
        assert!(damage_of(&site).await.ends_with("was deleted"));
        let newest = json!({ "versions": [3] });
        site.server.done("PUT", &state.replace("/data/", "/destroy/"), &newest);
        assert!(damage_of(&site).await.ends_with("was destroyed"));
        site.server.call("DELETE", &state.replace("/data/", "/metadata/"), None);
        if engine == VaultEngine::Kv2 {
            // Its material still stands there, so the key is missed.
            assert!(damage_of(&site).await.ends_with("is missing"));
        }
        write(&site, &state, &json!({ "record": 7 }));
        assert!(damage_of(&site).await.ends_with("is not a key's state"));
    }
}

#[tokio::test]
async fn another_keys_state_put_in_place_is_told() {
    for engine in BOTH {
        let Some(site) = with_victim(engine).await else { return };
        let others = read(&site, &site.path("data", "default", "state"));
        write(&site, &site.path("data", "victim", "state"), &others);
        assert!(damage_of(&site).await.ends_with("is the state of another key"));
    }
}

#[tokio::test]
async fn material_that_is_gone_or_another_keys_is_told() {
    let Some(site) = with_victim(VaultEngine::Kv2).await else { return };
    for version in ["1", "2"] {
        let at = site.path("data", "victim", &format!("v/{version}"));
        let own = read(&site, &at);
        let others = read(&site, &site.path("data", "default", "v/1"));
        write(&site, &at, &others);
        assert!(damage_of(&site).await.ends_with("holds the material of another key or version"));
        let mut renamed = others.clone();
        renamed["key"] = json!("victim");
        renamed["version"] = own["version"].clone();
        write(&site, &at, &renamed);
        assert!(damage_of(&site).await.ends_with("was changed"));
        write(&site, &at, &json!({ "material": "short" }));
        assert!(damage_of(&site).await.ends_with("is not the material of a key"));
        site.server.call("DELETE", &at, None);
        assert!(damage_of(&site).await.ends_with("was deleted"));
        write(&site, &at, &own);
        assert!(site.open().await.records()["victim"].damage.is_none());
        site.server.call("DELETE", &at.replace("/data/", "/metadata/"), None);
        assert!(damage_of(&site).await.ends_with("is missing"));
        write(&site, &at, &own);
    }
    let at = site.path("data", "victim", "v/1");
    let last = json!({ "versions": [1] });
    site.server.done("PUT", &at.replace("/data/", "/destroy/"), &last);
    assert!(damage_of(&site).await.ends_with("was destroyed"));
}

#[tokio::test]
async fn a_transit_key_that_is_gone_or_made_again_is_told() {
    let Some(site) = with_victim(VaultEngine::Transit).await else { return };
    let at = format!("{}/keys/{}-kvictim", site.mounts.transit, site.mounts.prefix);
    site.server.done("POST", &format!("{at}/config"), &json!({ "deletion_allowed": true }));
    site.server.call("DELETE", &at, None);
    assert!(damage_of(&site).await.ends_with("is missing"));
    site.server.done("POST", &at, &json!({ "type": "aes256-gcm96" }));
    assert!(damage_of(&site).await.contains("is not derived"));
    site.server.done("POST", &format!("{at}/config"), &json!({ "deletion_allowed": true }));
    site.server.call("DELETE", &at, None);
    site.server.done("POST", &at, &json!({ "type": "aes256-gcm96", "derived": true }));
    site.server.done("POST", &format!("{at}/rotate"), &json!({}));
    // Its versions bear the same numbers and, within a second, the same tags; its keys do not.
    assert!(damage_of(&site).await.ends_with("was changed"));
}

#[tokio::test]
async fn damage_that_a_look_finds_is_sticky() {
    for engine in BOTH {
        let Some(site) = with_victim(engine).await else { return };
        let mut node = site.open().await;
        let state = site.path("data", "victim", "state");
        let good = read(&site, &state);
        site.server.call("DELETE", &state, None);
        let found = look(&mut *node).await;
        assert!(found.len() == 1 && found[0].damage.is_some());
        assert_eq!(found[0].versions.len(), 2);
        write(&site, &state, &good);
        assert!(look(&mut *node).await.is_empty());
        let refused = node.mutate(&id("victim"), &Mutation::Enable, NOW).await.err();
        assert!(matches!(refused, Some(Error::Key(KeyError::Damaged(_)))));
    }
}

#[tokio::test]
async fn a_name_that_no_key_has_is_told_and_nothing_opens() {
    let Some(site) = Site::with_store(VaultEngine::Kv2).await else { return };
    let path = format!("{}/data/{}/k/not-a-name/state", site.mounts.kv, site.mounts.prefix);
    write(&site, &path, &json!({ "a": 1 }));
    let message = site.try_open().await.err().unwrap().to_string();
    assert!(message.contains("not-a-name") && message.contains("not a file of this keystore"));
}

#[tokio::test]
async fn a_destruction_that_was_cut_off_is_finished_at_the_next_opening() {
    let Some(site) = with_victim(VaultEngine::Kv2).await else { return };
    let mut node = site.open().await;
    // A token that may not destroy: the state is durable, the material stays.
    let policy = least_policy(site.engine, &site.config);
    let without = policy.replace(&format!("{}/destroy/", site.mounts.kv), "nowhere/");
    assert_ne!(without, policy);
    let mut poorer = site.config.clone();
    poorer.auth = given(&site.server.token(&without, "1h"));
    let poorer = Site { config: poorer, mounts: site.server.mounts(), ..site };
    let mut poor = poorer.open().await;
    poor.mutate(
        &id("victim"),
        &Mutation::DestroyVersion(
            ConfirmedVersion::new(KeyVersion::FIRST, KeyVersion::FIRST).unwrap(),
        ),
        NOW,
    )
    .await
    .unwrap();
    let at = format!("{}/data/{}/k/kvictim/v/1", poorer.config.kv_mount, "portcullis");
    assert_eq!(site.server.call("GET", &at, None).0, 200);
    look(&mut *node).await;
    let state = node.records()["victim"].version(KeyVersion::FIRST).unwrap().state;
    assert_eq!(state, VersionState::Destroyed);
    let reopened = Site { config: site.config.clone(), mounts: site.server.mounts(), ..poorer };
    drop(reopened.open().await);
    let (status, answer) = site.server.call("GET", &at, None);
    assert_eq!((status, &answer["data"]["metadata"]["destroyed"]), (404, &json!(true)));
}
