//! The engine against a real Vault server. See `fixture.rs` for where that comes from.

mod fixture;
