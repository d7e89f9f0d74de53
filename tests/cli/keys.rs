use serde_json::{Value, json};

use crate::harness::Home;

fn home() -> Home {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    home
}

#[test]
fn a_key_is_made_shown_and_listed() {
    let home = home();
    let made = home.json(&[
        "key",
        "create",
        "team/orders",
        "--description",
        "orders of 2026",
        "--tag",
        "team=a",
        "--tag",
        "cost=b=c",
        "--rotate-after",
        "90days",
        "--rotate-at-uses",
        "never",
        "--allow-decrypt-when-disabled",
        "true",
    ]);
    let key = &made["key"];
    let expected = json!({
        "id": "team/orders",
        "description": "orders of 2026",
        "tags": { "team": "a", "cost": "b=c" },
        "state": "enabled",
        "deletion": null,
        "policy": {
            "allow_decrypt_when_disabled": true,
            "rotate_after": key["policy"]["rotate_after"],
            "rotate_at_uses": null,
        },
        "created": key["created"],
        "open_only": false,
        "current_version": 1,
    });
    assert_eq!(key, &expected);
    assert_eq!((&made["changed"], &made["audited"]), (&json!(true), &json!(true)));
    let after = key["policy"]["rotate_after"].as_str().unwrap();
    let after: humantime::Duration = after.parse().unwrap();
    assert_eq!(after.as_secs(), 90 * 86_400);
    assert_eq!(home.json(&["key", "describe", "team/orders"])["key"], *key);
    let listed = home.json(&["key", "list"]);
    let ids = |listed: &Value| -> Vec<String> {
        let keys = listed["keys"].as_array().unwrap().iter();
        keys.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&listed), ["default", "team/orders"]);
    assert_eq!(listed["next"], Value::Null);
    let page = home.json(&["key", "list", "--limit", "1"]);
    assert_eq!((ids(&page), &page["next"]), (vec!["default".to_owned()], &json!("default")));
    assert_eq!(ids(&home.json(&["key", "list", "--after", "default"])), ["team/orders"]);
    let table = home.ok(&["key", "list"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    let column = lines[0].find("STATE").unwrap();
    assert!(lines.iter().skip(1).all(|line| line[column..].starts_with("enabled")));
    assert!(!table.contains('\u{1b}'));
    assert!(home.ok(&["key", "describe", "team/orders"]).contains("cost=b=c"));
}

#[test]
fn versions_rotate_retire_come_back_and_are_destroyed() {
    let home = home();
    home.write("a", "abc");
    home.ok(&["seal", "a", "-o", "first"]);
    assert_eq!(home.json(&["key", "rotate", "default"])["key"]["current_version"], 2);
    home.ok(&["open", "first", "-o", "-"]);
    home.ok(&["key", "retire", "default", "1"]);
    let error = home.fails(5, &["open", "first", "-o", "out"]);
    assert_eq!(error["code"], "version-retired");
    home.ok(&["key", "reinstate", "default", "1"]);
    home.ok(&["open", "first", "-o", "-"]);
    assert_eq!(home.fails(5, &["key", "retire", "default", "2"])["code"], "current-version");
    assert_eq!(home.fails(5, &["key", "retire", "default", "9"])["code"], "version-not-found");
    home.fails(2, &["key", "retire", "default", "0"]);
    home.fails(2, &["key", "destroy-version", "default", "1"]);
    home.fails(2, &["key", "destroy-version", "default", "1", "--confirm", "2"]);
    home.ok(&["open", "first", "-o", "-"]);
    home.ok(&["key", "destroy-version", "default", "1", "--confirm", "1"]);
    assert_eq!(home.fails(5, &["open", "first", "-o", "out"])["code"], "version-destroyed");
    let versions = home.json(&["key", "versions", "default"]);
    let states: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (version["version"].clone(), version["state"].clone()))
        .collect();
    let expected = [(json!(1), json!("destroyed")), (json!(2), json!("active"))];
    assert_eq!(states, expected);
    assert_eq!(versions["versions"][1]["current"], true);
    assert!(home.ok(&["key", "versions", "default"]).contains("active, current"));
}

