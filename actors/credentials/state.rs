//! The state machine of one identity: commands in, effects out. Pure: no clock, no request, no
//! token. The actor keeps the tokens; here they are numbers, *epochs*, that only grow.
//!
//! ```text
//! login -> renew at two thirds of the lease -> ... -> renewal ends (max TTL) -> login
//!            rejected token -> lookup-self with the same token
//!                                 answered: a policy forbids; remembered, no login
//!                                 rejected too: login, and whoever was rejected repeats once
//! ```
//!
//! Invariants:
//!
//! 1. One piece of work (login, renewal, lookup) is under way at a time. A login takes over from
//!    the other two; nothing takes over from a login.
//! 2. Logins that nobody ordered keep the least interval between them. A rotation is ordered: it is
//!    served by a login that began after it was asked for.
//! 3. Each asker is answered exactly once. A burst of rejected tokens is answered by one login, a
//!    rejection of a token that has been replaced by none.
//! 4. A lookup proves only what came before it: a rejection that arrives while one is under way is
//!    answered by the next, so that a revocation between the two is never taken for a policy.
//! 5. What a policy forbids is remembered per request, for a bounded time, in a bounded number, and
//!    never longer than the token.

mod vocabulary;

use core::time::Duration;
use std::collections::HashMap;

pub(super) use self::vocabulary::{
    Answer, Asker, Command, Counts, Effect, Epoch, Found, Standing, Ticket, Timing,
};
use crate::backend::vault::auth::{Grant, RenewFault};
use crate::backend::vault::retry::Noise;
use crate::clock::BootTime;
use crate::error::{CredentialError, VaultError};
use crate::limits::{VAULT_ENROLL_PATIENCE, VAULT_FORBIDDEN_MEMORY, VAULT_FORBIDDEN_MEMORY_MAX};
use crate::status::IdentityWarning;

/// The machine.
pub(super) struct Identity {
    timing: Timing,
    noise: Noise,
    epoch: Epoch,
    tickets: Ticket,
    lease: Option<Lease>,
    work: Option<Work>,
    login_began: Option<BootTime>,
    /// When a login that is wanted may begin.
    login_due: Option<BootTime>,
    renewal_due: Option<BootTime>,
    /// Failed logins or renewals in a row.
    failures: u32,
    /// Whether the token may look itself up; unknown before the first login.
    tells_apart: Option<bool>,
    /// Who the next login answers.
    waiting: Vec<Waiter>,
    /// Who only the login after this one answers.
    late: Vec<Waiter>,
    /// Who the lookup under way answers, and who came after it began.
    asking: Vec<(Asker, u64)>,
    asking_next: Vec<(Asker, u64)>,
    forbidden: HashMap<u64, BootTime>,
    fault: Option<VaultError>,
    warning: Option<IdentityWarning>,
    counts: Counts,
    /// When it was first needed.
    enrolled: Option<BootTime>,
    closed: bool,
}

/// How long the token that is installed lasts.
#[derive(Clone, Copy, Debug)]
struct Lease {
    obtained: BootTime,
    /// As long as it was when it began: renewals that give much less mean that they end.
    full: Option<Duration>,
    expires: Option<BootTime>,
    /// Whether the next step is a login.
    ending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Work {
    ticket: Ticket,
    kind: Kind,
    began: BootTime,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Login,
    Renewal,
    LookUp,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    asker: Asker,
    why: Why,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    Enrolls,
    Repeats,
    Rotates { revoke: bool },
}

impl Identity {
    pub(super) fn new(timing: Timing, noise: Noise) -> Self {
        Self {
            timing,
            noise,
            epoch: 0,
            tickets: 0,
            lease: None,
            work: None,
            login_began: None,
            login_due: None,
            renewal_due: None,
            failures: 0,
            tells_apart: None,
            waiting: Vec::new(),
            late: Vec::new(),
            asking: Vec::new(),
            asking_next: Vec::new(),
            forbidden: HashMap::new(),
            fault: None,
            warning: None,
            counts: Counts::default(),
            enrolled: None,
            closed: false,
        }
    }

