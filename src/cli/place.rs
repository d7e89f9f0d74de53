//! Which keystore a command works on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::failure::{Failure, Family};
use crate::config::{BackendConfig, Config};
use crate::keystore::{Anchor, LocalConfig, RootKey};
use crate::vault::{VaultConfig, VaultEngine};

/// Where the keys are.
#[derive(Debug)]
pub(super) enum Place {
    /// Where a configuration file says.
    File(PathBuf),
    /// In a keystore that was named.
    Named(LocalConfig),
    /// In the user's own keystore.
    User(UserKeystore),
}

/// The user's own keystore and where its parts are.
#[derive(Debug)]
pub(super) struct UserKeystore {
    pub(super) config: LocalConfig,
    /// The file with its root key, unless an option names another source.
    pub(super) root_key: PathBuf,
    pub(super) mark: PathBuf,
}

impl Place {
    pub(super) fn of(global: &Global) -> Result<Self, Failure> {
        let config = global.config.clone();
        if let Some(file) = config.or_else(|| variable("PORTCULLIS_CONFIG", &global.keystore)) {
            if names_root_key(global) || global.anchor.is_some() {
                return Err(Failure::usage(
                    "the configuration file names root key and anchor: give no options for them",
                ));
            }
            return Ok(Self::File(file));
        }
        let keystore = global.keystore.clone().or_else(|| variable("PORTCULLIS_KEYSTORE", &None));
        match keystore {
            Some(directory) => named(global, directory).map(Self::Named),
            None => user(global).map(Self::User),
        }
    }

    pub(super) fn config(&self) -> Result<Config, Failure> {
        match self {
            Self::File(path) => read_config(path),
            Self::Named(local) => Ok(Config::new(local.clone())),
            Self::User(user) => Ok(Config::new(user.config.clone())),
        }
    }

    /// The place in Vault.
    pub(super) fn vault(&self) -> Result<(VaultEngine, VaultConfig), Failure> {
        match self.config()?.backend {
            BackendConfig::VaultKv2(vault) => Ok((VaultEngine::Kv2, vault)),
            BackendConfig::VaultTransit(vault) => Ok((VaultEngine::Transit, vault)),
            BackendConfig::Local(_) | BackendConfig::Static(_) => {
                Err(Failure::usage("the configuration names no Vault: give one with --config"))
            }
        }
    }

    /// The local keystore, for what is done to one as a whole.
    pub(super) fn local(&self) -> Result<LocalConfig, Failure> {
        match self.config()?.backend {
            BackendConfig::Local(local) => Ok(local),
            BackendConfig::Static(_)
            | BackendConfig::VaultKv2(_)
            | BackendConfig::VaultTransit(_) => {
                Err(Failure::usage("the configuration names no local keystore"))
            }
        }
    }
}

/// The configuration in the file at `path`.
///
/// # Errors
/// Always of the family `config`: that its file cannot be read says nothing about a keystore.
pub(super) fn read_config(path: &Path) -> Result<Config, Failure> {
    Config::from_file(path).map_err(|error| Failure::from(error).of_family(Family::Config))
}

fn named(global: &Global, directory: PathBuf) -> Result<LocalConfig, Failure> {
    let root_key = match root_key(global)? {
        Some(root_key) => root_key,
        None => RootKey::File(beside(&directory, ".root.key")?),
    };
    Ok(LocalConfig::new(directory, root_key, anchor(global)))
}

/// `directory` with `suffix` after its name: what lies inside is the keystore's alone.
fn beside(directory: &Path, suffix: &str) -> Result<PathBuf, Failure> {
    let name = directory.file_name().ok_or_else(|| {
        Failure::usage("the keystore's directory has no name: say where its root key is")
    })?;
    let mut sibling = OsString::from(name);
    sibling.push(suffix);
    Ok(directory.with_file_name(sibling))
}

fn user(global: &Global) -> Result<UserKeystore, Failure> {
    let no_home =
        || Failure::usage("there is no home directory for a keystore of your own: give --keystore");
    let directories = directories::ProjectDirs::from("", "", "portcullis").ok_or_else(no_home)?;
    let (data, state) = (directories.data_dir(), directories.state_dir().ok_or_else(no_home)?);
    let (file, mark) = (data.join("root.key"), state.join("keystore.mark"));
    if global.anchor.is_some() {
        return Err(Failure::usage(
            "--anchor goes with --keystore: your own keystore has its mark",
        ));
    }
    let source = root_key(global)?.unwrap_or_else(|| RootKey::File(file.clone()));
    let config = LocalConfig::new(data.join("keystore"), source, Anchor::File(mark.clone()));
    Ok(UserKeystore { config, root_key: file, mark })
}

fn anchor(global: &Global) -> Anchor {
    let file = global.anchor.clone().or_else(|| variable("PORTCULLIS_ANCHOR", &None));
    file.map_or(Anchor::None, Anchor::File)
}

fn names_root_key(global: &Global) -> bool {
    global.root_key_file.is_some()
        || global.root_key_env.is_some()
        || global.passphrase_env.is_some()
        || global.root_key_credential.is_some()
}

/// The root key's source, where an option or the environment names one.
fn root_key(global: &Global) -> Result<Option<RootKey>, Failure> {
    let named = [
        global.root_key_file.clone().map(RootKey::File),
        global.root_key_env.clone().map(RootKey::Env),
        global.passphrase_env.clone().map(RootKey::PassphraseEnv),
        global.root_key_credential.clone().map(RootKey::Credential),
    ];
    let mut named = named.into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => {
            Err(Failure::usage("there are two sources of the root key: give one"))
        }
        (Some(source), None) => Ok(Some(source)),
        (None, _) => Ok(variable("PORTCULLIS_ROOT_KEY_FILE", &None).map(RootKey::File)),
    }
}

/// The path in the variable `name`, unless it is empty or an option, `instead`, is there.
fn variable(name: &str, instead: &Option<PathBuf>) -> Option<PathBuf> {
    if instead.is_some() {
        return None;
    }
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
