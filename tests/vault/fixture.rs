//! A real Vault server for tests: found or built, started, configured, and ended by its id.
//!
//! It listens twice on loopback ports of its own: with TLS, for the code under test, under a
//! certificate of an authority made for the occasion; and in plain HTTP, for the test itself, which
//! looks and meddles through a client of forty lines that shares nothing with the one under test.
//!
//! Tests of one process share a server, each under mounts of its own. The server ends with the
//! process: a shell between the two holds a pipe, and when that closes it ends the server by its id.
//!
//! Without a server and without Go a test says in one line that it skipped and why; under `CI=true`
//! that is a failure.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One server, unsealed and empty but for what tests mount.
pub struct Server {
    /// For the test itself: plain HTTP.
    pub admin: u16,
    /// For the code under test: TLS.
    pub port: u16,
    /// The authority of its certificate (PEM).
    pub ca: PathBuf,
    /// The token that may do everything.
    pub root: String,
    /// One that unseals it.
    pub unseal_key: String,
    /// Where its audit device writes, one JSON object a line.
    pub audit: PathBuf,
    /// Its process.
    pub pid: u32,
    _shell: Child,
    _directory: tempfile::TempDir,
}

/// What a test has on a server to itself.
pub struct Mounts {
    pub kv: String,
    pub transit: String,
    pub prefix: String,
}

/// The server that the tests of this process share; `None` where there is none to be had.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(|| binary().map(|binary| Server::start(&binary))).as_ref()
}

/// The server's program, or one line that says what is skipped.
pub fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PORTCULLIS_VAULT") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for name in ["bao", "vault"] {
        let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|it| it.is_file());
        if found.is_some() {
            return found;
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = here.join("target/vault/vault");
    if built.is_file() {
        return Some(built);
    }
    let why = match Command::new("go").arg("version").output() {
        Err(_) => "there is no Vault server, and no Go to build one with",
        Ok(_) => match Command::new(here.join("tests/vault/build")).status() {
            Ok(status) if status.success() => return Some(built),
            Ok(_) | Err(_) => "the Vault server does not build",
        },
    };
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// A port that is free at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A certificate authority, and a certificate of it for loopback, as files in `directory`.
pub fn certify(directory: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
    fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
}

impl Server {
    /// Starts one server that keeps everything in memory.
    pub fn start(binary: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        certify(directory.path());
        let mut server = Self::boot(binary, directory, free_port(), "storage \"inmem\" {}");
        server.initialise();
        server
    }

    /// Starts a server with certificates in `directory`, sealed or empty.
    fn boot(binary: &Path, directory: tempfile::TempDir, port: u16, storage: &str) -> Self {
        let dir = directory.path();
        let (admin, cluster) = (free_port(), free_port());
        let config = format!(
            r#"
            {storage}
            disable_mlock = true
            api_addr = "https://127.0.0.1:{port}"
            cluster_addr = "https://127.0.0.1:{cluster}"
            listener "tcp" {{
              address = "127.0.0.1:{port}"
              cluster_address = "127.0.0.1:{cluster}"
              tls_cert_file = "{dir}/server.pem"
              tls_key_file = "{dir}/server.key"
            }}
            listener "tcp" {{
              address = "127.0.0.1:{admin}"
              tls_disable = true
            }}
            "#,
            dir = dir.display(),
        );
        fs::write(dir.join("server.hcl"), config).unwrap();
        let (shell, pid) = run(binary, dir);
        let server = Self {
            admin,
            port,
            ca: dir.join("ca.pem"),
            root: String::new(),
            unseal_key: String::new(),
            audit: dir.join("audit.log"),
            pid,
            _shell: shell,
            _directory: directory,
        };
        server.wait_until_up();
        server
    }

    fn initialise(&mut self) {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let (status, made) = self.call("PUT", "sys/init", Some(&shares));
        assert_eq!(status, 200, "{made}");
        self.root = text(&made["root_token"]);
        self.unseal_key = text(&made["keys_base64"][0]);
        self.unseal();
        let began = Instant::now();
        while self.call("GET", "sys/health", None).0 != 200 {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not lead");
        }
        let device = json!({ "type": "file", "options": { "file_path": self.audit } });
        self.done("PUT", "sys/audit/file", &device);
        self.done("POST", "sys/auth/approle", &json!({ "type": "approle" }));
    }

    fn wait_until_up(&self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.admin)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not come up");
            std::thread::yield_now();
        }
    }

    /// Unseals it, and waits until it leads.
    pub fn unseal(&self) {
        let began = Instant::now();
        loop {
            self.call("PUT", "sys/unseal", Some(&json!({ "key": self.unseal_key })));
            // A node that does not lead is unsealed too.
            if matches!(self.call("GET", "sys/health", None).0, 200 | 429) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not unseal");
        }
    }

    /// The address for the code under test.
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What the server answers to the root token.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.call_as(&self.root, method, path, body)
    }

    /// What the server answers to `token`.
    pub fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).unwrap();
        write!(
            stream,
            "{method} /v1/{path} HTTP/1.1\r\nHost: vault\r\nX-Vault-Token: {token}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        parse(&answer)
    }

    /// Does what must succeed.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, Some(body));
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Mounts of a test's own.
    pub fn mounts(&self) -> Mounts {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let n = LAST.fetch_add(1, Ordering::Relaxed);
        let (kv, transit) = (format!("kv{n}"), format!("transit{n}"));
        let versions = json!({ "type": "kv", "options": { "version": "2" } });
        self.done("POST", &format!("sys/mounts/{kv}"), &versions);
        self.done("POST", &format!("sys/mounts/{transit}"), &json!({ "type": "transit" }));
        // A new KV mount upgrades itself for a moment, and refuses requests meanwhile.
        let began = Instant::now();
        while self.call("GET", &format!("{kv}/config"), None).0 != 200 {
            assert!(began.elapsed() < Duration::from_secs(30), "the KV mount does not come up");
        }
        Mounts { kv, transit, prefix: "portcullis".to_owned() }
    }

    /// A token under `policy` alone, good for `ttl`.
    pub fn token(&self, policy: &str, ttl: &str) -> String {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", LAST.fetch_add(1, Ordering::Relaxed));
        self.done("PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": policy }));
        let wanted = json!({ "policies": [name], "ttl": ttl, "no_default_policy": true });
        text(&self.done("POST", "auth/token/create", &wanted)["auth"]["client_token"])
    }

    /// An AppRole under `policy` alone, whose tokens are good for `ttl`: role id and secret id.
    pub fn approle(&self, policy: &str, ttl: &str) -> (String, String) {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("role{}", LAST.fetch_add(1, Ordering::Relaxed));
        self.done("PUT", &format!("sys/policies/acl/{name}"), &json!({ "policy": policy }));
        let role = format!("auth/approle/role/{name}");
        let wanted = json!({
            "token_policies": [name], "token_ttl": ttl, "token_no_default_policy": true,
        });
        self.done("POST", &role, &wanted);
        let (_, id) = self.call("GET", &format!("{role}/role-id"), None);
        let secret = self.done("POST", &format!("{role}/secret-id"), &json!({}));
        (text(&id["data"]["role_id"]), text(&secret["data"]["secret_id"]))
    }

    /// The requests to paths that begin with `path`, as the audit device saw them.
    pub fn audited(&self, path: &str) -> Vec<Value> {
        let log = fs::read_to_string(&self.audit).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["type"] == "request")
            .filter(|line| line["request"]["path"].as_str().is_some_and(|it| it.starts_with(path)))
            .collect()
    }

    /// Stops the process where it is, as SIGSTOP does: it takes connections and answers nothing.
    pub fn stand_still(&self) {
        signal(self.pid, "STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        signal(self.pid, "CONT");
    }
}

