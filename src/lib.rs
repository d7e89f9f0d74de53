//! Portcullis: a key-management engine that a host process embeds.

pub mod backend;
#[path = "../actors/mod.rs"]
#[allow(dead_code)]
mod actors;
pub mod clock;
pub mod context;
mod crypto;
pub mod envelope;
pub mod error;
#[allow(dead_code)] // until the engine passes it
mod gate;
pub mod key;
pub mod limits;
#[allow(dead_code)] // until the engine seals with it
mod object;
mod secret;
