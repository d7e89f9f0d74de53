//! Sealing and opening objects.
//!
//! ```text
//! chunk.rs    the format: keys, header, one chunk, sizes          no I/O, no state
//! payload.rs  small payloads in one go                            one section of the gate
//! pipe.rs     a stream as a state machine: bytes in, bytes out    no I/O, one section per step
//! stream.rs   the pipe under `AsyncRead` and `std::io::Read`      I/O, nothing else
//! window.rs   a buffer that is wiped
//! ```
//!
//! The format is C2SP chunked-encryption v1 (c2sp.org/chunked-encryption). Who may use a key, and
//! whether work may go on, is asked of an [`Operation`], which the engine provides.
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
pub(crate) mod chunk;
mod cursor;
pub(crate) mod customer;
mod facts;
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
mod source;
pub(crate) mod stream;
#[cfg(test)]
mod vectors;
mod walk;
mod window;

pub use chunk::Suite;
pub(crate) use chunk::{ChunkCipher, Header};
pub use customer::CustomerKey;
pub use facts::{Checksum, ChecksumAlgorithm, ChecksumScope, Facts};
pub use multipart::{PartRecord, PartTable, UploadRecord};
pub use name::{ObjectName, PartNumber, UploadId};
pub(crate) use pipe::Operation;
pub use range::{ByteRange, SealedRange};
pub(crate) use ranged::{FetchReader, WalkReader};
pub use record::{Mode, ObjectRecord, Protection};
pub use source::{FileStretch, PartSources, RangedSource};
pub(crate) use stream::{OpenReader, SealReader};
pub(crate) use walk::Reading;
