//! The file `keystore`: which keystore this is, and its key, sealed under the root key.
//!
//! 198 bytes, all numbers big-endian:
//!
//! ```text
//! offset length
//!      0      4  "PCKS"
//!      4      1  format version, 1
//!      5     16  keystore id
//!     21      8  when the keystore was made, milliseconds since 1970-01-01T00:00:00Z
//!     29      1  root key: 1 a 256-bit key, 2 a passphrase
//!     30     32  salt
//!     62      4  Argon2id memory in KiB, 8192 to 1048576; 0 for a 256-bit key
//!     66      4  Argon2id passes, 1 to 64; 0 for a 256-bit key
//!     70      4  Argon2id lanes, 1 to 16; 0 for a 256-bit key
//!     74     32  check of the root key
//!    106     12  nonce
//!    118     32  the keystore key, sealed
//!    150     16  tag
//!    166     32  SHA-256 of bytes 0 to 165
//! ```
//!
//! `sealed || tag = AES-256-GCM-SIV[lock key](nonce, bytes 0 to 105, keystore key)` (RFC 8452);
//! lock key and check are derived in [`root`](super::root).
//!
//! The digest is no protection (anybody can make it): it tells a damaged header from a wrong root
//! key. The header as a whole is listed in the [manifest](super::manifest) like every record, so
//! that an earlier one put back is found.

use core::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::codec::{FORMAT_VERSION, Reader};
use super::keys::KeystoreId;
use super::root::{Cost, RootKey, Stretch};
use crate::clock::WallTime;
use crate::crypto::digest::sha256;
use crate::crypto::rest;
use crate::error::{KeystoreError, KeystoreProblem};
use crate::secret::Secret;

/// Length of the file.
pub(super) const HEADER_BYTES: usize = 198;

/// The fields of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: KeystoreId,
    pub(super) created: WallTime,
    pub(super) stretch: Stretch,
    salt: [u8; 32],
    check: [u8; 32],
    nonce: [u8; 12],
    sealed: [u8; 32],
    tag: [u8; 16],
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({}, {:?})", self.id, self.stretch)
    }
}

/// What is drawn anew for every header.
#[derive(Clone, Copy)]
pub(super) struct Fresh {
    pub(super) salt: [u8; 32],
    pub(super) nonce: [u8; 12],
}

impl Header {
    /// A header that locks `keystore_key` under `root`.
    pub(super) fn lock(
        id: KeystoreId,
        created: WallTime,
        root: &RootKey,
        keystore_key: &Secret<32>,
        fresh: Fresh,
    ) -> Result<Self, KeystoreError> {
        let stretch = root.stretch();
        let unlocker = root.unlocker(stretch, &fresh.salt)?;
        let mut header = Self {
            id,
            created,
            stretch,
            salt: fresh.salt,
            check: unlocker.check,
            nonce: fresh.nonce,
            sealed: [0; 32],
            tag: [0; 16],
        };
        let aad = header.authenticated();
        let mut sealed = Secret::fill_with(|out| {
            out.copy_from_slice(keystore_key.expose());
            Ok::<(), KeystoreError>(())
        })?;
        header.tag = rest::seal(unlocker.lock.expose(), &fresh.nonce, &aad, sealed.expose_mut())
            .expect("32 bytes are within the mode's bounds");
        header.sealed = *sealed.expose();
        Ok(header)
    }

    /// The keystore key.
    ///
    /// # Errors
    /// With the path of `root` if it cannot be had, else the problem of the header itself.
    pub(super) fn unlock(&self, root: &RootKey) -> Result<Secret<32>, Locked> {
        let unlocker = root.unlocker(self.stretch, &self.salt).map_err(Locked::NoRootKey)?;
        verify_slices_are_equal(&unlocker.check, &self.check)
            .map_err(|_| Locked::Header(KeystoreProblem::WrongRootKey))?;
        Secret::fill_with(|key| {
            *key = self.sealed;
            rest::open(unlocker.lock.expose(), &self.nonce, &self.authenticated(), key, &self.tag)
        })
        .map_err(|_| Locked::Header(KeystoreProblem::Damaged("sealed keystore key")))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.authenticated();
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.sealed);
        bytes.extend_from_slice(&self.tag);
        let digest = sha256(&[&bytes]);
        bytes.extend_from_slice(&digest);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, KeystoreProblem> {
        let mut fields = Reader::new(bytes);
        fields.magic(MAGIC)?;
        if bytes.len() > HEADER_BYTES {
            return Err(KeystoreProblem::TooLarge);
        }
        let (body, digest) = bytes.split_at_checked(DIGEST_AT).ok_or(KeystoreProblem::Truncated)?;
        if digest.len() != DIGEST_BYTES {
            return Err(KeystoreProblem::Truncated);
        }
        if sha256(&[body]) != digest {
            return Err(KeystoreProblem::Damaged("digest"));
        }
        let id = KeystoreId::from_bytes(fields.array()?);
        let created = WallTime::from_millis(fields.u64()?);
        let kind = fields.u8()?;
        let salt = fields.array()?;
        let cost = Cost { memory_kib: fields.u32()?, passes: fields.u32()?, lanes: fields.u32()? };
        let stretch = match kind {
            KIND_KEY if cost == NO_COST => Stretch::Key,
            KIND_PASSPHRASE if cost.is_allowed() => Stretch::Argon2id(cost),
            _ => return Err(KeystoreProblem::Damaged("root key derivation")),
        };
        Ok(Self {
            id,
            created,
            stretch,
            salt,
            check: fields.array()?,
            nonce: fields.array()?,
            sealed: fields.array()?,
            tag: fields.array()?,
        })
    }

    /// Bytes 0 to 105.
    fn authenticated(&self) -> Vec<u8> {
        let (kind, cost) = match self.stretch {
            Stretch::Key => (KIND_KEY, NO_COST),
            Stretch::Argon2id(cost) => (KIND_PASSPHRASE, cost),
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.push(FORMAT_VERSION);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.created.as_millis().to_be_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&self.salt);
        for number in [cost.memory_kib, cost.passes, cost.lanes] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.check);
        bytes
    }
}

/// Why a header does not open.
#[derive(Debug)]
pub(super) enum Locked {
    /// There is no root key to try.
    NoRootKey(KeystoreError),
    /// The header refuses it.
    Header(KeystoreProblem),
}

const MAGIC: &[u8; 4] = b"PCKS";
const DIGEST_AT: usize = 166;
const DIGEST_BYTES: usize = 32;
const KIND_KEY: u8 = 1;
const KIND_PASSPHRASE: u8 = 2;
const NO_COST: Cost = Cost { memory_kib: 0, passes: 0, lanes: 0 };
