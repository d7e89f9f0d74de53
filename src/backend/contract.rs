//! What every backend must do, tried on each through the trait alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;

use super::{Backend, Mutated, VersionReach};
use crate::clock::WallTime;
use crate::error::{Error, KeyError};
use crate::key::{
    ConfirmedVersion, KeyId, KeyPolicy, KeyState, KeyVersion, Mutation, VersionState,
};

const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

async fn mutate(
    backend: &mut dyn Backend,
    id: &KeyId,
    mutation: &Mutation,
) -> Result<Mutated, Error> {
    backend.mutate(id, mutation, NOW).await
}

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn is_unsupported(result: Result<Mutated, Error>) -> bool {
    matches!(result, Err(Error::Key(KeyError::Unsupported { .. })))
}

/// Runs the suite on `backend`, which holds the enabled key `id`.
pub(super) async fn holds(backend: &mut dyn Backend, id: &KeyId) {
    what_it_answers_is_what_it_lists(backend, id).await;
    refusals_change_nothing(backend, id).await;
    uses_only_ever_grow(backend, id).await;
    if backend.capabilities().mutable {
        versions_are_reached_as_the_flags_say(backend, id).await;
        keys_come_change_and_go(backend).await;
    } else {
        nothing_but_uses_can_be_changed(backend, id).await;
    }
    material_is_there_exactly_if_the_flags_say_so(backend);
}

async fn what_it_answers_is_what_it_lists(backend: &mut dyn Backend, id: &KeyId) {
    let reserve = Mutation::ReserveUses {
        version: backend.records()[id].current().unwrap().version,
        up_to: 1 << 16,
    };
    let answer = mutate(backend, id, &reserve).await.unwrap();
    assert!(answer.changed);
    assert!(Arc::ptr_eq(&answer.record, &backend.records()[id]));
    assert!(!mutate(backend, id, &reserve).await.unwrap().changed);
}

async fn refusals_change_nothing(backend: &mut dyn Backend, id: &KeyId) {
    let before = Arc::clone(&backend.records()[id]);
    let unknown = KeyId::new("no/such-key").unwrap();
    let refused = [
        mutate(backend, &unknown, &Mutation::Rotate).await,
        mutate(backend, id, &Mutation::CancelDeletion).await,
        mutate(backend, id, &Mutation::Destroy).await,
        mutate(backend, id, &Mutation::Retire(before.current().unwrap().version)).await,
        mutate(backend, id, &Mutation::DestroyVersion(sure(version(9000)))).await,
        mutate(backend, id, &Mutation::ScheduleDeletion { days: 6 }).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Key(_))));
    }
    assert!(Arc::ptr_eq(&before, &backend.records()[id]));
    assert!(!backend.records().contains_key(&unknown));
}

async fn uses_only_ever_grow(backend: &mut dyn Backend, id: &KeyId) {
    let version = backend.records()[id].current().unwrap().version;
    let reserve = |up_to| Mutation::ReserveUses { version, up_to };
    mutate(backend, id, &reserve(1 << 18)).await.unwrap();
    let lower = mutate(backend, id, &reserve(1 << 17)).await.unwrap();
    assert!(!lower.changed);
    assert_eq!(lower.record.current().unwrap().uses_reserved, 1 << 18);
    let beyond = mutate(backend, id, &reserve((1 << 32) + 1)).await;
    assert!(matches!(beyond, Err(Error::Key(KeyError::UsesExhausted))));
}

async fn versions_are_reached_as_the_flags_say(backend: &mut dyn Backend, id: &KeyId) {
    for _ in 0..3 {
        mutate(backend, id, &Mutation::Rotate).await.unwrap();
    }
    let can = backend.capabilities();
    let last = backend.records()[id].current().unwrap().version;
    let old = version(last.number() - 1);
    match can.retire_version {
        VersionReach::Any => retires(backend, id, old).await,
        VersionReach::PrefixBelowLatest => {
            let early = mutate(backend, id, &Mutation::Retire(old)).await;
            assert!(matches!(early, Err(Error::Key(KeyError::Invalid { field: "version", .. }))));
            for number in 1..old.number() {
                mutate(backend, id, &Mutation::Retire(version(number))).await.unwrap();
            }
            retires(backend, id, old).await;
            // Not the highest of those retired.
            mutate(backend, id, &Mutation::Retire(old)).await.unwrap();
            let late = mutate(backend, id, &Mutation::Reinstate(version(1))).await;
            assert!(is_unsupported(late));
        }
        VersionReach::Nothing => {
            assert!(is_unsupported(mutate(backend, id, &Mutation::Retire(old)).await));
        }
    }
    match can.destroy_version {
        VersionReach::Any => destroys(backend, id, old, last).await,
        VersionReach::PrefixBelowLatest => {
            let early = mutate(backend, id, &Mutation::DestroyVersion(sure(old))).await;
            assert!(matches!(early, Err(Error::Key(KeyError::Invalid { field: "version", .. }))));
            for number in 1..old.number() {
                mutate(backend, id, &Mutation::DestroyVersion(sure(version(number))))
                    .await
                    .unwrap();
            }
            destroys(backend, id, old, last).await;
        }
        VersionReach::Nothing => {
            assert!(is_unsupported(
                mutate(backend, id, &Mutation::DestroyVersion(sure(old))).await
            ));
        }
    }
}

async fn retires(backend: &mut dyn Backend, id: &KeyId, old: KeyVersion) {
    let record = mutate(backend, id, &Mutation::Retire(old)).await.unwrap().record;
    assert_eq!(record.version(old).unwrap().state, VersionState::Retired);
    assert!(!mutate(backend, id, &Mutation::Retire(old)).await.unwrap().changed);
    let back = mutate(backend, id, &Mutation::Reinstate(old)).await.unwrap().record;
    assert_eq!(back.version(old).unwrap().state, VersionState::Active);
}

