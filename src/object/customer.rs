//! Customer keys (SSE-C): the host's client brings its own key with each request, and nobody keeps
//! it.
//!
//! ```text
//! prk       = HKDF-Extract-SHA-512(salt 32, customer key)                    RFC 5869, section 2.2
//! input key = HKDF-Expand-SHA-512(prk, "portcullis/v1/customer/key" || canonical context, 32)
//! key check = HKDF-Expand-SHA-512(prk, "portcullis/v1/customer/check", 32)
//! ```
//!
//! One random salt per object or upload. The key check stands in the object's record, so that a
//! wrong key is told without reading a body; it says nothing about the key that the sealed object
//! itself does not say too. The key's MD5, which S3's headers carry, is stored nowhere.
//!
//! Cost: extracting about 1 us, each key or check about 2 us.

use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::backend::source::{KEY_FILE_MODES, read_private};
use crate::crypto::aead::KEY_BYTES;
use crate::crypto::{Failed, hkdf};
use crate::error::{CustomerKeyError, Error, ObjectError};
use crate::secret::{Secret, StackKey};

/// Bytes of the salt of a customer key.
pub(crate) const CUSTOMER_SALT_BYTES: usize = 32;
/// Bytes of a key check.
pub(crate) const KEY_CHECK_BYTES: usize = 32;

/// A key that a customer brought: exactly 256 bits. No `Debug`, no `Clone`; wiped when it is
/// dropped.
pub struct CustomerKey(Secret<KEY_BYTES>);

impl CustomerKey {
    /// Reads the key from a file of exactly 32 bytes, which must be a regular file, no link, of this
    /// process's user with mode 0600 or 0400.
    ///
    /// # Errors
    /// [`KeystoreError`](crate::error::KeystoreError) with `path` if it cannot be read or is open to
    /// others, [`CustomerKeyError::Length`] if it holds more or less than 32 bytes.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        // One byte more, so that a longer file is told apart.
        let bytes = read_private(path.as_ref(), &KEY_FILE_MODES, false, KEY_BYTES + 1)?;
        Ok(Self::from_bytes(bytes.expose()).map_err(ObjectError::from)?)
    }

    /// Takes a copy of `bytes`, which remain the caller's to wipe.
    ///
    /// # Errors
    /// [`CustomerKeyError::Length`] if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CustomerKeyError> {
        Secret::copy_of(bytes).map(Self).ok_or(CustomerKeyError::Length)
    }
}

/// What is stored of a customer key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CustomerSeal {
    pub(crate) salt: [u8; CUSTOMER_SALT_BYTES],
    pub(crate) check: [u8; KEY_CHECK_BYTES],
}

impl CustomerSeal {
    /// What to store of `key` under a new random `salt`; `prk` becomes the key to go on with.
    pub(crate) fn new(
        key: &CustomerKey,
        salt: [u8; CUSTOMER_SALT_BYTES],
        prk: &mut StackKey,
    ) -> Result<Self, Failed> {
        let check = extract(key, &salt, prk)?;
        Ok(Self { salt, check })
    }

    /// Makes `prk` the key to go on with, if `key` is the one that this was made of; told in
    /// constant time.
    pub(crate) fn open(
        &self,
        key: &CustomerKey,
        prk: &mut StackKey,
    ) -> Result<(), CustomerKeyError> {
        let wrong = CustomerKeyError::Wrong;
        let check = extract(key, &self.salt, prk).map_err(|Failed| wrong)?;
        verify_slices_are_equal(&check, &self.check).map_err(|_| wrong)
    }
}

/// Makes `out` the input key of what is bound to `context`.
pub(crate) fn input_key(prk: &[u8], context: &[u8], out: &mut StackKey) -> Result<(), Failed> {
    hkdf::expand(prk, &[KEY_LABEL, context], out.resize(KEY_BYTES)?)
}

fn extract(
    key: &CustomerKey,
    salt: &[u8; CUSTOMER_SALT_BYTES],
    prk: &mut StackKey,
) -> Result<[u8; KEY_CHECK_BYTES], Failed> {
    hkdf::extract(salt, key.0.expose(), prk.resize(hkdf::PRK_BYTES)?)?;
    let mut check = [0; KEY_CHECK_BYTES];
    hkdf::expand(prk.expose(), &[CHECK_LABEL], &mut check)?;
    Ok(check)
}

const KEY_LABEL: &[u8] = b"portcullis/v1/customer/key";
const CHECK_LABEL: &[u8] = b"portcullis/v1/customer/check";
