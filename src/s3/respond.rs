//! Response headers: which call tells what.

use super::context;
use super::customer::Customer;
use super::names;
use super::requested::Encryption;
use super::stored::Stored;

/// The call that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `CompleteMultipartUpload`.
    CompleteMultipartUpload,
    /// `CopyObject`.
    CopyObject,
    /// `CreateMultipartUpload`.
    CreateMultipartUpload,
    /// `GetObject`.
    GetObject,
    /// `HeadObject`.
    HeadObject,
    /// `PutObject`, and a POST of a form.
    PutObject,
    /// `UploadPart`.
    UploadPart,
    /// `UploadPartCopy`.
    UploadPartCopy,
}

impl Call {
    /// Whether the answer repeats the encryption context.
    fn gives_context(self) -> bool {
        match self {
            Self::CopyObject | Self::CreateMultipartUpload | Self::PutObject => true,
            Self::CompleteMultipartUpload
            | Self::GetObject
            | Self::HeadObject
            | Self::UploadPart
            | Self::UploadPartCopy => false,
        }
    }

    /// Whether the answer repeats algorithm and MD5 of a customer's key.
    fn gives_customer(self) -> bool {
        match self {
            Self::CompleteMultipartUpload => false,
            Self::CopyObject
            | Self::CreateMultipartUpload
            | Self::GetObject
            | Self::HeadObject
            | Self::PutObject
            | Self::UploadPart
            | Self::UploadPartCopy => true,
        }
    }
}

impl Encryption {
    /// The headers of the answer to a call that wrote under this encryption.
    #[must_use]
    pub fn response(&self, call: Call) -> Vec<(&'static str, String)> {
        self.stored().response(call, self.customer())
    }
}

impl Stored {
    /// The headers of the answer to `call` on an object or an upload of this encryption. `customer`
    /// is the key that came with the request.
    #[must_use]
    pub fn response(&self, call: Call, customer: Option<&Customer>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        match self {
            Self::SseS3 => headers.push((names::ENCRYPTION, names::AES256.to_owned())),
            Self::SseKms(kms) => {
                headers.push((names::ENCRYPTION, names::AWS_KMS.to_owned()));
                headers.push((names::KMS_KEY_ID, kms.key.as_str().to_owned()));
                if call.gives_context() && !kms.context.is_empty() {
                    headers.push((names::CONTEXT, context::render(&kms.context)));
                }
                // S3 leaves the header out where it is false.
                if kms.bucket_key {
                    headers.push((names::BUCKET_KEY_ENABLED, "true".to_owned()));
                }
            }
            Self::SseC => {
                if let Some(customer) = customer.filter(|_| call.gives_customer()) {
                    headers.push((names::CUSTOMER_ALGORITHM, names::AES256.to_owned()));
                    headers.push((names::CUSTOMER_KEY_MD5, customer.key_md5()));
                }
            }
        }
        headers
    }
}
