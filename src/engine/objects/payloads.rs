//! Small payloads, through a handle: `encrypt` and `decrypt`.

use super::Kms;
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::KeyId;
use crate::object::front::Kind;
use crate::plane::TryError;

/// Payloads.
impl Kms {
    /// Encrypts `plain`, at most 64 KiB, under a new key of its own that `key` wraps, bound to
    /// `context`. The result carries its wrapped key.
    ///
    /// # Errors
    /// [`ObjectError::TooLong`](crate::error::ObjectError::TooLong), and as
    /// [`Self::generate_data_key`].
    pub async fn encrypt(
        &self,
        key: &KeyId,
        plain: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.seal_whole(Kind::Payload, key, context, plain, &mut out).await?;
        Ok(out)
    }

    /// [`Self::encrypt`] without waiting.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_encrypt(
        &self,
        key: &KeyId,
        plain: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, TryError> {
        let mut out = Vec::new();
        self.try_seal_whole(Kind::Payload, key, context, plain, &mut out)?;
        Ok(out)
    }

    /// The plaintext of what [`Self::encrypt`] gave, if `context` is the same. It is the host's to
    /// wipe.
    ///
    /// # Errors
    /// [`EnvelopeError`](crate::error::EnvelopeError) or [`ObjectError`](crate::error::ObjectError)
    /// if it does not open, [`KeyError`](crate::error::KeyError) if the key's state does not allow
    /// unwrapping.
    pub async fn decrypt(
        &self,
        sealed: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.open_whole(Kind::Payload, context, sealed, &mut out).await?;
        Ok(out)
    }

    /// [`Self::decrypt`] without waiting.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_decrypt(
        &self,
        sealed: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, TryError> {
        let mut out = Vec::new();
        self.try_open_whole(Kind::Payload, context, sealed, &mut out)?;
        Ok(out)
    }
}
