//! The backend actor: one keeper of master keys, and every change of them, in order.
//!
//! Owns the backend of the running generation, the table that callers read, the candidate of a
//! start or a reconfiguration, and the queue of changes. Refuses changes that are not brakes from
//! the moment another store is wanted to the swap, and everything once it is closed.
//!
//! Invariants:
//!
//! 1. One change at a time works with the backend; it is answered once it is durable, published and
//!    nobody uses the old state (guarantees 2 and 3).
//! 2. A successor after a panic opens the same store and publishes into the same table.
//! 3. Stores are opened beside the actor's messages ([`candidate`]): a brake or a use count waits
//!    for no opening.

mod actor;
mod candidate;
mod messages;
mod mutation;
mod reads;
mod remote;
mod state;
mod supply;
mod uses;

pub(crate) use actor::{Adopted, BackendActor};
pub use messages::MutationReport;
pub(crate) use messages::{
    Abandon, Adopt, Candidate, Close, CloseReplaced, Describe, DescribeVersions, Due, List, Mutate,
    OpenCandidate, Settle, UseRemote, Work,
};
pub(crate) use supply::Supplies;
