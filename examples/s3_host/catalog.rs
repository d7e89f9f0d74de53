//! Buckets and what is in them: entries on disk, one directory per bucket.
//!
//! Entries are read as they are needed, all of a bucket for a listing: a real store has an index.
//! What changes entries does so one after the other, under [`Catalog::change`].

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis::clock::{Clock, SystemClock};
use portcullis::s3::{BucketEncryption, S3Error as Refusal, Stored};
use s3s::dto::Timestamp;
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::answer::internal;
use crate::disk::{self, Kind, NewBody};

/// All buckets.
pub struct Catalog {
    root: PathBuf,
    changes: Mutex<()>,
}

/// A bucket.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketEntry {
    pub created: Time,
    pub encryption: BucketEncryption,
}

/// An object: what its client stated, and what the engine needs to open it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectEntry {
    pub key: String,
    pub modified: Time,
    /// Bytes of its plaintext, for listings; reading it goes by the record.
    pub size: u64,
    /// Its ETag where that is random, for listings. One that is a digest tells of the plaintext and
    /// is sealed in the record alone.
    pub open_etag: Option<String>,
    pub headers: Headers,
    pub encryption: Encrypted,
    /// The engine's record of the object.
    #[serde(with = "base64_bytes")]
    pub record: Vec<u8>,
    /// The engine's table of its parts; empty for an object that was put whole.
    #[serde(with = "base64_bytes")]
    pub part_table: Vec<u8>,
    /// The file in `bodies`.
    pub body: String,
    /// Where each part begins in that file; empty for an object that was put whole.
    pub parts: BTreeMap<u16, u64>,
}

/// An upload under way.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadEntry {
    pub key: String,
    pub created: Time,
    pub headers: Headers,
    pub encryption: Encrypted,
    /// The engine's record of the upload.
    #[serde(with = "base64_bytes")]
    pub record: Vec<u8>,
}

/// A part of an upload under way.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartEntry {
    pub modified: Time,
    /// The engine's record of the part.
    #[serde(with = "base64_bytes")]
    pub record: Vec<u8>,
    /// The file in `bodies`.
    pub body: String,
}

/// How something is encrypted, as [`Stored`] gives it to be stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encrypted(BTreeMap<String, String>);

impl Encrypted {
    pub fn new(stored: &Stored) -> Self {
        let pairs = stored.to_metadata().into_iter();
        Self(pairs.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub fn stored(&self) -> Result<Stored, Refusal> {
        let value = |name: &str| self.0.get(name).map(String::as_str);
        // This host encrypts everything: what says otherwise was changed.
        Stored::from_metadata(value)?.ok_or_else(|| {
            tracing::error!("an entry says that its object is not encrypted");
            Refusal::internal()
        })
    }
}

/// What a client stated to be given back on reading.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    pub fn now() -> Self {
        Self(SystemClock::default().wall().as_millis())
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        // S3 tells seconds.
        let since = core::time::Duration::from_secs(time.0 / 1000);
        Self::from(SystemTime::UNIX_EPOCH + since)
    }
}

