//! Listings of a bucket.

use std::collections::BTreeSet;

use portcullis::Kms;
use portcullis::objects::{ObjectName, ObjectRecord};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};

use crate::answer::{engine, internal, refused};
use crate::catalog::ObjectEntry;
use crate::host::Host;

impl Host {
    pub async fn list(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let (kms, input) = (self.kms(&request)?, request.input);
        let entries = self.catalog.bucket(&input.bucket)?.read_objects().map_err(internal)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or_else(|| input.start_after.clone());
        let limit = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or(0).min(1000);
        let (mut contents, mut common) = (Vec::new(), BTreeSet::new());
        let (mut last, mut is_truncated) = (None, false);
        for (key, entry) in entries {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            if after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            let folded = input.delimiter.as_deref().and_then(|delimiter| {
                rest.split_once(delimiter).map(|(first, _)| format!("{prefix}{first}{delimiter}"))
            });
            // A common prefix counts once, and a later page does not begin in the midst of it.
            let is_known = folded.as_ref().is_some_and(|folded| {
                common.contains(folded) || after.as_ref().is_some_and(|a| a.starts_with(folded))
            });
            if !is_known {
                if contents.len() + common.len() == limit {
                    is_truncated = true;
                    break;
                }
                match folded {
                    Some(folded) => {
                        common.insert(folded);
                    }
                    None => contents.push(self.listed(&kms, &input.bucket, &key, &entry).await),
                }
            }
            last = Some(key);
        }
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len() + common.len()).ok(),
            max_keys: i32::try_from(limit).ok(),
            contents: Some(contents),
            common_prefixes: Some(
                common.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect(),
            ),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            ..Default::default()
        }))
    }

    /// A line of a listing. One whose record does not open stands there without its ETag.
    async fn listed(&self, kms: &Kms, bucket: &str, key: &str, entry: &ObjectEntry) -> Object {
        let etag = match &entry.open_etag {
            Some(etag) => Some(etag.clone()),
            None => self.sealed_etag(kms, bucket, key, entry).await.unwrap_or_default(),
        };
        Object {
            e_tag: etag.map(ETag::Strong),
            key: Some(key.to_owned()),
            last_modified: Some(entry.modified.into()),
            size: i64::try_from(entry.size).ok(),
            ..Default::default()
        }
    }

    async fn sealed_etag(
        &self,
        kms: &Kms,
        bucket: &str,
        key: &str,
        entry: &ObjectEntry,
    ) -> S3Result<Option<String>> {
        let context = entry.encryption.stored().map_err(refused)?.context();
        let record = ObjectRecord::from_bytes(&entry.record).map_err(engine)?;
        let name = ObjectName::new(bucket, key).map_err(engine)?;
        let object = kms.open_object(&name, &context, &record, None, None).await.map_err(engine)?;
        Ok(object.facts().etag().map(str::to_owned))
    }
}
