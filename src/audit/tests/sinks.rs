//! Sinks that fail, panic and block; waiters; brakes; refusals.

use core::future::Future;
use core::time::Duration;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::*;
use crate::error::Refused;
use crate::limits::AUDIT_DEADLINE;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn guarantee_4_a_sink_that_fails_or_panics_gets_the_same_records_again_in_order() {
    let trail = Trail::new(1);
    let first = trail.accept(0, 1).unwrap();
    trail.buffers.swap_out();
    trail.step(Step::Fail);
    let second = trail.accept(0, 2).unwrap();
    trail.buffers.swap_out();
    trail.step(Step::Panic);
    let confirmed = Arc::clone(trail.buffers.confirmed());
    assert!(!confirmed.is_written(first.ticket));
    let state = trail.buffers.health().state(trail.clock.boot());
    assert_eq!(state, SinkState::Failing(trail.clock.boot()));
    trail.asks.recv().unwrap();
    let waiter = confirmed.written(second.ticket);
    trail.steps.send(Step::Take).unwrap();
    let counts = Arc::clone(&trail.counts);
    let buffers = Arc::clone(&trail.buffers);
    let boot = trail.clock.boot();
    let (report, written) = trail.end();
    assert_eq!(block_on(waiter), Ok(()));
    assert!(confirmed.is_written(first.ticket));
    assert_eq!(written.numbers(), [1, 2]);
    let sequences: Vec<_> = written.all().iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    assert_eq!(report, WriterReport { next_sequence: 3, unwritten: 0 });
    assert_eq!(counts.failures.load(Ordering::Relaxed), 2);
    assert_eq!(counts.records.load(Ordering::Relaxed), 2);
    assert_eq!(buffers.health().state(boot), SinkState::Ended);
}

#[test]
fn guarantee_4_a_sink_that_blocks_refuses_callers_after_its_deadline_and_recovers_by_itself() {
    let trail = Trail::new(1);
    let accepted = trail.accept(0, 1).unwrap();
    trail.buffers.swap_out();
    trail.asks.recv().unwrap();
    // The sink is inside a flush and stays there.
    trail.clock.advance(AUDIT_DEADLINE);
    let _ = trail.accept(0, 2).unwrap();
    trail.clock.advance(Duration::from_millis(1));
    assert_eq!(trail.accept(0, 3), Err(Refused::AuditUnavailable));
    let blocked = trail.buffers.health().state(trail.clock.boot());
    assert!(matches!(blocked, SinkState::Failing(_)));
    trail.steps.send(Step::Take).unwrap();
    assert_eq!(block_on(trail.buffers.confirmed().written(accepted.ticket)), Ok(()));
    assert_eq!(trail.buffers.health().state(trail.clock.boot()), SinkState::Healthy);
    let _ = trail.accept(0, 4).unwrap();
    let (_, written) = trail.end();
    assert_eq!(written.numbers(), [1, 2, 4]);
}

#[test]
fn durable_waiters_are_woken_by_the_flush_of_their_record_and_by_no_earlier_one() {
    let trail = Trail::new(2);
    let early = trail.accept(0, 1).unwrap();
    trail.buffers.swap_out();
    trail.asks.recv().unwrap();
    let late = trail.accept(0, 2).unwrap();
    let mut waiter = trail.buffers.confirmed().written(late.ticket);
    trail.steps.send(Step::Take).unwrap();
    block_on(trail.buffers.confirmed().written(early.ticket)).unwrap();
    assert_eq!((&mut waiter).now_or_never(), None);
    let waiting = std::thread::spawn(move || block_on(waiter));
    trail.buffers.swap_out();
    trail.step(Step::Take);
    assert_eq!(waiting.join().unwrap(), Ok(()));
    let _ = trail.end();
}

#[test]
fn a_waiter_whose_writer_ends_without_its_record_is_told_so() {
    let trail = Trail::new(1);
    let accepted = trail.accept(0, 1).unwrap();
    trail.buffers.swap_out();
    trail.asks.recv().unwrap();
    let waiter = trail.buffers.confirmed().written(accepted.ticket);
    assert_eq!(trail.buffers.close(), 0);
    trail.steps.send(Step::Fail).unwrap();
    trail.step(Step::Fail);
    assert_eq!(trail.writer.join().unwrap().unwritten, 1);
    assert_eq!(block_on(waiter), Err(WriterEnded));
    let refused = trail.buffers.accept(0, &record(&Caller::host(), 2), trail.clock.boot());
    assert_eq!(refused, Err(Refused::AuditUnavailable));
}

