//! `vault`: what a Vault backend needs, and a store made in it.

use clap::Subcommand;
use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::place::Place;
use super::show::{Show, fields};
use crate::key::KeyId;
use crate::vault::{VaultConfig, VaultEngine, init, least_policy};

/// What can be done about Vault.
#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    /// Print the least policy under which the configured backend works, as a policy file of Vault's
    Policy,
}

#[derive(Serialize)]
struct Policy {
    policy: String,
}

#[derive(Serialize)]
struct Made<'m> {
    backend: &'static str,
    kv_mount: &'m str,
    key_prefix: &'m str,
    default_key: Option<&'m KeyId>,
}

pub(super) fn run(global: &Global, command: &VaultCommand, show: &Show) -> Result<(), Failure> {
    let VaultCommand::Policy = command;
    let (engine, vault) = Place::of(global)?.vault()?;
    let policy = Policy { policy: least_policy(engine, &vault) };
    show.answer(&policy, |out| out.write_all(policy.policy.as_bytes()))
}

/// `keystore init` where the keys are in Vault.
pub(super) async fn make(
    engine: VaultEngine,
    vault: &VaultConfig,
    default_key: Option<&KeyId>,
    show: &Show,
) -> Result<(), Failure> {
    init(engine, vault, default_key).await?;
    let made = Made {
        backend: engine.name(),
        kv_mount: &vault.kv_mount,
        key_prefix: &vault.key_prefix,
        default_key,
    };
    show.answer(&made, |out| {
        let key = made.default_key.map_or_else(|| "none".to_owned(), KeyId::to_string);
        fields(
            out,
            &[
                ("backend", made.backend.to_owned()),
                ("place", format!("{}/{}", made.kv_mount, made.key_prefix)),
                ("default key", key),
            ],
        )
    })
}
