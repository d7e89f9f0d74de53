//! Messages to commands, answers to replies.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, ResponseFuture, WrapFuture};

use super::actor::{Lifecycle, Reply};
use super::messages::{ActorLost, Configure, Freeze, Reconfigure, Start, Stop, Thaw};
use super::state::Command;
use crate::actors::port::Delivery;
use crate::audit::{Caller, ErrorClass, Operation, Outcome, RecordRef};
use crate::error::{Error, OutcomeUnknown};
use crate::status::{FreezeReport, Phase, StartReport, StopReport};

/// The answer to a command that gives: where its outcome is not in the trail, its sender must look
/// before it relies on it (guarantee 4).
fn certain<T>((answer, audited): (Result<T, Error>, bool)) -> Result<T, Error> {
    if answer.is_ok() && !audited { Err(OutcomeUnknown.into()) } else { answer }
}

/// Refuses a message that must not begin.
macro_rules! begun_or_refused {
    ($delivery:expr) => {
        match $delivery.begin() {
            Ok(begun) => begun,
            Err(error) => return Box::pin(async { Err(error) }),
        }
    };
}

impl Handler<Delivery<Configure>> for Lifecycle {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<Configure>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (Configure { config, caller }, begun) = begun_or_refused!(delivery);
        let _entered = begun.entered();
        match self.machine.phase() {
            Phase::NotConfigured | Phase::Stopped | Phase::Failed(_) => self.config = Some(config),
            Phase::Draining | Phase::Frozen(_) | Phase::Running | Phase::Starting => {}
        }
        let who = (Operation::Configure, caller);
        let answer = self.ask(context, begun, who, Reply::Done, Command::Configure);
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<Start>> for Lifecycle {
    type Result = ResponseFuture<Result<StartReport, Error>>;

    fn handle(&mut self, delivery: Delivery<Start>, context: &mut Context<Self>) -> Self::Result {
        let (Start { seen, caller }, begun) = begun_or_refused!(delivery);
        let _entered = begun.entered();
        self.seen = self.seen.max(seen);
        let who = (Operation::Start, caller);
        let answer = self.ask(context, begun, who, Reply::Started, Command::Start);
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<Stop>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<Stop>, context: &mut Context<Self>) {
        let Ok((stop, begun)) = delivery.begin() else {
            return;
        };
        let _entered = begun.entered();
        let Stop { drain, shut, caller, done } = stop;
        self.seen = self.seen.max(shut);
        let command = |asker| Command::Stop { drain, asker };
        let who = (Operation::Stop, caller);
        let answer = self.ask(context, begun, who, Reply::Stopped, command);
        self.relabel(self.machine.phase());
        let answer = async {
            let (answer, audited) = answer.await;
            let _ = done.send(answer.map(|report| StopReport { audited, ..report }));
        };
        context.spawn(answer.into_actor(self));
    }
}

impl Handler<Delivery<Freeze>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<Freeze>, context: &mut Context<Self>) {
        let Ok((freeze, begun)) = delivery.begin() else {
            return;
        };
        let _entered = begun.entered();
        let Freeze { scope, shut, caller, done } = freeze;
        self.seen = self.seen.max(shut);
        let command = |asker| Command::Freeze { scope, asker };
        let who = (Operation::Freeze, caller);
        let answer = self.ask(context, begun, who, Reply::Frozen, command);
        // Where it was refused, the shut of its sender left the wrong reason.
        self.relabel(self.machine.phase());
        let answer = async {
            let (answer, audited) = answer.await;
            let _ = done.send(answer.map(|report| FreezeReport { audited, ..report }));
        };
        context.spawn(answer.into_actor(self));
    }
}

impl Handler<Delivery<Thaw>> for Lifecycle {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Thaw>, context: &mut Context<Self>) -> Self::Result {
        let (Thaw { seen, caller }, begun) = begun_or_refused!(delivery);
        let _entered = begun.entered();
        self.seen = self.seen.max(seen);
        let who = (Operation::Thaw, caller);
        let answer = self.ask(context, begun, who, Reply::Done, Command::Thaw);
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<Reconfigure>> for Lifecycle {
    type Result = ResponseFuture<Result<StartReport, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<Reconfigure>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (Reconfigure { config, caller }, begun) = begun_or_refused!(delivery);
        let _entered = begun.entered();
        self.offered = Some(config);
        let who = (Operation::Reconfigure, caller);
        let answer = self.ask(context, begun, who, Reply::Started, Command::Reconfigure);
        self.offered = None;
        Box::pin(async { certain(answer.await) })
    }
}

impl Handler<Delivery<ActorLost>> for Lifecycle {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<ActorLost>, context: &mut Context<Self>) {
        let Ok((ActorLost(why), begun)) = delivery.begin() else {
            return;
        };
        self.apply(context, Command::ActorLost { why });
        let (trail, plane) = (self.trail.clone(), Arc::clone(&self.plane));
        let recorded = async move {
            let _begun = begun;
            let caller = Caller::engine();
            let record = RecordRef {
                outcome: Outcome::Failed(ErrorClass::Failed),
                generation: plane.status.load().generation,
                ..RecordRef::event(&caller, Operation::Stop, plane.clock.wall())
            };
            trail.brake(&record).await;
        };
        context.spawn(recorded.into_actor(self));
    }
}
