//! Files of one directory, each durable step by name: the only file that changes a keystore.
//!
//! Invariants:
//!
//! 1. A file is made with mode 0600 from its first byte, whatever the umask, and never where a name
//!    is taken.
//! 2. No link is followed, and owner, kind and mode are checked on the opened descriptor.
//! 3. A file's content is synced before its name is changed, and the directory after.
//!
//! In tests every durable step is counted and can be made to fail, to be cut short, or to be the
//! last one (`disk/fault.rs`).

#[cfg(test)]
pub(super) mod fault;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::backend::source::{check, io_problem, open_problem};
use crate::error::{KeystoreError, KeystoreProblem};

/// An opened directory.
pub(super) struct Disk {
    directory: OwnedFd,
    path: PathBuf,
}

/// Whose the directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The keystore's: mode 0700, of this user.
    Private,
    /// Somebody's; only the file in it is checked.
    Shared,
}

impl Disk {
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, KeystoreError> {
        let fail = |problem| KeystoreError::new(path, problem);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let flags = match access {
            Access::Private => flags | OFlags::NOFOLLOW,
            Access::Shared => flags,
        };
        let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| fail(open_problem(errno)))?;
        if access == Access::Private {
            rustix::fs::fstat(&directory)
                .map_err(|errno| io_problem("reading the mode", errno))
                .and_then(|stat| check(&stat, FileType::Directory, &[0o700]))
                .map_err(fail)?;
        }
        let path = path.to_owned();
        Ok(Self { directory, path })
    }

    /// Makes the directory if there is none, and opens it.
    pub(super) fn create(path: &Path) -> Result<Self, KeystoreError> {
        let fail = |operation| move |errno| KeystoreError::new(path, io_problem(operation, errno));
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) => {
                // The umask may have taken bits away.
                rustix::fs::chmod(path, Mode::RWXU).map_err(fail("setting the mode"))?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                Self::open(parent.unwrap_or(Path::new(".")), Access::Shared)?.sync()?;
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail("making the directory")(errno)),
        }
        Self::open(path, Access::Private)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `problem` of the file `name`.
    pub(super) fn error(&self, name: &str, problem: KeystoreProblem) -> KeystoreError {
        KeystoreError::new(self.path.join(name), problem)
    }

    /// The names in the directory, sorted; one that is not UTF-8 is a foreign file.
    pub(super) fn names(&self) -> Result<Vec<String>, KeystoreError> {
        let fail =
            |errno| KeystoreError::new(&self.path, io_problem("listing the directory", errno));
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => {
                    let name = entry.file_name().to_string_lossy();
                    return Err(self.error(&name, KeystoreProblem::Foreign));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The file `name`, at most `max` bytes; `None` if there is none.
    pub(super) fn read(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, KeystoreError> {
        match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => self.read_all(name, &file, max).map(Some),
            Err(error) if error.problem == KeystoreProblem::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_all(&self, name: &str, file: &OwnedFd, max: usize) -> Result<Vec<u8>, KeystoreError> {
        let fail = |errno| self.error(name, io_problem("reading", errno));
        let size = rustix::fs::fstat(file).map_err(fail)?.st_size;
        let size = usize::try_from(size).ok().filter(|&size| size <= max);
        let size = size.ok_or_else(|| self.error(name, KeystoreProblem::TooLarge))?;
        let mut bytes = vec![0; size];
        let mut len = 0;
        while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match rustix::io::read(file, rest) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Opens `name` and checks that it is the keystore's own.
    fn open_file(&self, name: &str, access: OFlags) -> Result<OwnedFd, KeystoreError> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())
            .map_err(|errno| self.error(name, open_problem(errno)))?;
        let stat = rustix::fs::fstat(&file)
            .map_err(|errno| self.error(name, io_problem("reading the mode", errno)))?;
        check(&stat, FileType::RegularFile, &[0o600])
            .map_err(|problem| self.error(name, problem))?;
        Ok(file)
    }

    /// Takes the lock that is the file `name`.
    pub(super) fn lock(&self, name: &str) -> Result<Lock, KeystoreError> {
        let file = self.open_file(name, OFlags::RDWR)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { file, process: rustix::process::getpid() }),
            Err(Errno::WOULDBLOCK) => Err(self.error(name, KeystoreProblem::Locked)),
            Err(errno) => Err(self.error(name, io_problem("locking", errno))),
        }
    }

    /// Makes the file `name` with `bytes` and syncs it; its name is durable after [`Disk::sync`].
    pub(super) fn create_file(&self, name: &str, bytes: &[u8]) -> Result<OwnedFd, KeystoreError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = self.step("making the file", name, || {
            #[cfg(test)]
            fault::making(&self.path, name);
            let file = rustix::fs::openat(&self.directory, name, flags, mode)?;
            // The umask may have taken bits away.
            rustix::fs::fchmod(&file, mode)?;
            Ok(file)
        })?;
        self.write(name, &file, bytes, 0)?;
        self.sync_file(name, &file)?;
        Ok(file)
    }

    /// Puts a file with `bytes` in the place of `name`, made as `temporary` first. Durable when
    /// this returns.
    pub(super) fn replace(
        &self,
        name: &str,
        temporary: &str,
        bytes: &[u8],
    ) -> Result<(), KeystoreError> {
        // Left by a crash; whoever opened the keystore has checked that it is one of ours.
        self.remove(temporary)?;
        self.create_file(temporary, bytes)?;
        self.rename(temporary, name)
    }

    /// Gives `from` the name `to`, durably.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), KeystoreError> {
        self.step("renaming the file", to, || {
            #[cfg(test)]
            fault::renaming(&self.path, from, to);
            rustix::fs::renameat(&self.directory, from, &self.directory, to)
        })?;
        self.sync()
    }

    /// Whether `name`, if it is there, is a file, which can be removed.
    pub(super) fn check_removable(&self, name: &str) -> Result<bool, KeystoreError> {
        match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error(name, io_problem("reading the mode", errno))),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(true),
            Ok(_) => Err(self.error(name, KeystoreProblem::NotAFile)),
        }
    }

    /// Removes `name` if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), KeystoreError> {
        if !self.check_removable(name)? {
            return Ok(());
        }
        self.step("removing the file", name, || {
            #[cfg(test)]
            fault::removing(&self.path, name);
            rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())
        })
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync(&self) -> Result<(), KeystoreError> {
        self.step("syncing the directory", "", || rustix::fs::fsync(&self.directory))?;
        #[cfg(test)]
        fault::directory_synced(&self.path);
        Ok(())
    }

    /// Opens `name`, `len` bytes long, to append to it.
    pub(super) fn open_log(&self, name: &'static str, len: u64) -> Result<Log, KeystoreError> {
        let file = self.open_file(name, OFlags::RDWR)?;
        Ok(Log { file, name, len })
    }

    fn write(
        &self,
        name: &str,
        file: &OwnedFd,
        bytes: &[u8],
        at: u64,
    ) -> Result<(), KeystoreError> {
        self.step("writing", name, || {
            #[cfg(test)]
            let bytes = fault::writing(&self.path, name, at, bytes);
            let (mut rest, mut at) = (bytes, at);
            while !rest.is_empty() {
                match rustix::io::pwrite(file, rest, at) {
                    // Nothing was written and no reason given: full, whatever the reason.
                    Ok(0) => return Err(Errno::NOSPC),
                    Ok(written) => {
                        rest = rest.get(written..).unwrap_or_default();
                        at += u64::try_from(written).unwrap_or_default();
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            #[cfg(test)]
            fault::written()?;
            Ok(())
        })
    }

    fn sync_file(&self, name: &str, file: &OwnedFd) -> Result<(), KeystoreError> {
        self.step("syncing the file", name, || rustix::fs::fsync(file))?;
        #[cfg(test)]
        fault::file_synced(&self.path, name);
        Ok(())
    }

    /// One durable step.
    fn step<T>(
        &self,
        operation: &'static str,
        name: &str,
        act: impl FnOnce() -> rustix::io::Result<T>,
    ) -> Result<T, KeystoreError> {
        #[cfg(test)]
        let done = fault::step(operation).and_then(|()| act());
        #[cfg(not(test))]
        let done = act();
        done.map_err(|errno| {
            let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
            KeystoreError::new(path, io_problem(operation, errno))
        })
    }
}

/// The lock (`flock`) of a keystore, given back when dropped.
pub(super) struct Lock {
    file: OwnedFd,
    process: rustix::process::Pid,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that the host is just starting shares the descriptor
        // from its fork to its exec, and would hold the lock that long. A fork that lives on must
        // not give back its parent's.
        if rustix::process::getpid() == self.process {
            let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
        }
    }
}

/// A file that grows at its end.
pub(super) struct Log {
    file: OwnedFd,
    name: &'static str,
    len: u64,
}

impl Log {
    /// Writes `bytes` at the end; durable after [`Log::sync`].
    pub(super) fn append(&mut self, disk: &Disk, bytes: &[u8]) -> Result<(), KeystoreError> {
        disk.write(self.name, &self.file, bytes, self.len)?;
        self.len += u64::try_from(bytes.len()).expect("a length fits 64 bits");
        Ok(())
    }

    pub(super) fn sync(&self, disk: &Disk) -> Result<(), KeystoreError> {
        disk.sync_file(self.name, &self.file)
    }

    /// Cuts the file to `len` bytes, durably.
    pub(super) fn truncate(&mut self, disk: &Disk, len: u64) -> Result<(), KeystoreError> {
        disk.step("cutting the file", self.name, || {
            #[cfg(test)]
            fault::truncating(disk.path(), self.name);
            rustix::fs::ftruncate(&self.file, len)
        })?;
        self.len = len;
        self.sync(disk)
    }
}
