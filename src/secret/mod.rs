//! The one place where key bytes live.
//!
//! Invariants:
//!
//! 1. A type in here has no `Debug`, no `Clone`, no `PartialEq` and no serde: key bytes leave only
//!    where a caller writes `expose` or `read`, which are easy to search for.
//! 2. Every type wipes what it held when it is dropped, and is filled in place, so that no move
//!    smears a copy across stacks.
//! 3. What a host holds are leases: slots of [`slots`] that the engine can wipe without asking.
//! 4. `unsafe` stands in [`fork`] alone.

mod buffer;
mod bytes;
pub(crate) mod fork;
pub(crate) mod random;
pub(crate) mod slots;
mod stack;

pub(crate) use buffer::SecretBuffer;
pub(crate) use bytes::Secret;
pub(crate) use stack::StackKey;
