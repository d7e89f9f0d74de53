//! The `portcullis` program, run as its users run it, each test in a home directory of its own.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod customer;
mod data_keys;
mod failures;
mod files;
mod harness;
mod interrupted;
mod keys;
mod keystores;
mod ranges;
mod together;
