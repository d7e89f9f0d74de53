//! What an engine says of itself, and the reports of its lifecycle.

use core::time::Duration;

use crate::backend::{BackendKind, Capabilities};
use crate::clock::WallTime;
use crate::error::Refused;
use crate::key::KeyId;

/// Which work a freeze refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeScope {
    /// Everything that uses or changes a key, and every copy out of a lease.
    All,
    /// Wraps, seals and changes of keys.
    Writes,
}

/// Where in its life an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// It closes, and will be stopped.
    Draining,
    /// It closed itself, and why.
    Failed(&'static str),
    /// It refuses work and keeps its keys and its connection.
    Frozen(FreezeScope),
    /// It has no configuration.
    NotConfigured,
    /// It works.
    Running,
    /// It builds and probes its backend.
    Starting,
    /// It holds no key.
    Stopped,
}

impl Phase {
    /// The phase as a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Failed(_) => "failed",
            Self::Frozen(_) => "frozen",
            Self::NotConfigured => "not configured",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
        }
    }

    /// Every phase as a label of metrics.
    pub(crate) const LABELS: [&'static str; 7] =
        ["draining", "failed", "frozen", "not-configured", "running", "starting", "stopped"];

    /// The phase as a label of metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NotConfigured => "not-configured",
            Self::Draining
            | Self::Failed(_)
            | Self::Frozen(_)
            | Self::Running
            | Self::Starting
            | Self::Stopped => self.name(),
        }
    }

    /// What is answered in this phase where there is no generation.
    pub(crate) fn refusal(self) -> Refused {
        refusal(self.refusal_code())
    }

    /// What the gate answers in this phase, as the code that it keeps.
    pub(crate) fn refusal_code(self) -> u8 {
        match self {
            Self::NotConfigured => 0,
            Self::Stopped => 1,
            Self::Starting => 2,
            Self::Frozen(_) => 3,
            Self::Draining | Self::Running => 4,
            Self::Failed(_) => 5,
        }
    }
}

/// What the gate's code stands for.
pub(crate) fn refusal(code: u8) -> Refused {
    match code {
        0 => Refused::NotConfigured,
        1 => Refused::Stopped,
        2 => Refused::Starting,
        3 => Refused::Frozen,
        4 => Refused::Draining,
        _ => Refused::Failed,
    }
}

/// An engine at this moment, read without a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Where in its life it is.
    pub phase: Phase,
    /// Since when (UTC).
    pub since: WallTime,
    /// The generation that runs, or ran last; 0 before the first.
    pub generation: u64,
    /// Whether a new configuration is being built or swapped in.
    pub reconfiguring: bool,
    /// The backend, while there is one.
    pub backend: Option<BackendKind>,
    /// What it can do.
    pub capabilities: Option<Capabilities>,
    /// The key that is used where none is named.
    pub default_key: Option<KeyId>,
    /// Keys known, tombstones included.
    pub keys: u64,
    /// Whether the gate lets in what reads: unwraps, opens, copies of leases.
    pub open_for_reads: bool,
    /// Whether the gate lets in what writes: wraps, seals, changes of keys.
    pub open_for_writes: bool,
    /// Sections inside the gate now.
    pub sections: u64,
    /// Streams and other long operations under way now.
    pub operations: u64,
    /// Whether the audit sink takes records.
    pub audit_healthy: bool,
    /// Whether the reaper holds deletions because the wall clock jumped: since it was first seen,
    /// over stops and failures, until a [`start`](crate::Kms::start).
    pub clock_jump: bool,
    /// The connection to Vault, while there is one.
    pub vault: Option<VaultStatus>,
}

/// The connection to Vault at this moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VaultStatus {
    /// Who the engine is to Vault.
    pub identity: IdentityStatus,
    /// Whether calls are made.
    pub breaker: BreakerState,
    /// When the next call is made, while none is.
    pub breaker_retry_in: Option<Duration>,
    /// Requests that Vault has not answered yet.
    pub in_flight: usize,
    /// Calls that wait: for their turn, for a pause, for a login.
    pub waiting: usize,
}

/// Whether calls to Vault are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerState {
    /// They are.
    Closed,
    /// One is, to see whether Vault is back.
    HalfOpen,
    /// None is, for a while.
    Open,
}

/// Who the engine is to Vault, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct IdentityStatus {
    /// How it logs in.
    pub method: &'static str,
    /// How it stands.
    pub health: IdentityHealth,
    /// How long the token in force lasts: then operations fail, unless a renewal or a login has
    /// succeeded before. `None` if it does not end.
    pub lock_out_in: Option<Duration>,
    /// When the next renewal or login is tried.
    pub next_attempt_in: Option<Duration>,
    /// The word for what went wrong last, since it last went right.
    pub fault: Option<&'static str>,
    /// What will go wrong unless somebody does something.
    pub warning: Option<IdentityWarning>,
    /// Whether a token that was revoked can be told from a policy that forbids; if not, the policy
    /// lacks `auth/token/lookup-self`.
    pub tells_rejections_apart: bool,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that failed.
    pub logins_failed: u64,
    /// Renewals that succeeded.
    pub renewals: u64,
    /// Renewals that failed.
    pub renewals_failed: u64,
    /// Requests that Vault answered with 403.
    pub rejected: u64,
    /// Of those, the ones that a policy forbids.
    pub forbidden: u64,
}

