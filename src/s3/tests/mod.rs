//! Every combination of headers, right and wrong, with S3's answer.

mod answers;
mod bytes;
mod combinations;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::*;
use crate::key::KeyId;

/// A customer's key and its two headers.
const KEY: [u8; 32] = *b"a customer's key of 32 bytes....";

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn md5(bytes: &[u8]) -> String {
    base64(&Md5::digest(bytes))
}

/// Owned headers, as a request would hold them.
#[derive(Clone, Debug, Default)]
struct Sent(Vec<(String, Vec<u8>)>);

impl Sent {
    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn customer(self, key: &[u8]) -> Self {
        self.with(names::CUSTOMER_ALGORITHM, names::AES256)
            .with(names::CUSTOMER_KEY, base64(key))
            .with(names::CUSTOMER_KEY_MD5, md5(key))
    }

    fn kms(self, id: &str) -> Self {
        self.with(names::ENCRYPTION, names::AWS_KMS).with(names::KMS_KEY_ID, id)
    }

    fn over(&self, transport: Transport) -> Result<Headers<'_>, S3Error> {
        Headers::read(transport, self.0.iter().map(|(name, value)| (&**name, &**value)))
    }

    fn requested(&self) -> Result<Requested, S3Error> {
        self.over(Transport::Tls)?.requested()
    }

    fn customer_key(&self) -> Result<GivenKey, S3Error> {
        self.over(Transport::Tls)?.customer_key()
    }
}

fn key_id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

fn backing() -> Backing {
    Backing { default_key: Some(key_id("default")), bucket_keys: false }
}

/// The encryption that is decided for `sent` in a bucket of `bucket`.
fn decide(sent: &Sent, bucket: &BucketEncryption) -> Result<Option<Encryption>, S3Error> {
    sent.requested()?.decide(bucket, &backing())
}

/// The code of a refusal.
fn code<T>(result: Result<T, S3Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}
