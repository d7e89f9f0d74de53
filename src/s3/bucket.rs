//! A bucket's default encryption: `PutBucketEncryption` and `GetBucketEncryption` without the XML.

use serde::{Deserialize, Serialize};

use super::error::{Code, NOT_IMPLEMENTED, S3Error};
use super::names;
use super::requested::{Backing, parse_key_id};
use crate::key::KeyId;

/// What a bucket does with objects whose request states no encryption, and what it refuses.
///
/// Serialised it is its [`BucketRule`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BucketRule", into = "BucketRule")]
pub struct BucketEncryption {
    default: Option<BucketDefault>,
    bucket_key: bool,
    blocks_customer_keys: bool,
}

/// The default of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BucketDefault {
    /// SSE-S3.
    SseS3,
    /// SSE-KMS, with an empty context.
    SseKms {
        /// The master key; without one it is the engine's default key.
        key: Option<KeyId>,
    },
}

impl BucketEncryption {
    /// No default: an object whose request states no encryption is not encrypted.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// SSE-S3: what S3 gives each bucket since January 2023.
    #[must_use]
    pub fn sse_s3() -> Self {
        Self { default: Some(BucketDefault::SseS3), ..Self::default() }
    }

    /// SSE-KMS under `key`, or under the engine's default key.
    #[must_use]
    pub fn sse_kms(key: Option<KeyId>) -> Self {
        Self { default: Some(BucketDefault::SseKms { key }), ..Self::default() }
    }

    /// The same, with customer's keys refused for what is written from now on.
    #[must_use]
    pub fn blocking_customer_keys(self, blocks: bool) -> Self {
        Self { blocks_customer_keys: blocks, ..self }
    }

    /// Takes the rules of a `PutBucketEncryption`. As in S3, it is not checked that the key exists.
    ///
    /// # Errors
    /// `MalformedXML` if there is not exactly one rule or a value is not of the published form,
    /// `InvalidArgument` for a key id that does not belong there, `NotImplemented` for what is not
    /// built and for bucket keys where the backend has none.
    pub fn from_rules(rules: &[BucketRule], backing: &Backing) -> Result<Self, S3Error> {
        let [rule] = rules else { return Err(MALFORMED) };
        let read = Self::try_from(rule.clone())?;
        // As S3 does, the setting is taken for SSE-S3 and means nothing there.
        let is_kms = matches!(read.default, Some(BucketDefault::SseKms { .. }));
        backing.check_bucket_key(is_kms && read.bucket_key)?;
        Ok(read)
    }

    /// The default.
    #[must_use]
    pub fn by_default(&self) -> Option<&BucketDefault> {
        self.default.as_ref()
    }

    /// Whether SSE-KMS uses a bucket key unless a request says otherwise.
    #[must_use]
    pub fn bucket_key(&self) -> bool {
        self.bucket_key
    }

    /// Whether new objects with a customer's key are refused.
    #[must_use]
    pub fn blocks_customer_keys(&self) -> bool {
        self.blocks_customer_keys
    }
}

/// The one rule of a bucket's encryption, field by field as in S3's XML
/// (`ServerSideEncryptionRule`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketRule {
    /// `ApplyServerSideEncryptionByDefault/SSEAlgorithm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// `ApplyServerSideEncryptionByDefault/KMSMasterKeyID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// `BucketKeyEnabled`.
    #[serde(default)]
    pub bucket_key_enabled: bool,
    /// `BlockedEncryptionTypes/EncryptionType`: `NONE` or `SSE-C`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<String>,
}

impl TryFrom<BucketRule> for BucketEncryption {
    type Error = S3Error;

    fn try_from(rule: BucketRule) -> Result<Self, S3Error> {
        let kms_key_id = rule.kms_key_id.as_deref();
        let default = match (rule.algorithm.as_deref(), kms_key_id) {
            (Some(names::AWS_KMS), id) => {
                let key = id.map(parse_key_id).transpose();
                let key =
                    key.map_err(|_| S3Error::argument("The KMSMasterKeyID is not a key id"))?;
                Some(BucketDefault::SseKms { key })
            }
            (Some(names::AWS_KMS_DSSE), _) => return Err(NOT_IMPLEMENTED),
            (Some(names::AES256), Some(_)) => {
                return Err(S3Error::argument(
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is not \
                     aws:kms or aws:kms:dsse",
                ));
            }
            (Some(names::AES256), None) => Some(BucketDefault::SseS3),
            (Some(_), _) | (None, Some(_)) => return Err(MALFORMED),
            (None, None) => None,
        };
        let mut blocks_customer_keys = false;
        for blocked in &rule.blocked {
            match blocked.as_str() {
                "NONE" => {}
                "SSE-C" => blocks_customer_keys = true,
                _ => return Err(MALFORMED),
            }
        }
        Ok(Self { default, bucket_key: rule.bucket_key_enabled, blocks_customer_keys })
    }
}

impl From<BucketEncryption> for BucketRule {
    fn from(bucket: BucketEncryption) -> Self {
        let (algorithm, kms_key_id) = match bucket.default {
            None => (None, None),
            Some(BucketDefault::SseS3) => (Some(names::AES256.to_owned()), None),
            Some(BucketDefault::SseKms { key }) => {
                (Some(names::AWS_KMS.to_owned()), key.map(|key| key.as_str().to_owned()))
            }
        };
        let blocked = if bucket.blocks_customer_keys { vec!["SSE-C".to_owned()] } else { vec![] };
        Self { algorithm, kms_key_id, bucket_key_enabled: bucket.bucket_key, blocked }
    }
}

const MALFORMED: S3Error = S3Error::new(
    Code::MalformedXml,
    "The XML you provided was not well-formed or did not validate against our published schema",
);
