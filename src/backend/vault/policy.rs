//! The least that a policy must allow.

use core::fmt::Write;

use super::VaultEngine;
use super::config::VaultConfig;

/// The least policy under which an engine works with `config`, as a policy file of Vault's, with the
/// reason of each rule.
///
/// It lets a key be used, made, changed and destroyed, and a store be made; nothing outside mounts
/// and prefix. Where deletions are another's work, leave out the rules that say so.
#[must_use]
pub fn least_policy(engine: VaultEngine, config: &VaultConfig) -> String {
    let (kv, prefix) = (&config.kv_mount, &config.key_prefix);
    let mut policy = Policy(String::new());
    policy.say("Portcullis: the least policy for this configuration.");
    policy.rule("what the mount does by itself", &format!("{kv}/config"), &["read"]);
    policy.rule(
        "the mark of the store; `create` for `portcullis keystore init` alone",
        &format!("{kv}/data/{prefix}/store"),
        &["create", "read"],
    );
    policy.rule("which keys there are", &format!("{kv}/metadata/{prefix}/k"), &["list"]);
    policy.rule("the same", &format!("{kv}/metadata/{prefix}/k/"), &["list"]);
    let states = ["create", "read", "update"];
    policy.rule(
        "states of keys, by compare-and-set",
        &format!("{kv}/data/{prefix}/k/+/state"),
        &states,
    );
    policy.rule(
        "use counts, by compare-and-set",
        &format!("{kv}/data/{prefix}/k/+/use/+"),
        &states,
    );
    match engine {
        VaultEngine::Kv2 => policy.material(kv, prefix),
        VaultEngine::Transit => policy.transit(&config.transit_mount, prefix),
    }
    policy.rule("tells a revoked token from a forbidden path", "auth/token/lookup-self", &["read"]);
    policy.rule("lives on", "auth/token/renew-self", &["update"]);
    policy.rule("ends its own token", "auth/token/revoke-self", &["update"]);
    policy.0
}

struct Policy(String);

impl Policy {
    fn say(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {text}");
    }

    fn rule(&mut self, why: &str, path: &str, capabilities: &[&str]) {
        let quoted: Vec<_> = capabilities.iter().map(|it| format!("\"{it}\"")).collect();
        let capabilities = quoted.join(", ");
        let _ = writeln!(self.0, "\n# {why}");
        let _ = writeln!(self.0, "path \"{path}\" {{\n  capabilities = [{capabilities}]\n}}");
    }

    fn material(&mut self, kv: &str, prefix: &str) {
        self.rule(
            "material: written once, never over",
            &format!("{kv}/data/{prefix}/k/+/v/+"),
            &["create", "read"],
        );
        self.rule(
            "destroys material: for deletions and destroyed versions",
            &format!("{kv}/destroy/{prefix}/k/+/v/+"),
            &["update"],
        );
    }

    fn transit(&mut self, mount: &str, prefix: &str) {
        let name = format!("{}-*", prefix.replace('/', "-"));
        // `update` alone: with `create`, encrypting under a missing name makes a key.
        for (why, operation) in [
            ("wraps data keys; never `create`, which would make keys", "encrypt"),
            ("unwraps data keys", "decrypt"),
            ("moves data keys to a key's newest version", "rewrap"),
            ("authenticates states of keys", "hmac"),
            ("verifies states of keys", "verify"),
        ] {
            self.rule(why, &format!("{mount}/{operation}/{name}"), &["update"]);
        }
        self.rule(
            "keys and their versions; `delete` for deletions",
            &format!("{mount}/keys/{name}"),
            &["create", "read", "update", "delete"],
        );
    }
}
