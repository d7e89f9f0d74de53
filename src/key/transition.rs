//! What may happen to a master key: the rules of every backend that keeps records.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{KeyId, KeyPolicy, KeyRecord, KeyState, KeyVersion, Material, VersionRecord};
use super::{VersionState, VersionTag};
use crate::clock::WallTime;
use crate::error::KeyError;
use crate::limits::{
    DELETION_DAYS_MAX, DELETION_DAYS_MIN, DESCRIPTION_BYTES_MAX, KEY_VERSIONS_MAX,
    TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX, USES_PER_VERSION_MAX,
};

/// One change to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// Brings a scheduled deletion to an end and the previous state back.
    CancelDeletion,
    /// Makes the key, with its first version.
    Create {
        /// What its owner writes about it.
        description: String,
        /// Names and values attached to it.
        tags: BTreeMap<String, String>,
        /// Its settings.
        policy: KeyPolicy,
    },
    /// Erases the key's material once its window has passed. For ever.
    Destroy,
    /// Erases one version's material. For ever, and so only once it was confirmed.
    DestroyVersion(ConfirmedVersion),
    /// No wrapping from now on, and no unwrapping unless the policy says so.
    Disable,
    /// Wrapping and unwrapping again.
    Enable,
    /// Lets a retired version unwrap again.
    Reinstate(KeyVersion),
    /// Reserves uses of a version up to a total.
    ReserveUses {
        /// Which version.
        version: KeyVersion,
        /// The total that is reserved from now on.
        up_to: u64,
    },
    /// Lets an old version unwrap nothing until it is reinstated.
    Retire(KeyVersion),
    /// Makes a new version, which wraps from now on.
    Rotate,
    /// Nothing from now on, destroyed after so many days.
    ScheduleDeletion {
        /// 7 to 30.
        days: u32,
    },
    /// Replaces the description.
    SetDescription(String),
    /// Replaces the settings.
    SetPolicy(KeyPolicy),
    /// Sets tags, replacing the values of names that are there.
    Tag(BTreeMap<String, String>),
    /// Removes tags by name; names that are not there are passed over.
    Untag(Vec<String>),
}

/// A version that was named twice, by somebody who means it: nothing else can be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmedVersion(KeyVersion);

impl ConfirmedVersion {
    /// `version`, if `again` names it too.
    #[must_use]
    pub fn new(version: KeyVersion, again: KeyVersion) -> Option<Self> {
        (version == again).then_some(Self(version))
    }

    /// Which version.
    #[must_use]
    pub const fn version(self) -> KeyVersion {
        self.0
    }
}

impl Mutation {
    /// The mutation as an operation's name, for audit records and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CancelDeletion => "cancel-deletion",
            Self::Create { .. } => "create",
            Self::Destroy => "destroy",
            Self::DestroyVersion(_) => "destroy-version",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Reinstate(_) => "reinstate",
            Self::ReserveUses { .. } => "reserve-uses",
            Self::Retire(_) => "retire",
            Self::Rotate => "rotate",
            Self::ScheduleDeletion { .. } => "schedule-deletion",
            Self::SetDescription(_) => "set-description",
            Self::SetPolicy(_) => "set-policy",
            Self::Tag(_) => "tag",
            Self::Untag(_) => "untag",
        }
    }

    /// Whether this only takes away: such a change is never refused for want of an audit sink
    /// (guarantee 4, the brake).
    #[must_use]
    pub fn is_brake(&self) -> bool {
        matches!(self, Self::Disable | Self::ScheduleDeletion { .. } | Self::Retire(_))
    }
}

/// What a new version is made of: drawn or asked for by the backend.
pub(crate) struct NewVersion {
    pub(crate) tag: VersionTag,
    /// Absent where the backend keeps it.
    pub(crate) material: Option<Material>,
}

/// What a mutation comes to.
pub(crate) enum Outcome {
    /// The key becomes this.
    Changed(KeyRecord),
    /// The key is as it was asked to be.
    Unchanged,
}

