//! The names of what is sealed: bucket and object, upload, part.
//!
//! They are bound to what is sealed under them, byte for byte, and stand in audit records.

use core::fmt;
use std::sync::Arc;

use crate::audit::Resource;
use crate::error::ObjectError;
use crate::limits::{PART_NUMBER_MAX, RESOURCE_NAME_BYTES_MAX, UPLOAD_ID_BYTES_MAX};

/// A bucket and the name of an object in it, each 1 to 1,024 bytes of UTF-8.
///
/// Names are compared byte for byte: nothing is decoded, folded or normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    bucket: Arc<str>,
    object: Arc<str>,
}

impl ObjectName {
    /// Takes `bucket` and `object` as names.
    ///
    /// # Errors
    /// [`ObjectError::Invalid`] if one is empty or longer than 1,024 bytes, where S3 ends.
    pub fn new(bucket: &str, object: &str) -> Result<Self, ObjectError> {
        check("bucket", bucket)?;
        check("object name", object)?;
        Ok(Self { bucket: Arc::from(bucket), object: Arc::from(object) })
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object's name in its bucket.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The object as audit records name it; the bounds are the same there.
    pub(crate) fn resource(&self) -> Option<Resource<'_>> {
        Resource::new(&self.bucket, Some(&self.object)).ok()
    }
}

/// The id of a multipart upload: 1 to 128 of `[A-Za-z0-9._~-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(Arc<str>);

impl UploadId {
    /// Takes `id` as an upload's id. It is to be new for each upload.
    ///
    /// # Errors
    /// [`ObjectError::Invalid`] if it is empty, too long or holds another character.
    pub fn new(id: &str) -> Result<Self, ObjectError> {
        if !Self::is_valid(id) {
            let problem = "is not 1 to 128 of A-Z a-z 0-9 . _ ~ -";
            return Err(ObjectError::Invalid { field: "upload id", problem });
        }
        Ok(Self(Arc::from(id)))
    }

    /// Whether [`Self::new`] takes `id`.
    pub(crate) fn is_valid(id: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        (1..=UPLOAD_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_plain)
    }

    /// An id that was found valid.
    pub(crate) fn of_valid(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// An id of 128 random bits, in hexadecimal.
    pub(crate) fn of_random(bytes: [u8; 16]) -> Self {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
        Self(digits.collect::<String>().into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a part: 1 to 10,000, as in S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(u16);

impl PartNumber {
    /// Takes `number` as a part's; `None` outside 1 to 10,000.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u16::try_from(number).ok().filter(|n| (1..=PART_NUMBER_MAX).contains(n)).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check(field: &'static str, name: &str) -> Result<(), ObjectError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > RESOURCE_NAME_BYTES_MAX {
        "is longer than 1024 bytes"
    } else {
        return Ok(());
    };
    Err(ObjectError::Invalid { field, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_and_numbers_outside_their_limits_are_refused() {
        let long = "x".repeat(RESOURCE_NAME_BYTES_MAX + 1);
        assert!(ObjectName::new("b", &long[1..]).unwrap().resource().is_some());
        for (bucket, object) in [("", "o"), ("b", ""), (&*long, "o"), ("b", &*long)] {
            let refused = ObjectName::new(bucket, object);
            assert!(matches!(refused, Err(ObjectError::Invalid { .. })));
        }
        assert!(UploadId::new("2~aZ9._-").is_ok());
        for id in ["", "a/b", "a b", "\u{e9}", &long[..UPLOAD_ID_BYTES_MAX + 1]] {
            assert!(UploadId::new(id).is_err(), "{id}");
        }
        let numbers = [0, 1, 10_000, 10_001, 65_537].map(PartNumber::new);
        assert_eq!(
            numbers.map(|n| n.map(PartNumber::get)),
            [None, Some(1), Some(10_000), None, None]
        );
    }

    #[test]
    fn a_random_id_is_one_that_is_taken() {
        let id = UploadId::of_random([0x0f; 16]);
        assert_eq!(id.as_str(), "0f".repeat(16));
        assert_eq!(UploadId::new(id.as_str()).unwrap(), id);
    }
}
