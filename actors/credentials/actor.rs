//! The credentials actor: mailbox to command, effect to request.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;

use super::keeper::Registry;
use super::member::{Kept, Revocation, Task};
use super::messages::{Dismiss, Enroll, Member, RotateCredentials, Settle, TokenRejected};
use super::state::{Answer, Command, Found};
use crate::actors::port::Delivery;
use crate::actors::watch::Obituary;
use crate::backend::vault::auth::{self, Looked, Verdict};
use crate::clock::Clock;
use crate::error::{CredentialError, Error, OutcomeUnknown, VaultError};
use crate::limits::{VAULT_REVOKE_DEADLINE, VAULT_SOURCE_INTERVAL};
use crate::status::RotationReport;

/// Keeps identities; see the module's documentation.
pub(crate) struct Credentials {
    registry: Registry,
    clock: Arc<dyn Clock>,
    members: BTreeMap<Member, Kept>,
    /// Tokens of dismissed identities that are being revoked, and who waits for that.
    leaving: usize,
    settling: Vec<oneshot::Sender<()>>,
    _obituary: Obituary,
}

impl Credentials {
    /// The actor. It takes over what a predecessor kept.
    pub(crate) fn new(registry: Registry, obituary: Obituary) -> Self {
        let clock = Arc::clone(registry.clock());
        Self {
            registry,
            clock,
            members: BTreeMap::new(),
            leaving: 0,
            settling: Vec::new(),
            _obituary: obituary,
        }
    }

    fn apply(&mut self, context: &mut Context<Self>, member: Member, command: Command) {
        let now = self.clock.boot();
        let Some(kept) = self.members.get_mut(&member) else {
            return;
        };
        let tasks = kept.apply(now, command);
        for task in tasks {
            self.perform(context, member, task);
        }
        self.set_alarm(context, member);
    }

    fn set_alarm(&mut self, context: &mut Context<Self>, member: Member) {
        let Some(kept) = self.members.get_mut(&member) else {
            return;
        };
        if let Some(earlier) = kept.wake.take() {
            context.cancel_future(earlier);
        }
        kept.wake = kept.due().map(|due| {
            let after = due.since(self.clock.boot()).max(TICK);
            context.run_later(after, move |actor, context| {
                actor.apply(context, member, Command::Due);
            })
        });
    }

    fn perform(&mut self, context: &mut Context<Self>, member: Member, task: Task) {
        let Some(kept) = self.members.get_mut(&member) else {
            return;
        };
        let wire = Arc::clone(&kept.enrolment.wire);
        match task {
            Task::Abandon(handle) => {
                context.cancel_future(handle);
            }
            Task::Login { ticket, probe } => {
                let method = Arc::clone(&kept.enrolment.method);
                let (now, wall) = (self.clock.boot(), self.clock.wall());
                let login = async move { method.login(&*wire, now, wall, probe).await };
                let login = login.into_actor(self).map(move |granted, actor, context| {
                    let Some(kept) = actor.members.get_mut(&member) else { return };
                    kept.works.remove(&ticket);
                    let result = granted.map(|granted| {
                        let epoch = granted.token.serial();
                        kept.keep(ticket, granted.token);
                        (epoch, granted.grant)
                    });
                    actor.apply(context, member, Command::LoggedIn { ticket, result });
                });
                let handle = context.spawn(login);
                self.under_way(member, ticket, handle);
            }
            Task::Renew(ticket, token) => {
                let renewal = async move { auth::renew(&*wire, &token).await };
                let renewal = renewal.into_actor(self).map(move |result, actor, context| {
                    actor.over(member, ticket);
                    actor.apply(context, member, Command::Renewed { ticket, result });
                });
                let handle = context.spawn(renewal);
                self.under_way(member, ticket, handle);
            }
            Task::LookUp(ticket, token) => {
                let lookup = async move { auth::look_up(&*wire, &token).await };
                let lookup = lookup.into_actor(self).map(move |looked, actor, context| {
                    actor.over(member, ticket);
                    let found = match looked {
                        Ok(Looked::Alive(grant)) => Found::Alive(grant),
                        Ok(Looked::Rejected) => Found::Rejected,
                        Err(error) => Found::Unclear(error),
                    };
                    actor.apply(context, member, Command::LookedUp { ticket, found });
                });
                let handle = context.spawn(lookup);
                self.under_way(member, ticket, handle);
            }
            Task::Revoke(revocation) => {
                context.spawn(revocation.run().into_actor(self));
            }
        }
    }

    fn under_way(&mut self, member: Member, ticket: u64, handle: actix::SpawnHandle) {
        if let Some(kept) = self.members.get_mut(&member) {
            kept.works.insert(ticket, handle);
        }
    }

    fn over(&mut self, member: Member, ticket: u64) {
        if let Some(kept) = self.members.get_mut(&member) {
            kept.works.remove(&ticket);
        }
    }

    /// Looks whether files and variables hold other secrets, and at the clock: a machine that slept
    /// has slept through its alarms.
    fn look(&mut self, context: &mut Context<Self>) {
        let members: Vec<Member> = self.members.keys().copied().collect();
        for member in members {
            self.apply(context, member, Command::Due);
            let Some(kept) = self.members.get(&member) else { continue };
            let method = Arc::clone(&kept.enrolment.method);
            let adopt = method.source_is_token();
            let looked = async move { method.has_changed().await };
            context.spawn(looked.into_actor(self).map(move |changed, actor, context| {
                if changed {
                    actor.apply(context, member, Command::SourceChanged { adopt });
                }
            }));
        }
    }

