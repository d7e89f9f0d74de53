//! The encryption headers of one request, read once: each at most once, each as text.

use super::customer::{self, GivenKey};
use super::error::S3Error;
use super::names;
use super::requested::Requested;

/// How the request came in.
///
/// A customer's key is secret: over a connection that others can read it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS, up to this process or to a proxy that the host trusts.
    Tls,
    /// Anything else.
    Plain,
    /// Anything else, in a host that was told to let it pass for development. Each customer's key
    /// that comes so is logged as a warning under the target `rustfs::kms`.
    PlainInDevelopment,
}

/// The encryption headers of a request; nothing in them is decided yet.
///
/// It borrows the header values, so no copy of a customer's key is made before it is checked. It
/// has no `Debug`: it holds that key.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    pub(super) transport: Transport,
    pub(super) encryption: Option<&'a str>,
    pub(super) kms_key_id: Option<&'a str>,
    pub(super) context: Option<&'a str>,
    pub(super) bucket_key_enabled: Option<&'a str>,
    pub(super) customer: Trio<'a>,
    copy_source: Trio<'a>,
}

/// The three headers of a customer's key.
#[derive(Clone, Copy, Default)]
pub(super) struct Trio<'a> {
    pub(super) algorithm: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) key_md5: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// Takes the encryption headers out of `headers`, names and values; it ignores all others.
    /// Names are compared without regard to case.
    ///
    /// With the `http` crate: `map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))`.
    ///
    /// # Errors
    /// `InvalidArgument` if one of them stands twice or is not ASCII.
    pub fn read<I>(transport: Transport, headers: I) -> Result<Self, S3Error>
    where
        I: IntoIterator<Item = (&'a str, &'a [u8])>,
    {
        let mut read = Self {
            transport,
            encryption: None,
            kms_key_id: None,
            context: None,
            bucket_key_enabled: None,
            customer: Trio::default(),
            copy_source: Trio::default(),
        };
        for (name, value) in headers {
            let Some(place) = read.place(name) else { continue };
            let value = core::str::from_utf8(value).ok().filter(|value| value.is_ascii());
            let value =
                value.ok_or(S3Error::argument("An encryption header is not ASCII text."))?;
            if place.replace(value).is_some() {
                return Err(S3Error::argument("An encryption header stands twice."));
            }
        }
        Ok(read)
    }

    /// The encryption that a `PutObject`, `CopyObject`, `CreateMultipartUpload` or POST asks for.
    ///
    /// # Errors
    /// S3's, for every combination that is not one of none, SSE-S3, SSE-KMS and SSE-C.
    pub fn requested(&self) -> Result<Requested, S3Error> {
        Requested::parse(self)
    }

    /// The customer's key of a call that chooses no encryption: `GetObject`, `HeadObject`,
    /// `GetObjectAttributes`, `UploadPart`, `UploadPartCopy`, `CompleteMultipartUpload`,
    /// `ListParts`.
    ///
    /// # Errors
    /// `InvalidArgument` if a header of SSE-S3 or SSE-KMS is there, and those of a customer's key.
    pub fn customer_key(&self) -> Result<GivenKey, S3Error> {
        let chosen = [self.encryption, self.kms_key_id, self.context, self.bucket_key_enabled];
        if chosen.iter().any(Option::is_some) {
            return Err(S3Error::argument(
                "x-amz-server-side-encryption header is not supported for this operation.",
            ));
        }
        customer::parse(&self.customer, self.transport).map(GivenKey::new)
    }

    /// The customer's key of the source of a `CopyObject` or `UploadPartCopy`.
    ///
    /// # Errors
    /// Those of a customer's key.
    pub fn copy_source_key(&self) -> Result<GivenKey, S3Error> {
        customer::parse(&self.copy_source, self.transport).map(GivenKey::new)
    }

    fn place(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        let known = names::ALL.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
        Some(match known {
            names::ENCRYPTION => &mut self.encryption,
            names::KMS_KEY_ID => &mut self.kms_key_id,
            names::CONTEXT => &mut self.context,
            names::BUCKET_KEY_ENABLED => &mut self.bucket_key_enabled,
            names::CUSTOMER_ALGORITHM => &mut self.customer.algorithm,
            names::CUSTOMER_KEY => &mut self.customer.key,
            names::CUSTOMER_KEY_MD5 => &mut self.customer.key_md5,
            names::COPY_SOURCE_CUSTOMER_ALGORITHM => &mut self.copy_source.algorithm,
            names::COPY_SOURCE_CUSTOMER_KEY => &mut self.copy_source.key,
            names::COPY_SOURCE_CUSTOMER_KEY_MD5 => &mut self.copy_source.key_md5,
            _ => return None,
        })
    }
}
