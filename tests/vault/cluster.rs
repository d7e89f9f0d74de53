//! A three-node Raft cluster that loses its leader under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis::config::Config;
use portcullis::envelope::DataKeySpec;
use portcullis::error::Error;
use portcullis::vault::{VaultConfig, VaultEngine, init, least_policy};
use portcullis::{Engine, Kms};

use crate::fixture::{self, Cluster, signal};
use crate::site::{BOTH, backend, context, given, id};

/// A cluster and a store on it, whose configuration names every node.
async fn cluster(engine: VaultEngine) -> Option<(Cluster, VaultConfig)> {
    let cluster = Cluster::start(&fixture::binary()?);
    let leader = cluster.leader();
    let mounts = leader.mounts();
    let addresses = cluster.nodes.iter().map(fixture::Server::address).collect();
    let mut config = VaultConfig::new(addresses, given(&leader.root));
    config.ca_certificate = Some(leader.ca.clone());
    config.kv_mount = mounts.kv;
    config.transit_mount = mounts.transit;
    config.auth = given(&leader.token(&least_policy(engine, &config), "1h"));
    config.state_refresh = Duration::from_millis(500);
    config.request_timeout = Duration::from_secs(3);
    init(engine, &config, Some(&id("default"))).await.unwrap();
    Some((cluster, config))
}

/// Makes keys and uses them until told to stop: the keys that were acknowledged.
async fn work(kms: Kms, caller: usize, stop: Arc<AtomicBool>) -> Result<BTreeSet<String>, Error> {
    let mut made = BTreeSet::new();
    for round in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let name = format!("key-{caller}-{round}");
        kms.create_key(&id(&name)).await?;
        let context = context(&name);
        let new = kms.generate_data_key(&id(&name), DataKeySpec::AES_256, &context).await?;
        let mut keys = [[0; 32]; 2];
        new.key.copy_into(&mut keys[0])?;
        kms.decrypt_data_key(&new.wrapped, &context).await?.copy_into(&mut keys[1])?;
        assert!(keys[0] == keys[1]);
        made.insert(name);
    }
    Ok(made)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_or_cut_off_costs_no_operation_and_no_key() {
    for engine in BOTH {
        let Some((cluster, config)) = cluster(engine).await else { return };
        let node = Engine::start(Config::new(backend(engine, config.clone()))).await.unwrap();
        let stop = Arc::<AtomicBool>::default();
        let callers: Vec<_> = (0..4)
            .map(|caller| tokio::spawn(work(node.kms(), caller, Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Cut off: it takes connections, answers nothing, and thinks that it leads when it is back.
        let cut_off = cluster.leader().pid;
        signal(cut_off, "STOP");
        let others = || cluster.nodes.iter().filter(|node| node.pid != cut_off);
        let began = std::time::Instant::now();
        let next = loop {
            if let Some(next) = others().find(|it| it.call("GET", "sys/health", None).0 == 200) {
                break next;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no other node leads");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        signal(cut_off, "CONT");
        tokio::time::sleep(Duration::from_secs(1)).await;
        signal(next.pid, "KILL");
        tokio::time::sleep(Duration::from_secs(4)).await;
        stop.store(true, Ordering::Release);
        let mut made = BTreeSet::new();
        for caller in callers {
            made.extend(caller.await.unwrap().unwrap());
        }
        assert!(made.len() > 8, "{made:?}");
        // Another node of ours finds every key that was acknowledged.
        let other = Engine::start(Config::new(backend(engine, config))).await.unwrap();
        let mut found = BTreeSet::new();
        let mut after = None;
        loop {
            let page = other.kms().list_keys(after.as_ref(), 1000).await.unwrap();
            assert!(page.keys.iter().all(|key| key.damage.is_none()));
            found.extend(page.keys.iter().map(|key| key.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(made.is_subset(&found), "{:?}", made.difference(&found).collect::<Vec<_>>());
    }
}
