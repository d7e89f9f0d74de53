//! The engine against a real Vault server. See `fixture.rs` for where that comes from.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod blocking;
mod cli;
mod cluster;
mod example;
mod fixture;
#[path = "../objects/host.rs"]
#[allow(dead_code, reason = "shared with the tests of objects")]
mod host;
mod identity;
mod links;
mod lockout;
mod nodes;
mod objects;
mod outage;
mod proxy;
mod raft;
mod resilience;
mod role;
mod site;
mod tamper;
mod use_of_keys;