impl Catalog {
    /// The buckets under `root`, and away with what a crash left.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        for directory in disk::list(root, Kind::Directories)? {
            let bucket = BucketFiles { directory };
            if disk::read_entry::<BucketEntry>(&bucket.entry())?.is_none() {
                disk::remove(&bucket.directory);
                continue;
            }
            bucket.sweep()?;
        }
        Ok(Self { root: root.to_owned(), changes: Mutex::new(()) })
    }

    /// Held while entries are changed.
    pub async fn change(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// The files of the bucket called `name`, which `s3s` has checked to be a bucket's name: it has
    /// no slash and is not `.` or `..`.
    pub fn bucket(&self, name: &str) -> S3Result<BucketFiles> {
        let bucket = BucketFiles { directory: self.root.join(name) };
        if bucket.entry().exists() {
            return Ok(bucket);
        }
        Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) -> S3Result<()> {
        let bucket = BucketFiles { directory: self.root.join(name) };
        if bucket.entry().exists() {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        let directories = [bucket.objects(), bucket.uploads(), bucket.bodies()];
        directories.iter().try_for_each(fs::create_dir_all).map_err(internal)?;
        // As S3 does since 2023: whatever a request states, nothing is stored in the clear.
        let encryption = BucketEncryption::sse_s3();
        let entry = BucketEntry { created: Time::now(), encryption };
        disk::write_entry(&bucket.entry(), &entry).map_err(internal)
    }

    /// Removes a bucket that is empty.
    pub fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let bucket = self.bucket(name)?;
        let objects = disk::list(&bucket.objects(), Kind::Entries).map_err(internal)?;
        let uploads = disk::list(&bucket.uploads(), Kind::Directories).map_err(internal)?;
        if !objects.is_empty() || !uploads.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        disk::remove_entry(&bucket.entry()).map_err(internal)?;
        disk::remove(&bucket.directory);
        Ok(())
    }

    /// Every bucket, by name.
    pub fn buckets(&self) -> S3Result<BTreeMap<String, BucketEntry>> {
        let mut buckets = BTreeMap::new();
        for directory in disk::list(&self.root, Kind::Directories).map_err(internal)? {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(entry) = disk::read_entry(&directory.join(ENTRY)).map_err(internal)? {
                buckets.insert(name, entry);
            }
        }
        Ok(buckets)
    }
}

/// Where the files of one bucket lie.
pub struct BucketFiles {
    directory: PathBuf,
}

impl BucketFiles {
    pub fn entry(&self) -> PathBuf {
        self.directory.join(ENTRY)
    }

    pub fn bodies(&self) -> PathBuf {
        self.directory.join("bodies")
    }

    pub fn body(&self, name: &str) -> PathBuf {
        self.bodies().join(name)
    }

    /// The entry of an object. Keys have up to 1,024 bytes of any kind, file names 255.
    pub fn object(&self, key: &str) -> PathBuf {
        let name = hex::encode(digest(&SHA256, key.as_bytes()));
        self.objects().join(format!("{name}.json"))
    }

    pub fn upload(&self, id: &str) -> PathBuf {
        self.uploads().join(id)
    }

    fn objects(&self) -> PathBuf {
        self.directory.join("objects")
    }

    pub fn uploads(&self) -> PathBuf {
        self.directory.join("uploads")
    }

