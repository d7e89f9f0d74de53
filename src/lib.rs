//! Portcullis: a key-management engine that a host process embeds.
//!
//! # In short
//!
//! ```
//! # #[cfg(feature = "local")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis::Engine;
//! use portcullis::clock::{Clock, SystemClock};
//! use portcullis::config::Config;
//! use portcullis::context::EncryptionContext;
//! use portcullis::envelope::{DataKeySpec, WrappedKey};
//! use portcullis::key::KeyId;
//! use portcullis::keystore::{
//!     Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init,
//! };
//!
//! // Once, by an installer: a root key, and a keystore with its first master key.
//! let directory = tempfile::tempdir()?;
//! let root_key = directory.path().join("root.key");
//! create_root_key_file(&root_key)?;
//! let anchor = Anchor::File(directory.path().join("mark"));
//! let local = LocalConfig::new(directory.path().join("keys"), RootKey::File(root_key), anchor);
//! let mut options = InitOptions::new(SystemClock::default().wall());
//! options.default_key = Some(KeyId::new("default")?);
//! init(&local, options)?;
//!
//! // In the service: the engine has threads of its own, a `Kms` is for any thread of the host.
//! let engine = Engine::start(Config::new(local)).await?;
//! let kms = engine.kms();
//!
//! // A data key for one object. `wrapped` is stored beside it; the key is used and forgotten.
//! let context = EncryptionContext::new().with("bucket", "photos")?.with("object", "cat.jpg")?;
//! let made = kms.generate_data_key(&kms.default_key()?, DataKeySpec::AES_256, &context).await?;
//! let stored: Vec<u8> = made.wrapped.as_bytes().to_vec();
//! let mut key = [0; 32];
//! made.key.copy_into(&mut key)?;
//!
//! // Later: the same key again, under the same context and no other.
//! let wrapped = WrappedKey::from_bytes(&stored)?;
//! let mut again = [0; 32];
//! kms.decrypt_data_key(&wrapped, &context).await?.copy_into(&mut again)?;
//! assert_eq!(key, again);
//! assert!(kms.decrypt_data_key(&wrapped, &EncryptionContext::new()).await.is_err());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "local"))]
//! # fn main() {}
//! ```
//!
//! # In full
//!
//! Data is encrypted with *data keys*, one for each object or file. A data key is wrapped by a
//! *master key*, which never leaves the engine, and stored beside what it encrypts. Master keys
//! have *versions*: rotation makes a new one, which wraps from now on, while older ones go on
//! unwrapping. They lie in a *keystore*, sealed under a *root key* that lies elsewhere. Every
//! wrapped key and every sealed stream is bound to an *encryption context*, a map of strings that
//! whoever opens it states again.
//!
//! ```text
//!   root key            from a file, systemd, the environment, a person, the host
//!      | opens
//!   keystore            a directory, one process at a time
//!      | holds
//!   master key v1 v2 v3 in the engine while it runs; used inside the gate alone
//!      | wraps
//!   data key            on lease: the host copies it out, a stop takes it back
//!      | encrypts
//!   data                by the host, or sealed by the engine as a payload or a stream
//! ```
//!
//! | a host wants | it calls |
//! |---|---|
//! | a key to encrypt with | [`Kms::generate_data_key`], [`Kms::decrypt_data_key`] |
//! | a stream of any length sealed, in constant memory | [`Kms::seal`], [`Kms::seal_buf`], [`Kms::seal_stream`]; [`Kms::open`] and its like |
//! | the same without a runtime | [`Kms::seal_read`], [`Kms::seal_write`]; [`Kms::open_read`], [`Kms::open_write`] |
//! | a whole object sealed, as fast as the machine can | [`Kms::seal_into`], [`Kms::seal_bytes`]; [`Kms::open_into`], [`Kms::open_bytes`] |
//! | a stretch of something sealed, from just the bytes that it takes | [`Kms::open_range`] |
//! | a file sealed under a key that its owner keeps | [`Kms::seal_write_sse_c`], [`Kms::open_write_sse_c`] |
//! | up to 64 KiB encrypted, apart from objects | [`Kms::encrypt`], [`Kms::decrypt`] |
//! | objects of an object store: ranges, parts, customer keys | [`Kms::seal_object`], [`Kms::open_object`], [`manual::objects`] |
//! | data moved to a key's new version | [`Kms::rotate_key`], [`Kms::rewrap`] |
//! | S3's encryption headers read, decided and answered | [`s3`], [`mod@manual::s3`] |
//! | everything to stop, now | [`Kms::stop`], [`Kms::freeze`] |
//! | one key to stop | [`Kms::change_key`] with [`Mutation::Disable`](key::Mutation::Disable) |
//! | to be watched: metrics, alerts, traces | [`metrics`], [`manual::metrics`] |
//! | messages in place of calls | [`Kms::ask`], [`Asker`], [`Kms::recipient_in`] |
//!
//! # Two planes and a gate
//!
//! ```text
//!        host's threads                              engine's threads
//!
//!   try_generate, decrypt, seal, copy_into       create, rotate, disable, start, stop
//!                 |                                            |
//!              the gate  <------------ shut ------------   the actors
//!                 |                                            |
//!          a snapshot of the keys  <------ publish ------------+
//! ```
//!
//! What *uses* a key runs on the caller's own thread: it passes the gate, reads a snapshot, does
//! the cryptography and leaves; inside the gate it waits for no thread and takes no lock that
//! blocks. What *changes* something is a message to the actor that owns it. The two meet in the
//! gate, which anybody may shut at once, and which tells when nobody is inside any more: so an
//! answered stop is one after which no key is used. [`manual::architecture`] has the whole of it.
//!
//! Asynchronous calls need no particular runtime, and one that hits does not yield. The `try_`
//! forms run to their end on the calling thread, or say [`NeedsHop`] and have done nothing: the
//! first use of a key after a start does, because a block of its use counts is reserved on disk.
//! Errors keep two things apart: [`Refused`](error::Refused), nothing was done; and
//! [`OutcomeUnknown`](error::OutcomeUnknown), look before you try again.
//!
//! # Features
//!
//! `local` is the keystore in a directory. `vault` keeps master keys in HashiCorp Vault or OpenBao,
//! and alone brings an HTTP client. `prometheus` renders metrics as text that Prometheus reads.
//! `cli`, the default, is the program `portcullis` and includes the first two. A host takes
//! `default-features = false, features = ["local"]`. Features add
//! interface; none changes what a call does.
//!
//! # Where to go on
//!
//! * [`Engine`] and [`Kms`]: the interface.
//! * [`keystore`] to make one and [`config`] to name one; [`manual::operations`] before production.
//! * [`manual::guarantees`]: what is promised, shown, and not built yet.
//! * [`mod@manual::format`]: every stored byte.
//! * `examples/embed.rs`, a host on tokio; `examples/embed_actix.rs`, a host made of actors;
//!   `examples/s3_host`, an S3 server over a directory.

