//! Keys as they are shown: objects whose fields never change, and tables.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::show::{fields, printable, table};
use crate::clock::WallTime;
use crate::key::{
    KeyDescription, KeyId, KeyState, KeyVersion, VersionDescription, VersionState, VersionTag,
};

#[derive(Serialize)]
pub(super) struct Key {
    pub(super) id: KeyId,
    description: String,
    tags: BTreeMap<String, String>,
    pub(super) state: &'static str,
    deletion: Option<WallTime>,
    policy: Policy,
    created: WallTime,
    open_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
    pub(super) current_version: KeyVersion,
}

#[derive(Serialize)]
struct Policy {
    allow_decrypt_when_disabled: bool,
    rotate_after: Option<String>,
    rotate_at_uses: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Version {
    version: KeyVersion,
    tag: VersionTag,
    created: WallTime,
    state: &'static str,
    uses_reserved: u64,
    current: bool,
}

impl Key {
    pub(super) fn of(key: &KeyDescription) -> Self {
        let (state, deletion) = match key.state {
            KeyState::Enabled => ("enabled", None),
            KeyState::Disabled => ("disabled", None),
            KeyState::PendingDeletion { at, .. } => ("pending-deletion", Some(at)),
            KeyState::Destroyed => ("destroyed", None),
        };
        let after = key.policy.rotate_after;
        Self {
            id: key.id.clone(),
            description: key.description.clone(),
            tags: key.tags.clone(),
            state,
            deletion,
            policy: Policy {
                allow_decrypt_when_disabled: key.policy.allow_decrypt_when_disabled,
                rotate_after: after.map(|after| humantime::format_duration(after).to_string()),
                rotate_at_uses: key.policy.rotate_at_uses,
            },
            created: key.created,
            open_only: key.open_only,
            damage: key.damage.clone(),
            current_version: key.current_version,
        }
    }
}

impl Version {
    pub(super) fn of(version: &VersionDescription, current: KeyVersion) -> Self {
        let state = match version.state {
            VersionState::Active => "active",
            VersionState::Retired => "retired",
            VersionState::Destroyed => "destroyed",
        };
        Self {
            version: version.version,
            tag: version.tag,
            created: version.created,
            state,
            uses_reserved: version.uses_reserved,
            current: version.version == current,
        }
    }
}

pub(super) fn people_key(out: &mut dyn Write, key: &Key) -> io::Result<()> {
    let never = || "never".to_owned();
    let mut shown = vec![
        ("id", key.id.to_string()),
        ("state", state_of(key)),
        ("version", key.current_version.to_string()),
        ("created", key.created.to_string()),
        ("description", key.description.clone()),
        ("rotate after", key.policy.rotate_after.clone().unwrap_or_else(never)),
        ("rotate at uses", key.policy.rotate_at_uses.map_or_else(never, |uses| uses.to_string())),
        ("opens when disabled", yes_or_no(key.policy.allow_decrypt_when_disabled)),
    ];
    shown.extend(key.damage.iter().map(|damage| ("damage", damage.clone())));
    shown.extend(key.tags.iter().map(|(name, value)| ("tag", format!("{name}={value}"))));
    fields(out, &shown)
}

pub(super) fn people_keys(out: &mut dyn Write, keys: &[Key]) -> io::Result<()> {
    let row = |key: &Key| {
        [
            key.id.to_string(),
            state_of(key),
            key.current_version.to_string(),
            key.created.to_string(),
            printable(&key.description),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    table(out, ["ID", "STATE", "VERSION", "CREATED", "DESCRIPTION"], &rows)
}

pub(super) fn people_versions(out: &mut dyn Write, versions: &[Version]) -> io::Result<()> {
    let row = |version: &Version| {
        let current = if version.current { ", current" } else { "" };
        [
            version.version.to_string(),
            format!("{}{current}", version.state),
            version.created.to_string(),
            version.uses_reserved.to_string(),
            version.tag.to_string(),
        ]
    };
    let rows: Vec<_> = versions.iter().map(row).collect();
    table(out, ["VERSION", "STATE", "CREATED", "USES RESERVED", "TAG"], &rows)
}

fn state_of(key: &Key) -> String {
    if key.damage.is_some() {
        return "damaged".to_owned();
    }
    let open_only = if key.open_only { ", open-only until rotated" } else { "" };
    match key.deletion {
        Some(at) => format!("deleted at {at}{open_only}"),
        None => format!("{}{open_only}", key.state),
    }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
