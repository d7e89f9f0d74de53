//! The anchor: a mark of the newest state, kept where the keystore is not.
//!
//! Whoever can put the whole directory back to an earlier state puts its manifest back with it; the
//! mark is what tells. It is written after a change is durable and before it is answered.
//!
//! A mark is 109 bytes, all numbers big-endian; the anchor file holds just these:
//!
//! ```text
//! offset length
//!      0      4  "PCKA"
//!      4      1  format version, 1
//!      5     16  keystore id
//!     21     16  history id
//!     37      8  generation
//!     45     32  link of that generation (see the manifest)
//!     77     32  HMAC-SHA-256[anchor key](bytes 0 to 76)
//! ```
//!
//! The MAC keeps others from making marks; an old mark put back is not detected, so the anchor
//! belongs where whoever can write the keystore cannot write.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::FORMAT_VERSION;
use super::disk::{Access, Disk};
use super::keys::{KeystoreId, StoreKeys};
use super::manifest::Manifest;
use crate::error::{KeystoreError, KeystoreProblem};

/// Where the mark is kept.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Anchor {
    /// A file, mode 0600, best on another disk.
    File(PathBuf),
    /// The host keeps it.
    Host(Arc<dyn AnchorStore>),
    /// Nowhere: an older copy of the whole keystore is not detected.
    #[default]
    None,
}

/// What a host implements to keep the mark, in its own database for instance.
///
/// Both calls run on the engine's thread and are waited for: `store` is part of every change of a
/// key.
pub trait AnchorStore: fmt::Debug + Send + Sync {
    /// The mark stored last; `None` only if there never was one.
    ///
    /// # Errors
    /// If that is not known at present. The keystore does not open then.
    fn load(&self) -> io::Result<Option<Mark>>;

    /// Makes `mark` the one that is loaded from now on, durably.
    ///
    /// # Errors
    /// If that is not certain. The change is then not answered as done.
    fn store(&self, mark: &Mark) -> io::Result<()>;
}

/// The newest state of one keystore: 109 bytes, authenticated under the keystore's own key. Not
/// secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; Self::BYTES]);

impl Mark {
    /// Length of a mark.
    pub const BYTES: usize = 109;

    /// A mark of bytes that [`Mark::as_bytes`] gave; `None` if they cannot be one. Whether it is
    /// authentic is checked by the keystore.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mark = Self(bytes.try_into().ok()?);
        let [m0, m1, m2, m3, format, ..] = mark.0;
        ([m0, m1, m2, m3] == *MAGIC && format == FORMAT_VERSION).then_some(mark)
    }

    /// The bytes to keep.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Which keystore it is of.
    #[must_use]
    pub fn keystore(&self) -> KeystoreId {
        KeystoreId::from_bytes(self.field(5))
    }

    /// Changes of the keystore so far.
    #[must_use]
    pub fn generation(&self) -> u64 {
        u64::from_be_bytes(self.field(37))
    }

    fn history(&self) -> [u8; 16] {
        self.field(21)
    }

    fn link(&self) -> [u8; 32] {
        self.field(45)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let field = self.0.get(at..).and_then(<[u8]>::first_chunk);
        *field.expect("every field lies within the mark")
    }

    /// The mark of `manifest`.
    pub(super) fn of(manifest: &Manifest, keys: &StoreKeys) -> Self {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.push(FORMAT_VERSION);
        bytes.extend_from_slice(manifest.keystore.as_bytes());
        bytes.extend_from_slice(&manifest.history);
        bytes.extend_from_slice(&manifest.generation.to_be_bytes());
        bytes.extend_from_slice(&manifest.link);
        let mac = keys.anchor.mac(&[&bytes]);
        bytes.extend_from_slice(&mac);
        Self(bytes.try_into().expect("the fields above are 109 bytes long"))
    }

    /// Whether it is a mark of the keystore with these keys.
    ///
    /// # Errors
    /// It is of another keystore, or was changed.
    pub(super) fn authenticate(
        &self,
        keystore: KeystoreId,
        keys: &StoreKeys,
    ) -> Result<(), KeystoreProblem> {
        if self.keystore() != keystore {
            return Err(KeystoreProblem::AnchorMismatch);
        }
        let (covered, mac) = self.0.split_at(Self::BYTES - 32);
        let mac = mac.first_chunk().expect("the last 32 bytes are the MAC");
        if keys.anchor.holds(&[covered], mac) {
            Ok(())
        } else {
            Err(KeystoreProblem::Damaged("mark"))
        }
    }

    /// Whether `manifest` is at least as new as this authentic mark, and follows from it. One
    /// generation more is what a crash between a change and its mark leaves.
    ///
    /// # Errors
    /// `RolledBack`, or `AnchorMismatch` for another history or a mark that lags.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), KeystoreProblem> {
        if self.history() != manifest.history {
            return Err(KeystoreProblem::AnchorMismatch);
        }
        let (found, anchored) = (manifest.generation, self.generation());
        if anchored > found {
            return Err(KeystoreProblem::RolledBack { found, anchored });
        }
        let expected = match found - anchored {
            0 => Some(manifest.link),
            1 => manifest.earlier_link,
            _ => None,
        };
        if expected == Some(self.link()) { Ok(()) } else { Err(KeystoreProblem::AnchorMismatch) }
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({}, {})", self.keystore(), self.generation())
    }
}

