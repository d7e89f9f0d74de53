//! Buckets, and the encryption that they give to objects whose request states none.

use portcullis::s3::{Backing, BucketEncryption, BucketRule};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};

use crate::answer::{internal, refused};
use crate::disk;
use crate::host::Host;

impl Host {
    pub async fn make_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let _change = self.catalog.change().await;
        self.catalog.create_bucket(&request.input.bucket)?;
        let location = Some(format!("/{}", request.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    pub async fn remove_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let _change = self.catalog.change().await;
        self.catalog.delete_bucket(&request.input.bucket)?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    pub fn show_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.catalog.bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    pub fn show_buckets(
        &self,
        _: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.catalog.buckets()?.into_iter().map(|(name, entry)| Bucket {
            name: Some(name),
            creation_date: Some(entry.created.into()),
            ..Default::default()
        });
        let buckets = Some(buckets.collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, ..Default::default() }))
    }

    pub fn show_encryption(
        &self,
        request: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        let entry = self.catalog.bucket(&request.input.bucket)?.read()?;
        let rule = BucketRule::from(entry.encryption);
        let rule = ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: rule.algorithm.map(|algorithm| {
                ServerSideEncryptionByDefault {
                    sse_algorithm: algorithm.into(),
                    kms_master_key_id: rule.kms_key_id,
                }
            }),
            bucket_key_enabled: Some(rule.bucket_key_enabled),
        };
        let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
        Ok(S3Response::new(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(configuration),
        }))
    }

    pub async fn set_encryption(
        &self,
        request: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        let rules = request.input.server_side_encryption_configuration.rules;
        let rules: Vec<_> = rules
            .into_iter()
            .map(|rule| {
                let default = rule.apply_server_side_encryption_by_default;
                let (algorithm, kms_key_id) = match default {
                    Some(default) => (Some(default.sse_algorithm), default.kms_master_key_id),
                    None => (None, None),
                };
                BucketRule {
                    algorithm: algorithm.map(|algorithm| algorithm.as_str().to_owned()),
                    kms_key_id,
                    bucket_key_enabled: rule.bucket_key_enabled.unwrap_or(false),
                    blocked: Vec::new(),
                }
            })
            .collect();
        let backing = Backing::of(&self.kms);
        let mut encryption = BucketEncryption::from_rules(&rules, &backing).map_err(refused)?;
        if encryption.by_default().is_none() {
            encryption = BucketEncryption::sse_s3();
        }
        self.change_encryption(&request.input.bucket, encryption).await?;
        Ok(S3Response::new(PutBucketEncryptionOutput::default()))
    }

    pub async fn reset_encryption(
        &self,
        request: S3Request<DeleteBucketEncryptionInput>,
    ) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
        self.change_encryption(&request.input.bucket, BucketEncryption::sse_s3()).await?;
        Ok(S3Response::new(DeleteBucketEncryptionOutput::default()))
    }

    async fn change_encryption(&self, bucket: &str, encryption: BucketEncryption) -> S3Result<()> {
        let _change = self.catalog.change().await;
        let files = self.catalog.bucket(bucket)?;
        let mut entry = files.read()?;
        entry.encryption = encryption;
        disk::write_entry(&files.entry(), &entry).map_err(internal)
    }
}
