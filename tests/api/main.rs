//! The interface of a host, against real keystores.

mod data_keys;
mod harness;
