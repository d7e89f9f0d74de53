//! The audit trail: who did what with which key, and what came of it (guarantee 4).
//!
//! A caller encodes its record into a buffer of its own stripe, inside its section, before it
//! releases anything. One collector swaps the buffers out as blocks, one writer thread numbers
//! their records, gives them to the host's [`AuditSink`] and confirms them.
//!
//! ```text
//! caller ---accept---> stripe buffer ---swap_out---> block ---channel---> writer ---> sink
//!    ^                                                                      |
//!    +------------- Written (release = durable) <------- confirms ----------+
//! ```
//!
//! Owns the records and their stored form, the buffers, the order and numbering of records, and
//! the state of the sink. Refuses records when the buffers are full or the sink has been silent
//! for longer than [`AUDIT_DEADLINE`](crate::limits::AUDIT_DEADLINE); it never blocks a caller and
//! never drops what it accepted without counting it.
//!
//! Invariants:
//!
//! 1. A record that was accepted is written exactly once, or the sink's state says that it is not
//!    yet written, or the end of the writer says how many were not.
//! 2. Records of one thread are written in the order in which they were accepted. Brake records
//!    that found the sink down are the exception: they are marked late and go first.
//! 3. No record holds a plaintext, a key, a token, a context value or the text of an error.
//! 4. Memory is bounded: two buffers per stripe, whatever the sink does.
//!
//! Accepting a record costs about as much as copying its bytes and an uncontended lock.

mod buffers;
mod caller;
mod class;
mod codec;
mod confirm;
mod health;
mod operation;
mod record;
mod refusals;
mod release;
mod sink;
mod writer;

#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench;
#[cfg(test)]
mod tests;

pub(crate) use buffers::{Accepted, AuditBuffers, Block, BrakeAudit};
pub use caller::Caller;
pub use class::ErrorClass;
pub(crate) use confirm::{Confirmed, Ticket, WriterEnded};
pub(crate) use health::Health;
pub use health::SinkState;
pub use operation::{Operation, Stage};
pub use record::{AuditRecord, Outcome};
pub(crate) use record::{RecordRef, Resource};
pub use release::Release;
pub use sink::{AuditSink, TracingSink};
pub(crate) use writer::{Writer, WriterCounts, WriterReport};
