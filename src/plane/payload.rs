//! Small payloads: an envelope and the payload under a key of its own, in one section.

use zeroize::Zeroizing;

use super::data_key::{Binding, Bound, name_key};
use super::{Call, Plane, TryError, unreachable_failure};
use crate::audit::Operation;
use crate::context::{ContextKind, EncryptionContext};
use crate::envelope::{self, DataKeySpec, Envelope, Purpose, WrappedKey};
use crate::error::{EnvelopeError, Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::object::{ChunkCipher, Header, Suite, payload};
use crate::secret::StackKey;

impl Plane {
    /// `out = envelope || object` of `plain`, at most 64 KiB.
    pub(crate) fn encrypt(
        &self,
        call: &Call<'_>,
        key: &KeyId,
        plain: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, TryError> {
        if plain.len() > PAYLOAD_BYTES_MAX {
            return self.deny(Class::Write, call, Operation::Encrypt, ObjectError::TooLong);
        }
        let bound = Bound::new(context, ContextKind::Payload, &[]);
        self.section(Class::Write, |section| {
            let mut record = section.record(call, Operation::Encrypt)?;
            record.key = Some(key);
            let mut data_key = StackKey::blank();
            let to = Binding {
                purpose: Purpose::PayloadKey,
                spec: DataKeySpec::AES_256,
                key_id: key,
                context: &bound.digest,
            };
            let made = section.wrap_new(call, &to, &mut data_key);
            let sealed = made.and_then(|(wrapped, under)| {
                record.version = Some(under.version);
                let salt = self.random.array(section.stripe).map_err(|_| Error::Randomness)?;
                let context = bound.canonical.as_bytes();
                let key = data_key.expose();
                let (cipher, header) =
                    ChunkCipher::for_sealing(Suite::Aes256Gcm, key, salt, context)
                        .map_err(unreachable_failure)?;
                let mut out = wrapped.as_bytes().to_vec();
                payload::seal_payload(&cipher, &header, plain, &mut out)?;
                Ok(out)
            });
            section.release(&record, sealed, |_| {})
        })
    }

    /// The plaintext of what [`Self::encrypt`] gave.
    pub(crate) fn decrypt_payload(
        &self,
        call: &Call<'_>,
        sealed: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, TryError> {
        // Wiped unless it is given to the host: opened, it may still not be released.
        let mut out = Zeroizing::new(Vec::new());
        let parts = split_envelope(sealed).map_err(TryError::from).and_then(|(wrapped, object)| {
            let (header, body) = Header::split_from(object)?;
            Ok((wrapped, header, body))
        });
        let (wrapped, header, body) = match parts {
            Ok(parts) => parts,
            Err(error) => return self.deny(Class::Read, call, Operation::Decrypt, error),
        };
        let envelope = Envelope::parse(wrapped.as_bytes())?;
        let bound = Bound::new(context, ContextKind::Payload, &[]);
        let opened = self.section(Class::Read, |section| {
            let mut record = section.record(call, Operation::Decrypt)?;
            name_key(&mut record, &envelope);
            let mut data_key = StackKey::blank();
            let unwrapped =
                section.unwrap(call, &envelope, Purpose::PayloadKey, &bound.digest, &mut data_key);
            let opened = unwrapped.and_then(|_| {
                let context = bound.canonical.as_bytes();
                let key = data_key.expose();
                let cipher = ChunkCipher::for_opening(Suite::Aes256Gcm, key, &header, context)?;
                payload::open_payload(&cipher, body, &mut out)?;
                Ok(())
            });
            section.release(&record, opened, |()| {})
        });
        opened.map(|()| out)
    }
}

/// The envelope that `sealed` begins with, and what follows it.
pub(crate) fn split_envelope(sealed: &[u8]) -> Result<(WrappedKey, &[u8]), EnvelopeError> {
    let total = envelope::total_bytes(sealed)?;
    let (wrapped, rest) =
        sealed.split_at_checked(total).ok_or(EnvelopeError::Malformed("length"))?;
    Ok((WrappedKey::from_bytes(wrapped)?, rest))
}
