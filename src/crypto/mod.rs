//! Primitives, one a file: the formula and its source first.
//!
//! Nothing in here keeps state, reads a clock or knows a key's policy. Keys come in as slices that
//! somebody in `secret` owns, and go out into buffers that their owner wipes.

pub(crate) mod aead;
pub(crate) mod commitment;
pub(crate) mod digest;
pub(crate) mod hkdf;
pub(crate) mod message;
#[cfg(feature = "local")]
pub(crate) mod rest;
pub(crate) mod schedule;
#[cfg(test)]
#[cfg(feature = "local")]
mod vectors;

/// A primitive refused. It carries nothing: a caller that learns more learns too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;
