//! The keystore's directory: examined, settled, changed.
//!
//! Opening has two halves. *Examining* reads and verifies every file and changes nothing, so that
//! whatever is refused is left as it was found. *Settling* then clears away what a crash left: it
//! finishes or undoes the one open intent, drops a torn end of the log, removes temporary files.
//!
//! A change is, in this order, each step durable before the next: intent in the manifest, record
//! under a temporary name, rename, directory, mark at the anchor; then `done` in the manifest,
//! which the next change makes durable. Whatever fails on the way leaves the store poisoned: it
//! does not know what is on disk until it is opened again.
//!
//! Opening costs one read of every file, about 20 us a key; a change costs three syncs, two more
//! with an anchor file.

use core::sync::atomic::AtomicBool;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::anchor::{Anchor, Mark};
use super::config::{KeystoreInfo, LocalConfig};
use super::disk::{Access, Disk, Lock, Log};
use super::header::{HEADER_BYTES, Header, Locked};
use super::keys::StoreKeys;
use super::manifest::{Digest, MANIFEST_BYTES_MAX, Manifest, Replayed};
use super::record;
use super::verify::{Verified, Verifier, sort_names};
use crate::crypto::digest::sha256;
use crate::error::{Error, KeystoreError, KeystoreProblem};
use crate::key::{KeyId, KeyRecord};
use crate::secret::Secret;

/// The file that says that there is a keystore: the last one that `init` makes.
pub(super) const HEADER: &str = "keystore";
/// The header while `init` is not finished: what lies beside it is worth nothing.
pub(super) const HEADER_INIT: &str = "keystore.init";
pub(super) const MANIFEST: &str = "manifest";
pub(super) const LOCK: &str = "lock";
const HEADER_TEMPORARY: &str = "keystore.tmp";
const MANIFEST_TEMPORARY: &str = "manifest.tmp";
const RECORD_TEMPORARY: &str = "record.tmp";

/// Whether `name` is one that a crash leaves behind.
pub(super) fn is_temporary(name: &str) -> bool {
    matches!(name, HEADER_INIT | HEADER_TEMPORARY | MANIFEST_TEMPORARY | RECORD_TEMPORARY)
}

/// Every key by id.
pub(super) type Records = BTreeMap<KeyId, Arc<KeyRecord>>;

/// A keystore that was found whole, and not yet changed.
pub(super) struct Found {
    disk: Disk,
    lock: Lock,
    pub(super) header: Header,
    pub(super) keystore_key: Secret<32>,
    pub(super) keys: StoreKeys,
    /// The manifest as it is once the open intent is settled.
    pub(super) manifest: Manifest,
    pub(super) records: Records,
    repair: Repair,
}

/// What settling has to do on disk.
struct Repair {
    temporary: Vec<String>,
    /// Length that the log is to have, where that is not the length found.
    cut_to: Option<u64>,
    log_bytes: u64,
    /// The entry that ends a finished intent.
    done: Option<Vec<u8>>,
}

impl Found {
    /// Locks, reads and verifies everything in `config`'s directory.
    pub(super) fn examine(config: &LocalConfig, abandoned: &AtomicBool) -> Result<Self, Error> {
        let disk = open_directory(&config.directory)?;
        let lock = disk.lock(LOCK)?;
        let (header, header_digest) = read_header(&disk)?;
        let keystore_key = unlock(&header, config, &disk)?;
        let keys = StoreKeys::derive(&keystore_key);
        let bytes = read_existing(&disk, MANIFEST, MANIFEST_BYTES_MAX)?;
        let replayed = Manifest::replay(&bytes, header.id, &keys.manifest)
            .map_err(|problem| disk.error(MANIFEST, problem))?;
        let verified =
            Verifier::new(&disk, &header, header_digest, &keys, &replayed).verify_all(abandoned)?;
        let Verified { finished, records } = verified;
        let temporary = sort_names(&disk, &replayed.manifest, finished.then_some(&replayed))?;
        let (manifest, repair) = settle(replayed, finished, &bytes, &keys, temporary);
        Ok(Self { disk, lock, header, keystore_key, keys, manifest, records, repair })
    }

    /// The mark at `anchor`, if it is authentic.
    pub(super) fn load_mark(&self, anchor: &Anchor) -> Result<Option<Mark>, KeystoreError> {
        let mark = anchor.load(self.disk.path())?;
        if let Some(mark) = &mark {
            mark.authenticate(self.header.id, &self.keys)
                .map_err(|problem| self.anchor_error(anchor, problem))?;
        }
        Ok(mark)
    }

