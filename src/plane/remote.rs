//! Keys that are used beyond this process: what a section asks for, and what it does with the
//! answer.
//!
//! ```text
//! section:  state allows it?  use drawn, data key made, put on lease  ->  Wanted
//! backend:  asked, with no permit held                                ->  Given
//! section:  gate, generation and state again, then recorded and released
//! ```
//!
//! A message carries a lease, never the bytes of a data key, so a stop in between wipes it and the
//! second section finds it gone. A change of the key in between is seen by the second section
//! (guarantee 2).

use std::sync::Arc;

use super::data_key::{Binding, WrappedUnder, checked};
use super::{Call, LEASE_RETRY, NeedsHop, Plane, Section, TryError, unreachable_failure};
use crate::crypto::commitment;
use crate::envelope::{Envelope, Named, Under, WrapAlgorithm, WrappedKey};
use crate::error::{Error, KeyError, Refused};
use crate::gate::Class;
use crate::key::table::KeyView;
use crate::key::uses::Draw;
use crate::key::{KeyId, KeyVersion};
use crate::secret::slots::SlotHandle;
use crate::secret::{SecretBuffer, StackKey};

/// A data key on lease between two sections of one call.
pub(crate) struct Held {
    plane: Arc<Plane>,
    slot: SlotHandle,
}

impl Held {
    /// Takes over the lease in `slot`.
    pub(crate) fn new(plane: &Arc<Plane>, slot: SlotHandle) -> Self {
        Self { plane: Arc::clone(plane), slot }
    }

    /// Puts `key` on lease, inside a section.
    ///
    /// # Errors
    /// [`Refused`] if the engine stopped meanwhile or all leases are taken.
    pub(crate) fn put(plane: &Arc<Plane>, key: &SecretBuffer) -> Result<Self, Error> {
        let full = Refused::Full { limit: "LEASES_PER_STRIPE_MAX", retry_after: LEASE_RETRY };
        let put = plane.section(Class::Read, |section| {
            plane.slots.put(section.stripe, key.expose()).ok_or_else(|| full.into())
        });
        put.map(|slot| Self::new(plane, slot)).map_err(failed)
    }

    /// The key, for the backend alone.
    ///
    /// # Errors
    /// [`Refused`] if the engine stopped meanwhile.
    pub(crate) fn for_backend(&self) -> Result<SecretBuffer, Error> {
        let mut key = SecretBuffer::from_vec(vec![0; self.slot.len()]);
        let read = self.plane.section(Class::Write, |section| {
            let slots = &section.plane.slots;
            slots.read(&self.slot, key.expose_mut()).map_err(|_| Refused::Stale.into())
        });
        read.map(|()| key).map_err(failed)
    }

    /// Makes `data_key` the key.
    pub(crate) fn read(&self, section: &Section<'_>, key: &mut StackKey) -> Result<(), TryError> {
        let bytes = key.resize(self.slot.len()).map_err(unreachable_failure)?;
        section.plane.slots.read(&self.slot, bytes).map_err(|_| Refused::Stale.into())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.plane.slots.free(&self.slot);
    }
}

fn failed(error: TryError) -> Error {
    match error {
        TryError::Failed(error) => error,
        TryError::NeedsHop(_) => Error::Unreachable("moving a lease waits for nothing"),
    }
}

/// What a section asks of the backend.
pub(crate) enum Wanted {
    /// Wrap the key in this slot.
    Wrap { key: KeyId, slot: SlotHandle, context: [u8; 32] },
    /// Unwrap this token.
    Unwrap { key: KeyId, token: Box<[u8]>, context: [u8; 32] },
    /// Wrap what is in this token under the current version.
    Rewrap { key: KeyId, token: Box<[u8]>, context: [u8; 32] },
    /// Look whether the key has changed.
    Look { key: KeyId },
}

