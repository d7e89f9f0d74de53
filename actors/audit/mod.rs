//! The audit actor: it collects the callers' buffers and hands them to the writer.
//!
//! Owns the rounds of collection. It never waits: there are never more blocks than the channel to
//! the writer has room for.
//!
//! Invariants:
//!
//! 1. What was accepted is collected within [`COLLECT_INTERVAL`], and at once where somebody waits
//!    for it or a buffer is half full.
//! 2. Buffers and writer outlive the actor's value: a successor goes on with the next round.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use super::port::{Delivery, Port};
use super::timer::{Rang, Timer};
use super::watch::Obituary;
use crate::audit::{Accepted, BrakeAudit, RecordRef, Ticket, WriterEnded};
use crate::error::{Error, Refused};
use crate::gate::stripe_of_thread;
use crate::limits::AUDIT_DEADLINE;
use crate::plane::Plane;
use actix::{Actor, AsyncContext, Context, Handler, Message};

/// Collects blocks; see the module's documentation.
pub(crate) struct AuditActor {
    plane: Arc<Plane>,
    rung: Arc<AtomicBool>,
    _obituary: Obituary,
}

impl AuditActor {
    pub(crate) fn new(plane: Arc<Plane>, rung: Arc<AtomicBool>, obituary: Obituary) -> Self {
        Self { plane, rung, _obituary: obituary }
    }

    fn collect(&self) {
        let (clock, audit) = (&self.plane.clock, &self.plane.audit);
        let generation = self.plane.generation().map_or(0, |generation| generation.number);
        audit.tell_refusals(clock.boot(), clock.wall(), generation);
        audit.swap_out();
    }
}

impl Actor for AuditActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // A ring that was lost with a predecessor must not be the last.
        self.rung.store(false, Ordering::Release);
        context.run_interval(COLLECT_INTERVAL, |actor, _| actor.collect());
    }
}

/// Collect now. Said by whoever waits for a record or has filled half a buffer. Idempotent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Collect;

impl Handler<Delivery<Collect>> for AuditActor {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<Collect>, _: &mut Context<Self>) {
        // Before collecting: who rings after this is not served by it.
        self.rung.store(false, Ordering::Release);
        if let Ok((Collect, _begun)) = delivery.begin() {
            self.collect();
        }
    }
}

/// Where actors and hosts have their records made durable.
#[derive(Clone)]
pub(crate) struct Trail {
    plane: Arc<Plane>,
    port: Port<AuditActor>,
    timer: Timer,
    rung: Arc<AtomicBool>,
}

impl Trail {
    pub(crate) fn new(
        plane: Arc<Plane>,
        port: Port<AuditActor>,
        timer: Timer,
        rung: Arc<AtomicBool>,
    ) -> Self {
        Self { plane, port, timer, rung }
    }

    /// Has a record written.
    ///
    /// # Errors
    /// [`Refused::AuditUnavailable`] if it was not accepted and written within [`AUDIT_DEADLINE`]
    /// each: where callers have filled the buffers, it waits for room as they do.
    pub(crate) async fn durable(&self, record: &RecordRef<'_>) -> Result<(), Error> {
        let mut waited = Duration::ZERO;
        let ticket = loop {
            let now = self.plane.clock.boot();
            match self.plane.audit.accept(stripe_of_thread(), record, now) {
                Ok(Accepted { ticket, .. }) => break ticket,
                Err(Refused::Full { .. }) if waited < AUDIT_DEADLINE => waited += self.room().await,
                Err(Refused::Full { .. }) => return Err(Refused::AuditUnavailable.into()),
                Err(refused) => return Err(refused.into()),
            }
        };
        self.written(ticket).await
    }

    /// Has the record of a brake written, if the sink takes it in time; whether it did. It is kept
    /// for the sink's return otherwise.
    pub(crate) async fn brake(&self, record: &RecordRef<'_>) -> bool {
        let now = self.plane.clock.boot();
        match self.plane.audit.accept_brake(stripe_of_thread(), record, now) {
            BrakeAudit::Accepted(accepted) => self.written(accepted.ticket).await.is_ok(),
            BrakeAudit::Late => false,
        }
    }

    /// Waits until what `ticket` stands for is written.
    ///
    /// # Errors
    /// [`Refused::AuditUnavailable`] if it is not within [`AUDIT_DEADLINE`].
    pub(crate) async fn written(&self, ticket: Ticket) -> Result<(), Error> {
        self.ring();
        let written = self.plane.audit.confirmed().written(ticket);
        match self.timer.within(AUDIT_DEADLINE, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(WriterEnded)) | Err(Rang::Due | Rang::TimerGone) => {
                Err(Refused::AuditUnavailable.into())
            }
        }
    }

    /// Has the buffers collected and waits a moment, so that there is room again; how long.
    pub(crate) async fn room(&self) -> Duration {
        self.ring();
        let pause = core::future::pending::<()>();
        // A collector that is itself held up by the sink is told by the next refusal.
        let _ = self.timer.within(ROOM_PAUSE, pause).await;
        ROOM_PAUSE
    }

    /// The engine's timer.
    pub(crate) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Rings the collector, once until it has come.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) && self.port.tell(Collect).is_err() {
            self.rung.store(false, Ordering::Release);
        }
    }
}

/// How long an accepted record lies in its buffer at most.
pub(crate) const COLLECT_INTERVAL: Duration = Duration::from_millis(20);

/// How long a caller that found its buffer full waits before it tries again.
const ROOM_PAUSE: Duration = Duration::from_millis(2);
