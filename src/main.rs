//! The `portcullis` program: see [`portcullis::cli`].

use std::process::ExitCode;

/// No block that is freed keeps its bytes: see [`portcullis::memory`].
#[global_allocator]
static ALLOCATOR: portcullis::WipingAlloc = portcullis::WipingAlloc::new();

fn main() -> ExitCode {
    portcullis::cli::main()
}
