//! The backend actor's memory, without the backend: which keys there are, what waits, what is due.
//!
//! Pure: time is passed in, nothing is awaited.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::clock::WallTime;
use crate::error::{Error, KeyError};
use crate::key::{
    KeyDescription, KeyId, KeyPage, KeyRecord, KeyState, Mutation, VersionDescription,
};
use crate::limits::{PAGE_KEYS_MAX, USES_PER_VERSION_MAX};

/// The keys of the backend in use, by id.
#[derive(Default)]
pub(super) struct Directory {
    keys: BTreeMap<KeyId, Arc<KeyRecord>>,
}

impl Directory {
    pub(super) fn of(records: &BTreeMap<KeyId, Arc<KeyRecord>>) -> Self {
        Self { keys: records.clone() }
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> BTreeMap<KeyId, Arc<KeyRecord>> {
        self.keys.clone()
    }

    pub(super) fn put(&mut self, record: &Arc<KeyRecord>) {
        self.keys.insert(record.id.clone(), Arc::clone(record));
    }

    pub(super) fn record(&self, id: &KeyId) -> Result<&Arc<KeyRecord>, Error> {
        self.keys.get(id).ok_or_else(|| KeyError::NotFound.into())
    }

    pub(super) fn describe(&self, id: &KeyId) -> Result<KeyDescription, Error> {
        self.record(id).map(|record| record.describe())
    }

    pub(super) fn describe_versions(&self, id: &KeyId) -> Result<Vec<VersionDescription>, Error> {
        self.record(id).map(|record| record.describe_versions())
    }

    /// Keys after `after`, at most `limit` and [`PAGE_KEYS_MAX`]. Stable while keys come and go:
    /// the next page begins after an id, not at a number.
    pub(super) fn list(&self, after: Option<&KeyId>, limit: usize) -> KeyPage {
        use core::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let limit = limit.clamp(1, PAGE_KEYS_MAX);
        let mut rest = self.keys.range::<KeyId, _>((from, Unbounded));
        let keys: Vec<_> = rest.by_ref().take(limit).map(|(_, key)| key.describe()).collect();
        let next = rest.next().and(keys.last().map(|key| key.id.clone()));
        KeyPage { keys, next }
    }

    /// What is to be done by itself at `now`.
    pub(super) fn due(&self, now: WallTime) -> Vec<(KeyId, Mutation)> {
        let due = |key: &Arc<KeyRecord>| {
            let mutation = match key.state {
                KeyState::PendingDeletion { at, .. } if at <= now => Mutation::Destroy,
                KeyState::Enabled if is_rotation_due(key, now) => Mutation::Rotate,
                KeyState::Enabled
                | KeyState::Disabled
                | KeyState::PendingDeletion { .. }
                | KeyState::Destroyed => return None,
            };
            Some((key.id.clone(), mutation))
        };
        self.keys.values().filter_map(due).collect()
    }
}

/// Whether the current version is old enough or used enough to be replaced.
pub(super) fn is_rotation_due(key: &KeyRecord, now: WallTime) -> bool {
    let Some(current) = key.current() else {
        return false;
    };
    let by_age = key.policy.rotate_after.is_some_and(|age| now.since(current.created) >= age);
    // Reservations stop at the limit first, and pass it once all below it are drawn.
    let by_use = key.policy.rotate_at_uses.is_some_and(|uses| {
        current.uses_reserved > uses || current.uses_reserved >= USES_PER_VERSION_MAX
    });
    by_age || by_use
}

/// What waits while the backend is busy with one mutation: first come, first served, and what only
/// takes away before the rest.
pub(super) struct Queue<T> {
    brakes: VecDeque<T>,
    others: VecDeque<T>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { brakes: VecDeque::new(), others: VecDeque::new() }
    }

    pub(super) fn push(&mut self, is_brake: bool, job: T) {
        if is_brake { self.brakes.push_back(job) } else { self.others.push_back(job) }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.brakes.pop_front().or_else(|| self.others.pop_front())
    }

    /// What waits and does more than take away.
    pub(super) fn drain_others(&mut self) -> impl Iterator<Item = T> {
        core::mem::take(&mut self.others).into_iter()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        core::mem::take(&mut self.brakes).into_iter().chain(core::mem::take(&mut self.others))
    }
}
