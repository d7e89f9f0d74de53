//! Uploads in parts. Their encryption is fixed when they are created; each part of an upload under
//! a customer's key brings that key again.

use std::collections::BTreeMap;
use std::fs;

use md5::{Digest, Md5};
use portcullis::Kms;
use portcullis::objects::{
    Facts, ObjectName, PartNumber, PartRecord, Upload, UploadId, UploadRecord, UploadedPart,
};
use portcullis::s3::{Call, Customer, GivenKey, Stored};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result, s3_error};
use tokio::io::AsyncRead;

use crate::answer::{copying, engine, internal, part, refused, with_headers};
use crate::body::{Digested, Expected, RequestBody, checksum_headers};
use crate::catalog::{
    BucketFiles, Encrypted, Headers, ObjectEntry, PartEntry, Time, UPLOAD, UploadEntry,
};
use crate::copy::source;
use crate::disk::{self, NewBody};
use crate::host::Host;
use crate::objects::{Conditions, own_encoding, part_number};

/// An upload that is open.
struct Uploading {
    files: BucketFiles,
    entry: UploadEntry,
    stored: Stored,
    upload: Upload,
}

impl Host {
    pub async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let files = self.catalog.bucket(&request.input.bucket)?;
        let encryption = self.decide(&request, &files)?;
        let (kms, input) = (self.kms(&request)?, request.input);
        let name = ObjectName::new(&input.bucket, &input.key).map_err(engine)?;
        let id = disk::random_name().map_err(internal)?;
        let upload_id = Some(UploadId::new(&id).map_err(engine)?);
        let stored = encryption.stored();
        let upload = kms
            .create_upload(&name, &stored.context(), encryption.protection(), upload_id)
            .await
            .map_err(engine)?;
        let entry = UploadEntry {
            key: input.key.clone(),
            created: Time::now(),
            headers: Headers {
                cache_control: input.cache_control,
                content_disposition: input.content_disposition,
                content_encoding: own_encoding(input.content_encoding),
                content_language: input.content_language,
                content_type: input.content_type,
                metadata: input.metadata.into_iter().flatten().collect(),
            },
            encryption: Encrypted::new(&stored),
            record: upload.record().as_bytes().to_vec(),
        };
        let _change = self.catalog.change().await;
        fs::create_dir(files.upload(&id)).map_err(internal)?;
        disk::write_entry(&files.upload(&id).join(UPLOAD), &entry).map_err(internal)?;
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        };
        Ok(with_headers(output, encryption.response(Call::CreateMultipartUpload)))
    }

    pub async fn put_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let body = request.input.body.take();
        let body = RequestBody::new(&request, body);
        let put = self.put_part_body(request, body.clone()).await;
        if put.is_err() {
            body.discard().await;
        }
        put
    }

    async fn put_part_body(
        &self,
        request: S3Request<UploadPartInput>,
        body: RequestBody,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let given = self.headers(&request)?.customer_key().map_err(refused)?;
        let (kms, expected) = (self.kms(&request)?, Expected::of(&request));
        let input = &request.input;
        let uploading = self.open_upload(&kms, &input.bucket, &input.key, &input.upload_id).await?;
        let customer = given.for_part(Some(&uploading.stored)).map_err(refused)?;
        let number = part_number(input.part_number)?;
        let facts = self.seal_part(&uploading, number, customer.as_ref(), body, &expected).await?;
        let mut headers = uploading.stored.response(Call::UploadPart, customer.as_ref());
        headers.extend(checksum_headers(&facts));
        let e_tag = facts.etag().map(|etag| ETag::Strong(etag.to_owned()));
        Ok(with_headers(UploadPartOutput { e_tag, ..Default::default() }, headers))
    }

    pub async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.refuse_conditions(&request)?;
        let headers = self.headers(&request)?;
        let given = headers.customer_key().map_err(refused)?;
        let given_source = headers.copy_source_key().map_err(refused)?;
        let (kms, input) = (self.kms(&request)?, &request.input);
        let uploading = self.open_upload(&kms, &input.bucket, &input.key, &input.upload_id).await?;
        let customer = given.for_part(Some(&uploading.stored)).map_err(refused)?;
        let number = part_number(input.part_number)?;

        let (from_bucket, from_key) = source(&input.copy_source)?;
        let opened = self.open(&kms, from_bucket, from_key, given_source).await?;
        Conditions {
            matches: input.copy_source_if_match.as_ref(),
            matches_none: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        }
        .check_source(&opened)?;
        let plan = match input.copy_source_range.as_deref() {
            None => opened.object.whole(),
            Some(range) => opened.object.range(copied_range(range, opened.object.plain_size())?),
        };
        let plan = plan.map_err(engine)?;
        let plain = opened.object.read_from(plan, opened.source).await.map_err(engine)?;
        let (customer, nothing) = (customer.as_ref(), Expected::nothing());
        let facts = self.seal_part(&uploading, number, customer, plain, &nothing).await?;
        let copied = CopyPartResult {
            e_tag: facts.etag().map(|etag| ETag::Strong(etag.to_owned())),
            last_modified: Some(Time::now().into()),
            ..Default::default()
        };
        let output = UploadPartCopyOutput { copy_part_result: Some(copied), ..Default::default() };
        Ok(with_headers(output, uploading.stored.response(Call::UploadPartCopy, customer)))
    }

    pub async fn show_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let given = self.headers(&request)?.customer_key().map_err(refused)?;
        let (kms, input) = (self.kms(&request)?, request.input);
        let uploading = self.open_upload(&kms, &input.bucket, &input.key, &input.upload_id).await?;
        check_key(given, &uploading)?;
        let marker = input.part_number_marker.unwrap_or(0);
        let limit = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or(0).min(1000);
        let entries = uploading.files.read_parts(&input.upload_id).map_err(internal)?;
        let mut entries: Vec<_> =
            entries.into_iter().filter(|(number, _)| i32::from(*number) > marker).collect();
        let is_truncated = entries.len() > limit;
        entries.truncate(limit);
        let parts = uploading.told(entries.iter().map(|(_, entry)| entry)).await?;
        let parts = parts.iter().zip(&entries).map(|(part, (_, entry))| Part {
            e_tag: part.facts.etag().map(|etag| ETag::Strong(etag.to_owned())),
            last_modified: Some(entry.modified.into()),
            part_number: Some(i32::from(part.number.get())),
            size: i64::try_from(part.plain_size).ok(),
            ..Default::default()
        });
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(is_truncated),
            max_parts: i32::try_from(limit).ok(),
            next_part_number_marker: entries.last().map(|(number, _)| i32::from(*number)),
            part_number_marker: Some(marker),
            parts: Some(parts.collect()),
            ..Default::default()
        }))
    }

    /// The uploads under way, by key; all in one page.
    pub fn show_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let files = self.catalog.bucket(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let mut uploads = files.read_uploads().map_err(internal)?;
        uploads.retain(|(_, entry)| entry.key.starts_with(&prefix));
        uploads.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        let uploads = uploads.into_iter().map(|(id, entry)| MultipartUpload {
            key: Some(entry.key),
            upload_id: Some(id),
            initiated: Some(entry.created.into()),
            ..Default::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: Some(prefix),
            is_truncated: Some(false),
            uploads: Some(uploads.collect()),
            ..Default::default()
        }))
    }

    pub async fn complete_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.refuse_conditions(&request)?;
        let given = self.headers(&request)?.customer_key().map_err(refused)?;
        let (kms, input) = (self.kms(&request)?, request.input);
        let uploading = self.open_upload(&kms, &input.bucket, &input.key, &input.upload_id).await?;
        check_key(given, &uploading)?;
        let Uploading { files, entry, stored, upload } = &uploading;

        let asked = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let chosen = choose(asked, files.read_parts(&input.upload_id).map_err(internal)?)?;
        let told = uploading.told(chosen.iter().map(|part| &part.entry)).await?;
        let etag = check_parts(&chosen, &told)?;
        let facts = Facts::new().with_etag(&etag).map_err(engine)?;
        let records = records(chosen.iter().map(|part| &part.entry))?;
        let completed = upload.complete(&records, &facts).await.map_err(engine)?;

        // One file for all parts: sealed bytes are copied as they are.
        let mut body = NewBody::create(&files.bodies()).await.map_err(internal)?;
        let (mut parts, mut start) = (BTreeMap::new(), 0);
        for part in &chosen {
            parts.insert(part.number, start);
            let path = files.body(&part.entry.body);
            start += body.append_file(&path).await.map_err(internal)?;
        }
        body.sync().await.map_err(internal)?;
        let object = ObjectEntry {
            key: input.key.clone(),
            modified: Time::now(),
            size: told.iter().map(|part| part.plain_size).sum(),
            open_etag: Some(etag.clone()).filter(|_| !stored.has_md5_etag()),
            headers: entry.headers.clone(),
            encryption: entry.encryption.clone(),
            record: completed.record.as_bytes().to_vec(),
            part_table: completed.parts.as_bytes().to_vec(),
            body: body.name().to_owned(),
            parts,
        };
        let _change = self.catalog.change().await;
        files.read_upload(&input.upload_id, &input.key)?;
        files.replace_object(&object, Some(body))?;
        files.remove_upload(&input.upload_id)?;
        let output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        };
        Ok(with_headers(output, stored.response(Call::CompleteMultipartUpload, None)))
    }

    pub async fn abort_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let _change = self.catalog.change().await;
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        let files = self.catalog.bucket(&bucket)?;
        files.read_upload(&upload_id, &key)?;
        files.remove_upload(&upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn open_upload(
        &self,
        kms: &Kms,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> S3Result<Uploading> {
        let files = self.catalog.bucket(bucket)?;
        let entry = files.read_upload(id, key)?;
        let stored = entry.encryption.stored().map_err(refused)?;
        let record = UploadRecord::from_bytes(&entry.record).map_err(engine)?;
        if record.mode() != stored.mode() {
            return Err(internal("an upload and its record are of different modes"));
        }
        let name = ObjectName::new(bucket, key).map_err(engine)?;
        let upload = kms.open_upload(&name, &stored.context(), &record).await.map_err(engine)?;
        Ok(Uploading { files, entry, stored, upload })
    }

    /// Seals what `reader` gives as a part; what is known of it.
    async fn seal_part<R: AsyncRead + Unpin>(
        &self,
        uploading: &Uploading,
        number: PartNumber,
        customer: Option<&Customer>,
        reader: R,
        expected: &Expected,
    ) -> S3Result<Facts> {
        let Uploading { files, entry, stored, upload } = uploading;
        let (reader, digests) = Digested::new(reader, expected);
        let key = customer.map(Customer::key);
        let mut sealed = upload.seal_part(number, key, reader).await.map_err(part)?;
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
        body.sync().await.map_err(internal)?;
        let (record, name) = (record.as_bytes().to_vec(), body.name().to_owned());
        let part = PartEntry { modified: Time::now(), record, body: name };
        let _change = self.catalog.change().await;
        let id = upload.id().as_str();
        files.read_upload(id, &entry.key)?;
        files.replace_part(id, number.get(), &part, body)?;
        Ok(facts)
    }
}

impl Uploading {
    /// What the records of `parts` say, in their order.
    async fn told(&self, parts: impl Iterator<Item = &PartEntry>) -> S3Result<Vec<UploadedPart>> {
        self.upload.list_parts(&records(parts)?).await.map_err(engine)
    }
}

/// A customer's key may come where none is needed; one for another kind of upload may not.
fn check_key(given: GivenKey, uploading: &Uploading) -> S3Result<()> {
    given.for_upload(Some(&uploading.stored)).map(drop).map_err(refused)
}

fn records<'a>(parts: impl Iterator<Item = &'a PartEntry>) -> S3Result<Vec<PartRecord>> {
    parts.map(|part| PartRecord::from_bytes(&part.record).map_err(engine)).collect()
}

