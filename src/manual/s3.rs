//! S3: server-side encryption, from a request's headers to its answer's.
//!
//! A host that speaks S3 has its HTTP stack, its store and its users. What it has not is S3's rules
//! for server-side encryption, which [`portcullis::s3`](crate::s3) brings: headers in, a decision,
//! what to store, headers out, and S3's code for everything that is wrong. It knows no HTTP stack: a
//! header is a name and bytes. `examples/s3_host` is a whole server that uses it; the tests in
//! `tests/s3` drive that server with boto3.
//!
//! # A write, and the read that follows
//!
//! ```
//! # #[cfg(feature = "local")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use portcullis::Engine;
//! # use portcullis::clock::{Clock, SystemClock};
//! # use portcullis::config::Config;
//! # use portcullis::key::KeyId;
//! # use portcullis::keystore::{
//! #     Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init,
//! # };
//! use portcullis::objects::{Facts, ObjectName};
//! use portcullis::s3::{Backing, BucketEncryption, Call, Customer, Headers, Stored, Transport};
//! use tokio::io::AsyncReadExt;
//!
//! # let directory = tempfile::tempdir()?;
//! # let root_key = directory.path().join("root.key");
//! # create_root_key_file(&root_key)?;
//! # let anchor = Anchor::File(directory.path().join("mark"));
//! # let local = LocalConfig::new(directory.path().join("keys"), RootKey::File(root_key), anchor);
//! # let mut options = InitOptions::new(SystemClock::default().wall());
//! # options.default_key = Some(KeyId::new("default")?);
//! # init(&local, options)?;
//! # let engine = Engine::start(Config::new(local)).await?;
//! # let kms = engine.kms();
//! kms.create_key(&KeyId::new("invoices")?).await?;
//! let name = ObjectName::new("bucket", "2026/11.pdf")?;
//!
//! // PutObject. The host has its client's headers, and the bucket's encryption.
//! let request = [
//!     ("content-type", &b"application/pdf"[..]),
//!     ("x-amz-server-side-encryption", b"aws:kms"),
//!     ("x-amz-server-side-encryption-aws-kms-key-id", b"invoices"),
//!     ("x-amz-server-side-encryption-context", b"eyJ5ZWFyIjoiMjAyNiJ9"),
//! ];
//! let requested = Headers::read(Transport::Tls, request)?.requested()?;
//! let bucket = BucketEncryption::sse_s3();
//! let encryption = requested.decide(&bucket, &Backing::of(&kms))?.expect("it is explicit");
//! let stored = encryption.stored();
//!
//! let plain = &b"twelve invoices"[..];
//! let (context, protection) = (stored.context(), encryption.protection());
//! let mut sealing = kms.seal_object(&name, &context, protection, plain).await?;
//! let mut body = Vec::new();
//! sealing.read_to_end(&mut body).await?;
//! let record = sealing.finish(&Facts::new())?;
//!
//! // Stored: the body, the record, and this. Answered: these headers.
//! let metadata = stored.to_metadata();
//! let answer = encryption.response(Call::PutObject);
//! assert!(answer.contains(&("x-amz-server-side-encryption-aws-kms-key-id", "invoices".into())));
//!
//! // GetObject. It states no encryption, and brings a customer's key if the object is under one.
//! let value = |name: &str| {
//!     metadata.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
//! };
//! let stored = Stored::from_metadata(value)?.expect("it is encrypted");
//! let given = Headers::read(Transport::Tls, [])?.customer_key()?;
//! let customer = given.for_object(Some(&stored))?;
//! let key = customer.as_ref().map(Customer::key);
//! let object = kms.open_object(&name, &stored.context(), &record, None, key).await?;
//! let mut opened = Vec::new();
//! object.read_from(object.whole()?, &body[..]).await?.read_to_end(&mut opened).await?;
//! assert_eq!(opened, plain);
//! let answer = stored.response(Call::GetObject, customer.as_ref());
//! assert_eq!(answer.len(), 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "local"))]
//! # fn main() {}
//! ```
//!
//! # Which call takes and gives what
//!
//! | call | headers taken by | answer by |
//! |---|---|---|
//! | `PutObject`, `CreateMultipartUpload` | [`requested`](crate::s3::Headers::requested) | [`Encryption::response`](crate::s3::Encryption::response) |
//! | `CopyObject` | `requested` and [`copy_source_key`](crate::s3::Headers::copy_source_key) with [`for_object`](crate::s3::GivenKey::for_object) | `Encryption::response` |
//! | `GetObject`, `HeadObject` | [`customer_key`](crate::s3::Headers::customer_key) with `for_object` | [`Stored::response`](crate::s3::Stored::response) |
//! | `UploadPart` | `customer_key` with [`for_part`](crate::s3::GivenKey::for_part) | `Stored::response` |
//! | `UploadPartCopy` | both keys | `Stored::response` |
//! | `CompleteMultipartUpload`, `ListParts` | `customer_key` with [`for_upload`](crate::s3::GivenKey::for_upload) | `Stored::response` |
//! | `PutBucketEncryption` | [`BucketEncryption::from_rules`](crate::s3::BucketEncryption::from_rules) | [`BucketRule`](crate::s3::BucketRule) |
//!
//! # Refusals
//!
//! Every refusal is an [`S3Error`](crate::s3::S3Error): S3's code, which decides the HTTP status,
//! and a message. The engine's own errors become one by `From`.
//!
//! | what | code | status |
//! |---|---|---|
//! | a header twice, of a wrong value, beside one that excludes it, or without one it needs | `InvalidArgument` | 400 |
//! | an algorithm for a customer's key that is not `AES256` | `InvalidEncryptionAlgorithmError` | 400 |
//! | a customer's key over plain HTTP; none for an object under one; one for an object under none | `InvalidRequest` | 400 |
//! | a customer's key that is not the object's | `AccessDenied` | 403 |
//! | the same on a part of an upload ([`on_part`](crate::s3::S3Error::on_part)) | `InvalidRequest` | 400 |
//! | a customer's key for a bucket that takes none | `AccessDenied` | 403 |
//! | a master key that is not there | `KMS.NotFoundException` | 400 |
//! | one that is disabled | `KMS.DisabledException` | 400 |
//! | one that is pending deletion, retired, destroyed | `KMS.KMSInvalidStateException` | 400 |
//! | `aws:kms:dsse`; a bucket key where the backend has none | `NotImplemented` | 501 |
//! | an engine that is stopped, frozen or starting | `ServiceUnavailable` | 503 |
//! | an engine that takes no more work | `SlowDown` | 503 |
//! | an object that does not open: it was changed where it lies | `InternalError` | 500 |
//!
//! # Where it differs from S3
//!
//! * A master key is named by its id. A key's ARN is no id, and answers name keys by id.
//! * A customer's key of a wrong length is told as such on reads too, where S3 says `AccessDenied`.
//! * Any header of encryption that stands twice is refused.
//! * `aws:kms:dsse` is refused, and so are bucket keys until a backend has them.
//!
//! # What a host has to see to
//!
//! * ETags: the MD5 of the content where
//!   [`has_md5_etag`](crate::s3::Stored::has_md5_etag) says so, random otherwise; sealed in the
//!   record's [`Facts`](crate::objects::Facts) in either case.
//! * The [`Transport`](crate::s3::Transport): behind a proxy, TLS ends there, and what the proxy
//!   says of it is believed only if nobody else can say it.
//! * Logs: HTTP stacks and S3 libraries print request headers when they are asked to. The two in
//!   which customers' keys come ([`CUSTOMER_KEY`](crate::s3::names::CUSTOMER_KEY),
//!   [`COPY_SOURCE_CUSTOMER_KEY`](crate::s3::names::COPY_SOURCE_CUSTOMER_KEY)) are to be marked as
//!   sensitive before anything sees them, as `examples/s3_host/server.rs` does.
//! * Memory: this module wipes its copies of a customer's key; the header itself is the HTTP
//!   stack's, and lies in what that freed unless the host's allocator is
//!   [`WipingAlloc`](crate::memory::WipingAlloc).
