//! What an engine tells of itself: metrics, dashboard, alerts, traces, and what must be in none.

mod engine;
mod harness;
mod monitoring;
#[cfg(feature = "prometheus")]
mod prometheus;
mod promtool;
mod secrets;
mod spans;
