//! The engine against a real Vault server. See `fixture.rs` for where that comes from.

mod fixture;
mod nodes;
mod site;
mod use_of_keys;
