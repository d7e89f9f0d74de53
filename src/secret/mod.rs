//! The one place where key bytes live.
//!
//! Invariants:
//!
//! 1. A type in here has no `Debug`, no `Clone`, no `PartialEq` and no serde: key bytes leave only
//!    where a caller writes `expose` or `read`, which are easy to search for.
//! 2. Every type wipes what it held when it is dropped, and is filled in place, so that no move
//!    smears a copy across stacks.
//! 3. What a host holds are leases: slots of [`slots`] that the engine can wipe without asking.
//! 4. Keys that outlive a section lie in [`pages`]: locked, fenced, left out of core dumps, wiped in
//!    forked children. The one exception are the key schedules that `aws-lc-rs` keeps on the
//!    ordinary heap and wipes when it frees them.
//! 5. `unsafe` stands in [`pages`], [`heap`] and [`alloc`] alone.

pub(crate) mod alloc;
mod buffer;
mod bytes;
pub(crate) mod fork;
mod heap;
pub(crate) mod pages;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod slots;
mod stack;

pub(crate) use buffer::SecretBuffer;
pub(crate) use bytes::Secret;
pub(crate) use stack::StackKey;
