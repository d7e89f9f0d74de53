//! One identity in the actor's hands: its machine, its work under way, who waits.

use core::mem;
use std::collections::HashMap;
use std::sync::Arc;

use actix::SpawnHandle;
use tokio::sync::oneshot;

use super::messages::Enrolment;
use super::state::{Answer, Asker, Command, Effect, Identity, Ticket, Timing};
use crate::backend::vault::auth::{self, Wire};
use crate::backend::vault::retry::Noise;
use crate::backend::vault::token::Token;
use crate::clock::BootTime;
use crate::limits::VAULT_LOGIN_RETRY_MIN;
use crate::secret::SecretBuffer;

/// One identity.
pub(super) struct Kept {
    pub(super) enrolment: Enrolment,
    identity: Identity,
    askers: HashMap<Asker, oneshot::Sender<Answer>>,
    last_asker: Asker,
    /// The token of a login that has ended, until the machine says what becomes of it.
    granted: Option<(Ticket, Arc<Token>)>,
    /// A token that somebody took out of force, to be retired.
    withdrawn: Option<Arc<Token>>,
    pub(super) works: HashMap<Ticket, SpawnHandle>,
    pub(super) wake: Option<SpawnHandle>,
}

/// What the actor has to do that needs its context.
pub(super) enum Task {
    Abandon(SpawnHandle),
    Login { ticket: Ticket, probe: bool },
    Renew(Ticket, Arc<Token>),
    LookUp(Ticket, Arc<Token>),
    Revoke(Revocation),
}

/// A token that is to be revoked once nobody uses it, and who is answered then.
pub(super) struct Revocation {
    pub(super) wire: Arc<dyn Wire>,
    pub(super) token: oneshot::Receiver<SecretBuffer>,
    pub(super) then: Vec<oneshot::Sender<Answer>>,
}

impl Revocation {
    /// Waits for the last use, revokes, and tells those who wait whether it is done.
    pub(super) async fn run(self) {
        let Self { wire, token, then } = self;
        let revoked = match token.await {
            Ok(token) => {
                let token = wire.tokens().make(token);
                let revoked = auth::revoke(&*wire, &token).await;
                if let Err(error) = revoked {
                    tracing::warn!(%error, "a Vault token that was replaced is not revoked");
                }
                revoked.is_ok()
            }
            Err(_gone) => false,
        };
        for asker in then {
            let _ = asker.send(Answer::Rotated { revoked: Some(revoked) });
        }
    }
}

impl Kept {
    pub(super) fn new(enrolment: Enrolment) -> Self {
        let timing = Timing {
            login_interval_min: enrolment.limits.interval_min,
            retry_min: VAULT_LOGIN_RETRY_MIN,
            retry_max: enrolment.limits.retry_max,
        };
        Self {
            enrolment,
            identity: Identity::new(timing, Noise::new()),
            askers: HashMap::new(),
            last_asker: 0,
            granted: None,
            withdrawn: None,
            works: HashMap::new(),
            wake: None,
        }
    }

    /// Somebody who is answered once.
    pub(super) fn asker(&mut self) -> (Asker, oneshot::Receiver<Answer>) {
        let (asker, answer) = oneshot::channel();
        self.last_asker += 1;
        self.askers.insert(self.last_asker, asker);
        (self.last_asker, answer)
    }

    /// When the machine wants to look at the clock.
    pub(super) fn due(&self) -> Option<BootTime> {
        self.identity.due()
    }

    /// Keeps the token of a login until the machine says what becomes of it.
    pub(super) fn keep(&mut self, ticket: Ticket, token: Arc<Token>) {
        self.granted = Some((ticket, token));
    }

    /// Keeps a token that was taken out of force until the machine retires it.
    pub(super) fn took_out(&mut self, token: Option<Arc<Token>>) {
        self.withdrawn = token;
    }

    /// Applies `command` and publishes how the identity stands then; what is left to do.
    pub(super) fn apply(&mut self, now: BootTime, command: Command) -> Vec<Task> {
        let before = self.enrolment.standing.load_full();
        let effects = self.identity.apply(now, command);
        let standing = self.identity.standing();
        if standing.fault != before.fault
            && let Some(fault) = standing.fault
        {
            tracing::warn!(%fault, "the Vault identity is not renewed as it should be");
        }
        if standing.warning != before.warning
            && let Some(warning) = standing.warning
        {
            tracing::warn!(?warning, "the Vault identity will end unless somebody acts");
        }
        self.enrolment.standing.store(Arc::new(standing));
        self.perform(effects)
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut displaced = self.withdrawn.take();
        let mut revocation: Option<Revocation> = None;
        for effect in effects {
            match effect {
                Effect::Abandon(ticket) => {
                    tasks.extend(self.works.remove(&ticket).map(Task::Abandon));
                }
                Effect::Login { ticket, probe } => tasks.push(Task::Login { ticket, probe }),
                Effect::Renew(ticket) => tasks.extend(self.with_token(ticket, Task::Renew)),
                Effect::LookUp(ticket) => tasks.extend(self.with_token(ticket, Task::LookUp)),
                Effect::Install(ticket) => {
                    if let Some((_, token)) = self.granted.take_if(|granted| granted.0 == ticket) {
                        displaced = self.enrolment.wire.tokens().install(token);
                    }
                }
                Effect::Retire { revoke } => {
                    // Displaced by the one that was installed before this, or by nothing.
                    let tokens = self.enrolment.wire.tokens();
                    let retired = displaced.take().or_else(|| tokens.withdraw());
                    if let Some(retired) = retired.filter(|_| revoke) {
                        let wire = Arc::clone(&self.enrolment.wire);
                        let token = retired.after_last_use();
                        revocation = Some(Revocation { wire, token, then: Vec::new() });
                    }
                }
                Effect::Answer(asker, answer) => {
                    let Some(reply) = self.askers.remove(&asker) else { continue };
                    match (&answer, &mut revocation) {
                        (Answer::Rotated { .. }, Some(revocation)) => revocation.then.push(reply),
                        // An asker that has gone does not mind.
                        (_, _) => drop(reply.send(answer)),
                    }
                }
            }
        }
        tasks.extend(revocation.map(Task::Revoke));
        tasks
    }

    fn with_token(&self, ticket: Ticket, task: fn(Ticket, Arc<Token>) -> Task) -> Option<Task> {
        self.enrolment.wire.tokens().current().map(|token| task(ticket, token))
    }

    /// Everybody who still waits, for when the identity goes.
    pub(super) fn works(&mut self) -> impl Iterator<Item = SpawnHandle> {
        let works = mem::take(&mut self.works).into_values();
        works.chain(self.wake.take())
    }
}
