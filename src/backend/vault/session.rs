//! The one way of a backend's calls to Vault: admission, breaker, token, request, and what to do
//! about an answer that is none.
//!
//! ```text
//! call:  bulkhead  ->  breaker  ->  token in force  ->  client  ->  answer
//!           |             |                                |
//!         Busy      waits its pause,       403: the keeper says whether a policy forbids (typed),
//!                   Paused past the        or another token is in force (repeated once)
//!                   deadline               failed: repeated after a pause, where that is safe
//! ```
//!
//! A backend has one `Session` and calls [`Session::call`] for everything; it repeats nothing
//! itself. A change by compare-and-set is `Repeat::Safe`, and the backend looks where it is answered
//! with [`VaultError::Conflict`]: an earlier attempt may be the one that won.
//!
//! Invariants:
//!
//! 1. One deadline covers a call: waiting for a place, for the breaker, for a login, every attempt
//!    and every pause. Nothing inside adds another.
//! 2. A call that pauses holds no place: those that can be made go on.
//! 3. A 403 is never repeated blindly: only when the keeper says that another token is in force, and
//!    at most [`REPEATS_MAX`] times.
//! 4. A closed session carries no request and no token, whoever holds a clone of it.
//! 5. The breaker hears of each attempt exactly once, also of one whose future is dropped.
//!
//! Cost: under 2 us beside the request: an admission, two short locks, a hash of the path.

use core::hash::{BuildHasher, Hash};
use core::pin::pin;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use rustify::endpoint::Endpoint;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::auth::{Connection, Identities, Keeper, Verdict};
use super::breaker::{Breaker, Ending, Pass, Round};
use super::bulkhead::{Bulkhead, Place, Ticket};
use super::client::{Answer, Client, Repeat};
use super::config::VaultConfig;
use super::retry::{Attempts, Noise, RetryLimits};
use super::token::Token;
use crate::clock::BootTime;
use crate::error::{CredentialError, Error, VaultError};
use crate::status::VaultStatus;

/// The way of a backend to Vault. Clones are the same way; when it is closed or the last is dropped,
/// the token is out of force.
#[derive(Clone)]
pub(crate) struct Session(Arc<Shared>);

struct Shared {
    client: Arc<Client>,
    /// Gone once the session is closed.
    keeper: Mutex<Option<Box<dyn Keeper>>>,
    closed: Notify,
    bulkhead: Bulkhead,
    breaker: Mutex<Breaker>,
    noise: Mutex<Noise>,
    deadline: Duration,
    retry: RetryLimits,
    marks: RandomState,
    began: Instant,
}

impl Session {
    /// A session with the cluster that `config` names, logged in.
    ///
    /// # Errors
    /// [`ConfigErrors`](crate::error::ConfigErrors) for what is wrong with `config`, [`VaultError`]
    /// if there is no login.
    pub(crate) async fn open(
        config: &VaultConfig,
        identities: &dyn Identities,
    ) -> Result<Self, Error> {
        let client = Arc::new(Client::new(config)?);
        let wire = Arc::clone(&client) as _;
        let keeper = identities.enroll(wire, &config.auth, config.login).await?;
        Ok(Self::over(client, keeper, config))
    }

    fn over(client: Arc<Client>, keeper: Box<dyn Keeper>, config: &VaultConfig) -> Self {
        let shared = Arc::new(Shared {
            client,
            keeper: Mutex::new(Some(keeper)),
            closed: Notify::new(),
            bulkhead: Bulkhead::new(config.bulkhead()),
            breaker: Mutex::new(Breaker::new(config.breaker, Noise::new())),
            noise: Mutex::new(Noise::new()),
            deadline: config.call_deadline,
            retry: config.retry,
            marks: RandomState::new(),
            began: Instant::now(),
        });
        let connection = Arc::downgrade(&shared);
        if let Some(keeper) = &*shared.keeper() {
            keeper.introduce(connection);
        }
        Self(shared)
    }