    /// Holds the keystore against its mark; the mark found.
    pub(super) fn check_mark(&self, anchor: &Anchor) -> Result<Option<Mark>, KeystoreError> {
        let mark = self.load_mark(anchor)?;
        match &mark {
            Some(mark) => mark
                .check(&self.manifest)
                .map_err(|problem| KeystoreError::new(self.disk.path(), problem))?,
            None if anchor.is_kept() => {
                return Err(self.anchor_error(anchor, KeystoreProblem::Missing));
            }
            None => {}
        }
        Ok(mark)
    }

    fn anchor_error(&self, anchor: &Anchor, problem: KeystoreProblem) -> KeystoreError {
        KeystoreError::new(anchor.path(self.disk.path()), problem)
    }

    /// Clears away what a crash left, and brings the mark `found` forward.
    pub(super) fn settle(
        self,
        anchor: &Anchor,
        found: Option<Mark>,
    ) -> Result<(Store, Records), KeystoreError> {
        let Self { disk, lock, header, keystore_key: _, keys, manifest, records, repair } = self;
        for name in &repair.temporary {
            disk.remove(name)?;
        }
        // A rename that a killed process did not live to sync: nothing may be built on it before.
        disk.sync()?;
        let mut log = disk.open_log(MANIFEST, repair.log_bytes)?;
        if let Some(len) = repair.cut_to {
            log.truncate(&disk, len)?;
        }
        if let Some(done) = &repair.done {
            log.append(&disk, done)?;
            log.sync(&disk)?;
        }
        let mut store = Store {
            disk,
            _lock: lock,
            header,
            keys,
            manifest,
            log,
            anchor: anchor.clone(),
            poisoned: false,
        };
        let mark = Mark::of(&store.manifest, &store.keys);
        if found == Some(mark) {
            store.anchor.sync()?;
        } else {
            store.anchor.store(store.disk.path(), &mark)?;
        }
        if store.manifest.is_long() {
            store.compact()?;
        }
        Ok((store, records))
    }

    /// Replaces the manifest by a snapshot of a new history, in which each key is accepted as it
    /// is, and the mark by that of the new history.
    pub(super) fn accept(
        mut self,
        anchor: &Anchor,
        history: [u8; 16],
        link: Digest,
    ) -> Result<KeystoreInfo, KeystoreError> {
        let marked = self.load_mark(anchor)?.map_or(0, |mark| mark.generation());
        let generation = self.manifest.generation.max(marked).wrapping_add(1);
        let mut files = core::mem::take(&mut self.manifest.files);
        for (name, listed) in &mut files {
            if name != HEADER {
                listed.acceptances = listed.acceptances.saturating_add(1);
            }
        }
        self.manifest = Manifest::new(self.header.id, history, generation, link, files);
        for name in &self.repair.temporary {
            self.disk.remove(name)?;
        }
        self.disk.sync()?;
        let bytes = self.manifest.snapshot(&self.keys.manifest);
        self.disk.replace(MANIFEST, MANIFEST_TEMPORARY, &bytes)?;
        let mark = Mark::of(&self.manifest, &self.keys);
        anchor.store(self.disk.path(), &mark)?;
        Ok(info(&self.header, &self.disk, &self.manifest, anchor))
    }
}

/// An open keystore.
pub(super) struct Store {
    disk: Disk,
    _lock: Lock,
    pub(super) header: Header,
    pub(super) keys: StoreKeys,
    manifest: Manifest,
    log: Log,
    anchor: Anchor,
    /// A change was begun and not ended: what is on disk is not known.
    poisoned: bool,
}

impl Store {
    /// Makes `bytes` the content of `file`; durable when this returns.
    pub(super) fn commit(&mut self, file: &str, bytes: &[u8]) -> Result<(), KeystoreError> {
        self.check_poison()?;
        self.poisoned = true;
        self.change(file, bytes)?;
        // The change is durable and is answered, whatever becomes of the snapshot.
        self.poisoned = self.manifest.is_long() && self.compact().is_err();
        Ok(())
    }

    fn change(&mut self, file: &str, bytes: &[u8]) -> Result<(), KeystoreError> {
        let key = &self.keys.manifest;
        let (open, intent) = self.manifest.intent(key, file, sha256(&[bytes]));
        self.log.append(&self.disk, &intent)?;
        self.log.sync(&self.disk)?;
        let temporary = if file == HEADER { HEADER_TEMPORARY } else { RECORD_TEMPORARY };
        self.disk.replace(file, temporary, bytes)?;
        let done = self.manifest.close(key, open);
        let mark = Mark::of(&self.manifest, &self.keys);
        self.anchor.store(self.disk.path(), &mark)?;
        self.log.append(&self.disk, &done)
    }

