//! Portcullis: a key-management engine that a host process embeds.

pub mod clock;
pub mod context;
pub mod error;
pub mod key;
pub mod limits;
mod secret;
