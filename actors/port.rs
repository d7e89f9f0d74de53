//! The way to an actor: admission before the queue, a deadline, and an end that can be named.
//!
//! Owns the current address of one actor, the count of messages that are under way to it, and what
//! became of them. It is the only file that sends: actix bounds a mailbox by its capacity *and one
//! message per clone of its address*, so any path around this one has no bound.
//!
//! 1. At most [`MAILBOX_MAX`](crate::limits::MAILBOX_MAX) messages of a port are queued or being
//!    handled, however many clones and threads ask. A message's place is taken before it is queued
//!    and given back when its handling ends, or when it is dropped.
//! 2. Every message leaves [`Stage::Queued`] exactly once, by one exchange; who wins it says what
//!    became of the message and counts it. So [`Refused`] means that it never began, and
//!    [`OutcomeUnknown`](crate::error::OutcomeUnknown) that it did.
//! 3. A message that ended any other way than by beginning is never begun.
//! 4. A closed port stays closed, whoever installs an address, until it is reopened on purpose.
//!
//! A handler begins the delivery before anything else, and holds the proof until it has answered;
//! one that answers by a future moves it in:
//!
//! ```text
//! let (message, _begun) = delivery.begin()?;
//! ```
//!
//! Cost, on two cores: 0.6 us over `Addr::send` on a round trip of 5 us, 1.1 us over it with 512
//! asks in flight (0.2 us there); a refusal 15 ns.

mod delivery;
mod tally;

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use actix::dev::{Request, SendError, ToEnvelope};
use actix::{Actor, Addr, Context, Handler, Message};
use arc_swap::{ArcSwap, Guard};
use crossbeam_utils::CachePadded;
use tokio::time::Instant;

use self::delivery::{Asker, Desk, Pass, Stage, Standing};
pub(crate) use self::delivery::{Begun, Delivery};
use super::timer::Timer;
use crate::error::{Error, Refused};
use crate::limits::REBUILD_BACKOFF_MIN;
use crate::metrics::Samples;
use crate::status::Messages;

/// The way to the actor `A`, whichever value of it is alive.
///
/// Clones are the same port: they share its bound, its state and its counts.
pub(crate) struct Port<A: Actor>(Arc<Core<A>>);

struct Core<A: Actor> {
    /// Shared by all lanes to the actor.
    seat: Arc<CachePadded<ArcSwap<Seat<A>>>>,
    desk: Desk,
}

/// Who sits behind the port.
enum Seat<A: Actor> {
    Up(Addr<A>),
    Down { retry_after: Duration },
    Closed(Refused),
}

impl<A: Actor> Port<A> {
    /// A port that is down until an actor is installed.
    pub(crate) fn new(name: &'static str, timer: Timer) -> Self {
        Self(Arc::new(Core {
            seat: Arc::new(CachePadded::new(ArcSwap::from_pointee(Seat::Down {
                retry_after: REBUILD_BACKOFF_MIN,
            }))),
            desk: Desk::new(name, timer),
        }))
    }

    /// Another way to the same actor, with a bound and counts of its own: what floods this one
    /// refuses nothing there.
    pub(crate) fn lane(&self, name: &'static str, timer: Timer) -> Self {
        Self(Arc::new(Core { seat: Arc::clone(&self.0.seat), desk: Desk::new(name, timer) }))
    }