    /// Lets an identity go; the revocation that is left, if any.
    fn dismiss(&mut self, context: &mut Context<Self>, member: Member) -> Option<Revocation> {
        self.registry.kept().remove(member);
        let mut kept = self.members.remove(&member)?;
        let revoke = kept.enrolment.limits.revoke_on_stop;
        let tasks = kept.apply(self.clock.boot(), Command::Close { revoke });
        for handle in kept.works() {
            context.cancel_future(handle);
        }
        kept.enrolment.method.forget();
        // A login that was installed after its session had gone.
        drop(kept.enrolment.wire.tokens().withdraw());
        tasks.into_iter().find_map(|task| match task {
            Task::Revoke(revocation) => Some(revocation),
            Task::Abandon(handle) => {
                context.cancel_future(handle);
                None
            }
            Task::Login { .. } | Task::Renew(..) | Task::LookUp(..) => None,
        })
    }
}

impl Actor for Credentials {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        for (member, enrolment) in self.registry.kept().all() {
            let token = enrolment.wire.tokens().current();
            self.members.insert(member, Kept::new(enrolment));
            if let Some(token) = token {
                self.apply(context, member, Command::Resume { epoch: token.serial() });
            }
        }
        context.run_interval(VAULT_SOURCE_INTERVAL, Self::look);
    }
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

impl Handler<Delivery<Enroll>> for Credentials {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Enroll>, context: &mut Context<Self>) -> Self::Result {
        let (Enroll { member, enrolment }, begun) = begun_or_refused!(delivery);
        self.registry.kept().put(member, enrolment.clone());
        let mut kept = Kept::new(enrolment);
        let (asker, answer) = kept.asker();
        self.members.insert(member, kept);
        self.apply(context, member, Command::Enroll(asker));
        Box::pin(async move {
            let _begun = begun;
            match answer.await {
                Ok(Answer::Failed(error)) => Err(error.into()),
                Ok(_) => Ok(()),
                Err(_lost) => Err(OutcomeUnknown.into()),
            }
        })
    }
}

impl Handler<Delivery<TokenRejected>> for Credentials {
    type Result = ResponseFuture<Result<Verdict, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<TokenRejected>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (TokenRejected { member, epoch, mark }, begun) = begun_or_refused!(delivery);
        let Some(kept) = self.members.get_mut(&member) else {
            return Box::pin(async { Err(VaultError::from(CredentialError::Closed).into()) });
        };
        let (asker, answer) = kept.asker();
        self.apply(context, member, Command::Rejected { asker, epoch, mark });
        Box::pin(async move {
            let _begun = begun;
            match answer.await {
                Ok(Answer::Forbidden) => Ok(Verdict::Forbidden),
                Ok(Answer::Failed(error)) => Err(error.into()),
                Ok(Answer::Enrolled | Answer::Repeat | Answer::Rotated { .. }) => {
                    Ok(Verdict::Repeat)
                }
                Err(_lost) => Err(OutcomeUnknown.into()),
            }
        })
    }
}

impl Handler<Delivery<RotateCredentials>> for Credentials {
    type Result = ResponseFuture<Result<RotationReport, Error>>;

    fn handle(
        &mut self,
        delivery: Delivery<RotateCredentials>,
        context: &mut Context<Self>,
    ) -> Self::Result {
        let (RotateCredentials { revoke_old }, begun) = begun_or_refused!(delivery);
        let members: Vec<Member> = self.members.keys().copied().collect();
        let mut answers = Vec::with_capacity(members.len());
        for member in members {
            let Some(kept) = self.members.get_mut(&member) else { continue };
            let (asker, answer) = kept.asker();
            answers.push(answer);
            self.apply(context, member, Command::Rotate { asker, revoke: revoke_old });
        }
        Box::pin(async move {
            let _begun = begun;
            if answers.is_empty() {
                return Err(NOTHING_TO_ROTATE);
            }
            let mut report = RotationReport { revoked: revoke_old.then_some(true) };
            for answer in answers {
                match answer.await {
                    Ok(Answer::Rotated { revoked: Some(false) }) => report.revoked = Some(false),
                    Ok(Answer::Failed(error)) => return Err(error.into()),
                    Ok(_) => {}
                    Err(_lost) => return Err(OutcomeUnknown.into()),
                }
            }
            Ok(report)
        })
    }
}

impl Handler<Delivery<Dismiss>> for Credentials {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<Dismiss>, context: &mut Context<Self>) {
        let Ok((Dismiss { member, token }, _begun)) = delivery.begin() else {
            return;
        };
        if let Some(kept) = self.members.get_mut(&member) {
            kept.took_out(token);
        }
        if let Some(revocation) = self.dismiss(context, member) {
            let bounded = tokio::time::timeout(VAULT_REVOKE_DEADLINE, revocation.run());
            self.leaving += 1;
            context.spawn(bounded.into_actor(self).map(|revoked, actor, _| {
                if revoked.is_err() {
                    tracing::warn!("a Vault token was wiped without being revoked: no answer");
                }
                actor.leaving -= 1;
                if actor.leaving == 0 {
                    for settled in actor.settling.drain(..) {
                        let _ = settled.send(());
                    }
                }
            }));
        }
    }
}

impl Handler<Delivery<Settle>> for Credentials {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, delivery: Delivery<Settle>, _: &mut Context<Self>) -> Self::Result {
        let (Settle, begun) = begun_or_refused!(delivery);
        let (done, settled) = oneshot::channel();
        if self.leaving == 0 {
            let _ = done.send(());
        } else {
            self.settling.push(done);
        }
        Box::pin(async move {
            let _begun = begun;
            settled.await.map_err(|_lost| OutcomeUnknown.into())
        })
    }
}

/// An alarm in the past, or one that a timer rounds down, must not spin.
const TICK: Duration = Duration::from_millis(1);

const NOTHING_TO_ROTATE: Error =
    Error::ApiMisuse("this backend has no credentials that the engine could rotate");