#[test]
fn guarantee_4_closing_leaves_nothing_behind_though_the_sink_holds_all_buffers() {
    let trail = Trail::new(1);
    let mut accepted = 0;
    loop {
        if trail.accept(0, accepted).is_ok() {
            accepted += 1;
        } else if trail.buffers.swap_out().blocks == 0 {
            break;
        }
    }
    assert!(!trail.buffers.swap_out().complete);
    // The sink is inside its first flush, and is let go only after the closing.
    let Trail { buffers, written, steps, writer, .. } = trail;
    assert_eq!(buffers.close(), 0);
    drop(steps);
    assert_eq!(writer.join().unwrap().unwritten, 0);
    assert_eq!(written.numbers(), (0..accepted).collect::<Vec<_>>());
}

#[test]
fn closing_counts_what_a_lost_writer_cannot_write() {
    let (buffers, blocks) = AuditBuffers::new(1);
    drop(blocks);
    let _ = buffers.accept(0, &record(&Caller::host(), 1), NOW).unwrap();
    assert_eq!(buffers.close(), 1);
}

#[test]
fn guarantee_4_brakes_are_never_refused_and_their_records_go_first_when_the_sink_returns() {
    let trail = Trail::new(1);
    let _ = trail.accept(0, 1).unwrap();
    trail.buffers.swap_out();
    trail.asks.recv().unwrap();
    let _ = trail.accept(0, 2).unwrap();
    trail.buffers.swap_out();
    trail.clock.advance(AUDIT_DEADLINE + Duration::from_millis(1));
    let caller = Caller::host();
    let brake = RecordRef { operation: Operation::Disable, ..record(&caller, 3) };
    let audited = trail.buffers.accept_brake(0, &brake, trail.clock.boot());
    assert_eq!(audited, BrakeAudit::Late);
    trail.buffers.swap_out();
    trail.steps.send(Step::Fail).unwrap();
    let (_, written) = trail.end();
    assert_eq!(written.numbers(), [3, 1, 2]);
    let late: Vec<_> = written.all().iter().map(|record| record.late).collect();
    assert_eq!(late, [true, false, false]);
}

#[test]
fn a_brake_is_audited_like_any_other_while_the_sink_works() {
    let trail = Trail::new(1);
    let audited = trail.buffers.accept_brake(0, &record(&Caller::host(), 1), NOW);
    assert!(matches!(audited, BrakeAudit::Accepted(_)));
    let (_, written) = trail.end();
    assert!(!written.all()[0].late);
}

#[test]
fn refusals_are_one_record_per_class_and_second_in_every_state() {
    let trail = Trail::new(4);
    let tell = |generation| {
        let (boot, wall) = (trail.clock.boot(), trail.clock.wall());
        trail.buffers.tell_refusals(boot, wall, generation);
    };
    for home in 0..1000 {
        trail.buffers.refused(home, Refused::Stopped);
    }
    trail.buffers.refused(1, Refused::Frozen);
    tell(1);
    trail.buffers.refused(0, Refused::Stopped);
    tell(2);
    trail.clock.advance(Duration::from_secs(1));
    tell(3);
    let (_, written) = trail.end();
    let told: Vec<_> = written
        .all()
        .iter()
        .map(|record| {
            assert_eq!(record.operation, Operation::Refusals);
            (record.generation, record.outcome.class().unwrap().name(), record.count)
        })
        .collect();
    assert_eq!(told, [(1, "frozen", 1), (1, "stopped", 1000), (3, "stopped", 1)]);
}

#[test]
fn blocks_that_never_reach_the_sink_are_told_of_as_unrecorded() {
    let (buffers, blocks) = AuditBuffers::new(1);
    let caller = Caller::host();
    for number in 0..5 {
        let _ = buffers.accept(0, &record(&caller, number), NOW).unwrap();
    }
    assert_eq!(buffers.swap_out().blocks, 1);
    drop(blocks.recv().unwrap());
    buffers.tell_refusals(NOW, WallTime::default(), 0);
    assert_eq!(buffers.swap_out().blocks, 1);
    let block = blocks.recv().unwrap();
    let (told, _) = codec::Decoder::default().decode(block.bytes()).unwrap();
    assert_eq!((told.operation, told.count), (Operation::Unrecorded, 5));
}
