//! SSE-C: the three headers of a customer's key.
//!
//! All three or none, `AES256` and nothing else, a key of 256 bits in exact base64 whose MD5
//! (RFC 1321) is the one stated. The MD5 finds a key that was damaged on its way; it is no proof of
//! anything, and is not stored.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::error::{Code, S3Error};
use super::headers::{Transport, Trio};
use super::names;
use super::stored::Stored;
use crate::object::CustomerKey;
use crate::secret::Secret;

/// A customer's key, checked to be one; whether it is the object's is known only by the object.
///
/// The key is wiped when this is dropped. It has no `Debug` and no `Clone`.
pub struct Customer {
    key: CustomerKey,
    key_md5: [u8; MD5_BYTES],
}

impl Customer {
    /// The key, for the engine.
    #[must_use]
    pub fn key(&self) -> &CustomerKey {
        &self.key
    }

    /// The MD5 of the key in base64, as responses repeat it. Not to be stored: of a key that
    /// somebody can guess it would confirm the guess.
    #[must_use]
    pub fn key_md5(&self) -> String {
        STANDARD.encode(self.key_md5)
    }
}

/// The customer's key that came with a request, if one did: not held against an object yet.
pub struct GivenKey(Option<Customer>);

impl GivenKey {
    pub(super) fn new(customer: Option<Customer>) -> Self {
        Self(customer)
    }

    /// Whether a key came.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// The key for an object that is read, headed or copied from. `stored` is `None` for an object
    /// that is not encrypted.
    ///
    /// # Errors
    /// `InvalidRequest` if the object needs a key and none came, or if one came and it needs none.
    pub fn for_object(self, stored: Option<&Stored>) -> Result<Option<Customer>, S3Error> {
        match (needs_key(stored), self.0) {
            (true, None) => Err(KEY_MISSING),
            (false, Some(_)) => Err(KEY_NOT_APPLICABLE),
            (_, customer) => Ok(customer),
        }
    }

    /// The key for a part of an upload that was created with `upload`.
    ///
    /// # Errors
    /// `InvalidRequest` if the upload needs a key and none came, or if one came and it needs none.
    pub fn for_part(self, upload: Option<&Stored>) -> Result<Option<Customer>, S3Error> {
        match (needs_key(upload), self.0) {
            (true, None) | (false, Some(_)) => Err(S3Error::request(
                "The multipart upload initiate requested encryption. Subsequent part requests must \
                 include the appropriate encryption parameters.",
            )),
            (_, customer) => Ok(customer),
        }
    }

    /// The key for calls on an upload that need none: completing it, listing its parts. One may
    /// come with an upload that was created with a key.
    ///
    /// # Errors
    /// `InvalidRequest` if one came and the upload was created without.
    pub fn for_upload(self, upload: Option<&Stored>) -> Result<Option<Customer>, S3Error> {
        if self.is_given() { self.for_part(upload) } else { Ok(None) }
    }
}

fn needs_key(stored: Option<&Stored>) -> bool {
    match stored {
        Some(Stored::SseC) => true,
        Some(Stored::SseS3 | Stored::SseKms(_)) | None => false,
    }
}

/// The customer's key in `trio`; `None` where none of the three headers is there.
///
/// The order of the checks is S3's: a key of a wrong length with its MD5 is told from one whose MD5
/// does not match.
pub(super) fn parse(trio: &Trio<'_>, transport: Transport) -> Result<Option<Customer>, S3Error> {
    if !trio.is_given() {
        return Ok(None);
    }
    check_transport(transport)?;
    match trio.algorithm {
        None => return Err(NO_ALGORITHM),
        Some(names::AES256) => {}
        Some(_) => return Err(OTHER_ALGORITHM),
    }
    let key = trio.key.ok_or(NO_KEY)?;
    let key_md5 = trio.key_md5.ok_or(NO_MD5)?;

    // Room for more than a key, so that one of a wrong length is told from one of a wrong MD5.
    let mut decoded = Secret::<DECODED_BYTES_MAX>::zeroes();
    let decoded_bytes =
        STANDARD.decode_slice(key, decoded.expose_mut()).map_err(|_| INVALID_KEY)?;
    let key = decoded.expose().get(..decoded_bytes).ok_or(INVALID_KEY)?;
    let computed: [u8; MD5_BYTES] = Md5::digest(key).into();
    let mut stated = [0; MD5_BYTES + 2];
    let stated_bytes = STANDARD.decode_slice(key_md5, &mut stated).map_err(|_| OTHER_MD5)?;
    let stated = stated.get(..stated_bytes).ok_or(OTHER_MD5)?;
    verify_slices_are_equal(stated, &computed).map_err(|_| OTHER_MD5)?;
    let key = CustomerKey::from_bytes(key).map_err(|_| INVALID_KEY)?;
    Ok(Some(Customer { key, key_md5: computed }))
}

/// Refuses a customer's key on a connection that others can read.
fn check_transport(transport: Transport) -> Result<(), S3Error> {
    match transport {
        Transport::Tls => Ok(()),
        Transport::Plain => Err(S3Error::request(
            "Requests specifying Server Side Encryption with Customer provided keys must be made \
             over a secure connection.",
        )),
        Transport::PlainInDevelopment => {
            tracing::warn!(target: "rustfs::kms", "a customer's key came over plain HTTP");
            Ok(())
        }
    }
}

impl Trio<'_> {
    pub(super) fn is_given(&self) -> bool {
        self.algorithm.is_some() || self.key.is_some() || self.key_md5.is_some()
    }
}

const MD5_BYTES: usize = 16;

/// Longest key that is decoded, to be told that its MD5 is right and its length is not. Longer ones
/// are refused undecoded.
const DECODED_BYTES_MAX: usize = 96;

const NO_ALGORITHM: S3Error = S3Error::argument(
    "Requests specifying Server Side Encryption with Customer provided keys must provide a valid \
     encryption algorithm.",
);
const OTHER_ALGORITHM: S3Error = S3Error::new(
    Code::InvalidEncryptionAlgorithm,
    "The Encryption request you specified is not valid. Supported value: AES256.",
);
const NO_KEY: S3Error = S3Error::argument(
    "Requests specifying Server Side Encryption with Customer provided keys must provide an \
     appropriate secret key.",
);
const NO_MD5: S3Error = S3Error::argument(
    "Requests specifying Server Side Encryption with Customer provided keys must provide the \
     client calculated MD5 of the secret key.",
);
pub(super) const KEY_MISSING: S3Error = S3Error::request(
    "The object was stored using a form of Server Side Encryption. The correct parameters must be \
     provided to retrieve the object.",
);
pub(super) const KEY_NOT_APPLICABLE: S3Error =
    S3Error::request("The encryption parameters are not applicable to this object.");
pub(super) const INVALID_KEY: S3Error =
    S3Error::argument("The secret key was invalid for the specified algorithm.");
const OTHER_MD5: S3Error = S3Error::argument(
    "The calculated MD5 hash of the key did not match the hash that was provided.",
);
