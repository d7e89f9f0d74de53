//! The actor against a Vault of a few lines, on one thread in virtual time.

#![expect(clippy::disallowed_methods, reason = "each task ends with its test's LocalSet")]

use core::future::Future;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::actors::port::Port;
use crate::actors::system::{Place, Places};
use crate::actors::watch::Watch;
use crate::backend::vault::auth::{
    AppRole, Identities, Keeper, LoginLimits, SecretId, SecretSource, VaultAuth, Verdict, Wire,
    WireFuture, WireRequest,
};
use crate::backend::vault::token::TokenSlot;
use crate::clock::{BootTime, Clock, WallTime};
use crate::error::{CredentialError, VaultError};
use crate::secret::SecretBuffer;
use crate::status::IdentityHealth;

const SECOND: Duration = Duration::from_secs(1);

/// A Vault that knows tokens by name and how long each lives.
struct Fake {
    tokens: TokenSlot,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each token ends, and when it cannot be renewed any further.
    alive: BTreeMap<String, (Duration, Duration)>,
    asked: BTreeMap<String, u32>,
    made: u32,
    mood: Mood,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Well,
    Silent,
    RefusesLogins,
    PanicsOnce,
}

/// What logins and renewals give, and how long a token may live at most.
const TTL: Duration = Duration::from_secs(60);
const MAX_TTL: Duration = Duration::from_secs(600);

impl Fake {
    fn new() -> Arc<Self> {
        let (tokens, state) = (TokenSlot::default(), Mutex::default());
        Arc::new(Self { tokens, began: Instant::now(), state })
    }

    fn asked(&self, path: &str) -> u32 {
        self.state.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }

    fn be(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    fn revoke_all(&self) {
        self.state.lock().unwrap().alive.clear();
    }

    fn answer(&self, path: &str, token: Option<String>) -> Result<String, VaultError> {
        let now = self.began.elapsed();
        let mut state = self.state.lock().unwrap();
        let mood = state.mood;
        if mood == Mood::PanicsOnce {
            state.mood = Mood::Well;
            drop(state);
            panic!("on purpose");
        }
        if path == "auth/approle/login" {
            if mood == Mood::RefusesLogins {
                return Err(VaultError::Rejected("bad request"));
            }
            state.made += 1;
            let token = format!("token-{}", state.made);
            state.alive.insert(token.clone(), (now + TTL, now + MAX_TTL));
            return Ok(lease(&token, TTL));
        }
        let token = token.expect("everything else carries a token");
        let forbidden = VaultError::Forbidden("permission denied");
        let (end, last) = state.alive.get(&token).copied().ok_or(forbidden)?;
        if end <= now {
            return Err(forbidden);
        }
        match path {
            "auth/token/lookup-self" => {
                let ttl = (end - now).as_secs();
                Ok(format!(
                    r#"{{"data":{{"ttl":{ttl},"expire_time":"2026-01-01T00:00:00Z","renewable":true}}}}"#
                ))
            }
            "auth/token/renew-self" => {
                let end = (now + TTL).min(last);
                state.alive.insert(token.clone(), (end, last));
                Ok(lease(&token, end - now))
            }
            "auth/token/revoke-self" => {
                state.alive.remove(&token);
                Ok(String::new())
            }
            other => panic!("{other} is not asked"),
        }
    }
}

fn lease(token: &str, ttl: Duration) -> String {
    let seconds = ttl.as_secs();
    format!(
        r#"{{"auth":{{"client_token":"{token}","lease_duration":{seconds},"renewable":true}}}}"#
    )
}

impl Wire for Fake {
    fn tokens(&self) -> &TokenSlot {
        &self.tokens
    }

