//! The root key: where it comes from, and how it locks the keystore key.
//!
//! ```text
//! input     = the 256-bit root key
//!           | Argon2id(passphrase, salt, memory, passes, lanes, 32)     (RFC 9106, version 0x13)
//! prk       = HKDF-Extract-SHA-512(salt, input)
//! lock key  = HKDF-Expand-SHA-512(prk, "portcullis/v1/keystore/lock", 32)
//! check     = HKDF-Expand-SHA-512(prk, "portcullis/v1/keystore/check", 32)
//! ```
//!
//! The lock key seals the keystore key in the [header](super::header); the check stands there in
//! the clear, so that a wrong root key is told from a damaged header. It says no more about the
//! root key than the sealed keystore key does: either lets a guess be tried.

use core::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use zeroize::Zeroize;

use crate::backend::source::{KeySource, variable};
use crate::crypto::hkdf;
use crate::error::{Error, KeystoreError, KeystoreProblem};
use crate::secret::Secret;

/// Where the root key of a keystore comes from. It is read when the keystore is opened and wiped
/// once the keystore key is open.
///
/// Key files and credentials hold exactly 32 bytes, or exactly 64 hexadecimal digits with at most
/// one newline after them; variables hold the 64 digits. A key file must be a regular file of this
/// process's user with mode 0600 or 0400; links are not followed.
#[derive(Clone)]
#[non_exhaustive]
pub enum RootKey {
    /// The systemd credential of this name (`LoadCredential=`, in `$CREDENTIALS_DIRECTORY`).
    Credential(String),
    /// A 256-bit key in the environment variable of this name.
    Env(String),
    /// A 256-bit key in a file. Keep it on another disk than the keystore.
    File(PathBuf),
    /// A 256-bit key that the host hands in.
    Given(Arc<SecretBox<[u8; 32]>>),
    /// A passphrase that the host hands in.
    Passphrase(Arc<SecretString>),
    /// A passphrase in the environment variable of this name.
    PassphraseEnv(String),
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "Credential({name:?})"),
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Given(_) => f.write_str("Given(..)"),
            Self::Passphrase(_) => f.write_str("Passphrase(..)"),
            Self::PassphraseEnv(name) => write!(f, "PassphraseEnv({name:?})"),
        }
    }
}

/// How the root key becomes HKDF's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    /// It is a 256-bit key, and is the input.
    Key,
    /// It is a passphrase, stretched at this cost.
    Argon2id(Cost),
}

