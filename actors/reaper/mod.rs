//! The reaper: what happens by itself, by a clock.
//!
//! Owns the schedule of physical deletions and of rotations by age and by use. It decides nothing
//! about a key: it asks the backend actor what is due and says it like anybody else, under a
//! principal of its own. It refuses to delete while the wall clock cannot be believed.
//!
//! Invariants:
//!
//! 1. Material is erased only while wall clock and boot-time clock have advanced together since the
//!    engine was made or somebody accepted the clock ([`ClockWatch`]): a wall clock that is moved,
//!    by an operator or a time server, deletes nothing.
//! 2. What is found due twice is done once: the second time the key's state refuses it.

mod state;

use core::time::Duration;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

pub(crate) use self::state::ClockWatch;
use super::backend::{BackendActor, Due, Mutate};
use super::port::{Delivery, Port};
use super::watch::Obituary;
use crate::audit::Caller;
use crate::error::Error;
use crate::key::Mutation;
use crate::limits::ASK_DEADLINE;
use crate::plane::Plane;

/// Carries out what is due; see the module's documentation.
pub(crate) struct Reaper {
    plane: Arc<Plane>,
    backend: Port<BackendActor>,
    every: Duration,
    clocks: Arc<ClockWatch>,
    /// Whether a round is under way.
    busy: bool,
    _obituary: Obituary,
}

impl Reaper {
    pub(crate) fn new(
        plane: Arc<Plane>,
        backend: Port<BackendActor>,
        every: Duration,
        clocks: Arc<ClockWatch>,
        obituary: Obituary,
    ) -> Self {
        Self { plane, backend, every, clocks, busy: false, _obituary: obituary }
    }

    fn look(&mut self, context: &mut Context<Self>) {
        let (boot, wall) = (self.plane.clock.boot(), self.plane.clock.wall());
        let holds = self.clocks.observe(boot, wall);
        if self.busy || self.plane.generation().is_none() {
            return;
        }
        self.busy = true;
        let backend = self.backend.clone();
        let round = async move {
            // Refusals are not told on: what is due now is due at the next look.
            let due = backend.ask(Due { now: wall }, ASK_DEADLINE).await.unwrap_or_default();
            for (id, mutation) in due {
                if holds && mutation == Mutation::Destroy {
                    continue;
                }
                let mutate = Mutate { caller: Caller::engine(), id, mutation };
                if let Err(error) = backend.ask(mutate, ASK_DEADLINE).await {
                    tracing::warn!(%error, "what was due on a key was not done");
                }
            }
        };
        context.spawn(round.into_actor(self).map(|(), reaper, _| reaper.busy = false));
    }
}

impl Actor for Reaper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(self.every, Self::look);
    }
}

/// A key has changed so that something is due. Said by the backend actor. Idempotent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct KeyChanged;

impl Handler<Delivery<KeyChanged>> for Reaper {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<KeyChanged>, context: &mut Context<Self>) {
        if let Ok((KeyChanged, _begun)) = delivery.begin() {
            self.look(context);
        }
    }
}

/// The wall clock is taken as it is. Said on behalf of whoever starts the engine. Idempotent.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub(crate) struct AcceptClock;

impl Handler<Delivery<AcceptClock>> for Reaper {
    type Result = Result<(), Error>;

    fn handle(&mut self, delivery: Delivery<AcceptClock>, _: &mut Context<Self>) -> Self::Result {
        let (AcceptClock, _begun) = delivery.begin()?;
        self.clocks.accept(self.plane.clock.boot(), self.plane.clock.wall());
        Ok(())
    }
}
