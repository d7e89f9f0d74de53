//! The guarantees of the design, by number, against real engines under load.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::mem_forget,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod freeze;
#[allow(dead_code, reason = "the suites share it, and each uses some of it")]
#[path = "../api/harness.rs"]
mod harness;
mod load;
mod revocation;
