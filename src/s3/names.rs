//! The names of S3's encryption headers, in lower case as HTTP/2 sends them.

/// How the object is encrypted: `AES256` (SSE-S3) or `aws:kms` (SSE-KMS).
pub const ENCRYPTION: &str = "x-amz-server-side-encryption";
/// SSE-KMS: the id of the master key.
pub const KMS_KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
/// SSE-KMS: the encryption context, a JSON object of strings in base64.
pub const CONTEXT: &str = "x-amz-server-side-encryption-context";
/// SSE-KMS: whether a bucket key stands between master key and data key.
pub const BUCKET_KEY_ENABLED: &str = "x-amz-server-side-encryption-bucket-key-enabled";
/// SSE-C: the algorithm, `AES256`.
pub const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
/// SSE-C: the customer's key in base64. Secret.
pub const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-key";
/// SSE-C: the MD5 of the customer's key in base64.
pub const CUSTOMER_KEY_MD5: &str = "x-amz-server-side-encryption-customer-key-md5";
/// SSE-C of a copy's source: the algorithm, `AES256`.
pub const COPY_SOURCE_CUSTOMER_ALGORITHM: &str =
    "x-amz-copy-source-server-side-encryption-customer-algorithm";
/// SSE-C of a copy's source: the customer's key in base64. Secret.
pub const COPY_SOURCE_CUSTOMER_KEY: &str = "x-amz-copy-source-server-side-encryption-customer-key";
/// SSE-C of a copy's source: the MD5 of the customer's key in base64.
pub const COPY_SOURCE_CUSTOMER_KEY_MD5: &str =
    "x-amz-copy-source-server-side-encryption-customer-key-md5";

/// Every header that [`Headers`](super::Headers) reads.
pub const ALL: [&str; 10] = [
    ENCRYPTION,
    KMS_KEY_ID,
    CONTEXT,
    BUCKET_KEY_ENABLED,
    CUSTOMER_ALGORITHM,
    CUSTOMER_KEY,
    CUSTOMER_KEY_MD5,
    COPY_SOURCE_CUSTOMER_ALGORITHM,
    COPY_SOURCE_CUSTOMER_KEY,
    COPY_SOURCE_CUSTOMER_KEY_MD5,
];

/// The value of [`ENCRYPTION`] for SSE-S3, and of the customer algorithms.
pub const AES256: &str = "AES256";
/// The value of [`ENCRYPTION`] for SSE-KMS.
pub const AWS_KMS: &str = "aws:kms";
/// The value of [`ENCRYPTION`] for two layers of SSE-KMS, which is refused.
pub const AWS_KMS_DSSE: &str = "aws:kms:dsse";
