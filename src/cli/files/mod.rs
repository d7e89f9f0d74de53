//! `seal` and `open`: files in, files out.

mod copy;
mod input;
mod output;
mod progress;
mod range;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::copy::{BLOCK_BYTES, Counted, copy, failure};
use self::input::Input;
use self::output::{Output, Target};
use self::progress::{Progress, bytes, rate};
use self::range::{Opening, RangeArg, RangeReport};
use super::args::{ContextArgs, Global};
use super::failure::{Failure, Family};
use super::session::Session;
use super::show::{Show, printable};
use super::signals::Debris;
use crate::error::Error;
use crate::objects::CustomerKey;

/// What `seal` takes.
#[derive(clap::Args, Debug)]
pub(super) struct SealArgs {
    /// The file to seal; `-` is standard input
    file: PathBuf,
    /// Where the sealed file goes; `-` is standard output [default: FILE.sealed]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The master key [default: the configuration's, `default` unless it says otherwise]
    #[arg(long, short, value_name = "ID")]
    key: Option<String>,
    /// Seal under the customer key in this file, exactly 32 bytes and yours alone (mode 0600 or
    /// 0400): no keystore has a part in it, and whoever loses the key loses the file
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    sse_c_key_file: Option<PathBuf>,
    #[command(flatten)]
    context: ContextArgs,
    /// Replace the output file if it exists
    #[arg(long, short)]
    force: bool,
}

/// What `open` takes.
#[derive(clap::Args, Debug)]
pub(super) struct OpenArgs {
    /// The sealed file; `-` is standard input
    file: PathBuf,
    /// Where the plaintext goes; `-` is standard output [default: FILE without `.sealed`]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Open these bytes alone, and read no more of the file than they take: FIRST-LAST, both
    /// counted from 0 and included, FIRST- to the end, or -LENGTH, so many at the end
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true, requires = "output")]
    range: Option<RangeArg>,
    /// The file was sealed under the customer key in this file
    #[arg(long, value_name = "FILE")]
    sse_c_key_file: Option<PathBuf>,
    #[command(flatten)]
    context: ContextArgs,
    /// Replace the output file if it exists
    #[arg(long, short)]
    force: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    input: String,
    output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<RangeReport>,
    plain_bytes: u64,
    sealed_bytes: u64,
}

pub(super) async fn seal(
    global: &Global,
    args: SealArgs,
    show: &Show,
    debris: &Debris,
) -> Result<(), Failure> {
    let SealArgs { file, output, key, sse_c_key_file, context, force } = args;
    let path = output.unwrap_or_else(|| default_sealed(&file));
    if is_standard(&path) && std::io::stdout().is_terminal() {
        return Err(Failure::usage("a sealed file is no text for a terminal: give -o FILE"));
    }
    let context = context.read()?;
    let customer_key = customer_key(sse_c_key_file.as_deref())?;
    let input = Input::open(&file)?;
    let target = Target::new(&path, force)?;
    let session = start(global, customer_key.as_ref(), show).await?;
    let key = match &customer_key {
        Some(_) => None,
        None => Some(session.key(key.as_deref())?),
    };
    let progress = Progress::new("sealing", input.len(), *show);
    let mode = input.mode();
    let output = Output::create(target, mode, debris)?;
    let out = Counted::new(&output)?;
    let sealing = match (&key, &customer_key) {
        (Some(key), _) => session.kms.seal_write(key, &context, out)?,
        (None, Some(key)) => session.kms.seal_write_sse_c(key, &context, out)?,
        (None, None) => return Err(Error::Unreachable("a file is sealed under some key").into()),
    };
    let mut sealing = sealing.with_window(BLOCK_BYTES);
    copy(input, &progress, &mut sealing, &output)?;
    let sealed_bytes = sealing.finish().map_err(|error| failure(&error, &output))?.written;
    output.finish()?;
    let plain_bytes = progress.done();
    session.end().await?;
    let (input, output_name, key) = (name(&file), name(&path), key.as_deref());
    let report = Report { input, output: output_name, key, range: None, plain_bytes, sealed_bytes };
    answer(show, &output, &report, "sealed", &progress)
}

