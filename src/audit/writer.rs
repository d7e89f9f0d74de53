//! The writer: numbers records, gives them to the sink and confirms them, on a thread of its own.
//!
//! Everything that waits goes to the sink as one transaction, so the sink's own cost is shared by
//! all callers that wait for it. A transaction that fails is offered again, in the same order,
//! until it succeeds or the engine ends; meanwhile the buffers fill, and then callers are refused.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::codec::Decoder;
use super::{AuditBuffers, AuditRecord, AuditSink, Block, Confirmed, Health};
use crate::clock::Clock;
use crate::limits::{AUDIT_RETRY_MAX, AUDIT_RETRY_MIN};

/// What the writer has done so far. Read at any time, from any thread.
#[derive(Debug, Default)]
pub(crate) struct WriterCounts {
    /// Records written and flushed.
    pub(crate) records: AtomicU64,
    /// Their encoded bytes.
    pub(crate) bytes: AtomicU64,
    /// Transactions that succeeded.
    pub(crate) transactions: AtomicU64,
    /// Transactions that failed.
    pub(crate) failures: AtomicU64,
    /// Records that could not be read back from their buffer: a bug, or damaged memory.
    pub(crate) unreadable: AtomicU64,
    /// How old the oldest record of the last transaction was when it was flushed, in milliseconds.
    pub(crate) lag_ms: AtomicU64,
}

/// How the writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct WriterReport {
    /// The number that the next record would have had.
    pub(crate) next_sequence: u64,
    /// Records that the sink did not take before the end.
    pub(crate) unwritten: u64,
}

/// The writer of one engine.
pub(crate) struct Writer {
    blocks: Receiver<Block>,
    sink: Box<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    confirmed: Arc<Confirmed>,
    counts: Arc<WriterCounts>,
    next_sequence: u64,
    /// In the order of writing: late ones, then by place. Bounded by the buffers that exist.
    pending: VecDeque<Block>,
    batch: Vec<AuditRecord>,
}

impl Writer {
    /// The writer of `buffers`, made together with `blocks`; its first record has the number
    /// `next_sequence`.
    pub(crate) fn new(
        blocks: Receiver<Block>,
        buffers: &AuditBuffers,
        sink: Box<dyn AuditSink>,
        clock: Arc<dyn Clock>,
        next_sequence: u64,
    ) -> Self {
        Self {
            blocks,
            sink,
            clock,
            health: Arc::clone(buffers.health()),
            confirmed: Arc::clone(buffers.confirmed()),
            counts: Arc::default(),
            next_sequence,
            pending: VecDeque::new(),
            batch: Vec::new(),
        }
    }

    /// What it counts.
    pub(crate) fn counts(&self) -> Arc<WriterCounts> {
        Arc::clone(&self.counts)
    }

    /// Writes until the buffers are closed and all is written. What a failing sink has not taken by
    /// then is offered one last time: who wants to give it longer closes later.
    pub(crate) fn run(mut self) -> WriterReport {
        let mut pause = AUDIT_RETRY_MIN;
        loop {
            if self.pending.is_empty() {
                match self.blocks.recv() {
                    Ok(block) => self.queue(block),
                    Err(_) => break,
                }
            }
            while let Ok(block) = self.blocks.try_recv() {
                self.queue(block);
            }
            if self.offer() {
                pause = AUDIT_RETRY_MIN;
                continue;
            }
            // A block that arrives ends the pause early; there are only so many of them.
            match self.blocks.recv_timeout(pause) {
                Ok(block) => self.queue(block),
                Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(AUDIT_RETRY_MAX),
                Err(RecvTimeoutError::Disconnected) => {
                    self.offer();
                    break;
                }
            }
        }
        WriterReport {
            next_sequence: self.next_sequence,
            unwritten: self.pending.iter().map(Block::records).sum(),
        }
    }

    fn queue(&mut self, block: Block) {
        if block.place().is_some() {
            self.pending.push_back(block);
        } else {
            let late = self.pending.iter().take_while(|b| b.place().is_none()).count();
            self.pending.insert(late, block);
        }
    }

    /// Offers everything pending as one transaction; whether the sink took it.
    fn offer(&mut self) -> bool {
        self.health.offered(self.clock.boot());
        let Ok(transaction) = self.transact() else {
            self.health.failed();
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        self.next_sequence = transaction.next_sequence;
        let lag = transaction.lag(&*self.clock);
        self.counts.lag_ms.store(lag, Ordering::Relaxed);
        self.counts.transactions.fetch_add(1, Ordering::Relaxed);
        let mut place = None;
        for (block, lost) in self.pending.drain(..).zip(transaction.lost) {
            place = place.max(block.place());
            let bytes = u64::try_from(block.bytes().len()).unwrap_or(u64::MAX);
            self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.counts.records.fetch_add(block.records().saturating_sub(lost), Ordering::Relaxed);
            self.counts.unreadable.fetch_add(lost, Ordering::Relaxed);
            block.written(lost);
        }
        self.health.taken();
        if let Some(place) = place {
            self.confirmed.advance(place);
        }
        true
    }

    fn transact(&mut self) -> io::Result<Transaction> {
        let mut transaction = Transaction {
            next_sequence: self.next_sequence,
            oldest: None,
            lost: Vec::with_capacity(self.pending.len()),
        };
        for block in &self.pending {
            self.batch.clear();
            let lost = transaction.read(block, &mut self.batch);
            transaction.lost.push(lost);
            if !self.batch.is_empty() {
                guarded(|| self.sink.write(&self.batch))?;
            }
        }
        guarded(|| self.sink.flush())?;
        Ok(transaction)
    }
}

impl Drop for Writer {
    /// Also while a panic unwinds: nobody waits for a writer that is gone. A new one needs new
    /// buffers, for it could not tell which places of the old ones were lost.
    fn drop(&mut self) {
        self.health.end();
        self.confirmed.end();
    }
}

/// What one transaction comes to.
struct Transaction {
    next_sequence: u64,
    oldest: Option<crate::clock::WallTime>,
    /// Per block, records that could not be read.
    lost: Vec<u64>,
}

impl Transaction {
    /// Puts the records of `block`, numbered, into `batch`; how many could not be read.
    fn read(&mut self, block: &Block, batch: &mut Vec<AuditRecord>) -> u64 {
        let (mut decoder, mut bytes) = (Decoder::default(), block.bytes());
        let mut unread = block.records();
        while !bytes.is_empty()
            && let Ok((mut record, rest)) = decoder.decode(bytes)
        {
            bytes = rest;
            unread = unread.saturating_sub(1);
            record.sequence = self.next_sequence;
            self.next_sequence = self.next_sequence.saturating_add(1);
            self.oldest = Some(self.oldest.map_or(record.time, |oldest| oldest.min(record.time)));
            batch.push(record);
        }
        unread
    }

    fn lag(&self, clock: &dyn Clock) -> u64 {
        let lag = self.oldest.map_or(Duration::ZERO, |oldest| clock.wall().since(oldest));
        u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A sink is the host's code: its panic is a failure like any other.
fn guarded(call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(io::Error::other("the audit sink panicked")))
}
