//! `examples/vault`, as a newcomer runs it: the script, and then the commands of its README.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{binary, free_port, signal};

/// The example in a directory of its own, on a port that is free.
fn copy(kind: &str) -> (tempfile::TempDir, PathBuf) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vault");
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    for name in ["README.md", "portcullis.toml", "set-up"] {
        let text = fs::read_to_string(from.join(name)).unwrap();
        let text = text.replace("8200", &port);
        let kind = format!("kind = \"{kind}\"");
        let text = text.replacen("kind = \"vault-transit\"", &kind, 1);
        fs::write(directory.path().join(name), text).unwrap();
        let mode = fs::metadata(from.join(name)).unwrap().permissions();
        fs::set_permissions(directory.path().join(name), mode).unwrap();
    }
    let path = directory.path().to_owned();
    (directory, path)
}

/// The script under way; it is ended with the test.
struct SetUp(Child);

impl Drop for SetUp {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            signal(self.0.id(), "TERM");
            self.0.wait().unwrap();
        }
    }
}

/// The program's directory first on the path, so that the README's commands find it.
fn path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap();
    format!("{}:{}", program.display(), std::env::var("PATH").unwrap())
}

#[test]
fn the_example_does_what_its_readme_says() {
    let Some(vault) = binary() else { return };
    for kind in ["vault-transit", "vault-kv2"] {
        let (_directory, here) = copy(kind);
        let mut script = Command::new(here.join("set-up"));
        script.env("PATH", path()).env("VAULT", &vault).env("HOME", &here);
        let child = script.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = SetUp(child);
        let out = BufReader::new(running.0.stdout.take().unwrap());
        let mut seen = String::new();
        for line in out.lines() {
            seen += &(line.unwrap() + "\n");
            if seen.contains("\nready: ") {
                break;
            }
        }
        assert!(seen.contains("\nready: ") && seen.contains("approle, healthy"), "{kind}: {seen}");
        let readme = fs::read_to_string(here.join("README.md")).unwrap();
        let commands = readme.split("```sh\n").nth(2).unwrap().split("```").next().unwrap();
        assert!(commands.lines().count() > 3 && commands.lines().all(|it| it.starts_with("port")));
        let ran = Command::new("bash")
            .args(["-euc", commands])
            .current_dir(&here)
            .env("PATH", path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{kind}: {told}");
        assert_eq!(fs::read_to_string(here.join("README.opened")).unwrap(), readme);
        assert!(!here.join(".vault-token").exists());
        // It ends with what it has made, and the server with it.
        signal(running.0.id(), "TERM");
        let began = Instant::now();
        while running.0.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        for left in ["role-id", "secret-id", "server.log"] {
            assert!(!here.join(left).exists(), "{left} is left");
        }
        let port = fs::read_to_string(here.join("portcullis.toml")).unwrap();
        let port = port.split("127.0.0.1:").nth(1).unwrap()[..5].trim_end_matches('"').to_owned();
        let port: u16 = port.parse().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(20), "the server is left");
        }
    }
}
