//! Where records go: the trait for hosts, and the sink that is always there.

use std::io;

use super::AuditRecord;

/// What takes audit records, in order and in batches, on the engine's writer thread.
///
/// A series of [`write`](Self::write)s ended by a [`flush`](Self::flush) is one transaction. After
/// an error, a panic included, everything since the last flush that succeeded counts as not written
/// and is offered again, with late records put first; numbers that were given in a failed
/// transaction are given again, perhaps to other records. So a sink either takes back what it has
/// of a failed transaction or lets a repeated number replace the earlier record.
///
/// A sink may block: nothing waits for it but its own thread, and once it has kept records waiting
/// for longer than [`AUDIT_DEADLINE`](crate::limits::AUDIT_DEADLINE), operations are refused until
/// it takes them.
pub trait AuditSink: Send {
    /// Takes the next records, in order; `batch` is never empty.
    ///
    /// # Errors
    /// Whatever keeps them from being taken. They are offered again.
    fn write(&mut self, batch: &[AuditRecord]) -> io::Result<()>;

    /// Makes everything written so far as durable as this sink makes records. Callers that asked
    /// for `release = "durable"` are answered after it.
    ///
    /// # Errors
    /// Whatever keeps it from that. Everything since the last flush is offered again.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Emits each record as a `tracing` event under the target `rustfs::kms`.
///
/// Denials and failures are warnings, the rest is information. Fields: `sequence`, `time` (RFC
/// 3339), `principal`, `request_id`, `source`, `operation`, `stage`, `outcome`, `latency_us`,
/// `generation`, `count`, `late`, and where they apply `error`, `key`, `key_version`, `bucket`,
/// `object`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TracingSink;

impl TracingSink {
    /// The sink; events go to the subscriber of the writer's thread.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl AuditSink for TracingSink {
    fn write(&mut self, batch: &[AuditRecord]) -> io::Result<()> {
        for record in batch {
            emit(record);
        }
        Ok(())
    }
}

/// The two levels differ in their call site only: `tracing` wants it constant.
fn emit(record: &AuditRecord) {
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "rustfs::kms",
                $level,
                sequence = record.sequence,
                time = %record.time,
                principal = record.caller.principal(),
                request_id = record.caller.request_id(),
                source = record.caller.source(),
                operation = record.operation.name(),
                stage = record.stage.name(),
                outcome = record.outcome.name(),
                error = record.outcome.class().map(super::ErrorClass::name),
                key = record.key.as_deref(),
                key_version = record.key_version.map(crate::key::KeyVersion::number),
                bucket = record.bucket.as_deref(),
                object = record.object.as_deref(),
                latency_us = u64::try_from(record.latency.as_micros()).unwrap_or(u64::MAX),
                generation = record.generation,
                count = record.count,
                late = record.late,
                "audit"
            )
        };
    }
    match record.outcome.class() {
        Some(_) => event!(tracing::Level::WARN),
        None => event!(tracing::Level::INFO),
    }
}
