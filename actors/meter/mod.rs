//! The meter: metrics, told by a clock.
//!
//! Owns the timer of the rounds and nothing else: what is told, and to whom, is the round's own
//! (`src/metrics`). A round calls the host's recorder, so it runs on a thread for work that blocks:
//! a recorder that is slow delays the next round and no actor. One that never returns keeps one such
//! thread, and the end of the engine, waiting.

use core::time::Duration;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::watch::Obituary;

/// One round.
pub(crate) type RoundOfMetrics = Arc<dyn Fn() + Send + Sync>;

/// Makes rounds; see the module's documentation.
pub(crate) struct Meter {
    every: Duration,
    round: RoundOfMetrics,
    /// Whether a round is under way.
    busy: bool,
    _obituary: Obituary,
}

impl Meter {
    pub(crate) fn new(every: Duration, round: RoundOfMetrics, obituary: Obituary) -> Self {
        Self { every: every.max(EVERY_MIN), round, busy: false, _obituary: obituary }
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if core::mem::replace(&mut self.busy, true) {
            return;
        }
        let round = Arc::clone(&self.round);
        let done = tokio::task::spawn_blocking(move || round());
        context.spawn(done.into_actor(self).map(|done, meter, _| {
            meter.busy = false;
            if done.is_err() {
                tracing::error!("the recorder of metrics panicked");
            }
        }));
    }
}

impl Actor for Meter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.look(context);
        context.run_interval(self.every, Self::look);
    }
}

/// Rounds more often than that would be all that their thread does.
const EVERY_MIN: Duration = Duration::from_millis(100);
