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
//! (guarantee 2). A swap to another store in between makes the answer nothing: it is the old store's.
//!
//! Answers stay with the call until it ends: what it waits for meanwhile, such as room for its
//! audit record, makes the backend do nothing twice. A use that was drawn stays drawn, whatever
//! comes of the wrap: Vault may have made it, and an answer that was lost does not say.

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
    Unwrapped { held: Held },
    /// The token under the current version.
    Rewrapped { token: Box<[u8]>, version: KeyVersion },
    /// It has looked for that key.
    Looked { key: KeyId },
    /// The key changed meanwhile: to be asked again, by a section that sees the change.
    Again,
}

/// What the backend has answered to one call so far.
#[derive(Default)]
pub(crate) struct Answers {
    /// The last key or token that it gave, and the generation in which that was wanted.
    given: Option<(Given, u64)>,
    /// Keys that it has looked for: each once, so that a call for a key that is not there ends.
    looked_for: Vec<KeyId>,
}

impl Answers {
    /// Takes in what was answered to what a section of `generation` wanted.
    pub(crate) fn take_in(&mut self, answer: Given, generation: u64) {
        match answer {
            Given::Again => {}
            Given::Looked { key } => self.looked_for.push(key),
            Given::Wrapped { .. } | Given::Unwrapped { .. } | Given::Rewrapped { .. } => {
                self.given = Some((answer, generation));
            }
        }
    }

    fn has_looked_for(&self, key: &str) -> bool {
        self.looked_for.iter().any(|looked| looked.as_str() == key)
    }
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
            if let Some(Given::Wrapped { held, token, version }) = self.given(call) {
                view.for_wrap()?;
                let under = under(&view, *version)?;
                held.read(self, data_key)?;
                let commitment = commitment::commit(data_key.expose(), to.committed());
                return Ok((token_envelope(to, under, token, &commitment), under));
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
            if let Some(Given::Wrapped { token, version, .. }) = self.given(call) {
                let under = under(&view, *version)?;
                let commitment = commitment::commit(data_key.expose(), to.committed());
                return Ok(Some(token_envelope(to, under, token, &commitment)));
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
        self.want(call, Wanted::Wrap { key, slot, context: *to.context })
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
            let held = match self.given(call) {
                // Of two steps the second has been answered too: it wrapped the same key anew.
                Some(Given::Unwrapped { held } | Given::Wrapped { held, .. }) => Some(held),
                Some(Given::Rewrapped { .. } | Given::Looked { .. } | Given::Again) | None => None,
            };
            if let Some(held) = held {
                held.read(self, data_key)?;
                checked(envelope, named, context, data_key)?;
                return Ok(WrappedUnder { version: named.version, tag: named.tag });
            }
            if !call.may_wait {
                return Err(TryError::NeedsHop(NeedsHop::Backend));
            }
            let key = KeyId::new(named.key_id)?;
            let token = envelope.wrapped.into();
            self.want(call, Wanted::Unwrap { key, token, context: *context })
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
            if let Some(Given::Rewrapped { token, version }) = self.given(call) {
                let under = under(&view, *version)?;
                let (purpose, spec) = (envelope.purpose, envelope.spec);
                let to = Binding { purpose, spec, key_id: named.key_id, context };
                return Ok(Some(token_envelope(&to, under, token, envelope.commitment)));
            }
            self.draw_remotely(call, &view)?;
            let key = KeyId::new(named.key_id)?;
            let token = envelope.wrapped.into();
            self.want(call, Wanted::Rewrap { key, token, context: *context })
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
        let has_looked = call.answers.is_some_and(|answers| answers.has_looked_for(key));
        if !self.generation.capabilities.shared || has_looked {
            return error.into();
        }
        if let Ok(key) = KeyId::new(key)
            && call.may_wait
        {
            call.wants.set(Some((Wanted::Look { key }, self.generation.number)));
        }
        TryError::NeedsHop(NeedsHop::KeyVersion)
    }

    /// Has the backend asked for `wanted` before the call is made again.
    fn want<R>(&self, call: &Call<'_>, wanted: Wanted) -> Result<R, TryError> {
        call.wants.set(Some((wanted, self.generation.number)));
        Err(TryError::NeedsHop(NeedsHop::Backend))
    }

    /// What the backend answered last, if it was this generation's store that did.
    fn given<'c>(&self, call: &Call<'c>) -> Option<&'c Given> {
        let (given, generation) = call.answers?.given.as_ref()?;
        (*generation == self.generation.number).then_some(given)
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