async fn destroys(backend: &mut dyn Backend, id: &KeyId, old: KeyVersion, last: KeyVersion) {
    let record = mutate(backend, id, &Mutation::DestroyVersion(sure(old))).await.unwrap().record;
    let version = record.version(old).unwrap();
    assert_eq!(version.state, VersionState::Destroyed);
    assert!(version.material.is_none());
    assert!(!mutate(backend, id, &Mutation::DestroyVersion(sure(old))).await.unwrap().changed);
    let back = mutate(backend, id, &Mutation::Reinstate(old)).await;
    assert!(matches!(back, Err(Error::Key(KeyError::VersionDestroyed(_)))));
    let current = mutate(backend, id, &Mutation::DestroyVersion(sure(last))).await;
    assert!(matches!(current, Err(Error::Key(KeyError::CurrentVersion(_)))));
}

async fn keys_come_change_and_go(backend: &mut dyn Backend) {
    let id = KeyId::new("tenant/a-1.x_y").unwrap();
    let tags = BTreeMap::from([("team".to_owned(), "a \"b\" \u{e9}".to_owned())]);
    let (description, policy) = ("for tests\n".to_owned(), KeyPolicy::new());
    let create = Mutation::Create { description, tags: tags.clone(), policy };
    assert!(mutate(backend, &id, &create).await.unwrap().changed);
    let again = mutate(backend, &id, &create).await;
    assert!(matches!(again, Err(Error::Key(KeyError::AlreadyExists))));
    assert_eq!(backend.records()[&id].tags, tags);
    for (mutation, state) in [
        (Mutation::Disable, KeyState::Disabled),
        (Mutation::Enable, KeyState::Enabled),
        (Mutation::Untag(vec!["team".to_owned()]), KeyState::Enabled),
        (Mutation::SetDescription(String::new()), KeyState::Enabled),
    ] {
        let record = mutate(backend, &id, &mutation).await.unwrap().record;
        assert_eq!(record.state, state);
        assert!(!mutate(backend, &id, &mutation).await.unwrap().changed);
    }
    assert!(backend.records()[&id].tags.is_empty());
    mutate(backend, &id, &Mutation::ScheduleDeletion { days: 7 }).await.unwrap();
    mutate(backend, &id, &Mutation::CancelDeletion).await.unwrap();
    mutate(backend, &id, &Mutation::ScheduleDeletion { days: 7 }).await.unwrap();
    let early = mutate(backend, &id, &Mutation::Destroy).await;
    assert!(matches!(early, Err(Error::Key(KeyError::InvalidState { .. }))));
    let after = NOW.plus(core::time::Duration::from_secs(7 * 86_400));
    let gone = backend.mutate(&id, &Mutation::Destroy, after).await.unwrap().record;
    assert_eq!(gone.state, KeyState::Destroyed);
    let back = mutate(backend, &id, &Mutation::CancelDeletion).await;
    assert!(matches!(back, Err(Error::Key(KeyError::Destroyed))));
    let made_again = mutate(backend, &id, &create).await;
    assert!(matches!(made_again, Err(Error::Key(KeyError::AlreadyExists))));
}

async fn nothing_but_uses_can_be_changed(backend: &mut dyn Backend, id: &KeyId) {
    let create = Mutation::Create {
        description: String::new(),
        tags: BTreeMap::new(),
        policy: KeyPolicy::new(),
    };
    let other = KeyId::new("another").unwrap();
    assert!(is_unsupported(mutate(backend, &other, &create).await));
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
        assert!(is_unsupported(mutate(backend, id, &mutation).await), "{mutation:?}");
    }
    assert_eq!(backend.records().len(), 1);
}

pub(crate) fn material_is_there_exactly_if_the_flags_say_so(backend: &dyn Backend) {
    let in_process = backend.capabilities().in_process;
    for version in backend.records().values().flat_map(|record| &record.versions) {
        let expected = in_process && version.state != VersionState::Destroyed;
        assert_eq!(version.material.is_some(), expected);
    }
}

/// The suite on a backend of this process, which waits for nothing.
fn in_process(backend: &mut dyn Backend, id: &KeyId) {
    holds(backend, id).now_or_never().expect("in-process backends do not wait");
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
    in_process(&mut open(&config).unwrap(), &id("default"));
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
    in_process(&mut backend, &id);
    let tag = backend.records()[&id].current().unwrap().tag;
    assert_eq!(tag.to_string(), "d909af377171f58a");
    // Counts are the process's, as the flags say.
    let again = StaticBackend::open(&config).unwrap();
    assert_eq!(again.records()[&id].current().unwrap().uses_reserved, 0);
}

#[cfg(feature = "vault")]
#[tokio::test]
async fn the_vault_backends_keep_the_contract() {
    use super::vault::tests::{BOTH, Site, id};

    for engine in BOTH {
        let Some(site) = Site::with_store(engine).await else { return };
        let mut backend = site.open().await;
        holds(&mut *backend, &id("default")).await;
        // And again as another node reads it.
        let other = site.open().await;
        material_is_there_exactly_if_the_flags_say_so(&*other);
        for (id, key) in backend.records() {
            let there = &other.records()[id];
            assert_eq!(there.describe(), key.describe());
            let versions = |key: &crate::key::KeyRecord| {
                let versions = key.versions.iter().map(|it| (it.version, it.tag, it.state));
                versions.collect::<Vec<_>>()
            };
            assert_eq!(versions(there), versions(key));
        }
    }
}

fn sure(version: KeyVersion) -> ConfirmedVersion {
    ConfirmedVersion::new(version, version).unwrap()
}
