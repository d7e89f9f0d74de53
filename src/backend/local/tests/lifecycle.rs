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

#[test]
fn a_passphrase_opens_a_keystore_and_gives_way_to_a_key_file() {
    let dir = scratch();
    let passphrase = |text: &str| RootKey::Passphrase(Arc::new(text.to_owned().into()));
    let config = LocalConfig { root_key: passphrase("correct horse"), ..anchored(dir.path()) };
    init(&config, InitOptions::new(NOW)).unwrap();
    mutate(&mut open(&config).unwrap(), "a", &create()).unwrap();
    let keys = essences(&open(&config).unwrap());
    let wrong = LocalConfig { root_key: passphrase("correct house"), ..config.clone() };
    assert_eq!(problem(open(&wrong)), (KeystoreProblem::WrongRootKey, "keystore".to_owned()));
    let empty = LocalConfig { root_key: passphrase(""), ..config.clone() };
    assert!(matches!(problem(open(&empty)).0, KeystoreProblem::RootKey(_)));

    let path = dir.path().join("root.key");
    create_root_key_file(&path).unwrap();
    assert_eq!(
        problem(create_root_key_file(&path)),
        (KeystoreProblem::AlreadyInitialised, "root.key".to_owned())
    );
    let record = fs::read(config.directory.join("ka.key")).unwrap();
    change_root_key(&config, &RootKey::File(path.clone())).unwrap();
    assert_eq!(fs::read(config.directory.join("ka.key")).unwrap(), record);
    let moved = LocalConfig { root_key: RootKey::File(path), ..config.clone() };
    assert_eq!(essences(&open(&moved).unwrap()), keys);
    assert!(matches!(problem(open(&config)).0, KeystoreProblem::RootKey(_)));
}

#[test]
fn nothing_of_a_key_stands_in_its_file_in_the_clear() {
    let dir = scratch();
    let config = anchored(dir.path());
    init(&config, InitOptions::new(NOW)).unwrap();
    let mut backend = open(&config).unwrap();
    mutate(&mut backend, "a", &create()).unwrap();
    let material = backend.records()["a"].current().unwrap().material.clone().unwrap();
    for (path, bytes) in contents(dir.path()) {
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(material.expose()), "{}", path.display());
        assert!(!holds(b"made by a test"), "{}", path.display());
    }
}

#[test]
fn a_destroyed_key_leaves_a_tombstone_that_keeps_its_id_taken() {
    let dir = scratch();
    let config = anchored(dir.path());
    init(&config, InitOptions::new(NOW)).unwrap();
    let mut backend = open(&config).unwrap();
    mutate(&mut backend, "a", &create()).unwrap();
    mutate(&mut backend, "a", &Mutation::ScheduleDeletion { days: 7 }).unwrap();
    let later = NOW.plus(core::time::Duration::from_secs(7 * 86_400));
    mutate_at(&mut backend, "a", &Mutation::Destroy, later).unwrap();
    drop(backend);
    let mut backend = open(&config).unwrap();
    let record = &backend.records()["a"];
    assert_eq!(record.state, crate::key::KeyState::Destroyed);
    assert!(record.versions.iter().all(|version| version.material.is_none()));
    let again = mutate(&mut backend, "a", &create());
    assert!(matches!(again, Err(Error::Key(KeyError::AlreadyExists))));
}

#[test]
fn longest_ids_and_ids_that_read_like_the_keystores_own_files_have_files() {
    let dir = scratch();
    let config = anchored(dir.path());
    init(&config, InitOptions::new(NOW)).unwrap();
    let mut backend = open(&config).unwrap();
    let ids = ["eystore".to_owned(), "-".repeat(126), "/-".repeat(64).split_off(1)];
    for id in &ids {
        mutate(&mut backend, id, &create()).unwrap();
    }
    let before = essences(&backend);
    drop(backend);
    assert_eq!(essences(&open(&config).unwrap()), before);
}
