//! The guarantees of the design, by number, against real engines under load.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod freeze;
#[path = "../api/harness.rs"]
mod harness;
mod load;
mod revocation;
