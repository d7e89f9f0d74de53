//! Data keys on the caller's thread: generate, decrypt, rewrap.
//!
//! ```text
//! generate: key = random, nonce = random, wrapped = AES-256-GCM-SIV[wrap key](nonce, aad, key)
//! decrypt:  key = open(wrapped), and the commitment must be that of key and context
//! rewrap:   decrypt under the old version, wrap under the current one, commitment kept
//! ```

use super::{
    Call, LEASE_RETRY, NeedsHop, Plane, Recording, Section, TryError, unreachable_failure,
};
use crate::audit::Operation;
use crate::context::{CanonicalContext, ContextKind, EncryptionContext};
use crate::crypto::commitment::{self, COMMITMENT_BYTES, Committed};
use crate::crypto::digest::sha256;
use crate::envelope::{
    Aad, DataKeySpec, Envelope, Named, Purpose, Under, WRAP_NONCE_BYTES, WRAP_OVERHEAD_BYTES,
    WrapAlgorithm, WrappedKey,
};
use crate::error::{EnvelopeError, Error, KeyError, Refused};
use crate::gate::Class;
use crate::key::table::KeyCell;
use crate::key::uses::Draw;
use crate::key::{KeyId, KeyVersion, VersionTag};
use crate::limits::DATA_KEY_BYTES_MAX;
use crate::secret::StackKey;
use crate::secret::slots::SlotHandle;

/// What a data key is bound to, beside the version that wraps it.
pub(crate) struct Binding<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) spec: DataKeySpec,
    pub(crate) key_id: &'a str,
    /// SHA-256 of the canonical context.
    pub(crate) context: &'a [u8; 32],
}

impl<'a> Binding<'a> {
    pub(super) fn committed(&self) -> Committed<'a> {
        Committed {
            purpose: self.purpose.code(),
            spec: self.spec.code(),
            key_id: self.key_id.as_bytes(),
            context: self.context,
        }
    }
}

/// What one wrap takes beside key and version.
struct Wrap<'a> {
    to: &'a Binding<'a>,
    nonce: &'a [u8; WRAP_NONCE_BYTES],
    commitment: &'a [u8; COMMITMENT_BYTES],
}

/// The version under which a key was wrapped.
#[derive(Clone, Copy)]
pub(crate) struct WrappedUnder {
    pub(crate) version: KeyVersion,
    pub(crate) tag: VersionTag,
}

/// A context in its canonical form, and by what it is bound.
pub(crate) struct Bound {
    pub(crate) canonical: CanonicalContext,
    pub(crate) digest: [u8; 32],
}

impl Bound {
    pub(crate) fn new(context: &EncryptionContext, kind: ContextKind, fields: &[&[u8]]) -> Self {
        let canonical = context.canonical(kind, fields);
        let digest = sha256(&[canonical.as_bytes()]);
        Self { canonical, digest }
    }
}

impl Plane {
    /// A new data key under the current version of `key`: its envelope and, if `keep`, a lease on
    /// its plaintext.
    pub(crate) fn generate(
        &self,
        call: &Call<'_>,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
        keep: bool,
    ) -> Result<(WrappedKey, Option<SlotHandle>), TryError> {
        let bound = Bound::new(context, ContextKind::DataKey, &[]);
        let operation = match keep {
            true => Operation::GenerateDataKey,
            false => Operation::GenerateDataKeyWithoutPlaintext,
        };
        self.section(Class::Write, |section| {
            let mut record = section.record(call, operation)?;
            record.key = Some(key);
            let mut data_key = StackKey::blank();
            let to =
                Binding { purpose: Purpose::DataKey, spec, key_id: key, context: &bound.digest };
            let made = section.wrap_new(call, &to, &mut data_key).and_then(|(wrapped, under)| {
                record.version = Some(under.version);
                let lease = if keep { Some(section.lease(&data_key)?) } else { None };
                Ok((wrapped, lease))
            });
            section.release(&record, made, |(_, lease)| section.forget(lease.as_ref()))
        })
    }

