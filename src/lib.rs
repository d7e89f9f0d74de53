//! Portcullis.
pub mod limits;