    fn send<'a>(&'a self, request: WireRequest<'a>) -> WireFuture<'a> {
        *self.state.lock().unwrap().asked.entry(request.path.clone()).or_default() += 1;
        let token = request.token.map(|token| {
            let header = token.header().expect("tokens are visible ASCII");
            header.to_str().expect("the same").to_owned()
        });
        Box::pin(async move {
            sleep(Duration::from_millis(20)).await;
            if self.state.lock().unwrap().mood == Mood::Silent {
                core::future::pending::<()>().await;
            }
            let answer = self.answer(&request.path, token)?;
            Ok(SecretBuffer::from_vec(answer.into_bytes()))
        })
    }
}

/// The time of the test's runtime.
struct Paused(Instant);

impl Clock for Paused {
    fn boot(&self) -> BootTime {
        let since = u64::try_from(self.0.elapsed().as_nanos()).unwrap();
        BootTime::from_nanos(1_000_000_000 + since)
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(1_790_000_000_000)
    }
}

async fn inline<F: Future<Output = ()>>(test: impl FnOnce(Registry, Arc<Fake>) -> F) {
    LocalSet::new()
        .run_until(async {
            let places = Places::inline();
            let timer = places.timer().clone();
            let port = Port::new("credentials", timer.clone());
            let control = port.lane("credentials control", timer);
            let registry = Registry::new(port.clone(), control, Arc::new(Paused(Instant::now())));
            let watch = Watch::start(places).await.unwrap();
            let kept = registry.clone();
            let build = move |obituary| Ok(Credentials::new(kept.clone(), obituary));
            watch.keep(port, Place::Backend, build, |_| panic!("given up")).await.unwrap();
            test(registry, Fake::new()).await;
        })
        .await;
}

fn auth() -> VaultAuth {
    let given = |text: &str| SecretSource::Given(Arc::new(SecretString::from(text.to_owned())));
    VaultAuth::AppRole(AppRole::new(given("role"), SecretId::Plain(given("secret"))))
}

async fn enroll(registry: &Registry, vault: &Arc<Fake>) -> Box<dyn Keeper> {
    let wire = Arc::clone(vault) as _;
    registry.enroll(wire, &auth(), LoginLimits::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_identity_lives_for_a_day_on_renewals_and_a_login_before_each_longest_life() {
    inline(|registry, vault| async move {
        let keeper = enroll(&registry, &vault).await;
        for _ in 0..24 * 3600 / 5 {
            sleep(5 * SECOND).await;
            let standing = keeper.standing();
            assert_eq!(standing.health, IdentityHealth::Healthy, "{standing:?}");
            let token = vault.tokens.current().expect("a token is in force");
            let name = token.header().unwrap().to_str().unwrap().to_owned();
            let (end, _) = vault.state.lock().unwrap().alive[&name];
            assert!(end > vault.began.elapsed(), "it has ended");
        }
        let logins = vault.asked("auth/approle/login");
        assert!((144..200).contains(&logins), "{logins}");
        assert_eq!(vault.asked("auth/token/lookup-self"), 1, "one probe");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn five_hundred_rejected_calls_are_told_to_repeat_after_one_login() {
    inline(|registry, vault| async move {
        let keeper = enroll(&registry, &vault).await;
        sleep(5 * SECOND).await;
        let serial = vault.tokens.current().unwrap().serial();
        vault.revoke_all();
        let asked = (0..500).map(|mark| keeper.rejected(serial, mark, 10 * SECOND));
        for verdict in futures_util::future::join_all(asked).await {
            assert_eq!(verdict, Ok(Verdict::Repeat));
        }
        assert_eq!(vault.asked("auth/approle/login"), 2);
        assert_ne!(vault.tokens.current().unwrap().serial(), serial);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_revoked_only_after_its_last_use() {
    inline(|registry, vault| async move {
        let _keeper = enroll(&registry, &vault).await;
        let in_use = vault.tokens.current().unwrap();
        let serial = in_use.serial();
        let rotation = tokio::task::spawn_local({
            let registry = registry.clone();
            async move { registry.rotate(true).await }
        });
        sleep(5 * SECOND).await;
        assert_ne!(vault.tokens.current().unwrap().serial(), serial, "the new one is in force");
        assert_eq!(vault.asked("auth/token/revoke-self"), 0);
        assert!(!rotation.is_finished());
        drop(in_use);
        assert_eq!(rotation.await.unwrap().unwrap().revoked, Some(true));
        assert_eq!(vault.asked("auth/token/revoke-self"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_of_a_lost_actor_keeps_the_identity_and_its_token() {
    inline(|registry, vault| async move {
        let keeper = enroll(&registry, &vault).await;
        let serial = vault.tokens.current().unwrap().serial();
        vault.be(Mood::PanicsOnce);
        // The renewal that is due within the lease.
        sleep(45 * SECOND).await;
        assert!(vault.state.lock().unwrap().mood == Mood::Well, "it has panicked");
        assert_eq!(vault.asked("auth/approle/login"), 1, "no login was needed");
        assert_eq!(vault.asked("auth/token/lookup-self"), 2, "the successor looked it up");
        assert_eq!(keeper.standing().health, IdentityHealth::Healthy);
        sleep(300 * SECOND).await;
        assert_eq!(keeper.standing().health, IdentityHealth::Healthy);
        let now = vault.tokens.current().unwrap().serial();
        let verdict = keeper.rejected(serial, 1, SECOND).await;
        let expected = if now == serial { Verdict::Forbidden } else { Verdict::Repeat };
        assert_eq!(verdict, Ok(expected));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dismissed_identity_is_out_of_force_at_once_whatever_hangs() {
    inline(|registry, vault| async move {
        let keeper = enroll(&registry, &vault).await;
        vault.be(Mood::Silent);
        let serial = vault.tokens.current().unwrap().serial();
        let hanging = tokio::task::spawn_local(keeper.rejected(serial, 1, 10 * SECOND));
        sleep(SECOND).await;
        drop(keeper);
        assert!(vault.tokens.current().is_none());
        assert_eq!(hanging.await.unwrap(), Err(CredentialError::Closed.into()));
        let began = Instant::now();
        registry.settle().await;
        assert!(began.elapsed() < SECOND);
        assert!(registry.status().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_leaves_no_identity_behind() {
    inline(|registry, vault| async move {
        vault.be(Mood::Silent);
        let wire = Arc::clone(&vault) as _;
        let enrolling = registry.enroll(wire, &auth(), LoginLimits::default());
        assert!(tokio::time::timeout(SECOND, enrolling).await.is_err());
        vault.be(Mood::Well);
        sleep(60 * SECOND).await;
        assert!(vault.tokens.current().is_none());
        assert_eq!(vault.asked("auth/approle/login"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_locked_out_identity_counts_down_and_says_why() {
    inline(|registry, vault| async move {
        let keeper = enroll(&registry, &vault).await;
        vault.be(Mood::RefusesLogins);
        let mut seen_warned = false;
        loop {
            let standing = keeper.standing();
            match standing.health {
                IdentityHealth::Healthy => {}
                IdentityHealth::Warned => {
                    seen_warned = true;
                    assert_eq!(standing.fault, Some("login-refused"));
                    assert!(standing.lock_out_in.is_some_and(|left| left <= TTL));
                }
                IdentityHealth::LockedOut => break,
            }
            assert!(vault.began.elapsed() < MAX_TTL + TTL, "it goes on after its end");
            sleep(SECOND).await;
        }
        assert!(seen_warned, "warned before");
        assert!(vault.asked("auth/approle/login") < 60, "attempts keep their pauses");
        let serial = vault.tokens.current().unwrap().serial();
        let verdict = keeper.rejected(serial, 1, SECOND).await;
        assert!(matches!(verdict, Err(VaultError::LoggedOut(CredentialError::LoginRefused(_)))));
        vault.be(Mood::Well);
        sleep(31 * SECOND).await;
        assert_eq!(keeper.standing().health, IdentityHealth::Healthy);
    })
    .await;
}