    /// When [`Command::Due`] is to be said, at the latest.
    pub(super) fn due(&self) -> Option<BootTime> {
        if self.closed {
            return None;
        }
        let renewal = self.renewal_due.filter(|_| self.work.is_none());
        let expiry = self.lease.and_then(|lease| lease.expires);
        [self.login_due, renewal, expiry].into_iter().flatten().min()
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            epoch: self.epoch,
            holds: self.lease.is_some(),
            expires: self.lease.and_then(|lease| lease.expires),
            next_attempt: [self.login_due, self.renewal_due].into_iter().flatten().min(),
            fault: self.fault,
            warning: self.warning,
            blind: self.tells_apart == Some(false),
            counts: self.counts,
        }
    }

    /// Applies one command.
    pub(super) fn apply(&mut self, now: BootTime, command: Command) -> Vec<Effect> {
        let mut effects = Vec::new();
        let out = &mut effects;
        if self.closed {
            // Whoever asks now came too late; work that ends now is of nobody.
            match command {
                Command::Enroll(asker)
                | Command::Rejected { asker, .. }
                | Command::Rotate { asker, .. } => {
                    out.push(Effect::Answer(asker, Answer::Failed(CredentialError::Closed.into())));
                }
                Command::Resume { .. }
                | Command::SourceChanged { .. }
                | Command::LoggedIn { .. }
                | Command::Renewed { .. }
                | Command::LookedUp { .. }
                | Command::Due
                | Command::Close { .. } => {}
            }
            return effects;
        }
        match command {
            Command::Enroll(asker) => self.enroll(now, asker, out),
            Command::Resume { epoch } => {
                self.epoch = epoch;
                self.lease =
                    Some(Lease { obtained: now, full: None, expires: None, ending: false });
                self.look_up(now, out);
            }
            Command::Rejected { asker, epoch, mark } => self.rejected(now, asker, epoch, mark, out),
            Command::Rotate { asker, revoke } => self.rotate(now, asker, revoke, out),
            Command::SourceChanged { adopt } => {
                if adopt || self.fault.is_some() {
                    self.failures = 0;
                    self.want_login(now, out);
                }
            }
            Command::LoggedIn { ticket, result } => {
                if let Some(work) = self.ended(ticket) {
                    match result {
                        Ok((epoch, grant)) => self.logged_in(now, work, epoch, grant, out),
                        Err(fault) => self.login_failed(now, fault, out),
                    }
                }
            }
            Command::Renewed { ticket, result } => {
                if let Some(work) = self.ended(ticket) {
                    self.renewed(now, work, result, out);
                }
            }
            Command::LookedUp { ticket, found } => {
                if let Some(work) = self.ended(ticket) {
                    self.looked_up(now, work, found, out);
                }
            }
            Command::Due => self.look_at_the_clock(now, out),
            Command::Close { revoke } => self.close(revoke, out),
        }
        effects
    }

    fn enroll(&mut self, now: BootTime, asker: Asker, out: &mut Vec<Effect>) {
        let is_logging_in = self.is_under_way(Kind::Login);
        if self.lease.is_some() && !is_logging_in {
            out.push(Effect::Answer(asker, Answer::Enrolled));
            return;
        }
        self.enrolled = Some(now);
        self.waiting.push(Waiter { asker, why: Why::Enrolls });
        self.want_login(now, out);
    }

    fn rejected(
        &mut self,
        now: BootTime,
        asker: Asker,
        epoch: Epoch,
        mark: u64,
        out: &mut Vec<Effect>,
    ) {
        self.counts.rejected += 1;
        if epoch != self.epoch {
            out.push(Effect::Answer(asker, Answer::Repeat));
        } else if self.is_under_way(Kind::Login) {
            self.waiting.push(Waiter { asker, why: Why::Repeats });
        } else if let Some(lease) = self.lease {
            if self.forbidden.get(&mark).is_some_and(|until| now < *until) {
                self.forbid(asker, out);
            } else if self.tells_apart != Some(false) {
                self.asking_next.push((asker, mark));
                self.look_up(now, out);
            } else if now.since(lease.obtained) < VAULT_FORBIDDEN_MEMORY {
                // It cannot be looked up; a token so new is not the reason.
                self.remember(now, mark);
                self.forbid(asker, out);
            } else {
                self.waiting.push(Waiter { asker, why: Why::Repeats });
                self.want_login(now, out);
            }
        } else {
            let pauses = self.login_due.is_some_and(|due| now < due);
            match self.fault {
                Some(fault) if pauses => {
                    out.push(Effect::Answer(asker, Answer::Failed(fault)));
                }
                Some(_) | None => {
                    self.waiting.push(Waiter { asker, why: Why::Repeats });
                    self.want_login(now, out);
                }
            }
        }
    }

