//! The client: one pool of connections for life to the nodes of one Vault cluster.
//!
//! Owns the addresses, which of them answered last, the slot of the token, and every bound on what
//! comes back. It sends what `vaultrs` describes (method, path, body), and not through `vaultrs`' own
//! client: that reads `VAULT_*` variables, keeps the token as a plain string, reads bodies of any
//! length, and puts the text of answers into errors and logs.
//!
//! Invariants:
//!
//! 1. No environment variable is read, no proxy of the system is used, no redirect is followed but
//!    to the same path of a configured address.
//! 2. A body is cut off at its limit before anything is parsed; no text of an answer outlives its
//!    classification.
//! 3. A request goes to another node only where the first did not carry it out, or where carrying
//!    it out twice changes nothing.
//!
//! Cost: a request takes one connection of the pool for its duration; a new token is a header, and
//! costs none.

mod answer;

use core::time::Duration;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use rustify::endpoint::Endpoint;

pub(crate) use self::answer::Answer;
use super::config::VaultConfig;
use super::mount::ReadHealth;
use super::tls::Certificates;
use super::token::{Token, TokenSlot};
use crate::error::{ConfigErrors, VaultError};
use crate::limits::VAULT_BODY_BYTES_MAX;
use crate::secret::SecretBuffer;

/// Whether a request may be sent again where it may have been carried out already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A second time changes nothing: reads, and changes by compare-and-set whose loss is looked at.
    Safe,
    /// It would be made twice.
    Never,
}

/// One cluster.
pub(crate) struct Client {
    http: reqwest::Client,
    nodes: Box<[Node]>,
    /// The node that answered last, which is asked first.
    preferred: AtomicUsize,
    tokens: TokenSlot,
    namespace: Option<HeaderValue>,
    certificates: Mutex<Certificates>,
}

/// One configured address.
struct Node {
    origin: Url,
    /// What paths are put behind: `https://host:8200/v1`.
    base: String,
}

