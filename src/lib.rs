//! Portcullis: a key-management engine that a host process embeds.

#[path = "../actors/mod.rs"]
#[allow(dead_code)]
mod actors;
pub mod audit;
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

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench_support {
    //! What the benches reach of the engine's inside. No part of the interface.
    pub use crate::audit::bench as audit;
}
