//! Master keys and data keys, through a handle.

use core::time::Duration;
use std::collections::BTreeMap;

use tracing::Instrument;
use tracing::instrument::Instrumented;

use super::{DataKey, GeneratedDataKey, Kms, Shared};
use crate::actors::backend::{
    Describe, DescribeVersions, List, Mutate, MutationReport, UseRemote, Work,
};
use crate::audit::Ticket;
use crate::context::{ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Purpose, WrappedKey};
use crate::error::{EnvelopeError, Error, KeyError, Refused};
use crate::key::{
    ConfirmedVersion, KeyDescription, KeyId, KeyPage, KeyPolicy, KeyVersion, Mutation,
    VersionDescription,
};
use crate::limits::{ASK_DEADLINE, AUDIT_DEADLINE};
use crate::plane::remote::{Answers, Given, Wanted};
use crate::plane::stream::OBJECT_FIELDS;
use crate::plane::{Call, NeedsHop, TryError};
use crate::trace;

/// Master keys.
impl Kms {
    /// Makes a key with its first version, enabled, with the default policy.
    ///
    /// # Errors
    /// [`KeyError::AlreadyExists`] also where the tombstone of such a key is.
    pub async fn create_key(&self, id: &KeyId) -> Result<MutationReport, Error> {
        let (description, tags, policy) = (String::new(), BTreeMap::new(), KeyPolicy::new());
        self.change_key(id, Mutation::Create { description, tags, policy }).await
    }

    /// Changes one key: rotates, disables, tags it, and whatever else [`Mutation`] names.
    ///
    /// Answered once the change is durable and nobody uses the old state any more (guarantees 2 and
    /// 3). A change that only takes away is carried out even where the audit sink is down, and while
    /// the engine is frozen or another store is opened; the report's `audited` is false where its
    /// record is not written yet.
    ///
    /// # Errors
    /// [`KeyError`] if the rules do not allow it,
    /// [`KeystoreError`](crate::error::KeystoreError) if the store failed,
    /// [`Refused::Down`] while a reconfiguration opens another store,
    /// [`OutcomeUnknown`](crate::error::OutcomeUnknown) if the change may have been made: look
    /// before you try again.
    pub async fn change_key(
        &self,
        id: &KeyId,
        mutation: Mutation,
    ) -> Result<MutationReport, Error> {
        match mutation {
            Mutation::Destroy | Mutation::ReserveUses { .. } => {
                return Err(Error::ApiMisuse("the engine does this by itself when it is due"));
            }
            _ => {}
        }
        let ports = &self.shared.ports;
        self.shared.check_process()?;
        let span = trace::call(&self.caller, mutation.name());
        let mutate = Mutate { caller: self.caller.clone(), id: id.clone(), mutation };
        let changed = async {
            if mutate.mutation.is_brake() {
                return self.brake(mutate).await;
            }
            ports.backend.ask(mutate, ASK_DEADLINE).await
        };
        changed.instrument(span).await
    }

    /// Takes something away. Where the backend was lost it waits for the one that is being built:
    /// a brake is not refused for want of an actor.
    async fn brake(&self, brake: Mutate) -> Result<MutationReport, Error> {
        let Shared { ports, trail, .. } = &*self.shared;
        let mut waited = Duration::ZERO;
        loop {
            match ports.backend_brake.ask(brake.clone(), ASK_DEADLINE).await {
                Err(Error::Refused(Refused::Down { retry_after, .. })) if waited < ASK_DEADLINE => {
                    let _ = trail.timer().within(retry_after, core::future::pending::<()>()).await;
                    waited += retry_after;
                }
                answer => return answer,
            }
        }
    }

    /// Makes a new version, which wraps from now on. Older versions go on unwrapping.
    ///
    /// # Errors
    /// As [`Self::change_key`].
    pub async fn rotate_key(&self, id: &KeyId) -> Result<MutationReport, Error> {
        self.change_key(id, Mutation::Rotate).await
    }

    /// Erases one version of a key, for ever. Not the current one: rotate first.
    ///
    /// `confirmed` names the version again: what was wrapped under it is lost.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if `confirmed` is not `version`, and as [`Self::change_key`].
    pub async fn destroy_key_version(
        &self,
        id: &KeyId,
        version: KeyVersion,
        confirmed: KeyVersion,
    ) -> Result<MutationReport, Error> {
        let confirmed = ConfirmedVersion::new(version, confirmed)
            .ok_or(Error::ApiMisuse("the confirmation names another version"))?;
        self.change_key(id, Mutation::DestroyVersion(confirmed)).await
    }

