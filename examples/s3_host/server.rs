//! Connections: HTTP over TLS or plain, at most so many, until a signal ends them.

#![expect(clippy::print_stdout, reason = "whoever starts it has to learn the port")]

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_RANGE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use portcullis::s3::names::{COPY_SOURCE_CUSTOMER_KEY, CUSTOMER_KEY};
use s3s::service::S3Service;
use s3s::{Body, HttpError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::disk::random_name;
use crate::{Arguments, Result};

/// A listening server.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
}

impl Server {
    /// Listens; nobody is served yet.
    pub async fn bind(arguments: &Arguments) -> Result<Self> {
        let tls = match (&arguments.tls_certificate, &arguments.tls_key) {
            (Some(certificate), Some(key)) => {
                let chain = CertificateDer::pem_file_iter(certificate)?;
                let chain = chain.collect::<core::result::Result<Vec<_>, _>>()?;
                let provider = Arc::new(aws_lc_rs::default_provider());
                let config = ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()?
                    .with_no_client_auth()
                    .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
                Some(TlsAcceptor::from(Arc::new(config)))
            }
            _ => None,
        };
        let listener = TcpListener::bind(arguments.listen).await?;
        Ok(Self { listener, tls, connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    /// Serves until SIGINT or SIGTERM, and then lets requests under way end for a while.
    pub async fn serve(self, service: S3Service) -> io::Result<()> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        println!("listening on {scheme}://{}", self.listener.local_addr()?);
        let (mut interrupted, mut terminated) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let graceful = GracefulShutdown::new();
        loop {
            // Taken before a connection is: those beyond the limit wait in the system's queue.
            let permit = Arc::clone(&self.connections).acquire_owned().await;
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = interrupted.recv() => break,
                _ = terminated.recv() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: the next one may fare better.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (tls, service) = (self.tls.clone(), service.clone());
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _permit = permit;
                let connection = connect(tls, stream).await;
                let Ok(connection) = connection else { return };
                let mut http = Builder::new(TokioExecutor::new());
                http.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_DEADLINE);
                let service = service_fn(move |request| answer(service.clone(), request, peer));
                let served = http.serve_connection(TokioIo::new(connection), service);
                if let Err(error) = watcher.watch(served.into_owned()).await {
                    tracing::debug!(error, "a connection broke");
                }
            });
        }
        let _ = tokio::time::timeout(DRAIN_DEADLINE, graceful.shutdown()).await;
        Ok(())
    }
}

/// Where a request came from, and what it is called here and at its client: an extension of it.
#[derive(Clone)]
pub struct Origin {
    pub peer: SocketAddr,
    pub request_id: String,
}

async fn answer(
    service: S3Service,
    mut request: Request<Incoming>,
    peer: SocketAddr,
) -> core::result::Result<Response<Body>, HttpError> {
    let request_id = random_name().map_err(|error| HttpError::new(error.into()))?;
    request.extensions_mut().insert(Origin { peer, request_id: request_id.clone() });
    // `s3s` logs the headers of requests at the level DEBUG: secret ones are marked, and left out.
    for name in [CUSTOMER_KEY, COPY_SOURCE_CUSTOMER_KEY, AUTHORIZATION.as_str()] {
        if let Some(value) = request.headers_mut().get_mut(name) {
            value.set_sensitive(true);
        }
    }
    let method = request.method().clone();
    let mut response = service.call(request.map(Body::from)).await?;
    let status = response.status();
    if let Ok(request_id) = request_id.try_into() {
        response.headers_mut().insert("x-amz-request-id", request_id);
    }
    // `s3s` 0.14 answers 200 to each HEAD; S3 answers 206 where it tells of a range or a part.
    let is_cut = response.headers().contains_key(CONTENT_RANGE);
    if method == Method::HEAD && status == StatusCode::OK && is_cut {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    // The body of what is refused was not read: nothing more can come on this connection.
    if !status.is_success() && (method == Method::PUT || method == Method::POST) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A byte stream of either kind.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

async fn connect(tls: Option<TlsAcceptor>, stream: TcpStream) -> io::Result<Box<dyn Connection>> {
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await;
            Ok(Box::new(shaken??))
        }
    }
}

const CONNECTIONS_MAX: usize = 1024;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
const HEADERS_DEADLINE: Duration = Duration::from_secs(30);
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
