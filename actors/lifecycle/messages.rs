//! What the lifecycle actor hears, grouped by who says it.

use core::time::Duration;
use std::sync::Arc;

use actix::Message;

use crate::config::Config;
use crate::error::Error;
use crate::gate::ShutTicket;
use crate::status::{FreezeScope, StartReport, StopReport};

// ---- Said by hosts, through `Kms` ----

/// Takes a valid configuration. Refused while running.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Configure(pub(crate) Arc<Config>);

/// Builds a generation and opens the gate.
#[derive(Message)]
#[rtype(result = "Result<StartReport, Error>")]
pub(crate) struct Start;

/// Closes everything. The sender has shut the gate already.
#[derive(Message)]
#[rtype(result = "Result<StopReport, Error>")]
pub(crate) struct Stop {
    pub(crate) drain: Duration,
    pub(crate) shut: ShutTicket,
}

/// Refuses work and keeps everything. The sender has shut the gate already.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Freeze {
    pub(crate) scope: FreezeScope,
    pub(crate) shut: ShutTicket,
}

/// Ends a freeze.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Thaw;

/// Swaps to another configuration without failing an operation.
#[derive(Message)]
#[rtype(result = "Result<StartReport, Error>")]
pub(crate) struct Reconfigure(pub(crate) Arc<Config>);

// ---- Said by the watcher ----

/// An actor died too often: the engine fails closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ActorLost(pub(crate) &'static str);
