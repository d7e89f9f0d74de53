//! The lifecycle actor: the state machine of the engine, and the gate's lever.
//!
//! Owns which generation runs, who waits for it to change, and the right to open the gate. It never
//! awaits the network or a disk: opening a backend is the backend actor's work, and a stop or a new
//! start that arrives meanwhile wins at once.
//!
//! Invariants: those of [`state`], and
//!
//! 1. The gate is opened only here, and never over a shut that no command has told of.
//! 2. A successor after a panic knows nothing of what runs: it shuts, wipes and has failed.

mod actor;
mod build;
mod close;
mod handlers;
mod messages;
mod state;

pub(crate) use actor::{Lifecycle, Numbers};
pub(crate) use messages::{ActorLost, Configure, Freeze, Reconfigure, Start, Stop, Thaw};
