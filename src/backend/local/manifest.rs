//! The file `manifest`: which files the keystore has, and what is written in them.
//!
//! A snapshot of all files, then a log of changes. Each change is two entries: the *intent*, synced
//! before the file is touched, and *done*, appended after. All numbers are big-endian.
//!
//! ```text
//! snapshot                                          offset
//!   4  "PCKM"                                            0
//!   1  format version, 1                                 4
//!  16  keystore id                                       5
//!  16  history id                                       21
//!   8  generation g                                     37
//!  32  link of generation g                             45
//!   4  number of files; then for each, names ascending  77
//!       1  n, length of the file name, 1 to 255
//!       n  file name
//!      32  SHA-256 of the file
//!       2  acceptances (see below)
//!  32  HMAC-SHA-256[manifest key](everything before)
//!
//! intent                                            done
//!   1  1                                              1  2
//!   8  generation, the one before plus 1              8  generation of the intent before
//!   1  n, length of the file name, 1 to 255          32  MAC
//!   n  file name
//!  32  SHA-256 of the file before; zeroes: absent
//!  32  SHA-256 of the file from now on
//!  32  MAC
//! ```
//!
//! `MAC = HMAC-SHA-256[manifest key](MAC before || this entry without its MAC)`, where the MAC
//! before is the snapshot's for the first entry. The *link* of a generation is the MAC of its
//! intent; it goes into the [mark](super::anchor). `init` and accepting a rollback draw the link of
//! their snapshot at random, compaction keeps the one there was.
//!
//! Invariants:
//!
//! 1. Intent and done alternate, so at most the last intent is open, and generations have no gaps.
//! 2. An intent's *before* is what the manifest lists for that file.
//! 3. Only the end of the log can be torn: an entry cut short, or one with zeroes in the place of
//!    whole 512-byte sectors, is what a power cut leaves, and is dropped. Anything else that does
//!    not authenticate is damage.
//!
//! *Acceptances* count how often an older copy of the keystore was accepted since the file was last
//! written: while it is not 0 the key in the file is open-only, and each version has that many
//! blocks of uses more than its record says (`USE_BLOCK_MAX` each, up to 2^32). So accepting
//! replaces one file, whatever the number of keys. An intent for the file sets it to 0.

use std::collections::BTreeMap;

use super::codec::{FORMAT_VERSION, Reader};
use super::keys::{KeystoreId, MacKey};
use crate::error::KeystoreProblem;
use crate::limits::KEYS_MAX;

/// A SHA-256 of a file.
pub(super) type Digest = [u8; 32];

/// What the manifest says: the snapshot with all closed changes applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) keystore: KeystoreId,
    pub(super) history: [u8; 16],
    pub(super) generation: u64,
    /// The link of `generation`.
    pub(super) link: Digest,
    /// The link of the generation before, unless that lies before the snapshot.
    pub(super) earlier_link: Option<Digest>,
    pub(super) files: BTreeMap<String, Listed>,
    /// MAC of the last entry.
    chain: Digest,
    /// Intents since the snapshot.
    pub(super) intents: usize,
}

/// One file of the keystore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) digest: Digest,
    pub(super) acceptances: u16,
}

/// An intent that is not yet done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) file: String,
    /// `None`: the file is made by this change.
    pub(super) before: Option<Digest>,
    pub(super) after: Digest,
    link: Digest,
}

/// A manifest as it was found.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) manifest: Manifest,
    pub(super) open: Option<Open>,
    /// Length of the file up to `open`.
    pub(super) closed_bytes: u64,
    /// Length of the file without a torn end.
    pub(super) whole_bytes: u64,
}

impl Manifest {
    /// A snapshot with `files`.
    pub(super) fn new(
        keystore: KeystoreId,
        history: [u8; 16],
        generation: u64,
        link: Digest,
        files: BTreeMap<String, Listed>,
    ) -> Self {
        Self {
            keystore,
            history,
            generation,
            link,
            earlier_link: None,
            files,
            chain: [0; 32],
            intents: 0,
        }
    }