    /// The actor's name in errors, logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        self.0.desk.name()
    }

    /// Starts `actor` on this thread and installs its address.
    ///
    /// Its mailbox has no capacity of its own: admission bounds it, and actix would only park the
    /// shared address.
    ///
    /// # Errors
    ///
    /// Why the port is closed; the actor then ends at its first turn.
    pub(crate) fn raise(&self, actor: A) -> Result<(), Refused>
    where
        A: Actor<Context = Context<A>>,
    {
        self.install(A::create(|context| {
            context.set_mailbox_capacity(0);
            actor
        }))
    }

    /// Puts `address` behind the port. The address that was there is dropped: its actor handles
    /// what it has queued and ends.
    ///
    /// # Errors
    ///
    /// Why the port is closed.
    pub(crate) fn install(&self, address: Addr<A>) -> Result<(), Refused> {
        let before = self.0.seat.rcu(|seat| match &**seat {
            Seat::Up(_) | Seat::Down { .. } => Arc::new(Seat::Up(address.clone())),
            Seat::Closed(_) => Arc::clone(seat),
        });
        match &*before {
            Seat::Up(_) | Seat::Down { .. } => Ok(()),
            Seat::Closed(why) => Err(*why),
        }
    }

    /// Refuses new messages as [`Refused::Down`]. An actor that lives handles what it has queued
    /// and ends. A closed port stays closed.
    pub(crate) fn take_down(&self, retry_after: Duration) {
        self.0.seat.rcu(|seat| match &**seat {
            Seat::Up(_) | Seat::Down { .. } => Arc::new(Seat::Down { retry_after }),
            Seat::Closed(_) => Arc::clone(seat),
        });
    }

    /// Refuses new messages, and those that are queued when their turn comes, with `why`. What was
    /// begun may finish; then the actor ends.
    pub(crate) fn close(&self, why: Refused) {
        self.0.seat.store(Arc::new(Seat::Closed(why)));
    }

    /// Makes a closed port one that is down. One that is not closed stays as it is.
    pub(crate) fn reopen(&self) {
        self.0.seat.rcu(|seat| match &**seat {
            Seat::Up(_) | Seat::Down { .. } => Arc::clone(seat),
            Seat::Closed(_) => Arc::new(Seat::Down { retry_after: REBUILD_BACKOFF_MIN }),
        });
    }

    /// Why the port is closed, if it is.
    pub(crate) fn closed(&self) -> Option<Refused> {
        self.0.closed()
    }

    /// Asks the actor. The message is queued *now*, in the order of the calls; the future only
    /// waits for the answer. Dropping it before the message began takes the message back.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the message never began, [`OutcomeUnknown`](crate::error::OutcomeUnknown) if
    /// it did and its answer is lost or later than `deadline` from now, and what the actor answers.
    pub(crate) fn ask<M, R>(
        &self,
        message: M,
        deadline: Duration,
    ) -> impl Future<Output = Result<R, Error>> + Send + 'static + use<A, M, R>
    where
        M: Message<Result = Result<R, Error>> + Send + 'static,
        R: Send + 'static,
        A: Handler<Delivery<M>>,
        A::Context: ToEnvelope<A, Delivery<M>>,
    {
        let moment = self.0.desk.timer().after(deadline);
        let sent = self.send(message, moment);
        async move {
            let (request, asker) = sent?;
            let mut request = pin!(request);
            let mut alarm = pin!(asker.alarm(moment));
            poll_fn(|cx| {
                // The answer first: one that is there is given, however late it is asked for.
                if let Poll::Ready(answer) = request.as_mut().poll(cx) {
                    return Poll::Ready(asker.answer(answer));
                }
                alarm.as_mut().poll(cx).map(|rang| Err(asker.leave(rang)))
            })
            .await
        }
    }

    #[expect(clippy::disallowed_methods, reason = "admitted, in the line above")]
    fn send<M>(
        &self,
        message: M,
        deadline: Instant,
    ) -> Result<(Request<A, Delivery<M>>, Asker), Refused>
    where
        M: Message<Result: Send> + Send + 'static,
        A: Handler<Delivery<M>>,
        A::Context: ToEnvelope<A, Delivery<M>>,
    {
        let Admitted { seat, pass } = self.admit(Some(deadline))?;
        let asker = pass.asker();
        let delivery = Delivery::new(message, pass);
        match &**seat {
            Seat::Up(address) => Ok((address.send(delivery), asker)),
            Seat::Down { .. } | Seat::Closed(_) => Err(delivery.settle(Stage::Lost)),
        }
    }

    /// Tells the actor something, without an answer: an event, a doorbell. Bounded like an ask.
    ///
    /// # Errors
    ///
    /// Why it was not queued. One that was queued may still be lost with its actor: whatever is
    /// built in its place begins from durable state.
    #[expect(clippy::disallowed_methods, reason = "admitted, in the line above")]
    pub(crate) fn tell<M>(&self, message: M) -> Result<(), Refused>
    where
        M: Message<Result: Send> + Send + 'static,
        A: Handler<Delivery<M>>,
        A::Context: ToEnvelope<A, Delivery<M>>,
    {
        let Admitted { seat, pass } = self.admit(None)?;
        let delivery = Delivery::new(message, pass);
        let Seat::Up(address) = &**seat else {
            return Err(delivery.settle(Stage::Lost));
        };
        let unsent = match address.try_send(delivery) {
            Ok(()) => return Ok(()),
            // Only a mailbox with a capacity of its own parks the address; a clone is never parked.
            Err(SendError::Full(delivery)) => match address.clone().try_send(delivery) {
                Ok(()) => return Ok(()),
                Err(unsent) => unsent.into_inner(),
            },
            Err(SendError::Closed(delivery)) => delivery,
        };
        Err(unsent.settle(Stage::Lost))
    }

    /// Takes a place in the queue.
    fn admit(&self, deadline: Option<Instant>) -> Result<Admitted<A>, Refused> {
        let desk = &self.0.desk;
        let seat = self.0.seat.load();
        let standing = match &**seat {
            Seat::Up(_) if desk.timer().is_gone() => Err(Refused::Stopped),
            Seat::Up(_) => Ok(()),
            Seat::Down { retry_after } => Err(desk.down(*retry_after)),
            Seat::Closed(why) => Err(*why),
        };
        desk.receive(standing)?;
        // The place that `receive` took is the pass's from here on.
        let pass = Pass::new(Arc::clone(&self.0) as _, deadline);
        Ok(Admitted { seat, pass })
    }

    /// What became of the port's messages so far.
    pub(crate) fn counters(&self) -> Messages {
        self.0.desk.counters()
    }

    /// How long messages waited, and how long handling them took, by size.
    pub(crate) fn samples(&self) -> (Samples, Samples) {
        self.0.desk.samples()
    }

    /// Counts a rebuild of the actor.
    pub(super) fn count_restart(&self) {
        self.0.desk.count_restart();
    }

    /// Counts a panic of the actor.
    pub(super) fn count_panic(&self) {
        self.0.desk.count_panic();
    }
}

/// A message that has its place, and who sat behind the port when it was taken.
struct Admitted<A: Actor> {
    seat: Guard<Arc<Seat<A>>>,
    pass: Pass,
}

impl<A: Actor> Clone for Port<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> Standing for Core<A> {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn closed(&self) -> Option<Refused> {
        match &**self.seat.load() {
            Seat::Up(_) | Seat::Down { .. } => None,
            Seat::Closed(why) => Some(*why),
        }
    }

    fn lost(&self) -> Refused {
        match &**self.seat.load() {
            // It died so lately that nobody has been told.
            Seat::Up(_) => self.desk.down(REBUILD_BACKOFF_MIN),
            Seat::Down { retry_after } => self.desk.down(*retry_after),
            Seat::Closed(why) => *why,
        }
    }
}

#[cfg(test)]
mod tests;
