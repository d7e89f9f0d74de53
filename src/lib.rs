//! Portcullis: a key-management engine that a host process embeds.

pub mod backend;
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

/// What the benches of this package reach of its inside. Not API: anything may change.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench_support {
    pub use crate::object::bench as object;
}
