//! SSE-KMS: the encryption context in its header, base64 (RFC 4648) of a JSON object of strings.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};

use super::error::S3Error;
use crate::context::EncryptionContext;
use crate::limits::CONTEXT_HEADER_BYTES_MAX;

/// The context in the header `value`: at most [`CONTEXT_HEADER_BYTES_MAX`] bytes; every name once.
pub(super) fn parse(value: &str) -> Result<EncryptionContext, S3Error> {
    if value.len() > CONTEXT_HEADER_BYTES_MAX {
        return Err(REFUSED);
    }
    let json = STANDARD.decode(value).map_err(|_| REFUSED)?;
    let mut json = serde_json::Deserializer::from_slice(&json);
    let context = json.deserialize_map(Pairs).map_err(|_| REFUSED)?;
    json.end().map_err(|_| REFUSED)?;
    Ok(context)
}

/// The header of `context`: names in the order of their bytes, so that equal contexts give equal
/// headers.
pub(super) fn render(context: &EncryptionContext) -> String {
    let pairs: serde_json::Map<_, _> =
        context.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    STANDARD.encode(serde_json::Value::from(pairs).to_string())
}

/// Takes pairs one by one: serde's own maps would keep the last of two equal names.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = EncryptionContext;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut context = EncryptionContext::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            context.insert(&name, &value).map_err(A::Error::custom)?;
        }
        Ok(context)
    }
}

pub(super) const REFUSED: S3Error = S3Error::argument(
    "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding \
     JSON which represents a string-string map",
);
