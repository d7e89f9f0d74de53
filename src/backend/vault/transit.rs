//! vault-transit: material never leaves Vault, which wraps and unwraps each data key.
//!
//! ```text
//! wrap    = transit/encrypt/<name>, context = base64(SHA-256(canonical context))
//! unwrap  = transit/decrypt/<name>, the same context
//! rewrap  = transit/rewrap/<name>: one call, the data key is not seen
//! ```
//!
//! Keys are derived (`derived=true`): every context has a key of its own under HKDF, which survives
//! a rewrap (associated data does not), and takes Vault's random nonces off one shared key. A key
//! that is not derived, or can be exported, is refused.
//!
//! Vault decides which versions there are: one that it made by itself (`auto_rotate_period`) is used
//! from the next look on. The tag of a version is the moment at which Vault says it was made, so a
//! key that was deleted and made again is told. What a state says of versions is put into force in
//! Vault too, as far as Vault can: `min_decryption_version` for those retired, `trim` for those
//! destroyed, which is why only the oldest ones can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use vaultrs::api::transit::KeyType;
use vaultrs::api::transit::requests::{
    CreateKeyRequest, DecryptDataRequest, DeleteKeyRequest, EncryptDataRequest,
    GenerateHmacRequest, ReadKeyRequest, RewrapDataRequest, RotateKeyRequest, TrimKeyRequest,
    UpdateKeyConfigurationRequest, VerifySignedDataRequest,
};
use zeroize::Zeroizing;

use super::client::Repeat;
use super::document::{Macs, StateDocument, StateRecord};
use super::keeper::{Keeper, Kept, Unreadable};
use super::kv::{Kv, Place, sent};
use super::session::Session;
use crate::backend::{BackendFuture, BackendKind, Capabilities, Remote, VersionReach};
use crate::clock::WallTime;
use crate::crypto::digest::sha256;
use crate::error::{EnvelopeError, Error, KeyError, VaultError};
use crate::key::{
    Damage, KeyId, KeyRecord, KeyState, KeyVersion, NewVersion, VersionRecord, VersionState,
    VersionTag,
};
use crate::limits::WRAPPED_BYTES_MAX;
use crate::secret::SecretBuffer;

/// Keeps material in Transit.
#[derive(Clone)]
pub(super) struct TransitKeeper {
    session: Session,
    kv: Kv,
    mount: String,
    prefix: String,
}

/// A key as Transit describes it.
#[derive(Deserialize)]
struct Described {
    #[serde(rename = "type")]
    kind: String,
    derived: bool,
    exportable: bool,
    allow_plaintext_backup: bool,
    latest_version: u32,
    min_decryption_version: u32,
    min_encryption_version: u32,
    min_available_version: u32,
    /// Seconds since 1970 by version; those below `min_decryption_version` are left out.
    keys: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Ciphertext {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Plaintext {
    plaintext: Zeroizing<String>,
}

#[derive(Deserialize)]
struct HmacAnswer {
    hmac: String,
}

#[derive(Deserialize)]
struct Verified {
    valid: bool,
}

#[derive(Deserialize)]
struct MountDescribed {
    #[serde(rename = "type")]
    kind: String,
}

impl Described {
    /// What makes it no master key, if anything does.
    fn problem(&self) -> Option<&'static str> {
        if self.kind != "aes256-gcm96" {
            Some("is not of the type aes256-gcm96")
        } else if !self.derived {
            Some("is not derived: contexts would not be bound, and its nonces would be used up")
        } else if self.exportable || self.allow_plaintext_backup {
            Some("can be exported")
        } else {
            None
        }
    }

    fn created(&self, number: u32) -> Option<u64> {
        self.keys.get(&number.to_string()).copied()
    }
}

/// The tag of a version that Transit made at `seconds`.
fn tag(seconds: u64) -> VersionTag {
    VersionTag::from_bytes(seconds.to_be_bytes())
}

fn at(seconds: u64) -> WallTime {
    WallTime::from_millis(seconds.saturating_mul(1000))
}

impl TransitKeeper {
    pub(super) fn new(session: Session, kv: Kv, mount: &str, prefix: &str) -> Self {
        let (mount, prefix) = (mount.to_owned(), prefix.replace('/', "-"));
        Self { session, kv, mount, prefix }
    }

    /// The key's name in Transit: prefix and storage name, which have no `-`.
    fn key_name(&self, id: &KeyId) -> String {
        format!("{}-{}", self.prefix, id.storage_name())
    }

