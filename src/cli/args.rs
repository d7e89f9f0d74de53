//! The arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::config::ConfigCommand;
use super::data_key::DataKeyCommand;
use super::failure::Failure;
use super::files::{OpenArgs, SealArgs};
use super::key::KeyCommand;
use super::keystore::KeystoreCommand;
use super::vault::VaultCommand;
use crate::context::EncryptionContext;

/// Seals files and manages the keys that do it.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(clap::Args, Debug)]
pub(super) struct Global {
    /// The local keystore to use [env: PORTCULLIS_KEYSTORE]. Without it, and without --config, it is
    /// a keystore of your own, made at its first use
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "config", help_heading = PLACE)]
    pub(super) keystore: Option<PathBuf>,

    /// The configuration file to use [env: PORTCULLIS_CONFIG]
    #[arg(long, value_name = "FILE", global = true, help_heading = PLACE)]
    pub(super) config: Option<PathBuf>,

    /// The keystore's root key is in this file [env: PORTCULLIS_ROOT_KEY_FILE; default: DIR.root.key
    /// beside the keystore]
    #[arg(long, value_name = "FILE", global = true, help_heading = PLACE)]
    pub(super) root_key_file: Option<PathBuf>,

    /// The root key is in this environment variable: 64 hexadecimal digits
    #[arg(long, value_name = "NAME", global = true, help_heading = PLACE)]
    pub(super) root_key_env: Option<String>,

    /// The root key is made from the passphrase in this environment variable
    #[arg(long, value_name = "NAME", global = true, help_heading = PLACE)]
    pub(super) passphrase_env: Option<String>,

    /// The root key is this systemd credential
    #[arg(long, value_name = "NAME", global = true, help_heading = PLACE)]
    pub(super) root_key_credential: Option<String>,

    /// The file outside the keystore that holds the mark of its newest state, without which an older
    /// copy of it is not detected [env: PORTCULLIS_ANCHOR]. Once there is one, give it always
    #[arg(long, value_name = "FILE", global = true, help_heading = PLACE)]
    pub(super) anchor: Option<PathBuf>,

    /// How many seconds to wait for another process that uses the keystore
    #[arg(long, value_name = "SECONDS", default_value_t = 10, global = true, help_heading = OUTPUT)]
    pub(super) wait: u32,

    /// Print one JSON object, and failures as one on standard error
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub(super) json: bool,

    /// Print no notes and no progress
    #[arg(long, short, global = true, help_heading = OUTPUT)]
    pub(super) quiet: bool,

    /// Log to standard error: off, error, warn, info, debug, trace, or `target=level,..`; audit
    /// records are `rustfs::kms=info` [env: PORTCULLIS_LOG] [default: error]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = OUTPUT)]
    pub(super) log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Seal a file under a key of its own
    Seal(SealArgs),
    /// Open a sealed file
    Open(OpenArgs),
    /// Make, list, rotate and delete master keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make and unwrap data keys
    #[command(subcommand, name = "data-key")]
    DataKey(DataKeyCommand),
    /// Make and look after a keystore as a whole
    #[command(subcommand)]
    Keystore(KeystoreCommand),
    /// Check a configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say whether the keys can be reached, and how Vault is where they are there
    Status,
    /// What keys in Vault need
    #[command(subcommand)]
    Vault(VaultCommand),
}

/// A name and its value.
///
/// It is taken apart after the arguments were read: their parser repeats what it does not take, and
/// what stands in a context may be nobody else's business.
#[derive(Clone)]
pub(super) struct Pair(String);

impl Pair {
    pub(super) fn split(&self) -> Result<(&str, &str), Failure> {
        let no_pair = || Failure::usage("a context or a tag is not NAME=VALUE");
        self.0.split_once('=').ok_or_else(no_pair)
    }
}

impl From<String> for Pair {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl core::fmt::Debug for Pair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// The encryption context.
#[derive(clap::Args, Debug)]
pub(super) struct ContextArgs {
    /// What it is bound to, as often as need be; to open, give exactly the same again
    #[arg(long = "context", short = 'c', value_name = "NAME=VALUE")]
    pairs: Vec<Pair>,
}

impl ContextArgs {
    pub(super) fn read(&self) -> Result<EncryptionContext, Failure> {
        let mut context = EncryptionContext::new();
        for pair in &self.pairs {
            let (name, value) = pair.split()?;
            context.insert(name, value)?;
        }
        Ok(context)
    }
}

const PLACE: &str = "Keystore";
const OUTPUT: &str = "Output";

const AFTER_HELP: &str = "\
Exit codes:
  0 done              5 key         9 input or output   13 audit
  1 internal error    6 envelope   10 keystore         14 vault
  2 usage             7 context    11 configuration    129 SIGHUP, 130 SIGINT
  3 refused           8 object     12 lifecycle        141 output closed
  4 outcome unknown                                    143 SIGTERM

No option takes a secret: others can read a process's arguments.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
