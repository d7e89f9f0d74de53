//! Older copies of the whole directory, with and without an anchor.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::*;
use crate::limits::USE_BLOCK_MAX;

/// A keystore, and an older copy of it in `dir/copy`.
fn with_older_copy(config: &LocalConfig, copy_to: &Path) {
    init(config, InitOptions::new(NOW)).unwrap();
    mutate(&mut open(config).unwrap(), "a", &create()).unwrap();
    copy(&config.directory, copy_to);
    let mut backend = open(config).unwrap();
    mutate(&mut backend, "a", &Mutation::Rotate).unwrap();
    mutate(&mut backend, "b", &create()).unwrap();
}

fn put_back(config: &LocalConfig, older: &Path) {
    fs::remove_dir_all(&config.directory).unwrap();
    copy(older, &config.directory);
}

#[test]
fn guideline_t4_an_older_copy_is_refused_with_an_anchor() {
    let dir = scratch();
    let config = anchored(dir.path());
    let older = dir.path().join("copy");
    with_older_copy(&config, &older);
    put_back(&config, &older);
    let before = contents(dir.path());
    let rolled_back = KeystoreProblem::RolledBack { found: 2, anchored: 4 };
    assert_eq!(problem(open(&config)), (rolled_back, "keys".to_owned()));
    assert!(contents(dir.path()) == before);
    // Without one, it cannot be told.
    open(&LocalConfig { anchor: Anchor::None, ..config }).unwrap();
}

#[test]
fn an_older_copy_that_is_accepted_is_open_only_until_it_is_rotated() {
    let dir = scratch();
    let config = anchored(dir.path());
    let older = dir.path().join("copy");
    with_older_copy(&config, &older);
    let newest = open(&config).unwrap().records()["a"].current().unwrap().tag;
    put_back(&config, &older);
    let info = accept_rollback(&config).unwrap();
    assert_eq!(info.generation, 5);

    let mut backend = open(&config).unwrap();
    let record = &backend.records()["a"];
    assert!(record.open_only);
    assert_eq!(record.current().unwrap().uses_reserved, USE_BLOCK_MAX);
    // Another change writes down what accepting implied, rotation alone clears it.
    mutate(&mut backend, "a", &Mutation::Disable).unwrap();
    drop(backend);
    let mut backend = open(&config).unwrap();
    assert!(backend.records()["a"].open_only);
    assert_eq!(backend.records()["a"].current().unwrap().uses_reserved, USE_BLOCK_MAX);
    mutate(&mut backend, "a", &Mutation::Enable).unwrap();
    mutate(&mut backend, "a", &Mutation::Rotate).unwrap();
    drop(backend);
    let backend = open(&config).unwrap();
    let record = &backend.records()["a"];
    assert!(!record.open_only);
    // Two histories have a version 2; their tags tell them apart.
    assert_eq!(record.current().unwrap().version, version(2));
    assert_ne!(record.current().unwrap().tag, newest);
}

#[test]
fn accepting_twice_counts_two_blocks() {
    let dir = scratch();
    let config = anchored(dir.path());
    init(&config, InitOptions::new(NOW)).unwrap();
    mutate(&mut open(&config).unwrap(), "a", &create()).unwrap();
    accept_rollback(&config).unwrap();
    accept_rollback(&config).unwrap();
    let backend = open(&config).unwrap();
    let uses = backend.records()["a"].current().unwrap().uses_reserved;
    assert_eq!(uses, 2 * USE_BLOCK_MAX);
}

#[test]
fn the_lost_history_is_refused_after_an_older_copy_was_accepted() {
    let dir = scratch();
    let config = anchored(dir.path());
    let (older, newer) = (dir.path().join("copy"), dir.path().join("newer"));
    with_older_copy(&config, &older);
    copy(&config.directory, &newer);
    put_back(&config, &older);
    accept_rollback(&config).unwrap();
    put_back(&config, &newer);
    assert_eq!(problem(open(&config)), (KeystoreProblem::AnchorMismatch, "keys".to_owned()));
}

