//! `config`: a configuration file, held against the rules.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::place::read_config;
use super::show::Show;

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is wrong with a configuration file; nothing is opened
    Check {
        /// The file [default: that of --config]
        file: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Checked {
    file: String,
    valid: bool,
}

pub(super) fn run(global: &Global, command: ConfigCommand, show: &Show) -> Result<(), Failure> {
    let ConfigCommand::Check { file } = command;
    let from_environment = || std::env::var_os("PORTCULLIS_CONFIG").map(PathBuf::from);
    let file = file.or_else(|| global.config.clone()).or_else(from_environment);
    let file = file.ok_or_else(|| Failure::usage("there is no file to check: name one"))?;
    read_config(&file)?;
    let checked = Checked { file: file.to_string_lossy().into_owned(), valid: true };
    show.answer(&checked, |out| writeln!(out, "{} is valid", checked.file))
}
