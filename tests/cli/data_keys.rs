use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::Home;

#[test]
fn a_data_key_is_printed_only_where_it_is_asked_for() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    let wrapped = home.ok(&["data-key", "generate", "-c", "a=b"]);
    let wrapped = wrapped.trim_end();
    assert!(!wrapped.contains(char::is_whitespace));
    let object = home.json(&["data-key", "decrypt", wrapped, "-c", "a=b"]);
    let expected = serde_json::json!({ "key": "default", "key_version": 1, "bytes": 32 });
    assert_eq!(object, expected);
    assert!(home.ok(&["data-key", "decrypt", wrapped, "-c", "a=b"]).contains("opens"));
    let plain = home.ok(&["data-key", "decrypt", wrapped, "-c", "a=b", "--plaintext"]);
    assert_eq!(STANDARD.decode(plain.trim_end()).unwrap().len(), 32);

    let made = home.json(&["data-key", "generate", "--bytes", "64", "--plaintext"]);
    let plaintext = made["plaintext"].as_str().unwrap();
    assert_eq!(STANDARD.decode(plaintext).unwrap().len(), 64);
    let args = ["data-key", "decrypt", made["wrapped"].as_str().unwrap(), "--plaintext"];
    assert_eq!(home.json(&args)["plaintext"], plaintext);
    let from_stdin = home.run_with(
        &["data-key", "decrypt", "-", "--plaintext"],
        format!("{}\n", args[2]).as_bytes(),
    );
    assert_eq!(String::from_utf8(from_stdin.stdout).unwrap().trim_end(), plaintext);
    let without = home.json(&["data-key", "generate", "--bytes", "16"]);
    assert!(without.get("plaintext").is_none());
    home.fails(2, &["data-key", "generate", "--bytes", "15"]);
    home.fails(2, &["data-key", "generate", "--bytes", "65"]);
}

#[test]
fn a_rewrap_follows_a_rotation_and_keeps_the_key() {
    let home = Home::new();
    home.ok(&["key", "create", "k", "-q"]);
    let made = home.json(&["data-key", "generate", "-k", "k", "--plaintext", "-c", "a=b"]);
    let wrapped = made["wrapped"].as_str().unwrap();
    let same = home.json(&["data-key", "rewrap", wrapped, "-c", "a=b"]);
    assert_eq!((&same["wrapped"], &same["changed"]), (&made["wrapped"], &false.into()));
    home.ok(&["key", "rotate", "k"]);
    let new = home.json(&["data-key", "rewrap", wrapped, "-c", "a=b"]);
    assert_eq!((&new["key_version"], &new["changed"]), (&2.into(), &true.into()));
    let args =
        ["data-key", "decrypt", new["wrapped"].as_str().unwrap(), "-c", "a=b", "--plaintext"];
    assert_eq!(home.json(&args)["plaintext"], made["plaintext"]);
    assert_eq!(home.fails(6, &["data-key", "rewrap", wrapped])["code"], "does-not-open");
}

#[test]
fn what_is_no_wrapped_key_is_refused_by_what_is_wrong_with_it() {
    let home = Home::new();
    let wrapped = home.ok(&["data-key", "generate", "-q"]);
    let bytes = STANDARD.decode(wrapped.trim_end()).unwrap();
    let case = |bytes: &[u8]| {
        home.fails(6, &["data-key", "decrypt", &STANDARD.encode(bytes)])["code"].clone()
    };
    assert_eq!(home.fails(6, &["data-key", "decrypt", "no base64!"])["code"], "malformed");
    assert_eq!(home.fails(6, &["data-key", "decrypt", &"A".repeat(100_000)])["code"], "malformed");
    assert_eq!(case(&bytes[..bytes.len() - 1]), "malformed");
    assert_eq!(case(&[&bytes[..], &[0]].concat()), "malformed");
    let mut edited = bytes;
    *edited.last_mut().unwrap() ^= 1;
    assert_eq!(case(&edited), "does-not-open");
    let other = Home::new();
    other.ok(&["key", "list", "-q"]);
    let error = other.fails(6, &["data-key", "decrypt", wrapped.trim_end()]);
    assert_eq!(error["code"], "unknown-key-version");
}
