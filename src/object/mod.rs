//! Sealing and opening objects.
//!
//! ```text
//! chunk.rs      the format: keys, header, one chunk, sizes      no I/O, no state
//! front.rs      suite and wrapped key before the header
//! direction.rs  sealing and opening, as everything below sees them
//! payload.rs    small objects in one go                         one section of the gate
//! run.rs        many chunks, by one thread or by several        one section a chunk
//! buffer.rs     whole objects from buffer to buffer, in place
//! pipe.rs       a stream as a state machine: slices in and out  no I/O
//! input.rs      readers and streams, what they lend
//! stream.rs     the pipe under `AsyncRead`, `Stream`, `Read`    I/O, nothing else
//! writer.rs     the pipe under `Write`
//! workers.rs    the threads that help with large objects
//! window.rs     a buffer that is wiped
//!
//! name.rs       bucket and object, upload, part
//! record.rs     what is stored beside an object's body          no I/O, no state
//! multipart.rs  the same of uploads and parts, and the part table
//! facts.rs      ETag and checksums, which records hold sealed
//! keys.rs       the keys of records                             the object's key in, MACs out
//! customer.rs   customer keys (SSE-C)
//! range.rs      which chunks a stretch of plaintext takes
//! walk.rs       reading such chunks as a state machine          no I/O
//! ranged.rs     walks under `AsyncRead` and `Read`              I/O, nothing else
//! source.rs     where stretches are fetched from
//! ```
//!
//! The format is C2SP chunked-encryption v1 (c2sp.org/chunked-encryption). Who may use a key, and
//! whether work may go on, is asked of an [`Operation`] or a [`Reading`], which the engine provides.
//!
//! Invariants:
//!
//! 1. Plaintext of a chunk is released only after that chunk has opened, in order, and its release
//!    lies inside a section of the gate. Nothing of a bad chunk or of what follows it is released.
//! 2. The last byte of a plaintext is released only after the end of the object has opened.
//! 3. The first error of a stream is its last word: every later read answers with the same.
//! 4. Buffers that held plaintext are wiped on error and on drop.

#[cfg(feature = "testing")]
pub mod bench;
pub(crate) mod buffer;
pub(crate) mod chunk;
mod cursor;
pub(crate) mod customer;
mod direction;
mod facts;
#[cfg(test)]
mod forms;
pub(crate) mod front;
mod input;
pub(crate) mod keys;
pub(crate) mod multipart;
mod name;
pub(crate) mod payload;
pub(crate) mod pipe;
#[cfg(test)]
mod probe;
pub(crate) mod range;
mod ranged;
pub(crate) mod record;
pub(crate) mod run;
mod source;
pub(crate) mod stream;
#[cfg(test)]
mod vectors;
mod walk;
mod window;
pub(crate) mod workers;
pub(crate) mod writer;

pub use chunk::Suite;
pub(crate) use chunk::{ChunkCipher, Header};
pub use customer::CustomerKey;
pub(crate) use direction::{Direction, Open, Seal};
pub use facts::{Checksum, ChecksumAlgorithm, ChecksumScope, Facts};
pub use input::{Buffered, Items, Lent};
pub(crate) use input::{PollSource, ReadSource};
pub use multipart::{PartRecord, PartTable, UploadRecord};
pub use name::{ObjectName, PartNumber, UploadId};
pub(crate) use pipe::Operation;
pub use range::{ByteRange, SealedRange};
pub(crate) use ranged::{FetchReader, WalkReader};
pub use record::{Mode, ObjectRecord, Protection};
pub use source::{FileStretch, PartSources, RangedSource};
pub(crate) use walk::Reading;
