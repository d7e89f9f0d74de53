//! Portcullis: a key-management engine that a host process embeds.

pub mod backend;
pub mod clock;
pub mod context;
mod crypto;
pub mod error;
pub mod key;
pub mod limits;
mod secret;

/// The local keystore: made, opened, kept from being rolled back.
#[cfg(feature = "local")]
pub mod keystore {
    pub use crate::backend::local::{
        Anchor, AnchorStore, InitOptions, KeystoreId, KeystoreInfo, LocalConfig, Mark, RootKey,
        accept_rollback, change_root_key, create_root_key_file, init, set_anchor,
    };
}
