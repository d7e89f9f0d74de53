//! Every mutant of the gate must fail the model that is there to catch it.
//!
//! A mutant that survives means that a model has gone blind, or that the gate does more than it
//! must. Each is built by itself: its build must succeed, and its model must fail.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// A mutant, and the model that catches it.
const MUTANTS: &[(&str, &str)] = &[
    ("earlier_flip", "scenarios::a_quiesce_given_up_half_way_leaves_a_whole_gate"),
    ("flip_without_drain", "scenarios::a_quiesce_given_up_half_way_leaves_a_whole_gate"),
    ("lost_wakeup", "combinations::every_pair_holds_on_one_stripe"),
    ("no_waiting_flag", "combinations::every_pair_holds_on_one_stripe"),
    ("one_stripe", "combinations::every_pair_holds_on_two_stripes"),
    ("open_blindly", "combinations::every_pair_holds_on_one_stripe"),
    ("open_unlocked", "combinations::every_pair_holds_on_one_stripe"),
    ("refused_stays", "combinations::every_pair_holds_on_one_stripe"),
    ("relaxed_drained", "combinations::every_pair_holds_on_one_stripe"),
    ("relaxed_enter", "combinations::every_pair_holds_on_one_stripe"),
    ("relaxed_flip", "combinations::every_pair_holds_on_one_stripe"),
    ("relaxed_leave", "combinations::every_pair_holds_on_one_stripe"),
    ("relaxed_open", "combinations::every_pair_holds_on_one_stripe"),
    ("relaxed_shut", "combinations::every_pair_holds_on_one_stripe"),
];

#[test]
fn every_mutant_is_caught() {
    let survivors: Vec<&str> = MUTANTS
        .iter()
        .filter(|(mutant, model)| survives(mutant, model))
        .map(|(mutant, _)| *mutant)
        .collect();
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}

#[test]
fn the_models_pass_without_a_mutant_where_mutants_are_built() {
    // Else every mutant would seem to be caught.
    assert!(survives("none", "combinations::every_pair_holds_on_one_stripe"));
}

#[test]
fn every_mutant_in_the_source_is_listed() {
    let source = include_str!("../../../src/gate/atoms.rs");
    let in_source: BTreeSet<&str> = source
        .split("gate_mutant = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let listed: BTreeSet<&str> = MUTANTS.iter().map(|(mutant, _)| *mutant).collect();
    assert_eq!(in_source, listed);
}

fn survives(mutant: &str, model: &str) -> bool {
    let cargo_test = || {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["test", "--quiet", "--lib", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            // One directory for all: loom is built once.
            .args(["--target-dir", concat!(env!("CARGO_TARGET_TMPDIR"), "/mutants")])
            .env("GATE_MUTANT", mutant)
            // A failing model's trace is long and expected here.
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::null());
        command
    };
    let built = cargo_test().arg("--no-run").status().expect("cargo runs");
    assert!(built.success(), "mutant {mutant} does not build");
    let run = cargo_test().args(["--", "--exact", model]).output().expect("cargo runs");
    let report = String::from_utf8_lossy(&run.stdout);
    assert!(report.contains("running 1 test"), "no model {model}: {report}");
    run.status.success()
}
