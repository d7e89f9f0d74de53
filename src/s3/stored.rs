//! What a host stores beside an object of how it is encrypted.
//!
//! It is not secret and holds nothing of a customer's key. It is not trusted either: the object's
//! own record binds the mode, and a changed key id or context does not open.

use core::fmt;

use super::context;
use super::error::{INTERNAL, S3Error};
use super::names;
use crate::context::EncryptionContext;
use crate::key::KeyId;
use crate::object::Mode;

/// How an object or an upload is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// SSE-S3: the engine's default key.
    SseS3,
    /// SSE-KMS: a master key and a context.
    SseKms(KmsStored),
    /// SSE-C: a key that the customer keeps.
    SseC,
}

/// The parameters of SSE-KMS.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KmsStored {
    /// The master key.
    pub key: KeyId,
    /// The context that the client stated, without the names of bucket and object.
    pub context: EncryptionContext,
    /// Whether a bucket key is used.
    pub bucket_key: bool,
}

/// Without the context, which may be secret to others than the host.
impl fmt::Debug for KmsStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, bucket_key, .. } = self;
        f.debug_struct("KmsStored")
            .field("key", key)
            .field("bucket_key", bucket_key)
            .finish_non_exhaustive()
    }
}

impl Stored {
    /// As metadata: names, which are those of S3's headers, and values.
    #[must_use]
    pub fn to_metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::SseS3 => vec![(names::ENCRYPTION, names::AES256.to_owned())],
            Self::SseC => vec![(names::CUSTOMER_ALGORITHM, names::AES256.to_owned())],
            Self::SseKms(kms) => vec![
                (names::ENCRYPTION, names::AWS_KMS.to_owned()),
                (names::KMS_KEY_ID, kms.key.as_str().to_owned()),
                (names::CONTEXT, context::render(&kms.context)),
                (names::BUCKET_KEY_ENABLED, kms.bucket_key.to_string()),
            ],
        }
    }

    /// From metadata, by name; `None` for an object that is not encrypted. Names of others are not
    /// looked at.
    ///
    /// # Errors
    /// `InternalError` if it is not what [`Self::to_metadata`] gave.
    pub fn from_metadata<'a>(
        value: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<Self>, S3Error> {
        let of_kms = [names::KMS_KEY_ID, names::CONTEXT, names::BUCKET_KEY_ENABLED];
        let has_kms = of_kms.into_iter().any(|name| value(name).is_some());
        let stored = match (value(names::ENCRYPTION), value(names::CUSTOMER_ALGORITHM)) {
            (None, None) if !has_kms => return Ok(None),
            (Some(names::AES256), None) if !has_kms => Self::SseS3,
            (None, Some(names::AES256)) if !has_kms => Self::SseC,
            (Some(names::AWS_KMS), None) => {
                let key = value(names::KMS_KEY_ID).ok_or(INTERNAL)?;
                let stated = value(names::CONTEXT).ok_or(INTERNAL)?;
                Self::SseKms(KmsStored {
                    key: KeyId::new(key).map_err(|_| INTERNAL)?,
                    context: context::parse(stated).map_err(|_| INTERNAL)?,
                    bucket_key: match value(names::BUCKET_KEY_ENABLED) {
                        Some("true") => true,
                        Some("false") => false,
                        Some(_) | None => return Err(INTERNAL),
                    },
                })
            }
            (Some(_) | None, _) => return Err(INTERNAL),
        };
        Ok(Some(stored))
    }

    /// The mode, which the object's record names too: what is stored of one of them alone was
    /// changed where they differ.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::SseS3 => Mode::SseS3,
            Self::SseKms(_) => Mode::SseKms,
            Self::SseC => Mode::SseC,
        }
    }

    /// The encryption context under which it was sealed: the client's under SSE-KMS, else empty.
    #[must_use]
    pub fn context(&self) -> EncryptionContext {
        match self {
            Self::SseKms(kms) => kms.context.clone(),
            Self::SseS3 | Self::SseC => EncryptionContext::new(),
        }
    }

    /// Whether the ETag of an object put or copied in one piece is the MD5 of its content. It is
    /// for SSE-S3 and for objects that are not encrypted; for SSE-KMS and SSE-C it is 128 random
    /// bits, because an MD5 that everybody reads would confirm guesses of the content.
    #[must_use]
    pub fn has_md5_etag(&self) -> bool {
        match self {
            Self::SseS3 => true,
            Self::SseKms(_) | Self::SseC => false,
        }
    }
}
