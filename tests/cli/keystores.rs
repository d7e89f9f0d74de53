use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::json;

use crate::harness::{Home, arg};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    set_mode(to, 0o700);
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn guideline_s3_a_keystore_that_others_can_read_is_refused_by_name() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    let keystore = home.keystore();
    let root_key = home.path("data/portcullis/root.key");
    for path in [&keystore, &keystore.join("manifest"), &root_key] {
        let good = path.metadata().unwrap().mode() & 0o777;
        set_mode(path, 0o755);
        let error = home.fails(10, &["key", "list"]);
        assert_eq!(error["code"], "mode");
        assert!(error["message"].as_str().unwrap().contains(arg(path)), "{error}");
        set_mode(path, good);
        home.ok(&["key", "list"]);
    }
}

#[test]
fn guideline_s3_everything_is_made_for_its_user_alone() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&home.keystore()), 0o700);
    assert_eq!(mode(&home.path("data/portcullis/root.key")), 0o600);
    assert_eq!(mode(&home.path("state/portcullis/keystore.mark")), 0o600);
    assert_eq!(mode(&home.path("data/portcullis")), 0o700);
    for entry in std::fs::read_dir(home.keystore()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_keystore_that_is_gone_is_not_made_again() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    std::fs::remove_dir_all(home.path("data/portcullis")).unwrap();
    for args in [&["key", "list"][..], &["keystore", "init"]] {
        let error = home.fails(10, args);
        assert_eq!(error["code"], "gone");
        assert!(error["message"].as_str().unwrap().contains("keystore.mark"), "{error}");
    }
    assert!(!home.keystore().exists());
    assert!(!home.path("data/portcullis/root.key").exists());
}

#[test]
fn a_root_key_or_a_mark_that_is_gone_is_not_made_again() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    for name in ["data/portcullis/root.key", "state/portcullis/keystore.mark"] {
        let kept = home.read(name);
        std::fs::remove_file(home.path(name)).unwrap();
        let error = home.fails(10, &["key", "list"]);
        assert_eq!(error["code"], "missing", "{name}");
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        assert!(!home.path(name).exists());
        home.write(name, kept);
        set_mode(&home.path(name), 0o600);
        home.ok(&["key", "list"]);
    }
}