/// How an identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdentityHealth {
    /// It holds a token, and nothing speaks against the next.
    Healthy,
    /// There is no valid token.
    LockedOut,
    /// It holds a token, and getting the next one failed or will.
    Warned,
}

/// A warning: the identity works, and will not for ever unless somebody does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdentityWarning {
    /// So many logins are left in the secret id before the one that is kept.
    SecretIdUses(u64),
    /// The secret id ends soon: this many seconds after the last login.
    SecretIdEnds(u64),
    /// The token cannot be renewed, and only its source can give another.
    TokenNotRenewable,
}

/// What a rotation of the credentials came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RotationReport {
    /// Whether the token that was replaced is revoked; `None` where that was not asked for. It is
    /// revoked once the last request that carries it has ended.
    pub revoked: Option<bool>,
}

/// What a start or a reconfiguration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct StartReport {
    /// The generation that runs now.
    pub generation: u64,
    /// Whether it ran already.
    pub was_running: bool,
}

impl StartReport {
    pub(crate) fn new(generation: u64, was_running: bool) -> Self {
        Self { generation, was_running }
    }
}

/// What a freeze came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FreezeReport {
    /// What is refused from now on.
    pub scope: FreezeScope,
    /// Sections under way when the gate was shut; each has ended.
    pub in_flight: u64,
    /// From the command to the end of the last one, and of a change that was under way.
    pub took: Duration,
    /// Whether the freeze is in the audit trail; it is not where the sink is down (guarantee 4).
    pub audited: bool,
}

impl FreezeReport {
    pub(crate) fn new(scope: FreezeScope, in_flight: u64, took: Duration) -> Self {
        // Whoever records it says so.
        Self { scope, in_flight, took, audited: false }
    }
}

/// What a stop came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct StopReport {
    /// Sections and operations under way when the gate was shut.
    pub in_flight: u64,
    /// Of those, the ones that finished.
    pub finished: u64,
    /// Of those, the ones that were cut.
    pub cancelled: u64,
    /// From the command to the last wipe.
    pub took: Duration,
    /// Keys that hosts or operations still held and that were wiped.
    pub keys_wiped: u64,
    /// Whether the stop is in the audit trail; it is not where the sink is down.
    pub audited: bool,
}

impl StopReport {
    /// The report of a stop that found nothing to stop.
    pub(crate) fn nothing() -> Self {
        Self {
            in_flight: 0,
            finished: 0,
            cancelled: 0,
            took: Duration::ZERO,
            keys_wiped: 0,
            audited: false,
        }
    }
}

/// What the engine has done, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Activity {
    /// By actor, in the order of the roster.
    pub actors: Vec<ActorActivity>,
    /// The audit trail.
    pub audit: AuditActivity,
}

/// One actor's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ActorActivity {
    /// The actor, and the lane to it.
    pub actor: &'static str,
    /// Its messages.
    pub messages: Messages,
}

/// What became of the messages to one actor, in numbers that only grow but for `under_way`.
///
/// Once nothing is queued, `received` is the sum of the `refused_`, `cancelled` and `begun`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Messages {
    /// Asks and tells.
    pub received: u64,
    /// Refused because [`MAILBOX_MAX`](crate::limits::MAILBOX_MAX) were under way.
    pub refused_full: u64,
    /// Refused because the actor was lost, before or after they were queued.
    pub refused_down: u64,
    /// Refused because their deadline came before their turn.
    pub refused_late: u64,
    /// Refused because the port was closed: the engine stops, is stopped or failed.
    pub refused_closed: u64,
    /// Taken back by askers who dropped their future before its turn.
    pub cancelled: u64,
    /// Begun.
    pub begun: u64,
    /// Begun, and the asker was told that the outcome is unknown.
    pub outcome_unknown: u64,
    /// Queued or being handled now.
    pub under_way: usize,
    /// Time in the queue of those that were begun.
    pub wait: Spent,
    /// Time of handling of those that have ended.
    pub handling: Spent,
    /// Rebuilds of the actor.
    pub restarts: u64,
    /// Panics of the actor.
    pub panics: u64,
}

/// Time spent on many messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Spent {
    /// On all of them.
    pub total: Duration,
    /// On the slowest.
    pub longest: Duration,
}

/// What the writer of audit records has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AuditActivity {
    /// Records that the sink took.
    pub records: u64,
    /// Their bytes as stored in the engine's buffers.
    pub bytes: u64,
    /// Transactions that the sink completed.
    pub transactions: u64,
    /// Transactions that it failed.
    pub failures: u64,
    /// Age of the oldest record of the last transaction, in milliseconds.
    pub lag_ms: u64,
}
