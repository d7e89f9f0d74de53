//! The interface of a host, against real keystores.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod data_keys;
mod harness;
mod messages;
mod objects;
mod ranges;
mod reconfigure;