    /// The data key in `wrapped`, on lease.
    pub(crate) fn decrypt(
        &self,
        call: &Call<'_>,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<SlotHandle, TryError> {
        let envelope = Envelope::parse(wrapped.as_bytes())?;
        let bound = Bound::new(context, ContextKind::DataKey, &[]);
        self.section(Class::Read, |section| {
            let mut record = section.record(call, Operation::DecryptDataKey)?;
            name_key(&mut record, &envelope);
            let mut data_key = StackKey::blank();
            let lease = section
                .unwrap(call, &envelope, Purpose::DataKey, &bound.digest, &mut data_key)
                .and_then(|_| section.lease(&data_key));
            section.release(&record, lease, |lease| section.forget(Some(lease)))
        })
    }

    /// The same data key wrapped under the current version; `None` where it is that already.
    ///
    /// Data keys, object keys and payload keys alike: the purpose is kept, and no plaintext leaves.
    pub(crate) fn rewrap(
        &self,
        call: &Call<'_>,
        wrapped: &WrappedKey,
        kind: ContextKind,
        fields: &[&[u8]],
        context: &EncryptionContext,
    ) -> Result<Option<WrappedKey>, TryError> {
        let envelope = Envelope::parse(wrapped.as_bytes())?;
        let bound = Bound::new(context, kind, fields);
        self.section(Class::Write, |section| {
            let mut record = section.record(call, Operation::Rewrap)?;
            name_key(&mut record, &envelope);
            let rewrapped = section.rewrap(call, &envelope, &bound.digest);
            section.release(&record, rewrapped, |_| {})
        })
    }

    /// Copies the key of `lease` into `out`.
    pub(crate) fn copy_lease(&self, lease: &SlotHandle, out: &mut [u8]) -> Result<(), Error> {
        if out.len() != lease.len() {
            return Err(Error::ApiMisuse("the buffer is not as long as the data key"));
        }
        let copied = self.section(Class::Read, |section| {
            section.plane.slots.read(lease, out).map_err(|_| Refused::Stale.into())
        });
        copied.map_err(TryError::into_waitless)
    }
}

