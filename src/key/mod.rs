//! Master keys: identity, versions, states and their transitions.
//!
//! A master key is an id and a row of versions. Wrapping uses the newest version, unwrapping the
//! one that the envelope names. Everything in here is pure: the same record, mutation and time
//! give the same answer, whatever backend keeps the record.

mod id;
mod record;
pub(crate) mod table;
mod transition;
pub(crate) mod uses;

pub use id::KeyId;
pub(crate) use record::{Damage, KeyRecord, Material, UseGrant, VersionRecord};
pub use record::{
    KeyDescription, KeyPage, KeyPolicy, KeyState, KeyVersion, VersionDescription, VersionState,
    VersionTag,
};
pub use transition::{ConfirmedVersion, Mutation};
pub(crate) use transition::{NewVersion, Outcome, apply};
