//! S3's calls, and what all of them share: who asks, which headers came, what is decided.

use std::fs::File;
use std::sync::Arc;

use portcullis::Kms;
use portcullis::audit::Caller;
use portcullis::objects::{ObjectName, ObjectRecord, PartTable, RangedSource, StoredObject};
use portcullis::s3::{self, Backing, Customer, Encryption, GivenKey, Stored, Transport};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use crate::answer::{engine, internal, refused};
use crate::catalog::{BucketFiles, Catalog, ObjectEntry};
use crate::server::Origin;

/// The S3 service.
pub struct Host {
    pub kms: Kms,
    pub catalog: Catalog,
    pub transport: Transport,
}

/// An object that is open for reading.
pub struct Opened {
    pub entry: ObjectEntry,
    pub stored: Stored,
    pub customer: Option<Customer>,
    pub object: StoredObject,
    pub source: BodySource,
}

impl Host {
    /// The engine, on behalf of whoever signed the request: audit records name them.
    pub fn kms<T>(&self, request: &S3Request<T>) -> S3Result<Kms> {
        let signer = request.credentials.as_ref().map(|found| found.access_key.as_str());
        let (request_id, source) = match request.extensions.get::<Origin>() {
            Some(origin) => (origin.request_id.as_str(), origin.peer.ip().to_string()),
            None => ("", String::new()),
        };
        let caller = Caller::new(signer.unwrap_or("anonymous"), request_id, &source);
        let caller = caller.map_err(engine)?;
        Ok(self.kms.on_behalf_of(caller))
    }

    /// The encryption headers of a request.
    pub fn headers<'a, T>(&self, request: &'a S3Request<T>) -> S3Result<s3::Headers<'a>> {
        let pairs = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        s3::Headers::read(self.transport, pairs).map_err(refused)
    }

    /// How a new object of `bucket` is encrypted.
    pub fn decide<T>(&self, request: &S3Request<T>, bucket: &BucketFiles) -> S3Result<Encryption> {
        let requested = self.headers(request)?.requested().map_err(refused)?;
        let encryption = bucket.read()?.encryption;
        let decided = requested.decide(&encryption, &Backing::of(&self.kms)).map_err(refused)?;
        // Every bucket has a default, so nothing is stored in the clear.
        decided.ok_or_else(|| internal("a bucket has no default encryption"))
    }

    /// Opens an object for `kms`, with the customer's key that came for it.
    pub async fn open(
        &self,
        kms: &Kms,
        bucket: &str,
        key: &str,
        given: GivenKey,
    ) -> S3Result<Opened> {
        let files = self.catalog.bucket(bucket)?;
        // Between entry and file nobody may remove the body. Once open, it stays readable.
        let (entry, file) = {
            let _unchanged = self.catalog.change().await;
            let entry = files.read_object(key)?;
            let file = File::open(files.body(&entry.body)).map_err(internal)?;
            (entry, file)
        };
        let stored = entry.encryption.stored().map_err(refused)?;
        let customer = given.for_object(Some(&stored)).map_err(refused)?;
        let record = ObjectRecord::from_bytes(&entry.record).map_err(engine)?;
        if record.mode() != stored.mode() {
            return Err(internal("an entry and its record are of different modes"));
        }
        let table = Some(&entry.part_table).filter(|table| !table.is_empty());
        let table = table.map(|table| PartTable::from_bytes(table)).transpose().map_err(engine)?;
        let name = ObjectName::new(bucket, key).map_err(engine)?;
        let customer_key = customer.as_ref().map(Customer::key);
        let object = kms
            .open_object(&name, &stored.context(), &record, table.as_ref(), customer_key)
            .await
            .map_err(engine)?;
        let source = BodySource { file: Arc::new(file), parts: Arc::new(entry.parts.clone()) };
        Ok(Opened { entry, stored, customer, object, source })
    }

    /// Refuses conditions on a write or a copy, which would be ignored otherwise.
    pub fn refuse_conditions<T>(&self, request: &S3Request<T>) -> S3Result<()> {
        let conditions = ["if-match", "if-none-match"];
        if conditions.iter().any(|name| request.headers.contains_key(*name)) {
            return Err(s3_error!(NotImplemented, "Conditional requests are not implemented"));
        }
        Ok(())
    }
}

/// The sealed bytes of an object: one file, with its parts one after the other.
///
/// Reading a local file blocks the thread for as long as the disk takes. A store on slow disks has
/// a source that fetches on threads of its own.
#[derive(Clone)]
pub struct BodySource {
    file: Arc<File>,
    parts: Arc<std::collections::BTreeMap<u16, u64>>,
}

impl RangedSource for BodySource {
    type Reader = <Arc<File> as RangedSource>::Reader;
    type Fetch = <Arc<File> as RangedSource>::Fetch;

    fn fetch(&mut self, mut range: portcullis::objects::SealedRange) -> Self::Fetch {
        // A part that is not there is read as what it is not, and does not open.
        let start = range.part.and_then(|part| self.parts.get(&part.get()));
        range.offset = range.offset.saturating_add(start.copied().unwrap_or_default());
        self.file.fetch(range)
    }
}

/// One line per call, which says where it is done.
macro_rules! calls {
    ($($call:ident: $input:ident -> $output:ident = $method:ident $($wait:ident)?;)*) => {
        #[async_trait::async_trait]
        impl S3 for Host {
            $(
                async fn $call(
                    &self,
                    request: S3Request<$input>,
                ) -> S3Result<S3Response<$output>> {
                    self.$method(request)$(.$wait)?
                }
            )*
        }
    };
}

calls! {
    create_bucket: CreateBucketInput -> CreateBucketOutput = make_bucket await;
    delete_bucket: DeleteBucketInput -> DeleteBucketOutput = remove_bucket await;
    head_bucket: HeadBucketInput -> HeadBucketOutput = show_bucket;
    list_buckets: ListBucketsInput -> ListBucketsOutput = show_buckets;
    get_bucket_encryption: GetBucketEncryptionInput -> GetBucketEncryptionOutput = show_encryption;
    put_bucket_encryption:
        PutBucketEncryptionInput -> PutBucketEncryptionOutput = set_encryption await;
    delete_bucket_encryption:
        DeleteBucketEncryptionInput -> DeleteBucketEncryptionOutput = reset_encryption await;
    put_object: PutObjectInput -> PutObjectOutput = put await;
    get_object: GetObjectInput -> GetObjectOutput = get await;
    head_object: HeadObjectInput -> HeadObjectOutput = head await;
    delete_object: DeleteObjectInput -> DeleteObjectOutput = delete await;
    delete_objects: DeleteObjectsInput -> DeleteObjectsOutput = delete_several await;
    list_objects_v2: ListObjectsV2Input -> ListObjectsV2Output = list await;
    copy_object: CopyObjectInput -> CopyObjectOutput = copy await;
    create_multipart_upload:
        CreateMultipartUploadInput -> CreateMultipartUploadOutput = create_upload await;
    upload_part: UploadPartInput -> UploadPartOutput = put_part await;
    upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput = copy_part await;
    list_multipart_uploads:
        ListMultipartUploadsInput -> ListMultipartUploadsOutput = show_uploads;
    list_parts: ListPartsInput -> ListPartsOutput = show_parts await;
    complete_multipart_upload:
        CompleteMultipartUploadInput -> CompleteMultipartUploadOutput = complete_upload await;
    abort_multipart_upload:
        AbortMultipartUploadInput -> AbortMultipartUploadOutput = abort_upload await;
}
