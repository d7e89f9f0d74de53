//! Keystores that somebody or something has changed: each is refused with its own error, the error
//! names the file, and nothing is changed on disk.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A keystore with two keys, of which one has three versions.
struct Victim {
    dir: TempDir,
    config: LocalConfig,
    before: BTreeMap<String, String>,
}

impl Victim {
    fn new() -> Self {
        let dir = scratch();
        let config = LocalConfig { anchor: Anchor::None, ..anchored(dir.path()) };
        init(&config, InitOptions::new(NOW)).unwrap();
        let mut backend = open(&config).unwrap();
        mutate(&mut backend, "a", &create()).unwrap();
        mutate(&mut backend, "b", &create()).unwrap();
        mutate(&mut backend, "a", &Mutation::Rotate).unwrap();
        mutate(&mut backend, "a", &Mutation::Rotate).unwrap();
        let before = essences(&backend);
        Self { dir, config, before }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.config.directory.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    fn add(&self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        self.chmod(name, 0o600);
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Opening is refused and leaves everything as it is.
    fn refused(&self) -> (KeystoreProblem, String) {
        let before = contents(self.dir.path());
        let refused = problem(open(&self.config));
        assert!(contents(self.dir.path()) == before, "{refused:?} changed the directory");
        refused
    }

    fn is_whole(&self) {
        let mut backend = open(&self.config).unwrap();
        assert_eq!(essences(&backend), self.before);
        mutate(&mut backend, "b", &Mutation::ReserveUses { version: version(1), up_to: 1 })
            .unwrap();
        drop(backend);
        open(&self.config).unwrap();
    }
}

fn named(problem: KeystoreProblem, file: &str) -> (KeystoreProblem, String) {
    (problem, file.to_owned())
}

#[test]
fn guideline_t4_a_bit_flipped_in_any_byte_is_found_in_its_file() {
    let victim = Victim::new();
    for name in ["keystore", "manifest", "ka.key"] {
        let whole = victim.read(name);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            victim.write(name, &flipped);
            let (problem, file) = victim.refused();
            assert_eq!(file, name, "byte {at}: {problem:?}");
            let known = matches!(
                problem,
                KeystoreProblem::Damaged(_)
                    | KeystoreProblem::UnknownFormat(_)
                    | KeystoreProblem::Truncated
                    | KeystoreProblem::Foreign
            );
            assert!(known, "{name}, byte {at}: {problem:?}");
        }
        victim.write(name, &whole);
    }
    victim.is_whole();
}

#[test]
fn guideline_t4_a_file_cut_at_any_byte_is_found() {
    let victim = Victim::new();
    for name in ["keystore", "ka.key"] {
        let whole = victim.read(name);
        for len in 0..whole.len() {
            victim.write(name, &whole[..len]);
            assert_eq!(victim.refused(), named(KeystoreProblem::Truncated, name), "at {len}");
        }
        victim.write(name, &[whole.as_slice(), b"x"].concat());
        let (problem, file) = victim.refused();
        assert_eq!(file, name);
        let longer = [KeystoreProblem::TooLarge, KeystoreProblem::Damaged("length")];
        assert!(longer.contains(&problem), "{problem:?}");
        victim.write(name, &whole);
    }
    victim.is_whole();
}

/// Cutting off the last `done` is what a power cut does, and loses nothing: anything more hides a
/// change, which shows in the file that was changed.
#[test]
fn guideline_t4_a_manifest_cut_at_any_byte_hides_no_change() {
    const DONE_BYTES: usize = 41;
    let victim = Victim::new();
    let whole = victim.read("manifest");
    for len in 0..whole.len() - DONE_BYTES {
        victim.write("manifest", &whole[..len]);
        let (problem, file) = victim.refused();
        let known = match problem {
            KeystoreProblem::Truncated | KeystoreProblem::Damaged(_) => file == "manifest",
            KeystoreProblem::NotTheLatest | KeystoreProblem::Foreign => file.ends_with(".key"),
            _ => false,
        };
        assert!(known, "at {len}: {problem:?} in {file}");
    }
    for len in whole.len() - DONE_BYTES..=whole.len() {
        victim.write("manifest", &whole[..len]);
        assert_eq!(essences(&open(&victim.config).unwrap()), victim.before, "at {len}");
        assert_eq!(victim.read("manifest"), whole);
    }
    victim.write("manifest", &[whole.as_slice(), &[7; 60]].concat());
    assert_eq!(victim.refused(), named(KeystoreProblem::Damaged("log entry"), "manifest"));
    victim.write("manifest", &whole);
    victim.is_whole();
}

#[test]
fn guideline_t4_exchanged_and_older_records_are_not_the_latest() {
    let victim = Victim::new();
    let (a, b) = (victim.read("ka.key"), victim.read("kb.key"));
    victim.write("ka.key", &b);
    victim.write("kb.key", &a);
    assert_eq!(victim.refused(), named(KeystoreProblem::NotTheLatest, "ka.key"));
    victim.write("ka.key", &a);
    assert_eq!(victim.refused(), named(KeystoreProblem::NotTheLatest, "kb.key"));
    victim.write("kb.key", &b);

    // The very last change of all, put back by itself.
    let mut backend = open(&victim.config).unwrap();
    mutate(&mut backend, "a", &Mutation::Disable).unwrap();
    drop(backend);
    let disabled = victim.read("ka.key");
    victim.write("ka.key", &a);
    assert_eq!(victim.refused(), named(KeystoreProblem::NotTheLatest, "ka.key"));
    victim.write("ka.key", &disabled);
    open(&victim.config).unwrap();
}

#[test]
fn guideline_t4_an_older_header_or_manifest_put_back_is_found() {
    let victim = Victim::new();
    let (header, manifest) = (victim.read("keystore"), victim.read("manifest"));
    change_root_key(&victim.config, &root(9)).unwrap();
    change_root_key(&LocalConfig { root_key: root(9), ..victim.config.clone() }, &root(7)).unwrap();
    let newest = victim.read("keystore");
    victim.write("keystore", &header);
    assert_eq!(victim.refused(), named(KeystoreProblem::NotTheLatest, "keystore"));
    victim.write("keystore", &newest);
    victim.write("manifest", &manifest);
    assert_eq!(victim.refused(), named(KeystoreProblem::NotTheLatest, "keystore"));
}

#[test]
fn what_is_removed_is_missing_and_never_made_anew() {
    for name in ["keystore", "manifest", "lock", "ka.key", "kb.key"] {
        let victim = Victim::new();
        fs::remove_file(victim.file(name)).unwrap();
        assert_eq!(victim.refused(), named(KeystoreProblem::Missing, name));
        let again = problem(init(&victim.config, InitOptions::new(NOW)));
        let expected = if name == "keystore" {
            named(KeystoreProblem::Missing, name)
        } else {
            named(KeystoreProblem::AlreadyInitialised, "keys")
        };
        assert_eq!(again, expected);
    }
    let victim = Victim::new();
    fs::remove_dir_all(&victim.config.directory).unwrap();
    assert_eq!(victim.refused(), named(KeystoreProblem::NotInitialised, "keys"));
    Disk::create(&victim.config.directory).unwrap();
    assert_eq!(victim.refused(), named(KeystoreProblem::NotInitialised, "keys"));
}

#[test]
fn guideline_t4_files_of_others_are_refused() {
    let victim = Victim::new();
    let other = Victim::new();
    for (name, bytes) in [
        ("notes.txt", b"hello".to_vec()),
        ("kc.key", victim.read("ka.key")),
        ("root.key", vec![1; 32]),
        (".hidden", Vec::new()),
    ] {
        victim.add(name, &bytes);
        assert_eq!(victim.refused(), named(KeystoreProblem::Foreign, name));
        fs::remove_file(victim.file(name)).unwrap();
    }
    fs::create_dir(victim.file("directory")).unwrap();
    assert_eq!(victim.refused(), named(KeystoreProblem::Foreign, "directory"));
    fs::remove_dir(victim.file("directory")).unwrap();
    // Another keystore's files, even under the same root key.
    for name in ["ka.key", "manifest"] {
        let own = victim.read(name);
        victim.write(name, &other.read(name));
        assert_eq!(victim.refused(), named(KeystoreProblem::Foreign, name));
        victim.write(name, &own);
    }
    victim.is_whole();
}

#[test]
fn what_a_crash_left_is_removed_but_only_if_it_is_a_file() {
    let victim = Victim::new();
    for name in ["record.tmp", "manifest.tmp", "keystore.tmp", "keystore.init"] {
        victim.add(name, b"half a re");
        open(&victim.config).unwrap();
        assert!(!victim.file(name).exists());
        fs::create_dir(victim.file(name)).unwrap();
        assert_eq!(victim.refused(), named(KeystoreProblem::NotAFile, name));
        fs::remove_dir(victim.file(name)).unwrap();
    }
    victim.is_whole();
}

#[test]
fn guideline_s3_modes_that_let_others_in_are_refused_by_name() {
    let victim = Victim::new();
    for name in ["keystore", "manifest", "lock", "ka.key"] {
        for found in [0o644, 0o640, 0o606, 0o700, 0o400, 0o4600] {
            victim.chmod(name, found);
            let mode = KeystoreProblem::Mode { found, expected: 0o600 };
            assert_eq!(victim.refused(), named(mode, name));
        }
        victim.chmod(name, 0o600);
    }
    for found in [0o755, 0o750, 0o701, 0o1700, 0o500] {
        let mode = fs::Permissions::from_mode(found);
        fs::set_permissions(&victim.config.directory, mode).unwrap();
        let mode = KeystoreProblem::Mode { found, expected: 0o700 };
        assert_eq!(victim.refused(), named(mode, "keys"));
    }
    fs::set_permissions(&victim.config.directory, fs::Permissions::from_mode(0o700)).unwrap();
    victim.is_whole();
}

/// Giving files away takes root; without it the rule itself is tried on what belongs to root.
#[test]
fn guideline_s3_files_of_another_owner_are_refused_by_name() {
    use crate::backend::source::check;
    use rustix::fs::FileType;

    let own = rustix::process::geteuid().as_raw();
    let mut stat = rustix::fs::stat("/dev/shm").or_else(|_| rustix::fs::stat("/")).unwrap();
    stat.st_uid = own + 1;
    let owner = KeystoreProblem::Owner { found: own + 1, expected: own };
    assert_eq!(check(&stat, FileType::Directory, &[]), Err(owner.clone()));
    if own != 0 {
        return;
    }
    let victim = Victim::new();
    for name in ["keystore", "manifest", "lock", "ka.key"] {
        std::os::unix::fs::chown(victim.file(name), Some(1), None).unwrap();
        assert_eq!(victim.refused(), named(owner.clone(), name));
        std::os::unix::fs::chown(victim.file(name), Some(0), None).unwrap();
    }
    std::os::unix::fs::chown(&victim.config.directory, Some(1), None).unwrap();
    assert_eq!(victim.refused(), named(owner, "keys"));
}

#[test]
fn guideline_s3_links_and_other_kinds_of_file_are_refused() {
    let victim = Victim::new();
    for name in ["keystore", "manifest", "lock", "ka.key"] {
        let aside = victim.dir.path().join("aside");
        fs::rename(victim.file(name), &aside).unwrap();
        symlink(&aside, victim.file(name)).unwrap();
        assert_eq!(victim.refused(), named(KeystoreProblem::NotAFile, name));
        fs::remove_file(victim.file(name)).unwrap();
        // Opening a pipe must not wait for somebody to write to it.
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            victim.file(name),
            rustix::fs::Mode::from_raw_mode(0o600),
        )
        .unwrap();
        assert_eq!(problem(open(&victim.config)), named(KeystoreProblem::NotAFile, name));
        fs::remove_file(victim.file(name)).unwrap();
        fs::rename(&aside, victim.file(name)).unwrap();
    }
    let link = victim.dir.path().join("link");
    symlink(&victim.config.directory, &link).unwrap();
    let linked = LocalConfig { directory: link, ..victim.config.clone() };
    assert_eq!(problem(open(&linked)), named(KeystoreProblem::NotAFile, "link"));
    victim.is_whole();
}