/// Three Raft nodes over TLS: the first was initialised, the others joined it.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts one.
    pub fn start(binary: &Path) -> Self {
        let authority = tempfile::tempdir().unwrap();
        certify(authority.path());
        let first = free_port();
        let nodes = [first, free_port(), free_port()].map(|port| {
            let directory = tempfile::tempdir().unwrap();
            for name in ["ca.pem", "server.pem", "server.key"] {
                fs::copy(authority.path().join(name), directory.path().join(name)).unwrap();
            }
            let path = directory.path().join("raft");
            fs::create_dir(&path).unwrap();
            let storage = format!(
                r#"storage "raft" {{
                  path = "{path}"
                  node_id = "node-{port}"
                  performance_multiplier = 1
                  retry_join {{
                    leader_api_addr = "https://127.0.0.1:{first}"
                    leader_ca_cert_file = "{dir}/ca.pem"
                  }}
                }}"#,
                path = path.display(),
                dir = directory.path().display(),
            );
            Server::boot(binary, directory, port, &storage)
        });
        let mut cluster = Self { nodes: nodes.into() };
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
            let (_, answer) = self.leader().call("GET", "sys/storage/raft/configuration", None);
            let servers = answer["data"]["config"]["servers"].as_array().cloned();
            let voters = servers.unwrap_or_default();
            if voters.iter().filter(|server| server["voter"] == true).count() == 3 {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the nodes do not all vote");
        }
    }

    /// The node that leads.
    pub fn leader(&self) -> &Server {
        let began = Instant::now();
        loop {
            let leads = |node: &&Server| {
                TcpStream::connect(("127.0.0.1", node.admin)).is_ok()
                    && node.call("GET", "sys/health", None).0 == 200
            };
            if let Some(leader) = self.nodes.iter().find(leads) {
                return leader;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no node leads");
        }
    }
}

/// Sends `name` to the process `pid`.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Starts the server of `directory`'s configuration under a shell that ends it with this process.
pub fn run(binary: &Path, directory: &Path) -> (Child, u32) {
    const SCRIPT: &str = r#"
        "$0" server -config="$1/server.hcl" >"$1/server.log" 2>&1 &
        echo $!
        read -r _
        kill -CONT $! 2>/dev/null
        kill -KILL $!
    "#;
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .args([binary, directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    let out = shell.stdout.as_mut().unwrap();
    let mut byte = [0];
    while out.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        pid.push(char::from(byte[0]));
    }
    (shell, pid.parse().unwrap())
}

/// The text of a JSON string.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

fn parse(answer: &[u8]) -> (u16, Value) {
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(split) = split else { return (0, Value::Null) };
    let head = String::from_utf8_lossy(&answer[..split]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut body = &answer[split + 4..];
    let mut whole = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
            let size = core::str::from_utf8(&body[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            whole.extend_from_slice(&body[end + 2..end + 2 + size]);
            body = &body[end + 4 + size..];
            if size == 0 {
                break;
            }
        }
    } else {
        whole.extend_from_slice(body);
    }
    (status, serde_json::from_slice(&whole).unwrap_or(Value::Null))
}
