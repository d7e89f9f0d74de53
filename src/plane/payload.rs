//! Small objects and payloads: front, header and chunks of up to 64 KiB, in one section.

use zeroize::Zeroize;

use super::data_key::{Binding, Bound, name_key};
use super::stream::OBJECT_FIELDS;
use super::{Call, Plane, TryError, unreachable_failure};
use crate::audit::Operation;
use crate::context::{ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Envelope, Purpose};
use crate::error::{Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::object::front::Kind;
use crate::object::{ChunkCipher, Header, payload};
use crate::secret::StackKey;

impl Kind {
    fn purpose(self) -> Purpose {
        match self {
            Self::Object => Purpose::ObjectKey,
            Self::Payload => Purpose::PayloadKey,
        }
    }

    fn bind(self, context: &EncryptionContext) -> Bound {
        match self {
            Self::Object => Bound::new(context, ContextKind::Object, &OBJECT_FIELDS),
            Self::Payload => Bound::new(context, ContextKind::Payload, &[]),
        }
    }

    fn sealing(self) -> Operation {
        match self {
            Self::Object => Operation::Seal,
            Self::Payload => Operation::Encrypt,
        }
    }

    fn opening(self) -> Operation {
        match self {
            Self::Object => Operation::Open,
            Self::Payload => Operation::Decrypt,
        }
    }
}

/// What is sealed or opened whole, and to what it is bound.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'w> {
    pub(crate) kind: Kind,
    pub(crate) context: &'w EncryptionContext,
}

impl Plane {
    /// Makes `out` the sealed form of `plain`, at most 64 KiB, with a key of its own; empty where
    /// that fails.
    pub(crate) fn seal_whole(
        &self,
        call: &Call<'_>,
        Whole { kind, context }: Whole<'_>,
        key: &KeyId,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        out.clear();
        if plain.len() > PAYLOAD_BYTES_MAX {
            return self.deny(Class::Write, call, kind.sealing(), ObjectError::TooLong);
        }
        let bound = kind.bind(context);
        let done = self.section(Class::Write, |section| {
            let mut record = section.record(call, kind.sealing())?;
            record.key = Some(key);
            let mut data_key = StackKey::blank();
            let to = Binding {
                purpose: kind.purpose(),
                spec: DataKeySpec::AES_256,
                key_id: key,
                context: &bound.digest,
            };
            let made = section.wrap_new(call, &to, &mut data_key);
            let sealed = made.and_then(|(wrapped, under)| {
                record.version = Some(under.version);
                let salt = self.random.array(section.stripe).map_err(|_| Error::Randomness)?;
                let (suite, context) = (section.generation.suite(), bound.canonical.as_bytes());
                let (cipher, header) =
                    ChunkCipher::for_sealing(suite, data_key.expose(), salt, context)
                        .map_err(unreachable_failure)?;
                out.extend_from_slice(&kind.head(suite));
                out.extend_from_slice(wrapped.as_bytes());
                payload::seal_payload(&cipher, &header, plain, out)?;
                Ok(())
            });
            section.release(&record, sealed, |()| {})
        });
        done.inspect_err(|_| out.clear())
    }

    /// Makes `out` the plaintext of what [`Self::seal_whole`] made; wiped and empty where that
    /// fails: opened, it may still not be released.
    pub(crate) fn open_whole(
        &self,
        call: &Call<'_>,
        Whole { kind, context }: Whole<'_>,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TryError> {
        out.clear();
        let parts = kind.split(sealed).and_then(|(suite, envelope, object)| {
            let (header, body) = Header::split_from(object)?;
            Ok((suite, Envelope::parse(envelope)?, header, body))
        });
        let (suite, envelope, header, body) = match parts {
            Ok(parts) => parts,
            Err(error) => return self.deny(Class::Read, call, kind.opening(), error),
        };
        let bound = kind.bind(context);
        let done = self.section(Class::Read, |section| {
            let mut record = section.record(call, kind.opening())?;
            name_key(&mut record, &envelope);
            let mut data_key = StackKey::blank();
            let unwrapped =
                section.unwrap(call, &envelope, kind.purpose(), &bound.digest, &mut data_key);
            let opened = unwrapped.and_then(|_| {
                let (key, context) = (data_key.expose(), bound.canonical.as_bytes());
                let cipher = ChunkCipher::for_opening(suite, key, &header, context)?;
                payload::open_payload(&cipher, body, out)?;
                Ok(())
            });
            section.release(&record, opened, |()| {})
        });
        done.inspect_err(|_| {
            out.as_mut_slice().zeroize();
            out.clear();
        })
    }
}