impl Anchor {
    /// The mark there; `None` if there is none.
    pub(super) fn load(&self, directory: &Path) -> Result<Option<Mark>, KeystoreError> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => {
                let (disk, name) = open_file(path)?;
                let Some(bytes) = disk.read(&name, Mark::BYTES)? else {
                    return Ok(None);
                };
                match Mark::from_bytes(&bytes) {
                    Some(mark) => Ok(Some(mark)),
                    None => Err(KeystoreError::new(path, KeystoreProblem::Damaged("mark"))),
                }
            }
            Self::Host(store) => store.load().map_err(|_| unavailable(directory)),
        }
    }

    pub(super) fn store(&self, directory: &Path, mark: &Mark) -> Result<(), KeystoreError> {
        match self {
            Self::None => Ok(()),
            Self::File(path) => {
                let (disk, name) = open_file(path)?;
                disk.replace(&name, &format!("{name}.tmp"), mark.as_bytes())
                    .map_err(|_| unavailable(path))
            }
            Self::Host(store) => store.store(mark).map_err(|_| unavailable(directory)),
        }
    }

    /// Makes a mark durable that was found: a killed process may not have lived to.
    pub(super) fn sync(&self) -> Result<(), KeystoreError> {
        match self {
            Self::None | Self::Host(_) => Ok(()),
            Self::File(path) => open_file(path)?.0.sync().map_err(|_| unavailable(path)),
        }
    }

    /// Whether `other` keeps the mark in the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(this), Self::File(other)) => this == other,
            (Self::Host(this), Self::Host(other)) => Arc::ptr_eq(this, other),
            (Self::None, Self::None) => true,
            (Self::File(_) | Self::Host(_) | Self::None, _) => false,
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        match self {
            Self::None => false,
            Self::File(_) | Self::Host(_) => true,
        }
    }

    /// What errors name: the file, or the keystore where the host keeps the mark.
    pub(super) fn path<'a>(&'a self, directory: &'a Path) -> &'a Path {
        match self {
            Self::None | Self::Host(_) => directory,
            Self::File(path) => path,
        }
    }
}

fn open_file(path: &Path) -> Result<(Disk, String), KeystoreError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| KeystoreError::new(path, KeystoreProblem::NotAFile))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let disk = Disk::open(parent.unwrap_or(Path::new(".")), Access::Shared)
        .map_err(|_| unavailable(path))?;
    Ok((disk, name.to_owned()))
}

fn unavailable(path: &Path) -> KeystoreError {
    KeystoreError::new(path, KeystoreProblem::AnchorUnavailable)
}

const MAGIC: &[u8; 4] = b"PCKA";
