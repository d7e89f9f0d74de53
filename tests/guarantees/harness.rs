//! Engines on keystores of their own, with a sink and a mark that tests hold in their hands.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use portcullis::audit::{AuditRecord, AuditSink, Operation};
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::engine::EngineOptions;
use portcullis::key::KeyId;
use portcullis::keystore::{
    Anchor, AnchorStore, InitOptions, LocalConfig, Mark, RootKey, create_root_key_file, init,
};
use portcullis::{Engine, Kms};
use tempfile::TempDir;

/// A running engine, and all that it stands on.
pub struct Fixture {
    pub engine: Engine,
    pub kms: Kms,
    pub key: KeyId,
    pub config: Config,
    pub store: Store,
    pub sink: Sink,
}

impl Fixture {
    pub async fn running() -> Self {
        Self::with(|_| {}).await
    }

    /// A running engine whose records nobody wants to see.
    pub async fn for_load() -> Self {
        let fixture = Self::running().await;
        fixture.sink.set(Mode::Forgets);
        fixture
    }

    /// A running engine whose configuration `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let store = Store::new();
        let mut config = store.config();
        change(&mut config);
        let sink = Sink::default();
        let options = EngineOptions::new().with_audit_sink(sink.clone());
        let engine = Engine::launch(options).await.unwrap();
        let kms = engine.kms();
        kms.configure(config.clone()).await.unwrap();
        kms.start().await.unwrap();
        Self { engine, kms, key: default_key(), config, store, sink }
    }
}

/// A keystore whose mark the test keeps.
pub struct Store {
    pub directory: TempDir,
    pub mark: Arc<HostMark>,
}

impl Store {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        create_root_key_file(directory.path().join("root.key").as_path()).unwrap();
        let store = Self { directory, mark: Arc::default() };
        let mut options = InitOptions::new(SystemClock::default().wall());
        options.default_key = Some(default_key());
        init(&store.local(), options).unwrap();
        store
    }

    /// A copy of the store as it is on disk, with a mark of its own.
    pub fn copied(&self) -> Self {
        let directory = TempDir::new().unwrap();
        let keys = directory.path().join("keys");
        std::fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
        let files = std::fs::read_dir(self.directory.path().join("keys")).unwrap();
        for file in files.map(Result::unwrap) {
            std::fs::copy(file.path(), keys.join(file.file_name())).unwrap();
        }
        let root = directory.path().join("root.key");
        std::fs::copy(self.directory.path().join("root.key"), root).unwrap();
        let mark = *self.mark.mark.lock().unwrap();
        let mark = HostMark { mark: Mutex::new(mark), ..HostMark::default() };
        Self { directory, mark: Arc::new(mark) }
    }

    pub fn local(&self) -> LocalConfig {
        let root = RootKey::File(self.directory.path().join("root.key"));
        let anchor = Anchor::Host(Arc::clone(&self.mark) as _);
        LocalConfig::new(self.directory.path().join("keys"), root, anchor)
    }

    pub fn config(&self) -> Config {
        Config::new(self.local())
    }
}

/// The mark of a keystore in memory. Each load and store of it passes a valve, so that a test
/// decides how long the store is slow.
#[derive(Default)]
pub struct HostMark {
    mark: Mutex<Option<Mark>>,
    pub loads: Valve,
    pub stores: Valve,
    pub panics: AtomicBool,
}

impl AnchorStore for HostMark {
    fn load(&self) -> io::Result<Option<Mark>> {
        self.loads.pass();
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        Ok(*self.mark.lock().unwrap())
    }

    fn store(&self, mark: &Mark) -> io::Result<()> {
        self.stores.pass();
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        *self.mark.lock().unwrap() = Some(*mark);
        Ok(())
    }
}

impl fmt::Debug for HostMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostMark")
    }
}

/// Whoever passes waits while it is shut.
#[derive(Default)]
pub struct Valve {
    state: Mutex<ValveState>,
    changed: Condvar,
}

#[derive(Default)]
struct ValveState {
    shut: bool,
    waiting: usize,
}

impl Valve {
    pub fn shut(&self) {
        self.state.lock().unwrap().shut = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().shut = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.shut).unwrap();
        state.waiting -= 1;
    }

    /// Waits until somebody waits at the shut valve.
    pub fn reached(&self) {
        let state = self.state.lock().unwrap();
        let (state, late) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| state.waiting == 0).unwrap();
        assert!(!late.timed_out(), "nobody came to the valve");
        drop(state);
    }
}

/// How a sink behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Takes,
    /// Takes and forgets: for loads of millions.
    Forgets,
    Fails,
    Blocks,
}

/// A sink in memory, which keeps what was flushed.
#[derive(Clone, Default)]
pub struct Sink(Arc<SinkState>);

#[derive(Default)]
struct SinkState {
    inner: Mutex<Taken>,
    changed: Condvar,
}

#[derive(Default)]
struct Taken {
    mode: Mode,
    open: Vec<AuditRecord>,
    flushed: Vec<AuditRecord>,
}

impl Sink {
    pub fn set(&self, mode: Mode) {
        self.lock().mode = mode;
        self.0.changed.notify_all();
    }

    pub fn records(&self) -> Vec<AuditRecord> {
        self.lock().flushed.clone()
    }

    /// Waits until a record of `operation` has been written.
    #[track_caller]
    pub fn wait_for(&self, operation: Operation) {
        until(|| self.lock().flushed.iter().any(|record| record.operation == operation));
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.inner.lock().unwrap()
    }

    fn take(&self) -> io::Result<MutexGuard<'_, Taken>> {
        let taken = self.lock();
        let mut taken =
            self.0.changed.wait_while(taken, |taken| taken.mode == Mode::Blocks).unwrap();
        if taken.mode == Mode::Fails {
            taken.open.clear();
            return Err(io::Error::other("on purpose"));
        }
        Ok(taken)
    }
}

impl AuditSink for Sink {
    fn write(&mut self, batch: &[AuditRecord]) -> io::Result<()> {
        let mut taken = self.take()?;
        if taken.mode != Mode::Forgets {
            taken.open.extend_from_slice(batch);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut taken = self.take()?;
        let open = std::mem::take(&mut taken.open);
        if taken.mode != Mode::Forgets {
            taken.flushed.extend(open);
        }
        Ok(())
    }
}

/// Waits until `holds`, which another thread brings about.
#[track_caller]
pub fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never came about: {}", Location::caller());
        std::thread::yield_now();
    }
}

/// Polls `future` once, as a host does that then forgets it.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub fn default_key() -> KeyId {
    KeyId::new(DEFAULT_KEY).unwrap()
}

pub fn context(value: &str) -> EncryptionContext {
    EncryptionContext::new().with("tenant", value).unwrap()
}

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