/// What the backend answered.
pub(crate) enum Given {
    /// The key of that lease, wrapped.
    Wrapped { held: Held, token: Box<[u8]>, version: KeyVersion },
    /// The key that was in the token.
    Unwrapped { held: Arc<Held> },
    /// The token under the current version.
    Rewrapped { token: Box<[u8]>, version: KeyVersion },
    /// It has looked.
    Looked,
    /// The key changed meanwhile: to be asked again, by a section that sees the change.
    Again,
}

impl Section<'_> {
    /// [`Section::wrap_new`] where the backend wraps.
    pub(super) fn wrap_new_remotely(
        &self,
        call: &Call<'_>,
        to: &Binding<'_>,
        data_key: &mut StackKey,
    ) -> Result<(WrappedKey, WrappedUnder), TryError> {
        self.generation.keys.with(to.key_id, |cell| {
            let cell = cell.ok_or_else(|| self.unknown(call, to.key_id, KeyError::NotFound.into()));
            let view = cell?.view();
            let given = call.given.take();
            if let Some(Given::Wrapped { held, token, version }) = given {
                view.for_wrap()?;
                let under = under(&view, version)?;
                held.read(self, data_key)?;
                let commitment = commitment::commit(data_key.expose(), to.committed());
                return Ok((token_envelope(to, under, &token, &commitment), under));
            }
            self.draw_remotely(call, &view)?;
            let bytes = data_key.resize(to.spec.bytes()).map_err(unreachable_failure)?;
            self.plane.random.fill(self.stripe, bytes).map_err(|_| Error::Randomness)?;
            self.want_wrapped(call, to, data_key)
        })
    }

    /// [`Section::wrap_anew`] where the backend wraps.
    pub(super) fn wrap_anew_remotely(
        &self,
        call: &Call<'_>,
        to: &Binding<'_>,
        envelope: &Envelope<'_>,
        data_key: &StackKey,
    ) -> Result<Option<WrappedKey>, TryError> {
        let named = envelope.named()?;
        self.generation.keys.with(to.key_id, |cell| {
            let cell = cell.ok_or_else(|| self.unknown(call, to.key_id, KeyError::NotFound.into()));
            let view = cell?.view();
            let (current, _) = view.for_wrap()?;
            if to.key_id == named.key_id
                && current.version == named.version
                && current.tag == named.tag
            {
                return Ok(None);
            }
            if let Some(Given::Wrapped { token, version, .. }) = call.given.take() {
                let under = under(&view, version)?;
                let commitment = commitment::commit(data_key.expose(), to.committed());
                return Ok(Some(token_envelope(to, under, &token, &commitment)));
            }
            self.draw_remotely(call, &view)?;
            self.want_wrapped(call, to, data_key)
        })
    }

    /// Has the backend wrap `data_key`, which is put on lease for that.
    fn want_wrapped<R>(
        &self,
        call: &Call<'_>,
        to: &Binding<'_>,
        data_key: &StackKey,
    ) -> Result<R, TryError> {
        let slot = self.lease(data_key)?;
        let key = KeyId::new(to.key_id)?;
        call.wants.set(Some(Wanted::Wrap { key, slot, context: *to.context }));
        Err(TryError::NeedsHop(NeedsHop::Backend))
    }

    /// [`Section::unwrap`] where the backend unwraps.
    pub(super) fn unwrap_remotely(
        &self,
        call: &Call<'_>,
        envelope: &Envelope<'_>,
        context: &[u8; 32],
        data_key: &mut StackKey,
    ) -> Result<WrappedUnder, TryError> {
        self.with_cell(call, envelope, |cell, named| {
            cell.view().for_unwrap(named.version, named.tag)?;
            let given = call.given.take();
            let held = match &given {
                Some(Given::Unwrapped { held }) => Some(&**held),
                // What was unwrapped before, and has been wrapped anew since.
                Some(Given::Wrapped { held, .. }) => Some(held),
                Some(Given::Rewrapped { .. } | Given::Looked | Given::Again) | None => None,
            };
            if let Some(held) = held {
                held.read(self, data_key)?;
                checked(envelope, named, context, data_key)?;
                call.given.set(given.filter(|given| matches!(given, Given::Wrapped { .. })));
                return Ok(WrappedUnder { version: named.version, tag: named.tag });
            }
            if !call.may_wait {
                return Err(TryError::NeedsHop(NeedsHop::Backend));
            }
            let key = KeyId::new(named.key_id)?;
            let token = envelope.wrapped.into();
            call.wants.set(Some(Wanted::Unwrap { key, token, context: *context }));
            Err(TryError::NeedsHop(NeedsHop::Backend))
        })
    }

    /// [`Section::rewrap`] where the backend does it: one call, and none where the envelope is
    /// current. The data key is not seen, so the commitment stays as it is.
    pub(super) fn rewrap_remotely(
        &self,
        call: &Call<'_>,
        envelope: &Envelope<'_>,
        context: &[u8; 32],
    ) -> Result<Option<WrappedKey>, TryError> {
        self.with_cell(call, envelope, |cell, named| {
            let view = cell.view();
            view.for_unwrap(named.version, named.tag)?;
            let (current, _) = view.for_wrap()?;
            if current.version == named.version && current.tag == named.tag {
                return Ok(None);
            }
            if let Some(Given::Rewrapped { token, version }) = call.given.take() {
                let under = under(&view, version)?;
                let (purpose, spec) = (envelope.purpose, envelope.spec);
                let to = Binding { purpose, spec, key_id: named.key_id, context };
                return Ok(Some(token_envelope(&to, under, &token, envelope.commitment)));
            }
            self.draw_remotely(call, &view)?;
            let key = KeyId::new(named.key_id)?;
            let token = envelope.wrapped.into();
            call.wants.set(Some(Wanted::Rewrap { key, token, context: *context }));
            Err(TryError::NeedsHop(NeedsHop::Backend))
        })
    }

    /// Draws one use of the current version, if the caller can wait for the rest.
    fn draw_remotely(&self, call: &Call<'_>, view: &KeyView) -> Result<(), TryError> {
        let (_, keys) = view.for_wrap()?;
        if !call.may_wait {
            return Err(TryError::NeedsHop(NeedsHop::Backend));
        }
        match keys.uses.draw(self.stripe, self.plane.gate.stripes()) {
            Draw::Taken => Ok(()),
            Draw::TakenLow => {
                call.runs_low();
                Ok(())
            }
            Draw::Empty => Err(TryError::NeedsHop(NeedsHop::UseCounts)),
            Draw::Exhausted => Err(KeyError::UsesExhausted.into()),
        }
    }

    /// What is refused because the key or version is not known here: after a look, where others may
    /// have made it.
    pub(super) fn unknown(&self, call: &Call<'_>, key: &str, error: Error) -> TryError {
        if !self.generation.capabilities.shared || !call.may_look() {
            return error.into();
        }
        match KeyId::new(key) {
            Ok(key) if call.may_wait => call.wants.set(Some(Wanted::Look { key })),
            Ok(_) | Err(_) => {}
        }
        TryError::NeedsHop(NeedsHop::KeyVersion)
    }
}

/// The version under which the backend wrapped, as it is known here.
fn under(view: &KeyView, version: KeyVersion) -> Result<WrappedUnder, TryError> {
    let tag = view.active_tag(version)?;
    Ok(WrappedUnder { version, tag })
}

fn token_envelope(
    to: &Binding<'_>,
    under: WrappedUnder,
    token: &[u8],
    commitment: &[u8; commitment::COMMITMENT_BYTES],
) -> WrappedKey {
    let named = Named { key_id: to.key_id, version: under.version, tag: under.tag };
    let envelope = Envelope {
        purpose: to.purpose,
        algorithm: WrapAlgorithm::Token,
        spec: to.spec,
        under: Under::Version(named),
        nonce: &[],
        wrapped: token,
        commitment,
    };
    envelope.encode()
}
