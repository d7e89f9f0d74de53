//! The engine against a real Vault server. See `fixture.rs` for where that comes from.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod cli;
mod cluster;
mod fixture;
mod identity;
mod lockout;
mod nodes;
mod outage;
mod proxy;
mod resilience;
mod role;
mod site;
mod use_of_keys;
