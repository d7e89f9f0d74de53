//! Portcullis: a key-management engine that a host process embeds.

pub mod audit;
pub mod backend;
pub mod clock;
pub mod context;
mod crypto;
pub mod error;
pub mod key;
pub mod limits;
mod secret;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench_support {
    //! What the benches reach of the engine's inside. No part of the interface.
    pub use crate::audit::bench as audit;
}