    /// The snapshot's bytes; entries are chained to it from now on.
    pub(super) fn snapshot(&mut self, key: &MacKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + 64 * self.files.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(FORMAT_VERSION);
        bytes.extend_from_slice(self.keystore.as_bytes());
        bytes.extend_from_slice(&self.history);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.link);
        let count = u32::try_from(self.files.len()).expect("the number of keys is limited");
        bytes.extend_from_slice(&count.to_be_bytes());
        for (name, listed) in &self.files {
            push_name(name, &mut bytes);
            bytes.extend_from_slice(&listed.digest);
            bytes.extend_from_slice(&listed.acceptances.to_be_bytes());
        }
        self.chain = key.mac(&[&bytes]);
        self.earlier_link = None;
        self.intents = 0;
        bytes.extend_from_slice(&self.chain);
        bytes
    }

    /// The entry that announces that `file` becomes one with the digest `after`.
    pub(super) fn intent(&self, key: &MacKey, file: &str, after: Digest) -> (Open, Vec<u8>) {
        let before = self.files.get(file).map(|listed| listed.digest);
        let mut bytes = vec![KIND_INTENT];
        bytes.extend_from_slice(&self.generation.wrapping_add(1).to_be_bytes());
        push_name(file, &mut bytes);
        bytes.extend_from_slice(&before.unwrap_or(ABSENT));
        bytes.extend_from_slice(&after);
        let link = key.mac(&[&self.chain, &bytes]);
        bytes.extend_from_slice(&link);
        let file = file.to_owned();
        let open = Open { file, before, after, link };
        (open, bytes)
    }

    /// Applies `open`, whose file has been written; the entry that says so.
    pub(super) fn close(&mut self, key: &MacKey, open: Open) -> Vec<u8> {
        let mut bytes = vec![KIND_DONE];
        bytes.extend_from_slice(&self.generation.wrapping_add(1).to_be_bytes());
        let mac = key.mac(&[&open.link, &bytes]);
        bytes.extend_from_slice(&mac);
        self.apply(open, mac);
        bytes
    }

    fn apply(&mut self, open: Open, chain: Digest) {
        let listed = Listed { digest: open.after, acceptances: 0 };
        self.files.insert(open.file, listed);
        self.generation = self.generation.wrapping_add(1);
        self.earlier_link = Some(self.link);
        self.link = open.link;
        self.chain = chain;
        self.intents += 1;
    }

    /// Reads a manifest of the keystore `keystore`.
    pub(super) fn replay(
        bytes: &[u8],
        keystore: KeystoreId,
        key: &MacKey,
    ) -> Result<Replayed, KeystoreProblem> {
        let mut fields = Reader::new(bytes);
        let mut manifest = read_snapshot(bytes, &mut fields, keystore, key)?;
        let mut open = None;
        let mut at = bytes.len() - fields.left();
        let mut closed = at;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let chain = open.as_ref().map_or(manifest.chain, |open: &Open| open.link);
            let Some(entry) = Entry::read(rest, &chain, key) else {
                if is_torn(rest, at) {
                    break;
                }
                return Err(KeystoreProblem::Damaged("log entry"));
            };
            at += entry.bytes;
            let follows = entry.generation == manifest.generation.wrapping_add(1);
            match (entry.change, open.take()) {
                (Some(change), None) if follows && manifest.lists(&change) => open = Some(change),
                (None, Some(change)) if follows => {
                    manifest.apply(change, entry.mac);
                    closed = at;
                }
                (Some(_) | None, _) => return Err(KeystoreProblem::Damaged("log order")),
            }
        }
        let offset = |at: usize| u64::try_from(at).expect("a file's length fits 64 bits");
        Ok(Replayed { manifest, open, closed_bytes: offset(closed), whole_bytes: offset(at) })
    }

    /// Whether the log has grown so far that a snapshot pays: entries beyond twice the number of
    /// files, so that a change costs a constant number of bytes on average.
    pub(super) fn is_long(&self) -> bool {
        self.intents > COMPACT_INTENTS_MIN.max(2 * self.files.len())
    }

    fn lists(&self, change: &Open) -> bool {
        let listed = self.files.get(&change.file).map(|listed| listed.digest);
        listed == change.before
    }
}

