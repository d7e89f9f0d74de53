use proptest::prelude::*;

use super::*;

const WHOLE: &str = r#"
profile = "production"
default_key = "photos"

[backend]
kind = "local"

[backend.local]
directory = "keys"
root_key = { file = "root.key" }
anchor = { file = "/other/disk/mark" }

[audit]
release = "durable"

[host]
cloned_host = true

[objects]
threads = 3
"#;

fn problems(text: &str) -> Vec<String> {
    let errors = Config::from_toml(text, Path::new("/etc/portcullis")).unwrap_err();
    errors.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_file_is_read_and_its_paths_are_relative_to_it() {
    let config = Config::from_toml(WHOLE, Path::new("/etc/portcullis")).unwrap();
    assert_eq!(config.default_key.unwrap().as_str(), "photos");
    assert_eq!(config.audit.release, Release::Durable);
    assert!(config.host.cloned_host);
    assert_eq!(config.objects.threads, Some(3));
    let BackendConfig::Local(local) = config.backend else { panic!("another backend") };
    assert_eq!(local.directory, Path::new("/etc/portcullis/keys"));
    let root = format!("{:?}", local.root_key);
    assert_eq!(root, "File(/etc/portcullis/root.key)");
    assert!(matches!(local.anchor, Anchor::File(path) if path == Path::new("/other/disk/mark")));
}

#[test]
fn every_field_but_the_backends_has_a_default() {
    let text = "[backend]\nkind = \"static\"\n[backend.static]\nkey = \"one\"\n\
                source = { env = \"KEY\" }\n";
    let config = Config::from_toml(text, Path::new("")).unwrap();
    assert_eq!(config.profile, Profile::Production);
    assert_eq!(config.audit.release, Release::Accepted);
    assert_eq!(config.default_key.unwrap().as_str(), "one");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line() {
    let text = "profil = \"production\"\n\
                [backend]\n\
                kind = \"local\"\n\
                [backend.local]\n\
                directory = 7\n\
                root_key = { file = \"a\", env = \"b\" }\n\
                anchor = \"here\"\n\
                [audit]\n\
                release = \"never\"\n\
                [host]\n\
                cloned_host = \"yes\"\n\
                [objects]\n\
                threads = 257\n";
    let expected = [
        "line 1: profil: is not a field; did you mean `profile`?",
        "line 5: backend.local.directory: is an integer, not a string",
        "line 6: backend.local.root_key: takes exactly one of { file = \"..\" } or { env = \"..\" } \
         or { passphrase_env = \"..\" } or { credential = \"..\" }",
        "line 7: backend.local.anchor: is not written out here, but where it comes from: \
         { file = \"..\" }",
        "line 9: audit.release: is not one of `accepted`, `durable`, `unaudited`",
        "line 11: host.cloned_host: is a string, not true or false",
        "line 13: objects.threads: is not a number from 0 to 256",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn guideline_s1_a_secret_written_out_is_refused_with_its_line_and_not_repeated() {
    let secret = "hvs.CAESIJ-planted-secret";
    for text in [
        format!(
            "[backend]\nkind = \"local\"\n[backend.local]\ndirectory = \"d\"\nroot_key = \"{secret}\""
        ),
        format!("[backend]\nkind = \"local\"\nvault_token = \"{secret}\""),
        format!("[backend]\nkind = \"local\"\n[backend.local]\nroot_passphrase = \"{secret}\""),
        format!("root_key = \"{secret}\"\nroot_key = 1"),
        format!("[backend]\nkind = \"{secret}\""),
        format!("default_key = \"{secret}!\""),
        format!("profile = {secret}"),
    ] {
        let problems = problems(&text);
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| !problem.contains(secret)), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("line ")), "{problems:?}");
    }
}

#[cfg(feature = "vault")]
#[test]
fn a_vault_is_read_whole_and_everything_wrong_with_one_is_told() {
    let whole = "profile = \"production\"\n[backend]\nkind = \"vault-kv2\"\n[backend.vault]\n\
                 addresses = [\"https://a:8200\", \"https://b:8200\"]\nstate_refresh = \"2s\"\n\
                 ca_certificate = \"ca.pem\"\nmax_in_flight = 7\n[backend.vault.auth]\n\
                 method = \"approle\"\nrole_id_file = \"role\"\nsecret_id_env = \"SECRET\"\n";
    let config = Config::from_toml(whole, Path::new("/etc")).unwrap();
    let BackendConfig::VaultKv2(vault) = config.backend else { panic!("another backend") };
    assert_eq!((vault.addresses.len(), vault.max_in_flight), (2, 7));
    assert_eq!(vault.state_refresh, core::time::Duration::from_secs(2));
    assert_eq!(vault.ca_certificate.as_deref(), Some(Path::new("/etc/ca.pem")));
    for (good, bad, told) in [
        ("\"2s\"", "\"soon\"", "state_refresh: is not a time"),
        ("= 7", "= 0", "max_in_flight: is not between"),
        ("https://a:8200", "http://a:8200", "addresses: names a plain HTTP address"),
        ("https://a:8200", "https://a:8200/v1", "addresses: names more than"),
        ("max_in_flight = 7", "skip_tls_verify = true", "in the development profile only"),
        ("max_in_flight = 7", "token = \"s.1234\"", "a secret is never written into this file"),
        ("max_in_flight = 7", "key_prefix = \"../x\"", "key_prefix: is not"),
        ("role_id_file", "secret_id_file", "takes exactly one of"),
        ("\"approle\"", "\"ldap\"", "is not one of `token`"),
    ] {
        let text = whole.replace(good, bad);
        assert_ne!(text, whole);
        let problems = problems(&text);
        assert!(problems.iter().any(|problem| problem.contains(told)), "{bad}: {problems:?}");
        assert!(!problems.iter().any(|problem| problem.contains("s.1234")));
    }
}

#[test]
fn what_this_release_has_not_is_said_plainly() {
    let told = problems("[backend]\nkind = \"kmip\"\n");
    let kinds = "`local`, `static`, `vault-kv2` or `vault-transit`";
    assert_eq!(told, [format!("line 2: backend.kind: is not a backend: use {kinds}")]);
    assert_eq!(problems(""), [format!("backend: is missing: name a kind, {kinds}")]);
}

#[test]
fn the_production_profile_refuses_to_run_unaudited() {
    let unaudited = WHOLE.replace("durable", "unaudited");
    assert!(problems(&unaudited).iter().any(|problem| problem.starts_with("audit.release")));
    let development = unaudited.replace("\"production\"", "\"development\"");
    assert!(Config::from_toml(&development, Path::new("")).is_ok());
}

#[test]
fn a_file_that_is_missing_or_too_large_is_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("portcullis.toml");
    let missing = Config::from_file(&path).unwrap_err().to_string();
    assert!(missing.contains("portcullis.toml") && missing.contains("is missing"), "{missing}");
    std::fs::write(&path, "#".repeat(CONFIG_BYTES_MAX + 1)).unwrap();
    assert!(Config::from_file(&path).unwrap_err().to_string().contains("larger"));
    std::fs::write(&path, WHOLE).unwrap();
    let config = Config::from_file(&path).unwrap();
    let BackendConfig::Local(local) = config.backend else { panic!("another backend") };
    assert_eq!(local.directory, directory.path().join("keys"));
    std::fs::write(&path, "profile = 1").unwrap();
    let wrong = Config::from_file(&path).unwrap_err().to_string();
    assert!(wrong.contains("portcullis.toml"), "{wrong}");
}

#[test]
fn names_are_compared_by_the_changes_between_them() {
    assert_eq!(distance("profile", "profile"), 0);
    assert_eq!(distance("profile", "profil"), 1);
    assert_eq!(distance("kind", "knid"), 2);
    assert_eq!(distance("", "abc"), 3);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = Config::from_toml(&text, Path::new(""));
    }

    #[test]
    fn no_change_of_a_good_file_panics(
        at in any::<prop::sample::Index>(), with in "[\\[\\]{}=\"'.#\\n a-z0-9]{0,4}",
    ) {
        let at = at.index(WHOLE.len());
        if WHOLE.is_char_boundary(at) {
            let text = format!("{}{with}{}", &WHOLE[..at], &WHOLE[at..]);
            let _ = Config::from_toml(&text, Path::new(""));
        }
    }
}