    fn rotate(&mut self, now: BootTime, asker: Asker, revoke: bool, out: &mut Vec<Effect>) {
        let waiter = Waiter { asker, why: Why::Rotates { revoke } };
        if self.is_under_way(Kind::Login) {
            self.late.push(waiter);
        } else {
            self.waiting.push(waiter);
            self.log_in(now, out);
        }
    }

    fn forbid(&mut self, asker: Asker, out: &mut Vec<Effect>) {
        self.counts.forbidden += 1;
        out.push(Effect::Answer(asker, Answer::Forbidden));
    }

    fn remember(&mut self, now: BootTime, mark: u64) {
        if self.forbidden.len() >= VAULT_FORBIDDEN_MEMORY_MAX {
            self.forbidden.retain(|_, until| now < *until);
        }
        // Full of what still holds: the next rejection of this request is looked up again.
        if self.forbidden.len() < VAULT_FORBIDDEN_MEMORY_MAX {
            self.forbidden.insert(mark, now.plus(VAULT_FORBIDDEN_MEMORY));
        }
    }

    fn is_under_way(&self, kind: Kind) -> bool {
        self.work.is_some_and(|work| work.kind == kind)
    }

    /// The work of this ticket, which is over; `None` if it was abandoned.
    fn ended(&mut self, ticket: Ticket) -> Option<Work> {
        self.work.take_if(|work| work.ticket == ticket)
    }

    fn begin(&mut self, now: BootTime, kind: Kind, out: &mut Vec<Effect>) -> Ticket {
        if let Some(work) = self.work.take() {
            out.push(Effect::Abandon(work.ticket));
            if work.kind == Kind::Renewal {
                self.renewal_due = Some(now);
            }
        }
        self.tickets += 1;
        self.work = Some(Work { ticket: self.tickets, kind, began: now });
        self.tickets
    }

    /// Begins a login, unless one is under way or the last one was too lately.
    fn want_login(&mut self, now: BootTime, out: &mut Vec<Effect>) {
        if self.is_under_way(Kind::Login) {
            return;
        }
        let due = self.earliest_login(now);
        if due <= now {
            self.log_in(now, out);
        } else {
            self.login_due = Some(self.login_due.map_or(due, |before| before.min(due)));
        }
    }

    fn earliest_login(&self, now: BootTime) -> BootTime {
        let interval = self.timing.login_interval_min;
        self.login_began.map_or(now, |began| began.plus(interval).max(now))
    }

    /// Begins a login. Whoever was rejected waits for that instead of a lookup.
    fn log_in(&mut self, now: BootTime, out: &mut Vec<Effect>) {
        let rejected = self.asking.drain(..).chain(self.asking_next.drain(..));
        self.waiting.extend(rejected.map(|(asker, _)| Waiter { asker, why: Why::Repeats }));
        let ticket = self.begin(now, Kind::Login, out);
        self.login_began = Some(now);
        self.login_due = None;
        self.renewal_due = None;
        out.push(Effect::Login { ticket, probe: self.tells_apart.is_none() });
    }

    /// Begins a lookup for those who came since the last one began, unless one is under way.
    fn look_up(&mut self, now: BootTime, out: &mut Vec<Effect>) {
        if self.is_under_way(Kind::LookUp) {
            return;
        }
        self.asking = core::mem::take(&mut self.asking_next);
        let ticket = self.begin(now, Kind::LookUp, out);
        self.counts.lookups += 1;
        out.push(Effect::LookUp(ticket));
    }

