//! Every accepted record arrives exactly once, those of one thread in their order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::error::Refused;

/// Runs `threads` callers, each with its home given by `home`, against a collector that swaps all
/// the time; checks what arrives.
fn stress(homes: usize, threads: usize, per_thread: u64, home: fn(usize) -> usize) {
    let (buffers, blocks) = AuditBuffers::new(homes);
    let written = Written::default();
    let sink = Collecting(written.clone());
    let clock = ManualClock::new(WallTime::from_millis(1));
    let writer = Writer::new(blocks, &buffers, Box::new(sink), Arc::new(clock), 1);
    let done = AtomicBool::new(false);
    let running = AtomicUsize::new(threads);
    let report = std::thread::scope(|scope| {
        let writer = scope.spawn(|| writer.run());
        let callers: Vec<_> = (0..threads)
            .map(|thread| {
                let (buffers, running, done) = (&buffers, &running, &done);
                scope.spawn(move || {
                    call(buffers, home(thread), thread, per_thread);
                    if running.fetch_sub(1, Ordering::SeqCst) == 1 {
                        done.store(true, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        while !done.load(Ordering::SeqCst) {
            buffers.swap_out();
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        // With the buffers that the writer still holds, one round may not be all.
        while !buffers.swap_out().complete {
            std::thread::yield_now();
        }
        assert_eq!(buffers.close(), 0);
        writer.join().unwrap()
    });
    let total = per_thread * u64::try_from(threads).unwrap();
    assert_eq!(report, WriterReport { next_sequence: total + 1, unwritten: 0 });
    check(&written.all(), threads, per_thread);
}

/// Offers records one after the other, each until it is accepted.
fn call(buffers: &AuditBuffers, home: usize, thread: usize, wanted: u64) {
    let caller = Caller::new(&format!("thread-{thread}"), "", "").unwrap();
    let mut accepted = 0;
    while accepted < wanted {
        match buffers.accept(home, &record(&caller, accepted), NOW) {
            Ok(_) => accepted += 1,
            Err(Refused::Full { .. }) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Per thread 0, 1, 2 ... without a gap, a repetition or a step back; sequence numbers likewise.
fn check(records: &[AuditRecord], threads: usize, per_thread: u64) {
    let mut next: HashMap<String, u64> = HashMap::new();
    for (record, sequence) in records.iter().zip(1..) {
        assert_eq!(record.sequence, sequence);
        let expected = next.entry(record.caller.principal().to_owned()).or_default();
        assert_eq!(record.generation, *expected, "{}", record.caller.principal());
        *expected += 1;
    }
    assert_eq!(next.len(), threads);
    assert!(next.values().all(|&arrived| arrived == per_thread), "{next:?}");
}

/// Takes everything.
struct Collecting(Written);

impl AuditSink for Collecting {
    fn write(&mut self, batch: &[AuditRecord]) -> std::io::Result<()> {
        self.0.0.lock().unwrap().extend_from_slice(batch);
        Ok(())
    }
}

#[test]
fn guarantee_4_every_accepted_record_is_written_once_and_in_its_threads_order() {
    stress(4, 4, 30_000, |thread| thread);
}

#[test]
fn guarantee_4_threads_that_share_a_home_keep_their_order_where_they_overflow() {
    stress(1, 8, 15_000, |_| 0);
    stress(3, 8, 15_000, |thread| thread % 3);
}

#[test]
fn a_caller_whose_home_is_held_goes_elsewhere_and_never_back_in_the_order() {
    let (buffers, blocks) = AuditBuffers::new(2);
    let caller = Caller::host();
    let accept = |number| buffers.accept(0, &record(&caller, number), NOW).unwrap().ticket;
    let mut tickets = vec![accept(0)];
    {
        let _held = buffers.hold(0);
        tickets.extend([accept(1), accept(2)]);
        assert_ne!(tickets[0], tickets[1], "a held lock is not waited for");
    }
    // Home is free again, but its place would be before the last one: not until a round later.
    tickets.push(accept(3));
    assert_eq!(tickets[3], tickets[2]);
    buffers.swap_out();
    tickets.push(accept(4));
    buffers.swap_out();
    assert_eq!(tickets[4], Ticket::new(2, 0), "home again");
    assert!(tickets.is_sorted(), "{tickets:?}");
    let places: Vec<_> = blocks.try_iter().map(|block| block.place().unwrap()).collect();
    assert_eq!(places, [tickets[0], tickets[1], tickets[4]]);
}

#[test]
fn a_caller_of_a_later_home_does_not_go_to_a_stripe_that_is_collected_before_its_last_record() {
    let (buffers, _blocks) = AuditBuffers::new(3);
    let caller = Caller::host();
    let accept = |number| buffers.accept(2, &record(&caller, number), NOW);
    let home = accept(0).unwrap().ticket;
    let _held = [2, 3, 4].map(|stripe| buffers.hold(stripe));
    let before_home = accept(1);
    assert!(matches!(before_home, Err(Refused::Full { .. })), "{home:?}, {before_home:?}");
}

#[test]
fn guarantee_10_full_buffers_refuse_and_lose_nothing_that_was_accepted() {
    let trail = Trail::new(1);
    let mut accepted = 0;
    let mut rings = 0;
    let fill = |accepted: &mut u64, rings: &mut u64| {
        loop {
            match trail.accept(0, *accepted) {
                Ok(Accepted { ring, .. }) => *rings += u64::from(ring),
                Err(refused) => break refused,
            }
            *accepted += 1;
        }
    };
    // Three stripes are open to a caller of one home; they ring once each.
    let refused = fill(&mut accepted, &mut rings);
    assert!(matches!(refused, Refused::Full { limit: "audit buffer", .. }), "{refused:?}");
    assert_eq!(rings, 3);
    // While the sink holds what was swapped out, the other buffers fill, and then that is all.
    let mut before = 0;
    while before < accepted {
        before = accepted;
        trail.buffers.swap_out();
        fill(&mut accepted, &mut rings);
    }
    let record_bytes = 54 + 4;
    let most = 7 * crate::limits::AUDIT_STRIPE_BYTES_MAX / record_bytes;
    assert!(accepted <= u64::try_from(most).unwrap(), "{accepted}");
    trail.step(Step::Take);
    // The sink takes everything else; what has no buffer to leave in leaves when there is one.
    let written = trail.written.clone();
    let Trail { buffers, writer, steps, .. } = trail;
    drop(steps);
    while u64::try_from(written.0.lock().unwrap().len()).unwrap() < accepted {
        buffers.swap_out();
        std::thread::yield_now();
    }
    assert_eq!(buffers.close(), 0);
    assert_eq!(writer.join().unwrap().unwritten, 0);
    let numbers: Vec<_> = (0..accepted).collect();
    assert_eq!(written.numbers(), numbers);
}
