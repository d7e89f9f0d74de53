//! Portcullis: a key-management engine that a host process embeds.

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench_support;
pub mod clock;
pub mod context;
pub mod error;
#[allow(dead_code)] // until the engine passes it
mod gate;
pub mod key;
pub mod limits;
mod secret;
