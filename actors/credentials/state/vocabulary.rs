//! What a machine hears and says: numbers and facts, no token.

use core::time::Duration;

use crate::backend::vault::auth::{Grant, RenewFault};
use crate::clock::BootTime;
use crate::error::VaultError;
use crate::status::IdentityWarning;

/// Who waits for an answer: a number that the actor knows.
pub(in super::super) type Asker = u64;

/// Which token: 0 before the first.
pub(in super::super) type Epoch = u64;

/// A piece of work. What comes of one that was abandoned is not heard.
pub(in super::super) type Ticket = u64;

/// How often, how soon.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Timing {
    /// Between the beginnings of two logins that nobody ordered.
    pub(in super::super) login_interval_min: Duration,
    /// First pause after a failure, doubled for each further one.
    pub(in super::super) retry_min: Duration,
    /// Longest pause after a failure.
    pub(in super::super) retry_max: Duration,
}

/// What happens to an identity.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Command {
    /// Somebody needs it: the first login.
    Enroll(Asker),
    /// A predecessor had installed this token; what is left of its lease is not known.
    Resume { epoch: Epoch },
    /// Vault answered 403 to the request `mark` under this token.
    Rejected { asker: Asker, epoch: Epoch, mark: u64 },
    /// A new token is ordered.
    Rotate { asker: Asker, revoke: bool },
    /// The source of token or secret holds something else. `adopt`: what it holds is a token.
    SourceChanged { adopt: bool },
    /// A login ended. The actor keeps the token by the ticket.
    LoggedIn { ticket: Ticket, result: Result<(Epoch, Grant), VaultError> },
    /// A renewal ended.
    Renewed { ticket: Ticket, result: Result<Grant, RenewFault> },
    /// A lookup ended.
    LookedUp { ticket: Ticket, found: Found },
    /// Something may be due.
    Due,
    /// The identity is no longer wanted.
    Close { revoke: bool },
}

/// What `lookup-self` came to.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Found {
    /// Vault knows the token.
    Alive(Grant),
    /// It does not.
    Rejected,
    /// There was no answer that says either.
    Unclear(VaultError),
}

/// What the actor does about it, in this order.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Effect {
    /// Drop the future of this work.
    Abandon(Ticket),
    /// Log in; `probe`: and find out whether the token may look itself up.
    Login { ticket: Ticket, probe: bool },
    /// Renew the token that is installed.
    Renew(Ticket),
    /// Look up the token that is installed.
    LookUp(Ticket),
    /// Make the token that came with this ticket the one that calls use.
    Install(Ticket),
    /// Wipe the token that was installed before once no call uses it any more, and revoke it first
    /// if asked.
    Retire { revoke: bool },
    /// Answer.
    Answer(Asker, Answer),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Answer {
    /// A token is installed.
    Enrolled,
    /// The token that was rejected has been replaced: repeat once.
    Repeat,
    /// The token is good: a policy forbids the request.
    Forbidden,
    /// Another token is installed; whether the one before is revoked is for the actor to say, where
    /// that was asked for.
    Rotated { revoked: Option<bool> },
    /// No token could be had, or nothing could be found out.
    Failed(VaultError),
}

/// How an identity stands, for status.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Standing {
    pub(in super::super) epoch: Epoch,
    /// Whether a token is installed that is not known to be dead.
    pub(in super::super) holds: bool,
    /// When the token ends unless it is renewed or replaced.
    pub(in super::super) expires: Option<BootTime>,
    /// When that is tried next.
    pub(in super::super) next_attempt: Option<BootTime>,
    pub(in super::super) fault: Option<VaultError>,
    pub(in super::super) warning: Option<IdentityWarning>,
    pub(in super::super) blind: bool,
    pub(in super::super) counts: Counts,
}

/// What an identity has done, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Counts {
    pub(in super::super) logins: u64,
    pub(in super::super) logins_failed: u64,
    pub(in super::super) renewals: u64,
    pub(in super::super) renewals_failed: u64,
    pub(in super::super) lookups: u64,
    pub(in super::super) rejected: u64,
    pub(in super::super) forbidden: u64,
}
