//! Objects as an object store keeps them: put whole or in parts, read whole or by range, moved to
//! other keys and modes, under the engine's keys or a customer's.
//!
//! # What is stored where
//!
//! | of | the host stores | beside |
//! |---|---|---|
//! | an object that was put whole | its body | its [`ObjectRecord`] |
//! | an upload that is under way | the body of each part | an [`UploadRecord`], and a [`PartRecord`] for each part |
//! | an object that was put in parts | the body of each part | its [`ObjectRecord`] and its [`PartTable`] |
//!
//! A body is exactly what [C2SP chunked-encryption](https://c2sp.org/chunked-encryption) describes:
//! 56 bytes, then chunks of 16 KiB with a tag of 16 bytes each. Records have some hundred bytes.
//! None of it is secret, and none of it is believed before it has authenticated
//! ([`mod@format`](super::format), section 8).
//!
//! An object is bound to bucket, name and the caller's [`EncryptionContext`]: whoever opens it
//! states them again. A host that versions objects puts the version's id into the context:
//! otherwise a whole earlier version, record and all, put back under the same name, is as good as
//! the newest.
//!
//! # Whole objects and ranges
//!
//! ```
//! # #[cfg(feature = "local")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use portcullis::clock::{Clock, SystemClock};
//! # use portcullis::config::Config;
//! # use portcullis::key::KeyId;
//! # use portcullis::keystore::{
//! #     Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init,
//! # };
//! # let directory = tempfile::tempdir()?;
//! # let root_key = directory.path().join("root.key");
//! # create_root_key_file(&root_key)?;
//! # let anchor = Anchor::File(directory.path().join("mark"));
//! # let local = LocalConfig::new(directory.path().join("keys"), RootKey::File(root_key), anchor);
//! # let mut options = InitOptions::new(SystemClock::default().wall());
//! # options.default_key = Some(KeyId::new("default")?);
//! # init(&local, options)?;
//! # let engine = portcullis::Engine::start(Config::new(local)).await?;
//! # let kms = engine.kms();
//! use portcullis::context::EncryptionContext;
//! use portcullis::objects::{ByteRange, Facts, ObjectName, ObjectRecord, Protection};
//! use tokio::io::AsyncReadExt;
//!
//! let name = ObjectName::new("photos", "2026/cat.jpg")?;
//! let context = EncryptionContext::new();
//! let picture: &[u8] = &[7; 100_000];
//!
//! // PUT. The result reads as the body; the record is made when all of it was read. The ETag and
//! // the checksums that the host computed meanwhile are sealed into it.
//! let mut sealing = kms.seal_object(&name, &context, Protection::SseS3, picture).await?;
//! let mut body = Vec::new();
//! sealing.read_to_end(&mut body).await?;
//! let facts = Facts::new().with_etag("\"9b2cf535f27731c974343645a3985328\"")?;
//! let record: Vec<u8> = sealing.finish(&facts)?.as_bytes().to_vec();
//!
//! // HEAD. Opening a record authenticates it; the body is not touched.
//! let record = ObjectRecord::from_bytes(&record)?;
//! let object = kms.open_object(&name, &context, &record, None, None).await?;
//! assert_eq!(object.plain_size(), 100_000);
//! assert_eq!(object.facts().etag(), Some("\"9b2cf535f27731c974343645a3985328\""));
//!
//! // GET, from one reader that gives the whole body.
//! let mut plain = Vec::new();
//! object.read(object.whole()?, &body[..]).await?.read_to_end(&mut plain).await?;
//! assert!(plain == picture);
//!
//! // GET with `Range: bytes=-1000`. The plan says which sealed bytes it takes.
//! let plan = object.range(ByteRange::Suffix { length: 1000 })?;
//! assert_eq!(plan.plain(), 99_000..100_000);
//! let sealed = plan.sealed().next().expect("one body, one stretch");
//! assert_eq!((sealed.offset, sealed.length), (56 + 6 * 16_400, 100_000 % 16_384 + 16));
//! let mut end = Vec::new();
//! object.read_from(plan, &body[..]).await?.read_to_end(&mut end).await?;
//! assert!(end == picture[99_000..]);
//!
//! // Another name, another context: it does not open.
//! let other = ObjectName::new("photos", "2026/dog.jpg")?;
//! assert!(kms.open_object(&other, &context, &record, None, None).await.is_err());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "local"))]
//! # fn main() {}
//! ```
//!
//! [`StoredObject::read`] takes one reader that gives the plan's sealed bytes, one range after the
//! other, and ends with them: for a whole object a byte too many is found. [`StoredObject::read_from`]
//! takes a [`RangedSource`], which is asked for one range after the other as the plaintext is read:
//! a file, memory, a `GET` with `Range` at another store. Memory stays constant either way.
//!
//! Plaintext of a chunk is given once that chunk has opened, and the last byte of a body once its
//! end has. What was given before an error is authentic and is not all: the error must reach the
//! client, as a connection that is cut.
//!
//! A small object of at most 64 KiB goes through in one call, without a stream:
//! [`Kms::seal_small_object`], [`Kms::open_small_object`]. What is stored is the same.
//!
//! | [`ByteRange`] | S3 | of 10 bytes |
//! |---|---|---|
//! | `From { first: 4 }` | `bytes=4-` | 4 to 9 |
//! | `Inclusive { first: 4, last: 99 }` | `bytes=4-99` | 4 to 9 |
//! | `Suffix { length: 4 }` | `bytes=-4` | 6 to 9 |
//! | `Exact { start: 4, length: 2 }` | - | 4 and 5 |
//! | `From { first: 10 }`, `Suffix { length: 0 }`, `Inclusive { first: 4, last: 3 }` | 416 | [`RangeNotSatisfiable`](crate::error::ObjectError::RangeNotSatisfiable), which says 10 |
//!
//! # Parts
//!
//! ```
//! # #[cfg(feature = "local")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use portcullis::clock::{Clock, SystemClock};
//! # use portcullis::config::Config;
//! # use portcullis::key::KeyId;
//! # use portcullis::keystore::{
//! #     Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init,
//! # };
//! # let directory = tempfile::tempdir()?;
//! # let root_key = directory.path().join("root.key");
//! # create_root_key_file(&root_key)?;
//! # let anchor = Anchor::File(directory.path().join("mark"));
//! # let local = LocalConfig::new(directory.path().join("keys"), RootKey::File(root_key), anchor);
//! # let mut options = InitOptions::new(SystemClock::default().wall());
//! # options.default_key = Some(KeyId::new("default")?);
//! # init(&local, options)?;
//! # let engine = portcullis::Engine::start(Config::new(local)).await?;
//! # let kms = engine.kms();
//! use portcullis::context::EncryptionContext;
//! use portcullis::objects::{
//!     CustomerKey, Facts, ObjectName, PartNumber, PartSources, Protection, SealedRange,
//!     UploadRecord,
//! };
//! use tokio::io::AsyncReadExt;
//!
//! let (name, context) = (ObjectName::new("backups", "monday")?, EncryptionContext::new());
//! let key = CustomerKey::from_bytes(&[9; 32])?;
//!
//! // CreateMultipartUpload. Under SSE-C the customer's key comes with this request and with each
//! // part, and does not come when the upload is completed.
//! let upload =
//!     kms.create_upload(&name, &context, Protection::SseC { key: &key }, None).await?;
//! let stored: Vec<u8> = upload.record().as_bytes().to_vec();
//!
//! // UploadPart, perhaps in another process: the record is all that it takes.
//! let upload = kms.open_upload(&name, &context, &UploadRecord::from_bytes(&stored)?).await?;
//! let (mut bodies, mut records) = (Vec::new(), Vec::new());
//! for (number, plain) in [(1, &b"some "[..]), (2, b"data")] {
//!     let number = PartNumber::new(number).expect("1 to 10,000");
//!     let mut sealing = upload.seal_part(number, Some(&key), plain).await?;
//!     let mut body = Vec::new();
//!     sealing.read_to_end(&mut body).await?;
//!     bodies.push(body);
//!     records.push(sealing.finish(&Facts::new())?);
//! }
//!
//! // CompleteMultipartUpload: the parts of these records, in this order, are the object.
//! let done = upload.complete(&records, &Facts::new()).await?;
//!
//! // GET.
//! let object =
//!     kms.open_object(&name, &context, &done.record, Some(&done.parts), Some(&key)).await?;
//! let source = PartSources::new(|range: &SealedRange| {
//!     let number = range.part.expect("the object was put in parts");
//!     &bodies[usize::from(number.get()) - 1][..]
//! });
//! let mut plain = Vec::new();
//! object.read_from(object.whole()?, source).await?.read_to_end(&mut plain).await?;
//! assert_eq!(plain, b"some data");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "local"))]
//! # fn main() {}
//! ```
//!
//! One key for an upload, one salt for each upload of a part: a part that is put again is under
//! other chunk keys, and what the first one left in the store does not open as the second, though
//! number and upload are the same. Parts that are left out, swapped, doubled or cut, and the table
//! or the record of another object, end in
//! [`ObjectError::DoesNotOpen`] or [`ObjectError::Malformed`].
//!
//! Nothing is to be undone when an upload is aborted: its key is in its record, and goes with it.
//!
//! # Modes
//!
//! | [`Protection`] | the bodies are under | the record is under |
//! |---|---|---|
//! | `SseS3` | a data key that the default key wraps | the same |
//! | `SseKms` | a data key that the named key wraps, or the default key | the same |
//! | `SseC` | the customer's key, with a salt of the object's own | a record key that the default key wraps |
//!
//! A customer's key is 32 bytes, stored nowhere, not even as a digest of it alone: the record holds
//! a *key check*, derived with the salt, by which a wrong key is told before a body is read
//! ([`CustomerKeyError`](crate::error::CustomerKeyError)). [`CustomerKey`] is wiped when it is
//! dropped, and what the engine derives from it when the engine is stopped.
//!
//! # Other keys, other modes
//!
//! | from, to | by | the body |
//! |---|---|---|
//! | the key's new version, any mode | [`Kms::rewrap_object`] with `None` | stays |
//! | SSE-S3 and SSE-KMS, one to the other or to another key | [`Kms::rewrap_object`] with the new [`Protection`] | stays |
//! | to or from SSE-C, another customer key, name or context | [`StoredObject::reseal`] | is sealed again, as a stream |
//!
//! A rewrap wraps the same data key again. It frees an object of a version that is to be retired or
//! destroyed; against somebody who has the data key itself only sealing again helps.
//!
//! # Stop, freeze, revocation
//!
//! [`StoredObject`] and [`Upload`] hold keys in the engine's memory. A stop wipes them, cuts what
//! is being read or sealed within one chunk, and leaves the handles
//! [`Stale`](crate::error::Refused::Stale): open them again from their records after a start. Each
//! chunk asks for the state of the master key: once it is disabled or waits for its deletion, the
//! next chunk of whatever depends on it is refused.
//!
//! Records of the trail name bucket and object. Opening a record is `inspect`, because ETag and
//! sizes are told; each read is `open`, with its beginning and its end.
//!
//! [`CustomerKey`]: crate::objects::CustomerKey
//! [`EncryptionContext`]: crate::context::EncryptionContext
//! [`Kms::open_small_object`]: crate::Kms::open_small_object
//! [`Kms::rewrap_object`]: crate::Kms::rewrap_object
//! [`Kms::seal_small_object`]: crate::Kms::seal_small_object
//! [`ByteRange`]: crate::objects::ByteRange
//! [`ObjectError::DoesNotOpen`]: crate::error::ObjectError::DoesNotOpen
//! [`ObjectError::Malformed`]: crate::error::ObjectError::Malformed
//! [`ObjectRecord`]: crate::objects::ObjectRecord
//! [`PartRecord`]: crate::objects::PartRecord
//! [`PartTable`]: crate::objects::PartTable
//! [`Protection`]: crate::objects::Protection
//! [`RangedSource`]: crate::objects::RangedSource
//! [`StoredObject`]: crate::objects::StoredObject
//! [`StoredObject::read`]: crate::objects::StoredObject::read
//! [`StoredObject::read_from`]: crate::objects::StoredObject::read_from
//! [`StoredObject::reseal`]: crate::objects::StoredObject::reseal
//! [`Upload`]: crate::objects::Upload
//! [`UploadRecord`]: crate::objects::UploadRecord
