//! Models beyond pairs and triples of single steps: two classes, repeated passages and flips, and
//! the lifecycle actor against shuts that race with it.

use crate::gate::Class::{Read, Write};
use crate::gate::Scope::{All, Writes};
use crate::stage::Op::{Abandon, Close, Cycle, OwnCycle, Pass, Quiesce, Shut};
use crate::stage::explore;

#[test]
fn a_close_of_writes_lets_reads_in() {
    explore(&[&[Close(Writes)], &[Pass(Read)], &[Pass(Write)]], 1, 3);
    explore(&[&[Close(Writes)], &[Close(All)], &[Pass(Write)]], 1, 3);
    explore(&[&[Shut(Writes)], &[Shut(All)], &[Pass(Write)]], 1, 3);
}

#[test]
fn sides_are_used_again_and_again() {
    explore(&[&[Quiesce, Quiesce], &[Pass(Read), Pass(Read)]], 1, 5);
    explore(&[&[Quiesce, Quiesce, Quiesce], &[Pass(Read), Pass(Read)]], 1, 4);
    explore(&[&[Quiesce, Quiesce], &[Pass(Read)], &[Pass(Read)]], 1, 3);
}

#[test]
fn a_quiesce_given_up_half_way_leaves_a_whole_gate() {
    explore(&[&[Abandon, Quiesce], &[Pass(Read), Pass(Read)]], 1, 5);
    explore(&[&[Abandon, Abandon, Quiesce], &[Pass(Read)]], 1, 5);
    explore(&[&[Abandon, Quiesce], &[Pass(Read)], &[Pass(Read)]], 1, 3);
}

#[test]
fn an_open_never_overrides_a_newer_shut() {
    explore(&[&[Cycle], &[Shut(All)]], 1, 5);
    explore(&[&[Cycle], &[Shut(All)], &[Shut(Writes)]], 2, 3);
    explore(&[&[Cycle], &[Shut(All)], &[Pass(Read)]], 1, 3);
    explore(&[&[Cycle], &[Close(All)], &[Pass(Write)]], 1, 2);
}

/// Where who opens took a ticket for its own shut, that ticket told it of all shuts before.
#[test]
fn an_open_never_overrides_a_shut_from_before_its_own() {
    explore(&[&[OwnCycle], &[Shut(All)]], 1, 5);
    explore(&[&[OwnCycle], &[Shut(All)], &[Shut(Writes)]], 2, 3);
    explore(&[&[OwnCycle], &[Shut(All)], &[Pass(Read)]], 1, 3);
    explore(&[&[OwnCycle], &[Close(All)], &[Pass(Write)]], 1, 2);
    explore(&[&[OwnCycle], &[Pass(Read), Pass(Read)]], 1, 5);
}

#[test]
fn a_stop_and_a_start_change_the_key_under_nobody() {
    explore(&[&[Cycle], &[Pass(Read), Pass(Read)]], 1, 5);
    explore(&[&[Cycle], &[Pass(Read)], &[Pass(Write)]], 1, 3);
    explore(&[&[Cycle], &[Pass(Read)], &[Quiesce]], 1, 2);
    explore(&[&[Cycle], &[Pass(Read)], &[Abandon]], 1, 3);
}
