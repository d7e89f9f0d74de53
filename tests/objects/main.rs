//! Stored objects through the interface of a host: put, get, ranges, parts, and every attack on
//! them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

#[path = "../guarantees/harness.rs"]
#[allow(dead_code, reason = "shared with the tests of the guarantees")]
mod harness;
mod host;

mod lifecycle;
mod parts;
mod ranges;
mod rewrap;
mod whole;
