//! The `portcullis` program: see [`portcullis::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis::cli::main()
}
