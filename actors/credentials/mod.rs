//! The credentials actor: who the engine is to Vault, and that it stays so.
//!
//! Owns login, renewal, rotation and expiry of each Vault identity in use: one, or two while a
//! reconfiguration is under way. It never waits: requests run beside its messages, bounded by the
//! client's timeouts, and are dropped at once where an identity is dismissed; so a stop is answered
//! while Vault is a black hole.
//!
//! A new token is not a message to the backend actor: it is put into the slot that every call reads
//! (`TokenSlot`), as a key table is published. What a call began with it keeps to its end.
//!
//! Invariants: those of [`state`], and
//!
//! 1. A token is revoked only after the last request that carries it has ended.
//! 2. Every asker is answered, also by the death of the actor: its successor takes each identity
//!    over with the token that is in force, and looks up what is left of it.
//! 3. A dismissed identity's token is out of force before its session's drop has returned.

mod actor;
mod keeper;
mod member;
mod messages;
mod state;

pub(crate) use actor::Credentials;
pub(crate) use keeper::Registry;

#[cfg(test)]
mod tests;
