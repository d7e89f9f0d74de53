//! An engine on a keystore of its own, and what is asked of it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis::audit::{AuditRecord, AuditSink, Operation, Release};
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY, Profile};
use portcullis::context::EncryptionContext;
use portcullis::engine::EngineOptions;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::{Engine, GeneratedDataKey, Kms, TryError};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A running engine, and what a caller needs.
pub struct Host {
    pub kms: Kms,
    pub key: KeyId,
    pub context: EncryptionContext,
    pub runtime: Runtime,
    /// Records of data keys that reached the sink.
    records: Arc<AtomicU64>,
    _engine: Engine,
    _directory: TempDir,
}

impl Host {
    /// An engine that releases as `release` says, with a sink that writes each record to a file.
    pub fn start(release: Release) -> Self {
        Self::with_threads(release, 0)
    }

    /// The same with `threads` of its own for large objects.
    pub fn with_threads(release: Release, threads: usize) -> Self {
        let directory = TempDir::new().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        create_root_key_file(at("root.key")).expect("a root key");
        let (root, anchor) = (RootKey::File(at("root.key")), Anchor::File(at("mark")));
        let local = LocalConfig::new(at("keys"), root, anchor);
        let key = KeyId::new(DEFAULT_KEY).expect("an id");
        let mut options = InitOptions::new(SystemClock::default().wall());
        options.default_key = Some(key.clone());
        init(&local, options).expect("a keystore");

        let mut config = Config::new(local);
        // The production profile refuses to run unaudited.
        config.profile = Profile::Development;
        config.audit.release = release;
        // Beside a primitive on one thread stands the engine on one.
        config.objects.threads = Some(threads);
        let sink = FileSink::create(&at("audit.log")).expect("a file");
        let records = Arc::clone(&sink.records);
        let options = EngineOptions::new().with_audit_sink(sink);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_time().build();
        let runtime = runtime.expect("a runtime");
        let engine = runtime.block_on(async {
            let engine = Engine::launch(options).await.expect("an engine");
            engine.kms().configure(config).await.expect("a good configuration");
            engine.kms().start().await.expect("the engine starts");
            engine
        });
        Self {
            kms: engine.kms(),
            key,
            context: context(),
            runtime,
            records,
            _engine: engine,
            _directory: directory,
        }
    }

    /// Whether records of data keys reach the sink, which they do within a second or never.
    pub fn has_records(&self) -> bool {
        (0..100).any(|_| {
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
            self.records.load(Ordering::Relaxed) > 0
        })
    }

    /// A new data key, as a host on a thread asks for it: at once, and waiting only where it must.
    #[inline]
    pub fn generate(&self) -> GeneratedDataKey {
        let spec = DataKeySpec::AES_256;
        match self.kms.try_generate_data_key(&self.key, spec, &self.context) {
            Ok(made) => made,
            Err(TryError::NeedsHop(_)) => self.generate_waiting(),
            Err(error) => panic!("{error}"),
        }
    }

    #[cold]
    fn generate_waiting(&self) -> GeneratedDataKey {
        let made = self.kms.generate_data_key(&self.key, DataKeySpec::AES_256, &self.context);
        self.runtime.block_on(made).expect("a data key")
    }

    /// The lease on the data key in `wrapped`.
    #[inline]
    pub fn decrypt(&self, wrapped: &WrappedKey) -> portcullis::DataKey {
        match self.kms.try_decrypt_data_key(wrapped, &self.context) {
            Ok(key) => key,
            Err(TryError::NeedsHop(_)) => {
                let opened = self.kms.decrypt_data_key(wrapped, &self.context);
                self.runtime.block_on(opened).expect("a data key")
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Two pairs, as an object store would bind them.
pub fn context() -> EncryptionContext {
    let bucket = EncryptionContext::new().with("bucket", "photos");
    bucket.and_then(|bucket| bucket.with("object", "2024/06/17/0001.jpg")).expect("it is short")
}

/// Writes each record as one line, and counts.
struct FileSink {
    file: BufWriter<File>,
    records: Arc<AtomicU64>,
    bytes: u64,
}

impl FileSink {
    fn create(path: &std::path::Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(64 * 1024, File::create(path)?);
        Ok(Self { file, records: Arc::default(), bytes: 0 })
    }
}

impl AuditSink for FileSink {
    fn write(&mut self, batch: &[AuditRecord]) -> io::Result<()> {
        let mut count = 0;
        for record in batch {
            let is_counted = |operation| {
                matches!(operation, Operation::GenerateDataKey | Operation::DecryptDataKey)
            };
            count += u64::from(is_counted(record.operation));
            let key = record.key.as_deref().unwrap_or("-");
            let (principal, operation) = (record.caller.principal(), record.operation.name());
            let (time, latency) = (record.time.as_millis(), record.latency.as_nanos());
            let (number, outcome) = (record.sequence, record.outcome.name());
            self.bytes += 128;
            writeln!(
                self.file,
                "{number} {time} {principal} {operation} {outcome} {key} {latency}"
            )?;
        }
        self.records.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        // A bench must not fill the disk.
        if self.bytes > FILE_BYTES_MAX {
            self.bytes = 0;
            self.file.get_mut().set_len(0)?;
            io::Seek::rewind(self.file.get_mut())?;
        }
        Ok(())
    }
}

const FILE_BYTES_MAX: u64 = 256 << 20;
