//! The trail as a whole: callers, collector, writer and sink together.

mod order;
mod sinks;
mod tracing_events;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::*;
use crate::clock::{BootTime, Clock, ManualClock, WallTime};

/// The time that callers name where time plays no part.
const NOW: BootTime = BootTime::from_nanos(1);

/// Records as they were written, in order.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<AuditRecord>>>);

impl Written {
    fn all(&self) -> Vec<AuditRecord> {
        self.0.lock().unwrap().clone()
    }

    /// The generations of the records: tests number them by that field.
    fn numbers(&self) -> Vec<u64> {
        self.all().iter().map(|record| record.generation).collect()
    }
}

/// What a [`Scripted`] sink does with one flush.
enum Step {
    Take,
    Fail,
    Panic,
}

/// A sink that does with each flush what the test says when the test says it.
struct Scripted {
    steps: Receiver<Step>,
    /// Told before each wait for a step.
    asks: Sender<()>,
    open: Vec<AuditRecord>,
    written: Written,
}

impl AuditSink for Scripted {
    fn write(&mut self, batch: &[AuditRecord]) -> std::io::Result<()> {
        assert!(!batch.is_empty());
        self.open.extend_from_slice(batch);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let transaction = std::mem::take(&mut self.open);
        let _ = self.asks.send(());
        match self.steps.recv().unwrap_or(Step::Take) {
            Step::Take => self.written.0.lock().unwrap().extend(transaction),
            Step::Fail => return Err(std::io::Error::other("as the test says")),
            Step::Panic => panic!("as the test says"),
        }
        Ok(())
    }
}

/// A trail with a scripted sink, its writer on a thread.
struct Trail {
    buffers: Arc<AuditBuffers>,
    clock: ManualClock,
    counts: Arc<WriterCounts>,
    written: Written,
    steps: Sender<Step>,
    asks: Receiver<()>,
    writer: JoinHandle<WriterReport>,
}

impl Trail {
    fn new(homes: usize) -> Self {
        let (buffers, blocks) = AuditBuffers::new(homes);
        let clock = ManualClock::new(WallTime::from_millis(1_000));
        let (steps, script) = channel();
        let (asked, asks) = channel();
        let written = Written::default();
        let sink = Box::new(Scripted {
            steps: script,
            asks: asked,
            open: Vec::new(),
            written: written.clone(),
        });
        let writer = Writer::new(blocks, &buffers, sink, Arc::new(clock.clone()), 1);
        Self {
            buffers: Arc::new(buffers),
            clock,
            counts: writer.counts(),
            written,
            steps,
            asks,
            writer: std::thread::spawn(move || writer.run()),
        }
    }

    fn accept(&self, home: usize, number: u64) -> Result<Accepted, crate::error::Refused> {
        let caller = Caller::host();
        let record = record(&caller, number);
        self.buffers.accept(home, &record, self.clock.boot())
    }

    /// Waits until the sink is at a flush, and says how that ends.
    fn step(&self, step: Step) {
        self.asks.recv().unwrap();
        self.steps.send(step).unwrap();
    }

    /// Lets the sink take everything from now on, and waits for the writer's end.
    fn end(self) -> (WriterReport, Written) {
        drop(self.steps);
        assert_eq!(self.buffers.close(), 0);
        (self.writer.join().unwrap(), self.written)
    }
}

fn record(caller: &Caller, number: u64) -> RecordRef<'_> {
    RecordRef {
        generation: number,
        ..RecordRef::event(caller, Operation::Decrypt, WallTime::from_millis(1_000))
    }
}
