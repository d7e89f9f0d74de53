//! Sets `gate_loom`, and `gate_mutant` from the environment variable `GATE_MUTANT`.
//!
//! Here and not in `RUSTFLAGS`, so that a plain `cargo test` in this directory runs the models and
//! a mutant rebuilds this crate only.

fn main() {
    println!("cargo::rerun-if-env-changed=GATE_MUTANT");
    println!("cargo::rustc-cfg=gate_loom");
    if let Ok(mutant) = std::env::var("GATE_MUTANT") {
        println!("cargo::rustc-cfg=gate_mutant=\"{mutant}\"");
    }
}
