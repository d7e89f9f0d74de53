//! `key`: master keys.

mod shown;

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Serialize;

use self::shown::{Key, Version, people_key, people_keys, people_versions};
use super::args::{Global, Pair};
use super::failure::Failure;
use super::place::Place;
use super::session::Session;
use super::show::{Show, printable};
use crate::actors::backend::MutationReport;
use crate::config::BackendConfig;
use crate::key::{ConfirmedVersion, KeyDescription, KeyId, KeyPolicy, KeyVersion, Mutation};
use crate::limits::PAGE_KEYS_MAX;

/// What can be done with master keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key
    Create {
        /// 1 to 128 of `A-Z a-z 0-9 . _ / -`
        id: String,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// A name and a value attached to it, as often as need be
        #[arg(long = "tag", value_name = "NAME=VALUE")]
        tags: Vec<Pair>,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// List keys by id, destroyed ones too
    List {
        /// Begin after this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// Show one key
    Describe {
        /// Which key
        id: String,
    },
    /// Make a new version, which seals from now on; older ones go on opening
    Rotate {
        /// Which key
        id: String,
    },
    /// Show a key's versions
    Versions {
        /// Which key
        id: String,
    },
    /// Let an old version open nothing until it is reinstated
    Retire {
        /// Which key
        id: String,
        /// Which version; not the current one
        version: u32,
    },
    /// Let a retired version open again
    Reinstate {
        /// Which key
        id: String,
        /// Which version
        version: u32,
    },
    /// Erase one version for ever: what was sealed under it is lost
    DestroyVersion {
        /// Which key
        id: String,
        /// Which version; not the current one
        version: u32,
        /// The version again
        #[arg(long, value_name = "VERSION")]
        confirm: u32,
    },
    /// Let a disabled key seal and open again
    Enable {
        /// Which key
        id: String,
    },
    /// Let a key seal nothing, and open nothing unless its policy says so
    Disable {
        /// Which key
        id: String,
    },
    /// Destroy a key after some days; until then it can be cancelled
    ScheduleDeletion {
        /// Which key
        id: String,
        /// 7 to 30
        #[arg(long)]
        days: u32,
    },
    /// Keep a key that was to be destroyed, in the state that it had before
    CancelDeletion {
        /// Which key
        id: String,
    },
    /// Attach names and values to a key, replacing values of names that are there
    Tag {
        /// Which key
        id: String,
        /// Names and values
        #[arg(required = true, value_name = "NAME=VALUE")]
        tags: Vec<Pair>,
    },
    /// Remove tags from a key
    Untag {
        /// Which key
        id: String,
        /// Names of tags
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Say what a key is for
    SetDescription {
        /// Which key
        id: String,
        /// The new description, at most 8192 bytes
        description: String,
    },
    /// Change a key's settings; those that are not named stay
    #[command(arg_required_else_help = true)]
    SetPolicy {
        /// Which key
        id: String,
        #[command(flatten)]
        policy: PolicyArgs,
    },
}

/// Settings of a key that are to be changed.
#[derive(clap::Args, Debug)]
pub(super) struct PolicyArgs {
    /// Rotate once the current version is this old, such as `90days`, or `never`
    #[arg(long, value_name = "DURATION")]
    rotate_after: Option<OrNever<humantime::Duration>>,
    /// Rotate once the current version has been used this often, at most 2^32, or `never`
    #[arg(long, value_name = "COUNT")]
    rotate_at_uses: Option<OrNever<u64>>,
    /// Whether the key still opens while it is disabled
    #[arg(long, value_name = "BOOL")]
    allow_decrypt_when_disabled: Option<bool>,
}

impl PolicyArgs {
    fn is_empty(&self) -> bool {
        self.rotate_after.is_none()
            && self.rotate_at_uses.is_none()
            && self.allow_decrypt_when_disabled.is_none()
    }

    fn over(&self, mut policy: KeyPolicy) -> KeyPolicy {
        if let Some(OrNever(after)) = self.rotate_after {
            policy.rotate_after = after.map(Into::into);
        }
        if let Some(OrNever(uses)) = self.rotate_at_uses {
            policy.rotate_at_uses = uses;
        }
        if let Some(allow) = self.allow_decrypt_when_disabled {
            policy.allow_decrypt_when_disabled = allow;
        }
        policy
    }
}

/// A value, or the word `never`.
#[derive(Clone, Copy, Debug)]
struct OrNever<T>(Option<T>);

impl<T: core::str::FromStr> core::str::FromStr for OrNever<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self(None)),
            text => text.parse().map(Some).map(Self),
        }
    }
}

