//! Keys as their users see them: what callers' threads read while the backend's actor changes it.
//!
//! One cell a key, found by id without locks; in each cell an immutable view that is replaced
//! whole. A cell is never removed: a destroyed key leaves a view without material, so the map only
//! grows and nothing is freed behind its readers' backs.
//!
//! Invariants:
//!
//! 1. Views are read only inside a section of the gate. Whoever replaced a view and waited for
//!    quiescence knows that nobody uses the old one, and that its keys are wiped.
//! 2. A version's keys are shared between successive views of its key, so that a change of state
//!    costs no key derivation and loses no use count.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use once_cell::race::OnceBox;

use super::VersionTag;
use super::uses::UseCounter;
use super::{
    Damage, KeyId, KeyRecord, KeyState, KeyVersion, Material, VersionRecord, VersionState,
};
use crate::crypto::aead::AeadKey;
use crate::crypto::schedule;
use crate::error::{EnvelopeError, Error, KeyError};
use crate::gate::{Class, Gate, Permit};

/// All keys of one backend.
#[derive(Default)]
pub(crate) struct KeyTable {
    keys: papaya::HashMap<KeyId, Arc<KeyCell>>,
    /// How many keys are in each state. Tables have one writer at a time.
    states: [AtomicU64; KeyState::LABELS.len()],
    /// Keys that have wrapped something since the table was made: for metrics, which do not look
    /// at a million keys to find the few that are used.
    used: papaya::HashMap<KeyId, Arc<KeyCell>>,
}