    /// The bucket's entry.
    pub fn read(&self) -> S3Result<BucketEntry> {
        let entry = disk::read_entry(&self.entry()).map_err(internal)?;
        entry.ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// The entry of an object.
    pub fn read_object(&self, key: &str) -> S3Result<ObjectEntry> {
        let entry = disk::read_entry(&self.object(key)).map_err(internal)?;
        entry.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    /// Puts `entry` in place of what its key named, with `body` where that is new. The caller holds
    /// [`Catalog::change`].
    pub fn replace_object(&self, entry: &ObjectEntry, body: Option<NewBody>) -> S3Result<()> {
        let path = self.object(&entry.key);
        let old = disk::read_entry::<ObjectEntry>(&path).map_err(internal)?;
        let written = disk::write_entry(&path, entry);
        if let Some(body) = body {
            // Named or not: whether a failed write is on disk is known at the next start.
            body.keep();
        }
        written.map_err(internal)?;
        if let Some(old) = old.filter(|old| old.body != entry.body) {
            disk::remove(&self.body(&old.body));
        }
        Ok(())
    }

    /// Removes an object, if there is one. The caller holds [`Catalog::change`].
    pub fn remove_object(&self, key: &str) -> S3Result<()> {
        let path = self.object(key);
        let old = disk::read_entry::<ObjectEntry>(&path).map_err(internal)?;
        if let Some(old) = old {
            disk::remove_entry(&path).map_err(internal)?;
            disk::remove(&self.body(&old.body));
        }
        Ok(())
    }

    /// The entry of an upload, which is of `key`.
    pub fn read_upload(&self, id: &str, key: &str) -> S3Result<UploadEntry> {
        let gone = || {
            s3_error!(
                NoSuchUpload,
                "The specified upload does not exist. The upload ID may be invalid, or the upload \
                 may have been aborted or completed."
            )
        };
        // It becomes a file name: only one that this host gave out.
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(gone());
        }
        let entry = disk::read_entry(&self.upload(id).join(UPLOAD)).map_err(internal)?;
        entry.filter(|entry: &UploadEntry| entry.key == key).ok_or_else(gone)
    }

    /// Puts a part of an upload in place of an earlier one of its number. The caller holds
    /// [`Catalog::change`].
    pub fn replace_part(
        &self,
        id: &str,
        number: u16,
        part: &PartEntry,
        body: NewBody,
    ) -> S3Result<()> {
        let path = self.upload(id).join(format!("{number}.json"));
        let old = disk::read_entry::<PartEntry>(&path).map_err(internal)?;
        let written = disk::write_entry(&path, part);
        body.keep();
        written.map_err(internal)?;
        if let Some(old) = old {
            disk::remove(&self.body(&old.body));
        }
        Ok(())
    }

    /// Removes an upload and the bodies of its parts. The caller holds [`Catalog::change`].
    pub fn remove_upload(&self, id: &str) -> S3Result<()> {
        let parts = self.read_parts(id).map_err(internal)?;
        // Without its entry it is none, whatever is left of it.
        disk::remove_entry(&self.upload(id).join(UPLOAD)).map_err(internal)?;
        disk::remove(&self.upload(id));
        parts.values().for_each(|part| disk::remove(&self.body(&part.body)));
        Ok(())
    }

    /// The parts of an upload, by number.
    pub fn read_parts(&self, id: &str) -> io::Result<BTreeMap<u16, PartEntry>> {
        let mut parts = BTreeMap::new();
        for path in disk::list(&self.upload(id), Kind::Entries)? {
            // The upload's own entry is there too.
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let Some(number) = number
                && let Some(entry) = disk::read_entry(&path)?
            {
                parts.insert(number, entry);
            }
        }
        Ok(parts)
    }

    /// Every upload under way, with its id.
    pub fn read_uploads(&self) -> io::Result<Vec<(String, UploadEntry)>> {
        let mut uploads = Vec::new();
        for directory in disk::list(&self.uploads(), Kind::Directories)? {
            let id = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(entry) = disk::read_entry(&directory.join(UPLOAD))? {
                uploads.push((id, entry));
            }
        }
        Ok(uploads)
    }

    /// Every object, by key.
    pub fn read_objects(&self) -> io::Result<BTreeMap<String, ObjectEntry>> {
        let mut objects = BTreeMap::new();
        for path in disk::list(&self.objects(), Kind::Entries)? {
            // One that was removed since is none.
            if let Some(entry) = disk::read_entry::<ObjectEntry>(&path)? {
                objects.insert(entry.key.clone(), entry);
            }
        }
        Ok(objects)
    }

    fn sweep(&self) -> io::Result<()> {
        let objects = self.read_objects()?.into_values().map(|entry| entry.body);
        let mut named: HashSet<String> = objects.collect();
        for upload in disk::list(&self.uploads(), Kind::Directories)? {
            let id = upload.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if upload.join(UPLOAD).exists() {
                named.extend(self.read_parts(&id)?.into_values().map(|entry| entry.body));
                disk::sweep(&upload, &HashSet::new())?;
            } else {
                disk::remove(&upload);
            }
        }
        disk::sweep(&self.objects(), &HashSet::new())?;
        disk::sweep(&self.bodies(), &named)
    }
}

const ENTRY: &str = "bucket.json";
/// The entry of an upload, in its directory.
pub const UPLOAD: &str = "upload.json";

/// Bytes as base64 in JSON.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
