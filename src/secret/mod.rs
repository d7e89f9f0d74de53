//! The one place where key bytes live.
//!
//! Invariants:
//!
//! 1. A type in here has no `Debug`, no `Clone`, no `PartialEq` and no serde: key bytes leave only
//!    where a caller writes `expose`, which is easy to search for.
//! 2. Every type wipes what it held when it is dropped, and is filled in place, so that no move
//!    smears a copy across stacks.
//! 3. What a host holds are leases: slots of [`slots`] that the engine can wipe without asking.

mod bytes;

pub(crate) use bytes::Secret;
