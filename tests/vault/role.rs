//! An AppRole of a test's own, under a mount of its own, so that its logins can be counted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use portcullis::vault::{AppRole, SecretId, SecretSource, VaultAuth, VaultEngine, least_policy};
use serde_json::{Value, json};

use crate::fixture::{Server, text};
use crate::site::Site;

pub struct Role {
    server: &'static Server,
    pub mount: String,
    secret_file: PathBuf,
    role_file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Role {
    /// A role for `site` with `settings` beside its policies, and a secret id of it in a file.
    pub fn new(site: &Site, policy: &str, settings: &Value, secret_id: &Value) -> Self {
        let server = site.server;
        let mount = format!("approle-{}", site.mounts.kv);
        server.done("POST", &format!("sys/auth/{mount}"), &json!({ "type": "approle" }));
        let policy = format!(
            "{policy}\npath \"auth/{mount}/role/engine/secret-id/lookup\" {{ capabilities = [\"update\"] }}"
        );
        server.done("PUT", &format!("sys/policies/acl/{mount}"), &json!({ "policy": policy }));
        let mut role = json!({ "token_policies": [mount], "token_no_default_policy": true });
        role.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        server.done("POST", &format!("auth/{mount}/role/engine"), &role);
        let (_, role_id) = server.call("GET", &format!("auth/{mount}/role/engine/role-id"), None);
        let directory = tempfile::tempdir().unwrap();
        let role = Self {
            server,
            mount,
            secret_file: directory.path().join("secret-id"),
            role_file: directory.path().join("role-id"),
            _directory: directory,
        };
        write(&role.role_file, &text(&role_id["data"]["role_id"]));
        role.deliver(secret_id);
        role
    }

    /// A role under the least policy, whose tokens live for `ttl`.
    pub fn least(site: &Site, ttl: &str) -> Self {
        let policy = least_policy(site.engine, &site.config);
        Self::new(site, &policy, &json!({ "token_ttl": ttl }), &json!({}))
    }

    /// Puts a new secret id into the file.
    pub fn deliver(&self, settings: &Value) {
        let path = format!("auth/{}/role/engine/secret-id", self.mount);
        let made = self.server.done("POST", &path, settings);
        write(&self.secret_file, &text(&made["data"]["secret_id"]));
    }

    /// Puts a token that wraps a new secret id into the file.
    pub fn deliver_wrapped(&self, settings: &Value) {
        let path = format!("auth/{}/role/engine/secret-id", self.mount);
        self.put(&wrapped(self.server, &path, settings));
    }

    /// Puts `text` into the file of the secret id.
    pub fn put(&self, text: &str) {
        write(&self.secret_file, text);
    }

    pub fn auth(&self) -> VaultAuth {
        self.with(SecretId::Plain(SecretSource::File(self.secret_file.clone())))
    }

    pub fn auth_wrapped(&self) -> VaultAuth {
        self.with(SecretId::Wrapped(SecretSource::File(self.secret_file.clone())))
    }

    fn with(&self, secret_id: SecretId) -> VaultAuth {
        let mut role = AppRole::new(SecretSource::File(self.role_file.clone()), secret_id);
        role.mount.clone_from(&self.mount);
        role.role_name = Some("engine".to_owned());
        VaultAuth::AppRole(role)
    }

    /// Logins that Vault has seen.
    pub fn logins(&self) -> usize {
        self.server.audited(&format!("auth/{}/login", self.mount)).len()
    }

    /// Revokes every token of the role.
    pub fn revoke_all(&self) {
        let path = format!("sys/leases/revoke-prefix/auth/{}", self.mount);
        self.server.done("PUT", &path, &json!({}));
    }
}

/// A token that wraps what Vault answers to a post. The client of the fixture puts its token into a
/// header, and so may put another one behind it.
pub fn wrapped(server: &Server, path: &str, settings: &Value) -> String {
    let token = format!("{}\r\nX-Vault-Wrap-TTL: 120s", server.root);
    let (status, answer) = server.call_as(&token, "POST", path, Some(settings));
    assert_eq!(status, 200, "{answer}");
    text(&answer["wrap_info"]["token"])
}

/// The least policy, with every `capabilities` of the Transit operation `operation` denied.
pub fn denying(site: &Site, operation: &str) -> String {
    assert_eq!(site.engine, VaultEngine::Transit);
    let policy = least_policy(site.engine, &site.config);
    let path = format!("path \"{}/{operation}/", site.mounts.transit);
    let at = policy.find(&path).expect("a rule for the operation");
    let (before, rule) = policy.split_at(at);
    let denied = rule.replacen("[\"update\"]", "[\"deny\"]", 1);
    assert_ne!(rule, denied);
    format!("{before}{denied}")
}

fn write(path: &PathBuf, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(next, path).unwrap();
}
