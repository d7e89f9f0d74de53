//! An object that is being sealed or opened: who asked, under which key, with which ticket.
//!
//! Whatever works through an object chunk by chunk owns an [`UnderWay`]: each chunk is one section
//! that checks the key's state and the ticket, and however the work ends, its end is recorded once.

use std::sync::Arc;

use super::operations::Registered;
use super::{Call, Plane, Recording, Section, TryError};
use crate::audit::{self, Caller, ErrorClass, Outcome, RecordRef, Stage};
use crate::envelope::Envelope;
use crate::error::{Error, KeyError};
use crate::gate::{Class, stripe_of_thread};
use crate::key::table::KeyCell;
use crate::key::{KeyId, KeyVersion, VersionTag};
use crate::object::run::Sections;
use crate::object::{ChunkCipher, ObjectName};

use super::data_key::WrappedUnder;

/// The master key version that an object's key depends on.
#[derive(Clone)]
pub(crate) struct KeyUnderWay {
    id: KeyId,
    version: KeyVersion,
    tag: VersionTag,
    cell: Arc<KeyCell>,
    /// The generation that the cell belongs to.
    generation: u64,
}

impl KeyUnderWay {
    /// The key `id` in the version under which something was wrapped.
    pub(super) fn new(
        section: &Section<'_>,
        id: &KeyId,
        under: WrappedUnder,
    ) -> Result<Self, TryError> {
        let WrappedUnder { version, tag } = under;
        let keys = &section.generation.keys;
        let cell = keys.with(id, |cell| cell.cloned()).ok_or(KeyError::NotFound)?;
        Ok(Self { id: id.clone(), version, tag, cell, generation: section.generation.number })
    }

    /// The key that `envelope` names, and under which it was found to be wrapped.
    pub(super) fn of_envelope(
        section: &Section<'_>,
        envelope: &Envelope<'_>,
        under: WrappedUnder,
    ) -> Result<Self, TryError> {
        Self::new(section, &KeyId::new(envelope.named()?.key_id)?, under)
    }

    /// The master key.
    pub(crate) fn id(&self) -> &KeyId {
        &self.id
    }

    /// Its version.
    pub(crate) fn version(&self) -> KeyVersion {
        self.version
    }

    /// Whether the work may go on.
    ///
    /// After a swap to another store, that store's word counts where it has the key; where it has
    /// not, nobody can have taken the key away, and the work goes on with the data key it has.
    pub(super) fn check(&self, section: &Section<'_>, class: Class) -> Result<(), Error> {
        let Self { version, tag, .. } = *self;
        if section.generation.number == self.generation {
            return self.cell.view().check_stream(class, version, tag);
        }
        section.generation.keys.with(&self.id, |cell| match cell.map(|cell| cell.view()) {
            Some(view) if view.knows(version, tag) => view.check_stream(class, version, tag),
            Some(_) | None => Ok(()),
        })
    }
}

/// Work on one object, from its recorded intent to its recorded end.
pub(crate) struct UnderWay {
    plane: Arc<Plane>,
    ticket: Registered,
    caller: Caller,
    class: Class,
    /// Absent where only a customer's key opens it.
    key: Option<KeyUnderWay>,
    /// The object, where it has a name.
    name: Option<ObjectName>,
    /// Whether the generation that it began in records what is done.
    is_audited: bool,
    ended: bool,
}

impl UnderWay {
    /// The work whose intent `call` recorded.
    pub(super) fn new(
        plane: &Arc<Plane>,
        call: &Call<'_>,
        ticket: Registered,
        class: Class,
        key: impl Into<Option<KeyUnderWay>>,
        name: Option<ObjectName>,
    ) -> Self {
        Self {
            plane: Arc::clone(plane),
            ticket,
            caller: call.caller.clone(),
            class,
            key: key.into(),
            name,
            is_audited: call.was_recorded(),
            ended: false,
        }
    }

    /// Runs `work` in a section of the gate, once the key's state allows it.
    ///
    /// # Errors
    /// The work is cut, and its end recorded.
    pub(super) fn in_section<T>(
        &mut self,
        work: impl FnOnce(&Section<'_>, &Registered) -> Result<T, TryError>,
    ) -> Result<T, Error> {
        self.pass(work).map_err(|error| self.cut(error))
    }

    /// The same for one of several threads that work on it: a refusal is not recorded.
    fn pass<T>(
        &self,
        work: impl FnOnce(&Section<'_>, &Registered) -> Result<T, TryError>,
    ) -> Result<T, TryError> {
        self.plane.section(self.class, |section| {
            if let Some(key) = &self.key {
                key.check(section, self.class)?;
            }
            work(section, &self.ticket)
        })
    }

    /// Runs `work` with the cipher in a section of the gate.
    ///
    /// # Errors
    /// The work is cut, and its end recorded.
    pub(super) fn with_cipher<T>(
        &mut self,
        work: impl FnOnce(&ChunkCipher) -> T,
    ) -> Result<T, Error> {
        self.in_section(|_, ticket| Ok(ticket.with_cipher(work)?))
    }

    /// Records that the work failed with `error`, which is given back.
    pub(super) fn cut(&mut self, error: TryError) -> Error {
        let error = error.into_waitless();
        self.end(Outcome::Failed(ErrorClass::from(&error)));
        error
    }

    /// Records the end, once, without a permit: what cuts a stream is often a gate that is shut.
    /// Its beginning was accepted before a byte of it was released, so an end that finds the
    /// buffers full is counted and not waited for.
    pub(super) fn end(&mut self, outcome: Outcome) {
        if core::mem::replace(&mut self.ended, true) {
            return;
        }
        let operation = match self.class {
            Class::Read => audit::Operation::Open,
            Class::Write => audit::Operation::Seal,
        };
        let (clock, audit) = (&self.plane.clock, &self.plane.audit);
        self.plane.counts.ended(stripe_of_thread(), operation, outcome);
        if !self.is_audited {
            return;
        }
        let record = RecordRef {
            stage: Stage::Outcome,
            outcome,
            key: self.key.as_ref().map(|key| &*key.id),
            key_version: self.key.as_ref().map(KeyUnderWay::version),
            resource: self.name.as_ref().and_then(ObjectName::resource),
            generation: self.plane.status.load().generation,
            ..RecordRef::event(&self.caller, operation, clock.wall())
        };
        let _ = audit.accept(stripe_of_thread(), &record, clock.boot());
    }
}

impl Sections for UnderWay {
    fn section<T>(
        &self,
        work: impl FnOnce(&ChunkCipher, &dyn Fn() -> bool) -> T,
    ) -> Result<T, Error> {
        let done = self.pass(|section, ticket| {
            Ok(ticket.with_cipher(|cipher| work(cipher, &|| section.is_open()))?)
        });
        done.map_err(TryError::into_waitless)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.end(Outcome::Failed(ErrorClass::Abandoned));
    }
}

/// Records that work begins: its intent, or why it does not.
pub(super) fn begin_record<R>(
    section: &Section<'_>,
    record: &Recording<'_>,
    begun: Result<R, TryError>,
) -> Result<R, TryError> {
    match begun {
        Ok(begun) => {
            section.accept(record, Stage::Intent, Outcome::Pending)?;
            Ok(begun)
        }
        Err(error) => section.release(record, Err(error), |_| {}),
    }
}
