//! A process that is killed at every step of every change (guarantee 3).

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::changes::{CHANGES, Trial};
use super::*;
use crate::backend::local::disk::fault::{self, Fault};

#[test]
fn a_process_killed_at_any_step_leaves_the_old_key_or_the_new_one() {
    if let Ok(job) = std::env::var(JOB) {
        return die(&job);
    }
    for change in &CHANGES {
        let trial = Trial::new(change);
        let mut at = first_step(&trial);
        loop {
            let run = trial.copy();
            let killed = child(change.name, at, &run);
            trial.check(&run, !killed);
            if !killed {
                break;
            }
            at += 1;
        }
        assert!(at > 4, "{}: only {at} steps", change.name);
    }
}

/// The long way to a compaction is not walked a step at a time: only its last steps are.
fn first_step(trial: &Trial) -> u64 {
    let run = trial.copy();
    let ((), played) = fault::run(Fault::Never, || {
        trial.change.act(&anchored(&run)).unwrap();
    });
    played.steps.saturating_sub(60).max(1)
}

/// Runs this test in a process of its own that performs the change `name` and aborts at step `at`;
/// whether it did.
fn child(name: &str, at: u64, run: &Path) -> bool {
    let test = std::thread::current().name().unwrap().to_owned();
    let job = format!("{name} {at} {}", run.display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &test, "--quiet"]).env(JOB, job);
    let output = command.output().unwrap();
    let aborted = output.status.signal() == Some(SIGABRT);
    assert!(aborted || output.status.success(), "{name}, step {at}: {output:?}");
    aborted
}

fn die(job: &str) {
    let mut words = job.splitn(3, ' ');
    let mut word = || words.next().unwrap();
    let (name, at, run) = (word(), word().parse().unwrap(), Path::new(word()));
    let no_core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, no_core).unwrap();
    let change = CHANGES.iter().find(|change| change.name == name).unwrap();
    let (result, _) = fault::run(Fault::Abort { at }, || change.act(&anchored(run)));
    result.unwrap();
}

const JOB: &str = "PORTCULLIS_TEST_CRASH";
const SIGABRT: i32 = 6;
