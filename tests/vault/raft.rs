//! Three Raft nodes over TLS, on disk, that can be restarted, sealed, and cut off from each other.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fixture::{Ports, Server, certify, signal};
use crate::links::Links;

const PATIENCE: Duration = Duration::from_secs(60);

/// The first was initialised, the others joined it.
pub struct Cluster {
    pub nodes: Vec<Server>,
    pub links: Links,
}

impl Cluster {
    /// Starts one.
    pub fn start(binary: &Path) -> Self {
        let authority = tempfile::tempdir().unwrap();
        certify(authority.path());
        let links = Links::default();
        let ports = [0, 1, 2].map(|node| {
            let mut ports = Ports::free();
            ports.known_as = links.relay(node, ports.cluster);
            ports
        });
        let first = ports[0].port;
        let nodes = ports.map(|ports| {
            let directory = tempfile::tempdir().unwrap();
            for name in ["ca.pem", "server.pem", "server.key"] {
                fs::copy(authority.path().join(name), directory.path().join(name)).unwrap();
            }
            let path = directory.path().join("raft");
            fs::create_dir(&path).unwrap();
            // Vault 1.13.1 was seen to say, after a leader was lost, that a state which it had
            // confirmed is not there, and to go on saying so; never without its cache of storage.
            // That the cache is the cause is likely and not proven.
            let storage = format!(
                r#"
                disable_cache = true
                storage "raft" {{
                  path = "{path}"
                  node_id = "node-{port}"
                  performance_multiplier = 1
                  retry_join {{
                    leader_api_addr = "https://127.0.0.1:{first}"
                    leader_ca_cert_file = "{dir}/ca.pem"
                  }}
                }}"#,
                path = path.display(),
                port = ports.port,
                dir = directory.path().display(),
            );
            Server::boot(binary, directory, &ports, &storage)
        });
        links.are_of(nodes.iter().map(|node| node.pid).collect());
        let mut cluster = Self { nodes: nodes.into(), links };
        cluster.nodes[0].initialise();
        let (root, key) = (cluster.nodes[0].root.clone(), cluster.nodes[0].unseal_key.clone());
        for node in &mut cluster.nodes[1..] {
            (node.root, node.unseal_key) = (root.clone(), key.clone());
            node.unseal();
        }
        cluster.wait_for_voters();
        cluster
    }

    /// Waits until the loss of one node leaves a quorum.
    fn wait_for_voters(&self) {
        let began = Instant::now();
        loop {
            let leader = &self.nodes[self.leader()];
            let (_, answer) = leader.call("GET", "sys/storage/raft/configuration", None);
            let servers = answer["data"]["config"]["servers"].as_array().cloned();
            let voters = servers.unwrap_or_default();
            if voters.iter().filter(|server| server["voter"] == true).count() == 3 {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the nodes do not all vote");
        }
    }

    /// Waits until every node has what the others have.
    pub fn wait_until_whole(&self) {
        let began = Instant::now();
        loop {
            let applied = self.nodes.iter().map(|node| {
                let (_, answer) = node.call("GET", "sys/leader", None);
                let leads = answer["leader_address"].as_str().is_some_and(|it| !it.is_empty());
                answer["raft_applied_index"].as_u64().filter(|_| leads)
            });
            let applied: Option<Vec<_>> = applied.collect();
            // Under load they are never quite the same.
            if let Some(applied) = applied
                && applied.iter().max().unwrap() - applied.iter().min().unwrap() < 100
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the cluster does not become whole");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The node that leads.
    pub fn leader(&self) -> usize {
        self.leader_but(None)
    }

    /// The node that leads and is not `other`.
    pub fn leader_but(&self, other: Option<usize>) -> usize {
        let began = Instant::now();
        loop {
            let leads =
                |(index, node): &(usize, &Server)| Some(*index) != other && node.health() == 200;
            if let Some((leader, _)) = self.nodes.iter().enumerate().find(leads) {
                return leader;
            }
            assert!(began.elapsed() < PATIENCE, "no node leads");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends `node` at once and without warning.
    pub fn kill(&self, node: usize) {
        signal(self.nodes[node].pid, "KILL");
    }

    /// Starts `node` again; it is sealed then.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
        self.links.are_of(self.nodes.iter().map(|node| node.pid).collect());
    }

    /// Seals all nodes. Only one that leads takes that by its interface, and the last one cannot lead
    /// without the others: each is restarted, which leaves it sealed.
    pub fn seal(&mut self) {
        for node in 0..self.nodes.len() {
            self.restart(node);
        }
        let began = Instant::now();
        for node in &self.nodes {
            while node.health() != 503 {
                assert!(began.elapsed() < PATIENCE, "a node is not sealed: {}", node.log());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// What the node that leads says is below a place in KV, and what the next one says.
    pub fn what_is(&self, mount: &str, below: &str) -> String {
        let ask = || {
            let leader = &self.nodes[self.leader()];
            let listed = leader.call("LIST", &format!("{mount}/metadata/{below}"), None);
            let state = leader.call("GET", &format!("{mount}/metadata/{below}/state"), None);
            format!("{}: {listed:?} {state:?}", leader.port)
        };
        let before = ask();
        self.nodes[self.leader()].call("PUT", "sys/step-down", None);
        std::thread::sleep(Duration::from_secs(3));
        format!("{before}; then {}", ask())
    }

    /// Unseals all nodes.
    pub fn unseal(&self) {
        for node in &self.nodes {
            node.give_key();
        }
        self.leader();
    }
}
