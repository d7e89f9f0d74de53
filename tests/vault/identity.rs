//! Credentials that are renewed, rotated and revoked under load (guarantee 9), as Vault counts it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis::config::Config;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, VaultError};
use portcullis::key::Mutation;
use portcullis::status::IdentityHealth;
use portcullis::vault::VaultEngine;
use portcullis::{Engine, Kms};
use serde_json::json;
use tokio::task::JoinSet;

use crate::role::{Role, denying};
use crate::site::{BOTH, Site, backend, context, id, within};

/// Callers that use keys until they are told to stop; every failure ends the test.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    callers: JoinSet<()>,
}

impl Load {
    fn start(kms: &Kms, callers: usize) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut set = JoinSet::new();
        for n in 0..callers {
            let (kms, stop, done) = (kms.clone(), Arc::clone(&stop), Arc::clone(&done));
            set.spawn(async move {
                let context = context(&n.to_string());
                while !stop.load(Ordering::Relaxed) {
                    let spec = DataKeySpec::AES_256;
                    let made = kms.generate_data_key(&id("default"), spec, &context).await.unwrap();
                    kms.decrypt_data_key(&made.wrapped, &context).await.unwrap();
                    // A key in KV is used without asking Vault: some ask it.
                    if n % 16 == 0 {
                        let mut tags = std::collections::BTreeMap::new();
                        let count = done.load(Ordering::Relaxed).to_string();
                        tags.insert(format!("caller-{n}"), count);
                        kms.change_key(&id("default"), Mutation::Tag(tags)).await.unwrap();
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { stop, done, callers: set }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more rounds are done.
    async fn go_on(&self, rounds: u64) {
        let from = self.done();
        within(Duration::from_secs(60), async || self.done() >= from + rounds).await;
    }

    async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        self.done()
    }
}

async fn start(site: &Site, role: &Role) -> Engine {
    let mut config = site.config.clone();
    config.auth = role.auth();
    config.max_in_flight = 16;
    let config = Config::new(backend(site.engine, config));
    Engine::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_rotations_under_load_fail_no_operation_and_keep_one_pool() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let role = Role::least(&site, "1h");
        let node = start(&site, &role).await;
        let kms = node.kms();
        let load = Load::start(&kms, 64);
        load.go_on(64).await;
        for n in 0..100 {
            let report = kms.rotate_credentials(n % 2 == 0).await.unwrap();
            assert_eq!(report.revoked, (n % 2 == 0).then_some(true), "rotation {n}");
            load.go_on(1).await;
        }
        let done = load.end().await;
        assert_eq!(role.logins(), 101, "one login at start and one for each rotation");
        let requests = match engine {
            VaultEngine::Transit => site.server.audited(&site.mounts.transit),
            _ => site.server.audited(&site.mounts.kv),
        };
        let ports: BTreeSet<u64> =
            requests.iter().filter_map(|it| it["request"]["remote_port"].as_u64()).collect();
        println!(
            "{engine:?}: {done} rounds, {} requests, {} connections",
            requests.len(),
            ports.len()
        );
        assert!(ports.len() <= 2 * 16, "{} connections: a pool was dropped", ports.len());
        let identity = kms.status().vault.unwrap().identity;
        assert_eq!(identity.health, IdentityHealth::Healthy);
        assert_eq!((identity.logins, identity.logins_failed), (101, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_revoked_under_load_causes_one_login_and_fails_no_operation() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let role = Role::least(&site, "1h");
    let node = start(&site, &role).await;
    let load = Load::start(&node.kms(), 64);
    for round in 1..=3 {
        load.go_on(200).await;
        role.revoke_all();
        within(Duration::from_secs(20), async || role.logins() > round).await;
        load.go_on(200).await;
        assert_eq!(role.logins(), round + 1);
    }
    load.end().await;
    assert_eq!(role.logins(), 4);
    assert!(node.kms().status().vault.unwrap().identity.rejected >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_forbidden_calls_log_nobody_in_and_leave_others_unharmed() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let policy = denying(&site, "decrypt");
    let role = Role::new(&site, &policy, &json!({ "token_ttl": "1h" }), &json!({}));
    let node = start(&site, &role).await;
    let kms = node.kms();
    let spec = DataKeySpec::AES_256;
    let made = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (kms, wrapped) = (kms.clone(), made.wrapped.clone());
        callers.spawn(async move {
            for _ in 0..200 {
                let refused = kms.decrypt_data_key(&wrapped, &context("a")).await.unwrap_err();
                assert!(matches!(refused, Error::Vault(VaultError::Forbidden(_))), "{refused}");
            }
        });
    }
    let mut others = 0;
    while !callers.is_empty() {
        kms.generate_data_key(&id("default"), spec, &context("b")).await.unwrap();
        others += 1;
        while let Some(ended) = callers.try_join_next() {
            ended.unwrap();
        }
    }
    let took = began.elapsed();
    assert_eq!(role.logins(), 1);
    assert!(others > 10, "{others}");
    let identity = kms.status().vault.unwrap().identity;
    assert_eq!((identity.forbidden, identity.rejected), (10_000, 10_000));
    assert_eq!(identity.health, IdentityHealth::Healthy);
    println!("10,000 forbidden calls and {others} others in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_five_seconds_are_renewed_and_replaced_without_a_failure() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let policy = portcullis::vault::least_policy(site.engine, &site.config);
    let settings = json!({ "token_ttl": "5s", "token_max_ttl": "12s" });
    let role = Role::new(&site, &policy, &settings, &json!({}));
    let node = start(&site, &role).await;
    let kms = node.kms();
    let seconds = std::env::var("PORTCULLIS_LEASE_TEST_SECONDS");
    let seconds = seconds.ok().and_then(|it| it.parse().ok()).unwrap_or(25);
    let load = Load::start(&kms, 8);
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        load.go_on(20).await;
        let identity = kms.status().vault.unwrap().identity;
        assert_eq!(identity.health, IdentityHealth::Healthy);
        assert!(identity.lock_out_in.is_some_and(|left| left <= Duration::from_secs(5)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.end().await;
    let identity = kms.status().vault.unwrap().identity;
    assert!(identity.renewals >= 2 && identity.logins >= 2, "{identity:?}");
    assert_eq!((identity.rejected, identity.renewals_failed), (0, 0), "{identity:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_is_replaced_is_adopted_while_running() {
    use portcullis::vault::{SecretSource, VaultAuth, least_policy};
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let put = |token: &str| {
        use std::os::unix::fs::PermissionsExt;
        let next = directory.path().join("next");
        std::fs::write(&next, format!("{token}\n")).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::rename(&next, &file).unwrap();
    };
    let policy = least_policy(site.engine, &site.config);
    let first = site.server.token(&policy, "1h");
    put(&first);
    let mut config = site.config.clone();
    config.auth = VaultAuth::Token(SecretSource::File(file.clone()));
    let site = Site { config, ..site };
    let node = site.start().await;
    let kms = node.kms();
    let load = Load::start(&kms, 8);
    load.go_on(8).await;
    // Nothing new is there to rotate to, and that harms nobody.
    let same = kms.rotate_credentials(false).await.unwrap_err();
    assert!(same.to_string().contains("no other"), "{same}");
    put(&site.server.token(&policy, "1h"));
    let logins = || kms.status().vault.unwrap().identity.logins;
    within(Duration::from_secs(20), async || logins() == 2).await;
    let gone = json!({ "token": first });
    site.server.done("POST", "auth/token/revoke", &gone);
    load.go_on(8).await;
    load.end().await;
    assert_eq!(kms.status().vault.unwrap().identity.rejected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_revokes_the_token_where_that_is_asked_for() {
    for revoke in [true, false] {
        let Some(site) = Site::new(VaultEngine::Transit).await else { return };
        let role = Role::least(&site, "1h");
        let mut config = site.config.clone();
        config.auth = role.auth();
        config.login.revoke_on_stop = revoke;
        let site = Site { config, ..site };
        let node = site.start().await;
        let spec = DataKeySpec::AES_256;
        node.kms().generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
        let revoked = || site.server.audited("auth/token/revoke-self").len();
        let before = revoked();
        node.kms().stop().await.unwrap();
        assert!(node.kms().status().vault.is_none());
        // Others that run beside this one may revoke as well; then there is nothing to be seen.
        assert!(!revoke || revoked() > before);
    }
}
