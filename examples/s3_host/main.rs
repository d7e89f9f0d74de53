//! An S3 server over a directory that embeds the engine for encryption at rest: SSE-S3, SSE-KMS and
//! SSE-C, whole objects and uploads in parts, ranges, copies.
//!
//! ```text
//! export S3_HOST_ACCESS_KEY=me S3_HOST_SECRET_KEY=secret
//! cargo run --example s3_host -- --init --data /srv/s3 --keys /srv/keys \
//!     --root-key /srv/root.key --mark /srv/mark --key invoices \
//!     --tls-certificate cert.pem --tls-key key.pem
//! aws --endpoint-url https://localhost:8014 s3 cp file s3://bucket/ --sse aws:kms \
//!     --sse-kms-key-id invoices
//! ```
//!
//! ```text
//! main.rs      arguments, keystore, engine                          server.rs   connections, TLS
//! host.rs      S3's calls, and what all of them share               answer.rs   errors and headers
//! buckets.rs   buckets and their default encryption                 body.rs     digests on the way
//! objects.rs   put, get, head, delete          copy.rs   copies     catalog.rs  entries on disk
//! listing.rs   listings                                             disk.rs     durable files
//! uploads.rs   uploads in parts                                     metrics.rs  for Prometheus
//! ```
//!
//! What it takes from the engine: [`portcullis::s3`] reads headers, decides and answers;
//! [`Kms`](portcullis::Kms) seals and opens. What lies on its disk is sealed: bodies, ETags that
//! are digests, checksums. Names of objects, sizes, and what clients state as metadata are not.
//!
//! What it leaves out because it is an example: versions, policies, conditions on writes (refused), an
//! index (a listing reads every entry of its bucket).

mod answer;
mod body;
mod buckets;
mod catalog;
mod copy;
mod disk;
mod host;
mod listing;
mod metrics;
mod objects;
mod server;
mod uploads;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::engine::EngineOptions;
use portcullis::error::{Error, KeyError};
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::memory::WipingAlloc;
use portcullis::metrics::prometheus::Exporter;
use portcullis::s3::Transport;
use portcullis::{Engine, Kms};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::catalog::Catalog;
use crate::host::Host;
use crate::server::Server;

/// Wipes what is freed: HTTP, TLS and S3 libraries keep headers in which customers' keys come. A
/// host that nobody has to debug calls `portcullis::memory::harden_process` as well.
#[global_allocator]
static ALLOCATOR: WipingAlloc = WipingAlloc::new();

type Result<T> = core::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// An S3 server over a directory, encrypted at rest.
#[derive(Parser)]
struct Arguments {
    /// Where buckets lie.
    #[arg(long)]
    data: PathBuf,
    /// The keystore. In production it lies on another disk than the data.
    #[arg(long)]
    keys: PathBuf,
    /// The file of the keystore's root key, on yet another.
    #[arg(long)]
    root_key: PathBuf,
    /// The file that remembers the keystore's latest state.
    #[arg(long)]
    mark: PathBuf,
    /// Make root key and keystore first. They are never made because they are absent.
    #[arg(long)]
    init: bool,
    /// A master key for SSE-KMS, made if it is not there. May be given several times.
    #[arg(long = "key")]
    master_keys: Vec<String>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8014")]
    listen: SocketAddr,
    /// Where to serve metrics for Prometheus, to whoever can reach it; port 0 takes a free one.
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Certificates for TLS, PEM.
    #[arg(long, requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key for TLS, PEM.
    #[arg(long, requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Development: take customers' keys (SSE-C) over plain HTTP.
    #[arg(long, conflicts_with = "tls_certificate")]
    allow_customer_keys_over_http: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let server = Server::bind(&arguments).await?;
    let exporter = Exporter::new();
    let engine = start_engine(&arguments, &exporter).await?;
    if let Some(address) = arguments.metrics {
        metrics::serve(address, exporter, engine.kms()).await?;
    }
    make_keys(&engine.kms(), &arguments.master_keys).await?;

    let host = Host {
        kms: engine.kms(),
        catalog: Catalog::open(&arguments.data)?,
        transport: transport(&arguments),
    };
    let mut service = S3ServiceBuilder::new(host);
    service.set_auth(credentials()?);
    server.serve(service.build()).await?;

    // Requests are done or given up: dropping the engine wipes its keys and closes the keystore.
    drop(engine);
    Ok(())
}

async fn start_engine(arguments: &Arguments, exporter: &Exporter) -> Result<Engine> {
    let Arguments { keys, root_key, mark, .. } = arguments;
    let anchor = Anchor::File(mark.clone());
    let local = LocalConfig::new(keys.clone(), RootKey::File(root_key.clone()), anchor);
    if arguments.init {
        create_root_key_file(root_key)?;
        let mut options = InitOptions::new(SystemClock::default().wall());
        // SSE-S3 is under this key, and the records of SSE-C are.
        options.default_key = Some(KeyId::new(DEFAULT_KEY)?);
        init(&local, options)?;
    }
    // Told when it is scraped, and not otherwise.
    let metrics = exporter.options().with_interval(None);
    let engine = Engine::launch(EngineOptions::new().with_metrics(metrics)).await?;
    engine.kms().configure(Config::new(local)).await?;
    engine.kms().start().await?;
    Ok(engine)
}

async fn make_keys(kms: &Kms, ids: &[String]) -> Result<()> {
    for id in ids {
        match kms.create_key(&KeyId::new(id)?).await {
            Ok(_) | Err(Error::Key(KeyError::AlreadyExists)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn transport(arguments: &Arguments) -> Transport {
    if arguments.tls_certificate.is_some() {
        Transport::Tls
    } else if arguments.allow_customer_keys_over_http {
        Transport::PlainInDevelopment
    } else {
        Transport::Plain
    }
}

/// The one user, from the environment: arguments are seen by everybody on the machine.
fn credentials() -> Result<SimpleAuth> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let access_key = variable("S3_HOST_ACCESS_KEY")?;
    Ok(SimpleAuth::from_single(access_key, variable("S3_HOST_SECRET_KEY")?))
}
