//! What a request asks for, and what is done: the explicit header, else the bucket's default, else
//! nothing.

use super::bucket::{BucketDefault, BucketEncryption};
use super::customer::{self, Customer};
use super::error::{Code, INVALID_KEY_ID, NO_SUCH_KEY, NOT_IMPLEMENTED, S3Error};
use super::headers::Headers;
use super::stored::{KmsStored, Stored};
use super::{context, names};
use crate::Kms;
use crate::context::EncryptionContext;
use crate::key::KeyId;
use crate::object::Protection;

/// The encryption that a request asks for.
#[non_exhaustive]
pub enum Requested {
    /// None: the bucket's default decides.
    Unspecified,
    /// SSE-S3: the engine's default key.
    SseS3,
    /// SSE-KMS: a master key and a context.
    SseKms(RequestedKms),
    /// SSE-C: a key that the customer keeps.
    SseC(Customer),
}

/// What a request for SSE-KMS states.
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestedKms {
    /// The master key; without one it is the engine's default key, whatever the bucket's is.
    pub key: Option<KeyId>,
    /// The context; empty where the header is absent.
    pub context: EncryptionContext,
    /// Whether to use a bucket key; without it the bucket's setting decides.
    pub bucket_key: Option<bool>,
}

impl Requested {
    pub(super) fn parse(headers: &Headers<'_>) -> Result<Self, S3Error> {
        let Headers { encryption, kms_key_id, context, bucket_key_enabled, .. } = *headers;
        if headers.customer.is_given() && encryption.is_some() {
            return Err(INCOMPATIBLE);
        }
        let has_kms = kms_key_id.is_some() || context.is_some() || bucket_key_enabled.is_some();
        match encryption {
            Some(names::AWS_KMS) => Ok(Self::SseKms(RequestedKms {
                key: kms_key_id.map(parse_key_id).transpose()?,
                context: context.map(context::parse).transpose()?.unwrap_or_default(),
                bucket_key: bucket_key_enabled.map(parse_bool).transpose()?,
            })),
            Some(names::AWS_KMS_DSSE) => Err(NOT_IMPLEMENTED),
            Some(names::AES256) | None if has_kms => Err(NEEDS_KMS),
            Some(names::AES256) => Ok(Self::SseS3),
            Some(_) => Err(S3Error::argument("The encryption method specified is not supported")),
            None => {
                let customer = customer::parse(&headers.customer, headers.transport)?;
                Ok(customer.map_or(Self::Unspecified, Self::SseC))
            }
        }
    }

    /// Whether the request states an encryption. A copy onto itself that does changes the object.
    #[must_use]
    pub fn is_explicit(&self) -> bool {
        match self {
            Self::Unspecified => false,
            Self::SseS3 | Self::SseKms(_) | Self::SseC(_) => true,
        }
    }

    /// What is done: as requested, else the bucket's default, else `None`.
    ///
    /// # Errors
    /// `AccessDenied` if the bucket takes no customer's keys, `KMS.NotFoundException` if a master
    /// key is needed, none is named and the engine has no default key, `NotImplemented` if a bucket
    /// key is wanted and the backend has none.
    pub fn decide(
        self,
        bucket: &BucketEncryption,
        backing: &Backing,
    ) -> Result<Option<Encryption>, S3Error> {
        let kms = match (self, bucket.by_default()) {
            (Self::SseC(_), _) if bucket.blocks_customer_keys() => return Err(BLOCKED),
            (Self::SseC(customer), _) => return Ok(Some(Encryption::SseC(customer))),
            (Self::SseS3, _) | (Self::Unspecified, Some(BucketDefault::SseS3)) => {
                return Ok(Some(Encryption::SseS3));
            }
            (Self::Unspecified, None) => return Ok(None),
            (Self::SseKms(kms), _) => kms,
            (Self::Unspecified, Some(BucketDefault::SseKms { key })) => RequestedKms {
                key: key.clone(),
                context: EncryptionContext::new(),
                bucket_key: None,
            },
        };
        let bucket_key = kms.bucket_key.unwrap_or(bucket.bucket_key());
        backing.check_bucket_key(bucket_key)?;
        let key = kms.key.or_else(|| backing.default_key.clone()).ok_or(NO_SUCH_KEY)?;
        Ok(Some(Encryption::SseKms(KmsStored { key, context: kms.context, bucket_key })))
    }
}

/// What the engine has to decide with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backing {
    /// The key that is used where none is named.
    pub default_key: Option<KeyId>,
    /// Whether the backend has bucket keys.
    pub bucket_keys: bool,
}

impl Backing {
    /// That of a running engine.
    #[must_use]
    pub fn of(kms: &Kms) -> Self {
        // No backend of this release has bucket keys.
        Self { default_key: kms.default_key().ok(), bucket_keys: false }
    }

    pub(super) fn check_bucket_key(&self, wanted: bool) -> Result<(), S3Error> {
        if wanted && !self.bucket_keys { Err(NO_BUCKET_KEYS) } else { Ok(()) }
    }
}

/// How an object or an upload is to be encrypted.
#[non_exhaustive]
pub enum Encryption {
    /// SSE-S3: the engine's default key.
    SseS3,
    /// SSE-KMS: a master key and a context.
    SseKms(KmsStored),
    /// SSE-C: a key that the customer keeps.
    SseC(Customer),
}

impl Encryption {
    /// What is to be stored of it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        match self {
            Self::SseS3 => Stored::SseS3,
            Self::SseKms(kms) => Stored::SseKms(kms.clone()),
            Self::SseC(_) => Stored::SseC,
        }
    }

    /// As the engine seals: see [`Kms::seal_object`] and [`Kms::create_upload`].
    #[must_use]
    pub fn protection(&self) -> Protection<'_> {
        match self {
            Self::SseS3 => Protection::SseS3,
            Self::SseKms(kms) => Protection::SseKms { key: Some(&kms.key) },
            Self::SseC(customer) => Protection::SseC { key: customer.key() },
        }
    }

    /// The customer's key, where it is SSE-C.
    #[must_use]
    pub fn customer(&self) -> Option<&Customer> {
        match self {
            Self::SseC(customer) => Some(customer),
            Self::SseS3 | Self::SseKms(_) => None,
        }
    }
}

pub(super) fn parse_key_id(id: &str) -> Result<KeyId, S3Error> {
    KeyId::new(id).map_err(|_| INVALID_KEY_ID)
}

fn parse_bool(value: &str) -> Result<bool, S3Error> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(S3Error::argument(
            "The header 'x-amz-server-side-encryption-bucket-key-enabled' is neither true nor false",
        )),
    }
}

const INCOMPATIBLE: S3Error = S3Error::argument(
    "Server Side Encryption with Customer provided key is incompatible with the encryption method \
     specified",
);
const NEEDS_KMS: S3Error = S3Error::argument(
    "Server Side Encryption with AWS KMS managed key requires HTTP header \
     x-amz-server-side-encryption : aws:kms",
);
const BLOCKED: S3Error = S3Error::new(
    Code::AccessDenied,
    "This bucket has blocked upload requests that specify Server Side Encryption with Customer \
     provided keys (SSE-C). Please specify a different server-side encryption type",
);
const NO_BUCKET_KEYS: S3Error =
    S3Error::new(Code::NotImplemented, "This store's key backend has no bucket keys.");
