//! What is written: a file that appears when it is complete, or a stream.
//!
//! ```text
//! open a file without a name (O_TMPFILE) | write | sync | give it its name | sync the directory
//! ```
//!
//! Invariants:
//!
//! 1. Under the output's name there is the old file, or nothing, or the whole new one.
//! 2. A file that exists is replaced only with `--force`, also one that appears meanwhile.
//! 3. Whoever may read the output may have read the input: it has that one's mode, less the umask.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::is_standard;
use crate::cli::failure::Failure;
use crate::cli::signals::Debris;

/// Where output is to go, found possible before any work is done.
pub(super) enum Target {
    /// Standard output.
    Stdout,
    /// A device or a pipe, written as it is.
    Device(PathBuf),
    /// A file, which may be replaced with `force`.
    File { path: PathBuf, force: bool },
}

impl Target {
    pub(super) fn new(path: &Path, force: bool) -> Result<Self, Failure> {
        let failed = |error| Failure::io("making the file", Some(path), error);
        if is_standard(path) {
            return Ok(Self::Stdout);
        }
        // What a link points to is replaced, not the link.
        let found = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.symlink_metadata(),
            found => found,
        };
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::File { path: path.to_owned(), force })
            }
            Err(error) => Err(failed(error)),
            Ok(found) if found.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(found) if found.is_file() && force => {
                let path = path.canonicalize().map_err(failed)?;
                Ok(Self::File { path, force })
            }
            Ok(found) if found.is_file() || found.is_symlink() => {
                Err(failed(io::ErrorKind::AlreadyExists.into())
                    .hint("it is kept: --force replaces it"))
            }
            Ok(_) => Ok(Self::Device(path.to_owned())),
        }
    }
}

/// An output that is being written. Dropped unfinished, it leaves nothing.
pub(super) struct Output {
    file: File,
    kind: Kind,
    debris: Debris,
}

enum Kind {
    /// Bytes are read as they are written.
    Stdout,
    Device(PathBuf),
    /// A file that has no name yet.
    Nameless {
        path: PathBuf,
        force: bool,
    },
    /// A file under a temporary name.
    Named {
        temporary: PathBuf,
        path: PathBuf,
        force: bool,
    },
}

impl Output {
    /// Begins to write. A file gets `mode` less the umask, or what the umask leaves of 0666.
    pub(super) fn create(
        target: Target,
        mode: Option<u32>,
        debris: &Debris,
    ) -> Result<Self, Failure> {
        let mode = mode.unwrap_or(0o666) & 0o666;
        let of = |file, kind| Self { file, kind, debris: debris.clone() };
        match target {
            Target::Stdout => {
                let file = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::output)?;
                Ok(of(file.into(), Kind::Stdout))
            }
            Target::Device(path) => {
                let file = OpenOptions::new().write(true).open(&path);
                let file = file.map_err(|e| Failure::io("opening", Some(&path), e))?;
                Ok(of(file, Kind::Device(path)))
            }
            Target::File { path, force } => match nameless(directory(&path), mode) {
                Some(file) => Ok(of(file, Kind::Nameless { path, force })),
                None => {
                    let (file, temporary) = named(&path, mode, debris)?;
                    Ok(of(file, Kind::Named { temporary, path, force }))
                }
            },
        }
    }

    /// Another descriptor to write with.
    pub(super) fn writer(&self) -> Result<File, Failure> {
        self.file.try_clone().map_err(|error| self.failed("writing", error))
    }

    /// Makes what was written durable and gives it its name.
    ///
    /// # Errors
    /// It exists, or cannot be made durable: nothing has changed.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let (path, put) = match &self.kind {
            Kind::Stdout | Kind::Device(_) => return Ok(()),
            Kind::Nameless { path, force } => (path, self.link(path, *force)),
            Kind::Named { temporary, path, force } => {
                (path, self.synced().and_then(|()| rename(temporary, path, *force)))
            }
        };
        put.map_err(|error| {
            let kept = error.kind() == io::ErrorKind::AlreadyExists;
            let failure = self.failed("making the file", error);
            if kept { failure.hint("it is kept: --force replaces it") } else { failure }
        })?;
        self.debris.clear();
        let synced = File::open(directory(path)).and_then(|directory| directory.sync_all());
        synced.map_err(|error| self.failed("syncing its directory", error))
    }

    /// Gives a nameless file its name.
    fn link(&self, path: &Path, force: bool) -> io::Result<()> {
        self.synced()?;
        let link_to = |path: &Path| {
            let descriptor = descriptor_path(&self.file);
            rustix::fs::linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)
        };
        match link_to(path) {
            Err(Errno::EXIST) if force => {
                // A link replaces nothing: a second name does, by a rename.
                let temporary = unused(path, |name| {
                    self.debris.set(name);
                    link_to(name)
                })?;
                rename(&temporary, path, true).inspect_err(|_| self.debris.remove())
            }
            linked => Ok(linked?),
        }
    }

    fn synced(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Whether bytes went to their reader as they came.
    pub(super) fn is_stream(&self) -> bool {
        match self.kind {
            Kind::Stdout | Kind::Device(_) => true,
            Kind::Nameless { .. } | Kind::Named { .. } => false,
        }
    }

    /// `operation` on it failed.
    pub(super) fn failed(&self, operation: &str, error: io::Error) -> Failure {
        match &self.kind {
            Kind::Stdout => Failure::output(error),
            Kind::Device(path) | Kind::Nameless { path, .. } | Kind::Named { path, .. } => {
                Failure::io(operation, Some(path), error)
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Nothing, once it is finished.
        self.debris.remove();
    }
}

/// A file without a name in `directory`, where its file system has such.
fn nameless(directory: &Path, mode: u32) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, directory, flags, Mode::from_raw_mode(mode)).ok()?;
    let file = File::from(file);
    // Its name is given through `/proc`, which may not be mounted.
    descriptor_path(&file).metadata().is_ok().then_some(file)
}

fn descriptor_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// A file under a temporary name beside `path`.
fn named(path: &Path, mode: u32, debris: &Debris) -> Result<(File, PathBuf), Failure> {
    let mut made = None;
    let temporary = unused(path, |name| {
        debris.set(name);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        made = Some(rustix::fs::openat(CWD, name, flags, Mode::from_raw_mode(mode))?);
        Ok(())
    });
    let temporary = temporary.map_err(|error| Failure::io("making the file", Some(path), error))?;
    match made {
        Some(file) => Ok((file.into(), temporary)),
        None => Err(crate::Error::Unreachable("a file that was made is there").into()),
    }
}

/// A name beside `path` at which `make` made something.
fn unused(
    path: &Path,
    mut make: impl FnMut(&Path) -> rustix::io::Result<()>,
) -> io::Result<PathBuf> {
    let process = std::process::id();
    for number in 0..TEMPORARY_NAMES {
        let name = directory(path).join(format!(".portcullis-{process}-{number}.tmp"));
        match make(&name) {
            Err(Errno::EXIST) => {}
            made => return made.map(|()| name).map_err(io::Error::from),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn rename(from: &Path, to: &Path, force: bool) -> io::Result<()> {
    if force {
        return std::fs::rename(from, to);
    }
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system has no such rename; a second name is refused where the first one is.
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary names to try: those of a process of the same number that was killed may be taken.
const TEMPORARY_NAMES: u32 = 100;

#[cfg(test)]
mod tests;
