//! What the credentials actor hears, grouped by who says it.

use std::sync::Arc;

use actix::Message;
use arc_swap::ArcSwap;

use super::state::{Epoch, Standing};
use crate::backend::vault::auth::{LoginLimits, Method, Verdict, Wire};
use crate::backend::vault::token::Token;
use crate::error::Error;
use crate::status::RotationReport;

/// Which identity: a number that is never used again.
pub(crate) type Member = u64;

/// An identity that is kept: all that a successor of the actor needs.
#[derive(Clone)]
pub(super) struct Enrolment {
    pub(super) wire: Arc<dyn Wire>,
    pub(super) method: Arc<Method>,
    pub(super) limits: LoginLimits,
    /// Where its standing is published.
    pub(super) standing: Arc<ArcSwap<Standing>>,
}

// ---- Said by whoever opens a store in Vault ----

/// Logs in and keeps the identity alive until it is dismissed. Answered once a token is in force.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Enroll {
    pub(super) member: Member,
    pub(super) enrolment: Enrolment,
}

/// The session of the identity is gone: its token is taken out of force, and revoked if that is
/// configured. Idempotent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Dismiss {
    pub(super) member: Member,
    /// Its token, which the sender took out of force.
    pub(super) token: Option<Arc<Token>>,
}

// ---- Said by calls ----

/// Vault answered 403 to the request `mark` under this token. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<Verdict, Error>")]
pub(crate) struct TokenRejected {
    pub(super) member: Member,
    pub(super) epoch: Epoch,
    pub(super) mark: u64,
}

// ---- Said by hosts, through `Kms` ----

/// Logs every identity in anew. Answered once new tokens are in force and, if asked, the old ones
/// are revoked. Not idempotent.
#[derive(Message)]
#[rtype(result = "Result<RotationReport, Error>")]
pub(crate) struct RotateCredentials {
    pub(crate) revoke_old: bool,
}

/// Answered once the tokens of dismissed identities are revoked, where that is configured, or given
/// up after a short while: no token that was dismissed before is in memory then. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Settle;
