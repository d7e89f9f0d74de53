//! A message on its way: its place in the queue, its deadline, and the one exchange that says what
//! became of it (invariants 1 to 3 of the port).

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use actix::{MailboxError, Message};
use crossbeam_utils::CachePadded;
use tokio::time::Instant;
use tracing::Span;
use tracing::span::EnteredSpan;

use super::super::timer::{Alarm, Rang, Timer};
use super::tally::Tally;
use crate::error::{Error, OutcomeUnknown, Refused};
use crate::limits::MAILBOX_MAX;
use crate::metrics::Samples;
use crate::status::Messages;
use crate::trace;

/// What became of one message. It leaves `Queued` exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    Queued,
    /// Its handler runs or has run.
    Begun,
    /// The asker dropped its future.
    Cancelled,
    /// Its deadline came first.
    Late,
    /// Its actor, or the timer, ended first; or the port was closed.
    Lost,
}

/// A message on its way to an actor. The first thing a handler does with it is
/// [`begin`](Self::begin).
#[must_use]
pub(crate) struct Delivery<M> {
    body: M,
    pass: Pass,
}

impl<M: Message> Message for Delivery<M> {
    type Result = M::Result;
}

impl<M> Delivery<M> {
    pub(super) fn new(body: M, pass: Pass) -> Self {
        Self { body, pass }
    }

    /// The message, and the proof that it was begun, to hold until it is answered.
    ///
    /// # Errors
    ///
    /// [`Refused`] if it must not begin: its deadline has passed, its asker has gone, its port was
    /// closed.
    pub(crate) fn begin(self) -> Result<(M, Begun), Error> {
        let Self { body, pass } = self;
        if pass.slip.standing.closed().is_some() {
            return Err(pass.settle(Stage::Lost).into());
        }
        let desk = pass.slip.desk();
        let at = desk.timer.now();
        if pass.deadline.is_some_and(|deadline| deadline <= at) {
            return Err(pass.settle(Stage::Late).into());
        }
        if !pass.slip.leave_queue(Stage::Begun) {
            // Whoever took it back does not wait for this answer.
            return Err(Refused::Late.into());
        }
        let waited = at.saturating_duration_since(pass.asked);
        desk.tally.begun(waited);
        let span = trace::message::<M>(&pass.span, desk.name, waited);
        Ok((body, Begun { at, pass, span }))
    }

    pub(super) fn settle(&self, stage: Stage) -> Refused {
        self.pass.settle(stage)
    }
}

/// A message that is being handled. Dropping it, with the answer given or in a panic, gives its
/// place back and measures the time that the handling took.
#[must_use = "hold it until the message is answered: it is the message's place in the queue"]
pub(crate) struct Begun {
    at: Instant,
    pass: Pass,
    span: Span,
}

impl Begun {
    /// The message's span under its asker's, to instrument a future with.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The same, entered: for what a handler does before it returns.
    pub(crate) fn entered(&self) -> EnteredSpan {
        self.span.clone().entered()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let desk = self.pass.slip.desk();
        let took = desk.timer.now().saturating_duration_since(self.at);
        desk.tally.ended(took);
    }
}

/// What both sides of a message share.
struct Slip {
    stage: AtomicU8,
    standing: Arc<dyn Standing>,
}

impl Slip {
    fn desk(&self) -> &Desk {
        self.standing.desk()
    }

