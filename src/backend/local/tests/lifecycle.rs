//! A healthy keystore: made, opened, changed, closed, opened again.

use super::*;

#[test]
fn what_was_changed_is_there_after_opening_again() {
    let dir = scratch();
    let config = anchored(dir.path());
    let mut options = InitOptions::new(NOW);
    options.default_key = Some(id("default"));
    let info = init(&config, options).unwrap();
    assert_eq!((info.keys, info.generation, info.anchored), (1, 1, true));

    let mut backend = open(&config).unwrap();
    mutate(&mut backend, "tenant/a", &create()).unwrap();
    mutate(&mut backend, "tenant/a", &Mutation::Rotate).unwrap();
    mutate(&mut backend, "tenant/a", &Mutation::Retire(version(1))).unwrap();
    mutate(&mut backend, "default", &Mutation::Disable).unwrap();
    assert!(!mutate(&mut backend, "default", &Mutation::Disable).unwrap().changed);
    let before = essences(&backend);
    assert_eq!(backend.info().generation, 5);
    drop(backend);

    let backend = open(&config).unwrap();
    assert_eq!(essences(&backend), before);
    assert_eq!(backend.info().id, info.id);
}
