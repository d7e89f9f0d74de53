//! Objects that are put whole, and reading objects of either kind.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use portcullis::Kms;
use portcullis::objects::{ByteRange, ObjectName, PartNumber, RangePlan};
use portcullis::s3::{Call, Encryption};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::answer::{copying, engine, internal, refused, with_headers};
use crate::body::{Digested, Expected, RequestBody, checksum_headers};
use crate::catalog::{BucketFiles, Encrypted, Headers, ObjectEntry, Time};
use crate::disk::{self, NewBody};
use crate::host::{Host, Opened};

/// An object that is about to be put.
pub struct Putting<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub encryption: &'a Encryption,
    pub headers: Headers,
}

impl Host {
    pub async fn put(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let body = request.input.body.take();
        let body = RequestBody::new(&request, body);
        let put = self.put_body(request, body.clone()).await;
        if put.is_err() {
            body.discard().await;
        }
        put
    }

    async fn put_body(
        &self,
        request: S3Request<PutObjectInput>,
        body: RequestBody,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.refuse_conditions(&request)?;
        let files = self.catalog.bucket(&request.input.bucket)?;
        let encryption = self.decide(&request, &files)?;
        let (kms, expected) = (self.kms(&request)?, Expected::of(&request));
        let input = request.input;
        let putting = Putting {
            bucket: &input.bucket,
            key: &input.key,
            encryption: &encryption,
            headers: Headers {
                cache_control: input.cache_control,
                content_disposition: input.content_disposition,
                content_encoding: own_encoding(input.content_encoding),
                content_language: input.content_language,
                content_type: input.content_type,
                metadata: input.metadata.into_iter().flatten().collect(),
            },
        };
        let (etag, mut headers) = self.seal(&kms, &files, putting, body, &expected).await?;
        headers.extend(encryption.response(Call::PutObject));
        let e_tag = Some(ETag::Strong(etag));
        Ok(with_headers(PutObjectOutput { e_tag, ..Default::default() }, headers))
    }

    /// Seals what `reader` gives as an object: its ETag, and the headers of its checksums.
    pub async fn seal<R: AsyncRead + Unpin>(
        &self,
        kms: &Kms,
        files: &BucketFiles,
        putting: Putting<'_>,
        reader: R,
        expected: &Expected,
    ) -> S3Result<(String, Vec<(&'static str, String)>)> {
        let Putting { bucket, key, encryption, headers } = putting;
        let (stored, name) = (encryption.stored(), ObjectName::new(bucket, key).map_err(engine)?);
        let (reader, digests) = Digested::new(reader, expected);
        let mut sealed = kms
            .seal_object(&name, &stored.context(), encryption.protection(), reader)
            .await
            .map_err(engine)?;
        let mut body = NewBody::create(&files.bodies()).await.map_err(internal)?;
        body.append(&mut sealed).await.map_err(copying)?;
        let found = digests.found()?;
        expected.check(&found)?;
        let etag = match stored.has_md5_etag() {
            true => hex::encode(found.md5),
            false => disk::random_name().map_err(internal)?,
        };
        let facts = found.facts(&etag)?;
        let record = sealed.finish(&facts).map_err(engine)?;
        let entry = ObjectEntry {
            key: key.to_owned(),
            modified: Time::now(),
            headers,
            encryption: Encrypted::new(&stored),
            size: found.bytes,
            open_etag: Some(etag.clone()).filter(|_| !stored.has_md5_etag()),
            record: record.as_bytes().to_vec(),
            part_table: Vec::new(),
            body: body.name().to_owned(),
            parts: BTreeMap::new(),
        };
        body.sync().await.map_err(internal)?;
        let _change = self.catalog.change().await;
        files.replace_object(&entry, Some(body))?;
        Ok((etag, checksum_headers(&facts)))
    }

    pub async fn get(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let given = self.headers(&request)?.customer_key().map_err(refused)?;
        let (kms, input) = (self.kms(&request)?, &request.input);
        let opened = self.open(&kms, &input.bucket, &input.key, given).await?;
        Conditions {
            matches: input.if_match.as_ref(),
            matches_none: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&opened)?;
        let shown = Shown::new(&opened, input.range, input.part_number)?;
        let headers = shown.headers(&opened, Call::GetObject, input.checksum_mode.is_some());
        let body = opened.object.read_from(shown.plan, opened.source).await.map_err(engine)?;
        // A chunk that does not open breaks the answer off: nothing of it is sent.
        let body = ReaderStream::with_capacity(body, BODY_BYTES)
            .inspect_err(|error| tracing::error!(%error, "an answer was broken off"));
        let entry = opened.entry;
        let output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::wrap(body)),
            cache_control: entry.headers.cache_control,
            content_disposition: entry.headers.content_disposition,
            content_encoding: entry.headers.content_encoding,
            content_language: entry.headers.content_language,
            content_length: Some(shown.length),
            content_range: shown.content_range,
            content_type: entry.headers.content_type,
            e_tag: opened.object.facts().etag().map(|etag| ETag::Strong(etag.to_owned())),
            last_modified: Some(entry.modified.into()),
            metadata: Some(entry.headers.metadata.into_iter().collect()),
            parts_count: shown.parts_count,
            ..Default::default()
        };
        Ok(with_headers(output, headers))
    }

    pub async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let given = self.headers(&request)?.customer_key().map_err(refused)?;
        let (kms, input) = (self.kms(&request)?, &request.input);
        let opened = self.open(&kms, &input.bucket, &input.key, given).await?;
        Conditions {
            matches: input.if_match.as_ref(),
            matches_none: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&opened)?;
        let shown = Shown::new(&opened, input.range, input.part_number)?;
        let headers = shown.headers(&opened, Call::HeadObject, input.checksum_mode.is_some());
        let entry = opened.entry;
        let output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: entry.headers.cache_control,
            content_disposition: entry.headers.content_disposition,
            content_encoding: entry.headers.content_encoding,
            content_language: entry.headers.content_language,
            content_length: Some(shown.length),
            content_range: shown.content_range,
            content_type: entry.headers.content_type,
            e_tag: opened.object.facts().etag().map(|etag| ETag::Strong(etag.to_owned())),
            last_modified: Some(entry.modified.into()),
            metadata: Some(entry.headers.metadata.into_iter().collect()),
            parts_count: shown.parts_count,
            ..Default::default()
        };
        Ok(with_headers(output, headers))
    }

    pub async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.refuse_conditions(&request)?;
        let _change = self.catalog.change().await;
        self.catalog.bucket(&request.input.bucket)?.remove_object(&request.input.key)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub async fn delete_several(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let _change = self.catalog.change().await;
        let files = self.catalog.bucket(&request.input.bucket)?;
        let quiet = request.input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for ObjectIdentifier { key, .. } in request.input.delete.objects {
            match files.remove_object(&key) {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(DeletedObject { key: Some(key), ..Default::default() }),
                Err(error) => errors.push(s3s::dto::Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(key),
                    message: error.message().map(str::to_owned),
                    ..Default::default()
                }),
            }
        }
        let (deleted, errors) = (Some(deleted), Some(errors));
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..Default::default() }))
    }
}