#![warn(missing_docs)]
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
pub mod manual;
pub mod metrics;
mod object;
mod plane;
pub mod s3;
mod secret;
pub mod status;
mod trace;

pub use actors::ask::{Answer, Ask, Asker};
pub use actors::backend::MutationReport;
pub use engine::{DataKey, Engine, GeneratedDataKey, Kms};
pub use error::Error;
pub use object::Suite;
pub use plane::{NeedsHop, TryError};
#[doc(inline)]
pub use secret::alloc::WipingAlloc;

/// Messages that an engine answers: see [`Ask`].
pub mod messages {
    #[cfg(feature = "vault")]
    pub use crate::actors::ask::RotateCredentials;
    pub use crate::actors::ask::{
        ChangeKey, ConfigureEngine, CreateKey, DecryptDataKey, DescribeActivity, DescribeEngine,
        DescribeKey, DescribeKeyVersions, FreezeEngine, GenerateDataKey,
        GenerateDataKeyWithoutPlaintext, ListKeys, ReconfigureEngine, Rewrap, RotateKey,
        StartEngine, StopEngine, ThawEngine,
    };
}

/// Objects as an object store keeps them: sealed bodies, and records beside them.
pub mod objects {
    pub use crate::engine::stored::{
        CompletedUpload, ObjectReader, PartInfo, RangePlan, RangedReader, RewrappedObject,
        SealedObject, SealedPart, SmallObject, StoredObject, Upload, UploadedPart,
    };
    pub use crate::object::{
        ByteRange, Checksum, ChecksumAlgorithm, ChecksumScope, CustomerKey, Facts, FileStretch,
        Mode, ObjectName, ObjectRecord, PartNumber, PartRecord, PartSources, PartTable, Protection,
        RangedSource, SealedRange, UploadId, UploadRecord,
    };
}

/// The process's memory: whether its key memory is locked, an allocator that wipes what it frees,
/// and keeping other processes out. Each is the whole process's, so the host decides.
pub mod memory {
    pub use crate::secret::alloc::{WipingAlloc, wipes_freed_memory};
    pub use crate::secret::pages::{KeyMemory, report};
    pub use crate::secret::process::{harden_process, is_hardened};
}

/// The local keystore: made, opened, kept from being rolled back.
#[cfg(feature = "local")]
pub mod keystore {
    pub use crate::backend::local::{
        Anchor, AnchorStore, InitOptions, KeystoreId, KeystoreInfo, LocalConfig, Mark, RootKey,
        accept_rollback, change_root_key, create_root_key_file, init, inspect, set_anchor,
    };
}

/// Master keys in HashiCorp Vault or OpenBao: where it is, who the engine is to it, what it needs.
#[cfg(feature = "vault")]
pub mod vault {
    pub use crate::backend::vault::{
        AppRole, BreakerLimits, ClientCertificate, Kubernetes, LoginLimits, NodeHealth,
        RetryLimits, SecretId, SecretSource, VaultAuth, VaultConfig, VaultEngine, health, init,
        least_policy,
    };
}

/// The README's example is compiled and run.
#[cfg(all(doctest, feature = "local"))]
#[doc = include_str!("../README.md")]
mod readme {}
