//! Where a 256-bit key comes from that is not in a keystore: a file, the environment, systemd, or
//! the host itself.
//!
//! A key file holds exactly 32 bytes, or exactly 64 hexadecimal digits with at most one newline
//! after them; the two cannot be confused because their lengths differ. A variable holds the 64
//! digits. Anything else is refused, and so is a key whose bytes are all the same: it was filled,
//! not drawn.
//!
//! A key file is opened without following a link at its end and must be a regular file of the
//! process's own user with mode 0600 or 0400 (guideline S3), checked on the opened descriptor.

use core::fmt;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use secrecy::{ExposeSecret, SecretBox};

use crate::error::{KeystoreError, KeystoreProblem};
use crate::secret::{Secret, SecretBuffer};

/// Where a 256-bit key comes from.
#[derive(Clone)]
#[non_exhaustive]
pub enum KeySource {
    /// The systemd credential of this name (`LoadCredential=`, in `$CREDENTIALS_DIRECTORY`).
    Credential(String),
    /// The environment variable of this name: 64 hexadecimal digits.
    Env(String),
    /// A file of this process's user, mode 0600 or 0400: 32 bytes, or 64 hexadecimal digits.
    File(PathBuf),
    /// The host hands it in.
    Given(Arc<SecretBox<[u8; 32]>>),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "Credential({name:?})"),
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given(..)"),
        }
    }
}

impl KeySource {
    /// Whether it is itself the secret, and not the place where that lies.
    pub(crate) fn is_handed_in(&self) -> bool {
        match self {
            Self::Given(_) => true,
            Self::Credential(_) | Self::Env(_) | Self::File(_) => false,
        }
    }

    /// The key.
    ///
    /// # Errors
    /// [`KeystoreError`] with the file's path, or the source's name in its place.
    pub(crate) fn fetch(&self) -> Result<Secret<32>, KeystoreError> {
        match self {
            Self::Credential(name) => credential(name),
            Self::Env(name) => {
                let text = variable(name)?;
                parse_hex(text.expose()).map_err(|problem| unusable(name, problem))
            }
            Self::File(path) => read_key(path, &KEY_FILE_MODES, false),
            Self::Given(key) => {
                let copy = Secret::copy_of(key.expose_secret());
                let key = copy.ok_or_else(|| unusable("root key", "is not 32 bytes"))?;
                check_drawn(key).map_err(|problem| unusable("root key", problem))
            }
        }
    }
}

/// The value of the environment variable `name`, which is not empty.
pub(crate) fn variable(name: &str) -> Result<SecretBuffer, KeystoreError> {
    let value = std::env::var_os(name).ok_or_else(|| unusable(name, "the variable is not set"))?;
    let value = SecretBuffer::from_vec(value.into_encoded_bytes());
    if value.expose().is_empty() {
        return Err(unusable(name, "the variable is empty"));
    }
    Ok(value)
}

fn credential(name: &str) -> Result<Secret<32>, KeystoreError> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(unusable(name, "is not the name of a credential"));
    }
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| unusable(name, "CREDENTIALS_DIRECTORY is not set"))?;
    // systemd gives the file to root and lets the service read it by an ACL, whose mask shows as
    // the group's mode; the directory is the service's own.
    read_key(&Path::new(&directory).join(name), &[0o400, 0o600, 0o440], true)
}

fn read_key(path: &Path, modes: &[u32], may_be_roots: bool) -> Result<Secret<32>, KeystoreError> {
    // One byte more than the longest form, so that a longer file is told apart.
    let text = read_private(path, modes, may_be_roots, HEX_DIGITS + 2)?;
    let text = text.expose();
    let key = if text.len() == KEY_BYTES {
        Secret::copy_of(text).ok_or(NOT_A_KEY).and_then(check_drawn)
    } else {
        parse_hex(text.strip_suffix(b"\n").unwrap_or(text))
    };
    key.map_err(|problem| KeystoreError::new(path, KeystoreProblem::RootKey(problem)))
}