    fn place(&self, id: &KeyId) -> String {
        format!("{}/keys/{}", self.mount, self.key_name(id))
    }

    /// The key as Vault describes it; `None` where there is none.
    async fn describe(&self, id: &KeyId) -> Result<Option<Described>, VaultError> {
        let request = ReadKeyRequest { mount: self.mount.clone(), name: self.key_name(id) };
        match self.session.call(&request, Repeat::Safe).await {
            Ok(answer) => answer.data().map(Some),
            Err(VaultError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn verify(
        &self,
        id: &KeyId,
        record: &str,
        mac: &str,
    ) -> Result<Result<(), &'static str>, VaultError> {
        let request = VerifySignedDataRequest {
            mount: self.mount.clone(),
            name: self.key_name(id),
            input: digest(record),
            hmac: Some(mac.to_owned()),
            ..VerifySignedDataRequest::default()
        };
        match self.session.call(&request, Repeat::Safe).await {
            Ok(answer) => {
                let valid = answer.data::<Verified>()?.valid;
                Ok(if valid { Ok(()) } else { Err("was changed") })
            }
            Err(VaultError::Rejected(_)) => Ok(Err("has a MAC that Vault does not take")),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, id: &KeyId) -> Result<(), VaultError> {
        let request = CreateKeyRequest {
            mount: self.mount.clone(),
            name: self.key_name(id),
            derived: Some(true),
            exportable: Some(false),
            allow_plaintext_backup: Some(false),
            key_type: Some(KeyType::Aes256Gcm96),
            ..CreateKeyRequest::default()
        };
        // Vault leaves a key that is there as it is.
        sent(&self.session, &request, Repeat::Safe).await
    }

    async fn configure(
        &self,
        id: &KeyId,
        set: impl FnOnce(&mut UpdateKeyConfigurationRequest),
    ) -> Result<(), VaultError> {
        let mut request = UpdateKeyConfigurationRequest {
            mount: self.mount.clone(),
            name: self.key_name(id),
            ..UpdateKeyConfigurationRequest::default()
        };
        set(&mut request);
        sent(&self.session, &request, Repeat::Safe).await
    }

    async fn delete(&self, id: &KeyId) -> Result<(), VaultError> {
        self.configure(id, |config| config.deletion_allowed = Some(true)).await?;
        let request = DeleteKeyRequest { mount: self.mount.clone(), name: self.key_name(id) };
        sent(&self.session, &request, Repeat::Safe).await
    }
}

/// What Vault's MAC is over: base64 of the record's SHA-256.
fn digest(record: &str) -> String {
    STANDARD.encode(sha256(&[record.as_bytes()]))
}

/// `bare` as Vault has it, if that is the version that was made.
fn found(described: &Described, bare: &VersionRecord) -> Result<VersionRecord, &'static str> {
    let number = bare.version.number();
    let mut version = VersionRecord {
        version: bare.version,
        tag: bare.tag,
        created: bare.created,
        state: bare.state,
        uses_reserved: 0,
        grant: None,
        material: None,
    };
    match described.created(number) {
        Some(seconds) if tag(seconds) != bare.tag => return Err("was deleted and made again"),
        Some(_) => {}
        None if number > described.latest_version => return Err("has lost a version"),
        // Taken out of use in Vault itself: it counts, whatever the state says.
        None if number < described.min_available_version => version.state = VersionState::Destroyed,
        None if version.state == VersionState::Active => version.state = VersionState::Retired,
        None => {}
    }
    Ok(version)
}

impl Keeper for TransitKeeper {
    const KIND: BackendKind = BackendKind::VaultTransit;
    const CAPABILITIES: Capabilities = Capabilities {
        mutable: true,
        in_process: false,
        durable_use_counts: true,
        shared: true,
        retire_version: VersionReach::PrefixBelowLatest,
        destroy_version: VersionReach::PrefixBelowLatest,
    };

    async fn check(&self) -> Result<(), VaultError> {
        // There is no asking for the mount that every policy allows: a name that no key has is
        // looked for, and `no handler for route` is another answer than `not found`.
        let request =
            ReadKeyRequest { mount: self.mount.clone(), name: format!("{}-0", self.prefix) };
        match self.session.call(&request, Repeat::Safe).await {
            Ok(_) | Err(VaultError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let mount = super::mount::describe(&self.session, &self.mount).await?;
        let mount: MountDescribed = mount.data()?;
        if mount.kind == "transit" {
            Ok(())
        } else {
            Err(VaultError::Mount("is not the Transit engine"))
        }
    }

    async fn make(&self, id: &KeyId, number: KeyVersion, _: WallTime) -> Result<Kept, Error> {
        let mut described = self.describe(id).await?;
        if described.is_none() && number == KeyVersion::FIRST {
            self.create(id).await?;
            described = self.describe(id).await?;
        }
        let mut described = described.ok_or(KeyError::NotFound)?;
        if let Some(problem) = described.problem() {
            let field = "the Transit key of this name";
            return Err(KeyError::Invalid { field, problem }.into());
        }
        if described.latest_version < number.number() {
            let (mount, name) = (self.mount.clone(), self.key_name(id));
            // Never twice: each would make a version.
            let request = RotateKeyRequest { mount, name };
            sent(&self.session, &request, Repeat::Never).await.map_err(VaultError::of_change)?;
            described = self.describe(id).await?.ok_or(KeyError::NotFound)?;
        }
        let seconds = described.created(number.number()).ok_or(KeyError::Invalid {
            field: "the Transit key of this name",
            problem: "has no version that this key could begin with",
        })?;
        let version = NewVersion { tag: tag(seconds), material: None };
        Ok(Kept { version, created: at(seconds), mac: String::new() })
    }

    async fn complete(
        &self,
        id: &KeyId,
        state: &StateDocument,
        record: &StateRecord,
        before: Option<&KeyRecord>,
    ) -> Result<(KeyRecord, Macs), Unreadable> {
        let place = self.kv.name(Place::State(id));
        let damage = |problem| Unreadable::from(Damage { place: place.clone(), problem });
        let mut key =
            record.key(id, |_, bare| Ok(bare), || damage("names a version that is none"))?;
        let at_key = |problem| Unreadable::from(Damage { place: self.place(id), problem });
        let Some(described) = self.describe(id).await? else {
            // Destroyed: nothing is left that a forgery of the state could take away.
            let gone = record.is_destroyed().then_some((key, Macs::new()));
            return gone.ok_or_else(|| at_key("is missing"));
        };
        if let Some(problem) = described.problem() {
            return Err(at_key(problem));
        }
        // One KV version never changes: what was verified once is not asked for again.
        let is_known = before.is_some_and(|before| before.revision == record.written);
        if !is_known {
            self.verify(id, &state.record, &state.mac).await?.map_err(damage)?;
        }
        if record.is_destroyed() {
            return Ok((key, Macs::new()));
        }
        let versions = key.versions.iter().map(|bare| found(&described, bare).map(Arc::new));
        let mut versions: Vec<_> = versions.collect::<Result<_, _>>().map_err(at_key)?;
        let listed = key.current_number().map_or(0, KeyVersion::number);
        for number in listed.saturating_add(1)..=described.latest_version {
            let seconds = described.created(number).ok_or_else(|| at_key("has lost a version"))?;
            let version = KeyVersion::new(number).ok_or_else(|| at_key("has a version 0"))?;
            versions.push(Arc::new(VersionRecord {
                version,
                tag: tag(seconds),
                created: at(seconds),
                state: VersionState::Active,
                uses_reserved: 0,
                grant: None,
                material: None,
            }));
        }
        key.versions = versions;
        Ok((key, Macs::new()))
    }

    async fn seal(&self, key: &KeyRecord, record: &str) -> Result<String, VaultError> {
        let request = GenerateHmacRequest {
            mount: self.mount.clone(),
            name: self.key_name(&key.id),
            input: digest(record),
            ..GenerateHmacRequest::default()
        };
        let answer = self.session.call(&request, Repeat::Safe).await?;
        Ok(answer.data::<HmacAnswer>()?.hmac)
    }

    async fn align(&self, key: &KeyRecord) -> Result<(), VaultError> {
        let Some(described) = self.describe(&key.id).await? else {
            return Ok(());
        };
        if key.state == KeyState::Destroyed {
            return self.delete(&key.id).await;
        }
        let first = |fits: fn(VersionState) -> bool| {
            let mut versions = key.versions.iter().filter(|version| fits(version.state));
            versions.next().map_or(1, |version| u64::from(version.version.number()))
        };
        let lowest_used = first(|state| state == VersionState::Active);
        let lowest_kept = first(|state| state != VersionState::Destroyed);
        if u64::from(described.min_decryption_version) != lowest_used {
            self.configure(&key.id, |config| config.min_decryption_version = Some(lowest_used))
                .await?;
        }
        if lowest_kept > 1 && u64::from(described.min_available_version) < lowest_kept {
            // Vault trims only what it may not encrypt with either.
            if u64::from(described.min_encryption_version) < lowest_kept {
                let lowest = Some(lowest_kept);
                self.configure(&key.id, |config| config.min_encryption_version = lowest).await?;
            }
            let request = TrimKeyRequest {
                mount: self.mount.clone(),
                name: self.key_name(&key.id),
                min_available_version: lowest_kept,
            };
            sent(&self.session, &request, Repeat::Safe).await?;
        }
        Ok(())
    }
}

impl Remote for TransitKeeper {
    fn wrap(
        &self,
        key: KeyId,
        data_key: SecretBuffer,
        context: [u8; 32],
    ) -> BackendFuture<'static, (Box<[u8]>, KeyVersion)> {
        let this = self.clone();
        Box::pin(async move {
            let request = EncryptDataRequest {
                mount: this.mount.clone(),
                name: this.key_name(&key),
                plaintext: STANDARD.encode(data_key.expose()),
                context: Some(STANDARD.encode(context)),
                ..EncryptDataRequest::default()
            };
            drop(data_key);
            // Twice is one ciphertext more, which nobody keeps.
            let answer = this.session.call(&request, Repeat::Safe).await?;
            token(&answer.data::<Ciphertext>()?.ciphertext)
        })
    }

    fn unwrap(
        &self,
        key: KeyId,
        token: Box<[u8]>,
        context: [u8; 32],
    ) -> BackendFuture<'static, SecretBuffer> {
        let this = self.clone();
        Box::pin(async move {
            let request = DecryptDataRequest {
                mount: this.mount.clone(),
                name: this.key_name(&key),
                ciphertext: ciphertext(&token)?,
                context: Some(STANDARD.encode(context)),
                ..DecryptDataRequest::default()
            };
            let answer = this.session.call(&request, Repeat::Safe).await.map_err(refused)?;
            let plaintext = answer.data::<Plaintext>()?.plaintext;
            let bytes = STANDARD.decode(plaintext.as_bytes());
            let malformed = VaultError::Malformed("a plaintext that is not base64");
            Ok(SecretBuffer::from_vec(bytes.map_err(|_error| malformed)?))
        })
    }

    fn rewrap(
        &self,
        key: KeyId,
        token_of_old: Box<[u8]>,
        context: [u8; 32],
    ) -> BackendFuture<'static, (Box<[u8]>, KeyVersion)> {
        let this = self.clone();
        Box::pin(async move {
            let request = RewrapDataRequest {
                mount: this.mount.clone(),
                name: this.key_name(&key),
                ciphertext: ciphertext(&token_of_old)?,
                context: Some(STANDARD.encode(context)),
                ..RewrapDataRequest::default()
            };
            let answer = this.session.call(&request, Repeat::Safe).await.map_err(refused)?;
            token(&answer.data::<Ciphertext>()?.ciphertext)
        })
    }
}

/// Vault refuses a ciphertext: it is another key's, another context's, or was changed.
fn refused(error: VaultError) -> Error {
    match error {
        VaultError::Rejected(_) => EnvelopeError::DoesNotOpen.into(),
        other => other.into(),
    }
}

/// `vault:v3:...` as an envelope keeps it, and the version that it names.
fn token(ciphertext: &str) -> Result<(Box<[u8]>, KeyVersion), Error> {
    let malformed = VaultError::Malformed("a ciphertext without a version");
    let version = version_of(ciphertext).ok_or(malformed)?;
    if ciphertext.len() > WRAPPED_BYTES_MAX {
        return Err(VaultError::Malformed("a ciphertext that is too long").into());
    }
    Ok((ciphertext.as_bytes().into(), version))
}

fn ciphertext(token: &[u8]) -> Result<String, Error> {
    let text = core::str::from_utf8(token).ok().filter(|text| version_of(text).is_some());
    text.map(str::to_owned).ok_or_else(|| EnvelopeError::DoesNotOpen.into())
}

fn version_of(ciphertext: &str) -> Option<KeyVersion> {
    let (version, rest) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    let is_plain = version.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty();
    KeyVersion::new(version.parse().ok().filter(|_| is_plain)?)
}
