//! Metrics for Prometheus, on an address of their own: clients that store objects need not read them.

#![expect(clippy::print_stdout, reason = "whoever starts it has to learn the port")]

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use portcullis::Kms;
use portcullis::metrics::prometheus::{self, Exporter};
use s3s::Body;
use tokio::net::TcpListener;

/// Listens on `address` and answers `GET /metrics` there, one request after the other, for as long
/// as the program runs.
pub async fn serve(address: SocketAddr, exporter: Exporter, kms: Kms) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("metrics on http://{}/metrics", listener.local_addr()?);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let mut http = Builder::new(TokioExecutor::new());
            let timer = TokioTimer::new();
            http.http1().timer(timer).header_read_timeout(DEADLINE).keep_alive(false);
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(&request, &exporter, &kms);
                async { Ok::<_, Infallible>(response) }
            });
            let served = http.serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(DEADLINE, served).await;
        }
    });
    Ok(())
}

fn answer(request: &Request<Incoming>, exporter: &Exporter, kms: &Kms) -> Response<Body> {
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut response = Response::new(Body::from(exporter.render([kms])));
    let content_type = prometheus::CONTENT_TYPE.parse().expect("the constant is a header's value");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

const PAUSE: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_secs(10);
