//! Which sealed bytes a stretch of plaintext needs.
//!
//! ```text
//! chunk of a plaintext byte = byte / 16384          sealed chunk k begins at 56 + k * 16400
//! ```
//!
//! A range becomes *stretches*: consecutive chunks of one body, whole, with what is to be dropped at
//! either end. A stretch that begins with a body's first chunk begins with the body's header too,
//! and one that reaches a body's last byte takes its last chunk with it, even where that is empty:
//! so whatever ends with a body has had the end of the body opened.
//!
//! Sizes come from an object's record, which is authenticated; the store's lengths are never asked.

use core::ops::Range;
use std::sync::Arc;

use super::chunk::{HEADER_BYTES, SALT_BYTES, SEALED_CHUNK_BYTES, sealed_size};
use super::multipart::PartEntry;
use super::name::PartNumber;
use crate::crypto::aead::TAG_BYTES;
use crate::error::ObjectError;
use crate::limits::CHUNK_BYTES;

/// A stretch of an object's plaintext, as HTTP asks for it (RFC 9110, section 14.1.2) or by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByteRange {
    /// From this byte to the end: `bytes=first-`.
    From {
        /// The first byte, counted from 0.
        first: u64,
    },
    /// Both ends included: `bytes=first-last`. What lies beyond the object's end is left out.
    Inclusive {
        /// The first byte, counted from 0.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// That many bytes at the end, or all where there are fewer: `bytes=-length`.
    Suffix {
        /// How many bytes.
        length: u64,
    },
    /// Exactly these bytes, which may be none, and all of which must be in the object.
    Exact {
        /// The first byte, counted from 0.
        start: u64,
        /// How many bytes.
        length: u64,
    },
}

impl ByteRange {
    /// The bytes of an object of `size` that it means.
    ///
    /// # Errors
    /// [`ObjectError::RangeNotSatisfiable`] where S3 answers 416: it begins beyond the end, its end
    /// is before its beginning, or it is a suffix of nothing or of an empty object.
    pub fn within(self, size: u64) -> Result<Range<u64>, ObjectError> {
        let range = match self {
            Self::From { first } if first < size => first..size,
            Self::Inclusive { first, last } if first < size && first <= last => {
                first..last.saturating_add(1).min(size)
            }
            Self::Suffix { length } if length > 0 && size > 0 => size.saturating_sub(length)..size,
            Self::Exact { start, length } => match start.checked_add(length) {
                Some(end) if end <= size => start..end,
                Some(_) | None => return Err(ObjectError::RangeNotSatisfiable { size }),
            },
            Self::From { .. } | Self::Inclusive { .. } | Self::Suffix { .. } => {
                return Err(ObjectError::RangeNotSatisfiable { size });
            }
        };
        Ok(range)
    }
}

/// A stretch of sealed bytes, as they lie in the host's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SealedRange {
    /// The part; `None` for an object that was put whole.
    pub part: Option<PartNumber>,
    /// Of the first byte, from the beginning of the part's, or the object's, sealed bytes.
    pub offset: u64,
    /// How many bytes; never none.
    pub length: u64,
}

/// One body: an object that was put whole, or a part.
#[derive(Clone, Copy)]
pub(crate) struct BodyLayout {
    pub(crate) part: Option<PartNumber>,
    /// Where its plaintext begins in the object's.
    pub(crate) start: u64,
    pub(crate) plain_size: u64,
    pub(crate) salt: [u8; SALT_BYTES],
}

impl BodyLayout {
    fn end(&self) -> u64 {
        self.start + self.plain_size
    }

    /// Number of the last chunk, which is not full.
    fn last_chunk(&self) -> u64 {
        self.plain_size / CHUNK
    }

    /// Bytes of plaintext in chunk `number`, which the body has.
    pub(super) fn chunk_bytes(&self, number: u64) -> usize {
        if number < self.last_chunk() {
            CHUNK_BYTES
        } else {
            usize::try_from(self.plain_size % CHUNK).unwrap_or_default()
        }
    }
}

/// The bodies of an object, in order.
pub(crate) struct Layout {
    bodies: Vec<BodyLayout>,
    plain_size: u64,
}

impl Layout {
    /// An object that was put whole.
    pub(crate) fn whole(plain_size: u64, salt: [u8; SALT_BYTES]) -> Self {
        Self { bodies: vec![BodyLayout { part: None, start: 0, plain_size, salt }], plain_size }
    }

