//! The example, built and running, on a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

/// How the host is reached.
#[derive(Clone, Copy, PartialEq)]
pub enum Wire {
    Tls,
    Plain,
    PlainInDevelopment,
}

/// A host; it ends when this is dropped.
pub struct Host {
    directory: TempDir,
    wire: Wire,
    running: Option<Running>,
}

struct Running {
    child: Child,
    endpoint: String,
    /// Kept open: a host that finds nobody reading would fail.
    _stdout: BufReader<ChildStdout>,
}

impl Host {
    /// A host on a new keystore and an empty directory.
    pub fn start(wire: Wire) -> Self {
        let directory = TempDir::new().unwrap();
        if wire == Wire::Tls {
            let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
            fs::write(directory.path().join("cert.pem"), certificate.pem()).unwrap();
            fs::write(directory.path().join("tls.pem"), key.serialize_pem()).unwrap();
        }
        let mut host = Self { directory, wire, running: None };
        host.launch(&["--init"]);
        host
    }

    /// The same host again.
    pub fn restart(&mut self) {
        self.launch(&[]);
    }

    /// Ends it as an operator does; what it logged.
    pub fn stop(&mut self) -> String {
        let mut running = self.running.take().unwrap();
        let pid = rustix::process::Pid::from_child(&running.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = running.child.wait().unwrap();
        let log = self.log();
        assert!(status.success(), "{status}: {log}");
        log
    }

    /// Ends it as a power failure does.
    pub fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn endpoint(&self) -> &str {
        &self.running.as_ref().unwrap().endpoint
    }

    /// What the client trusts, where it is TLS.
    pub fn certificate(&self) -> Option<PathBuf> {
        (self.wire == Wire::Tls).then(|| self.path("cert.pem"))
    }

    /// The most memory that it had resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let pid = self.running.as_ref().unwrap().child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }

    /// Everything that it may write to, as it is now.
    pub fn memory(&self) -> Vec<u8> {
        let pid = self.running.as_ref().unwrap().child.id();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
        let mut memory = Vec::new();
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let parse = |address| u64::from_str_radix(address, 16).unwrap();
            let mut mapped = vec![0; usize::try_from(parse(to) - parse(from)).unwrap()];
            // What is mapped and was never touched may not be readable.
            if file.read_exact_at(&mut mapped, parse(from)).is_ok() {
                memory.extend(mapped);
            }
        }
        memory
    }

    /// What it logged since it was made.
    pub fn log(&self) -> String {
        let mut log = String::new();
        fs::File::open(self.path("log")).unwrap().read_to_string(&mut log).unwrap();
        log
    }

    /// Changes a master key with the command line, while the host is down.
    pub fn key(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("--keystore").arg(self.path("keys"));
        command.arg("--root-key-file").arg(self.path("root.key"));
        command.arg("--anchor").arg(self.path("mark"));
        let output = command.arg("key").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn launch(&mut self, more: &[&str]) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(program());
        command.args(["--listen", "127.0.0.1:0", "--key", "first", "--key", "second"]).args(more);
        for (option, name) in
            [("--data", "data"), ("--keys", "keys"), ("--root-key", "root.key"), ("--mark", "mark")]
        {
            command.arg(option).arg(self.path(name));
        }
        match self.wire {
            Wire::Tls => {
                command.arg("--tls-certificate").arg(self.path("cert.pem"));
                command.arg("--tls-key").arg(self.path("tls.pem"));
            }
            Wire::PlainInDevelopment => {
                command.arg("--allow-customer-keys-over-http");
            }
            Wire::Plain => {}
        }
        command.env("S3_HOST_ACCESS_KEY", ACCESS_KEY).env("S3_HOST_SECRET_KEY", SECRET_KEY);
        // All that the engine and the host say, for what must not be in it.
        command.env("RUST_LOG", "debug,rustfs=trace,portcullis=trace,s3_host=trace");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(endpoint) = line.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            panic!("it does not listen: {}", self.log());
        };
        let endpoint = endpoint.to_owned();
        self.running = Some(Running { child, endpoint, _stdout: stdout });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        if std::thread::panicking() {
            println!("the host logged:\n{}", self.log());
        }
    }
}

/// The example, built as these tests were: `cargo test --test s3` builds no examples.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--quiet", "--example", "s3_host", "--target-dir"]);
        cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        if profile == "release" {
            cargo.arg("--release");
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join(profile).join("examples/s3_host")
    })
}

pub const ACCESS_KEY: &str = "AKTESTS";
pub const SECRET_KEY: &str = "a secret of the tests";
