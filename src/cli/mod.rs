//! The command line: `portcullis seal FILE`, `portcullis open FILE.sealed`, and everything an
//! operator does to keys and keystores.
//!
//! # Which keystore
//!
//! * `--config FILE` (or `PORTCULLIS_CONFIG`): whatever the configuration says.
//! * `--keystore DIR` (or `PORTCULLIS_KEYSTORE`): the local keystore in `DIR`. Its root key is named
//!   by one of `--root-key-file`, `--root-key-env`, `--passphrase-env`, `--root-key-credential`, and
//!   is the file `DIR.root.key` beside it otherwise; `--anchor FILE` names its mark. It is made by
//!   `portcullis keystore init`, never by another command.
//! * neither: the user's own keystore, made at its first use, which says so once. It lies in
//!   `$XDG_DATA_HOME/portcullis/keystore`, its root key beside it in `root.key`, its mark apart, in
//!   `$XDG_STATE_HOME/portcullis/keystore.mark`. Where the mark is and the keystore is not, that is
//!   an error: nothing is made in the place of what was lost.
//!
//! A keystore has one writer. A command that finds it in use waits, ten seconds unless `--wait`
//! says otherwise.
//!
//! # Files
//!
//! An output file appears under its name when it is complete and synced, and not before: it is
//! written without a name (`O_TMPFILE`), so that not even a killed process leaves part of it. A file
//! system without nameless files gets a temporary name in the same directory, removed on failure,
//! `SIGHUP`, `SIGINT` and `SIGTERM`. A file that exists is kept unless `--force` is given. The mode of the
//! output is that of the input, less the umask.
//!
//! On standard output (`-o -`) bytes appear 256 KiB at a time, before the end was read: each chunk
//! was authenticated, but whether the end was too is told by the exit code alone.
//!
//! # Exit codes
//!
//! | code | family | meaning |
//! |---|---|---|
//! | 0 | | done |
//! | 1 | `internal` | a bug, or a system that gives no random bytes |
//! | 2 | `usage` | the command line is wrong |
//! | 3 | `refused` | the engine refused, nothing was done |
//! | 4 | `outcome-unknown` | it may have been done |
//! | 5 | `key` | the master key does not allow it |
//! | 6 | `envelope` | the wrapped key does not open or is none |
//! | 7 | `context` | the encryption context is not one |
//! | 8 | `object` | the sealed file does not open or is none |
//! | 9 | `io` | a file cannot be read or written, or is there already |
//! | 10 | `keystore` | the keystore is not as it was left, is in use, or cannot be reached |
//! | 11 | `config` | the configuration file cannot be read or is not valid |
//! | 12 | `lifecycle` | the engine's state does not allow it |
//! | 13 | `audit` | the audit record cannot be made |
//! | 14 | `vault` | Vault did not do it, or cannot be reached |
//! | 129, 130, 143 | | ended by `SIGHUP`, `SIGINT` or `SIGTERM` |
//! | 141 | | whoever read standard output went away |
//!
//! # Output for programs
//!
//! With `--json` a command prints one object on standard output, and a failure one object
//! `{"error":{"family","code","message"}}` on standard error (`config` errors also have `problems`,
//! each with `line`, `field` and `problem`). A note is `{"note"}`
//! on standard error. Names and types of fields never change; new fields may
//! come. Times are RFC 3339 in UTC, durations as in the configuration file.
//!
//! | command | object |
//! |---|---|
//! | `seal` | `input`, `output`, `key`, `plain_bytes`, `sealed_bytes` |
//! | `open` | `input`, `output`, `plain_bytes`, `sealed_bytes` |
//! | `key list` | `keys` (each a key), `next` (an id where `--limit` cut the list, else null) |
//! | `key describe` | `key` |
//! | `key versions` | `versions`: each `version`, `tag`, `created`, `state`, `uses_reserved`, `current` |
//! | other `key` commands | `key`, `changed`, `audited` |
//! | `data-key generate` | `key`, `wrapped`; `plaintext` with `--plaintext` |
//! | `data-key decrypt` | `key`, `key_version`, `bytes`; `plaintext` with `--plaintext` |
//! | `data-key rewrap` | `key`, `key_version`, `wrapped`, `changed` |
//! | `keystore` | `id`, `directory`, `created`, `generation`, `keys`, `anchored` |
//! | `keystore init` in Vault | `backend`, `kv_mount`, `key_prefix`, `default_key` |
//! | `config check` | `file`, `valid`: true |
//! | `status` | `backend`, `running`, `keys`, `default_key`, `nodes` (each `address`, `health`), `vault` (identity, breaker) |
//! | `vault policy` | `policy` |
//!
//! A key is `id`, `description`, `tags`, `state` (`enabled`, `disabled`, `pending-deletion`,
//! `destroyed`), `deletion` (a time or null), `policy` (`allow_decrypt_when_disabled`,
//! `rotate_after`, `rotate_at_uses`), `created`, `open_only`, `current_version`, and `damage` where
//! its store has lost or changed it. Where the sealed
//! bytes or the plaintext go to standard output, the object goes to standard error.
//!
//! # Secrets
//!
//! No secret is taken from the command line, which every user of the machine can read, and none is
//! printed but a data key that `--plaintext` asks for.

mod args;
mod config;
mod data_key;
mod failure;
mod files;
mod key;
mod keystore;
mod patience;
mod place;
mod session;
mod setup;
mod show;
mod signals;
mod status;
mod user;
mod vault;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};
use self::failure::Failure;
use self::show::Show;
use self::signals::Debris;

/// Runs the program: reads the arguments, does what they ask, and answers with the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    let args = match Args::try_parse_from(&given) {
        Ok(args) => args,
        Err(error) => return failure::of_arguments(&error, &given),
    };
    let show = Show::new(args.global.json, args.global.quiet);
    match run(args, &show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&show),
    }
}

fn run(args: Args, show: &Show) -> Result<(), Failure> {
    let Args { global, command } = args;
    start_log(global.log.as_deref(), global.json)?;
    let debris = Debris::default();
    // The command runs on this thread; the one worker hears signals while it is busy.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting threads", None, error))?;
    runtime.block_on(async {
        signals::watch(&debris)?;
        match command {
            Command::Seal(seal) => files::seal(&global, seal, show, &debris).await,
            Command::Open(open) => files::open(&global, open, show, &debris).await,
            Command::Key(command) => key::run(&global, command, show).await,
            Command::DataKey(command) => data_key::run(&global, command, show).await,
            Command::Keystore(command) => keystore::run(&global, command, show).await,
            Command::Config(command) => config::run(&global, command, show),
            Command::Status => status::run(&global, show).await,
            Command::Vault(command) => vault::run(&global, &command, show),
        }
    })
}

/// Logs go to standard error: errors alone, unless `--log` or `PORTCULLIS_LOG` says otherwise.
fn start_log(directives: Option<&str>, json: bool) -> Result<(), Failure> {
    let from_environment = std::env::var("PORTCULLIS_LOG").ok();
    let directives = directives.or(from_environment.as_deref()).unwrap_or("error");
    let filter = tracing_subscriber::EnvFilter::try_new(directives)
        .map_err(|_| Failure::usage("--log is not a level or a list of `target=level`"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json { log.json().try_init() } else { log.try_init() };
    started.map_err(|_| Failure::usage("a log is being kept already"))
}