    fn logged_in(
        &mut self,
        now: BootTime,
        work: Work,
        epoch: Epoch,
        grant: Grant,
        out: &mut Vec<Effect>,
    ) {
        let replaced = core::mem::replace(&mut self.epoch, epoch);
        self.counts.logins += 1;
        self.failures = 0;
        self.fault = None;
        self.warning = grant.warning;
        self.forbidden.clear();
        self.tells_apart = grant.can_look_up.or(self.tells_apart);
        self.lease = None;
        self.hold(work, grant);
        out.push(Effect::Install(work.ticket));
        let waiting = core::mem::take(&mut self.waiting);
        if replaced > 0 {
            let revoke = waiting.iter().any(|w| matches!(w.why, Why::Rotates { revoke: true }));
            out.push(Effect::Retire { revoke });
        }
        for Waiter { asker, why } in waiting {
            let answer = match why {
                Why::Enrolls => Answer::Enrolled,
                Why::Repeats => Answer::Repeat,
                Why::Rotates { .. } => Answer::Rotated { revoked: None },
            };
            out.push(Effect::Answer(asker, answer));
        }
        if !self.late.is_empty() {
            self.waiting = core::mem::take(&mut self.late);
            self.log_in(now, out);
        }
    }

    fn login_failed(&mut self, now: BootTime, fault: VaultError, out: &mut Vec<Effect>) {
        self.counts.logins_failed += 1;
        self.failures = self.failures.saturating_add(1);
        if self.enrolls_on(now, fault) {
            // The next login begins after all of them.
            self.waiting.append(&mut self.late);
            self.login_due = Some(now.plus(self.pause(now)).max(self.earliest_login(now)));
            return;
        }
        for waiter in self.waiting.drain(..).chain(self.late.drain(..)) {
            out.push(Effect::Answer(waiter.asker, Answer::Failed(fault)));
        }
        self.fault = Some(fault);
        match self.lease {
            // It was ordered, and what there is lasts: on as before.
            Some(lease) if !lease.ending => self.plan_renewal(now),
            // An identity that nobody could use yet is of whoever enrolls it next.
            None if self.epoch == 0 => {}
            Some(_) | None => {
                let due = now.plus(self.pause(now));
                self.login_due = Some(due.max(self.earliest_login(now)));
            }
        }
    }

    /// Whether the first login is tried again by itself: a start in the middle of an election.
    fn enrolls_on(&self, now: BootTime, fault: VaultError) -> bool {
        let is_transient = fault.is_retriable() && !matches!(fault, VaultError::LoggedOut(_));
        let since = self.enrolled.map(|enrolled| now.since(enrolled));
        self.epoch == 0 && is_transient && since.is_some_and(|since| since < VAULT_ENROLL_PATIENCE)
    }

    fn renewed(
        &mut self,
        now: BootTime,
        work: Work,
        result: Result<Grant, RenewFault>,
        out: &mut Vec<Effect>,
    ) {
        match result {
            Ok(grant) => {
                self.counts.renewals += 1;
                self.failures = 0;
                self.hold(work, grant);
            }
            Err(RenewFault::Refused) => {
                self.counts.renewals_failed += 1;
                if let Some(lease) = &mut self.lease {
                    lease.ending = true;
                }
                self.want_login(now, out);
            }
            Err(RenewFault::Unclear) => {
                self.counts.renewals_failed += 1;
                self.failures = self.failures.saturating_add(1);
                self.renewal_due = Some(now.plus(self.pause(now)));
            }
        }
    }