/// A part that is to be of the object.
struct Chosen {
    number: u16,
    etag: String,
    entry: PartEntry,
}

/// The parts that a client lists, each of which was uploaded.
fn choose(asked: Vec<CompletedPart>, mut there: BTreeMap<u16, PartEntry>) -> S3Result<Vec<Chosen>> {
    if asked.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let mut chosen: Vec<Chosen> = Vec::with_capacity(asked.len());
    for part in asked {
        let number = part_number(part.part_number.unwrap_or(0))?.get();
        if chosen.last().is_some_and(|last| last.number >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. The parts list must be specified in \
                 order by part number."
            ));
        }
        let etag = part.e_tag.map(|etag| etag.value().to_owned());
        let (etag, entry) = etag.zip(there.remove(&number)).ok_or_else(invalid_part)?;
        chosen.push(Chosen { number, etag, entry });
    }
    Ok(chosen)
}

/// Whether the parts are those that the client means, and large enough; the object's ETag: MD5 of
/// the MD5s, a dash, how many (or of random ETags, where the parts' are).
fn check_parts(chosen: &[Chosen], told: &[UploadedPart]) -> S3Result<String> {
    let mut md5 = Md5::new();
    for (nth, (part, told)) in chosen.iter().zip(told).enumerate() {
        let etag = told.facts.etag().filter(|etag| *etag == part.etag);
        let digest = etag.and_then(|etag| hex::decode(etag).ok()).ok_or_else(invalid_part)?;
        md5.update(&digest);
        if told.plain_size < PART_BYTES_MIN && nth + 1 < chosen.len() {
            return Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size"
            ));
        }
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), chosen.len()))
}

fn invalid_part() -> s3s::S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found. The part may not have been \
         uploaded, or the specified entity tag may not match the part's entity tag."
    )
}

/// `bytes=first-last` of a copied part, all of it in the source.
fn copied_range(range: &str, size: u64) -> S3Result<portcullis::objects::ByteRange> {
    match Range::parse(range) {
        Ok(Range::Int { first, last: Some(last) }) if last < size => {
            Ok(portcullis::objects::ByteRange::Inclusive { first, last })
        }
        Ok(_) | Err(_) => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy"
        )),
    }
}

/// Least size of a part that is not the last, as in S3.
const PART_BYTES_MIN: u64 = 5 << 20;
