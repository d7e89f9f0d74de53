//! What an operator does to a keystore as a whole: make it, accept an older copy of it, change its
//! root key, begin to keep a mark.

use core::sync::atomic::AtomicBool;
use std::collections::BTreeMap;

use super::anchor::{Anchor, Mark};
use super::config::{InitOptions, KeystoreInfo, LocalConfig};
use super::disk::Disk;
use super::header::{Fresh, HEADER_BYTES, Header};
use super::keys::{KeystoreId, StoreKeys};
use super::manifest::{Listed, Manifest};
use super::record;
use super::root::RootKey;
use super::store::{Found, HEADER, HEADER_INIT, LOCK, MANIFEST, Store, is_temporary};
use super::{fresh_version, no_randomness};
use crate::crypto::digest::sha256;
use crate::error::{Error, KeystoreError, KeystoreProblem};
use crate::key::{KeyPolicy, KeyRecord, Mutation, Outcome, apply};
use crate::secret::Secret;
use crate::secret::random::RandomPool;

/// Makes a keystore in `config`'s directory, which is made if need be, and its default key if
/// `options` name one.
///
/// The directory gets mode 0700 and every file 0600 from its first byte, whatever the umask. The
/// header gets its name last: until then there is no keystore, and an `init` that was cut off can
/// be run again.
///
/// # Errors
/// [`KeystoreError`]: `AlreadyInitialised` if there is a keystore, or a mark of one at the anchor;
/// `Foreign` if something else is in the directory; what the root key's source or the system says.
pub fn init(config: &LocalConfig, options: InitOptions) -> Result<KeystoreInfo, Error> {
    let random = RandomPool::new(1, options.cloned_host);
    let disk = Disk::create(&config.directory)?;
    let names = disk.names()?;
    refuse_existing(&disk, &names)?;
    if !names.iter().any(|name| name == LOCK) {
        disk.create_file(LOCK, &[])?;
        disk.sync()?;
    }
    let _lock = disk.lock(LOCK)?;
    // Another `init` may have come first.
    let names = disk.names()?;
    refuse_existing(&disk, &names)?;
    let id = match unfinished_id(&disk)? {
        Some(id) => id,
        None => KeystoreId::from_bytes(draw(&disk, &random)?),
    };
    let mark = config.anchor.load(&config.directory)?;
    if mark.is_some_and(|mark| mark.keystore() != id) {
        let path = config.anchor.path(&config.directory);
        return Err(KeystoreError::new(path, KeystoreProblem::AlreadyInitialised).into());
    }
    // What an unfinished `init` left. Its header goes last: it is what allows the others to go.
    let leftovers = names.iter().filter(|name| *name != LOCK && *name != HEADER_INIT);
    for name in leftovers {
        disk.remove(name)?;
    }
    disk.remove(HEADER_INIT)?;

    let keystore_key = Secret::fill_with(|out| random.fill(0, out))
        .map_err(|_| no_randomness(&config.directory))?;
    let fresh = draw_header(&disk, &random)?;
    let header = Header::lock(id, options.now, &config.root_key, &keystore_key, fresh)?;
    let keys = StoreKeys::derive(&keystore_key);
    let default_key = match &options.default_key {
        Some(key) => Some(first_record(key, &options, &random, &disk)?),
        None => None,
    };
    let mut files = BTreeMap::new();
    let mut make = |name: &str, listed: String, bytes: &[u8]| {
        let digest = sha256(&[bytes]);
        let acceptances = 0;
        files.insert(listed, Listed { digest, acceptances });
        disk.create_file(name, bytes).map(drop)
    };
    make(HEADER_INIT, HEADER.to_owned(), &header.encode())?;
    disk.sync()?;
    if let Some(record) = default_key {
        let nonce = draw(&disk, &random)?;
        let file = record::file_name(&record.id);
        make(&file, file.clone(), &record::seal(&record, id, &keys.record, nonce))?;
    }
    let (history, link) = (draw(&disk, &random)?, draw(&disk, &random)?);
    let mut manifest = Manifest::new(id, history, 1, link, files);
    disk.create_file(MANIFEST, &manifest.snapshot(&keys.manifest))?;
    disk.sync()?;
    let mark = Mark::of(&manifest, &keys);
    config.anchor.store(&config.directory, &mark)?;
    disk.rename(HEADER_INIT, HEADER)?;
    Ok(KeystoreInfo {
        id,
        directory: config.directory.clone(),
        created: options.now,
        generation: manifest.generation,
        keys: manifest.files.len().saturating_sub(1),
        anchored: config.anchor.is_kept(),
    })
}

