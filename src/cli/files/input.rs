//! What is read: a file or standard input.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::is_standard;
use crate::cli::failure::Failure;

/// An opened input.
pub(super) struct Input {
    file: File,
    path: PathBuf,
    /// Its length in bytes, where that is known beforehand.
    len: Option<u64>,
    /// The permissions of the file that it is.
    mode: Option<u32>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::io("opening", Some(path), error);
        let file = if is_standard(path) {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(path)
        };
        let file = file.map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let is_file = metadata.is_file();
        let mode = is_file.then(|| metadata.mode() & 0o777);
        let path = path.to_owned();
        Ok(Self { file, path, len: is_file.then_some(metadata.len()), mode })
    }

    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    pub(super) fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// What is read, and the name that failures tell.
    pub(super) fn into_file(self) -> (File, PathBuf) {
        (self.file, self.path)
    }
}