impl Section<'_> {
    /// Makes `data_key` a new key and wraps it under the current version of the key that `to`
    /// names, drawing one use of it.
    pub(crate) fn wrap_new(
        &self,
        call: &Call<'_>,
        to: &Binding<'_>,
        data_key: &mut StackKey,
    ) -> Result<(WrappedKey, WrappedUnder), TryError> {
        if !self.generation.capabilities.in_process {
            return self.wrap_new_remotely(call, to, data_key);
        }
        let bytes = data_key.resize(to.spec.bytes()).map_err(unreachable_failure)?;
        let mut nonce = [0; WRAP_NONCE_BYTES];
        let drawn = self.plane.random.fill_each(self.stripe, [bytes, &mut nonce]);
        drawn.map_err(|_| Error::Randomness)?;
        let commitment = commitment::commit(data_key.expose(), to.committed());
        let wrap = Wrap { to, nonce: &nonce, commitment: &commitment };
        self.generation.keys.with(to.key_id, |cell| {
            let cell = cell.ok_or_else(|| self.unknown(call, to.key_id, KeyError::NotFound.into()));
            self.wrap(call, cell?, data_key, &wrap)
        })
    }

    /// Makes `data_key` the key in `envelope`, if that has that purpose and was bound to that
    /// context.
    pub(crate) fn unwrap(
        &self,
        call: &Call<'_>,
        envelope: &Envelope<'_>,
        purpose: Purpose,
        context: &[u8; 32],
        data_key: &mut StackKey,
    ) -> Result<WrappedUnder, TryError> {
        if envelope.purpose != purpose {
            return Err(EnvelopeError::WrongPurpose.into());
        }
        if !self.generation.capabilities.in_process {
            return self.unwrap_remotely(call, envelope, context, data_key);
        }
        self.with_cell(call, envelope, |cell, named| open(cell, envelope, named, context, data_key))
    }

    fn rewrap(
        &self,
        call: &Call<'_>,
        envelope: &Envelope<'_>,
        context: &[u8; 32],
    ) -> Result<Option<WrappedKey>, TryError> {
        if !self.generation.capabilities.in_process {
            return self.rewrap_remotely(call, envelope, context);
        }
        self.with_cell(call, envelope, |cell, named| {
            let mut data_key = StackKey::blank();
            open(cell, envelope, named, context, &mut data_key)?;
            self.wrap_into(call, cell, &data_key, envelope, &binding(envelope, named, context))
        })
    }

    /// `data_key`, which is the one in `envelope`, wrapped under the current version of the key
    /// that `to` names; `None` if `envelope` is that already. The commitment stays as it is while
    /// the master key does.
    pub(super) fn wrap_anew(
        &self,
        call: &Call<'_>,
        to: &Binding<'_>,
        envelope: &Envelope<'_>,
        data_key: &StackKey,
    ) -> Result<Option<WrappedKey>, TryError> {
        if !self.generation.capabilities.in_process {
            return self.wrap_anew_remotely(call, to, envelope, data_key);
        }
        self.generation.keys.with(to.key_id, |cell| {
            let cell = cell.ok_or(KeyError::NotFound)?;
            self.wrap_into(call, cell, data_key, envelope, to)
        })
    }

    fn wrap_into(
        &self,
        call: &Call<'_>,
        cell: &KeyCell,
        data_key: &StackKey,
        envelope: &Envelope<'_>,
        to: &Binding<'_>,
    ) -> Result<Option<WrappedKey>, TryError> {
        let named = envelope.named()?;
        let is_current = {
            let view = cell.view();
            let (current, _) = view.for_wrap()?;
            to.key_id == named.key_id
                && current.version == named.version
                && current.tag == named.tag
        };
        if is_current {
            return Ok(None);
        }
        let nonce = self.plane.random.array(self.stripe).map_err(|_| Error::Randomness)?;
        let commitment = commitment::commit(data_key.expose(), to.committed());
        let wrap = Wrap { to, nonce: &nonce, commitment: &commitment };
        let (wrapped, _) = self.wrap(call, cell, data_key, &wrap)?;
        Ok(Some(wrapped))
    }

    /// Lets `work` see the cell of the key that `envelope` names.
    pub(super) fn with_cell<R>(
        &self,
        call: &Call<'_>,
        envelope: &Envelope<'_>,
        work: impl FnOnce(&KeyCell, &Named<'_>) -> Result<R, TryError>,
    ) -> Result<R, TryError> {
        let unsupported = |operation| {
            let backend = self.generation.backend.name();
            TryError::from(KeyError::Unsupported { backend, operation })
        };
        let named = match &envelope.under {
            Under::Version(named) => named,
            Under::Parent(_) => return Err(unsupported("open keys under a bucket key")),
        };
        match (envelope.algorithm, self.generation.capabilities.in_process) {
            (WrapAlgorithm::GcmSiv, true) | (WrapAlgorithm::Token, false) => {}
            (WrapAlgorithm::Token, true) => {
                return Err(unsupported("open the token of another backend"));
            }
            (WrapAlgorithm::GcmSiv, false) => {
                return Err(unsupported("open what another backend wrapped"));
            }
        }
        self.generation.keys.with(named.key_id, |cell| {
            let unknown = |error: EnvelopeError| self.unknown(call, named.key_id, error.into());
            let cell = cell.ok_or_else(|| unknown(EnvelopeError::UnknownKey))?;
            match work(cell, named) {
                Err(TryError::Failed(Error::Envelope(EnvelopeError::UnknownKeyVersion))) => {
                    Err(unknown(EnvelopeError::UnknownKeyVersion))
                }
                done => done,
            }
        })
    }

    /// Wraps `data_key` under the current version, drawing one use of it.
    fn wrap(
        &self,
        call: &Call<'_>,
        cell: &KeyCell,
        data_key: &StackKey,
        wrap: &Wrap<'_>,
    ) -> Result<(WrappedKey, WrappedUnder), TryError> {
        let Wrap { to, nonce, commitment } = wrap;
        let view = cell.view();
        let (current, keys) = view.for_wrap()?;
        match keys.uses.draw(self.stripe, self.plane.gate.stripes()) {
            Draw::Taken => {}
            Draw::TakenLow => call.runs_low(),
            Draw::Empty => return Err(TryError::NeedsHop(NeedsHop::UseCounts)),
            Draw::Exhausted => return Err(KeyError::UsesExhausted.into()),
        }
        call.has_drawn(current.version);
        let under = WrappedUnder { version: current.version, tag: current.tag };
        let named = Named { key_id: to.key_id, version: under.version, tag: under.tag };
        let aad = Aad::of_version(to.purpose, to.spec, &named, to.context);
        let mut wrapped = [0; DATA_KEY_BYTES_MAX + WRAP_OVERHEAD_BYTES];
        let wrapped = wrapped.get_mut(..to.spec.bytes() + WRAP_OVERHEAD_BYTES).unwrap_or_default();
        keys.wrap()
            .ok_or(Error::Unreachable("a backend in this process has a version without material"))?
            .seal(**nonce, aad.as_bytes(), data_key.expose(), wrapped)
            .map_err(unreachable_failure)?;
        let envelope = Envelope {
            purpose: to.purpose,
            algorithm: WrapAlgorithm::GcmSiv,
            spec: to.spec,
            under: Under::Version(named),
            nonce: *nonce,
            wrapped,
            commitment,
        };
        Ok((envelope.encode(), under))
    }

    pub(super) fn lease(&self, key: &StackKey) -> Result<SlotHandle, TryError> {
        let full = Refused::Full { limit: "LEASES_PER_STRIPE_MAX", retry_after: LEASE_RETRY };
        self.plane.slots.put(self.stripe, key.expose()).ok_or_else(|| full.into())
    }

    fn forget(&self, lease: Option<&SlotHandle>) {
        if let Some(lease) = lease {
            self.plane.slots.free(lease);
        }
    }
}

