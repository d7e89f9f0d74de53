//! The engine against a real Vault server. See `fixture.rs` for where that comes from.

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
