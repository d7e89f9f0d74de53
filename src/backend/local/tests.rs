//! What the tests of the local keystore share.

mod bad_input;
mod changes;
mod codecs;
mod crash;
mod faults;
mod fixture;
mod lifecycle;
mod rollback;
mod size;

use core::sync::atomic::AtomicBool;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use secrecy::SecretBox;
use tempfile::TempDir;

use super::disk::Disk;
use super::*;
use crate::key::{KeyPolicy, KeyVersion};

/// A moment in 2026.
pub(super) const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

/// A directory for keystores, in memory where there is such a thing: syncing costs nothing there.
pub(in crate::backend) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.unwrap()
}

pub(super) fn root(seed: u8) -> RootKey {
    let mut key = [seed; 32];
    key[0] = !seed;
    RootKey::Given(Arc::new(SecretBox::new(Box::new(key))))
}

/// A configuration for `dir/keys` with its anchor file in `dir/mark`.
pub(in crate::backend) fn anchored(dir: &Path) -> LocalConfig {
    let anchor = Anchor::File(dir.join("mark"));
    LocalConfig::new(dir.join("keys"), root(7), anchor)
}

pub(in crate::backend) fn open(config: &LocalConfig) -> Result<LocalBackend, Error> {
    let random = Arc::new(RandomPool::new(1, false));
    LocalBackend::open(config, random, &AtomicBool::new(false))
}

pub(in crate::backend) fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

pub(super) fn create() -> Mutation {
    Mutation::Create {
        description: "made by a test".to_owned(),
        tags: BTreeMap::from([("tenant".to_owned(), "a".to_owned())]),
        policy: KeyPolicy::new(),
    }
}

pub(super) fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

pub(super) fn mutate(
    backend: &mut dyn Backend,
    key: &str,
    mutation: &Mutation,
) -> Result<Mutated, Error> {
    mutate_at(backend, key, mutation, NOW)
}

pub(super) fn mutate_at(
    backend: &mut dyn Backend,
    key: &str,
    mutation: &Mutation,
    now: WallTime,
) -> Result<Mutated, Error> {
    let id = id(key);
    let answer = backend.mutate(&id, mutation, now).now_or_never();
    answer.expect("the local backend does not wait")
}

/// The problem and its file's name.
pub(super) fn problem<T>(result: Result<T, Error>) -> (KeystoreProblem, String) {
    match result {
        Err(Error::Keystore(error)) => {
            let name = error.path.file_name().unwrap().to_str().unwrap().to_owned();
            (error.problem, name)
        }
        Err(other) => panic!("not a problem of the keystore: {other}"),
        Ok(_) => panic!("should have been refused"),
    }
}

/// Every file below `dir` with its bytes.
pub(super) fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            all.insert(path, bytes);
        }
    }
    all
}

/// Copies the directory `from` to `to`, which does not exist.
pub(super) fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// All that a record says, its material included, to be compared.
pub(super) fn essence(record: &KeyRecord) -> String {
    let material: Vec<_> = record
        .versions
        .iter()
        .map(|version| version.material.as_ref().map(|m| hex::encode(m.expose())))
        .collect();
    format!("{:?} {:?} {material:?}", record.describe(), record.describe_versions())
}

pub(super) fn essences(backend: &LocalBackend) -> BTreeMap<String, String> {
    let all = backend.records().iter();
    all.map(|(id, record)| (id.to_string(), essence(record))).collect()
}
