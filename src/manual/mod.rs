//! The manual.
pub mod format;
