//! Where a secret text comes from: the environment, a file, or the host itself.
//!
//! A file is read anew for each use, by a thread that may block, and through links: Kubernetes and
//! systemd deliver secrets by links that are exchanged at once. It must be a regular file of this
//! process's user or of root, which nobody but its owner may change and, unless the platform
//! delivers it so, nobody outside its group may read (Vault's agent writes mode 0640).

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::CredentialError;
use crate::limits::VAULT_SECRET_BYTES_MAX;
use crate::secret::SecretBuffer;

/// Where a secret text comes from. It is never written into a configuration.
#[derive(Clone)]
#[non_exhaustive]
pub enum SecretSource {
    /// The environment variable of this name.
    Env(String),
    /// The file at this path, read again when it changes; one newline at its end is not part of it.
    File(PathBuf),
    /// The host hands it in.
    Given(Arc<SecretString>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name})"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given(..)"),
        }
    }
}

/// Who may read a secret's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner and its group.
    Group,
    /// Whoever the platform lets: in a pod the mount is the boundary.
    Platform,
}

impl SecretSource {
    /// The secret as it is now.
    ///
    /// # Errors
    /// [`CredentialError::Source`] with what is wrong; the log names the place.
    pub(super) async fn read(&self, readers: Readers) -> Result<SecretBuffer, CredentialError> {
        let source = self.clone();
        let read = tokio::task::spawn_blocking(move || source.read_now(readers)).await;
        let read = read.unwrap_or(Err("reading the secret was cut off"));
        read.map_err(|problem| {
            tracing::warn!(source = ?self, problem, "a secret for Vault cannot be had");
            CredentialError::Source(problem)
        })
    }

    fn read_now(&self, readers: Readers) -> Result<SecretBuffer, &'static str> {
        let text = match self {
            Self::Env(name) => {
                let value = std::env::var_os(name).ok_or("the secret's variable is not set")?;
                SecretBuffer::from_vec(value.into_encoded_bytes())
            }
            Self::File(path) => read_file(path, readers)?,
            Self::Given(text) => copied(text.expose_secret().as_bytes()),
        };
        let bytes = text.expose();
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Err("the secret's source is empty");
        }
        if line.len() > VAULT_SECRET_BYTES_MAX {
            return Err("the secret is too long to be one");
        }
        if !line.iter().all(u8::is_ascii_graphic) {
            return Err("the secret is not one line of visible ASCII without blanks");
        }
        Ok(if line.len() == bytes.len() { text } else { copied(line) })
    }

    /// What tells one content from another without being it, as cheaply as the source allows.
    pub(super) async fn mark(&self) -> Option<Mark> {
        match self {
            Self::Env(name) => {
                let value = SecretBuffer::from_vec(std::env::var_os(name)?.into_encoded_bytes());
                Some(Mark::Digest(digest(&value)))
            }
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || file_mark(&path)).await.ok().flatten()
            }
            Self::Given(_) => None,
        }
    }
}

