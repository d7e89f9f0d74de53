//! What is read: a file or standard input.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::io::{AsyncRead, ReadBuf};

use super::is_standard;
use super::progress::Progress;
use crate::cli::failure::Failure;

/// An opened input.
pub(super) struct Input {
    file: File,
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
        Ok(Self { file, len: is_file.then_some(metadata.len()), mode })
    }

    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    pub(super) fn mode(&self) -> Option<u32> {
        self.mode
    }

    /// The input as the engine reads it; what was read is counted in `progress`.
    pub(super) fn counted(self, progress: &Progress) -> Counted<'_> {
        Counted { file: self.file, progress }
    }
}

/// An input that is read on the thread that polls it: the command does nothing else meanwhile, and
/// a hop to another thread for each read costs more than the read.
pub(super) struct Counted<'p> {
    file: File,
    progress: &'p Progress,
}

impl AsyncRead for Counted<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        let read = loop {
            match self.file.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done,
            }
        };
        Poll::Ready(read.map(|read| {
            buf.advance(read);
            self.progress.add(read);
        }))
    }
}
