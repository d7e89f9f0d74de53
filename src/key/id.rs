//! The id of a master key, and the one name it has in files, KV paths and Transit.

use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

use crate::error::KeyError;
use crate::limits::KEY_ID_BYTES_MAX;

/// The id of a master key: 1 to 128 of `[A-Za-z0-9._/-]`, without `..`, not starting or ending in
/// a slash and without empty steps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes `id` as a key id.
    ///
    /// # Errors
    /// [`KeyError::Invalid`] if it is not one. The id is not repeated in the error: it may be ten
    /// megabytes of somebody's terminal escapes.
    pub fn new(id: &str) -> Result<Self, KeyError> {
        match problem(id) {
            Some(problem) => Err(KeyError::Invalid { field: "key id", problem }),
            None => Ok(Self(Arc::from(id))),
        }
    }

    /// Whether [`Self::new`] takes `id`.
    pub(crate) fn is_valid(id: &str) -> bool {
        problem(id).is_none()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which backends keep this key: at most 251 bytes of `[A-Za-z0-9_]` that begin
    /// and end with a letter or digit, different for different ids.
    ///
    /// `k` and the id with `.`, `_`, `/`, `-` escaped as `_d`, `_u`, `_s`, `_h`; where that is
    /// longer than 251 bytes, `b` and the id in lower-case hexadecimal of five bits a digit
    /// (RFC 4648 base32hex without padding). The two never meet because their first bytes differ.
    #[must_use]
    pub fn storage_name(&self) -> String {
        let escaped: usize = self.0.bytes().map(|b| 1 + usize::from(escape(b).is_some())).sum();
        if escaped < STORAGE_NAME_BYTES_MAX {
            let mut name = String::with_capacity(escaped + 1);
            name.push('k');
            for byte in self.0.bytes() {
                match escape(byte) {
                    Some(letter) => name.extend(['_', letter]),
                    None => name.push(char::from(byte)),
                }
            }
            name
        } else {
            format!("b{}", base32hex(self.0.as_bytes()))
        }
    }
}

impl KeyId {
    /// The id whose [`Self::storage_name`] is `name`; `None` if there is none.
    #[cfg(any(test, feature = "vault"))]
    pub(crate) fn from_storage_name(name: &str) -> Option<Self> {
        let text = match name.split_at_checked(1)? {
            ("k", escaped) => {
                let mut text = String::with_capacity(escaped.len());
                let mut letters = escaped.chars();
                while let Some(letter) = letters.next() {
                    text.push(if letter == '_' { unescape(letters.next()?)? } else { letter });
                }
                text
            }
            ("b", digits) => String::from_utf8(from_base32hex(digits)?).ok()?,
            _ => return None,
        };
        // Whatever has two names here would be two keys there.
        Self::new(&text).ok().filter(|id| id.storage_name() == name)
    }
}

/// File names are at most 255 bytes on every file system the engine is likely to meet, and the
/// local keystore appends `.key`.
const STORAGE_NAME_BYTES_MAX: usize = 251;

fn problem(id: &str) -> Option<&'static str> {
    if id.is_empty() {
        Some("is empty")
    } else if id.len() > KEY_ID_BYTES_MAX {
        Some("is longer than 128 bytes")
    } else if !id.bytes().all(is_id_byte) {
        Some("has a character outside A-Z a-z 0-9 . _ / -")
    } else if has_twice(id, b'.') {
        Some("contains `..`")
    } else if id.starts_with('/') || id.ends_with('/') || has_twice(id, b'/') {
        Some("has an empty step between slashes")
    } else {
        None
    }
}

/// Whether `byte` follows itself somewhere. Ids are parsed on each unwrap, and are too short to gain
/// from a string search.
fn has_twice(id: &str, byte: u8) -> bool {
    id.as_bytes().windows(2).any(|pair| pair == [byte, byte])
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-')
}

fn escape(byte: u8) -> Option<char> {
    match byte {
        b'.' => Some('d'),
        b'_' => Some('u'),
        b'/' => Some('s'),
        b'-' => Some('h'),
        _ => None,
    }
}

#[cfg(any(test, feature = "vault"))]
fn unescape(letter: char) -> Option<char> {
    match letter {
        'd' => Some('.'),
        'u' => Some('_'),
        's' => Some('/'),
        'h' => Some('-'),
        _ => None,
    }
}

#[cfg(any(test, feature = "vault"))]
fn from_base32hex(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() * 5 / 8);
    let (mut pending, mut bits) = (0_u32, 0_u32);
    for digit in digits.chars() {
        pending = ((pending << 5) | digit.to_digit(32)?) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((pending >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn base32hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut pending, mut bits) = (0_u32, 0_u32);
    let mut push = |value: u32| digits.extend(char::from_digit(value & 31, 32));
    for &byte in bytes {
        pending = (pending << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(pending >> bits);
        }
        pending &= (1 << bits) - 1;
    }
    if bits > 0 {
        push(pending << (5 - bits));
    }
    digits
}

impl Deref for KeyId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

// Lets the key table be asked with a `&str` that was read out of an envelope.
impl core::borrow::Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

impl core::str::FromStr for KeyId {
    type Err = KeyError;

    fn from_str(id: &str) -> Result<Self, KeyError> {
        Self::new(id)
    }
}

impl serde::Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_that_could_leave_a_directory_or_a_terminal_are_refused() {
        let long = "a".repeat(10 << 20);
        for id in
            ["", "..", "a/../b", "a..b", "/a", "a/", "a//b", "a\0b", "a b", "\u{e9}", "a\n", &long]
        {
            assert!(KeyId::new(id).is_err());
        }
        for id in ["a", "a/b", ".a", "a-", "A.b_c-d/e", &"x".repeat(128)] {
            assert!(KeyId::new(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn storage_names_are_fixed() {
        assert_eq!(KeyId::new("tenant/a-1.x_y").unwrap().storage_name(), "ktenant_sa_h1_dx_uy");
        let worst = KeyId::new(&"-".repeat(128)).unwrap().storage_name();
        assert!(worst.starts_with('b') && worst.len() <= 251, "{worst}");
    }

    proptest! {
        #[test]
        fn storage_names_are_safe_and_tell_ids_apart(
            a in "[A-Za-z0-9._/-]{1,128}", b in "[._/-]{0,4}[A-Ca-c0-3._/-]{1,124}",
        ) {
            let (Ok(a), Ok(b)) = (KeyId::new(&a), KeyId::new(&b)) else { return Ok(()) };
            let (name_a, name_b) = (a.storage_name(), b.storage_name());
            prop_assert_eq!(KeyId::from_storage_name(&name_a), Some(a.clone()));
            prop_assert_eq!(a == b, name_a == name_b);
            prop_assert!(name_a.len() <= 251);
            prop_assert!(name_a.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'));
            prop_assert!(name_a.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric));
        }

        #[test]
        fn what_is_no_storage_name_is_none(name in "[kb]?[a-z0-9_]{0,12}") {
            if let Some(id) = KeyId::from_storage_name(&name) {
                prop_assert_eq!(id.storage_name(), name);
            }
        }

        #[test]
        fn base32hex_is_injective(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(a.len() == b.len() && a == b, base32hex(&a) == base32hex(&b));
        }
    }
}
