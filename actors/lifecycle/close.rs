//! The way down: quiescence, the wipe of what callers hold, the backend's close.

use core::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::actor::Lifecycle;
use super::state::Command;
use crate::actors::backend::{BackendActor, Close, Settle};
use crate::actors::port::Port;
use crate::actors::timer::Timer;
use crate::error::{Error, Refused};
use crate::limits::{QUIESCE_DEADLINE, REBUILD_BACKOFF_MIN};
use crate::status::Phase;

impl Lifecycle {
    /// Waits for quiescence, and for the mutation that is under way; says so if the gate does not
    /// get quiet in time, and goes on waiting.
    pub(super) fn quiesce(&self, context: &mut Context<Self>, round: u64) {
        let quiesce = self.plane.gate.quiesce_owned();
        let timer = self.trail.timer().clone();
        let backend = self.backend.clone();
        let waits_for_mutation = matches!(self.machine.phase(), Phase::Frozen(_));
        let (done, gone) = oneshot::channel();
        let quiet = async move {
            quiesce.await;
            let _ = done.send(());
            if waits_for_mutation {
                // A backend that is gone changes nothing any more.
                let _ = backend.ask(Settle, CLOSE_DEADLINE).await;
            }
        };
        let span = Span::current();
        let quiet = quiet.instrument(span.clone()).into_actor(self);
        context.spawn(quiet.map(move |(), actor, context| {
            let _entered = span.entered();
            actor.apply(context, Command::Quiet { round });
        }));
        let late = async move { timer.within(QUIESCE_DEADLINE, gone).await.is_err() };
        context.spawn(late.into_actor(self).map(move |late, actor, context| {
            if late {
                let inside = actor.plane.gate.inside();
                actor.apply(context, Command::Stuck { round, inside });
            }
        }));
    }

    /// Wipes what callers hold, then closes the backend.
    pub(super) fn close(&mut self, context: &mut Context<Self>, round: u64) {
        let wiped = self.wipe();
        // Whatever is built in the backend's place from here on opens nothing.
        self.adopted.forget();
        let closed = closed(self.backend.clone(), self.trail.timer().clone());
        let span = Span::current();
        let closed = closed.instrument(span.clone()).into_actor(self);
        context.spawn(closed.map(move |(), actor, context| {
            let _entered = span.entered();
            // Once more: what it had adopted last, before it heard of this, and was lost with.
            actor.adopted.forget();
            // What a change that was under way drew last.
            actor.plane.random.wipe();
            actor.apply(context, Command::Closed { round, wiped });
        }));
    }

    /// Wipes every key that callers hold and withdraws the generation; how many keys that were.
    pub(super) fn wipe(&mut self) -> u64 {
        let cut = self.plane.operations.cut(Refused::Draining);
        let leases = self.plane.slots.wipe();
        self.plane.random.wipe();
        for generation in self.plane.withdraw().into_iter().chain(self.replaced.take()) {
            generation.keys.withdraw();
        }
        self.candidates.clear();
        self.building = None;
        cut + leases
    }
}

/// Has the backend closed, or whatever is built in its place.
async fn closed(backend: Port<BackendActor>, timer: Timer) {
    loop {
        let pause = match backend.ask(Close, CLOSE_DEADLINE).await {
            Err(Error::Refused(Refused::Down { retry_after, .. })) => retry_after,
            Err(Error::OutcomeUnknown(_)) => REBUILD_BACKOFF_MIN,
            // Closed, or given up for good and its values dropped.
            Ok(()) | Err(_) => return,
        };
        let _ = timer.within(pause, core::future::pending::<()>()).await;
    }
}

/// How long the backend may take to close. A stop is answered at its own deadline before that.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(3600);
