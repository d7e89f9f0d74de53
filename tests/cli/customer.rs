//! `--sse-c-key-file`: files under a key that their owner keeps.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Home, noise};

/// A file with a key of `len` bytes.
fn key_file(home: &Home, name: &str, len: usize, seed: u64) {
    home.write(name, noise(len, seed));
    set_mode(home, name, 0o600);
}

fn set_mode(home: &Home, name: &str, mode: u32) {
    std::fs::set_permissions(home.path(name), PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn what_is_sealed_under_a_customer_key_opens_with_it_and_needs_no_keystore() {
    let home = Home::new();
    key_file(&home, "k", 32, 1);
    home.write("a", "attack at dawn");
    let sealed = home.json(&["seal", "a", "--sse-c-key-file", "k", "-c", "tenant=a"]);
    assert!(sealed.get("key").is_none(), "no master key has a part in it: {sealed}");
    // The head, what tells the key, header and one chunk.
    assert_eq!(sealed["sealed_bytes"], 6 + 64 + 56 + 14 + 16);
    assert!(home.read("a.sealed").starts_with(b"PCSC\x01\x01"));
    let key = home.read("k");
    assert!(!home.read("a.sealed").windows(8).any(|bytes| bytes == &key[..8]));
    let args = ["open", "a.sealed", "-o", "b", "--sse-c-key-file", "k", "-c", "tenant=a"];
    let opened = home.json(&args);
    assert_eq!(opened["plain_bytes"], 14);
    assert_eq!(home.read("b"), b"attack at dawn");
    assert!(!home.path("data").exists() && !home.path("state").exists());
}

#[test]
fn streams_under_a_customer_key_carry_any_length() {
    let home = Home::new();
    key_file(&home, "k", 32, 2);
    for len in [0, 1, 16_384, 262_144, 3_000_001] {
        let plain = noise(len, 7);
        let sealed = home.run_with(&["seal", "-", "--sse-c-key-file", "k"], &plain);
        assert_eq!((sealed.code, sealed.stderr.as_str()), (0, ""));
        let opened = home.run_with(&["open", "-", "--sse-c-key-file", "k"], &sealed.stdout);
        assert_eq!(opened.code, 0, "{len} bytes: {}", opened.stderr);
        assert!(opened.stdout == plain, "{len} bytes");
    }
}

#[test]
fn a_wrong_key_a_missing_one_and_one_too_many_are_told_before_any_output() {
    let home = Home::new();
    key_file(&home, "k", 32, 3);
    key_file(&home, "other", 32, 4);
    home.write("a", noise(3_000_000, 5));
    home.ok(&["seal", "a", "-o", "c", "--sse-c-key-file", "k"]);
    home.ok(&["seal", "a", "-o", "m", "-q"]);
    let with_other = ["--sse-c-key-file", "other"];
    let cases: [(&str, &[&str], &str); 3] = [
        ("c", &with_other, "customer-key-wrong"),
        ("c", &[], "customer-key-missing"),
        ("m", &with_other, "customer-key-unexpected"),
    ];
    for (file, key, code) in cases {
        for range in [&[][..], &["--range", "0-9"]] {
            let args = [&["open", file, "-o", "out"][..], key, range].concat();
            let error = home.fails(8, &args);
            assert_eq!((&error["family"], &error["code"]), (&json!("object"), &json!(code)));
            let run = home.run(&[&["open", file, "-o", "-"][..], key, range].concat());
            assert_eq!((run.code, run.stdout.len()), (8, 0), "{file} {code}");
        }
    }
    // The context is bound under a customer key too.
    let args = ["open", "c", "-o", "out", "--sse-c-key-file", "k", "-c", "tenant=b"];
    assert_eq!(home.fails(8, &args)["code"], "does-not-open");
    assert_eq!(home.names(), ["a", "c", "k", "m", "other"]);
}

#[test]
fn a_key_file_is_exactly_32_bytes_of_its_owner_alone() {
    let home = Home::new();
    home.write("a", "abc");
    for (len, name) in [(0, "none"), (31, "short"), (33, "long"), (64, "digits"), (99, "longer")] {
        key_file(&home, name, len, 6);
        let error = home.fails(8, &["seal", "a", "--sse-c-key-file", name]);
        assert_eq!(
            (&error["family"], &error["code"]),
            (&json!("object"), &json!("customer-key-length"))
        );
        assert!(error["message"].as_str().unwrap().starts_with(name), "{error}");
    }
    key_file(&home, "k", 32, 7);
    for mode in [0o644, 0o640, 0o604, 0o700] {
        set_mode(&home, "k", mode);
        let error = home.fails(9, &["seal", "a", "--sse-c-key-file", "k"]);
        assert_eq!((&error["family"], &error["code"]), (&json!("io"), &json!("mode")), "{mode:o}");
    }
    std::os::unix::fs::symlink("k", home.path("link")).unwrap();
    std::fs::create_dir(home.path("d")).unwrap();
    for (name, code) in [("missing", "missing"), ("link", "not-a-file"), ("d", "not-a-file")] {
        let error = home.fails(9, &["seal", "a", "--sse-c-key-file", name]);
        assert_eq!(error["code"], code, "{name}");
    }
    set_mode(&home, "k", 0o400);
    home.ok(&["seal", "a", "--sse-c-key-file", "k"]);
    assert!(!home.path("data").exists());
}

#[test]
fn options_of_keystores_and_master_keys_do_not_go_with_a_customer_key() {
    let home = Home::new();
    key_file(&home, "k", 32, 8);
    home.write("a", "abc");
    for option in [
        &["--key", "default"][..],
        &["--keystore", "keys"],
        &["--root-key-file", "root"],
        &["--anchor", "mark"],
    ] {
        home.fails(2, &[&["seal", "a", "--sse-c-key-file", "k"][..], option].concat());
    }
    assert_eq!(home.names(), ["a", "k"]);
}

#[test]
fn a_configuration_says_the_rest_of_how_a_file_is_sealed() {
    let home = Home::new();
    key_file(&home, "k", 32, 9);
    home.write("a", "abc");
    home.write(
        "c.toml",
        "[backend]\nkind = \"local\"\n[backend.local]\ndirectory = \"none\"\n\
         root_key = { file = \"none.key\" }\n[host]\ncloned_host = true\n",
    );
    home.ok(&["--config", "c.toml", "seal", "a", "--sse-c-key-file", "k"]);
    assert!(home.read("a.sealed").starts_with(b"PCSC\x01\x02"), "AES-256-GCM-SIV");
    home.ok(&["open", "a.sealed", "-o", "b", "--sse-c-key-file", "k"]);
    assert_eq!(home.read("b"), b"abc");
    assert!(!home.path("none").exists());
}

#[test]
fn ranges_of_what_is_under_a_customer_key_open_with_it() {
    let home = Home::new();
    key_file(&home, "k", 32, 10);
    let plain = noise(100_000, 11);
    home.write("a", &plain);
    home.ok(&["seal", "a", "-o", "s", "--sse-c-key-file", "k"]);
    let args = ["open", "s", "-o", "-", "--sse-c-key-file", "k", "--range"];
    for (range, expected) in
        [("0-9", 0..10), ("16000-40000", 16_000..40_001), ("-7", 99_993..100_000)]
    {
        let run = home.run(&[&args[..], &[range]].concat());
        assert_eq!(run.code, 0, "{range}: {}", run.stderr);
        assert!(run.stdout == plain[expected], "{range}");
    }
}

#[test]
fn an_edited_beginning_under_a_customer_key_opens_nothing() {
    let home = Home::new();
    key_file(&home, "k", 32, 12);
    home.write("a", "attack at dawn");
    home.ok(&["seal", "a", "-o", "s", "--sse-c-key-file", "k"]);
    let sealed = home.read("s");
    let cases = [
        ("magic", 0, "malformed"),
        ("version", 4, "unknown-format"),
        ("suite", 5, "malformed"),
        ("customer salt", 6, "customer-key-wrong"),
        ("key check", 6 + 32, "customer-key-wrong"),
        ("salt", 6 + 64, "does-not-open"),
        ("commitment", 6 + 64 + 24, "does-not-open"),
        ("chunk", 6 + 64 + 56, "does-not-open"),
    ];
    for (what, at, code) in cases {
        let mut bytes = sealed.clone();
        bytes[at] ^= 0x80;
        home.write("bad", bytes);
        let error = home.fails(8, &["open", "bad", "-o", "out", "--sse-c-key-file", "k"]);
        assert_eq!(error["code"], code, "{what}");
    }
    for len in 0..sealed.len() {
        if len % 7 == 0 {
            home.write("bad", &sealed[..len]);
            home.fails(8, &["open", "bad", "-o", "out", "--sse-c-key-file", "k"]);
        }
    }
    assert_eq!(home.names(), ["a", "bad", "k", "s"]);
}

#[test]
fn audit_records_tell_who_used_a_customer_key_and_nothing_of_it() {
    let home = Home::new();
    home.write("k", "0123456789abcdefPLANTEDPLANTED!!");
    set_mode(&home, "k", 0o600);
    home.write("a", "abc");
    let log = ["--sse-c-key-file", "k", "--log", "trace,rustfs::kms=info", "-q"];
    for (command, name) in [(["seal", "a", "-o", "s"], "seal"), (["open", "s", "-o", "b"], "open")]
    {
        let run = home.run(&[&command[..], &log].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        let uid = rustix::process::getuid().as_raw().to_string();
        let told = |line: &&str| line.contains("rustfs::kms") && line.contains(name);
        let told: Vec<_> = run.stderr.lines().filter(told).collect();
        assert!(!told.is_empty() && told.iter().all(|line| line.contains(&uid)), "{}", run.stderr);
        assert!(!run.stderr.contains("PLANTED"));
    }
}