/// On which an object is read (RFC 9110, section 13.2.2).
pub struct Conditions<'a> {
    pub matches: Option<&'a ETagCondition>,
    pub matches_none: Option<&'a ETagCondition>,
    pub modified_since: Option<&'a Timestamp>,
    pub unmodified_since: Option<&'a Timestamp>,
}

impl Conditions<'_> {
    /// Whether they hold, for the source of a copy.
    pub fn check_source(&self, opened: &Opened) -> S3Result<()> {
        // There is nothing that a client has already.
        self.check(opened).map_err(|_| unmet())
    }

    fn check(&self, opened: &Opened) -> S3Result<()> {
        let etag = opened.object.facts().etag();
        let names = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(stated) => Some(stated.value()) == etag,
        };
        let modified = Timestamp::from(opened.entry.modified);
        let holds = match (self.matches, self.unmodified_since) {
            (Some(condition), _) => names(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !holds {
            return Err(unmet());
        }
        let is_new = match (self.matches_none, self.modified_since) {
            (Some(condition), _) => !names(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => true,
        };
        if is_new { Ok(()) } else { Err(s3_error!(NotModified)) }
    }
}

fn unmet() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// What of an object an answer shows: all of it, a range, a part.
struct Shown {
    plan: RangePlan,
    length: i64,
    /// For a range or a part: which bytes of how many.
    content_range: Option<String>,
    parts_count: Option<i32>,
}

impl Shown {
    fn new(opened: &Opened, range: Option<Range>, part: Option<i32>) -> S3Result<Self> {
        let object = &opened.object;
        let plan = match (range, part) {
            (None, None) => object.whole(),
            (Some(range), None) => object.range(byte_range(range)),
            (None, Some(part)) => object.part(part_number(part)?),
            (Some(_), Some(_)) => {
                return Err(s3_error!(
                    InvalidRequest,
                    "Cannot specify both Range header and partNumber query parameter"
                ));
            }
        };
        let plan = plan.map_err(engine)?;
        let (plain, size) = (plan.plain(), object.plain_size());
        let is_cut = range.is_some() || part.is_some();
        // An empty part has no last byte to name.
        let content_range = (is_cut && !plain.is_empty())
            .then(|| format!("bytes {}-{}/{size}", plain.start, plain.end - 1));
        let length = i64::try_from(plain.end - plain.start).map_err(internal)?;
        let parts_count = part.and(object.part_count()).map(i32::from);
        Ok(Self { plan, length, content_range, parts_count })
    }

    /// The headers of encryption, and those of checksums where they were asked for and are of what
    /// is shown.
    fn headers(
        &self,
        opened: &Opened,
        call: Call,
        with_checksums: bool,
    ) -> Vec<(&'static str, String)> {
        let mut headers = opened.stored.response(call, opened.customer.as_ref());
        if with_checksums && self.content_range.is_none() {
            headers.extend(checksum_headers(opened.object.facts()));
        }
        headers
    }
}

/// The encoding of the object itself: `aws-chunked` is that of the request.
pub fn own_encoding(stated: Option<String>) -> Option<String> {
    let stated = stated?;
    let own =
        stated.split(',').map(str::trim).filter(|one| !one.is_empty() && *one != "aws-chunked");
    Some(own.collect::<Vec<_>>().join(",")).filter(|own| !own.is_empty())
}

/// A range as the engine has it.
pub fn byte_range(range: Range) -> ByteRange {
    match range {
        Range::Int { first, last: None } => ByteRange::From { first },
        Range::Int { first, last: Some(last) } => ByteRange::Inclusive { first, last },
        Range::Suffix { length } => ByteRange::Suffix { length },
    }
}

/// A part's number as the engine has it.
pub fn part_number(number: i32) -> S3Result<PartNumber> {
    let number = u32::try_from(number).ok().and_then(PartNumber::new);
    number.ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
    })
}

/// Bytes of an answer that are handed over at once.
const BODY_BYTES: usize = 64 * 1024;