#[test]
fn a_disabled_key_neither_seals_nor_opens_until_it_is_enabled() {
    let home = home();
    home.write("a", "abc");
    home.ok(&["seal", "a"]);
    assert_eq!(home.json(&["key", "disable", "default"])["key"]["state"], "disabled");
    assert_eq!(home.json(&["key", "disable", "default"])["changed"], false);
    assert_eq!(home.fails(5, &["seal", "a", "-o", "b"])["code"], "disabled");
    assert_eq!(home.fails(5, &["open", "a.sealed", "-o", "b"])["code"], "disabled");
    home.ok(&["key", "set-policy", "default", "--allow-decrypt-when-disabled", "true"]);
    home.ok(&["open", "a.sealed", "-o", "-"]);
    home.fails(5, &["seal", "a", "-o", "b"]);
    home.ok(&["key", "enable", "default"]);
    home.ok(&["seal", "a", "-o", "b"]);
}

#[test]
fn a_deletion_is_scheduled_and_cancelled() {
    let home = home();
    home.write("a", "abc");
    home.ok(&["seal", "a"]);
    home.fails(2, &["key", "schedule-deletion", "default"]);
    let error = home.fails(5, &["key", "schedule-deletion", "default", "--days", "6"]);
    assert_eq!(error["code"], "invalid");
    home.ok(&["key", "disable", "default"]);
    let key = home.json(&["key", "schedule-deletion", "default", "--days", "7"])["key"].clone();
    assert_eq!(key["state"], "pending-deletion");
    let deletion = humantime::parse_rfc3339(key["deletion"].as_str().unwrap()).unwrap();
    let created = humantime::parse_rfc3339(key["created"].as_str().unwrap()).unwrap();
    let days = deletion.duration_since(created).unwrap().as_secs() / 86_400;
    assert_eq!(days, 7);
    assert!(home.ok(&["key", "list"]).contains("deleted at 2"));
    assert_eq!(home.fails(5, &["open", "a.sealed", "-o", "b"])["code"], "pending-deletion");
    assert_eq!(home.fails(5, &["key", "enable", "default"])["code"], "invalid-state");
    let key = home.json(&["key", "cancel-deletion", "default"])["key"].clone();
    assert_eq!((&key["state"], &key["deletion"]), (&json!("disabled"), &Value::Null));
}

#[test]
fn tags_description_and_policy_change_and_the_rest_stays() {
    let home = home();
    let key = |args: &[&str]| home.json(&[&["key"], args].concat())["key"].clone();
    assert_eq!(key(&["tag", "default", "a=1", "b=2"])["tags"], json!({ "a": "1", "b": "2" }));
    assert_eq!(key(&["tag", "default", "b=3"])["tags"], json!({ "a": "1", "b": "3" }));
    assert_eq!(key(&["untag", "default", "a", "zz"])["tags"], json!({ "b": "3" }));
    home.fails(2, &["key", "tag", "default", "noequals"]);
    home.fails(2, &["key", "tag", "default", "a=1", "a=2"]);
    assert_eq!(key(&["set-description", "default", "new"])["description"], "new");
    let policy =
        |args: &[&str]| key(&[&["set-policy", "default"], args].concat())["policy"].clone();
    let one = policy(&["--rotate-after", "1h"]);
    assert_eq!(one["rotate_after"], "1h");
    assert_eq!(one["rotate_at_uses"], 1_u64 << 31);
    let two = policy(&["--rotate-at-uses", "1000"]);
    assert_eq!((&two["rotate_after"], &two["rotate_at_uses"]), (&json!("1h"), &json!(1000)));
    assert_eq!(policy(&["--rotate-after", "never"])["rotate_after"], Value::Null);
    home.fails(2, &["key", "set-policy", "default"]);
    assert_eq!(key(&["describe", "default"])["description"], "new");
}

#[test]
fn ids_that_are_none_and_keys_that_are_not_there_are_told_apart() {
    let home = home();
    assert_eq!(home.fails(5, &["key", "describe", "nope"])["code"], "not-found");
    assert_eq!(home.fails(5, &["key", "create", "default"])["code"], "already-exists");
    let long = "x".repeat(100_000);
    for id in ["a/../b", "", "a b", "/a", "a\u{1b}[31m", &long] {
        let error = home.fails(5, &["key", "create", id]);
        assert_eq!(error["code"], "invalid");
        assert!(error["message"].as_str().unwrap().len() < 200);
    }
    assert_eq!(home.json(&["key", "list"])["keys"].as_array().unwrap().len(), 1);
}
