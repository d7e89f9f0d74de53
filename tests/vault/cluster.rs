//! A three-node Raft cluster that loses its leader, is restarted and is sealed, under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portcullis::config::Config;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{Error, KeyError};
use portcullis::vault::{VaultConfig, VaultEngine, init, least_policy};
use portcullis::{DataKey, Engine, Kms};
use tokio::task::JoinSet;

use crate::fixture::{Server, binary};
use crate::raft::Cluster;
use crate::site::{BOTH, backend, context, given, id, within};

const CALLERS: usize = 4;

/// A store on a cluster, an engine on it, and callers that make keys and use them.
struct Load {
    engine: VaultEngine,
    config: VaultConfig,
    node: Engine,
    callers: JoinSet<Vec<Made>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Whether operations may fail, if they say why and that it passes.
    may_fail: AtomicBool,
    made: AtomicU64,
    failed: AtomicU64,
    /// Longest operation, in milliseconds.
    slowest: AtomicU64,
}

/// A key that was acknowledged, and what was wrapped under it.
struct Made {
    name: String,
    wrapped: WrappedKey,
    key: [u8; 32],
}

impl Load {
    /// Loads on both backends.
    async fn on(cluster: &Cluster, deadline: Duration) -> Vec<Self> {
        let mut loads = Vec::new();
        for engine in BOTH {
            let leader = &cluster.nodes[cluster.leader()];
            let mounts = leader.mounts();
            let addresses = cluster.nodes.iter().map(Server::address).collect();
            let mut config = VaultConfig::new(addresses, given(&leader.root));
            config.ca_certificate = Some(leader.ca.clone());
            config.kv_mount = mounts.kv;
            config.transit_mount = mounts.transit;
            config.auth = given(&leader.token(&least_policy(engine, &config), "1h"));
            config.state_refresh = Duration::from_millis(500);
            config.request_timeout = Duration::from_secs(3).min(deadline);
            config.call_deadline = deadline;
            init(engine, &config, Some(&id("default"))).await.unwrap();
            let node = Engine::start(Config::new(backend(engine, config.clone()))).await.unwrap();
            let shared = Arc::<Shared>::default();
            let mut callers = JoinSet::new();
            for caller in 0..CALLERS {
                callers.spawn(work(node.kms(), caller, Arc::clone(&shared)));
            }
            loads.push(Self { engine, config, node, callers, shared });
        }
        loads
    }