    /// An object of parts, whose sizes were found to fit into `u64` together.
    pub(crate) fn of_parts(parts: &[PartEntry]) -> Self {
        let mut plain_size = 0;
        let place = |part: &PartEntry| {
            let PartEntry { number, plain_size: bytes, salt } = *part;
            let start = plain_size;
            plain_size += bytes;
            BodyLayout { part: Some(number), start, plain_size: bytes, salt }
        };
        let bodies = parts.iter().map(place).collect();
        Self { bodies, plain_size }
    }

    pub(crate) fn bodies(&self) -> &[BodyLayout] {
        &self.bodies
    }

    pub(crate) fn plain_size(&self) -> u64 {
        self.plain_size
    }

    /// Bytes of all the bodies, sealed.
    pub(crate) fn sealed_size(&self) -> u64 {
        let sealed = |body: &BodyLayout| sealed_size(body.plain_size).unwrap_or(u64::MAX);
        self.bodies.iter().map(sealed).fold(0, u64::saturating_add)
    }

    /// Every body, from its header to its end.
    pub(crate) fn plan_whole(self: &Arc<Self>) -> Plan {
        self.plan(0..self.plain_size, |_| true)
    }

    /// The body of part `number`; part 1 of an object that was put whole is the object, as in S3.
    pub(crate) fn plan_part(self: &Arc<Self>, number: PartNumber) -> Result<Plan, ObjectError> {
        let is_it = |body: &BodyLayout| match body.part {
            Some(part) => part == number,
            None => number.get() == 1,
        };
        let body = self.bodies.iter().find(|body| is_it(body));
        let body = body.ok_or(ObjectError::NoSuchPart(number.get()))?;
        Ok(self.plan(body.start..body.end(), is_it))
    }

    /// What the plaintext bytes `range`, which are in the object, need.
    pub(crate) fn plan_range(self: &Arc<Self>, range: Range<u64>) -> Plan {
        let (start, end) = (range.start, range.end);
        let is_needed = |body: &BodyLayout| {
            if start == end {
                false
            } else if body.plain_size > 0 {
                body.start < end && body.end() > start
            } else {
                // An empty part in the middle, or at an end that is reached.
                start < body.start && (body.start < end || end == self.plain_size)
            }
        };
        self.plan(range, is_needed)
    }

    fn plan(self: &Arc<Self>, range: Range<u64>, is_needed: impl Fn(&BodyLayout) -> bool) -> Plan {
        let needed = self.bodies.iter().enumerate().filter(|(_, body)| is_needed(body));
        let stretches = needed.map(|(index, body)| Stretch::of(index, body, &range)).collect();
        Plan { layout: Arc::clone(self), range, stretches }
    }
}

/// A range of an object's plaintext, and the sealed bytes that it needs.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) layout: Arc<Layout>,
    pub(crate) range: Range<u64>,
    pub(crate) stretches: Vec<Stretch>,
}

impl Plan {
    /// The sealed bytes of each stretch, in order.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = SealedRange> {
        self.stretches.iter().filter_map(|stretch| {
            self.layout.bodies.get(stretch.body).map(|body| stretch.sealed(body))
        })
    }
}

/// Consecutive chunks of one body, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Which body of the layout.
    pub(crate) body: usize,
    /// The first chunk; where it is 0 the body's header stands before it.
    pub(crate) first: u64,
    /// The last chunk.
    pub(crate) last: u64,
    /// Bytes of plaintext before those that were asked for.
    pub(crate) skip: usize,
    /// Bytes of plaintext that were asked for.
    pub(crate) take: u64,
}

impl Stretch {
    /// What of `body` is in `range`.
    fn of(index: usize, body: &BodyLayout, range: &Range<u64>) -> Self {
        let start = range.start.max(body.start) - body.start;
        let end = range.end.min(body.end()) - body.start;
        let last = if end == body.plain_size { body.last_chunk() } else { (end - 1) / CHUNK };
        Self {
            body: index,
            first: start / CHUNK,
            last,
            skip: usize::try_from(start % CHUNK).unwrap_or_default(),
            take: end - start,
        }
    }

    /// Whether the body's header stands at its beginning.
    pub(crate) fn has_header(&self) -> bool {
        self.first == 0
    }

    fn sealed(&self, body: &BodyLayout) -> SealedRange {
        let begin = |chunk: u64| HEADER + chunk * SEALED_CHUNK;
        let offset = if self.has_header() { 0 } else { begin(self.first) };
        let last = body.chunk_bytes(self.last) + TAG_BYTES;
        let end = begin(self.last) + last as u64;
        SealedRange { part: body.part, offset, length: end - offset }
    }
}

const CHUNK: u64 = CHUNK_BYTES as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_BYTES as u64;
const HEADER: u64 = HEADER_BYTES as u64;

#[cfg(test)]
mod tests;