fn read_snapshot(
    bytes: &[u8],
    fields: &mut Reader<'_>,
    keystore: KeystoreId,
    key: &MacKey,
) -> Result<Manifest, KeystoreProblem> {
    fields.magic(MAGIC)?;
    if fields.array()? != *keystore.as_bytes() {
        return Err(KeystoreProblem::Foreign);
    }
    let history = fields.array()?;
    let generation = fields.u64()?;
    let link = fields.array()?;
    let count = usize::try_from(fields.u32()?).map_err(|_| KeystoreProblem::TooLarge)?;
    // One more than the keys: the header.
    if count > KEYS_MAX + 1 {
        return Err(KeystoreProblem::Damaged("number of files"));
    }
    let mut files = BTreeMap::new();
    for _ in 0..count {
        let name = read_name(fields).ok_or(KeystoreProblem::Damaged("file name"))?;
        let listed = Listed { digest: fields.array()?, acceptances: fields.u16()? };
        if files.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(KeystoreProblem::Damaged("order of files"));
        }
        files.insert(name, listed);
    }
    let covered = bytes.len() - fields.left();
    let chain = fields.array()?;
    let covered = bytes.get(..covered).ok_or(KeystoreProblem::Truncated)?;
    if !key.holds(&[covered], &chain) {
        return Err(KeystoreProblem::Damaged("snapshot"));
    }
    let mut manifest = Manifest::new(keystore, history, generation, link, files);
    manifest.chain = chain;
    Ok(manifest)
}

/// One authentic entry.
struct Entry {
    generation: u64,
    /// `None`: done.
    change: Option<Open>,
    mac: Digest,
    bytes: usize,
}

impl Entry {
    fn read(bytes: &[u8], chain: &Digest, key: &MacKey) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        let kind = fields.u8().ok()?;
        let generation = fields.u64().ok()?;
        let change = match kind {
            KIND_INTENT => {
                Some((read_name(&mut fields)?, fields.array().ok()?, fields.array().ok()?))
            }
            KIND_DONE => None,
            _ => return None,
        };
        let covered = bytes.get(..bytes.len() - fields.left())?;
        let mac = fields.array().ok()?;
        if !key.holds(&[chain, covered], &mac) {
            return None;
        }
        let change = change.map(|(file, before, after)| Open {
            file,
            before: Some(before).filter(|digest| *digest != ABSENT),
            after,
            link: mac,
        });
        Some(Self { generation, change, mac, bytes: bytes.len() - fields.left() })
    }
}

/// Whether `rest`, which starts at `at` in the file, is what a power cut leaves of the last two
/// entries: one cut short, or zeroes up to or from the boundary of a sector.
fn is_torn(rest: &[u8], at: usize) -> bool {
    if rest.len() > DONE_BYTES + INTENT_BYTES_MAX {
        return false;
    }
    let needed = match rest {
        [KIND_DONE, ..] => DONE_BYTES,
        [KIND_INTENT, fields @ ..] => match fields.get(8) {
            Some(0) | None => INTENT_BYTES_MAX - NAME_BYTES_MAX,
            Some(&name) => INTENT_BYTES_MAX - NAME_BYTES_MAX + usize::from(name),
        },
        _ => 0,
    };
    let zeroes = |bytes: Option<&[u8]>| bytes.is_some_and(|b| b.iter().all(|&byte| byte == 0));
    let first_boundary = at.next_multiple_of(SECTOR_BYTES) - at;
    let mut boundaries = (first_boundary..rest.len()).step_by(SECTOR_BYTES);
    rest.len() < needed
        || zeroes(Some(rest))
        || boundaries.any(|n| (n > 0 && zeroes(rest.get(..n))) || zeroes(rest.get(n..)))
}

fn push_name(name: &str, bytes: &mut Vec<u8>) {
    bytes.push(u8::try_from(name.len()).expect("file names are at most 255 bytes"));
    bytes.extend_from_slice(name.as_bytes());
}

fn read_name(fields: &mut Reader<'_>) -> Option<String> {
    let len = usize::from(fields.u8().ok()?);
    let name = core::str::from_utf8(fields.take(len).ok()?).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

const MAGIC: &[u8; 4] = b"PCKM";
const HEAD_BYTES: usize = 81;
const ABSENT: Digest = [0; 32];
const KIND_INTENT: u8 = 1;
const KIND_DONE: u8 = 2;
const DONE_BYTES: usize = 1 + 8 + 32;
const NAME_BYTES_MAX: usize = 255;
const INTENT_BYTES_MAX: usize = 1 + 8 + 1 + NAME_BYTES_MAX + 3 * 32;
const SECTOR_BYTES: usize = 512;

/// Fewest changes between two snapshots: under 1 MiB of log, read in milliseconds. Tests reach it
/// sooner.
const COMPACT_INTENTS_MIN: usize = if cfg!(test) { 64 } else { 4096 };

/// Largest manifest: a million files and two million changes of them, the longest names throughout.
pub(super) const MANIFEST_BYTES_MAX: usize =
    HEAD_BYTES + 32 + (KEYS_MAX + 1) * (290 + 2 * (INTENT_BYTES_MAX + DONE_BYTES)) + (4 << 20);
