//! Portcullis: a key-management engine that a host process embeds.

// What only the local keystore uses stays compiled without it: one tree, no second set of paths.
#![cfg_attr(not(feature = "local"), allow(dead_code, unused_imports))]

#[path = "../actors/mod.rs"]
mod actors;
pub mod audit;
pub mod backend;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench_support;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod config;
pub mod context;
mod crypto;
pub mod engine;
pub mod envelope;
pub mod error;
mod gate;
pub mod key;
pub mod limits;
mod object;
mod plane;
mod secret;
pub mod status;

pub use actors::ask::{Answer, Ask, Asker};
pub use actors::backend::MutationReport;
pub use engine::{DataKey, Engine, GeneratedDataKey, Kms};
pub use error::Error;
pub use object::Suite;
pub use plane::{NeedsHop, TryError};

/// Messages that an engine answers: see [`Ask`].
pub mod messages {
    pub use crate::actors::ask::{
        ChangeKey, CreateKey, DecryptDataKey, DescribeEngine, DescribeKey, DescribeKeyVersions,
        FreezeEngine, GenerateDataKey, GenerateDataKeyWithoutPlaintext, ListKeys, Rewrap,
        StartEngine, StopEngine, ThawEngine,
    };
}

/// The local keystore: made, opened, kept from being rolled back.
#[cfg(feature = "local")]
pub mod keystore {
    pub use crate::backend::local::{
        Anchor, AnchorStore, InitOptions, KeystoreId, KeystoreInfo, LocalConfig, Mark, RootKey,
        accept_rollback, change_root_key, create_root_key_file, init, inspect, set_anchor,
    };
}
