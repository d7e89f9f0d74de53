//! Every kind of change, with what must be true of the keystore whatever became of it.

use super::*;
use crate::key::ConfirmedVersion;
use crate::limits::USE_BLOCK_MAX;

/// One change of one keystore.
pub(super) struct Change {
    pub(super) name: &'static str,
    /// Puts the keystore where the change starts.
    prepare: fn(&LocalConfig),
    act: Act,
    /// Checks that the keystore is the old one or the new one, after which it must be usable.
    check: fn(&Case<'_>),
}

/// A keystore after a change that may have been cut off.
pub(super) struct Case<'a> {
    pub(super) config: &'a LocalConfig,
    /// The keys before, by id; empty where there was no keystore.
    pub(super) before: &'a Snapshot,
    /// The keys after a change that was not cut off.
    pub(super) after: &'a Snapshot,
    /// Whether the change was answered as done.
    pub(super) answered: bool,
}

/// The keys of a keystore.
pub(super) type Snapshot = BTreeMap<KeyId, Arc<KeyRecord>>;

pub(super) const CHANGES: [Change; 20] = [
    on_a_key("create", |b| mutate(b, "new", &create())),
    on_a_key("rotate", |b| mutate(b, "key", &Mutation::Rotate)),
    on_a_key("retire", |b| mutate(b, "key", &Mutation::Retire(version(2)))),
    on_a_key("reinstate", |b| mutate(b, "key", &Mutation::Reinstate(version(1)))),
    on_a_key("destroy-version", |b| {
        let sure = ConfirmedVersion::new(version(2), version(2)).unwrap();
        mutate(b, "key", &Mutation::DestroyVersion(sure))
    }),
    on_a_key("disable", |b| mutate(b, "key", &Mutation::Disable)),
    on_a_key("enable", |b| mutate(b, "disabled", &Mutation::Enable)),
    on_a_key("schedule-deletion", |b| mutate(b, "key", &Mutation::ScheduleDeletion { days: 7 })),
    on_a_key("cancel-deletion", |b| mutate(b, "doomed", &Mutation::CancelDeletion)),
    on_a_key("destroy", |b| {
        let later = NOW.plus(core::time::Duration::from_secs(8 * 86_400));
        mutate_at(b, "doomed", &Mutation::Destroy, later)
    }),
    on_a_key("tag", |b| {
        let tags = BTreeMap::from([("tenant".to_owned(), "b".to_owned())]);
        mutate(b, "key", &Mutation::Tag(tags))
    }),
    on_a_key("untag", |b| mutate(b, "key", &Mutation::Untag(vec!["tenant".to_owned()]))),
    on_a_key("set-description", |b| {
        mutate(b, "key", &Mutation::SetDescription("other".to_owned()))
    }),
    on_a_key("set-policy", |b| {
        let mut policy = KeyPolicy::new();
        policy.rotate_at_uses = None;
        mutate(b, "key", &Mutation::SetPolicy(policy))
    }),
    on_a_key("reserve-uses", reserve),
    Change {
        name: "init",
        prepare: |_| (),
        act: Act::Whole(|config| {
            let mut options = InitOptions::new(NOW);
            options.default_key = Some(id("default"));
            init(config, options).map(drop)
        }),
        check: check_init,
    },
    Change {
        name: "accept-rollback",
        prepare: |config| {
            prepare(config);
            let newer = config.directory.with_file_name("newer");
            copy(&config.directory, &newer);
            let newer = LocalConfig { directory: newer, ..config.clone() };
            mutate(&mut open(&newer).unwrap(), "key", &Mutation::Rotate).unwrap();
        },
        act: Act::Whole(|config| accept_rollback(config).map(drop)),
        check: check_accepted,
    },
    Change {
        name: "change-root-key",
        prepare,
        act: Act::Whole(|config| change_root_key(config, &root(9))),
        check: check_root_key,
    },
    Change {
        name: "set-anchor",
        prepare: |config| {
            let bare = LocalConfig { anchor: Anchor::None, ..config.clone() };
            prepare(&bare);
        },
        act: Act::Whole(|config| set_anchor(config).map(drop)),
        check: |case| {
            if open(case.config).is_err() {
                assert!(!case.answered);
                set_anchor(case.config).unwrap();
            }
            check_same(&open(case.config).unwrap(), case.before);
            assert_eq!(problem(set_anchor(case.config)).0, KeystoreProblem::AlreadyInitialised);
        },
    },
    Change {
        name: "compact",
        prepare: |config| {
            prepare(config);
            let mut backend = open(config).unwrap();
            // One short of the least number of changes that is compacted, less those above.
            for n in 0..64 - 8 {
                let version = version(3);
                let up_to = 1 + n;
                mutate(&mut backend, "key", &Mutation::ReserveUses { version, up_to }).unwrap();
            }
        },
        act: Act::Whole(|config| {
            let mut backend = open(config)?;
            for up_to in 5000..5016 {
                let version = version(3);
                mutate(&mut backend, "key", &Mutation::ReserveUses { version, up_to })?;
            }
            Ok(())
        }),
        check: |case| {
            let uses = |keys: &Snapshot| keys[&id("key")].current().unwrap().uses_reserved;
            let backend = open(case.config).unwrap();
            let now = uses(backend.records());
            assert!((5000..=uses(case.after)).contains(&now) || now == uses(case.before));
            assert!(!case.answered || now == uses(case.after));
            let manifest = fs::metadata(case.config.directory.join("manifest")).unwrap();
            assert!(!case.answered || manifest.len() < 10_000, "{}", manifest.len());
        },
    },
];

