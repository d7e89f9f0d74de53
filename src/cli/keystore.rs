//! `keystore`: what is done to a keystore as a whole.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};
use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::patience::Patience;
use super::place::Place;
use super::setup;
use super::show::{Show, fields};
use super::vault;
use crate::clock::{Clock, SystemClock, WallTime};
use crate::config::DEFAULT_KEY;
use crate::error::{KeystoreError, KeystoreProblem};
use crate::key::KeyId;
use crate::keystore::{
    InitOptions, KeystoreId, KeystoreInfo, LocalConfig, RootKey, accept_rollback, change_root_key,
    create_root_key_file, init, inspect, set_anchor,
};

/// What can be done with a keystore.
#[derive(Debug, Subcommand)]
pub(super) enum KeystoreCommand {
    /// Make a keystore, its default key, and its root key file if there is none
    Init {
        /// The id of the key to make with it
        #[arg(long, value_name = "ID", default_value = DEFAULT_KEY)]
        default_key: String,
        /// Make no key
        #[arg(long, conflicts_with = "default_key")]
        no_default_key: bool,
    },
    /// Show what a keystore says of itself, after every file in it was verified
    Info,
    /// Accept a restored backup or an older copy as it is: its keys only open until they are rotated
    AcceptRollback,
    /// Begin to keep the mark of a keystore that has none, in the file of --anchor
    SetAnchor,
    /// Put the keystore under another root key; nothing that was sealed changes
    #[command(group(ArgGroup::new("to").required(true)))]
    ChangeRootKey {
        /// The new root key is in this file, which is made if there is none
        #[arg(long, value_name = "FILE", group = "to")]
        to_file: Option<PathBuf>,
        /// The new root key is in this environment variable: 64 hexadecimal digits
        #[arg(long, value_name = "NAME", group = "to")]
        to_env: Option<String>,
        /// The new root key is made from the passphrase in this environment variable
        #[arg(long, value_name = "NAME", group = "to")]
        to_passphrase_env: Option<String>,
        /// The new root key is this systemd credential
        #[arg(long, value_name = "NAME", group = "to")]
        to_credential: Option<String>,
    },
}

/// A keystore as it is shown.
#[derive(Serialize)]
struct Shown {
    id: KeystoreId,
    directory: String,
    created: WallTime,
    generation: u64,
    keys: usize,
    anchored: bool,
}

pub(super) async fn run(
    global: &Global,
    command: KeystoreCommand,
    show: &Show,
) -> Result<(), Failure> {
    let place = Place::of(global)?;
    let mut patience = Patience::new(global.wait, show);
    let info = match command {
        KeystoreCommand::Init { default_key, no_default_key } => {
            let default_key = (!no_default_key).then_some(default_key);
            if let (Place::File(_), Ok((engine, config))) = (&place, place.vault()) {
                let key = default_key.as_deref().map(KeyId::new).transpose()?;
                return vault::make(engine, &config, key.as_ref(), show).await;
            }
            make(&place, default_key.as_deref(), &mut patience, show).await?
        }
        KeystoreCommand::Info => {
            let local = place.local()?;
            patience.with(|| inspect(&local)).await?
        }
        KeystoreCommand::AcceptRollback => {
            let local = place.local()?;
            let info = patience.with(|| accept_rollback(&local)).await?;
            show.note("accepted: each key only opens until it is rotated");
            info
        }
        KeystoreCommand::SetAnchor => {
            let local = place.local()?;
            patience.with(|| set_anchor(&local)).await?
        }
        KeystoreCommand::ChangeRootKey { to_file, to_env, to_passphrase_env, to_credential } => {
            let new = to_file
                .map(RootKey::File)
                .or(to_env.map(RootKey::Env))
                .or(to_passphrase_env.map(RootKey::PassphraseEnv))
                .or(to_credential.map(RootKey::Credential))
                .ok_or_else(|| Failure::usage("there is no new root key"))?;
            let local = place.local()?;
            make_root_key(&new)?;
            patience.with(|| change_root_key(&local, &new)).await?;
            show.note(
                "name the new root key from now on; copies of the keystore's file `keystore` \
                 that were made before still open under the old one",
            );
            inspect(&LocalConfig { root_key: new, ..local })?
        }
    };
    answer(&info, show)
}

fn answer(info: &KeystoreInfo, show: &Show) -> Result<(), Failure> {
    let shown = Shown {
        id: info.id,
        directory: info.directory.to_string_lossy().into_owned(),
        created: info.created,
        generation: info.generation,
        keys: info.keys,
        anchored: info.anchored,
    };
    let mark = if shown.anchored { "kept" } else { "none: older copies are not detected" };
    show.answer(&shown, |out| {
        fields(
            out,
            &[
                ("directory", shown.directory.clone()),
                ("id", shown.id.to_string()),
                ("created", shown.created.to_string()),
                ("changes", shown.generation.to_string()),
                ("keys", shown.keys.to_string()),
                ("mark", mark.to_owned()),
            ],
        )
    })
}

async fn make(
    place: &Place,
    default_key: Option<&str>,
    patience: &mut Patience,
    show: &Show,
) -> Result<KeystoreInfo, Failure> {
    let default_key = default_key.map(KeyId::new).transpose()?;
    let local = place.local()?;
    let there = || KeystoreError::new(&local.directory, KeystoreProblem::AlreadyInitialised);
    match place {
        Place::User(user) => {
            if default_key.is_none_or(|key| key.as_str() != DEFAULT_KEY) {
                return Err(Failure::usage("your own keystore has the key `default`"));
            }
            let made = setup::make(user, patience, show).await?;
            Ok(made.ok_or_else(there)?)
        }
        Place::Named(_) | Place::File(_) => {
            // Before a root key is made that would not be its own.
            if setup::has_keystore(&local.directory) {
                return Err(there().into());
            }
            let made = make_root_key(&local.root_key)?;
            let mut options = InitOptions::new(SystemClock::default().wall());
            options.cloned_host = place.config()?.host.cloned_host;
            options.default_key = default_key;
            let info = patience.with(|| init(&local, options.clone())).await;
            if let (Err(_), Some(file)) = (&info, made)
                && !setup::has_keystore(&local.directory)
            {
                // Nothing was locked with it. If it stays, it is used by the next `init`.
                drop(std::fs::remove_file(file));
            }
            Ok(info?)
        }
    }
}

/// Makes the root key's file unless there is one: one that is there is used, never written over.
/// The file that was made.
fn make_root_key(root_key: &RootKey) -> Result<Option<&PathBuf>, Failure> {
    match root_key {
        RootKey::File(file) => match create_root_key_file(file) {
            Err(crate::Error::Keystore(error))
                if error.problem == KeystoreProblem::AlreadyInitialised =>
            {
                Ok(None)
            }
            made => Ok(made.map(|()| Some(file))?),
        },
        RootKey::Credential(_)
        | RootKey::Env(_)
        | RootKey::Given(_)
        | RootKey::Passphrase(_)
        | RootKey::PassphraseEnv(_) => Ok(None),
    }
}
