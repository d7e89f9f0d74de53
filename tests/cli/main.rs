//! The `portcullis` program, run as its users run it, each test in a home directory of its own.

mod data_keys;
mod failures;
mod files;
mod harness;
mod interrupted;
mod keys;
mod keystores;
mod together;