#[derive(Serialize)]
struct Changed {
    key: Key,
    changed: bool,
    audited: bool,
}

#[derive(Serialize)]
struct Described {
    key: Key,
    /// How soon other engines follow a change, where several can have the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_refresh: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    keys: Vec<Key>,
    next: Option<KeyId>,
}

#[derive(Serialize)]
struct Versions {
    versions: Vec<Version>,
}

pub(super) async fn run(global: &Global, command: KeyCommand, show: &Show) -> Result<(), Failure> {
    match command {
        KeyCommand::List { after, limit } => list(global, after, limit, show).await,
        command => one(global, command, show).await,
    }
}

/// What is about one key.
async fn one(global: &Global, command: KeyCommand, show: &Show) -> Result<(), Failure> {
    let id = command.id().ok_or(crate::Error::Unreachable("the command names no key"))?;
    let id = KeyId::new(id)?;
    match command {
        KeyCommand::Describe { .. } => {
            let session = Session::start(global, show).await?;
            let key = session.kms.describe_key(&id).await?;
            session.end().await?;
            let state_refresh = state_refresh(&Place::of(global)?.config()?.backend);
            let described = Described { key: Key::of(&key), state_refresh };
            let refresh = described.state_refresh.as_deref();
            show.answer(&described, |out| people_key(out, &described.key, refresh))
        }
        KeyCommand::Versions { .. } => {
            let session = Session::start(global, show).await?;
            let key = session.kms.describe_key(&id).await?;
            let versions = session.kms.describe_key_versions(&id).await?;
            session.end().await?;
            let of = |version| Version::of(version, key.current_version);
            let versions = Versions { versions: versions.iter().map(of).collect() };
            show.answer(&versions, |out| people_versions(out, &versions.versions))
        }
        KeyCommand::SetPolicy { policy, .. } => {
            if policy.is_empty() {
                return Err(Failure::usage("there is nothing to change: name a setting"));
            }
            let session = Session::start(global, show).await?;
            let old = session.kms.describe_key(&id).await?.policy;
            change(session, &id, Mutation::SetPolicy(policy.over(old)), show).await
        }
        command => {
            let mutation = mutation(command)?;
            let session = Session::start(global, show).await?;
            change(session, &id, mutation, show).await
        }
    }
}

impl KeyCommand {
    /// The key that it is about, if it is about one.
    fn id(&self) -> Option<&str> {
        match self {
            Self::List { .. } => None,
            Self::CancelDeletion { id }
            | Self::Create { id, .. }
            | Self::Describe { id }
            | Self::DestroyVersion { id, .. }
            | Self::Disable { id }
            | Self::Enable { id }
            | Self::Reinstate { id, .. }
            | Self::Retire { id, .. }
            | Self::Rotate { id }
            | Self::ScheduleDeletion { id, .. }
            | Self::SetDescription { id, .. }
            | Self::SetPolicy { id, .. }
            | Self::Tag { id, .. }
            | Self::Untag { id, .. }
            | Self::Versions { id } => Some(id),
        }
    }
}

