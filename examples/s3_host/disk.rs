//! Files: what a crash may leave behind, and what it never does.
//!
//! ```text
//! <data>/<bucket>/bucket.json               when it was made, its default encryption
//! <data>/<bucket>/objects/<name>.json       one entry per object; <name> = SHA-256 of its key
//! <data>/<bucket>/uploads/<id>/upload.json  an upload under way, and <part>.json per part
//! <data>/<bucket>/bodies/<random>           sealed bytes and nothing else
//! ```
//!
//! A body is written under a new random name and synced; then its entry is written beside the old
//! one, synced and renamed over it. That rename is the moment at which a change is made: a reader
//! sees the object before or after it, whole. A crash leaves bodies that no entry names, which the
//! next start removes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWriteExt};

/// A body that is being written. Dropped before it is kept, it is removed.
pub struct NewBody {
    path: PathBuf,
    name: String,
    file: tokio::fs::File,
    kept: bool,
}

impl NewBody {
    /// A new body in `directory`.
    pub async fn create(directory: &Path) -> io::Result<Self> {
        let name = random_name()?;
        let path = directory.join(&name);
        let mut options = tokio::fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self { path, name, file, kept: false })
    }

    /// Appends what `reader` gives, in constant memory; how many bytes that were.
    pub async fn append<R: AsyncRead + Unpin>(&mut self, reader: &mut R) -> io::Result<u64> {
        tokio::io::copy(reader, &mut self.file).await
    }

    /// Appends a whole file.
    pub async fn append_file(&mut self, path: &Path) -> io::Result<u64> {
        self.append(&mut tokio::fs::File::open(path).await?).await
    }

    /// Makes the bytes durable, so that an entry may name them.
    pub async fn sync(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        sync_directory(&self.path)
    }

    /// The name that an entry has for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An entry names it now.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewBody {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

/// 128 random bits in hexadecimal: a name that nothing has had.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(hex::encode(bytes))
}

/// The entry at `path`; `None` where there is none.
pub fn read_entry<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `entry` at `path`, in place of what is there, all or nothing.
pub fn write_entry<T: Serialize>(path: &Path, entry: &T) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(entry)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

/// Removes the entry at `path`, durably; whether there was one.
pub fn remove_entry(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a body or a directory that nothing names any more. What cannot be removed now is by the
/// next start.
pub fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "left behind");
    }
}

/// The paths in `directory` that end in `.json`, or all of its directories.
pub fn list(directory: &Path, kind: Kind) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for found in fs::read_dir(directory)? {
        let path = found?.path();
        let wanted = match kind {
            Kind::Entries => path.extension() == Some(OsStr::new("json")),
            Kind::Directories => path.is_dir(),
        };
        if wanted {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// What [`list`] looks for.
#[derive(Clone, Copy)]
pub enum Kind {
    Entries,
    Directories,
}

/// Removes what a crash left in `directory`: entries half written, bodies that are not `named`.
pub fn sweep(directory: &Path, named: &HashSet<String>) -> io::Result<()> {
    for found in fs::read_dir(directory)? {
        let path = found?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_file() && !named.contains(name) && path.extension() != Some(OsStr::new("json")) {
            remove(&path);
        }
    }
    Ok(())
}

/// Makes durable that `path` was put into, or taken out of, its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    File::open(directory)?.sync_all()
}