    /// Whether the caller is the one who moved the message from `Queued` to `to`.
    fn leave_queue(&self, to: Stage) -> bool {
        let queued = Stage::Queued as u8;
        self.stage.compare_exchange(queued, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the message's wait as `to`, counts it if it had not ended, and answers why it does not
    /// begin.
    fn settle(&self, to: Stage) -> Refused {
        let why = match to {
            Stage::Late => Refused::Late,
            Stage::Queued | Stage::Begun | Stage::Cancelled | Stage::Lost => self.standing.lost(),
        };
        if self.leave_queue(to) {
            self.desk().tally.refused(why);
        }
        why
    }
}

/// Everything about a message but its body. It holds a place in the queue, which it gives back
/// when it is dropped.
pub(super) struct Pass {
    asked: Instant,
    deadline: Option<Instant>,
    slip: Arc<Slip>,
    span: Span,
}

impl Pass {
    /// The pass of a message whose place [`Desk::receive`] has taken.
    pub(super) fn new(standing: Arc<dyn Standing>, deadline: Option<Instant>) -> Self {
        Self {
            asked: standing.desk().timer.now(),
            deadline,
            slip: Arc::new(Slip { stage: AtomicU8::new(Stage::Queued as u8), standing }),
            span: Span::current(),
        }
    }

    /// The asker's side of this message.
    pub(super) fn asker(&self) -> Asker {
        Asker { slip: Arc::clone(&self.slip) }
    }

    fn settle(&self, stage: Stage) -> Refused {
        self.slip.settle(stage)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // Relaxed: the exchange in `settle` decides, this only spares it after the usual end.
        if self.slip.stage.load(Ordering::Relaxed) == Stage::Queued as u8 {
            self.settle(Stage::Lost);
        }
        self.slip.desk().leave();
    }
}

/// The asker's side of one message. Dropped before the message began, it takes the message back.
pub(super) struct Asker {
    slip: Arc<Slip>,
}

impl Asker {
    pub(super) fn alarm(&self, moment: Instant) -> Alarm {
        self.slip.desk().timer.at(moment)
    }

    /// What the asker is told when the actor's side has ended.
    pub(super) fn answer<R>(
        &self,
        answer: Result<Result<R, Error>, MailboxError>,
    ) -> Result<R, Error> {
        match answer {
            Ok(answer) => answer,
            Err(MailboxError::Closed | MailboxError::Timeout) => Err(self.end(Stage::Lost)),
        }
    }

    /// What the asker is told when it stops waiting.
    pub(super) fn leave(&self, rang: Rang) -> Error {
        self.end(match rang {
            Rang::Due => Stage::Late,
            Rang::TimerGone => Stage::Lost,
        })
    }

    fn end(&self, stage: Stage) -> Error {
        let why = self.slip.settle(stage);
        if self.slip.stage.load(Ordering::Acquire) == Stage::Begun as u8 {
            self.slip.desk().tally.outcome_unknown();
            return OutcomeUnknown.into();
        }
        why.into()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if self.slip.leave_queue(Stage::Cancelled) {
            self.slip.desk().tally.cancelled();
        }
    }
}

/// What a message in the queue needs to know of its port.
pub(super) trait Standing: Send + Sync {
    fn desk(&self) -> &Desk;
    /// Why a message that is queued must not begin any more.
    fn closed(&self) -> Option<Refused>;
    /// Why a message that the actor dropped was not begun.
    fn lost(&self) -> Refused;
}

/// What a port keeps that does not depend on its actor's type.
pub(super) struct Desk {
    name: &'static str,
    timer: Timer,
    under_way: CachePadded<AtomicUsize>,
    tally: Tally,
}

impl Desk {
    pub(super) fn new(name: &'static str, timer: Timer) -> Self {
        Self {
            name,
            timer,
            under_way: CachePadded::new(AtomicUsize::new(0)),
            tally: Tally::default(),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Counts a message in and takes a place for it, if the port stands as it must.
    pub(super) fn receive(&self, standing: Result<(), Refused>) -> Result<(), Refused> {
        self.tally.received();
        standing.and_then(|()| self.enter()).inspect_err(|why| {
            self.tally.refused(*why);
        })
    }

    /// An exchange, not an addition that is taken back: a caller who is refused must not make
    /// another one, for whom there is room, be refused too.
    fn enter(&self) -> Result<(), Refused> {
        let enter = |count: usize| (count < MAILBOX_MAX).then_some(count + 1);
        self.under_way.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter).map(drop).map_err(
            |_full| Refused::Full { limit: "MAILBOX_MAX", retry_after: self.tally.turnaround() },
        )
    }

    fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn down(&self, retry_after: Duration) -> Refused {
        if self.timer.is_gone() {
            return Refused::Stopped;
        }
        Refused::Down { actor: self.name, retry_after }
    }

    pub(super) fn counters(&self) -> Messages {
        self.tally.snapshot(self.under_way.load(Ordering::Acquire))
    }

    pub(super) fn samples(&self) -> (Samples, Samples) {
        self.tally.samples()
    }

    pub(super) fn count_restart(&self) {
        self.tally.restarted();
    }

    pub(super) fn count_panic(&self) {
        self.tally.panicked();
    }
}
