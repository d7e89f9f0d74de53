//! The rules, one by one, and what holds whatever is asked in whatever order.

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::secret::Secret;

const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

fn day(n: u64) -> WallTime {
    NOW.plus(Duration::from_secs(n * 86_400))
}

fn id() -> KeyId {
    KeyId::new("tenant/a").unwrap()
}

fn v(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

/// Tags and material that differ for each version made.
#[derive(Default)]
struct Source(u64);

impl Source {
    fn draw(&mut self) -> Result<NewVersion, KeyError> {
        self.0 += 1;
        let mut material = Secret::zeroes();
        material.expose_mut()[..8].copy_from_slice(&self.0.to_be_bytes());
        Ok(NewVersion {
            tag: VersionTag::from_bytes(self.0.to_be_bytes()),
            material: Some(Arc::new(material)),
        })
    }
}

fn create() -> Mutation {
    let tags = BTreeMap::from([("owner".to_owned(), "me".to_owned())]);
    Mutation::Create { description: "first".to_owned(), tags, policy: KeyPolicy::new() }
}

/// A key after `mutations`, each of which must be allowed.
fn key(mutations: &[Mutation]) -> KeyRecord {
    let mut source = Source::default();
    let mut key = None;
    for mutation in [create()].iter().chain(mutations) {
        match apply(key.as_ref(), &id(), mutation, NOW, || source.draw()) {
            Ok(Outcome::Changed(changed)) => key = Some(changed),
            Ok(Outcome::Unchanged) => {}
            Err(error) => panic!("{mutation:?}: {error}"),
        }
    }
    key.unwrap()
}

fn on(key: &KeyRecord, mutation: &Mutation, now: WallTime) -> Result<Outcome, KeyError> {
    // Far from the numbers that `key` drew.
    apply(Some(key), &id(), mutation, now, || Source(1000).draw())
}

fn changed(key: &KeyRecord, mutation: &Mutation) -> KeyRecord {
    match on(key, mutation, NOW) {
        Ok(Outcome::Changed(key)) => key,
        Ok(Outcome::Unchanged) => panic!("{mutation:?} changed nothing"),
        Err(error) => panic!("{mutation:?}: {error}"),
    }
}

fn is_unchanged(key: &KeyRecord, mutation: &Mutation) -> bool {
    matches!(on(key, mutation, NOW), Ok(Outcome::Unchanged))
}

fn refused(key: &KeyRecord, mutation: &Mutation) -> KeyError {
    match on(key, mutation, NOW) {
        Err(error) => error,
        Ok(_) => panic!("{mutation:?} was allowed"),
    }
}

fn schedule(days: u32) -> Mutation {
    Mutation::ScheduleDeletion { days }
}

#[test]
fn a_new_key_is_enabled_with_one_version_of_its_own() {
    let key = key(&[]);
    assert_eq!(key.state, KeyState::Enabled);
    assert_eq!((key.id.as_str(), key.created, key.open_only), ("tenant/a", NOW, false));
    assert_eq!(key.versions.len(), 1);
    let first = key.current().unwrap();
    assert_eq!((first.version, first.state), (KeyVersion::FIRST, VersionState::Active));
    assert_eq!((first.uses_reserved, first.created), (0, NOW));
    assert_eq!(refused(&key, &create()), KeyError::AlreadyExists);
}

#[test]
fn without_a_key_only_creating_is_possible() {
    let mutation = [Mutation::Rotate, Mutation::Enable, schedule(7), Mutation::Destroy];
    for mutation in mutation {
        let never = || -> Result<NewVersion, KeyError> { panic!("nothing is to be drawn") };
        let answer = apply(None, &id(), &mutation, NOW, never);
        assert!(matches!(answer, Err(KeyError::NotFound)));
    }
}

#[test]
fn a_failing_source_of_randomness_makes_no_version() {
    let fail = || Err(KeyError::LimitExceeded("randomness"));
    assert!(apply(None, &id(), &create(), NOW, fail).is_err());
    assert!(apply(Some(&key(&[])), &id(), &Mutation::Rotate, NOW, fail).is_err());
}

/// Which changes of state are allowed from where (AWS KMS, "Key states of AWS KMS keys").
#[test]
fn states_change_as_in_aws_kms() {
    let enabled = key(&[]);
    let disabled = key(&[Mutation::Disable]);
    let pending = key(&[schedule(7)]);
    let destroyed = match on(&pending, &Mutation::Destroy, day(7)) {
        Ok(Outcome::Changed(key)) => key,
        _ => panic!("its window has passed"),
    };

    assert!(is_unchanged(&enabled, &Mutation::Enable));
    assert!(is_unchanged(&disabled, &Mutation::Disable));
    assert_eq!(changed(&enabled, &Mutation::Disable).state, KeyState::Disabled);
    assert_eq!(changed(&disabled, &Mutation::Enable).state, KeyState::Enabled);

    for (key, mutations) in [
        (&enabled, vec![Mutation::CancelDeletion, Mutation::Destroy]),
        (&disabled, vec![Mutation::CancelDeletion, Mutation::Destroy, Mutation::Rotate]),
        (&pending, vec![Mutation::Enable, Mutation::Disable, Mutation::Rotate, schedule(8)]),
    ] {
        for mutation in mutations {
            let expected =
                KeyError::InvalidState { state: key.state.name(), operation: mutation.name() };
            assert_eq!(refused(key, &mutation), expected);
        }
    }
    for mutation in every_mutation() {
        let expected = match mutation {
            Mutation::Create { .. } => KeyError::AlreadyExists,
            _ => KeyError::Destroyed,
        };
        assert_eq!(refused(&destroyed, &mutation), expected);
    }
}

#[test]
fn a_deletion_takes_seven_to_thirty_days_and_not_a_moment_less() {
    let enabled = key(&[]);
    for days in [0, 6, 31, u32::MAX] {
        assert!(matches!(refused(&enabled, &schedule(days)), KeyError::Invalid { .. }));
    }
    for days in [7, 30] {
        let pending = changed(&enabled, &schedule(days));
        let at = day(u64::from(days));
        assert_eq!(pending.state, KeyState::PendingDeletion { at, was_enabled: true });
        let early = WallTime::from_millis(at.as_millis() - 1);
        assert!(on(&pending, &Mutation::Destroy, early).is_err());
        assert!(matches!(on(&pending, &Mutation::Destroy, at), Ok(Outcome::Changed(_))));
    }
}

#[test]
fn cancelling_a_deletion_brings_back_the_state_before() {
    let enabled = key(&[schedule(7), Mutation::CancelDeletion]);
    assert_eq!(enabled.state, KeyState::Enabled);
    let disabled = key(&[Mutation::Disable, schedule(7), Mutation::CancelDeletion]);
    assert_eq!(disabled.state, KeyState::Disabled);
}

#[test]
fn a_destroyed_key_is_a_tombstone_without_material_that_keeps_its_tags() {
    let pending = key(&[Mutation::Rotate, Mutation::Retire(v(1)), schedule(7)]);
    let Ok(Outcome::Changed(tombstone)) = on(&pending, &Mutation::Destroy, day(8)) else {
        panic!("its window has passed")
    };
    assert_eq!(tombstone.state, KeyState::Destroyed);
    for (before, after) in pending.versions.iter().zip(&tombstone.versions) {
        assert_eq!((before.version, before.tag), (after.version, after.tag));
        assert_eq!(after.state, VersionState::Destroyed);
        assert!(after.material.is_none());
    }
}

#[test]
fn rotation_adds_a_version_and_ends_open_only() {
    let mut before = key(&[]);
    before.open_only = true;
    let after = changed(&before, &Mutation::Rotate);
    assert!(!after.open_only);
    assert_eq!(after.current().unwrap().version, v(2));
    assert!(Arc::ptr_eq(&after.versions[0], &before.versions[0]));
    for other in [Mutation::Disable, schedule(7), Mutation::SetDescription("x".to_owned())] {
        assert!(changed(&before, &other).open_only, "{other:?}");
    }
}

#[test]
fn a_key_has_at_most_ten_thousand_versions() {
    let rotations = vec![Mutation::Rotate; 9_999];
    let full = key(&rotations);
    assert_eq!(full.versions.len(), 10_000);
    assert!(matches!(refused(&full, &Mutation::Rotate), KeyError::LimitExceeded(_)));
}

#[test]
fn versions_are_retired_reinstated_and_destroyed_but_never_the_current_one() {
    use Mutation::{DestroyVersion, Reinstate, Retire};
    let key = key(&[Mutation::Rotate, Mutation::Rotate]);
    let state = |key: &KeyRecord, number| key.version(v(number)).unwrap().state;

    let retired = changed(&key, &Retire(v(1)));
    assert_eq!(state(&retired, 1), VersionState::Retired);
    assert!(retired.version(v(1)).unwrap().material.is_some());
    assert!(is_unchanged(&retired, &Retire(v(1))));
    assert_eq!(state(&changed(&retired, &Reinstate(v(1))), 1), VersionState::Active);
    assert!(is_unchanged(&key, &Reinstate(v(1))));

    for start in [&key, &retired] {
        let destroyed = changed(start, &DestroyVersion(sure(1)));
        assert_eq!(state(&destroyed, 1), VersionState::Destroyed);
        assert!(destroyed.version(v(1)).unwrap().material.is_none());
        assert!(is_unchanged(&destroyed, &DestroyVersion(sure(1))));
        for gone in [Retire(v(1)), Reinstate(v(1)), reserve(1, 9)] {
            assert_eq!(refused(&destroyed, &gone), KeyError::VersionDestroyed(1));
        }
    }
    for current in [Retire(v(3)), DestroyVersion(sure(3))] {
        assert_eq!(refused(&key, &current), KeyError::CurrentVersion(3));
    }
    for missing in [Retire(v(4)), DestroyVersion(sure(4)), Reinstate(v(4)), reserve(4, 1)] {
        assert_eq!(refused(&key, &missing), KeyError::VersionNotFound(4));
    }
}

fn reserve(number: u32, up_to: u64) -> Mutation {
    Mutation::ReserveUses { version: v(number), up_to }
}

#[test]
fn uses_grow_up_to_two_to_the_thirty_second() {
    let key = key(&[reserve(1, 100)]);
    assert_eq!(key.current().unwrap().uses_reserved, 100);
    assert!(is_unchanged(&key, &reserve(1, 99)));
    let full = changed(&key, &reserve(1, 1 << 32));
    assert_eq!(full.current().unwrap().uses_reserved, 1 << 32);
    assert_eq!(refused(&full, &reserve(1, (1 << 32) + 1)), KeyError::UsesExhausted);
}

#[test]
fn labels_have_limits_and_changing_nothing_is_no_change() {
    let base = key(&[]);
    let text = |text: &str| Mutation::SetDescription(text.to_owned());
    assert!(is_unchanged(&base, &text("first")));
    assert_eq!(changed(&base, &text("a\n\tb")).description, "a\n\tb");
    changed(&base, &text(&"x".repeat(8192)));
    for bad in ["x".repeat(8193), "\u{1b}[2J".to_owned(), "\0".to_owned()] {
        assert!(matches!(refused(&base, &text(&bad)), KeyError::Invalid { .. }));
    }

    let tag = |name: &str, value: &str| {
        Mutation::Tag(BTreeMap::from([(name.to_owned(), value.to_owned())]))
    };
    assert!(is_unchanged(&base, &tag("owner", "me")));
    assert_eq!(changed(&base, &tag("owner", "you")).tags["owner"], "you");
    changed(&base, &tag(&"n".repeat(128), &"v".repeat(256)));
    let (name, value) = ("n".repeat(129), "v".repeat(257));
    for (name, value) in [("", "v"), (&*name, "v"), ("n", &*value), ("n\n", "v"), ("n", "\u{7}")] {
        assert!(matches!(refused(&base, &tag(name, value)), KeyError::Invalid { .. }));
    }
    let tags =
        |count| Mutation::Tag((0..count).map(|n| (format!("t{n}"), String::new())).collect());
    assert_eq!(changed(&base, &tags(49)).tags.len(), 50);
    assert!(matches!(refused(&base, &tags(50)), KeyError::LimitExceeded(_)));
    let untag = |name: &str| Mutation::Untag(vec![name.to_owned()]);
    assert!(is_unchanged(&base, &untag("other")));
    assert!(changed(&base, &untag("owner")).tags.is_empty());
}

#[test]
fn policies_have_limits() {
    let base = key(&[]);
    let set = |change: fn(&mut KeyPolicy)| {
        let mut policy = KeyPolicy::new();
        change(&mut policy);
        Mutation::SetPolicy(policy)
    };
    assert!(is_unchanged(&base, &set(|_| ())));
    let hour = set(|p| p.rotate_after = Some(Duration::from_secs(3600)));
    assert!(changed(&base, &hour).policy.rotate_after.is_some());
    changed(&base, &set(|p| p.rotate_at_uses = Some(1 << 32)));
    for bad in [
        set(|p| p.rotate_at_uses = Some(0)),
        set(|p| p.rotate_at_uses = Some((1 << 32) + 1)),
        set(|p| p.rotate_after = Some(Duration::from_secs(3599))),
        set(|p| p.rotate_after = Some(Duration::ZERO)),
    ] {
        assert!(matches!(refused(&base, &bad), KeyError::Invalid { .. }), "{bad:?}");
    }
}

#[test]
fn a_key_pending_deletion_is_kept_or_destroyed_and_nothing_else() {
    let pending = key(&[Mutation::Rotate, schedule(7)]);
    for mutation in every_mutation() {
        let outcome = on(&pending, &mutation, day(7));
        match mutation {
            Mutation::CancelDeletion | Mutation::Destroy | Mutation::ReserveUses { .. } => {
                assert!(matches!(outcome, Ok(Outcome::Changed(_))), "{mutation:?}");
            }
            Mutation::Create { .. } => assert!(matches!(outcome, Err(KeyError::AlreadyExists))),
            refused => {
                let Err(KeyError::InvalidState { state, operation }) = outcome else {
                    panic!("{refused:?} is possible");
                };
                assert_eq!((state, operation), ("pending deletion", refused.name()));
            }
        }
    }
}

#[test]
fn what_is_confirmed_was_named_twice() {
    assert_eq!(ConfirmedVersion::new(v(2), v(2)).map(ConfirmedVersion::version), Some(v(2)));
    assert_eq!(ConfirmedVersion::new(v(2), v(1)), None);
}

fn sure(number: u32) -> ConfirmedVersion {
    ConfirmedVersion::new(v(number), v(number)).unwrap()
}

#[test]
fn the_brake_is_what_only_takes_away() {
    let brakes: Vec<_> = every_mutation().into_iter().filter(Mutation::is_brake).collect();
    assert_eq!(brakes, [Mutation::Disable, Mutation::Retire(v(1)), schedule(7)]);
}

fn every_mutation() -> Vec<Mutation> {
    vec![
        Mutation::CancelDeletion,
        create(),
        Mutation::Destroy,
        Mutation::DestroyVersion(sure(1)),
        Mutation::Disable,
        Mutation::Enable,
        Mutation::Reinstate(v(1)),
        reserve(1, 5),
        Mutation::Retire(v(1)),
        Mutation::Rotate,
        schedule(7),
        Mutation::SetDescription("other".to_owned()),
        Mutation::SetPolicy(KeyPolicy::new()),
        Mutation::Tag(BTreeMap::new()),
        Mutation::Untag(Vec::new()),
    ]
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let version = (1..7_u32).prop_map(v);
    prop_oneof![
        2 => Just(Mutation::CancelDeletion),
        1 => Just(create()),
        1 => Just(Mutation::Destroy),
        2 => (1..7_u32).prop_map(|n| Mutation::DestroyVersion(sure(n))),
        1 => Just(Mutation::Disable),
        2 => Just(Mutation::Enable),
        2 => version.clone().prop_map(Mutation::Reinstate),
        3 => (version.clone(), 0..=(1_u64 << 32) + 9)
            .prop_map(|(version, up_to)| Mutation::ReserveUses { version, up_to }),
        2 => version.prop_map(Mutation::Retire),
        4 => Just(Mutation::Rotate),
        1 => (0..40_u32).prop_map(schedule),
        1 => ".{0,5}".prop_map(Mutation::SetDescription),
        1 => ("[a-c]?", ".{0,3}").prop_map(|(n, v)| Mutation::Tag(BTreeMap::from([(n, v)]))),
        1 => "[a-c]".prop_map(|name| Mutation::Untag(vec![name])),
    ]
}

fn check_invariants(key: &KeyRecord) -> Result<(), TestCaseError> {
    prop_assert!(!key.versions.is_empty());
    for (version, number) in key.versions.iter().zip(1..) {
        prop_assert_eq!(version.version.number(), number);
        let destroyed = version.state == VersionState::Destroyed;
        prop_assert_eq!(version.material.is_none(), destroyed);
        prop_assert!(version.uses_reserved <= USES_PER_VERSION_MAX);
        if key.state == KeyState::Destroyed {
            prop_assert!(destroyed);
        }
    }
    if key.state != KeyState::Destroyed {
        prop_assert_eq!(key.current().unwrap().state, VersionState::Active);
    }
    let mut tags: Vec<_> = key.versions.iter().map(|v| *v.tag.as_bytes()).collect();
    tags.sort_unstable();
    tags.dedup();
    prop_assert_eq!(tags.len(), key.versions.len());
    prop_assert!(key.tags.len() <= TAGS_MAX);
    Ok(())
}

/// What no single step may do.
fn check_step(
    before: &KeyRecord,
    after: &KeyRecord,
    mutation: &Mutation,
) -> Result<(), TestCaseError> {
    prop_assert!(before.state != KeyState::Destroyed);
    prop_assert_eq!((&before.id, before.created), (&after.id, after.created));
    let added = after.versions.len() - before.versions.len();
    prop_assert_eq!(added, usize::from(*mutation == Mutation::Rotate));
    for (old, new) in before.versions.iter().zip(&after.versions) {
        prop_assert_eq!((old.version, old.tag), (new.version, new.tag));
        prop_assert_eq!(old.created, new.created);
        prop_assert!(old.uses_reserved <= new.uses_reserved);
        match (&old.material, &new.material) {
            (Some(old), Some(new)) => prop_assert!(Arc::ptr_eq(old, new)),
            (Some(_), None) => {
                prop_assert!(matches!(mutation, Mutation::Destroy | Mutation::DestroyVersion(_)))
            }
            (None, None) => {}
            (None, Some(_)) => return Err(TestCaseError::fail("material came back")),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_is_asked_in_whatever_order_the_key_stays_sound(
        steps in proptest::collection::vec((mutations(), 0..20_u64), 1..60),
    ) {
        let mut source = Source::default();
        let mut key: Option<KeyRecord> = None;
        let mut today = 0;
        for (mutation, days) in steps {
            today += days;
            let draws = source.0;
            let outcome = apply(key.as_ref(), &id(), &mutation, day(today), || source.draw());
            let outcome: Result<Outcome, KeyError> = outcome;
            let makes = matches!(mutation, Mutation::Create { .. } | Mutation::Rotate);
            prop_assert!(source.0 - draws <= u64::from(makes));
            let Ok(Outcome::Changed(after)) = outcome else { continue };
            check_invariants(&after)?;
            if let Some(before) = &key {
                check_step(before, &after, &mutation)?;
            }
            key = Some(after);
        }
    }
}
