//! What every backend must do, tried on each through the trait alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;

use super::{Backend, Mutated, VersionReach};
use crate::clock::WallTime;
use crate::error::{Error, KeyError};
use crate::key::{ConfirmedVersion, KeyId, KeyPolicy, KeyVersion, Mutation, VersionState};

const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

fn mutate(backend: &mut dyn Backend, id: &KeyId, mutation: &Mutation) -> Result<Mutated, Error> {
    let answer = backend.mutate(id, mutation, NOW).now_or_never();
    answer.expect("in-process backends do not wait")
}

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn is_unsupported(result: Result<Mutated, Error>) -> bool {
    matches!(result, Err(Error::Key(KeyError::Unsupported { .. })))
}

/// Runs the suite on `backend`, which holds the enabled key `id`.
fn holds(backend: &mut dyn Backend, id: &KeyId) {
    what_it_answers_is_what_it_lists(backend, id);
    refusals_change_nothing(backend, id);
    uses_only_ever_grow(backend, id);
    if backend.capabilities().mutable {
        versions_are_reached_as_the_flags_say(backend, id);
    } else {
        nothing_but_uses_can_be_changed(backend, id);
    }
    material_is_there_exactly_if_the_flags_say_so(backend);
}

fn what_it_answers_is_what_it_lists(backend: &mut dyn Backend, id: &KeyId) {
    let reserve = Mutation::ReserveUses {
        version: backend.records()[id].current().unwrap().version,
        up_to: 1 << 16,
    };
    let answer = mutate(backend, id, &reserve).unwrap();
    assert!(answer.changed);
    assert!(Arc::ptr_eq(&answer.record, &backend.records()[id]));
    assert!(!mutate(backend, id, &reserve).unwrap().changed);
}

fn refusals_change_nothing(backend: &mut dyn Backend, id: &KeyId) {
    let before = Arc::clone(&backend.records()[id]);
    let unknown = KeyId::new("no/such-key").unwrap();
    let refused = [
        mutate(backend, &unknown, &Mutation::Rotate),
        mutate(backend, id, &Mutation::CancelDeletion),
        mutate(backend, id, &Mutation::Destroy),
        mutate(backend, id, &Mutation::Retire(before.current().unwrap().version)),
        mutate(backend, id, &Mutation::DestroyVersion(sure(version(9000)))),
        mutate(backend, id, &Mutation::ScheduleDeletion { days: 6 }),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Key(_))));
    }
    assert!(Arc::ptr_eq(&before, &backend.records()[id]));
    assert!(!backend.records().contains_key(&unknown));
}

fn uses_only_ever_grow(backend: &mut dyn Backend, id: &KeyId) {
    let version = backend.records()[id].current().unwrap().version;
    let mut reserve = |up_to| mutate(backend, id, &Mutation::ReserveUses { version, up_to });
    reserve(1 << 18).unwrap();
    let lower = reserve(1 << 17).unwrap();
    assert!(!lower.changed);
    assert_eq!(lower.record.current().unwrap().uses_reserved, 1 << 18);
    let beyond = reserve((1 << 32) + 1);
    assert!(matches!(beyond, Err(Error::Key(KeyError::UsesExhausted))));
}

fn versions_are_reached_as_the_flags_say(backend: &mut dyn Backend, id: &KeyId) {
    let can = backend.capabilities();
    for _ in 0..3 {
        mutate(backend, id, &Mutation::Rotate).unwrap();
    }
    let last = backend.records()[id].current().unwrap().version;
    let old = version(last.number() - 1);
    let retired = mutate(backend, id, &Mutation::Retire(old));
    match can.retire_version {
        VersionReach::Any => {
            let record = retired.unwrap().record;
            assert_eq!(record.version(old).unwrap().state, VersionState::Retired);
            let back = mutate(backend, id, &Mutation::Reinstate(old)).unwrap().record;
            assert_eq!(back.version(old).unwrap().state, VersionState::Active);
        }
        VersionReach::Nothing => assert!(is_unsupported(retired)),
    }
    let destroyed = mutate(backend, id, &Mutation::DestroyVersion(sure(old)));
    match can.destroy_version {
        VersionReach::Any => {
            let record = destroyed.unwrap().record;
            let version = record.version(old).unwrap();
            assert_eq!(version.state, VersionState::Destroyed);
            assert!(version.material.is_none());
            let current = mutate(backend, id, &Mutation::DestroyVersion(sure(last)));
            assert!(matches!(current, Err(Error::Key(KeyError::CurrentVersion(_)))));
        }
        VersionReach::Nothing => assert!(is_unsupported(destroyed)),
    }
}

fn nothing_but_uses_can_be_changed(backend: &mut dyn Backend, id: &KeyId) {
    let create = Mutation::Create {
        description: String::new(),
        tags: BTreeMap::new(),
        policy: KeyPolicy::new(),
    };
    let other = KeyId::new("another").unwrap();
    assert!(is_unsupported(mutate(backend, &other, &create)));
    let all = [
        Mutation::Rotate,
        Mutation::Disable,
        Mutation::Enable,
        Mutation::Retire(version(1)),
        Mutation::Reinstate(version(1)),
        Mutation::DestroyVersion(sure(version(1))),
        Mutation::ScheduleDeletion { days: 7 },
        Mutation::SetDescription("new".to_owned()),
        Mutation::SetPolicy(KeyPolicy::new()),
        Mutation::Tag(BTreeMap::new()),
        Mutation::Untag(Vec::new()),
    ];
    for mutation in all {
        assert!(is_unsupported(mutate(backend, id, &mutation)), "{mutation:?}");
    }
    assert_eq!(backend.records().len(), 1);
}

fn material_is_there_exactly_if_the_flags_say_so(backend: &dyn Backend) {
    let in_process = backend.capabilities().in_process;
    for version in backend.records().values().flat_map(|record| &record.versions) {
        let expected = in_process && version.state != VersionState::Destroyed;
        assert_eq!(version.material.is_some(), expected);
    }
}

#[cfg(feature = "local")]
#[test]
fn the_local_backend_keeps_the_contract() {
    use super::local::tests::{anchored, id, open, scratch};
    use super::local::{InitOptions, init};

    let dir = scratch();
    let config = anchored(dir.path());
    let mut options = InitOptions::new(NOW);
    options.default_key = Some(id("default"));
    init(&config, options).unwrap();
    holds(&mut open(&config).unwrap(), &id("default"));
    // And again on what the first run left, from disk.
    let backend = open(&config).unwrap();
    material_is_there_exactly_if_the_flags_say_so(&backend);
}

#[test]
fn the_static_backend_keeps_the_contract() {
    use secrecy::SecretBox;

    use super::source::KeySource;
    use super::static_key::{StaticBackend, StaticConfig};

    let id = KeyId::new("only").unwrap();
    let mut key = [3; 32];
    key[5] = 0;
    let source = KeySource::Given(Arc::new(SecretBox::new(Box::new(key))));
    let config = StaticConfig::new(id.clone(), source);
    let mut backend = StaticBackend::open(&config).unwrap();
    holds(&mut backend, &id);
    let tag = backend.records()[&id].current().unwrap().tag;
    assert_eq!(tag.to_string(), "d909af377171f58a");
    // Counts are the process's, as the flags say.
    let again = StaticBackend::open(&config).unwrap();
    assert_eq!(again.records()[&id].current().unwrap().uses_reserved, 0);
}

fn sure(version: KeyVersion) -> ConfirmedVersion {
    ConfirmedVersion::new(version, version).unwrap()
}