impl KeyTable {
    /// A table of `records`.
    pub(crate) fn of<'a>(records: impl IntoIterator<Item = &'a Arc<KeyRecord>>) -> Self {
        let table = Self::default();
        for record in records {
            table.publish(record);
        }
        table
    }

    /// Lets `look` see the cell of the key `id`.
    #[inline]
    pub(crate) fn with<R>(&self, id: &str, look: impl FnOnce(Option<&Arc<KeyCell>>) -> R) -> R {
        let keys = self.keys.pin();
        look(keys.get(id))
    }

    /// Replaces the view of `record`'s key, for all sections that begin from now on.
    pub(crate) fn publish(&self, record: &KeyRecord) {
        let keys = self.keys.pin();
        match keys.get(&record.id) {
            Some(cell) => {
                let view = KeyView::of(record, Some(&cell.view.load()));
                let is_used = view.current_uses().is_some_and(|(_, uses)| uses.is_used());
                self.count(Some(cell.view.load().state), Some(record.state));
                cell.view.store(Arc::new(view));
                if is_used && !self.used.pin().contains_key(&record.id) {
                    self.used.pin().insert(record.id.clone(), Arc::clone(cell));
                }
            }
            None => {
                let view = KeyView::of(record, None);
                self.count(None, Some(record.state));
                keys.insert(
                    record.id.clone(),
                    Arc::new(KeyCell { view: ArcSwap::from_pointee(view) }),
                );
            }
        }
    }

    fn count(&self, before: Option<KeyState>, after: Option<KeyState>) {
        if let Some(count) = before.and_then(|state| self.states.get(state.index())) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = after.and_then(|state| self.states.get(state.index())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many keys are in the state of that index.
    pub(crate) fn in_state(&self, index: usize) -> u64 {
        self.states.get(index).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Tells `each` of the keys that have wrapped something since the table was made: the version
    /// in use, and how often it has been. Views are read in sections of their own (invariant 1),
    /// `each` runs outside of them; it ends where the gate is shut.
    pub(crate) fn each_used(&self, gate: &Gate, mut each: impl FnMut(&KeyId, KeyVersion, u64)) {
        let used = self.used.pin();
        let mut cells = used.iter().peekable();
        let mut found = Vec::with_capacity(KEYS_PER_SECTION);
        while cells.peek().is_some() {
            let look = |_: &Permit<'_>| {
                for (id, cell) in cells.by_ref().take(KEYS_PER_SECTION) {
                    if let Some((version, uses)) = cell.view().current_uses() {
                        found.push((id, version, uses.drawn()));
                    }
                }
            };
            if gate.pass(Class::Read, look).is_err() {
                return;
            }
            for (id, version, uses) in found.drain(..) {
                each(id, version, uses);
            }
        }
    }

    /// Takes the keys out of every view, whoever still holds a cell. After this and quiescence no
    /// key of the table is in memory.
    pub(crate) fn withdraw(&self) {
        let keys = self.keys.pin();
        for cell in keys.values() {
            self.count(Some(cell.view.load().state), Some(KeyState::Destroyed));
            let view = KeyView {
                state: KeyState::Destroyed,
                versions: Vec::new(),
                damage: None,
                ..*cell.view.load().as_ref()
            };
            cell.view.store(Arc::new(view));
        }
    }

    /// Keys in the table, tombstones included.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

/// One key: the place where its view is.
pub(crate) struct KeyCell {
    view: ArcSwap<KeyView>,
}

impl KeyCell {
    /// The view at this moment.
    #[inline]
    pub(crate) fn view(&self) -> Guard<Arc<KeyView>> {
        self.view.load()
    }
}

/// One key at one moment.
pub(crate) struct KeyView {
    state: KeyState,
    allow_decrypt_when_disabled: bool,
    open_only: bool,
    damage: Option<Arc<Damage>>,
    /// In ascending order without gaps.
    versions: Vec<VersionView>,
}

/// One version at one moment.
pub(crate) struct VersionView {
    pub(crate) version: KeyVersion,
    pub(crate) tag: VersionTag,
    state: VersionState,
    /// Absent once its material is erased.
    keys: Option<Arc<VersionKeys>>,
}

impl KeyView {
    fn of(record: &KeyRecord, before: Option<&Self>) -> Self {
        let keys_of = |version: &VersionRecord| {
            if version.state == VersionState::Destroyed {
                return None;
            }
            let same = before
                .and_then(|before| before.version(version.version))
                .filter(|same| same.tag == version.tag);
            let shared = same.and_then(|same| same.keys.clone());
            let keys = shared.unwrap_or_else(|| Arc::new(VersionKeys::new(version)));
            match version.grant {
                None => keys.uses.reserve(version.uses_reserved),
                Some(grant) => keys.uses.grant(grant),
            }
            Some(keys)
        };
        let versions = record.versions.iter().map(|version| VersionView {
            version: version.version,
            tag: version.tag,
            state: version.state,
            keys: keys_of(version),
        });
        Self {
            state: record.state,
            allow_decrypt_when_disabled: record.policy.allow_decrypt_when_disabled,
            open_only: record.open_only,
            damage: record.damage.clone(),
            versions: versions.collect(),
        }
    }

    /// The version that wraps, with its keys.
    ///
    /// # Errors
    /// [`KeyError`] if the key's state does not allow wrapping.
    #[inline]
    pub(crate) fn for_wrap(&self) -> Result<(&VersionView, &VersionKeys), KeyError> {
        self.check_damage()?;
        match self.state {
            KeyState::Enabled if self.open_only => return Err(KeyError::OpenOnly),
            KeyState::Enabled => {}
            KeyState::Disabled => return Err(KeyError::Disabled),
            KeyState::PendingDeletion { .. } => return Err(KeyError::PendingDeletion),
            KeyState::Destroyed => return Err(KeyError::Destroyed),
        }
        let current = self.versions.last().ok_or(KeyError::NotFound)?;
        Ok((current, current.usable_keys()?))
    }

    /// The version that an envelope names, with its keys.
    ///
    /// # Errors
    /// [`KeyError`] if the state of key or version does not allow unwrapping,
    /// [`EnvelopeError::UnknownKeyVersion`] if the version is not of this history.
    #[inline]
    pub(crate) fn for_unwrap(
        &self,
        version: KeyVersion,
        tag: VersionTag,
    ) -> Result<&VersionKeys, Error> {
        self.check_damage()?;
        match self.state {
            KeyState::Enabled => {}
            KeyState::Disabled if self.allow_decrypt_when_disabled => {}
            KeyState::Disabled => return Err(KeyError::Disabled.into()),
            KeyState::PendingDeletion { .. } => return Err(KeyError::PendingDeletion.into()),
            KeyState::Destroyed => return Err(KeyError::Destroyed.into()),
        }
        let version = self
            .version(version)
            .filter(|version| version.tag == tag)
            .ok_or(EnvelopeError::UnknownKeyVersion)?;
        Ok(version.usable_keys()?)
    }

    /// Whether a stream that began under this version may go on.
    ///
    /// # Errors
    /// As [`Self::for_unwrap`]; a stream that seals also ends where wrapping does, but for rotation:
    /// it keeps the key that it has.
    #[inline]
    pub(crate) fn check_stream(
        &self,
        class: Class,
        version: KeyVersion,
        tag: VersionTag,
    ) -> Result<(), Error> {
        if class == Class::Write {
            self.for_wrap()?;
        }
        self.for_unwrap(version, tag)?;
        Ok(())
    }

    #[inline]
    fn check_damage(&self) -> Result<(), KeyError> {
        match &self.damage {
            None => Ok(()),
            Some(damage) => Err(KeyError::Damaged(damage.problem)),
        }
    }

    /// Whether this key has, or had, that version: another store may have another key by its id.
    pub(crate) fn knows(&self, version: KeyVersion, tag: VersionTag) -> bool {
        self.version(version).is_some_and(|version| version.tag == tag)
    }

    /// The tag of a version that may be used.
    ///
    /// # Errors
    /// [`EnvelopeError::UnknownKeyVersion`] if there is no such version, [`KeyError`] if its state
    /// does not allow its use.
    pub(crate) fn active_tag(&self, version: KeyVersion) -> Result<VersionTag, Error> {
        let version = self.version(version).ok_or(EnvelopeError::UnknownKeyVersion)?;
        version.usable_keys()?;
        Ok(version.tag)
    }

    /// The use count of the current version, and the number of it.
    pub(crate) fn current_uses(&self) -> Option<(KeyVersion, &UseCounter)> {
        let current = self.versions.last()?;
        Some((current.version, &current.keys.as_ref()?.uses))
    }

    /// The use count of a version.
    pub(crate) fn uses(&self, version: KeyVersion) -> Option<&UseCounter> {
        Some(&self.version(version)?.keys.as_ref()?.uses)
    }

    fn version(&self, version: KeyVersion) -> Option<&VersionView> {
        let first = self.versions.first()?.version.number();
        let index = version.number().checked_sub(first)?;
        self.versions.get(usize::try_from(index).ok()?)
    }
}

impl VersionView {
    fn usable_keys(&self) -> Result<&VersionKeys, KeyError> {
        match (self.state, &self.keys) {
            (VersionState::Active, Some(keys)) => Ok(keys),
            (VersionState::Retired, _) => Err(KeyError::VersionRetired(self.version.number())),
            (VersionState::Destroyed, _) | (VersionState::Active, None) => {
                Err(KeyError::VersionDestroyed(self.version.number()))
            }
        }
    }
}

/// Keys that one section looks at: a few microseconds.
const KEYS_PER_SECTION: usize = 64;

/// What one version works with.
pub(crate) struct VersionKeys {
    /// Absent where the backend keeps it: then this is used there.
    material: Option<Material>,
    /// Derived at the first use: a large store opens without deriving keys that nobody asks for.
    /// Two threads may derive it at once; one of the two keys is wiped, and neither waits.
    wrap: OnceBox<AeadKey>,
    pub(crate) uses: UseCounter,
}

impl VersionKeys {
    fn new(version: &VersionRecord) -> Self {
        Self {
            material: version.material.clone(),
            wrap: OnceBox::new(),
            uses: UseCounter::new(version.uses_reserved),
        }
    }

    /// The key that wraps data keys; `None` where the backend wraps them itself.
    #[inline]
    pub(crate) fn wrap(&self) -> Option<&AeadKey> {
        let material = self.material.as_ref()?;
        Some(self.wrap.get_or_init(|| Box::new(schedule::wrap_key(material))))
    }
}