/// What Argon2id costs: RFC 9106, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// The second recommended option of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes. About 0.15
    /// seconds.
    pub(super) const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Whether a header may ask for this: between 8 MiB, or the passphrase is cheap to guess, and
    /// 1 GiB, or a forged header takes the machine's memory.
    pub(super) fn is_allowed(self) -> bool {
        (8 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=64).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

/// The two keys that a root key gives.
pub(super) struct Unlocker {
    pub(super) lock: Secret<32>,
    pub(super) check: [u8; 32],
}

impl RootKey {
    /// Whether it is itself the secret, and not the place where that lies.
    pub(crate) fn is_handed_in(&self) -> bool {
        match self {
            Self::Given(_) | Self::Passphrase(_) => true,
            Self::Credential(_) | Self::Env(_) | Self::File(_) | Self::PassphraseEnv(_) => false,
        }
    }

    /// How this kind of root key is stretched in a new header.
    pub(super) fn stretch(&self) -> Stretch {
        match self {
            Self::Credential(_) | Self::Env(_) | Self::File(_) | Self::Given(_) => Stretch::Key,
            Self::Passphrase(_) | Self::PassphraseEnv(_) => Stretch::Argon2id(Cost::DEFAULT),
        }
    }

    /// Fetches the root key and derives from it.
    pub(super) fn unlocker(
        &self,
        stretch: Stretch,
        salt: &[u8; 32],
    ) -> Result<Unlocker, KeystoreError> {
        let input = match (self.source(), stretch) {
            (Source::Key(source), Stretch::Key) => source.fetch()?,
            (Source::Passphrase(passphrase), Stretch::Argon2id(cost)) => {
                argon2id(passphrase.expose_secret().as_bytes(), salt, cost)?
            }
            (Source::PassphraseEnv(name), Stretch::Argon2id(cost)) => {
                argon2id(variable(name)?.expose(), salt, cost)?
            }
            (Source::Key(_), Stretch::Argon2id(_)) => {
                return Err(unusable("it is a key, and the keystore is under a passphrase"));
            }
            (Source::Passphrase(_) | Source::PassphraseEnv(_), Stretch::Key) => {
                return Err(unusable("it is a passphrase, and the keystore is under a key"));
            }
        };
        let expand = |label: &[u8], out: &mut [u8; 32]| {
            hkdf::derive(salt, input.expose(), &[label], out)
                .map_err(|_| unusable("nothing can be derived from it"))
        };
        let lock = Secret::fill_with(|out| expand(b"portcullis/v1/keystore/lock", out))?;
        let mut check = [0; 32];
        expand(b"portcullis/v1/keystore/check", &mut check)?;
        Ok(Unlocker { lock, check })
    }

    fn source(&self) -> Source<'_> {
        match self {
            Self::Credential(name) => Source::Key(KeySource::Credential(name.clone())),
            Self::Env(name) => Source::Key(KeySource::Env(name.clone())),
            Self::File(path) => Source::Key(KeySource::File(path.clone())),
            Self::Given(key) => Source::Key(KeySource::Given(Arc::clone(key))),
            Self::Passphrase(passphrase) => Source::Passphrase(passphrase),
            Self::PassphraseEnv(name) => Source::PassphraseEnv(name),
        }
    }
}

enum Source<'a> {
    Key(KeySource),
    Passphrase(&'a SecretString),
    PassphraseEnv(&'a str),
}

fn argon2id(passphrase: &[u8], salt: &[u8; 32], cost: Cost) -> Result<Secret<32>, KeystoreError> {
    if passphrase.is_empty() {
        return Err(unusable("the passphrase is empty"));
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| unusable("Argon2id does not take these costs"))?;
    let mut memory = vec![Block::default(); params.block_count()];
    let stretched = Secret::fill_with(|out| {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase, salt, out, &mut memory)
            .map_err(|_| unusable("Argon2id does not take the passphrase"))
    });
    memory.iter_mut().for_each(Zeroize::zeroize);
    stretched
}

fn unusable(problem: &'static str) -> KeystoreError {
    KeystoreError::new("root key", KeystoreProblem::RootKey(problem))
}

/// Makes a root key file: 32 random bytes, mode 0600 from the first byte, synced with its
/// directory. An existing file is never written over.
///
/// # Errors
/// [`KeystoreError`] with the path: `AlreadyInitialised` if there is something, or the system's
/// answer.
pub fn create_root_key_file(path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    let fail = |operation, error: &std::io::Error| {
        let kind = error.kind();
        let problem = match kind {
            std::io::ErrorKind::AlreadyExists => KeystoreProblem::AlreadyInitialised,
            kind => KeystoreProblem::Io { operation, kind },
        };
        KeystoreError::new(path, problem)
    };
    let key = Secret::<32>::fill_with(|out| aws_lc_rs::rand::fill(out))
        .map_err(|_| KeystoreError::new(path, KeystoreProblem::NoRandomness))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(|e| fail("making the file", &e))?;
    let written = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o600))
        .map_err(std::io::Error::from)
        .and_then(|()| file.write_all(key.expose()))
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        });
    if let Err(error) = written {
        // Half a key must not look like one.
        let _ = std::fs::remove_file(path);
        return Err(fail("writing the file", &error).into());
    }
    Ok(())
}