/// Accepts the keystore as it is found, on purpose: a restored backup, or an older copy that the
/// anchor refuses.
///
/// A new history begins. Every key is open-only until it is rotated, and the uses of each version
/// count as one block more, because what was used since the copy was made is not known. The
/// generation becomes higher than both the keystore's and the mark's, and the mark is written
/// anew. It costs one file, whatever the number of keys. If it is cut off between the two, the
/// keystore is refused as `AnchorMismatch`, and accepting it again helps.
///
/// # Errors
/// [`KeystoreError`] as for opening, except that an older or missing mark, or one of another
/// history, is no error. A mark of another keystore, or one that was changed, is.
pub fn accept_rollback(config: &LocalConfig) -> Result<KeystoreInfo, Error> {
    let random = RandomPool::new(1, true);
    let found = Found::examine(config, &AtomicBool::new(false))?;
    let failed = |_| no_randomness(&config.directory);
    let history = random.array(0).map_err(failed)?;
    let link = random.array(0).map_err(failed)?;
    Ok(found.accept(&config.anchor, history, link)?)
}

/// Puts the keystore under the root key `new`. Data keys and key records are not touched: only the
/// header is written anew, atomically.
///
/// Afterwards `config.root_key` no longer opens the keystore. Earlier copies of the header still
/// open under the old root key.
///
/// # Errors
/// [`KeystoreError`] as for opening; what the new root key's source says.
pub fn change_root_key(config: &LocalConfig, new: &RootKey) -> Result<(), Error> {
    let random = RandomPool::new(1, true);
    let found = Found::examine(config, &AtomicBool::new(false))?;
    let failed = |_| no_randomness(&config.directory);
    let fresh =
        Fresh { salt: random.array(0).map_err(failed)?, nonce: random.array(0).map_err(failed)? };
    let Header { id, created, .. } = found.header;
    let header = Header::lock(id, created, new, &found.keystore_key, fresh)?;
    let (mut store, _) = settle(found, &config.anchor)?;
    Ok(store.commit(HEADER, &header.encode())?)
}

/// What the keystore says of itself, once every file in it was found whole.
///
/// # Errors
/// [`KeystoreError`] as for opening.
pub fn inspect(config: &LocalConfig) -> Result<KeystoreInfo, Error> {
    let found = Found::examine(config, &AtomicBool::new(false))?;
    let (store, _) = settle(found, &config.anchor)?;
    Ok(store.info())
}

/// Begins to keep the mark of an existing keystore at `config.anchor`, where there is none yet.
///
/// # Errors
/// [`KeystoreError`] as for opening; `AlreadyInitialised` if there is a mark.
pub fn set_anchor(config: &LocalConfig) -> Result<KeystoreInfo, Error> {
    let found = Found::examine(config, &AtomicBool::new(false))?;
    if config.anchor.load(&config.directory)?.is_some() {
        let path = config.anchor.path(&config.directory);
        return Err(KeystoreError::new(path, KeystoreProblem::AlreadyInitialised).into());
    }
    let (store, _) = found.settle(&config.anchor, None)?;
    Ok(store.info())
}

fn settle(found: Found, anchor: &Anchor) -> Result<(Store, super::store::Records), KeystoreError> {
    let mark = found.check_mark(anchor)?;
    found.settle(anchor, mark)
}

fn refuse_existing(disk: &Disk, names: &[String]) -> Result<(), KeystoreError> {
    let has = |name: &str| names.iter().any(|found| found == name);
    if has(HEADER) {
        let path = disk.path();
        return Err(KeystoreError::new(path, KeystoreProblem::AlreadyInitialised));
    }
    let unfinished = has(HEADER_INIT);
    for name in names {
        let ours = name == MANIFEST || record::is_file_name(name) || is_temporary(name);
        if ours && !unfinished {
            // Remains of a keystore whose header is gone: not ours to write over.
            return Err(disk.error(HEADER, KeystoreProblem::Missing));
        }
        if !ours && name != LOCK {
            return Err(disk.error(name, KeystoreProblem::Foreign));
        }
    }
    Ok(())
}

/// The id that an unfinished `init` gave: the mark at the anchor may bear it already.
fn unfinished_id(disk: &Disk) -> Result<Option<KeystoreId>, KeystoreError> {
    let bytes = disk.read(HEADER_INIT, HEADER_BYTES)?;
    // One that was cut short was never followed by a mark.
    let header = bytes.and_then(|bytes| Header::decode(&bytes).ok());
    Ok(header.map(|header| header.id))
}

fn draw<const N: usize>(disk: &Disk, random: &RandomPool) -> Result<[u8; N], KeystoreError> {
    random.array(0).map_err(|_| no_randomness(disk.path()))
}

fn draw_header(disk: &Disk, random: &RandomPool) -> Result<Fresh, KeystoreError> {
    let (salt, nonce) = (draw(disk, random)?, draw(disk, random)?);
    Ok(Fresh { salt, nonce })
}

fn first_record(
    id: &crate::key::KeyId,
    options: &InitOptions,
    random: &RandomPool,
    disk: &Disk,
) -> Result<KeyRecord, Error> {
    let create = Mutation::Create {
        description: String::new(),
        tags: BTreeMap::new(),
        policy: KeyPolicy::new(),
    };
    let fresh = || fresh_version(random, disk.path());
    match apply(None, id, &create, options.now, fresh)? {
        Outcome::Changed(record) => Ok(record),
        Outcome::Unchanged => Err(Error::Unreachable("a key that is made is changed")),
    }
}
