//! What benches of the engine share: an engine on a keystore of its own, and the bare primitives.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod bare;
pub mod engine;