/// The first `most` bytes of a file that is this user's alone, into key memory.
///
/// # Errors
/// [`KeystoreError`] if it cannot be read, is no regular file, or its owner or mode is another.
pub(crate) fn read_private(
    path: &Path,
    modes: &[u32],
    may_be_roots: bool,
    most: usize,
) -> Result<SecretBuffer, KeystoreError> {
    let fail = |problem| KeystoreError::new(path, problem);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(|e| fail(open_problem(e)))?;
    let stat = fstat(&file).map_err(|e| fail(io_problem("reading the mode", e)))?;
    let stat_owner = stat.st_uid;
    check(&stat, FileType::RegularFile, modes)
        .or_else(|problem| match problem {
            KeystoreProblem::Owner { .. } if may_be_roots && stat_owner == 0 => Ok(()),
            problem => Err(problem),
        })
        .map_err(fail)?;
    let mut bytes = SecretBuffer::zeroes(most);
    let mut len = 0;
    while let Some(rest) = bytes.expose_mut().get_mut(len..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(fail(io_problem("reading", e))),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn parse_hex(digits: &[u8]) -> Result<Secret<32>, &'static str> {
    if digits.len() != HEX_DIGITS {
        return Err(NOT_A_KEY);
    }
    let key = Secret::fill_with(|key| {
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |n: usize| pair.get(n).and_then(|&c| char::from(c).to_digit(16));
            let (high, low) = digit(0).zip(digit(1)).ok_or(NOT_A_KEY)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| NOT_A_KEY)?;
        }
        Ok(())
    });
    key.and_then(check_drawn)
}

fn check_drawn(key: Secret<32>) -> Result<Secret<32>, &'static str> {
    let [first, rest @ ..] = key.expose();
    if rest.iter().all(|byte| byte == first) {
        return Err("all its bytes are the same");
    }
    Ok(key)
}

/// Whether what `stat` describes is a `kind` of this process's user with one of `modes`.
pub(crate) fn check(stat: &Stat, kind: FileType, modes: &[u32]) -> Result<(), KeystoreProblem> {
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(KeystoreProblem::NotAFile);
    }
    let (found, expected) = (stat.st_uid, rustix::process::geteuid().as_raw());
    if found != expected {
        return Err(KeystoreProblem::Owner { found, expected });
    }
    let found = stat.st_mode & 0o7777;
    match modes.first() {
        Some(&expected) if !modes.contains(&found) => {
            Err(KeystoreProblem::Mode { found, expected })
        }
        Some(_) | None => Ok(()),
    }
}

/// What a refusal to open says about the file.
pub(crate) fn open_problem(errno: rustix::io::Errno) -> KeystoreProblem {
    use rustix::io::Errno;
    match errno {
        Errno::NOENT => KeystoreProblem::Missing,
        // A link at the end of the path, a socket, something that is not a directory.
        Errno::LOOP | Errno::NXIO | Errno::NOTDIR => KeystoreProblem::NotAFile,
        errno => io_problem("opening", errno),
    }
}

/// The system's answer to `operation` as a problem.
pub(crate) fn io_problem(operation: &'static str, errno: rustix::io::Errno) -> KeystoreProblem {
    let kind = std::io::Error::from(errno).kind();
    KeystoreProblem::Io { operation, kind }
}

fn unusable(source: impl AsRef<OsStr>, problem: &'static str) -> KeystoreError {
    KeystoreError::new(source.as_ref(), KeystoreProblem::RootKey(problem))
}

/// Modes of a file with a key: its owner's alone.
pub(crate) const KEY_FILE_MODES: [u32; 2] = [0o600, 0o400];
const KEY_BYTES: usize = 32;
const HEX_DIGITS: usize = 64;
const NOT_A_KEY: &str = "it is neither 32 bytes nor 64 hexadecimal digits";

#[cfg(test)]
mod tests;