#[test]
fn guideline_s3_files_are_made_private_whatever_the_umask() {
    // The umask is the process's: a child of its own sets it.
    const JOB: &str = "PORTCULLIS_TEST_UMASK";
    if let Ok(job) = std::env::var(JOB) {
        let (mask, dir) = job.split_once(' ').unwrap();
        rustix::process::umask(u32::from_str_radix(mask, 8).unwrap().into());
        let dir = Path::new(dir);
        create_root_key_file(dir.join("root.key")).unwrap();
        let config = LocalConfig { root_key: RootKey::File(dir.join("root.key")), ..anchored(dir) };
        init(&config, InitOptions::new(NOW)).unwrap();
        mutate(&mut open(&config).unwrap(), "a", &create()).unwrap();
        return;
    }
    for mask in ["0", "777", "027"] {
        let dir = scratch();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let test = std::thread::current().name().unwrap().to_owned();
        child.args(["--exact", &test]).env(JOB, format!("{mask} {}", dir.path().display()));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&dir.path().join("keys")), 0o700, "umask {mask}");
        let files: Vec<_> = contents(dir.path()).into_keys().collect();
        assert_eq!(files.len(), 6, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "umask {mask}: {}", file.display());
        }
    }
}

#[test]
fn a_second_opening_is_refused_in_this_process_and_in_another() {
    const JOB: &str = "PORTCULLIS_TEST_LOCK";
    if let Ok(directory) = std::env::var(JOB) {
        let config = LocalConfig::new(directory, root(7), Anchor::None);
        assert_eq!(problem(open(&config)), named(KeystoreProblem::Locked, "lock"));
        return;
    }
    let victim = Victim::new();
    let held = open(&victim.config).unwrap();
    assert_eq!(victim.refused(), named(KeystoreProblem::Locked, "lock"));
    for refused in [
        accept_rollback(&victim.config).map(drop),
        change_root_key(&victim.config, &root(1)),
        set_anchor(&victim.config).map(drop),
    ] {
        assert_eq!(problem(refused).0, KeystoreProblem::Locked);
    }
    let test = std::thread::current().name().unwrap().to_owned();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &test]).env(JOB, &victim.config.directory);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    drop(held);
    victim.is_whole();
}