/// The key after `mutation`, by the rules; `fresh` is asked for a new version at most once.
///
/// # Errors
/// [`KeyError`] if the rules do not allow it; nothing has changed then.
pub(crate) fn apply<E: From<KeyError>>(
    current: Option<&KeyRecord>,
    id: &KeyId,
    mutation: &Mutation,
    now: WallTime,
    fresh: impl FnOnce() -> Result<NewVersion, E>,
) -> Result<Outcome, E> {
    let key = match (current, mutation) {
        (None, Mutation::Create { description, tags, policy }) => {
            return create(id, description, tags, *policy, now, fresh).map(Outcome::Changed);
        }
        (Some(_), Mutation::Create { .. }) => return Err(KeyError::AlreadyExists.into()),
        (None, _) => return Err(KeyError::NotFound.into()),
        (Some(key), _) => key,
    };
    if let Some(damage) = &key.damage {
        return Err(KeyError::Damaged(damage.problem).into());
    }
    match key.state {
        KeyState::Destroyed => return Err(KeyError::Destroyed.into()),
        // As AWS KMS, whose `KMSInvalidStateException` names these calls one by one: a key that is
        // to be deleted is only ever kept or destroyed. Uses are counted by the engine itself.
        KeyState::PendingDeletion { .. }
            if !matches!(
                mutation,
                Mutation::CancelDeletion | Mutation::Destroy | Mutation::ReserveUses { .. }
            ) =>
        {
            return Err(refuse(key, mutation.name()).into());
        }
        KeyState::PendingDeletion { .. } | KeyState::Disabled | KeyState::Enabled => {}
    }
    match mutation {
        Mutation::Rotate => rotate(key, now, fresh),
        Mutation::CancelDeletion
        | Mutation::Destroy
        | Mutation::Disable
        | Mutation::Enable
        | Mutation::ScheduleDeletion { .. } => Ok(change_state(key, mutation, now)?),
        Mutation::DestroyVersion(confirmed) => {
            Ok(change_version(key, confirmed.version(), mutation)?)
        }
        Mutation::Reinstate(version)
        | Mutation::ReserveUses { version, .. }
        | Mutation::Retire(version) => Ok(change_version(key, *version, mutation)?),
        Mutation::SetDescription(_)
        | Mutation::SetPolicy(_)
        | Mutation::Tag(_)
        | Mutation::Untag(_) => Ok(change_label(key, mutation)?),
        Mutation::Create { .. } => Err(KeyError::AlreadyExists.into()),
    }
}

fn create<E: From<KeyError>>(
    id: &KeyId,
    description: &str,
    tags: &BTreeMap<String, String>,
    policy: KeyPolicy,
    now: WallTime,
    fresh: impl FnOnce() -> Result<NewVersion, E>,
) -> Result<KeyRecord, E> {
    check_description(description)?;
    check_tags(tags)?;
    check_policy(policy)?;
    Ok(KeyRecord {
        id: id.clone(),
        description: description.to_owned(),
        tags: tags.clone(),
        state: KeyState::Enabled,
        policy,
        created: now,
        open_only: false,
        damage: None,
        revision: 0,
        versions: vec![new_version(KeyVersion::FIRST, now, fresh()?)],
    })
}

fn rotate<E: From<KeyError>>(
    key: &KeyRecord,
    now: WallTime,
    fresh: impl FnOnce() -> Result<NewVersion, E>,
) -> Result<Outcome, E> {
    if key.state != KeyState::Enabled {
        return Err(refuse(key, "rotate").into());
    }
    let next = key
        .current()
        .and_then(|current| current.version.next())
        .filter(|next| next.number() <= KEY_VERSIONS_MAX)
        .ok_or(KeyError::LimitExceeded("versions per key"))?;
    let mut key = key.clone();
    key.versions.push(new_version(next, now, fresh()?));
    key.open_only = false;
    Ok(Outcome::Changed(key))
}

fn new_version(version: KeyVersion, now: WallTime, new: NewVersion) -> Arc<VersionRecord> {
    Arc::new(VersionRecord {
        version,
        tag: new.tag,
        created: now,
        state: VersionState::Active,
        uses_reserved: 0,
        grant: None,
        material: new.material,
    })
}

fn change_state(key: &KeyRecord, mutation: &Mutation, now: WallTime) -> Result<Outcome, KeyError> {
    let state = match (mutation, key.state) {
        (Mutation::Enable, KeyState::Enabled | KeyState::Disabled) => KeyState::Enabled,
        (Mutation::Disable, KeyState::Enabled | KeyState::Disabled) => KeyState::Disabled,
        (Mutation::ScheduleDeletion { days }, KeyState::Enabled | KeyState::Disabled) => {
            if !(DELETION_DAYS_MIN..=DELETION_DAYS_MAX).contains(days) {
                let (field, problem) = ("deletion window", "is not 7 to 30 days");
                return Err(KeyError::Invalid { field, problem });
            }
            let window = core::time::Duration::from_secs(u64::from(*days) * 86_400);
            let was_enabled = key.state == KeyState::Enabled;
            KeyState::PendingDeletion { at: now.plus(window), was_enabled }
        }
        (Mutation::CancelDeletion, KeyState::PendingDeletion { was_enabled: true, .. }) => {
            KeyState::Enabled
        }
        (Mutation::CancelDeletion, KeyState::PendingDeletion { was_enabled: false, .. }) => {
            KeyState::Disabled
        }
        (Mutation::Destroy, KeyState::PendingDeletion { at, .. }) if at <= now => {
            return Ok(Outcome::Changed(tombstone(key)));
        }
        (_, _) => return Err(refuse(key, mutation.name())),
    };
    if state == key.state {
        return Ok(Outcome::Unchanged);
    }
    Ok(Outcome::Changed(KeyRecord { state, ..key.clone() }))
}

/// What stays of a destroyed key: its id, so that it is not made again, and its versions' tags, so
/// that their envelopes are told apart from damaged ones.
fn tombstone(key: &KeyRecord) -> KeyRecord {
    let erase = |version: &Arc<VersionRecord>| version.with(erase_version);
    KeyRecord {
        state: KeyState::Destroyed,
        versions: key.versions.iter().map(erase).collect(),
        ..key.clone()
    }
}