    /// One key.
    ///
    /// # Errors
    /// [`KeyError::NotFound`].
    pub async fn describe_key(&self, id: &KeyId) -> Result<KeyDescription, Error> {
        self.shared.check_process()?;
        let describe = Describe { id: id.clone() };
        self.asked("describe", || self.shared.ports.backend.ask(describe, ASK_DEADLINE)).await
    }

    /// The versions of one key, oldest first.
    ///
    /// # Errors
    /// [`KeyError::NotFound`].
    pub async fn describe_key_versions(
        &self,
        id: &KeyId,
    ) -> Result<Vec<VersionDescription>, Error> {
        self.shared.check_process()?;
        let describe = DescribeVersions { id: id.clone() };
        let ask = || self.shared.ports.backend.ask(describe, ASK_DEADLINE);
        self.asked("describe-versions", ask).await
    }

    /// Keys by id, tombstones included: those after `after`, at most `limit` and 1,000. Pages are
    /// stable while keys come and go.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn list_keys(&self, after: Option<&KeyId>, limit: usize) -> Result<KeyPage, Error> {
        self.shared.check_process()?;
        let list = List { after: after.cloned(), limit };
        self.asked("list", || self.shared.ports.backend.ask(list, ASK_DEADLINE)).await
    }

    /// What `ask` comes to, in a span of the call.
    fn asked<F: Future>(
        &self,
        operation: &'static str,
        ask: impl FnOnce() -> F,
    ) -> Instrumented<F> {
        let span = trace::call(&self.caller, operation);
        let asked = span.in_scope(ask);
        asked.instrument(span)
    }

    /// The key that is used where none is named.
    ///
    /// # Errors
    /// [`KeyError::NotFound`] if the configuration names none, [`Refused`]
    /// if the engine does not run.
    pub fn default_key(&self) -> Result<KeyId, Error> {
        self.shared.check_process()?;
        let plane = &self.shared.plane;
        let Some(generation) = plane.generation() else {
            return Err(plane.status.load().phase.refusal().into());
        };
        generation.default_key.clone().ok_or_else(|| KeyError::NotFound.into())
    }
}

