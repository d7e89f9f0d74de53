//! Portcullis: a key-management engine that a host process embeds.

#[path = "../actors/mod.rs"]
#[allow(dead_code)]
mod actors;
pub mod clock;
pub mod context;
pub mod error;
pub mod key;
pub mod limits;
mod secret;