#[derive(Clone, Copy)]
enum Act {
    /// On an open keystore.
    Key(fn(&mut LocalBackend) -> Result<Mutated, Error>),
    /// On the directory.
    Whole(fn(&LocalConfig) -> Result<(), Error>),
}

const fn on_a_key(
    name: &'static str,
    act: fn(&mut LocalBackend) -> Result<Mutated, Error>,
) -> Change {
    Change { name, prepare, act: Act::Key(act), check: check_key }
}

impl Change {
    pub(super) fn act(&self, config: &LocalConfig) -> Result<(), Error> {
        match self.act {
            Act::Whole(act) => act(config),
            Act::Key(act) => {
                let mut backend = open(config)?;
                let answer = act(&mut backend).map(drop);
                if answer.is_err() {
                    // Whatever failed, nothing more is done with this one.
                    let next = mutate(&mut backend, "key", &Mutation::Rotate);
                    assert_eq!(problem(next).0, KeystoreProblem::Poisoned);
                }
                answer
            }
        }
    }
}

/// A change prepared once, to be tried again and again on copies.
pub(super) struct Trial {
    pub(super) change: &'static Change,
    dir: TempDir,
    before: Snapshot,
    after: Snapshot,
}

impl Trial {
    pub(super) fn new(change: &'static Change) -> Self {
        let dir = scratch();
        let template = dir.path().join("template");
        copy(scratch().path(), &template);
        (change.prepare)(&anchored(&template));
        let mut trial = Self { change, dir, before: Snapshot::new(), after: Snapshot::new() };
        let unanchored = |run: &Path| LocalConfig { anchor: Anchor::None, ..anchored(run) };
        let run = trial.copy();
        if anchored(&run).directory.is_dir() {
            trial.before = open(&unanchored(&run)).unwrap().records().clone();
        }
        change.act(&anchored(&run)).unwrap();
        // Under its new root key, where that was what changed, it has the same keys.
        let after = open(&unanchored(&run)).map(|backend| backend.records().clone());
        trial.after = after.unwrap_or_default();
        trial
    }

    /// The directory of a fresh copy.
    pub(super) fn copy(&self) -> PathBuf {
        let run = self.dir.path().join("run");
        let _ = fs::remove_dir_all(&run);
        copy(&self.dir.path().join("template"), &run);
        run
    }

    /// Checks what the change left in `run`, and that the keystore goes on from there.
    pub(super) fn check(&self, run: &Path, answered: bool) {
        let config = anchored(run);
        (self.change.check)(&Case {
            config: &config,
            before: &self.before,
            after: &self.after,
            answered,
        });
        let mut backend = open(&config).unwrap();
        mutate(&mut backend, "afterwards", &create()).unwrap();
        drop(backend);
        assert!(open(&config).unwrap().records().contains_key("afterwards"));
        let mut names: Vec<_> = contents(&config.directory).into_keys().collect();
        names.retain(|path| path.extension().is_some_and(|ext| ext == "tmp" || ext == "init"));
        assert!(names.is_empty(), "left behind: {names:?}");
    }
}

fn reserve(backend: &mut LocalBackend) -> Result<Mutated, Error> {
    let reserve = Mutation::ReserveUses { version: version(3), up_to: 1 << 17 };
    mutate(backend, "key", &reserve)
}

