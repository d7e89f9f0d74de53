//! What login methods need of the client: one request, one answer, nothing repeated.

use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;

use crate::backend::vault::client::{Client, Repeat};
use crate::backend::vault::token::{Token, TokenSlot};
use crate::error::VaultError;
use crate::secret::SecretBuffer;

/// A future of a request: the body of an answer that says what was asked.
pub(crate) type WireFuture<'a> =
    Pin<Box<dyn Future<Output = Result<SecretBuffer, VaultError>> + Send + 'a>>;

/// The way to Vault of who logs in: beside the calls of a backend, so that no flood of them holds
/// up a login.
pub(crate) trait Wire: Send + Sync {
    /// Where the token in force is.
    fn tokens(&self) -> &TokenSlot;

    /// What Vault answers to `request`.
    fn send<'a>(&'a self, request: WireRequest<'a>) -> WireFuture<'a>;
}

/// One request.
pub(crate) struct WireRequest<'a> {
    /// Below `/v1/`.
    pub(crate) path: String,
    /// What to ask with, if anything.
    pub(crate) token: Option<&'a Arc<Token>>,
    /// A JSON document to post; none to read.
    pub(crate) body: Option<SecretBuffer>,
    /// Whether another node may be asked where the first may have done it.
    pub(crate) repeat: Repeat,
}

impl Wire for Client {
    fn tokens(&self) -> &TokenSlot {
        Self::tokens(self)
    }

    fn send<'a>(&'a self, request: WireRequest<'a>) -> WireFuture<'a> {
        Box::pin(async move {
            let (token, repeat) = (request.token, request.repeat);
            Self::send(self, token, &Posted(request), repeat).await.map(|answer| answer.into_body())
        })
    }
}

/// A request whose body is written already.
struct Posted<'a>(WireRequest<'a>);

impl Endpoint for Posted<'_> {
    type Response = ();

    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.0.path.clone()
    }

    fn method(&self) -> RequestMethod {
        if self.0.body.is_some() { RequestMethod::POST } else { RequestMethod::GET }
    }

    /// The one copy that the HTTP library keeps and does not wipe (guarantee 6 says so).
    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.0.body.as_ref().map(|body| body.expose().to_vec()))
    }
}