fn erase_version(version: &mut VersionRecord) {
    version.state = VersionState::Destroyed;
    version.material = None;
}

fn change_version(
    key: &KeyRecord,
    number: KeyVersion,
    mutation: &Mutation,
) -> Result<Outcome, KeyError> {
    let missing = KeyError::VersionNotFound(number.number());
    let index = key
        .versions
        .iter()
        .position(|version| version.version == number)
        .ok_or_else(|| missing.clone())?;
    let is_current = index + 1 == key.versions.len();
    let version = key.versions.get(index).ok_or(missing)?;
    let changed = match (mutation, version.state) {
        (Mutation::Retire(_), VersionState::Retired)
        | (Mutation::Reinstate(_), VersionState::Active)
        | (Mutation::DestroyVersion(_), VersionState::Destroyed) => return Ok(Outcome::Unchanged),
        (_, VersionState::Destroyed) => {
            return Err(KeyError::VersionDestroyed(number.number()));
        }
        (Mutation::Retire(_) | Mutation::DestroyVersion(_), _) if is_current => {
            return Err(KeyError::CurrentVersion(number.number()));
        }
        (Mutation::Retire(_), VersionState::Active) => {
            version.with(|version| version.state = VersionState::Retired)
        }
        (Mutation::Reinstate(_), VersionState::Retired) => {
            version.with(|version| version.state = VersionState::Active)
        }
        (Mutation::DestroyVersion(_), VersionState::Active | VersionState::Retired) => {
            version.with(erase_version)
        }
        (Mutation::ReserveUses { up_to, .. }, _) => {
            if *up_to > USES_PER_VERSION_MAX {
                return Err(KeyError::UsesExhausted);
            }
            if *up_to <= version.uses_reserved {
                return Ok(Outcome::Unchanged);
            }
            version.with(|version| version.uses_reserved = *up_to)
        }
        (_, _) => return Err(refuse(key, mutation.name())),
    };
    let mut key = key.clone();
    if let Some(slot) = key.versions.get_mut(index) {
        *slot = changed;
    }
    Ok(Outcome::Changed(key))
}

fn change_label(key: &KeyRecord, mutation: &Mutation) -> Result<Outcome, KeyError> {
    let mut changed = key.clone();
    match mutation {
        Mutation::SetDescription(description) => {
            check_description(description)?;
            changed.description.clone_from(description);
        }
        Mutation::SetPolicy(policy) => {
            check_policy(*policy)?;
            changed.policy = *policy;
        }
        Mutation::Tag(tags) => {
            changed.tags.extend(tags.iter().map(|(name, value)| (name.clone(), value.clone())));
            check_tags(&changed.tags)?;
        }
        Mutation::Untag(names) => {
            for name in names {
                changed.tags.remove(name);
            }
        }
        _ => return Err(refuse(key, mutation.name())),
    }
    let same = changed.description == key.description
        && changed.policy == key.policy
        && changed.tags == key.tags;
    Ok(if same { Outcome::Unchanged } else { Outcome::Changed(changed) })
}

fn refuse(key: &KeyRecord, operation: &'static str) -> KeyError {
    KeyError::InvalidState { state: key.state.name(), operation }
}

fn check_description(description: &str) -> Result<(), KeyError> {
    let problem = if description.len() > DESCRIPTION_BYTES_MAX {
        "is longer than 8192 bytes"
    } else if description.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
        "has a control character"
    } else {
        return Ok(());
    };
    Err(KeyError::Invalid { field: "description", problem })
}

fn check_policy(policy: KeyPolicy) -> Result<(), KeyError> {
    match policy.rotate_at_uses {
        Some(0) => Err(KeyError::Invalid { field: "rotate_at_uses", problem: "is zero" }),
        Some(uses) if uses > USES_PER_VERSION_MAX => {
            Err(KeyError::Invalid { field: "rotate_at_uses", problem: "is over 2^32" })
        }
        Some(_) | None => match policy.rotate_after {
            Some(age) if age < MIN_ROTATION_AGE => {
                Err(KeyError::Invalid { field: "rotate_after", problem: "is under one hour" })
            }
            Some(_) | None => Ok(()),
        },
    }
}

/// Rotating more often fills the version limit within a year.
const MIN_ROTATION_AGE: core::time::Duration = core::time::Duration::from_secs(3600);

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), KeyError> {
    if tags.len() > TAGS_MAX {
        return Err(KeyError::LimitExceeded("tags per key"));
    }
    for (name, value) in tags {
        let problem = if name.is_empty() {
            "has an empty name"
        } else if name.len() > TAG_NAME_BYTES_MAX {
            "has a name longer than 128 bytes"
        } else if value.len() > TAG_VALUE_BYTES_MAX {
            "has a value longer than 256 bytes"
        } else if name.chars().chain(value.chars()).any(char::is_control) {
            "has a control character"
        } else {
            continue;
        };
        return Err(KeyError::Invalid { field: "tag", problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