impl Client {
    /// A client of the cluster that `config` names. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ConfigErrors`] if an address, a file or the namespace is not what it must be.
    pub(crate) fn new(config: &VaultConfig) -> Result<Self, ConfigErrors> {
        let (certificates, tls) = Certificates::load(config)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .pool_max_idle_per_host(config.max_in_flight)
            .build()
            .map_err(|_error| ConfigErrors::of("backend.vault", "makes no HTTP client"))?;
        let namespace = match config.namespace.as_deref().map(HeaderValue::from_str) {
            Some(Ok(namespace)) => Some(namespace),
            Some(Err(_)) => {
                let problem = "is not one line of visible characters";
                return Err(ConfigErrors::of("backend.vault.namespace", problem));
            }
            None => None,
        };
        let nodes = config.addresses.iter().map(|address| node(address, config.skip_tls_verify));
        let nodes: Box<[Node]> = nodes.collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            return Err(ConfigErrors::of("backend.vault.addresses", "names none"));
        }
        Ok(Self {
            http,
            nodes,
            preferred: AtomicUsize::new(0),
            tokens: TokenSlot::default(),
            namespace,
            certificates: Mutex::new(certificates),
        })
    }

    /// Where the token in force is.
    pub(crate) fn tokens(&self) -> &TokenSlot {
        &self.tokens
    }

    /// Reads certificates again whose files have changed.
    pub(crate) fn reload_certificates(&self) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if certificates.reload() {
            tracing::info!("certificates for Vault were read again");
        }
    }

    /// What the cluster answers to `endpoint`, asked with `token`. Nodes that do not take part are
    /// passed over, the one that answered last goes first.
    ///
    /// # Errors
    /// [`VaultError`], that of the last node where none took part.
    pub(crate) async fn send<E: Endpoint>(
        &self,
        token: Option<&Arc<Token>>,
        endpoint: &E,
        repeat: Repeat,
    ) -> Result<Answer, VaultError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = VaultError::Unreachable;
        for offset in 0..self.nodes.len() {
            let index = (first + offset) % self.nodes.len();
            match self.send_to(index, token, endpoint).await {
                Ok((answered, answer)) => {
                    self.preferred.store(answered, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if tries_another(error, repeat) => {
                    // A node that says what is wrong tells more than one that says nothing.
                    if last == VaultError::Unreachable || error != VaultError::Unreachable {
                        last = error;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The same of one node, and of those that it redirects to; which one answered.
    async fn send_to<E: Endpoint>(
        &self,
        mut index: usize,
        token: Option<&Arc<Token>>,
        endpoint: &E,
    ) -> Result<(usize, Answer), VaultError> {
        for _ in 0..REDIRECTS_MAX {
            let response = self.exchange(index, token, endpoint).await?;
            let status = response.status();
            if !status.is_redirection() {
                return read(response).await.map(|answer| (index, answer));
            }
            let target = response.headers().get(http::header::LOCATION);
            let target = target.and_then(|target| target.to_str().ok());
            index = self.node_of(target.unwrap_or_default()).ok_or(VaultError::Redirected)?;
        }
        Err(VaultError::NoLeader)
    }

    async fn exchange<E: Endpoint>(
        &self,
        index: usize,
        token: Option<&Arc<Token>>,
        endpoint: &E,
    ) -> Result<Response, VaultError> {
        let node = self.nodes.get(index).ok_or(VaultError::Unreachable)?;
        let malformed = VaultError::Rejected("a request that cannot be written");
        let mut request = endpoint.request(&node.base).map_err(|_error| malformed)?;
        let headers = request.headers_mut();
        headers.insert(REQUEST_HEADER, HeaderValue::from_static("true"));
        if let Some(token) = token {
            let not_a_token = VaultError::Rejected("what stands for a token is not one");
            headers.insert(TOKEN_HEADER, token.header().ok_or(not_a_token)?);
        }
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE_HEADER, namespace.clone());
        }
        let request = reqwest::Request::try_from(request).map_err(|_error| malformed)?;
        self.http.execute(request).await.map_err(|error| failure(&error))
    }

    /// Which configured address `location` is on.
    fn node_of(&self, location: &str) -> Option<usize> {
        let origin = Url::parse(location).ok()?.origin();
        self.nodes.iter().position(|node| node.origin.origin() == origin)
    }

    /// How each node is, in the order of the configuration.
    pub(crate) async fn health(&self) -> Vec<NodeHealth> {
        let nodes = 0..self.nodes.len();
        join_all(nodes.map(|index| self.health_of(index))).await
    }

    async fn health_of(&self, index: usize) -> NodeHealth {
        let response = self.exchange(index, None, &ReadHealth {}).await;
        match response.map(|response| response.status().as_u16()) {
            Ok(200) => NodeHealth::Active,
            Ok(429) => NodeHealth::Standby,
            Ok(472) => NodeHealth::RecoverySecondary,
            Ok(473) => NodeHealth::PerformanceStandby,
            Ok(501) => NodeHealth::Uninitialised,
            Ok(503) => NodeHealth::Sealed,
            Ok(_) => NodeHealth::Unknown,
            Err(VaultError::Timeout) => NodeHealth::Silent,
            Err(_) => NodeHealth::Unreachable,
        }
    }
}

/// How one node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeHealth {
    /// It leads.
    Active,
    /// It answers what it can, and forwards the rest.
    PerformanceStandby,
    /// It stands in for another cluster, and answers nothing.
    RecoverySecondary,
    /// It is sealed.
    Sealed,
    /// It takes connections and does not answer.
    Silent,
    /// It forwards.
    Standby,
    /// It was never initialised.
    Uninitialised,
    /// It answers what Vault does not.
    Unknown,
    /// It takes no connection.
    Unreachable,
}

fn node(address: &str, is_plain_allowed: bool) -> Result<Node, ConfigErrors> {
    let checked = check_address(address, is_plain_allowed);
    let origin = checked.map_err(|it| ConfigErrors::of("backend.vault.addresses", it))?;
    let base = format!("{}/v1", origin.as_str().trim_end_matches('/'));
    Ok(Node { origin, base })
}

/// The address as a URL of nothing but scheme, host and port.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_address(address: &str, is_plain_allowed: bool) -> Result<Url, &'static str> {
    let Ok(origin) = Url::parse(address) else {
        return Err("names what is not a URL");
    };
    match origin.scheme() {
        "https" => {}
        "http" if is_plain_allowed => {}
        "http" => return Err("names a plain HTTP address without `skip_tls_verify`"),
        _ => return Err("names an address that is not `https://`"),
    }
    let is_bare = origin.path() == "/"
        && origin.query().is_none()
        && origin.fragment().is_none()
        && origin.username().is_empty()
        && origin.password().is_none();
    if !is_bare || !origin.has_host() {
        return Err("names more than scheme, host and port");
    }
    Ok(origin)
}

/// Whether another node may do what this one did not.
fn tries_another(error: VaultError, repeat: Repeat) -> bool {
    match error {
        VaultError::NoLeader
        | VaultError::Redirected
        | VaultError::Sealed
        | VaultError::Tls
        | VaultError::Uninitialised
        | VaultError::Unreachable => true,
        VaultError::Interrupted
        | VaultError::Malformed(_)
        | VaultError::Timeout
        | VaultError::Unavailable(_) => repeat == Repeat::Safe,
        VaultError::Busy { .. }
        | VaultError::Conflict
        | VaultError::Forbidden(_)
        | VaultError::LoggedOut(_)
        | VaultError::Mount(_)
        | VaultError::NotFound
        | VaultError::Paused { .. }
        | VaultError::RateLimited { .. }
        | VaultError::Rejected(_) => false,
    }
}

/// The answer in `response`, read no further than its limit.
async fn read(mut response: Response) -> Result<Answer, VaultError> {
    let status = response.status();
    let too_large = VaultError::Malformed("longer than any answer of Vault");
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |bytes| bytes > VAULT_BODY_BYTES_MAX) {
        return Err(too_large);
    }
    let is_json = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind == "application/json"));
    let retry_after = response
        .headers()
        .get(http::header::RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_MAX_SECS)));
    let mut body = SecretBuffer::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.expose().len().saturating_add(chunk.len()) > VAULT_BODY_BYTES_MAX {
            return Err(too_large);
        }
        body.push(&chunk);
    }
    if !is_json && status != StatusCode::NO_CONTENT && status.is_success() {
        return Err(VaultError::Malformed("not JSON"));
    }
    Answer::of(status.as_u16(), body, retry_after)
}

/// What became of a request that has no response.
fn failure(error: &reqwest::Error) -> VaultError {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        let is_tls = error.downcast_ref::<rustls::Error>().is_some()
            || error
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some());
        if is_tls {
            return VaultError::Tls;
        }
        cause = error.source();
    }
    if error.is_connect() {
        VaultError::Unreachable
    } else if error.is_timeout() {
        VaultError::Timeout
    } else if error.is_builder() {
        VaultError::Rejected("a request that cannot be written")
    } else {
        VaultError::Interrupted
    }
}

/// A standby names the leader; the leader may have gone meanwhile.
const REDIRECTS_MAX: usize = 3;
/// What a rate limit may ask for at most: beyond it, asking again costs nothing worth sparing.
const RETRY_AFTER_MAX_SECS: u64 = 60;
const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-vault-request");
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-vault-namespace");
