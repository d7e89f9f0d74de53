//! What an engine tells of itself: metrics, dashboard, alerts, traces, and what must be in none.
#![allow(
    clippy::disallowed_methods,
    clippy::explicit_write,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod engine;
mod harness;
mod monitoring;
#[cfg(feature = "prometheus")]
mod prometheus;
mod promtool;
mod secrets;
mod spans;