/// A keystore with keys in every state.
fn prepare(config: &LocalConfig) {
    init(config, InitOptions::new(NOW)).unwrap();
    let mut backend = open(config).unwrap();
    for key in ["key", "disabled", "doomed"] {
        mutate(&mut backend, key, &create()).unwrap();
    }
    mutate(&mut backend, "key", &Mutation::Rotate).unwrap();
    mutate(&mut backend, "key", &Mutation::Rotate).unwrap();
    mutate(&mut backend, "key", &Mutation::Retire(version(1))).unwrap();
    mutate(&mut backend, "disabled", &Mutation::Disable).unwrap();
    mutate(&mut backend, "doomed", &Mutation::ScheduleDeletion { days: 7 }).unwrap();
}

/// What a record says, but for what is drawn at random.
fn shape(record: &KeyRecord) -> String {
    let versions: Vec<_> = record
        .versions
        .iter()
        .map(|v| (v.version, v.created, v.state, v.uses_reserved, v.material.is_some()))
        .collect();
    format!("{:?} {versions:?}", record.describe())
}

fn check_same(backend: &LocalBackend, expected: &Snapshot) {
    assert_eq!(backend.records().len(), expected.len());
    for (id, record) in expected {
        assert_eq!(essence(&backend.records()[id]), essence(record), "{id}");
    }
}

fn check_key(case: &Case<'_>) {
    let backend = open(case.config).unwrap();
    let now = backend.records();
    let changed: Vec<_> = case.after.keys().chain(now.keys()).collect();
    for id in changed {
        let (before, after) = (case.before.get(id), case.after.get(id));
        let text = now.get(id).map(|record| essence(record));
        let is_old = text == before.map(|record| essence(record));
        let is_new = now.get(id).map(|r| shape(r)) == after.map(|r| shape(r));
        assert!(is_old || is_new, "{id}: {text:?}");
        assert!(!case.answered || is_new, "{id} was answered as changed: {text:?}");
        // Whatever the change was, no material turned into other material.
        let Some((before, now)) = before.zip(now.get(id)) else {
            continue;
        };
        for (old, new) in before.versions.iter().zip(&now.versions) {
            assert_eq!(old.tag, new.tag);
            if let (Some(old), Some(new)) = (&old.material, &new.material) {
                assert_eq!(old.expose(), new.expose());
            }
        }
    }
}

fn check_init(case: &Case<'_>) {
    match open(case.config) {
        Ok(backend) => assert!(backend.records().contains_key(&id("default"))),
        Err(Error::Keystore(error)) => {
            assert_eq!(error.problem, KeystoreProblem::NotInitialised);
            assert!(!case.answered);
            let mut options = InitOptions::new(NOW);
            options.default_key = Some(id("default"));
            init(case.config, options).unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    let again = init(case.config, InitOptions::new(NOW));
    assert_eq!(problem(again).0, KeystoreProblem::AlreadyInitialised);
}

fn check_accepted(case: &Case<'_>) {
    if let Err(error) = open(case.config) {
        assert!(!case.answered, "{error}");
        let (problem, _) = problem::<()>(Err(error));
        let known =
            matches!(problem, KeystoreProblem::RolledBack { .. } | KeystoreProblem::AnchorMismatch);
        assert!(known, "{problem:?}");
        accept_rollback(case.config).unwrap();
    }
    let backend = open(case.config).unwrap();
    for (id, record) in backend.records() {
        assert!(record.open_only, "{id}");
        for (old, new) in case.before[id].versions.iter().zip(&record.versions) {
            assert!(new.uses_reserved >= old.uses_reserved + USE_BLOCK_MAX);
            assert_eq!(old.material.is_some(), new.material.is_some());
        }
    }
}

fn check_root_key(case: &Case<'_>) {
    let new = LocalConfig { root_key: root(9), ..case.config.clone() };
    match open(&new) {
        Ok(backend) => {
            check_same(&backend, case.before);
            drop(backend);
            let old = problem(open(case.config));
            assert_eq!(old, (KeystoreProblem::WrongRootKey, "keystore".to_owned()));
            // As the other changes leave it, for the checks that follow.
            change_root_key(&new, &case.config.root_key).unwrap();
        }
        Err(error) => {
            assert!(!case.answered);
            assert_eq!(problem::<()>(Err(error)).0, KeystoreProblem::WrongRootKey);
        }
    }
    check_same(&open(case.config).unwrap(), case.before);
}
