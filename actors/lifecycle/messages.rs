//! What the lifecycle actor hears, grouped by who says it.

use core::time::Duration;
use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use crate::audit::Caller;
use crate::config::Config;
use crate::error::Error;
use crate::gate::ShutTicket;
use crate::status::{FreezeReport, FreezeScope, StartReport, StopReport};

// ---- Said by hosts, through `Kms` ----

// What takes away carries its own way back: unlike an ask it is carried out though its sender does
// not wait. The sender has shut the gate, and nobody else would open it again.

/// Takes a valid configuration. Refused while running.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Configure {
    pub(crate) config: Arc<Config>,
    pub(crate) caller: Caller,
}

/// Builds a generation and opens the gate, over no shut later than `seen`.
#[derive(Message)]
#[rtype(result = "Result<StartReport, Error>")]
pub(crate) struct Start {
    pub(crate) seen: ShutTicket,
    pub(crate) caller: Caller,
}

/// Closes everything. The sender has shut the gate already.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop {
    pub(crate) drain: Duration,
    pub(crate) shut: ShutTicket,
    pub(crate) caller: Caller,
    pub(crate) done: oneshot::Sender<Result<StopReport, Error>>,
}

/// Refuses work and keeps everything. The sender has shut the gate already.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Freeze {
    pub(crate) scope: FreezeScope,
    pub(crate) shut: ShutTicket,
    pub(crate) caller: Caller,
    pub(crate) done: oneshot::Sender<Result<FreezeReport, Error>>,
}

/// Ends a freeze, over no shut later than `seen`.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct Thaw {
    pub(crate) seen: ShutTicket,
    pub(crate) caller: Caller,
}

/// Swaps to another configuration without failing an operation.
#[derive(Message)]
#[rtype(result = "Result<StartReport, Error>")]
pub(crate) struct Reconfigure {
    pub(crate) config: Arc<Config>,
    pub(crate) caller: Caller,
}

// ---- Said by the watcher ----

/// An actor died too often: the engine fails closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ActorLost(pub(crate) &'static str);