    fn compact(&mut self) -> Result<(), KeystoreError> {
        let bytes = self.manifest.snapshot(&self.keys.manifest);
        self.disk.replace(MANIFEST, MANIFEST_TEMPORARY, &bytes)?;
        let len = u64::try_from(bytes.len()).expect("a length fits 64 bits");
        self.log = self.disk.open_log(MANIFEST, len)?;
        Ok(())
    }

    /// # Errors
    /// `Poisoned` after a fault.
    pub(super) fn check_poison(&self) -> Result<(), KeystoreError> {
        if self.poisoned {
            let path = self.disk.path();
            return Err(KeystoreError::new(path, KeystoreProblem::Poisoned));
        }
        Ok(())
    }

    pub(super) fn error(&self, problem: KeystoreProblem) -> KeystoreError {
        KeystoreError::new(self.disk.path(), problem)
    }

    pub(super) fn info(&self) -> KeystoreInfo {
        info(&self.header, &self.disk, &self.manifest, &self.anchor)
    }
}

fn info(header: &Header, disk: &Disk, manifest: &Manifest, anchor: &Anchor) -> KeystoreInfo {
    KeystoreInfo {
        id: header.id,
        directory: disk.path().to_owned(),
        created: header.created,
        generation: manifest.generation,
        keys: manifest.files.len().saturating_sub(1),
        anchored: anchor.is_kept(),
    }
}

fn open_directory(path: &Path) -> Result<Disk, KeystoreError> {
    let disk = Disk::open(path, Access::Private).map_err(|error| match error.problem {
        KeystoreProblem::Missing => KeystoreError::new(path, KeystoreProblem::NotInitialised),
        _ => error,
    })?;
    let names = disk.names()?;
    let has = |name: &str| names.iter().any(|found| found == name);
    if has(HEADER) {
        return Ok(disk);
    }
    let problem = if has(HEADER_INIT) || names.iter().all(|name| name == LOCK) {
        KeystoreProblem::NotInitialised
    } else if has(MANIFEST) || names.iter().any(|name| record::is_file_name(name)) {
        return Err(disk.error(HEADER, KeystoreProblem::Missing));
    } else {
        KeystoreProblem::NotInitialised
    };
    Err(KeystoreError::new(path, problem))
}

fn read_existing(disk: &Disk, name: &str, max: usize) -> Result<Vec<u8>, KeystoreError> {
    disk.read(name, max)?.ok_or_else(|| disk.error(name, KeystoreProblem::Missing))
}

/// Whether the root key of `config` opens the header. Takes no lock: the store may be in use.
pub(super) fn try_root_key(config: &LocalConfig) -> Result<(), KeystoreError> {
    let disk = open_directory(&config.directory)?;
    let (header, _) = read_header(&disk)?;
    unlock(&header, config, &disk).map(drop)
}

fn unlock(header: &Header, config: &LocalConfig, disk: &Disk) -> Result<Secret<32>, KeystoreError> {
    header.unlock(&config.root_key).map_err(|locked| match locked {
        Locked::NoRootKey(error) => error,
        Locked::Header(problem) => disk.error(HEADER, problem),
    })
}

fn read_header(disk: &Disk) -> Result<(Header, Digest), KeystoreError> {
    let bytes = read_existing(disk, HEADER, HEADER_BYTES)?;
    let header = Header::decode(&bytes).map_err(|problem| disk.error(HEADER, problem))?;
    Ok((header, sha256(&[&bytes])))
}

fn settle(
    replayed: Replayed,
    finished: bool,
    found: &[u8],
    keys: &StoreKeys,
    temporary: Vec<String>,
) -> (Manifest, Repair) {
    let Replayed { mut manifest, open, closed_bytes, whole_bytes } = replayed;
    let (keep, done) = match open {
        Some(open) if finished => (whole_bytes, Some(manifest.close(&keys.manifest, open))),
        Some(_) => (closed_bytes, None),
        None => (whole_bytes, None),
    };
    let log_bytes = u64::try_from(found.len()).expect("a length fits 64 bits");
    let repair =
        Repair { temporary, cut_to: Some(keep).filter(|&keep| keep != log_bytes), log_bytes, done };
    (manifest, repair)
}
