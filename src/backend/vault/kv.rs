//! Vault's KV engine, version 2, as the backends use it: single documents, compare-and-set, and
//! listings. Paths are made here and nowhere else.

use rustify::endpoint::Endpoint;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vaultrs::api::kv2::requests::{
    DestroySecretVersionsRequest, ListSecretsRequest, ReadConfigurationRequest, ReadSecretRequest,
    SetSecretRequest, SetSecretRequestOptions,
};

use super::client::Repeat;
use super::session::Session;
use crate::error::VaultError;
use crate::key::{KeyId, KeyVersion};

/// The engine's part of one KV mount.
#[derive(Clone)]
pub(super) struct Kv {
    pub(super) session: Session,
    mount: String,
    prefix: String,
}

/// One document of the store.
#[derive(Clone, Copy)]
pub(super) enum Place<'k> {
    Store,
    State(&'k KeyId),
    Version(&'k KeyId, KeyVersion),
    Uses(&'k KeyId, KeyVersion),
}

/// What stands at a place.
pub(super) enum Stored<T> {
    /// Nothing, and nothing ever did as far as Vault tells.
    Absent,
    /// Something that is gone: deleted, or destroyed for good.
    Gone { destroyed: bool },
    /// A document, and the KV version of it; `None` where it is not one of this kind. It may be one
    /// that Vault deletes by itself at some time.
    Present { document: Option<T>, revision: u64, expires: bool },
}

#[derive(Deserialize)]
struct Secret<T> {
    data: Option<T>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    destroyed: bool,
    /// When it was deleted, or will be; empty where neither.
    deletion_time: String,
}

/// A document of the shape that is wanted, or whatever it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shape<T> {
    Wanted(T),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Names {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct MountConfig {
    delete_version_after: String,
}

impl Kv {
    pub(super) fn new(session: Session, mount: &str, prefix: &str) -> Self {
        Self { session, mount: mount.to_owned(), prefix: prefix.to_owned() }
    }

    /// The place as Vault's interface names it, for people.
    pub(super) fn name(&self, place: Place<'_>) -> String {
        format!("{}/{}", self.mount, self.path(place))
    }

    fn path(&self, place: Place<'_>) -> String {
        let prefix = &self.prefix;
        match place {
            Place::Store => format!("{prefix}/store"),
            Place::State(id) => format!("{prefix}/k/{}/state", id.storage_name()),
            Place::Version(id, n) => format!("{prefix}/k/{}/v/{n}", id.storage_name()),
            Place::Uses(id, n) => format!("{prefix}/k/{}/use/{n}", id.storage_name()),
        }
    }

    /// What stands at `place`.
    ///
    /// # Errors
    /// [`VaultError`]; a mount that is not there is one, never `Absent`.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
    ) -> Result<Stored<T>, VaultError> {
        let request =
            ReadSecretRequest { mount: self.mount.clone(), path: self.path(place), version: None };
        let answer = match self.session.call(&request, Repeat::Safe).await {
            Ok(answer) => answer,
            Err(VaultError::NotFound) => return Ok(Stored::Absent),
            Err(error) => return Err(error),
        };
        let secret: Secret<Shape<T>> = answer.data()?;
        let Metadata { version: revision, destroyed, deletion_time } = secret.metadata;
        let expires = !deletion_time.is_empty();
        let document = match secret.data {
            None => return Ok(Stored::Gone { destroyed }),
            Some(Shape::Wanted(document)) => Some(document),
            Some(Shape::Other(_)) => None,
        };
        Ok(Stored::Present { document, revision, expires })
    }

    /// Writes `document` to `place` if the last one there was KV version `after` (0: there never
    /// was one). It becomes version `after + 1`.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] if it is another one: also where an earlier sending of the same
    /// request was carried out and its answer lost.
    pub(super) async fn write<T: Serialize>(
        &self,
        place: Place<'_>,
        document: &T,
        after: u64,
    ) -> Result<(), VaultError> {
        let too_many = VaultError::Rejected("a key that was written four thousand million times");
        let data = serde_json::to_value(document)
            .map_err(|_error| VaultError::Rejected("a document that is not JSON"))?;
        let cas = u32::try_from(after).map_err(|_error| too_many)?;
        let request = SetSecretRequest {
            mount: self.mount.clone(),
            path: self.path(place),
            data,
            options: Some(SetSecretRequestOptions { cas }),
        };
        self.session.call(&request, Repeat::Safe).await.map(drop)
    }

    /// Destroys what was written to `place` as its first version, for good.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(super) async fn destroy(&self, place: Place<'_>) -> Result<(), VaultError> {
        let request = DestroySecretVersionsRequest {
            mount: self.mount.clone(),
            path: self.path(place),
            versions: vec![1],
        };
        self.session.call(&request, Repeat::Safe).await.map(drop)
    }

    /// The storage names of all keys.
    ///
    /// # Errors
    /// [`VaultError`].
    pub(super) async fn names(&self) -> Result<Vec<String>, VaultError> {
        let path = format!("{}/k", self.prefix);
        let request = ListSecretsRequest { mount: self.mount.clone(), path };
        let names: Names = match self.session.call(&request, Repeat::Safe).await {
            Ok(answer) => answer.data()?,
            Err(VaultError::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(names.keys)
    }

    /// Whether the mount is one that keeps what it is given.
    ///
    /// # Errors
    /// [`VaultError::Mount`] if it is none of KV version 2, or deletes by itself.
    pub(super) async fn check(&self) -> Result<(), VaultError> {
        let request = ReadConfigurationRequest { mount: self.mount.clone() };
        let answer = match self.session.call(&request, Repeat::Safe).await {
            Ok(answer) => answer,
            // KV version 1 keeps a secret of that name there, or none.
            Err(VaultError::NotFound) => return Err(NOT_KV2),
            Err(error) => return Err(error),
        };
        let config: MountConfig = answer.data().map_err(|_error| NOT_KV2)?;
        if config.delete_version_after.trim_end_matches(['s', 'm', 'h', '0']).is_empty() {
            return Ok(());
        }
        Err(VaultError::Mount("of KV has a `delete_version_after`: it would delete keys by itself"))
    }
}

/// Sends `endpoint` and forgets what it answers.
pub(super) async fn sent<E: Endpoint>(
    session: &Session,
    endpoint: &E,
    repeat: Repeat,
) -> Result<(), VaultError> {
    session.call(endpoint, repeat).await.map(drop)
}

const NOT_KV2: VaultError = VaultError::Mount("is not the KV engine, version 2");