#[test]
fn two_continuations_of_one_copy_are_told_apart() {
    let dir = scratch();
    let config = anchored(dir.path());
    let bare = LocalConfig { anchor: Anchor::None, ..config.clone() };
    let fork = dir.path().join("fork");
    init(&config, InitOptions::new(NOW)).unwrap();
    copy(&config.directory, &fork);
    mutate(&mut open(&config).unwrap(), "a", &create()).unwrap();
    put_back(&config, &fork);
    mutate(&mut open(&bare).unwrap(), "a", &create()).unwrap();
    assert_eq!(problem(open(&config)).0, KeystoreProblem::AnchorMismatch);
}

#[test]
fn a_mark_that_lags_is_no_anchor() {
    let dir = scratch();
    let config = anchored(dir.path());
    let bare = LocalConfig { anchor: Anchor::None, ..config.clone() };
    init(&config, InitOptions::new(NOW)).unwrap();
    for key in ["a", "b"] {
        mutate(&mut open(&bare).unwrap(), key, &create()).unwrap();
    }
    assert_eq!(problem(open(&config)).0, KeystoreProblem::AnchorMismatch);
}

#[test]
fn a_mark_of_another_keystore_or_a_changed_one_is_refused() {
    let dir = scratch();
    let config = anchored(dir.path());
    init(&config, InitOptions::new(NOW)).unwrap();
    let other = LocalConfig {
        directory: dir.path().join("other"),
        anchor: Anchor::File(dir.path().join("other-mark")),
        ..config.clone()
    };
    init(&other, InitOptions::new(NOW)).unwrap();
    let mark = dir.path().join("mark");
    let own = fs::read(&mark).unwrap();
    fs::copy(dir.path().join("other-mark"), &mark).unwrap();
    for refused in [open(&config).map(drop), accept_rollback(&config).map(drop)] {
        assert_eq!(problem(refused), (KeystoreProblem::AnchorMismatch, "mark".to_owned()));
    }
    for at in 0..own.len() {
        let mut flipped = own.clone();
        flipped[at] ^= 0x10;
        fs::write(&mark, &flipped).unwrap();
        let (problem, file) = problem(open(&config));
        assert_eq!(file, "mark", "byte {at}");
        let other_id = (5..21).contains(&at);
        let expected = if other_id {
            KeystoreProblem::AnchorMismatch
        } else {
            KeystoreProblem::Damaged("mark")
        };
        assert_eq!(problem, expected, "byte {at}");
    }
    fs::remove_file(&mark).unwrap();
    assert_eq!(problem(open(&config)), (KeystoreProblem::Missing, "mark".to_owned()));
    set_anchor(&config).unwrap();
    open(&config).unwrap();
}

/// A host that keeps the mark, and can be cut off.
#[derive(Debug, Default)]
struct Host {
    mark: Mutex<Option<Mark>>,
    gone: AtomicBool,
}

impl Host {
    fn reach(&self) -> std::io::Result<()> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AnchorStore for Host {
    fn load(&self) -> std::io::Result<Option<Mark>> {
        self.reach()?;
        Ok(*self.mark.lock().unwrap())
    }

    fn store(&self, mark: &Mark) -> std::io::Result<()> {
        self.reach()?;
        *self.mark.lock().unwrap() = Mark::from_bytes(mark.as_bytes());
        Ok(())
    }
}

#[test]
fn an_anchor_out_of_reach_fails_closed_and_is_caught_up_with_later() {
    let dir = scratch();
    let host = Arc::new(Host::default());
    let config = LocalConfig { anchor: Anchor::Host(host.clone()), ..anchored(dir.path()) };
    init(&config, InitOptions::new(NOW)).unwrap();
    let mut backend = open(&config).unwrap();
    host.gone.store(true, Ordering::SeqCst);
    let refused = mutate(&mut backend, "a", &create());
    assert_eq!(problem(refused).0, KeystoreProblem::AnchorUnavailable);
    let refused = mutate(&mut backend, "b", &create());
    assert_eq!(problem(refused).0, KeystoreProblem::Poisoned);
    drop(backend);
    assert_eq!(problem(open(&config)).0, KeystoreProblem::AnchorUnavailable);
    host.gone.store(false, Ordering::SeqCst);
    // The change was durable before its mark was tried: it is there, and the mark follows.
    let backend = open(&config).unwrap();
    assert!(backend.records().contains_key("a"));
    assert_eq!(host.mark.lock().unwrap().unwrap().generation(), backend.info().generation);
}
