//! Models of the gate under loom. `cargo test` here runs them all, then every mutant.

#[allow(dead_code)] // each model uses its part
#[path = "../../../src/gate/mod.rs"]
mod gate;

#[cfg(test)]
mod combinations;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod stage;
