//! What `benches/audit.rs` measures.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::{AuditBuffers, AuditRecord, AuditSink, Block, Caller, Operation, RecordRef, Resource};
use super::{Writer, codec};
use crate::clock::{BootTime, SystemClock, WallTime};
use crate::key::{KeyId, KeyVersion};

/// Buffers, and one record of a common length to put into them.
pub struct AuditBench {
    buffers: AuditBuffers,
    blocks: Receiver<Block>,
    caller: Caller,
    key: KeyId,
}

impl AuditBench {
    /// Buffers for callers of `homes` stripes.
    #[must_use]
    pub fn new(homes: usize) -> Self {
        let (buffers, blocks) = AuditBuffers::new(homes);
        Self {
            buffers,
            blocks,
            caller: Caller::new("tenant-7/service", "0193f3f2c8e17d5a", "10.20.30.40:51324")
                .expect("the fields are short"),
            key: KeyId::new("tenant-7/objects").expect("the id is valid"),
        }
    }

    /// Bytes of the record in its stored form.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        codec::encoded_len(&self.record(0))
    }

    /// Puts the record into the buffer of `home`; `None` if it was refused, else whether it rings.
    #[inline]
    pub fn accept(&self, home: usize, now: u64) -> Option<bool> {
        let accepted = self.buffers.accept(home, &self.record(now), BootTime::from_nanos(now));
        accepted.ok().map(|accepted| accepted.ring)
    }

    /// Swaps out what is filled and gives the buffers back at once.
    pub fn collect(&self) {
        self.buffers.swap_out();
        self.blocks.try_iter().for_each(|block| block.written(0));
    }

    /// Lets the writer read, number and confirm everything accepted so far, into a sink that takes
    /// it and does nothing; how many records that were.
    #[must_use]
    pub fn write_out(self) -> u64 {
        let (sink, clock) = (Box::new(Nowhere), Arc::new(SystemClock));
        let writer = Writer::new(self.blocks, &self.buffers, sink, clock, 0);
        self.buffers.close();
        writer.run().next_sequence
    }

    fn record(&self, now: u64) -> RecordRef<'_> {
        RecordRef {
            key: Some(&self.key),
            key_version: Some(KeyVersion::FIRST),
            resource: Resource::new("photos", Some("2024/06/17/0001.jpg")).ok(),
            generation: 1,
            ..RecordRef::event(&self.caller, Operation::DecryptDataKey, WallTime::from_millis(now))
        }
    }
}

struct Nowhere;

impl AuditSink for Nowhere {
    fn write(&mut self, batch: &[AuditRecord]) -> io::Result<()> {
        black_box(batch);
        Ok(())
    }
}
