//! `open --range`: a stretch of the plaintext, from just the sealed bytes that it takes.

use core::pin::pin;
use core::str::FromStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use super::Opened;
use super::copy::Counted;
use super::input::Input;
use super::output::{Output, Target};
use super::progress::Progress;
use crate::Kms;
use crate::cli::failure::Failure;
use crate::cli::show::Show;
use crate::cli::signals::Debris;
use crate::context::EncryptionContext;
use crate::engine::OpenedRange;
use crate::error::{Error, ObjectError};
use crate::object::FileStretch;
use crate::objects::{ByteRange, CustomerKey, RangedSource, SealedRange};

/// `first-last`, `first-` or `-length`, as in HTTP (RFC 9110, section 14.1.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeArg(ByteRange);

impl FromStr for RangeArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').ok_or(NOT_A_RANGE)?;
        let range = match (first, last) {
            ("", length) => ByteRange::Suffix { length: number(length)? },
            (first, "") => ByteRange::From { first: number(first)? },
            (first, last) => ByteRange::Inclusive { first: number(first)?, last: number(last)? },
        };
        match range {
            ByteRange::Inclusive { first, last } if last < first => Err("it ends before it begins"),
            range => Ok(Self(range)),
        }
    }
}

/// Digits alone: the standard's parser takes a sign too.
fn number(digits: &str) -> Result<u64, &'static str> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NOT_A_RANGE);
    }
    digits.parse().map_err(|_| "a number in it is larger than any file")
}

const NOT_A_RANGE: &str = "a range is FIRST-LAST, FIRST- or -LENGTH, in bytes counted from 0";

/// The bytes of the plaintext that were asked for, which are at least one.
#[derive(Serialize)]
pub(super) struct RangeReport {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Length of the whole plaintext.
    size: u64,
}

/// A sealed file that counts what is fetched of it.
struct Sealed {
    file: Arc<File>,
    fetched: Arc<AtomicU64>,
}

impl RangedSource for Sealed {
    type Reader = FileStretch;
    type Fetch = <Arc<File> as RangedSource>::Fetch;

    fn fetch(&mut self, range: SealedRange) -> Self::Fetch {
        self.fetched.fetch_add(range.length, Ordering::Relaxed);
        self.file.fetch(range)
    }
}

/// What is to be opened, and how.
pub(super) struct Opening<'o> {
    pub(super) kms: &'o Kms,
    pub(super) context: &'o EncryptionContext,
    pub(super) customer_key: Option<CustomerKey>,
    pub(super) range: RangeArg,
}

/// Whether `input` can be read from anywhere, as a range needs it.
pub(super) fn check_input(input: &Input) -> Result<(), Failure> {
    match input.len() {
        Some(_) => Ok(()),
        None => Err(Failure::usage(
            "--range reads here and there in a file: standard input and devices are streams",
        )),
    }
}

/// Opens a range of `input`. Before anything is written it is known that there are such bytes.
pub(super) async fn open(
    opening: Opening<'_>,
    input: Input,
    target: Target,
    show: &Show,
    debris: &Debris,
) -> Result<Opened, Failure> {
    let (len, mode) = (input.len().unwrap_or_default(), input.mode());
    let (file, path) = input.into_file();
    let fetched = Arc::new(AtomicU64::new(0));
    let source = Sealed { file: Arc::new(file), fetched: Arc::clone(&fetched) };
    let Opening { kms, context, customer_key, range: RangeArg(range) } = opening;
    let reader = kms.open_range(context, customer_key.as_ref(), range, source, len).await;
    let reader = reader.map_err(|error| input_failure(&error, &path))?;
    let plain = reader.plain();
    let range = RangeReport { first: plain.start, last: plain.end - 1, size: reader.plain_size() };
    let progress = Progress::new("opening", Some(plain.end - plain.start), *show);
    let output = Output::create(target, mode, debris)?;
    copy(reader, &path, &output, &progress).await?;
    output.finish()?;
    let plain_bytes = progress.done();
    let sealed_bytes = fetched.load(Ordering::Relaxed);
    Ok(Opened { output, progress, range: Some(range), plain_bytes, sealed_bytes })
}

async fn copy(
    reader: OpenedRange<Sealed>,
    path: &Path,
    output: &Output,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut reader = pin!(reader);
    let mut out = Counted::new(output)?;
    let mut block = Zeroizing::new(vec![0; BLOCK_BYTES]);
    loop {
        let mut len = 0;
        while let Some(room) = block.get_mut(len..).filter(|room| !room.is_empty()) {
            match reader.read(room).await {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) => return Err(stream_failure(&error, path)),
            }
        }
        let bytes = block.get(..len).unwrap_or_default();
        out.write_all(bytes).map_err(|error| output.failed("writing", error))?;
        progress.add(len);
        if len < block.len() {
            return Ok(());
        }
    }
}

fn stream_failure(error: &io::Error, path: &Path) -> Failure {
    match Error::in_stream(error) {
        Some(error) => input_failure(error, path),
        None => Failure::io("reading", Some(path), error.kind().into()),
    }
}

/// What the engine says; where the input failed, in its name.
fn input_failure(error: &Error, path: &Path) -> Failure {
    match error {
        Error::Object(ObjectError::Io(error)) => {
            let system = error.raw_os_error().map(io::Error::from_raw_os_error);
            Failure::io("reading", Some(path), system.unwrap_or_else(|| error.kind().into()))
        }
        error => Failure::from(error),
    }
}

const BLOCK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_writes_them_and_nothing_else_is() {
        let read = |text: &str| text.parse().map(|RangeArg(range)| range);
        assert_eq!(read("0-0"), Ok(ByteRange::Inclusive { first: 0, last: 0 }));
        assert_eq!(read("10-"), Ok(ByteRange::From { first: 10 }));
        assert_eq!(read("-10"), Ok(ByteRange::Suffix { length: 10 }));
        assert_eq!(read("-0"), Ok(ByteRange::Suffix { length: 0 }));
        let largest = format!("{}-{0}", u64::MAX);
        assert_eq!(read(&largest), Ok(ByteRange::Inclusive { first: u64::MAX, last: u64::MAX }));
        for bad in ["", "-", "--", "1", "+1-2", "1-2-3", "1-2,4-5", " 1-2", "bytes=1-2", "a-b"] {
            assert_eq!(read(bad), Err(NOT_A_RANGE), "{bad:?}");
        }
        assert!(read("2-1").is_err());
        assert!(read("0-18446744073709551616").is_err());
    }
}
