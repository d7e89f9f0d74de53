//! Every file of a keystore held against its manifest. Reads, and changes nothing.
//!
//! A file must be the one that is listed, or, where it has the one open intent, the one before or
//! after it: which of the two decides whether the intent is undone or finished. A record that
//! differs is opened all the same, to say which kind of wrong it is: damaged, another keystore's,
//! or authentic but not the latest.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::disk::Disk;
use super::header::Header;
use super::keys::StoreKeys;
use super::manifest::{Digest, Listed, Manifest, Open, Replayed};
use super::record;
use super::store::{HEADER, LOCK, MANIFEST, Records, is_temporary};
use crate::crypto::digest::sha256;
use crate::error::{Error, KeystoreError, KeystoreProblem, LifecycleError};
use crate::key::KeyRecord;
use crate::limits::{RECORD_BYTES_MAX, USE_BLOCK_MAX, USES_PER_VERSION_MAX};

/// Holds every file against the manifest.
pub(super) struct Verifier<'a> {
    disk: &'a Disk,
    header: &'a Header,
    header_digest: Digest,
    keys: &'a StoreKeys,
    replayed: &'a Replayed,
    /// Whether the open intent's file is the new one.
    finished: bool,
    records: Records,
}

/// Every file is as the manifest says.
pub(super) struct Verified {
    /// Whether the open intent's file is the new one.
    pub(super) finished: bool,
    pub(super) records: Records,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(
        disk: &'a Disk,
        header: &'a Header,
        header_digest: Digest,
        keys: &'a StoreKeys,
        replayed: &'a Replayed,
    ) -> Self {
        let (finished, records) = (false, Records::new());
        Self { disk, header, header_digest, keys, replayed, finished, records }
    }

    /// Reads and verifies every file, the open intent's too; `abandoned` ends it between two.
    pub(super) fn verify_all(mut self, abandoned: &AtomicBool) -> Result<Verified, Error> {
        let replayed = self.replayed;
        if !replayed.manifest.files.contains_key(HEADER) {
            return Err(self
                .disk
                .error(MANIFEST, KeystoreProblem::Damaged("no header listed"))
                .into());
        }
        let made = replayed
            .open
            .as_ref()
            .filter(|open| open.before.is_none())
            .map(|open| (open.file.as_str(), None));
        let listed = replayed.manifest.files.iter();
        for (name, listed) in listed.map(|(name, listed)| (name.as_str(), Some(listed))).chain(made)
        {
            if abandoned.load(Ordering::Relaxed) {
                return Err(LifecycleError::Superseded("message").into());
            }
            self.verify(name, listed)?;
        }
        Ok(Verified { finished: self.finished, records: self.records })
    }

    fn verify(&mut self, name: &str, listed: Option<&Listed>) -> Result<(), KeystoreError> {
        let fail = |problem| Err(self.disk.error(name, problem));
        let open = self.replayed.open.as_ref().filter(|open| open.file == name);
        if name == HEADER {
            return match self.judge(Some(self.header_digest), listed, open) {
                Verdict::Latest => Ok(()),
                Verdict::Finished => {
                    self.finished = true;
                    Ok(())
                }
                Verdict::Wrong => fail(KeystoreProblem::NotTheLatest),
            };
        }
        let bytes = self.disk.read(name, RECORD_BYTES_MAX)?;
        let digest = bytes.as_ref().map(|bytes| sha256(&[bytes]));
        let verdict = self.judge(digest, listed, open);
        let Some(bytes) = bytes else {
            return match verdict {
                Verdict::Latest => Ok(()),
                Verdict::Finished | Verdict::Wrong => fail(KeystoreProblem::Missing),
            };
        };
        let record = match record::open(bytes, self.header.id, &self.keys.record) {
            Ok(record) => record,
            Err(problem) => return fail(problem),
        };
        // Authentic, but an older one or another key's.
        if verdict == Verdict::Wrong || record::file_name(&record.id) != name {
            return fail(KeystoreProblem::NotTheLatest);
        }
        let acceptances = match verdict {
            Verdict::Latest | Verdict::Wrong => listed.map_or(0, |listed| listed.acceptances),
            Verdict::Finished => 0,
        };
        self.finished |= verdict == Verdict::Finished;
        let record = accept_record(record, acceptances);
        self.records.insert(record.id.clone(), Arc::new(record));
        Ok(())
    }

    fn judge(
        &self,
        found: Option<Digest>,
        listed: Option<&Listed>,
        open: Option<&Open>,
    ) -> Verdict {
        if open.is_some_and(|open| found == Some(open.after)) {
            Verdict::Finished
        } else if found == listed.map(|listed| listed.digest) {
            Verdict::Latest
        } else {
            Verdict::Wrong
        }
    }
}

/// What a file is to the manifest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// As listed.
    Latest,
    /// As the open intent says it will be.
    Finished,
    /// Neither.
    Wrong,
}

fn accept_record(mut record: KeyRecord, acceptances: u16) -> KeyRecord {
    if acceptances > 0 {
        let more = USE_BLOCK_MAX.saturating_mul(u64::from(acceptances));
        record.open_only = true;
        for version in &mut record.versions {
            *version = version.with(|version| {
                let uses = version.uses_reserved.saturating_add(more);
                version.uses_reserved = uses.min(USES_PER_VERSION_MAX);
            });
        }
    }
    record
}

/// Refuses files that the keystore did not make; those that a crash left.
pub(super) fn sort_names(
    disk: &Disk,
    manifest: &Manifest,
    finished: Option<&Replayed>,
) -> Result<Vec<String>, KeystoreError> {
    let mut temporary = Vec::new();
    let made = finished.and_then(|replayed| replayed.open.as_ref());
    for name in disk.names()? {
        if is_temporary(&name) {
            disk.check_removable(&name)?;
            temporary.push(name);
        } else if !matches!(name.as_str(), MANIFEST | LOCK)
            && !manifest.files.contains_key(&name)
            && made.is_none_or(|open| open.file != name)
        {
            return Err(disk.error(&name, KeystoreProblem::Foreign));
        }
    }
    Ok(temporary)
}