/// See [`SecretSource::mark`].
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Mark {
    Digest([u8; 32]),
    File { device: u64, inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
}

/// A source that is looked at now and then. What it was when first looked at is not a change.
pub(super) struct Watched {
    seen: std::sync::Mutex<Option<Mark>>,
}

impl Watched {
    pub(super) fn new() -> Self {
        Self { seen: std::sync::Mutex::new(None) }
    }

    /// Takes what `source` holds now as known: it is about to be read.
    pub(super) async fn note(&self, source: &SecretSource) {
        let mark = source.mark().await;
        *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = mark;
    }

    /// Whether `source` holds something else than when this was asked last. One that is away is
    /// being replaced.
    pub(super) async fn has_changed(&self, source: &SecretSource) -> bool {
        let Some(mark) = source.mark().await else {
            return false;
        };
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = seen.replace(mark);
        before.is_some() && before != *seen
    }
}

fn file_mark(path: &Path) -> Option<Mark> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Mark::File {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// SHA-256 of a secret (FIPS 180-4): tells whether it is the one that was used before.
pub(super) fn digest(secret: &SecretBuffer) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}

/// `document` as JSON, written straight into memory that is wiped.
pub(super) fn json(document: &impl Serialize) -> SecretBuffer {
    struct Into(SecretBuffer);
    impl std::io::Write for Into {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut into = Into(SecretBuffer::with_capacity(1024));
    serde_json::to_writer(&mut into, document).expect("texts are JSON, and memory takes them");
    into.0
}

/// The text of a secret that was read: visible ASCII.
pub(super) fn text(secret: &SecretBuffer) -> &str {
    core::str::from_utf8(secret.expose()).unwrap_or_default()
}

/// Another place with the same secret.
pub(super) fn copy(secret: &SecretBuffer) -> SecretBuffer {
    copied(secret.expose())
}

fn copied(bytes: &[u8]) -> SecretBuffer {
    let mut copy = SecretBuffer::with_capacity(bytes.len());
    copy.push(bytes);
    copy
}

fn read_file(path: &Path, readers: Readers) -> Result<SecretBuffer, &'static str> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())
        .map_err(|_errno| "the secret's file cannot be opened")?;
    let stat = fstat(&file).map_err(|_errno| "the secret's file cannot be looked at")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("the secret's file is not a regular file");
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err("the secret's file belongs to another user");
    }
    if stat.st_mode & 0o022 != 0 {
        return Err("others than its owner may change the secret's file");
    }
    if readers == Readers::Group && stat.st_mode & 0o007 != 0 {
        return Err("everybody may read the secret's file");
    }
    // One byte more than the longest with its newline, so that a longer file is told apart.
    let mut text = vec![0; VAULT_SECRET_BYTES_MAX + 3];
    let mut len = 0;
    while let Some(rest) = text.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(_errno) => {
                drop(SecretBuffer::from_vec(text));
                return Err("the secret's file cannot be read");
            }
        }
    }
    let whole = SecretBuffer::from_vec(text);
    Ok(copied(whole.expose().get(..len).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(directory: &tempfile::TempDir, content: &[u8], mode: u32) -> SecretSource {
        let path = directory.path().join("secret");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        SecretSource::File(path)
    }

    fn read(source: &SecretSource, readers: Readers) -> Result<String, &'static str> {
        source.read_now(readers).map(|secret| text(&secret).to_owned())
    }

    #[test]
    fn a_secret_is_one_line_of_visible_ascii() {
        let directory = tempfile::tempdir().unwrap();
        for (content, expected) in [
            (&b"s.abc"[..], Ok("s.abc")),
            (b"s.abc\n", Ok("s.abc")),
            (b"s.abc\r\n", Ok("s.abc")),
            (b"", Err("the secret's source is empty")),
            (b"\n", Err("the secret's source is empty")),
            (b"s.abc\n\n", Err("the secret is not one line of visible ASCII without blanks")),
            (b"s.a bc", Err("the secret is not one line of visible ASCII without blanks")),
            (b"s.a\xffbc", Err("the secret is not one line of visible ASCII without blanks")),
        ] {
            let read = read(&file(&directory, content, 0o600), Readers::Group);
            assert_eq!(read.as_deref(), expected.as_deref(), "{content:?}");
        }
        let longest = vec![b'a'; VAULT_SECRET_BYTES_MAX];
        assert!(read(&file(&directory, &longest, 0o600), Readers::Group).is_ok());
        let longer = vec![b'a'; VAULT_SECRET_BYTES_MAX + 10];
        assert!(read(&file(&directory, &longer, 0o600), Readers::Group).is_err());
    }

    #[test]
    fn a_file_that_others_may_change_or_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, group, platform) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, true, true),
            (0o644, false, true),
            (0o660, false, false),
            (0o602, false, false),
        ] {
            let source = file(&directory, b"s.abc", mode);
            assert_eq!(read(&source, Readers::Group).is_ok(), group, "{mode:o}");
            assert_eq!(read(&source, Readers::Platform).is_ok(), platform, "{mode:o}");
        }
        let away = SecretSource::File(directory.path().join("away"));
        assert_eq!(read(&away, Readers::Group), Err("the secret's file cannot be opened"));
        let directory = SecretSource::File(directory.path().to_owned());
        assert_eq!(
            read(&directory, Readers::Group),
            Err("the secret's file is not a regular file")
        );
    }

    #[tokio::test]
    async fn a_file_that_is_exchanged_or_rewritten_has_changed_once() {
        let directory = tempfile::tempdir().unwrap();
        let source = file(&directory, b"one", 0o600);
        let watched = Watched::new();
        assert!(!watched.has_changed(&source).await, "what is there at first is no change");
        assert!(!watched.has_changed(&source).await);
        let next = directory.path().join("next");
        std::fs::write(&next, b"two").unwrap();
        std::fs::rename(&next, directory.path().join("secret")).unwrap();
        assert!(watched.has_changed(&source).await);
        assert!(!watched.has_changed(&source).await);
        std::fs::remove_file(directory.path().join("secret")).unwrap();
        assert!(!watched.has_changed(&source).await, "it is being replaced");
    }
}
