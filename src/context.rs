//! The encryption context: what a wrapped key or an object is bound to.
//!
//! A context is a map of strings that is authenticated and never stored. To open, the caller gives
//! exactly the same map again: no prefix, no subset, no case folding, no Unicode normalisation.
//!
//! Canonical form, big-endian (the bytes that are bound):
//!
//! ```text
//! version 0x01 | kind u8 | fields: count u8, each length u32 and bytes
//!              | pairs: count u16, each length u32 and name, length u32 and value, by name
//! ```
//!
//! Names are sorted by their bytes. Every part is counted or length-prefixed, so no two different
//! contexts share a form.

use std::collections::BTreeMap;

use crate::error::ContextError;
use crate::limits::{CONTEXT_BYTES_MAX, CONTEXT_PAIRS_MAX};

/// A map of strings that must be equal, byte for byte, when a key or an object is opened.
///
/// At most [`CONTEXT_PAIRS_MAX`] pairs and [`CONTEXT_BYTES_MAX`] bytes. The pairs are not secret to
/// the host but may be to others: they have no `Debug` and appear in no log or error.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EncryptionContext {
    pairs: BTreeMap<String, String>,
    bytes: usize,
}

impl EncryptionContext {
    /// The empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// [`ContextError`] if the name is empty or there already, or a limit is passed.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, ContextError> {
        self.insert(name, value)?;
        Ok(self)
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// [`ContextError`] if the name is empty or there already, or a limit is passed; the context
    /// is as before.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), ContextError> {
        if name.is_empty() {
            return Err(ContextError::EmptyName);
        }
        if self.pairs.contains_key(name) {
            return Err(ContextError::DuplicateName);
        }
        if self.pairs.len() >= CONTEXT_PAIRS_MAX {
            return Err(ContextError::TooManyPairs);
        }
        let bytes = self.bytes.saturating_add(name.len()).saturating_add(value.len());
        if bytes > CONTEXT_BYTES_MAX {
            return Err(ContextError::TooLong);
        }
        self.bytes = bytes;
        self.pairs.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The canonical form for `kind` with its `fields`.
    pub(crate) fn canonical(&self, kind: ContextKind, fields: &[&[u8]]) -> CanonicalContext {
        let fields_bytes: usize = fields.iter().map(|field| field.len() + 4).sum();
        let size = 5 + fields_bytes + self.bytes + 8 * self.pairs.len();
        let mut form = Vec::with_capacity(size);
        form.push(CANONICAL_VERSION);
        form.push(kind as u8);
        form.push(u8::try_from(fields.len()).unwrap_or(u8::MAX));
        for field in fields {
            push_counted(&mut form, field);
        }
        let count = u16::try_from(self.pairs.len()).unwrap_or(u16::MAX);
        form.extend_from_slice(&count.to_be_bytes());
        for (name, value) in &self.pairs {
            push_counted(&mut form, name.as_bytes());
            push_counted(&mut form, value.as_bytes());
        }
        CanonicalContext(form)
    }
}

/// What a canonical context belongs to, so that a form of one kind never equals one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(dead_code, reason = "the codes are part of the form; bucket keys come later")]
pub(crate) enum ContextKind {
    /// A data key that a host uses itself.
    DataKey = 1,
    /// An object: bucket and name are its fields.
    Object = 2,
    /// A part of a multipart upload: bucket, name, upload id and part number are its fields.
    Part = 3,
    /// A bucket key: bucket and bucket-key id are its fields.
    BucketKey = 4,
    /// A small payload.
    Payload = 5,
}

/// The bytes that are bound. See the module's documentation for their form.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CanonicalContext(Vec<u8>);

impl CanonicalContext {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn push_counted(form: &mut Vec<u8>, bytes: &[u8]) {
    // Lengths are bounded by `CONTEXT_BYTES_MAX`, far below the width.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    form.extend_from_slice(&length.to_be_bytes());
    form.extend_from_slice(bytes);
}

const CANONICAL_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context(pairs: &[(String, String)]) -> EncryptionContext {
        let mut context = EncryptionContext::new();
        for (name, value) in pairs {
            let _ = context.insert(name, value);
        }
        context
    }

    #[test]
    fn canonical_form_is_fixed() {
        let context = EncryptionContext::new().with("b", "2").unwrap().with("a", "1").unwrap();
        let form = context.canonical(ContextKind::DataKey, &[]);
        let expected = [
            &[1, 1, 0, 0, 2][..],
            &[0, 0, 0, 1, b'a', 0, 0, 0, 1, b'1'],
            &[0, 0, 0, 1, b'b', 0, 0, 0, 1, b'2'],
        ]
        .concat();
        assert_eq!(form.as_bytes(), expected);
    }

    #[test]
    fn limits_are_typed_and_leave_the_context_as_it_was() {
        let mut context = EncryptionContext::new();
        context.insert("name", "value").unwrap();
        assert_eq!(context.insert("", "x"), Err(ContextError::EmptyName));
        assert_eq!(context.insert("name", "x"), Err(ContextError::DuplicateName));
        let long = "x".repeat(CONTEXT_BYTES_MAX);
        assert_eq!(context.insert("y", &long), Err(ContextError::TooLong));
        assert_eq!(context.len(), 1);
        for n in 1..CONTEXT_PAIRS_MAX {
            context.insert(&format!("n{n}"), "").unwrap();
        }
        assert_eq!(context.insert("one more", ""), Err(ContextError::TooManyPairs));
    }

    proptest! {
        #[test]
        fn different_contexts_have_different_forms(
            a in proptest::collection::vec((".{1,6}", ".{0,6}"), 0..5),
            b in proptest::collection::vec((".{1,6}", ".{0,6}"), 0..5),
        ) {
            let (a, b) = (context(&a), context(&b));
            let (form_a, form_b) = (
                a.canonical(ContextKind::DataKey, &[]),
                b.canonical(ContextKind::DataKey, &[]),
            );
            prop_assert_eq!(a == b, form_a == form_b);
            prop_assert!(a.canonical(ContextKind::Payload, &[]) != form_a);
        }

        #[test]
        fn fields_and_pairs_never_run_into_each_other(x in ".{1,6}", y in ".{0,6}") {
            let pair = EncryptionContext::new().with(&x, &y).unwrap();
            let as_pair = pair.canonical(ContextKind::Object, &[]);
            let as_fields = EncryptionContext::new()
                .canonical(ContextKind::Object, &[x.as_bytes(), y.as_bytes()]);
            prop_assert!(as_pair != as_fields);
        }
    }
}