#[test]
fn a_wrong_root_key_is_told_from_damage() {
    let victim = Victim::new();
    let wrong = LocalConfig { root_key: root(8), ..victim.config.clone() };
    let before = contents(victim.dir.path());
    assert_eq!(problem(open(&wrong)), named(KeystoreProblem::WrongRootKey, "keystore"));
    let passphrase = Arc::new("correct horse".to_owned().into());
    let passphrase =
        LocalConfig { root_key: RootKey::Passphrase(passphrase), ..victim.config.clone() };
    assert!(matches!(problem(open(&passphrase)).0, KeystoreProblem::RootKey(_)));
    assert!(contents(victim.dir.path()) == before);
    let mut header = victim.read("keystore");
    header[120] ^= 1;
    victim.write("keystore", &header);
    assert_eq!(problem(open(&wrong)), named(KeystoreProblem::Damaged("digest"), "keystore"));
}

#[test]
fn an_unknown_format_version_is_named() {
    let victim = Victim::new();
    for name in ["keystore", "manifest", "ka.key"] {
        let whole = victim.read(name);
        let mut newer = whole.clone();
        newer[4] = 2;
        victim.write(name, &newer);
        assert_eq!(victim.refused(), named(KeystoreProblem::UnknownFormat(2), name));
        victim.write(name, &whole);
    }
}

