//! A disk that fails, and a power cut, at every step of every change (guarantee 3).

use rustix::io::Errno;

use super::changes::{CHANGES, Trial};
use super::*;
use crate::backend::local::disk::fault::{self, Fault, Torn};

/// Steps before which the long way to a compaction is not tried.
fn first_step(trial: &Trial) -> u64 {
    let run = trial.copy();
    let ((), played) = fault::run(Fault::Never, || {
        trial.change.act(&anchored(&run)).unwrap();
    });
    played.steps.saturating_sub(60).max(1)
}

#[test]
fn a_disk_that_fails_at_any_step_leaves_the_old_key_or_the_new_one() {
    for change in &CHANGES {
        let trial = Trial::new(change);
        let first = first_step(&trial);
        for errno in [Errno::IO, Errno::NOSPC] {
            for at in first.. {
                let run = trial.copy();
                let fault = Fault::Fail { at, errno };
                let (result, played) = fault::run(fault, || change.act(&anchored(&run)));
                trial.check(&run, result.is_ok());
                if played.steps < at {
                    assert!(result.is_ok());
                    break;
                }
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_step_leaves_the_old_key_or_the_new_one() {
    let mut cuts = 0;
    for change in &CHANGES {
        let trial = Trial::new(change);
        let first = first_step(&trial);
        for at in first.. {
            let steps = cut_at(&trial, at, &mut cuts);
            if steps < at {
                break;
            }
        }
    }
    assert!(cuts > 2000, "{cuts}");
}

/// Cuts the power at step `at` with every choice of what is lost; the number of steps.
fn cut_at(trial: &Trial, at: u64, cuts: &mut u32) -> u64 {
    let mut steps = 0;
    for torn in [Torn::Nothing, Torn::Half, Torn::Zeroes, Torn::Sector] {
        for lose in 0.. {
            let run = trial.copy();
            let fault = Fault::Cut { at, lose, torn };
            let (result, played) = fault::run(fault, || trial.change.act(&anchored(&run)));
            trial.check(&run, result.is_ok());
            *cuts += 1;
            steps = played.steps;
            if lose + 1 >= 1 << played.at_stake {
                break;
            }
        }
    }
    steps
}

/// What a killed process had not synced is still unsynced when the next one opens the keystore.
#[test]
fn a_power_cut_after_a_kill_and_an_opening_leaves_what_was_opened() {
    for change in &CHANGES {
        let trial = Trial::new(change);
        for at in first_step(&trial).. {
            let mut steps = 0;
            for lose in 0.. {
                let run = trial.copy();
                let config = anchored(&run);
                let mut seen = None;
                let fault = Fault::Kill { at, lose, torn: Torn::Half };
                let ((), played) = fault::run(fault, || {
                    let _ = change.act(&config);
                    fault::revive();
                    seen = open(&config).ok().map(|backend| essences(&backend));
                });
                if let Some(seen) = seen {
                    assert_eq!(essences(&open(&config).unwrap()), seen, "{}, {at}", change.name);
                }
                trial.check(&run, false);
                steps = played.steps;
                if lose + 1 >= 1 << played.at_stake {
                    break;
                }
            }
            // The steps of opening come after those of the change.
            if steps < at {
                break;
            }
        }
    }
}
