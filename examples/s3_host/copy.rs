//! Copies: of an object, and onto itself with another encryption, which seals it again.

use portcullis::Kms;
use portcullis::objects::{Mode, ObjectName, ObjectRecord};
use portcullis::s3::{Backing, Call, Encryption, Stored};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::answer::{engine, internal, refused, with_headers};
use crate::body::Expected;
use crate::catalog::{BucketFiles, Encrypted, Headers, Time};
use crate::host::{Host, Opened};
use crate::objects::{Conditions, Putting};

impl Host {
    pub async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        self.refuse_conditions(&request)?;
        let (kms, input) = (self.kms(&request)?, &request.input);
        let files = self.catalog.bucket(&input.bucket)?;
        let (from_bucket, from_key) = source(&input.copy_source)?;
        let replaces_headers = replaces_headers(input.metadata_directive.as_ref())?;

        let headers = self.headers(&request)?;
        let requested = headers.requested().map_err(refused)?;
        let onto_itself = (from_bucket, from_key) == (&*input.bucket, &*input.key);
        if onto_itself && !requested.is_explicit() && !replaces_headers {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself \
                 without changing the object's metadata, storage class, website redirect location \
                 or encryption attributes."
            ));
        }
        let bucket = files.read()?.encryption;
        let decided = requested.decide(&bucket, &Backing::of(&self.kms)).map_err(refused)?;
        let encryption = decided.ok_or_else(|| internal("a bucket has no default encryption"))?;

        let given = headers.copy_source_key().map_err(refused)?;
        let opened = self.open(&kms, from_bucket, from_key, given).await?;
        Conditions {
            matches: input.copy_source_if_match.as_ref(),
            matches_none: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        }
        .check_source(&opened)?;
        let putting = Putting {
            bucket: &input.bucket,
            key: &input.key,
            encryption: &encryption,
            headers: match replaces_headers {
                true => stated_headers(input),
                false => opened.entry.headers.clone(),
            },
        };
        let (etag, mut headers) = if onto_itself && can_rewrap(&opened, &encryption) {
            let etag = self.rewrap(&kms, &files, putting, &opened).await?;
            (etag, Vec::new())
        } else {
            let plan = opened.object.whole().map_err(engine)?;
            let plain = opened.object.read_from(plan, opened.source).await.map_err(engine)?;
            self.seal(&kms, &files, putting, plain, &Expected::nothing()).await?
        };
        headers.extend(encryption.response(Call::CopyObject));
        let copied = CopyObjectResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(Time::now().into()),
            ..Default::default()
        };
        let output = CopyObjectOutput { copy_object_result: Some(copied), ..Default::default() };
        Ok(with_headers(output, headers))
    }

    /// Wraps the object's key under the key that is wanted; the body stays where it is.
    async fn rewrap(
        &self,
        kms: &Kms,
        files: &BucketFiles,
        putting: Putting<'_>,
        opened: &Opened,
    ) -> S3Result<String> {
        let Putting { bucket, key, encryption, headers } = putting;
        let name = ObjectName::new(bucket, key).map_err(engine)?;
        let record = ObjectRecord::from_bytes(&opened.entry.record).map_err(engine)?;
        let to = Some(encryption.protection());
        let rewrapped = kms
            .rewrap_object(&name, &opened.stored.context(), &record, to)
            .await
            .map_err(engine)?;
        let mut entry = opened.entry.clone();
        entry.record = rewrapped.record.as_bytes().to_vec();
        entry.encryption = Encrypted::new(&encryption.stored());
        entry.headers = headers;
        entry.modified = Time::now();
        let _change = self.catalog.change().await;
        // Somebody may have put another object meanwhile, whose body this record does not open.
        if files.read_object(key)?.record != opened.entry.record {
            return Err(s3_error!(OperationAborted, "The object was changed meanwhile"));
        }
        files.replace_object(&entry, None)?;
        Ok(opened.object.facts().etag().unwrap_or_default().to_owned())
    }
}

/// Whether a copy onto itself is a change of the wrapped key alone: a master key for another, with
/// the same context and an ETag of the same kind. Put in parts, an object becomes a whole one.
fn can_rewrap(opened: &Opened, encryption: &Encryption) -> bool {
    match (&opened.stored, &encryption.stored()) {
        (Stored::SseKms(from), Stored::SseKms(to)) => {
            from.context == to.context && opened.object.part_count().is_none()
        }
        (from, to) => {
            let both_s3 = from.mode() == Mode::SseS3 && to.mode() == Mode::SseS3;
            both_s3 && opened.object.part_count().is_none()
        }
    }
}

/// Bucket and key of a copy's source.
pub fn source(source: &CopySource) -> S3Result<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id: None } => Ok((bucket, key)),
        CopySource::Bucket { .. } | CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(NotImplemented, "The source is not the latest version in a bucket"))
        }
    }
}

fn replaces_headers(directive: Option<&MetadataDirective>) -> S3Result<bool> {
    match directive.map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => Ok(false),
        Some(MetadataDirective::REPLACE) => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
    }
}

fn stated_headers(input: &CopyObjectInput) -> Headers {
    Headers {
        cache_control: input.cache_control.clone(),
        content_disposition: input.content_disposition.clone(),
        content_encoding: input.content_encoding.clone(),
        content_language: input.content_language.clone(),
        content_type: input.content_type.clone(),
        metadata: input.metadata.clone().into_iter().flatten().collect(),
    }
}
