//! `status`: whether the configured backend opens, and how Vault is where the keys are there.
//!
//! An engine is embedded in its host, so this one is another: it opens the same keys with the same
//! configuration and the same identity, says how that went, and stops.

use std::io;
use std::io::Write;

use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::place::Place;
use super::session::Session;
use super::show::{Show, fields};
use crate::config::BackendConfig;
use crate::status::{Status, VaultStatus};
use crate::vault::{NodeHealth, health};

/// One address, and how what answers there is.
#[derive(Serialize)]
struct Node {
    address: String,
    health: NodeHealth,
}

#[derive(Serialize)]
struct Shown {
    backend: Option<&'static str>,
    running: bool,
    keys: u64,
    default_key: Option<String>,
    nodes: Vec<Node>,
    vault: Option<VaultStatus>,
}

pub(super) async fn run(global: &Global, show: &Show) -> Result<(), Failure> {
    // The nodes first: they are worth seeing most where nothing opens.
    let nodes = match Place::of(global)?.config()?.backend {
        BackendConfig::VaultKv2(vault) | BackendConfig::VaultTransit(vault) => {
            let health = health(&vault).await?;
            let nodes = vault.addresses.iter().cloned().zip(health);
            nodes.map(|(address, health)| Node { address, health }).collect()
        }
        BackendConfig::Local(_) | BackendConfig::Static(_) => Vec::new(),
    };
    let (status, failure) = match Session::start(global, show).await {
        Ok(session) => {
            let status = session.kms.status();
            (Some(status), session.end().await.err())
        }
        Err(failure) => (None, Some(failure)),
    };
    answer(nodes, status, show)?;
    failure.map_or(Ok(()), Err)
}

fn answer(nodes: Vec<Node>, status: Option<Status>, show: &Show) -> Result<(), Failure> {
    let shown = Shown {
        backend: status.as_ref().and_then(|status| status.backend).map(|backend| backend.name()),
        running: status.is_some(),
        keys: status.as_ref().map_or(0, |status| status.keys),
        default_key: status
            .as_ref()
            .and_then(|status| status.default_key.as_ref())
            .map(ToString::to_string),
        nodes,
        vault: status.and_then(|status| status.vault),
    };
    show.answer(&shown, |out| people(&shown, out))
}

fn people(shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = vec![
        ("backend", shown.backend.unwrap_or("does not open").to_owned()),
        ("keys", shown.keys.to_string()),
        ("default key", shown.default_key.clone().unwrap_or_else(|| "none".to_owned())),
    ];
    for node in &shown.nodes {
        lines.push(("node", format!("{}  {}", node.address, word(&node.health))));
    }
    if let Some(vault) = &shown.vault {
        let identity = &vault.identity;
        let ends = identity.lock_out_in.map_or_else(
            || "does not end".to_owned(),
            |left| format!("ends in {}", humantime::format_duration(whole_seconds(left))),
        );
        lines.push(("login", format!("{}, {}", identity.method, word(&identity.health))));
        lines.push(("token", ends));
        if let Some(warning) = &identity.warning {
            lines.push(("warning", word(warning)));
        }
        lines.push(("breaker", word(&vault.breaker)));
        lines.push(("requests", vault.in_flight.to_string()));
    }
    fields(out, &lines)
}

fn whole_seconds(time: core::time::Duration) -> core::time::Duration {
    core::time::Duration::from_secs(time.as_secs())
}

/// The word that programs read for it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        Ok(value) => value.to_string(),
        Err(_) => String::new(),
    }
}