pub(super) async fn open(
    global: &Global,
    args: OpenArgs,
    show: &Show,
    debris: &Debris,
) -> Result<(), Failure> {
    let OpenArgs { file, output, range, sse_c_key_file, context, force } = args;
    let path = match output {
        Some(path) => path,
        None => default_opened(&file)?,
    };
    let context = context.read()?;
    let customer_key = customer_key(sse_c_key_file.as_deref())?;
    let input = Input::open(&file)?;
    if range.is_some() {
        range::check_input(&input)?;
    }
    let target = Target::new(&path, force)?;
    let session = start(global, customer_key.as_ref(), show).await?;
    let kms = &session.kms;
    let opened = match range {
        Some(range) => {
            let opening = Opening { kms, context: &context, customer_key, range };
            range::open(opening, input, target, show, debris).await?
        }
        None => {
            let progress = Progress::new("opening", input.len(), *show);
            let output = Output::create(target, input.mode(), debris)?;
            let out = Counted::new(&output)?;
            let opening = match customer_key {
                None => kms.open_write(&context, out),
                Some(key) => kms.open_write_sse_c(key, &context, out),
            };
            let mut opening = opening.with_window(BLOCK_BYTES);
            copy(input, &progress, &mut opening, &output)?;
            let plain_bytes = opening.finish().map_err(|error| failure(&error, &output))?.written;
            output.finish()?;
            let sealed_bytes = progress.done();
            Opened { output, progress, range: None, plain_bytes, sealed_bytes }
        }
    };
    session.end().await?;
    let (input, output_name) = (name(&file), name(&path));
    let Opened { output, progress, range, plain_bytes, sealed_bytes } = opened;
    let report = Report { input, output: output_name, key: None, range, plain_bytes, sealed_bytes };
    answer(show, &output, &report, "opened", &progress)
}

/// What opening came to.
struct Opened {
    output: Output,
    progress: Progress,
    range: Option<RangeReport>,
    plain_bytes: u64,
    /// Sealed bytes that were read.
    sealed_bytes: u64,
}

/// The customer key in the file at `path`, where one is named.
fn customer_key(path: Option<&Path>) -> Result<Option<CustomerKey>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    match CustomerKey::from_file(path) {
        Ok(key) => Ok(Some(key)),
        // A file that cannot be read says nothing about a keystore.
        Err(error @ Error::Keystore(_)) => Err(Failure::from(error).of_family(Family::Io)),
        Err(error) => Err(Failure::from(error).of_file(path)),
    }
}

/// An engine over the keystore that the arguments name, or over none for what a customer key opens.
async fn start(
    global: &Global,
    customer_key: Option<&CustomerKey>,
    show: &Show,
) -> Result<Session, Failure> {
    match customer_key {
        Some(_) => Session::without_keystore(global).await,
        None => Session::start(global, show).await,
    }
}

fn answer(
    show: &Show,
    output: &Output,
    report: &Report<'_>,
    done: &str,
    progress: &Progress,
) -> Result<(), Failure> {
    if output.is_stream() {
        return show.answer_aside(report);
    }
    show.answer(report, |out| {
        let size = bytes(report.plain_bytes);
        let rate = rate(report.plain_bytes, progress.took());
        let (input, output) = (printable(&report.input), printable(&report.output));
        match &report.range {
            None => writeln!(out, "{done} {input} as {output} ({size}{rate})"),
            Some(RangeReport { first, last, .. }) => {
                writeln!(out, "{done} bytes {first}-{last} of {input} as {output} ({size}{rate})")
            }
        }
    })
}

/// Whether `path` is a standard stream.
fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn default_sealed(file: &Path) -> PathBuf {
    if is_standard(file) {
        return file.to_owned();
    }
    let mut output = OsString::from(file);
    output.push(".sealed");
    output.into()
}

fn default_opened(file: &Path) -> Result<PathBuf, Failure> {
    if is_standard(file) {
        return Ok(file.to_owned());
    }
    let is_sealed = file.extension().is_some_and(|extension| extension == "sealed");
    if is_sealed {
        Ok(file.with_extension(""))
    } else {
        Err(Failure::usage("the file's name does not end in `.sealed`: name the output with -o"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_outputs_follow_from_inputs() {
        let opened = |file: &str| default_opened(Path::new(file)).ok();
        assert_eq!(default_sealed(Path::new("a/b.txt")), Path::new("a/b.txt.sealed"));
        assert_eq!(opened("a/b.txt.sealed"), Some("a/b.txt".into()));
        assert_eq!(opened("-"), Some("-".into()));
        assert_eq!(opened("a/b.txt"), None);
        assert_eq!(opened(".sealed"), None);
    }
}