    /// The client, for what is asked without a token.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.0.client
    }

    /// Takes the token out of force, ends every call under way, and refuses those to come: whoever
    /// still holds a clone has nothing of it. Idempotent.
    pub(crate) fn close(&self) {
        let keeper = self.0.keeper().take();
        drop(keeper);
        self.0.closed.notify_waiters();
    }

    /// What Vault answers to `endpoint`.
    ///
    /// # Errors
    /// [`VaultError`]; [`VaultError::Busy`] and [`VaultError::Paused`] where it was not even asked;
    /// [`CredentialError::Closed`] once the session is closed.
    pub(crate) async fn call<E: Endpoint>(
        &self,
        endpoint: &E,
        repeat: Repeat,
    ) -> Result<Answer, VaultError> {
        let mut closed = pin!(self.0.closed.notified());
        // Heard of from here on, so that a close between the look and the wait is not missed.
        closed.as_mut().enable();
        if self.0.keeper().is_none() {
            return Err(CredentialError::Closed.into());
        }
        match select(closed, pin!(self.attempt(endpoint, repeat))).await {
            Either::Left(_) => Err(CredentialError::Closed.into()),
            Either::Right((answer, _)) => answer,
        }
    }

    async fn attempt<E: Endpoint>(
        &self,
        endpoint: &E,
        repeat: Repeat,
    ) -> Result<Answer, VaultError> {
        let shared = &*self.0;
        let ticket = shared.bulkhead.admit()?;
        let deadline = shared.now().plus(shared.deadline);
        let mut attempts = Attempts::new(shared.retry, deadline);
        let mut repeats = 0;
        loop {
            let began = shared.go(&ticket, &attempts).await?;
            let token = shared.client.tokens().current();
            let token = token.ok_or(CredentialError::Absent)?;
            attempts.begin();
            let left = attempts.left(shared.now());
            let sent = timeout(left, shared.client.send(Some(&token), endpoint, repeat)).await;
            let answer = sent.unwrap_or(Err(VaultError::Timeout));
            began.ended(&answer);
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(VaultError::Forbidden(_)) => {
                    match shared.verdict(&token, endpoint, deadline).await {
                        Ok(Verdict::Repeat) if repeats < REPEATS_MAX => {
                            repeats += 1;
                            continue;
                        }
                        Ok(Verdict::Forbidden | Verdict::Repeat) => return Err(FORBIDDEN),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let pause = hint(error).and_then(|hint| {
                let mut noise = shared.noise.lock().unwrap_or_else(PoisonError::into_inner);
                let acted = error.may_have_acted();
                attempts.pause(shared.now(), repeat, acted, hint, &mut noise)
            });
            let Some(pause) = pause else { return Err(error) };
            tracing::debug!(%error, ?pause, attempt = attempts.made(), "a call to Vault is repeated");
            tokio::time::sleep(pause).await;
        }
    }
}

impl Connection for Shared {
    fn status(&self) -> Option<VaultStatus> {
        let identity = self.keeper().as_ref().map(|keeper| keeper.standing())?;
        let (breaker, breaker_retry_in) = self.breaker().state(self.now());
        let load = self.bulkhead.load();
        Some(VaultStatus {
            identity,
            breaker,
            breaker_retry_in,
            in_flight: load.in_flight,
            waiting: load.waiting,
        })
    }
}

impl Shared {
    fn now(&self) -> BootTime {
        let since = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        BootTime::from_nanos(since)
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Box<dyn Keeper>>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an attempt may be made: for a place, and without one for the breaker.
    async fn go<'s>(
        &'s self,
        ticket: &'s Ticket,
        attempts: &Attempts,
    ) -> Result<Began<'s>, VaultError> {
        loop {
            let left = attempts.left(self.now());
            let busy = VaultError::Busy { retry_after: ticket.hint() };
            let place = timeout(left, ticket.place()).await.map_err(|_late| busy)?;
            let now = self.now();
            let passed = self.breaker().pass(now);
            let wait = match passed {
                Pass::Go(round) => {
                    return Ok(Began { shared: self, ticket, round: Some(round), at: now, place });
                }
                Pass::Wait(wait) => wait,
            };
            drop(place);
            if wait >= attempts.left(now) {
                return Err(VaultError::Paused { retry_after: wait });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// What the rejection of `token` means. The keeper counts from when it is asked, which is after
    /// the answer came.
    async fn verdict<E: Endpoint>(
        &self,
        token: &Arc<Token>,
        endpoint: &E,
        deadline: BootTime,
    ) -> Result<Verdict, VaultError> {
        let mut hasher = self.marks.build_hasher();
        (endpoint.path(), format!("{:?}", endpoint.method())).hash(&mut hasher);
        let mark = core::hash::Hasher::finish(&hasher);
        let left = deadline.since(self.now());
        let asked = {
            let keeper = self.keeper();
            keeper.as_ref().map(|keeper| keeper.rejected(token.serial(), mark, left))
        };
        asked.ok_or(CredentialError::Closed)?.await
    }
}

/// An attempt that is being made: its place, and the round in which the breaker let it through.
struct Began<'s> {
    shared: &'s Shared,
    ticket: &'s Ticket,
    round: Option<Round>,
    at: BootTime,
    /// Given back with the rest.
    #[expect(dead_code, reason = "held, not read")]
    place: Place,
}

impl Began<'_> {
    /// Gives the place back and tells the breaker how the attempt ended.
    fn ended(mut self, answer: &Result<Answer, VaultError>) {
        let ending = match answer {
            Ok(_) => Ending::Answered,
            Err(error) if is_failure(*error) => Ending::Failed,
            Err(_) => Ending::Answered,
        };
        self.tell(ending);
    }

    fn tell(&mut self, ending: Ending) {
        if let Some(round) = self.round.take() {
            let now = self.shared.now();
            self.ticket.held(now.since(self.at));
            self.shared.breaker().ended(now, round, ending);
        }
    }
}

impl Drop for Began<'_> {
    fn drop(&mut self) {
        self.tell(Ending::Abandoned);
    }
}

