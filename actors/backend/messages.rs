//! What the backend actor hears, grouped by who says it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::Message;

use super::supply::Errand;
use crate::audit::Caller;
use crate::backend::{BackendKind, Capabilities};
use crate::clock::WallTime;
use crate::config::Config;
use crate::error::Error;
use crate::key::table::KeyTable;
use crate::key::{KeyDescription, KeyId, KeyPage, Mutation, VersionDescription};
use crate::plane::remote::{Given, Held};

// ---- Said by the lifecycle actor ----

/// Opens and probes a backend beside the one in use. Not idempotent: the last candidate wins.
#[derive(Message)]
#[rtype(result = "Result<Candidate, Error>")]
pub(crate) struct OpenCandidate {
    pub(crate) attempt: u64,
    pub(crate) config: Arc<Config>,
    /// Whether the store that is in use may be shared, because it goes on.
    pub(crate) shares: bool,
    /// Set where the attempt is no longer wanted: opening looks at it between records.
    pub(crate) abandoned: Arc<AtomicBool>,
}

/// What opening a candidate found.
pub(crate) struct Candidate {
    pub(crate) keys: Arc<KeyTable>,
    pub(crate) backend: BackendKind,
    pub(crate) capabilities: Capabilities,
}

/// Puts the candidate of this attempt in use. An error if it is gone.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Adopt {
    pub(crate) attempt: u64,
}

/// Drops the candidate of this attempt, if it is still there. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Abandon {
    pub(crate) attempt: u64,
}

/// Drops what a swap replaced: nobody uses it any more. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct CloseReplaced;

/// Finishes the mutation under way, refuses those that wait, wipes and closes. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Close;

/// Answered once no mutation that was begun is under way. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Settle;

// ---- Said by hosts, through `Kms` ----

/// Changes one key. Answered once it is durable, published, and nobody uses the old state.
#[derive(Clone, Message)]
#[rtype(result = "Result<MutationReport, Error>")]
pub(crate) struct Mutate {
    pub(crate) caller: Caller,
    pub(crate) id: KeyId,
    pub(crate) mutation: Mutation,
}

/// What a change of a key came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MutationReport {
    /// The key as it is now.
    pub key: KeyDescription,
    /// Whether anything was different before.
    pub changed: bool,
    /// Whether the outcome is in the audit trail already. Only a change that takes away is answered
    /// without (guarantee 4); its record follows, marked late.
    pub audited: bool,
}

/// Reserves the next block of uses of a key's current version. Idempotent while there is enough.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReserveUses {
    pub(crate) id: KeyId,
    /// Who waits for it.
    pub(crate) errand: Errand,
}

/// Uses a key where it is, or looks for it. A wrap that is lost has drawn a use, no more.
#[derive(Message)]
#[rtype(result = "Result<Given, Error>")]
pub(crate) struct UseRemote(pub(crate) Work);

/// What is done with a key beyond this process. It carries leases, never key bytes.
pub(crate) enum Work {
    /// Wrap the data key on lease.
    Wrap { key: KeyId, held: Held, context: [u8; 32] },
    /// Unwrap the token.
    Unwrap { key: KeyId, token: Box<[u8]>, context: [u8; 32] },
    /// Wrap what is in the token under the current version.
    Rewrap { key: KeyId, token: Box<[u8]>, context: [u8; 32] },
    /// Look whether others have made the key, or a version of it.
    Look { key: KeyId },
}

/// Describes one key.
#[derive(Message)]
#[rtype(result = "Result<KeyDescription, Error>")]
pub(crate) struct Describe {
    pub(crate) id: KeyId,
}

/// Describes the versions of one key, oldest first.
#[derive(Message)]
#[rtype(result = "Result<Vec<VersionDescription>, Error>")]
pub(crate) struct DescribeVersions {
    pub(crate) id: KeyId,
}

/// Lists keys by id, those after `after`.
#[derive(Message)]
#[rtype(result = "Result<KeyPage, Error>")]
pub(crate) struct List {
    pub(crate) after: Option<KeyId>,
    pub(crate) limit: usize,
}

// ---- Said by the reaper ----

/// What is due: deletions whose window has passed, rotations by age and by use.
#[derive(Message)]
#[rtype(result = "Result<Vec<(KeyId, Mutation)>, Error>")]
pub(crate) struct Due {
    pub(crate) now: WallTime,
}
