//! The program against a Vault configuration file: every `key` command, `seal` and `open`, the
//! policy, the status.

use std::path::PathBuf;
use std::process::Command;

use portcullis::vault::{SecretSource, VaultAuth, VaultConfig, VaultEngine, least_policy};
use serde_json::Value;

use crate::fixture::{self, Server};
use crate::site::BOTH;

/// A directory with a configuration file, an AppRole's secrets and the program.
struct Desk {
    directory: tempfile::TempDir,
    server: &'static Server,
}

struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new(engine: VaultEngine) -> Option<Self> {
        let server = fixture::shared()?;
        let mounts = server.mounts();
        let auth = VaultAuth::Token(SecretSource::Env(String::new()));
        let mut config = VaultConfig::new(vec![server.address()], auth);
        config.kv_mount.clone_from(&mounts.kv);
        config.transit_mount.clone_from(&mounts.transit);
        let (role, secret) = server.approle(&least_policy(engine, &config), "20m");
        let desk = Self { directory: tempfile::tempdir().unwrap(), server };
        desk.secret("role-id", &role);
        desk.secret("secret-id", &secret);
        let text = format!(
            r#"
            [backend]
            kind = "{kind}"
            [backend.vault]
            addresses = ["{address}"]
            kv_mount = "{kv}"
            transit_mount = "{transit}"
            ca_certificate = "{ca}"
            [backend.vault.auth]
            method = "approle"
            role_id_file = "role-id"
            secret_id_file = "secret-id"
            "#,
            kind = engine.name(),
            address = server.address(),
            kv = mounts.kv,
            transit = mounts.transit,
            ca = server.ca.display(),
        );
        std::fs::write(desk.path("portcullis.toml"), text).unwrap();
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).mode(0o600).open(self.path(name)).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn run(&self, args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["--config", "portcullis.toml"])
            .args(args)
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.directory.path())
            // These are for Vault's own tools, and never leak in by the back door.
            .env("VAULT_ADDR", "http://127.0.0.1:1")
            .env("VAULT_TOKEN", "nonsense")
            .env("VAULT_NAMESPACE", "elsewhere")
            .env("VAULT_SKIP_VERIFY", "1")
            .env("https_proxy", "http://127.0.0.1:1")
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {}{}", run.stdout, run.stderr);
        run.stdout
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<_> = ["--json"].iter().chain(args).copied().collect();
        serde_json::from_str(&self.ok(&args)).unwrap()
    }
}

#[test]
fn every_command_works_on_keys_in_vault() {
    for engine in BOTH {
        let Some(desk) = Desk::new(engine) else { return };
        let none = desk.run(&["key", "list"]);
        assert_eq!(none.code, 10, "{}", none.stderr);
        assert!(none.stderr.contains("holds no keystore"), "{}", none.stderr);
        desk.ok(&["keystore", "init"]);
        assert_eq!(desk.run(&["keystore", "init"]).code, 10);

        desk.ok(&["key", "create", "tenant/a", "--description", "for tests", "--tag", "team=x"]);
        assert_eq!(desk.run(&["key", "create", "tenant/a"]).code, 5);
        desk.ok(&["key", "rotate", "tenant/a"]);
        desk.ok(&["key", "retire", "tenant/a", "1"]);
        desk.ok(&["key", "reinstate", "tenant/a", "1"]);
        let versions = desk.json(&["key", "versions", "tenant/a"]);
        assert_eq!(versions["versions"].as_array().unwrap().len(), 2);

        std::fs::write(desk.path("plain"), b"hello").unwrap();
        desk.ok(&["seal", "plain", "--key", "tenant/a", "-c", "who=me"]);
        desk.ok(&["open", "plain.sealed", "-o", "opened", "-c", "who=me"]);
        assert_eq!(std::fs::read(desk.path("opened")).unwrap(), b"hello");
        assert_eq!(desk.run(&["open", "plain.sealed", "-o", "other", "-c", "who=you"]).code, 6);

        desk.ok(&["key", "disable", "tenant/a"]);
        assert_eq!(desk.run(&["open", "plain.sealed", "-o", "other", "-c", "who=me"]).code, 5);
        desk.ok(&["key", "enable", "tenant/a"]);
        desk.ok(&["key", "schedule-deletion", "tenant/a", "--days", "7"]);
        assert_eq!(desk.json(&["key", "describe", "tenant/a"])["key"]["state"], "pending-deletion");
        desk.ok(&["key", "cancel-deletion", "tenant/a"]);
        let listed = desk.json(&["key", "list"]);
        let ids: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|k| &k["id"]).collect();
        assert_eq!(ids, ["default", "tenant/a"]);
    }
}

#[test]
fn the_policy_names_what_is_configured_and_nothing_else() {
    for engine in BOTH {
        let Some(desk) = Desk::new(engine) else { return };
        let policy = desk.ok(&["vault", "policy"]);
        assert!(policy.contains("/data/portcullis/k/+/state"));
        assert_eq!(policy.contains("/encrypt/portcullis-*"), engine == VaultEngine::Transit);
        assert!(!policy.contains("sudo") && !policy.contains("path \"*\""));
        // Vault takes it as it is.
        desk.server.done(
            "PUT",
            "sys/policies/acl/printed",
            &serde_json::json!({ "policy": policy }),
        );
    }
}

#[test]
fn the_status_shows_nodes_login_and_breaker() {
    let Some(desk) = Desk::new(VaultEngine::Kv2) else { return };
    let before = desk.run(&["--json", "status"]);
    assert_eq!(before.code, 10);
    let shown: Value = serde_json::from_str(&before.stdout).unwrap();
    assert_eq!(
        (&shown["running"], &shown["nodes"][0]["health"]),
        (&false.into(), &"active".into())
    );
    desk.ok(&["keystore", "init"]);
    let shown = desk.json(&["status"]);
    assert_eq!((&shown["running"], &shown["keys"]), (&true.into(), &1.into()));
    assert_eq!(shown["vault"]["identity"]["method"], "approle");
    assert_eq!(shown["vault"]["breaker"], "closed");
    let text = desk.ok(&["status"]);
    assert!(text.contains("approle, healthy") && text.contains("ends in 19m"), "{text}");
}