/// Whether it says that Vault cannot be reached or does not work, rather than what it thinks of the
/// request.
fn is_failure(error: VaultError) -> bool {
    match error {
        VaultError::Interrupted
        | VaultError::Malformed(_)
        | VaultError::NoLeader
        | VaultError::Redirected
        | VaultError::Sealed
        | VaultError::Timeout
        | VaultError::Tls
        | VaultError::Unavailable(_)
        | VaultError::Uninitialised
        | VaultError::Unreachable => true,
        VaultError::Busy { .. }
        | VaultError::Conflict
        | VaultError::Forbidden(_)
        | VaultError::LoggedOut(_)
        | VaultError::Mount(_)
        | VaultError::NotFound
        | VaultError::Paused { .. }
        | VaultError::RateLimited { .. }
        | VaultError::Rejected(_) => false,
    }
}

/// Whether trying again by itself may help, and how long Vault asked to wait at least.
#[expect(clippy::option_option, reason = "whether, and if so how long")]
fn hint(error: VaultError) -> Option<Option<Duration>> {
    match error {
        VaultError::Interrupted
        | VaultError::Malformed(_)
        | VaultError::NoLeader
        | VaultError::Sealed
        | VaultError::Timeout
        | VaultError::Unavailable(_)
        | VaultError::Unreachable => Some(None),
        VaultError::RateLimited { retry_after } => Some(Some(retry_after)),
        VaultError::Busy { .. }
        | VaultError::Conflict
        | VaultError::Forbidden(_)
        | VaultError::LoggedOut(_)
        | VaultError::Mount(_)
        | VaultError::NotFound
        | VaultError::Paused { .. }
        | VaultError::Redirected
        | VaultError::Rejected(_)
        | VaultError::Tls
        | VaultError::Uninitialised => None,
    }
}

/// Once after the login that a rejection caused, and once more where that token was replaced in
/// turn before it was used.
const REPEATS_MAX: u32 = 2;

const FORBIDDEN: VaultError = VaultError::Forbidden("permission denied");
