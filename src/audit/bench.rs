//! What `benches/audit.rs` measures.

use crossbeam_channel::Receiver;

use crate::audit::{AuditBuffers, Block, Caller, Operation, RecordRef, Resource};
use crate::clock::{BootTime, WallTime};
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

    /// Puts the record into the buffer of `home`; whether it was accepted, and rings.
    pub fn accept(&self, home: usize) -> Option<bool> {
        let record = RecordRef {
            key: Some(&self.key),
            key_version: Some(KeyVersion::FIRST),
            resource: Resource::new("photos", Some("2024/06/17/0001.jpg")).ok(),
            generation: 1,
            ..RecordRef::event(
                &self.caller,
                Operation::DecryptDataKey,
                WallTime::from_millis(1_700_000_000_000),
            )
        };
        let accepted = self.buffers.accept(home, &record, BootTime::from_nanos(1));
        accepted.ok().map(|accepted| accepted.ring)
    }

    /// Swaps out what is filled and throws it away; bytes and records.
    pub fn collect(&self) -> (usize, u64) {
        self.buffers.swap_out();
        self.blocks.try_iter().fold((0, 0), |(bytes, records), block| {
            let sum = (bytes + block.bytes().len(), records + block.records());
            block.written(0);
            sum
        })
    }
}
