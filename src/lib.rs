//! Portcullis: a key-management engine that a host process embeds.

pub mod backend;
pub mod clock;
pub mod context;
mod crypto;
pub mod error;
pub mod key;
pub mod limits;
mod object;
mod secret;
