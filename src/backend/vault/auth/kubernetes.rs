//! The token of a Kubernetes service account, which Vault has reviewed by the cluster.
//!
//! The kubelet replaces the token's file about every hour; it is read at each login.

use std::path::PathBuf;

use serde::Serialize;

use super::source::{Readers, SecretSource, json, text};
use super::{Granted, Wire, log_in};
use crate::error::VaultError;

/// The login of a Kubernetes service account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kubernetes {
    /// Where the method is mounted, `kubernetes` by default.
    pub mount: String,
    /// The role that Vault binds the service account to.
    pub role: String,
    /// Where the service account's token is, the projected file by default.
    pub token: SecretSource,
}

impl Kubernetes {
    /// The role `role` of the method at `kubernetes`, with the token that the kubelet delivers.
    #[must_use]
    pub fn new(role: impl Into<String>) -> Self {
        Self {
            mount: "kubernetes".to_owned(),
            role: role.into(),
            token: SecretSource::File(PathBuf::from(TOKEN_FILE)),
        }
    }
}

/// The method.
pub(crate) struct Login {
    config: Kubernetes,
}

impl Login {
    pub(super) fn new(config: &Kubernetes) -> Self {
        Self { config: config.clone() }
    }

    pub(super) async fn run(&self, wire: &dyn Wire) -> Result<Granted, VaultError> {
        #[derive(Serialize)]
        struct Body<'a> {
            role: &'a str,
            jwt: &'a str,
        }
        let token = self.config.token.read(Readers::Platform).await?;
        let body = json(&Body { role: &self.config.role, jwt: text(&token) });
        log_in(wire, &self.config.mount, body, REFUSED).await
    }
}

const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const REFUSED: &str = "the role does not take this service account, or its token is not valid";
