//! Every pair and every triple of passing, shutting, quiescing, giving up, closing and opening.

use crate::gate::{Class, Scope};
use crate::stage::{Op, explore};

#[test]
fn every_pair_holds_on_one_stripe() {
    for_each_pair(|[first, second]| explore(&[&[first], &[second]], 1, 5));
}

#[test]
fn every_pair_holds_on_two_stripes() {
    for_each_pair(|[first, second]| explore(&[&[first], &[second]], 2, 5));
}

#[test]
fn every_triple_holds_on_one_stripe() {
    for_each_triple(|ops| explore(&ops.each_ref().map(core::slice::from_ref), 1, bound(&ops)));
}

#[test]
fn every_triple_holds_on_two_stripes() {
    for_each_triple(|ops| explore(&ops.each_ref().map(core::slice::from_ref), 2, 3));
}

/// Preemptions in one run. Two who wait make a million runs at 4, and took a minute each; they
/// passed.
fn bound(ops: &[Op]) -> usize {
    let waits = |op: &&Op| matches!(op, Op::Quiesce | Op::Abandon | Op::Close(_));
    if ops.iter().filter(waits).count() < 2 { 5 } else { 3 }
}

fn for_each_pair(check: impl Fn([Op; 2])) {
    for (n, first) in OPS.into_iter().enumerate() {
        for second in OPS.into_iter().skip(n) {
            check([first, second]);
        }
    }
}

fn for_each_triple(check: impl Fn([Op; 3])) {
    for (n, first) in OPS.into_iter().enumerate() {
        for (m, second) in OPS.into_iter().enumerate().skip(n) {
            for third in OPS.into_iter().skip(m) {
                check([first, second, third]);
            }
        }
    }
}

const OPS: [Op; 6] = [
    Op::Pass(Class::Read),
    Op::Shut(Scope::All),
    Op::Quiesce,
    Op::Abandon,
    Op::Close(Scope::All),
    Op::Open,
];