    fn looked_up(&mut self, now: BootTime, work: Work, found: Found, out: &mut Vec<Effect>) {
        let asking = core::mem::take(&mut self.asking);
        match found {
            Found::Alive(grant) => {
                // Only one that a predecessor had installed has no lease yet.
                if self.lease.is_none_or(|lease| lease.full.is_none()) {
                    self.hold(work, grant);
                }
                for (asker, mark) in asking {
                    self.remember(now, mark);
                    self.forbid(asker, out);
                }
                if !self.asking_next.is_empty() {
                    self.look_up(now, out);
                }
            }
            Found::Rejected => {
                self.lease = None;
                self.renewal_due = None;
                self.asking = asking;
                let rejected = self.asking.drain(..).chain(self.asking_next.drain(..));
                self.waiting.extend(rejected.map(|(asker, _)| Waiter { asker, why: Why::Repeats }));
                self.want_login(now, out);
            }
            Found::Unclear(fault) => {
                for (asker, _) in asking.into_iter().chain(self.asking_next.drain(..)) {
                    out.push(Effect::Answer(asker, Answer::Failed(fault)));
                }
                if self.lease.is_some_and(|lease| lease.full.is_none() && lease.expires.is_none()) {
                    self.failures = self.failures.saturating_add(1);
                    self.renewal_due = Some(now.plus(self.pause(now)));
                }
            }
        }
    }

    /// Takes what a login, a renewal or a lookup said of the lease, counted from when it was asked.
    fn hold(&mut self, work: Work, grant: Grant) {
        let before = self.lease.filter(|lease| lease.full.is_some());
        let full = before.map_or(grant.ttl, |lease| lease.full);
        let is_cut = match (grant.ttl, full) {
            (Some(ttl), Some(full)) => before.is_some() && ttl < full * 2 / 3,
            (None, _) | (_, None) => false,
        };
        self.lease = Some(Lease {
            obtained: before.map_or(work.began, |lease| lease.obtained),
            full,
            expires: grant.ttl.map(|ttl| work.began.plus(ttl)),
            ending: is_cut || !grant.renewable,
        });
        self.plan_renewal(work.began);
    }

    /// Plans the next renewal, or the login in its place, at two thirds of what is left at `from`.
    fn plan_renewal(&mut self, from: BootTime) {
        let left = self.lease.and_then(|lease| lease.expires).map(|expires| expires.since(from));
        self.renewal_due = left.map(|left| from.plus(self.noise.shorten(left * 2 / 3, 8)));
    }

    fn look_at_the_clock(&mut self, now: BootTime, out: &mut Vec<Effect>) {
        if self.lease.and_then(|lease| lease.expires).is_some_and(|expires| expires <= now) {
            self.lease = None;
            self.renewal_due = None;
            self.fault.get_or_insert(CredentialError::Expired.into());
            self.want_login(now, out);
        }
        if self.login_due.is_some_and(|due| due <= now) {
            self.log_in(now, out);
        }
        if self.work.is_none() && self.renewal_due.is_some_and(|due| due <= now) {
            self.renewal_due = None;
            match self.lease {
                Some(lease) if lease.ending => self.want_login(now, out),
                Some(lease) if lease.full.is_none() && lease.expires.is_none() => {
                    self.look_up(now, out);
                }
                Some(_) => {
                    let ticket = self.begin(now, Kind::Renewal, out);
                    out.push(Effect::Renew(ticket));
                }
                None => {}
            }
        }
    }

    /// The pause after a failure. A lease that is about to end is not slept through.
    fn pause(&mut self, now: BootTime) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(31);
        let longest = self.timing.retry_min.saturating_mul(1 << doublings);
        let pause = self.noise.shorten(longest.min(self.timing.retry_max), 2);
        let left = self.lease.and_then(|lease| lease.expires).map(|expires| expires.since(now));
        match left {
            Some(left) => pause.min((left / 4).max(self.timing.retry_min)),
            None => pause,
        }
    }

    fn close(&mut self, revoke: bool, out: &mut Vec<Effect>) {
        if let Some(work) = self.work.take() {
            out.push(Effect::Abandon(work.ticket));
        }
        let waiting = self.waiting.drain(..).chain(self.late.drain(..)).map(|w| w.asker);
        let asking = self.asking.drain(..).chain(self.asking_next.drain(..)).map(|(a, _)| a);
        for asker in waiting.chain(asking) {
            out.push(Effect::Answer(asker, Answer::Failed(CredentialError::Closed.into())));
        }
        if self.epoch > 0 {
            out.push(Effect::Retire { revoke });
        }
        self.lease = None;
        self.login_due = None;
        self.renewal_due = None;
        self.forbidden.clear();
        self.closed = true;
    }
}

#[cfg(test)]
mod tests;
