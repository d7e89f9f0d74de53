//! Small payloads: an envelope and the payload under a key of its own, in one section.

use super::data_key::{Bound, Supply, name_key, recorded_key};
use super::{Plane, TryError, unreachable_failure};
use crate::audit::{Caller, Operation};
use crate::context::{ContextKind, EncryptionContext};
use crate::envelope::{self, DataKeySpec, Envelope, Purpose, WrappedKey};
use crate::error::{EnvelopeError, Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::object::{ChunkCipher, Header, Suite, payload};

impl Plane {
    /// `out = envelope || object` of `plain`, at most 64 KiB.
    pub(crate) fn encrypt(
        &self,
        caller: &Caller,
        key: &KeyId,
        plain: &[u8],
        context: &EncryptionContext,
        out: &mut Vec<u8>,
    ) -> Result<Supply, TryError> {
        out.clear();
        if plain.len() > PAYLOAD_BYTES_MAX {
            return Err(ObjectError::TooLong.into());
        }
        let bound = Bound::new(context, ContextKind::Payload, &[]);
        let sealed = self.section(Class::Write, |section| {
            let mut record = section.record(caller, Operation::Encrypt);
            record.key = Some(key);
            let spec = DataKeySpec::AES_256;
            let made = section.wrap_new(key, Purpose::PayloadKey, spec, &bound.digest);
            let sealed = made.and_then(|(wrapped, made, supply)| {
                record.version = Some(made.version);
                let salt = self.random.array(section.stripe).map_err(|_| Error::Randomness)?;
                let context = bound.canonical.as_bytes();
                let key = made.key.expose();
                let (cipher, header) =
                    ChunkCipher::for_sealing(Suite::Aes256Gcm, key, salt, context)
                        .map_err(unreachable_failure)?;
                out.extend_from_slice(wrapped.as_bytes());
                payload::seal_payload(&cipher, &header, plain, out)?;
                Ok(supply)
            });
            section.release(&record, sealed, |_| {})
        });
        if sealed.is_err() {
            out.clear();
        }
        sealed
    }

    /// The plaintext of what [`Self::encrypt`] gave.
    pub(crate) fn decrypt_payload(
        &self,
        caller: &Caller,
        sealed: &[u8],
        context: &EncryptionContext,
        out: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        wipe(out);
        let (wrapped, object) = split_envelope(sealed)?;
        let envelope = Envelope::parse(wrapped.as_bytes())?;
        let (header, body) = Header::split_from(object)?;
        let bound = Bound::new(context, ContextKind::Payload, &[]);
        let id = recorded_key(&envelope);
        let opened = self.section(Class::Read, |section| {
            let mut record = section.record(caller, Operation::Decrypt);
            name_key(&mut record, id.as_ref(), &envelope);
            let unwrapped = section.unwrap(&envelope, Purpose::PayloadKey, &bound.digest);
            let opened = unwrapped.and_then(|unwrapped| {
                let context = bound.canonical.as_bytes();
                let key = unwrapped.key.expose();
                let cipher = ChunkCipher::for_opening(Suite::Aes256Gcm, key, &header, context)?;
                payload::open_payload(&cipher, body, out)?;
                Ok(())
            });
            section.release(&record, opened, |()| {})
        });
        if opened.is_err() {
            wipe(out);
        }
        opened
    }
}

/// The envelope that `sealed` begins with, and what follows it.
pub(crate) fn split_envelope(sealed: &[u8]) -> Result<(WrappedKey, &[u8]), EnvelopeError> {
    let total = envelope::total_bytes(sealed)?;
    let (wrapped, rest) =
        sealed.split_at_checked(total).ok_or(EnvelopeError::Malformed("length"))?;
    Ok((WrappedKey::from_bytes(wrapped)?, rest))
}

fn wipe(out: &mut Vec<u8>) {
    zeroize::Zeroize::zeroize(out);
}
