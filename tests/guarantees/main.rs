//! The guarantees of the design, against real engines through their public interface, under load.
//! What is released is stamped in the sections themselves (`bench_support::sections`).

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::mem_forget,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod audit;
mod bounds;
mod freeze;
#[allow(dead_code, reason = "what a fixture holds lives as long as it")]
mod harness;
mod lifecycle;
mod load;
mod reaper;
mod reconfigure;
mod revocation;
mod streams;