#[test]
fn a_keystore_is_made_by_init_where_it_is_named() {
    let home = Home::new();
    let named = ["--keystore", "keys"];
    let with = |args: &[&'static str]| [args, &named].concat();
    let error = home.fails(10, &with(&["key", "list"]));
    assert_eq!(error["code"], "not-initialised");
    assert!(home.names().is_empty());
    let made = home.json(&with(&["keystore", "init"]));
    assert_eq!((&made["keys"], &made["anchored"]), (&json!(1), &json!(false)));
    assert_eq!(home.names(), ["keys", "keys.root.key"]);
    assert_eq!(home.fails(10, &with(&["keystore", "init"]))["code"], "already-initialised");
    assert_eq!(home.json(&with(&["keystore", "info"])), made);
    home.write("a", "abc");
    home.ok(&with(&["seal", "a"]));
    let in_environment = home.command(&["open", "a.sealed", "-o", "-"]);
    let mut in_environment = in_environment;
    let output = in_environment.env("PORTCULLIS_KEYSTORE", "keys").output().unwrap();
    assert_eq!(output.stdout, b"abc");
    // The root key's file belongs to the keystore: a new one is not made in its place.
    std::fs::remove_file(home.path("keys.root.key")).unwrap();
    assert_eq!(home.fails(10, &with(&["key", "list"]))["code"], "missing");
    assert_eq!(home.fails(10, &with(&["keystore", "init"]))["code"], "already-initialised");
    assert!(!home.path("keys.root.key").exists());
    assert!(!home.path("data").exists(), "the user's own keystore was not touched");
}

#[test]
fn the_root_key_comes_from_a_passphrase_and_changes_to_a_file() {
    let home = Home::new();
    let run = |args: &[&str], passphrase: &str| {
        let mut command = home.command(&[args, &["--keystore", "keys"]].concat());
        let output = command.env("PASS", passphrase).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let made = run(&["keystore", "init", "--passphrase-env", "PASS"], "correct horse");
    assert_eq!(made.0, 0, "{}", made.1);
    assert_eq!(home.names(), ["keys"]);
    let wrong = run(&["key", "list", "--passphrase-env", "PASS"], "battery staple");
    assert_eq!(wrong.0, 10);
    assert!(wrong.1.contains("root key") && !wrong.1.contains("battery"), "{}", wrong.1);
    let unset = home.fails(10, &["key", "list", "--keystore", "keys", "--passphrase-env", "NONE"]);
    assert_eq!(unset["code"], "root-key");
    let change =
        ["keystore", "change-root-key", "--passphrase-env", "PASS", "--to-file", "new.key"];
    let changed = run(&change, "correct horse");
    assert_eq!(changed.0, 0, "{}", changed.1);
    assert_eq!(run(&["key", "list", "--passphrase-env", "PASS"], "correct horse").0, 10);
    home.ok(&["key", "list", "--keystore", "keys", "--root-key-file", "new.key"]);
    let both = ["key", "list", "--root-key-file", "new.key", "--passphrase-env", "PASS"];
    assert_eq!(run(&both, "x").0, 2);
}

#[test]
fn an_older_copy_is_refused_until_it_is_accepted_and_then_only_opens() {
    let home = Home::new();
    home.write("a", "abc");
    home.ok(&["seal", "a", "-q"]);
    copy_directory(&home.keystore(), &home.path("backup"));
    home.ok(&["key", "create", "later"]);
    home.ok(&["key", "create", "latest"]);
    std::fs::remove_dir_all(home.keystore()).unwrap();
    copy_directory(&home.path("backup"), &home.keystore());
    assert_eq!(home.fails(10, &["open", "a.sealed", "-o", "b"])["code"], "rolled-back");
    home.json(&["keystore", "accept-rollback", "-q"]);
    home.ok(&["open", "a.sealed", "-o", "b"]);
    assert_eq!(home.fails(5, &["seal", "a", "-o", "c"])["code"], "open-only");
    assert_eq!(home.json(&["key", "describe", "default"])["key"]["open_only"], true);
    home.ok(&["key", "rotate", "default"]);
    home.ok(&["seal", "a", "-o", "c"]);
}

#[test]
fn a_mark_is_kept_from_the_day_it_is_asked_for() {
    let home = Home::new();
    let named = ["--keystore", "keys"];
    home.ok(&[&["keystore", "init", "-q"][..], &named].concat());
    let anchored = [&named[..], &["--anchor", "mark"]].concat();
    assert_eq!(home.fails(10, &[&["key", "list"][..], &anchored].concat())["code"], "missing");
    let info = home.json(&[&["keystore", "set-anchor"][..], &anchored].concat());
    assert_eq!(info["anchored"], true);
    home.ok(&[&["key", "list"][..], &anchored].concat());
    // Changed behind the mark's back, it is not what the mark has seen.
    for id in ["one", "two"] {
        home.ok(&[&["key", "create", id][..], &named].concat());
    }
    let error = home.fails(10, &[&["key", "list"][..], &anchored].concat());
    assert_eq!(error["code"], "anchor-mismatch");
    assert!(error["message"].as_str().unwrap().contains("without its --anchor"), "{error}");
    home.ok(&[&["keystore", "accept-rollback", "-q"][..], &anchored].concat());
    home.ok(&[&["key", "list"][..], &anchored].concat());
}

#[test]
fn a_configuration_file_says_all_of_it() {
    let home = Home::new();
    std::fs::create_dir(home.path("etc")).unwrap();
    home.write(
        "etc/p.toml",
        "default_key = \"orders\"\n[backend]\nkind = \"local\"\n[backend.local]\n\
         directory = \"keys\"\nroot_key = { file = \"root.key\" }\nanchor = { file = \"mark\" }\n",
    );
    assert_eq!(home.json(&["config", "check", "etc/p.toml"])["valid"], true);
    let config = ["--config", "etc/p.toml"];
    home.ok(&[&["keystore", "init", "--default-key", "orders"][..], &config].concat());
    home.write("a", "abc");
    let report = home.json(&[&["seal", "a"][..], &config].concat());
    assert_eq!(report["key"], "orders");
    let mut names: Vec<_> = std::fs::read_dir(home.path("etc"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["keys", "mark", "p.toml", "root.key"]);
    home.fails(2, &[&["key", "list", "--root-key-file", "x"][..], &config].concat());
    home.fails(2, &[&["key", "list", "--keystore", "x"][..], &config].concat());
}

#[test]
fn a_static_key_seals_and_changes_nothing() {
    let home = Home::new();
    home.write(
        "p.toml",
        "[backend]\nkind = \"static\"\n[backend.static]\nkey = \"only\"\n\
         source = { env = \"THE_KEY\" }\n",
    );
    home.write("a", "abc");
    let run = |args: &[&str]| {
        let mut command = home.command(&[args, &["--config", "p.toml"]].concat());
        let output = command.env("THE_KEY", "0123456789abcdef".repeat(4)).output().unwrap();
        (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    let sealed = run(&["seal", "a"]);
    assert_eq!(sealed.0, 0, "{}", sealed.2);
    assert_eq!(run(&["open", "a.sealed", "-o", "-"]).1, b"abc");
    assert_eq!(run(&["key", "rotate", "only"]).0, 5);
    assert_eq!(run(&["keystore", "info"]).0, 2);
}
