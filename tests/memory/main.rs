//! What the process's memory holds (guarantee 6): a child works with known keys while its parent
//! looks for them in all of the child's address space.
//!
//! The child masks each key that it may see and tells the parent; so its memory holds a key in the
//! clear only where the engine, or the test's own error, put it. The same search finds the keys
//! while the engine runs, so it could fail.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

mod child;
mod needle;
mod search;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use portcullis::WipingAlloc;
use portcullis::bench_support::master_key_material;
use portcullis::clock::{Clock, SystemClock};
use portcullis::key::KeyId;
use portcullis::keystore::{InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use tempfile::TempDir;

use needle::Needle;

#[global_allocator]
static ALLOCATOR: WipingAlloc = WipingAlloc::new();

#[test]
fn a_stopped_engine_on_a_local_keystore_has_no_key_in_memory() {
    let directory = TempDir::new().unwrap();
    let local = keystore(&directory, RootKey::File(root_key(&directory)));
    let root = Needle::new("root key", &std::fs::read(directory.path().join("root.key")).unwrap());
    let masters: Vec<_> = master_key_material(&local)
        .unwrap()
        .iter()
        .map(|material| Needle::new("master key", material))
        .collect();
    assert!(!masters.is_empty());

    let mut child = Run::start("local", &directory);
    let mut data_keys = child.until("running");
    assert_eq!(data_keys.len(), 3, "a lease, a dropped lease, a key sent nowhere");
    let dropped = data_keys.remove(1);
    for needle in masters.iter().chain(&data_keys) {
        assert!(!child.hits(needle).is_empty(), "{} is not found while it is used", needle.name());
    }
    // The root key has done its work once the keystore is open, and what was dropped is wiped.
    child.assert_absent(&[root, dropped]);

    child.go_on();
    child.until("stopped");
    child.assert_absent(&masters);
    child.assert_absent(&data_keys);
    child.go_on();
    child.end();
}

#[test]
fn a_passphrase_and_what_is_stretched_from_it_leave_memory_with_a_stop() {
    let directory = TempDir::new().unwrap();
    let passphrase = "correct horse battery staple 4711";
    std::fs::write(directory.path().join("passphrase"), passphrase).unwrap();
    let local = keystore(&directory, RootKey::Passphrase(Arc::new(passphrase.to_owned().into())));
    let masters: Vec<_> = master_key_material(&local)
        .unwrap()
        .iter()
        .map(|material| Needle::new("master key", material))
        .collect();
    let planted = Needle::new("passphrase", passphrase.as_bytes());

    let mut child = Run::start("passphrase", &directory);
    child.until("running");
    assert!(masters.iter().all(|needle| !child.hits(needle).is_empty()));
    child.go_on();
    child.until("stopped");
    child.assert_absent(&masters);
    child.assert_absent(&[planted]);
    child.go_on();
    child.end();
}

#[test]
fn a_stopped_engine_on_a_static_key_has_no_key_in_memory() {
    let directory = TempDir::new().unwrap();
    let file = root_key(&directory);
    let key = Needle::new("static key", &std::fs::read(file).unwrap());
    let mut child = Run::start("static", &directory);
    let data_keys = child.until("running");
    assert!(!child.hits(&key).is_empty() && !data_keys.is_empty());
    child.go_on();
    child.until("stopped");
    child.assert_absent(&[key]);
    child.assert_absent(&data_keys);
    child.go_on();
    child.end();
}

/// Not a test: what the tests above run in a process of its own.
#[test]
fn the_child() {
    if let Ok(scenario) = std::env::var(SCENARIO) {
        child::run(&scenario, std::env::var(DIRECTORY).unwrap().as_ref());
    }
}

fn root_key(directory: &TempDir) -> std::path::PathBuf {
    let file = directory.path().join("root.key");
    create_root_key_file(&file).unwrap();
    file
}

fn keystore(directory: &TempDir, root_key: RootKey) -> LocalConfig {
    let local = child::local(directory.path(), root_key);
    let mut options = InitOptions::new(SystemClock::default().wall());
    options.default_key = Some(KeyId::new("default").unwrap());
    init(&local, options).unwrap();
    local
}

/// A child under way.
struct Run {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Run {
    fn start(scenario: &str, directory: &TempDir) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
            .env(SCENARIO, scenario)
            .env(DIRECTORY, directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits until the child says `word`; the keys that it told of before.
    fn until(&mut self, word: &str) -> Vec<Needle> {
        let mut keys = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the child ended early");
            match line.trim().split_once(' ') {
                Some(("@key", masked)) => {
                    keys.push(Needle::new("data key", &child::unmask(masked)))
                }
                Some(("@now", now)) if now == word => return keys,
                _ => {}
            }
        }
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn hits(&self, needle: &Needle) -> Vec<String> {
        search::hits(self.child.id(), needle)
    }

    fn assert_absent(&self, needles: &[Needle]) {
        for needle in needles {
            let hits = self.hits(needle);
            assert!(hits.is_empty(), "{} is in memory: {hits:?}", needle.name());
        }
    }

    fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // After a failed assertion; a child that has ended is not killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SCENARIO: &str = "PORTCULLIS_MEMORY_SCENARIO";
const DIRECTORY: &str = "PORTCULLIS_MEMORY_DIRECTORY";
