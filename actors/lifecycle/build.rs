//! Candidates: built beside whatever runs, adopted by one publication.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tracing::{Instrument, Span};

use super::actor::Lifecycle;
use super::close::CLOSE_DEADLINE;
use super::state::Command;
use crate::actors::backend::{Adopt, OpenCandidate};
use crate::error::{Error, Refused};
use crate::limits::OPEN_DEADLINE;
use crate::plane::Generation;
use crate::status::Phase;

impl Lifecycle {
    pub(super) fn build(&mut self, context: &mut Context<Self>, attempt: u64, shares: bool) {
        self.numbers.attempts.fetch_max(attempt, Ordering::AcqRel);
        self.abandoned = (attempt, Arc::default());
        let abandoned = Arc::clone(&self.abandoned.1);
        let config = if shares { self.offered.take() } else { self.config.clone() };
        // Weak: what a stop forgets must not live on in an attempt that waits to be made again.
        let weak = config.as_ref().map(Arc::downgrade);
        self.building = config.map(|config| (attempt, config));
        let backend = self.backend.clone();
        let timer = self.trail.timer().clone();
        let open = async move {
            let weak = weak.ok_or(Refused::NotConfigured)?;
            loop {
                let config = weak.upgrade().ok_or(Refused::Late)?;
                let abandoned = Arc::clone(&abandoned);
                let left = Arc::clone(&abandoned);
                let open = OpenCandidate { attempt, config, shares, abandoned };
                match backend.ask(open, OPEN_DEADLINE).await {
                    // It is being built again, and there in a moment.
                    Err(Error::Refused(Refused::Down { retry_after, .. }))
                        if !left.load(Ordering::Acquire) =>
                    {
                        let _ = timer.within(retry_after, core::future::pending::<()>()).await;
                    }
                    opened => return opened,
                }
            }
        };
        let span = Span::current();
        let opened = open.instrument(span.clone()).into_actor(self);
        let opened = opened.map(move |opened, actor, context| {
            let _entered = span.entered();
            match opened {
                Ok(candidate) => {
                    actor.candidates.insert(attempt, candidate);
                    actor.apply(context, Command::Built { attempt });
                }
                Err(error) => {
                    actor.build_errors.insert(attempt, error);
                    let why = "the backend could not be opened";
                    actor.apply(context, Command::BuildFailed { attempt, why });
                    actor.build_errors.remove(&attempt);
                }
            }
        });
        context.spawn(opened);
    }

    pub(super) fn adopt(&mut self, context: &mut Context<Self>, attempt: u64, generation: u64) {
        self.numbers.generation.store(generation, Ordering::Release);
        let building = self.building.take_if(|building| building.0 == attempt);
        let (Some(candidate), Some((_, config))) = (self.candidates.remove(&attempt), building)
        else {
            return;
        };
        self.config = Some(Arc::clone(&config));
        // Ordered before every mutation that callers of the new generation send.
        let adopted = self.backend.ask(Adopt { attempt }, CLOSE_DEADLINE);
        let adopted = adopted.into_actor(self).map(move |adopted, actor, context| {
            let in_use = match actor.machine.phase() {
                Phase::Running | Phase::Frozen(_) => actor.machine.generation() == generation,
                Phase::Draining
                | Phase::Failed(_)
                | Phase::NotConfigured
                | Phase::Starting
                | Phase::Stopped => false,
            };
            // It died with the candidate: its successor has another store, or none.
            if adopted.is_err() && in_use {
                let why = "the backend lost what it had opened";
                actor.apply(context, Command::ActorLost { why });
            }
        });
        context.spawn(adopted);
        self.plane.random.set_cloned_host(config.host.cloned_host);
        self.plane.slots.require_locked(config.host.require_locked_memory);
        let published = Generation {
            number: generation,
            keys: candidate.keys,
            backend: candidate.backend,
            capabilities: candidate.capabilities,
            release: config.audit.release,
            default_key: config.default_key.clone(),
            cloned_host: config.host.cloned_host,
            object_threads: config.objects.threads(),
        };
        self.replaced = self.plane.publish(Arc::new(published));
    }
}
