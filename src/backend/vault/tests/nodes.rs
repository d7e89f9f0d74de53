//! Two nodes on one store: what one does the other sees, and of two at once one wins.

use super::*;
use crate::error::{KeyError, VaultError};
use crate::key::{KeyState, KeyVersion};

#[tokio::test]
async fn a_look_finds_what_the_other_node_has_done() {
    for engine in BOTH {
        let Some(site) = Site::with_store(engine).await else { return };
        let (mut one, mut other) = (site.open().await, site.open().await);
        assert!(look(&mut *other).await.is_empty());
        one.mutate(&id("new"), &create(), NOW).await.unwrap();
        one.mutate(&id("default"), &Mutation::Rotate, NOW).await.unwrap();
        let found: Vec<_> = look(&mut *other).await.iter().map(|key| key.id.clone()).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(other.records()["default"].current_number(), KeyVersion::new(2));
        one.mutate(&id("new"), &Mutation::Disable, NOW).await.unwrap();
        look(&mut *other).await;
        assert_eq!(other.records()["new"].state, KeyState::Disabled);
        assert!(look(&mut *other).await.is_empty());
        // A change begins with what Vault holds, however old what is known here is.
        one.mutate(&id("new"), &Mutation::Enable, NOW).await.unwrap();
        let disabled = other.mutate(&id("new"), &Mutation::Disable, NOW).await.unwrap();
        assert!(disabled.changed);
        crate::backend::contract::material_is_there_exactly_if_the_flags_say_so(&*other);
    }
}

#[tokio::test]
async fn of_two_nodes_that_do_the_same_at_once_one_wins() {
    for engine in BOTH {
        let Some(site) = Site::with_store(engine).await else { return };
        let (mut one, mut other) = (site.open().await, site.open().await);
        for round in 0..6 {
            let new = id(&format!("new{round}"));
            let create = create();
            let (a, b) =
                tokio::join!(one.mutate(&new, &create, NOW), other.mutate(&new, &create, NOW),);
            assert_eq!([&a, &b].iter().filter(|it| it.is_ok()).count(), 1, "{engine:?}");
            let lost = a.err().or(b.err()).unwrap();
            assert!(matches!(lost, Error::Key(KeyError::AlreadyExists)), "{lost}");

            let before = site.open().await.records()["default"].current_number().unwrap();
            let default = id("default");
            let (a, b) = tokio::join!(
                one.mutate(&default, &Mutation::Rotate, NOW),
                other.mutate(&default, &Mutation::Rotate, NOW),
            );
            for lost in [&a, &b].into_iter().filter_map(|it| it.as_ref().err()) {
                assert!(matches!(lost, Error::Vault(VaultError::Conflict)), "{lost}");
            }
            let won = [&a, &b].iter().filter(|it| it.is_ok()).count();
            let after = site.open().await.records()["default"].current_number().unwrap();
            assert!(won >= 1);
            if engine == VaultEngine::Kv2 {
                assert_eq!(after.number(), before.number() + u32::try_from(won).unwrap());
            }

            // Changes that agree are carried out one after the other.
            let tag = |name: &str| {
                Mutation::Tag([(name.to_owned(), round.to_string())].into_iter().collect())
            };
            let (left, right) = (tag("left"), tag("right"));
            let (a, b) = tokio::join!(
                one.mutate(&default, &left, NOW),
                other.mutate(&default, &right, NOW),
            );
            assert!(a.is_ok() && b.is_ok());
            let tags = site.open().await.records()["default"].tags.clone();
            let value = round.to_string();
            assert_eq!((tags.get("left"), tags.get("right")), (Some(&value), Some(&value)));
        }
    }
}

#[tokio::test]
async fn no_two_nodes_are_granted_the_same_uses() {
    for engine in BOTH {
        let Some(site) = Site::with_store(engine).await else { return };
        let (mut one, mut other) = (site.open().await, site.open().await);
        let (default, version) = (id("default"), KeyVersion::FIRST);
        let mut grants = Vec::new();
        for _ in 0..5 {
            let more = |backend: &dyn Backend| {
                let grant = backend.records()["default"].current().unwrap().grant.unwrap();
                Mutation::ReserveUses { version, up_to: grant.to + (1 << 20) }
            };
            let (left, right) = (more(&*one), more(&*other));
            let (a, b) = tokio::join!(
                one.mutate(&default, &left, NOW),
                other.mutate(&default, &right, NOW),
            );
            for mutated in [a, b] {
                grants.extend(mutated.unwrap().record.current().unwrap().grant);
            }
        }
        grants.sort_by_key(|grant| grant.from);
        assert!(grants.windows(2).all(|pair| pair[0].to <= pair[1].from), "{grants:?}");
        assert!(grants.iter().all(|grant| grant.from < grant.to));
        // What a new node finds is counted as used.
        let found = site.open().await.records()["default"].current().unwrap().uses_reserved;
        assert!(found >= grants.last().unwrap().to);
    }
}