/// Data keys.
impl Kms {
    /// A new data key of `spec` under the current version of `key`, bound to `context`.
    ///
    /// # Errors
    /// [`KeyError`] if the key's state does not allow wrapping, [`Refused`]
    /// if the engine does not run or a limit is reached.
    pub async fn generate_data_key(
        &self,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, Error> {
        self.carry(Some(key), |call| self.generated(call, key, spec, context)).await
    }

    /// [`Self::generate_data_key`] without waiting.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done: the first use of a
    /// key after a start always does ([`NeedsHop::UseCounts`]).
    pub fn try_generate_data_key(
        &self,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, TryError> {
        self.at_once(Some(key), |call| self.generated(call, key, spec, context))
    }

    /// A new data key of which only the envelope leaves.
    ///
    /// # Errors
    /// As [`Self::generate_data_key`].
    pub async fn generate_data_key_without_plaintext(
        &self,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> Result<WrappedKey, Error> {
        self.carry(Some(key), |call| self.wrapped(call, key, spec, context)).await
    }

    /// [`Self::generate_data_key_without_plaintext`] without waiting.
    ///
    /// # Errors
    /// As [`Self::try_generate_data_key`].
    pub fn try_generate_data_key_without_plaintext(
        &self,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> Result<WrappedKey, TryError> {
        self.at_once(Some(key), |call| self.wrapped(call, key, spec, context))
    }

    /// The data key in `wrapped`, which was bound to `context`.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it does not open, [`KeyError`] if the
    /// key's state does not allow unwrapping.
    pub async fn decrypt_data_key(
        &self,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, Error> {
        self.carry(None, |call| self.decrypted(call, wrapped, context)).await
    }

    /// [`Self::decrypt_data_key`] without waiting.
    ///
    /// # Errors
    /// [`TryError::NeedsHop`] where it would have to wait, and nothing was done.
    pub fn try_decrypt_data_key(
        &self,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, TryError> {
        self.at_once(None, |call| self.decrypted(call, wrapped, context))
    }

    /// The same data key wrapped under the current version of its master key. The context stays,
    /// and the plaintext is not released. Envelopes of sealed files and of payloads are taken too.
    ///
    /// # Errors
    /// As [`Self::decrypt_data_key`] and [`Self::generate_data_key`].
    pub async fn rewrap(
        &self,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<Rewrapped, Error> {
        let (key, kind, fields) = rewrappable(wrapped)?;
        self.carry(Some(&key), |call| self.rewrapped(call, wrapped, kind, fields, context)).await
    }

    /// [`Self::rewrap`] without waiting.
    ///
    /// # Errors
    /// As [`Self::try_generate_data_key`]; an envelope that is current already needs no use count.
    pub fn try_rewrap(
        &self,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<Rewrapped, TryError> {
        let (key, kind, fields) = rewrappable(wrapped)?;
        self.at_once(Some(&key), |call| self.rewrapped(call, wrapped, kind, fields, context))
    }

    fn wrapped(
        &self,
        call: &Call<'_>,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> Result<WrappedKey, TryError> {
        let made = self.shared.plane.generate(call, key, spec, context, false);
        made.map(|(wrapped, _)| wrapped)
    }

    fn rewrapped(
        &self,
        call: &Call<'_>,
        wrapped: &WrappedKey,
        kind: ContextKind,
        fields: &[&[u8]],
        context: &EncryptionContext,
    ) -> Result<Rewrapped, TryError> {
        let rewrapped = self.shared.plane.rewrap(call, wrapped, kind, fields, context)?;
        Ok(match rewrapped {
            Some(wrapped) => Rewrapped { wrapped, changed: true },
            None => Rewrapped { wrapped: wrapped.clone(), changed: false },
        })
    }

    fn generated(
        &self,
        call: &Call<'_>,
        key: &KeyId,
        spec: DataKeySpec,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, TryError> {
        let Shared { plane, homes, .. } = &*self.shared;
        let (wrapped, slot) = plane.generate(call, key, spec, context, true)?;
        let slot = slot.ok_or(Error::Unreachable("a data key that was kept has no lease"))?;
        Ok(GeneratedDataKey { key: DataKey::new(homes, slot), wrapped })
    }

    fn decrypted(
        &self,
        call: &Call<'_>,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, TryError> {
        let Shared { plane, homes, .. } = &*self.shared;
        plane.decrypt(call, wrapped, context).map(|slot| DataKey::new(homes, slot))
    }

    /// Runs `work` on this thread, once.
    #[inline]
    pub(super) fn at_once<R>(
        &self,
        key: Option<&KeyId>,
        work: impl FnOnce(&Call<'_>) -> Result<R, TryError>,
    ) -> Result<R, TryError> {
        let call = Call::new(&self.caller, false);
        let result = work(&call);
        self.heed(&call, key);
        result
    }

    /// Runs `work` on this thread, and again once what it needed is there. It holds no permit while
    /// it waits. The result is given once its record is as durable as the configuration wants.
    pub(super) async fn carry<R>(
        &self,
        key: Option<&KeyId>,
        work: impl FnMut(&Call<'_>) -> Result<R, TryError>,
    ) -> Result<R, Error> {
        let (result, unwritten) = self.attempt(key, work).await?;
        if let Some(ticket) = unwritten {
            let written = self.shared.trail.written(ticket);
            written.instrument(trace::wait(&self.caller, "durable-record")).await?;
        }
        Ok(result)
    }

    /// [`Self::carry`] up to the result, which may not be given before the record of the ticket is
    /// written.
    pub(super) async fn attempt<R>(
        &self,
        key: Option<&KeyId>,
        work: impl FnMut(&Call<'_>) -> Result<R, TryError>,
    ) -> Result<(R, Option<Ticket>), Error> {
        let mut answers = Answers::default();
        self.attempt_as(|| Call::new(&self.caller, true), &mut answers, key, work).await
    }

    /// [`Self::attempt`] of calls that are made as `new_call` says, to which the backend has given
    /// `answers`.
    pub(super) async fn attempt_as<'k, R>(
        &'k self,
        new_call: impl Fn() -> Call<'k>,
        answers: &mut Answers,
        key: Option<&KeyId>,
        mut work: impl FnMut(&Call<'_>) -> Result<R, TryError>,
    ) -> Result<(R, Option<Ticket>), Error> {
        let (mut supplied, mut asked) = (0, 0);
        let mut waited = Duration::ZERO;
        loop {
            let (result, unwritten, wanted) = {
                let call = new_call().with(answers);
                let result = work(&call);
                self.heed(&call, key);
                (result, call.unwritten(), call.wanted())
            };
            match (result, key) {
                (Ok(result), _) => return Ok((result, unwritten)),
                (Err(TryError::Failed(error)), _) => return Err(error),
                (Err(TryError::NeedsHop(NeedsHop::UseCounts)), Some(key))
                    if supplied < SUPPLIES_MAX =>
                {
                    supplied += 1;
                    let span = trace::wait(&self.caller, "use-counts");
                    let supplied = span.in_scope(|| self.shared.supplies.wait(key));
                    supplied.instrument(span).await?;
                }
                (Err(TryError::NeedsHop(NeedsHop::Backend | NeedsHop::KeyVersion)), _)
                    if asked < ASKS_MAX =>
                {
                    asked += 1;
                    let (wanted, generation) =
                        wanted.ok_or(Error::Unreachable("a section does not say what it wants"))?;
                    answers.take_in(self.ask_backend(wanted).await?, generation);
                }
                (Err(TryError::NeedsHop(NeedsHop::AuditBuffer)), _) if waited < AUDIT_DEADLINE => {
                    let room = self.shared.trail.room();
                    waited += room.instrument(trace::wait(&self.caller, "audit-room")).await;
                }
                (Err(TryError::NeedsHop(NeedsHop::AuditBuffer)), _) => {
                    return Err(Refused::AuditUnavailable.into());
                }
                (Err(TryError::NeedsHop(NeedsHop::Backend | NeedsHop::KeyVersion)), _) => {
                    let retry_after = BACKEND_RETRY;
                    return Err(Refused::Full { limit: "changes of one key", retry_after }.into());
                }
                (Err(TryError::NeedsHop(NeedsHop::UseCounts | NeedsHop::DurableRecord)), _) => {
                    return Err(Error::Unreachable("a call went on needing what it was given"));
                }
            }
        }
    }

    /// Has the backend do what a section wants, with no permit held.
    async fn ask_backend(&self, wanted: Wanted) -> Result<Given, Error> {
        let work = Work::of(wanted, &self.shared.plane);
        let span = trace::wait(&self.caller, "backend");
        let asked = span.in_scope(|| self.shared.ports.remote.ask(UseRemote(work), ASK_DEADLINE));
        asked.instrument(span).await
    }

    /// Does what a section left to do for others.
    #[inline]
    fn heed(&self, call: &Call<'_>, key: Option<&KeyId>) {
        if call.rings() {
            self.shared.trail.ring();
        }
        if call.is_low()
            && let Some(key) = key
        {
            self.shared.supplies.ask_ahead(key);
        }
    }
}

/// The key of an envelope that can be rewrapped, and the form of its context.
fn rewrappable(
    wrapped: &WrappedKey,
) -> Result<(KeyId, ContextKind, &'static [&'static [u8]]), Error> {
    let described = wrapped.describe()?;
    let (kind, fields): (_, &[&[u8]]) = match described.purpose {
        Purpose::DataKey => (ContextKind::DataKey, &[]),
        Purpose::ObjectKey => (ContextKind::Object, &OBJECT_FIELDS),
        Purpose::PayloadKey => (ContextKind::Payload, &[]),
        Purpose::BucketKey => return Err(EnvelopeError::WrongPurpose.into()),
    };
    Ok((KeyId::new(&described.key_id)?, kind, fields))
}

/// What a rewrap came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The envelope to store in place of the old one.
    pub wrapped: WrappedKey,
    /// Whether it is another: it is the same, byte for byte, where it was current already.
    pub changed: bool,
}

/// Blocks of use counts that one call may wait for: others may draw the first one empty.
const SUPPLIES_MAX: u32 = 64;

/// How often one call may ask the backend: the key may change while it answers.
const ASKS_MAX: u32 = 8;

/// When to try again where a key changed that often within one call.
const BACKEND_RETRY: Duration = Duration::from_millis(100);