/// What the data key in `envelope` is bound to, if that is `context`.
fn binding<'a>(envelope: &Envelope<'_>, named: &Named<'a>, context: &'a [u8; 32]) -> Binding<'a> {
    let (purpose, spec) = (envelope.purpose, envelope.spec);
    Binding { purpose, spec, key_id: named.key_id, context }
}

/// Makes `data_key` the key in `envelope`, which `cell`'s version `named` wrapped.
fn open(
    cell: &KeyCell,
    envelope: &Envelope<'_>,
    named: &Named<'_>,
    context: &[u8; 32],
    data_key: &mut StackKey,
) -> Result<WrappedUnder, TryError> {
    let does_not_open = EnvelopeError::DoesNotOpen;
    let view = cell.view();
    let keys = view.for_unwrap(named.version, named.tag)?;
    let (purpose, spec) = (envelope.purpose, envelope.spec);
    let aad = Aad::of_version(purpose, spec, named, context);
    let nonce = envelope.nonce.try_into().map_err(|_| does_not_open)?;
    let bytes = data_key.resize(spec.bytes()).map_err(|_| does_not_open)?;
    let wrap = keys.wrap();
    let wrap = wrap.ok_or(Error::Unreachable("a backend in this process keeps its material"))?;
    wrap.open(nonce, aad.as_bytes(), envelope.wrapped, bytes).map_err(|_| does_not_open)?;
    checked(envelope, named, context, data_key)?;
    Ok(WrappedUnder { version: named.version, tag: named.tag })
}

/// Whether `data_key` is of the length that `envelope` says, and what that commits to.
pub(super) fn checked(
    envelope: &Envelope<'_>,
    named: &Named<'_>,
    context: &[u8; 32],
    data_key: &StackKey,
) -> Result<(), TryError> {
    let to = binding(envelope, named, context);
    let is_whole = data_key.expose().len() == envelope.spec.bytes();
    let committed = commitment::check(data_key.expose(), to.committed(), envelope.commitment);
    if is_whole && committed.is_ok() { Ok(()) } else { Err(EnvelopeError::DoesNotOpen.into()) }
}

/// Lets `record` name the key version that `envelope` does.
pub(crate) fn name_key<'r>(record: &mut Recording<'r>, envelope: &Envelope<'r>) {
    if let Ok(named) = envelope.named() {
        record.key = Some(named.key_id);
        record.version = Some(named.version);
    }
}