    fn made(&self) -> u64 {
        self.shared.made.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Waits until each caller, on average, has made so many more keys.
    async fn go_on(&mut self, keys: u64) {
        let until = self.made() + keys * CALLERS as u64;
        let (shared, callers) = (&self.shared, &mut self.callers);
        within(Duration::from_secs(60), async || {
            // Why it stopped, rather than that it did not come to pass.
            if let Some(ended) = callers.try_join_next() {
                ended.unwrap();
                panic!("a caller ended");
            }
            shared.made.load(Ordering::Relaxed) >= until
        })
        .await;
    }

    /// Ends the load. Another engine finds every key that was acknowledged, undamaged, and opens
    /// what was wrapped under it.
    async fn check(mut self, what: &str, cluster: &Cluster) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut made = Vec::new();
        while let Some(ended) = self.callers.join_next().await {
            made.extend(ended.unwrap());
        }
        let slowest = self.shared.slowest.load(Ordering::Relaxed);
        let (engine, failed) = (self.engine, self.failed());
        println!("{what}, {engine:?}: {} keys, {failed} failed, {slowest} ms", made.len());
        drop(self.node);
        let (mount, prefix) = (self.config.kv_mount.clone(), self.config.key_prefix.clone());
        let other = Engine::start(Config::new(backend(engine, self.config))).await.unwrap();
        let kms = other.kms();
        let (mut found, mut after) = (BTreeSet::new(), None);
        loop {
            let page = kms.list_keys(after.as_ref(), 1000).await.unwrap();
            for key in &page.keys {
                if let Some(damage) = &key.damage {
                    let below = format!("{prefix}/k/{}", key.id.storage_name());
                    panic!("{damage}: {}", cluster.what_is(&mount, &below));
                }
            }
            found.extend(page.keys.iter().map(|key| key.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for Made { name, wrapped, key } in made {
            assert!(found.contains(&name), "{name} was acknowledged and is lost");
            let opened = kms.decrypt_data_key(&wrapped, &context(&name)).await.unwrap();
            assert!(bytes(&opened) == key, "{name} opens to something else");
        }
    }
}

fn bytes(key: &DataKey) -> [u8; 32] {
    let mut bytes = [0; 32];
    key.copy_into(&mut bytes).unwrap();
    bytes
}

/// Makes keys and uses them until told to stop.
async fn work(kms: Kms, caller: usize, shared: Arc<Shared>) -> Vec<Made> {
    let mut made = Vec::new();
    for round in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("key-{caller}-{round}");
        let mut is_retried = false;
        loop {
            let began = Instant::now();
            let one = one(&kms, &name, is_retried).await;
            let took = u64::try_from(began.elapsed().as_millis()).unwrap();
            shared.slowest.fetch_max(took, Ordering::Relaxed);
            match one {
                Ok(one) => break made.push(one),
                Err(error) => {
                    let may_fail = shared.may_fail.load(Ordering::Relaxed);
                    if !may_fail || !is_retriable(&error) {
                        let described = kms.describe_key(&id(&name)).await;
                        panic!("{name}: {error:?}, {described:?}");
                    }
                    shared.failed.fetch_add(1, Ordering::Relaxed);
                    is_retried = true;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        shared.made.fetch_add(1, Ordering::Relaxed);
    }
    made
}

async fn one(kms: &Kms, name: &str, is_retried: bool) -> Result<Made, Error> {
    match kms.create_key(&id(name)).await {
        Ok(_) => {}
        // Its answer was lost; it was made.
        Err(Error::Key(KeyError::AlreadyExists)) if is_retried => {}
        Err(error) => return Err(error),
    }
    let context = context(name);
    let new = kms.generate_data_key(&id(name), DataKeySpec::AES_256, &context).await?;
    let key = bytes(&new.key);
    let opened = kms.decrypt_data_key(&new.wrapped, &context).await?;
    assert!(bytes(&opened) == key, "{name} opens to something else");
    Ok(Made { name: name.to_owned(), wrapped: new.wrapped, key })
}

fn is_retriable(error: &Error) -> bool {
    match error {
        Error::Vault(error) => error.is_retriable(),
        Error::Refused(refused) => refused.is_retriable(),
        // Of a change whose answer was lost: whoever looks may try it again.
        Error::OutcomeUnknown(_) => true,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_stands_still_or_is_killed_costs_no_operation_and_no_key() {
    let Some(binary) = binary() else { return };
    let mut cluster = Cluster::start(&binary);
    let mut loads = Load::on(&cluster, Duration::from_secs(25)).await;
    go_on(&mut loads).await;
    // Cut off from the others, while everybody else still reaches it.
    let alone = cluster.leader();
    cluster.links.cut_off(alone);
    cluster.leader_but(Some(alone));
    go_on(&mut loads).await;
    cluster.links.heal();
    cluster.wait_until_whole();
    go_on(&mut loads).await;
    // Standing still: it takes connections, answers nothing, and thinks that it leads when it is
    // back.
    let still = cluster.leader();
    cluster.nodes[still].stand_still();
    cluster.leader_but(Some(still));
    go_on(&mut loads).await;
    cluster.nodes[still].go_on();
    cluster.wait_until_whole();
    go_on(&mut loads).await;
    let killed = cluster.leader();
    cluster.kill(killed);
    cluster.leader_but(Some(killed));
    go_on(&mut loads).await;
    cluster.restart(killed);
    cluster.nodes[killed].unseal();
    for load in loads {
        assert_eq!(load.failed(), 0);
        load.check("leaders lost", &cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_costs_no_operation_and_no_key() {
    let Some(binary) = binary() else { return };
    let mut cluster = Cluster::start(&binary);
    let mut loads = Load::on(&cluster, Duration::from_secs(25)).await;
    go_on(&mut loads).await;
    let leader = cluster.leader();
    // As an operator does it: the one that leads comes last.
    for node in [leader + 1, leader + 2, leader].map(|node| node % 3) {
        cluster.restart(node);
        cluster.nodes[node].unseal();
        cluster.wait_until_whole();
        go_on(&mut loads).await;
    }
    for load in loads {
        assert_eq!(load.failed(), 0);
        load.check("rolling restart", &cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_sealed_is_waited_for_and_loses_no_acknowledged_key() {
    let Some(binary) = binary() else { return };
    let mut cluster = Cluster::start(&binary);
    let mut loads = Load::on(&cluster, Duration::from_secs(2)).await;
    go_on(&mut loads).await;
    let (default, spec) = (id("default"), DataKeySpec::AES_256);
    for load in &loads {
        // A first use reserves use counts in Vault; those after it have them.
        load.node.kms().generate_data_key(&default, spec, &context("a")).await.unwrap();
    }
    for load in &loads {
        load.shared.may_fail.store(true, Ordering::Relaxed);
    }
    cluster.seal();
    for load in &mut loads {
        let (failed, kms) = (load.failed(), load.node.kms());
        // Whoever asks is told; nobody hangs, and what needs no Vault goes on.
        within(Duration::from_secs(30), async || load.failed() >= failed + 8).await;
        let made = kms.generate_data_key(&default, spec, &context("a")).await;
        match load.engine {
            VaultEngine::Kv2 => drop(made.unwrap()),
            _ => assert!(is_retriable(&made.err().unwrap())),
        }
    }
    cluster.unseal();
    go_on(&mut loads).await;
    for load in loads {
        assert!(load.failed() > 0);
        load.check("sealed", &cluster).await;
    }
}

async fn go_on(loads: &mut [Load]) {
    for load in loads {
        load.go_on(2).await;
    }
}