fn state_refresh(backend: &BackendConfig) -> Option<String> {
    match backend {
        BackendConfig::VaultKv2(vault) | BackendConfig::VaultTransit(vault) => {
            Some(humantime::format_duration(vault.state_refresh).to_string())
        }
        BackendConfig::Local(_) | BackendConfig::Static(_) => None,
    }
}

/// The change that a command asks for.
fn mutation(command: KeyCommand) -> Result<Mutation, Failure> {
    Ok(match command {
        KeyCommand::Create { description, tags, policy, .. } => {
            let policy = policy.over(KeyPolicy::new());
            Mutation::Create { description, tags: tag_map(&tags)?, policy }
        }
        KeyCommand::Rotate { .. } => Mutation::Rotate,
        KeyCommand::Retire { version, .. } => Mutation::Retire(number(version)?),
        KeyCommand::Reinstate { version, .. } => Mutation::Reinstate(number(version)?),
        KeyCommand::DestroyVersion { version, confirm, .. } => {
            let confirmed = ConfirmedVersion::new(number(version)?, number(confirm)?);
            Mutation::DestroyVersion(confirmed.ok_or_else(|| {
                Failure::usage("--confirm names another version: nothing was erased")
            })?)
        }
        KeyCommand::Enable { .. } => Mutation::Enable,
        KeyCommand::Disable { .. } => Mutation::Disable,
        KeyCommand::ScheduleDeletion { days, .. } => Mutation::ScheduleDeletion { days },
        KeyCommand::CancelDeletion { .. } => Mutation::CancelDeletion,
        KeyCommand::Tag { tags, .. } => Mutation::Tag(tag_map(&tags)?),
        KeyCommand::Untag { names, .. } => Mutation::Untag(names),
        KeyCommand::SetDescription { description, .. } => Mutation::SetDescription(description),
        KeyCommand::SetPolicy { .. }
        | KeyCommand::List { .. }
        | KeyCommand::Describe { .. }
        | KeyCommand::Versions { .. } => {
            return Err(crate::Error::Unreachable("it is no change by itself").into());
        }
    })
}

fn number(version: u32) -> Result<KeyVersion, Failure> {
    KeyVersion::new(version).ok_or_else(|| Failure::usage("versions are numbered from 1"))
}

fn tag_map(pairs: &[Pair]) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair.split()?;
        if tags.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage("a tag is named twice"));
        }
    }
    Ok(tags)
}

async fn change(
    session: Session,
    id: &KeyId,
    mutation: Mutation,
    show: &Show,
) -> Result<(), Failure> {
    let name = mutation.name();
    let MutationReport { key, changed, audited, .. } = session.kms.change_key(id, mutation).await?;
    session.end().await?;
    let report = Changed { key: Key::of(&key), changed, audited };
    show.answer(&report, |out| {
        let key = &report.key;
        let done = if changed { name } else { "unchanged" };
        writeln!(out, "{}: {done} ({}, version {})", key.id, key.state, key.current_version)
    })?;
    if !audited {
        show.note("the audit sink is down: the change was made, and its record follows");
    }
    Ok(())
}

async fn list(
    global: &Global,
    after: Option<String>,
    limit: Option<usize>,
    show: &Show,
) -> Result<(), Failure> {
    let after = after.as_deref().map(KeyId::new).transpose()?;
    let limit = limit.unwrap_or(usize::MAX);
    let session = Session::start(global, show).await?;
    let mut keys = Vec::<KeyDescription>::new();
    let mut next = after;
    loop {
        let wanted = limit.saturating_sub(keys.len()).min(PAGE_KEYS_MAX);
        if wanted == 0 {
            break;
        }
        let page = session.kms.list_keys(next.as_ref(), wanted).await?;
        keys.extend(page.keys);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    session.end().await?;
    let listed = Listed { keys: keys.iter().map(Key::of).collect(), next };
    show.answer(&listed, |out| people_keys(out, &listed.keys))?;
    if let Some(next) = &listed.next {
        show.note(&format!("there are more: --after {}", printable(next.as_str())));
    }
    Ok(())
}