#[test]
fn files_larger_than_any_of_the_keystore_are_not_read() {
    let victim = Victim::new();
    let bytes = vec![0; crate::limits::RECORD_BYTES_MAX + 1];
    victim.write("ka.key", &bytes);
    assert_eq!(victim.refused(), named(KeystoreProblem::TooLarge, "ka.key"));
}

#[test]
fn an_opening_that_was_superseded_ends() {
    let victim = Victim::new();
    let random = Arc::new(RandomPool::new(1, false));
    let refused = LocalBackend::open(&victim.config, random, &AtomicBool::new(true));
    assert!(matches!(refused, Err(Error::Lifecycle(_))));
    victim.is_whole();
}

#[test]
fn init_never_writes_over_anything() {
    let dir = scratch();
    let config = anchored(dir.path());
    Disk::create(&config.directory).unwrap();
    fs::write(config.directory.join("letter"), "dear").unwrap();
    let refused = problem(init(&config, InitOptions::new(NOW)));
    assert_eq!(refused, named(KeystoreProblem::Foreign, "letter"));
    fs::remove_file(config.directory.join("letter")).unwrap();
    init(&config, InitOptions::new(NOW)).unwrap();
    // Its mark is another keystore's business, too.
    let other = LocalConfig { directory: dir.path().join("other"), ..config.clone() };
    let refused = problem(init(&other, InitOptions::new(NOW)));
    assert_eq!(refused, named(KeystoreProblem::AlreadyInitialised, "mark"));
    let refused = problem(create_root_key_file(dir.path().join("mark")));
    assert_eq!(refused.0, KeystoreProblem::AlreadyInitialised);
    open(&config).unwrap();
}
