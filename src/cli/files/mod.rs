//! `seal` and `open`: files in, files out.

mod copy;
mod input;
mod output;
mod progress;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::copy::{BLOCK_BYTES, Counted, copy, failure};
use self::input::Input;
use self::output::{Output, Target};
use self::progress::{Progress, bytes, rate};
use super::args::{ContextArgs, Global};
use super::failure::Failure;
use super::session::Session;
use super::show::{Show, printable};
use super::signals::Debris;

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
    plain_bytes: u64,
    sealed_bytes: u64,
}

pub(super) async fn seal(
    global: &Global,
    args: SealArgs,
    show: &Show,
    debris: &Debris,
) -> Result<(), Failure> {
    let SealArgs { file, output, key, context, force } = args;
    let path = output.unwrap_or_else(|| default_sealed(&file));
    if is_standard(&path) && std::io::stdout().is_terminal() {
        return Err(Failure::usage("a sealed file is no text for a terminal: give -o FILE"));
    }
    let context = context.read()?;
    let input = Input::open(&file)?;
    let target = Target::new(&path, force)?;
    let session = Session::start(global, show).await?;
    let key = session.key(key.as_deref())?;
    let progress = Progress::new("sealing", input.len(), *show);
    let mode = input.mode();
    let output = Output::create(target, mode, debris)?;
    let sealing = session.kms.seal_write(&key, &context, Counted::new(&output)?)?;
    let mut sealing = sealing.with_window(BLOCK_BYTES);
    copy(input, &progress, &mut sealing, &output)?;
    let sealed_bytes = sealing.finish().map_err(|error| failure(&error, &output))?.written;
    output.finish()?;
    let plain_bytes = progress.done();
    session.end().await?;
    let key = Some(key.as_str());
    let report = Report { input: name(&file), output: name(&path), key, plain_bytes, sealed_bytes };
    answer(show, &output, &report, "sealed", &progress)
}

pub(super) async fn open(
    global: &Global,
    args: OpenArgs,
    show: &Show,
    debris: &Debris,
) -> Result<(), Failure> {
    let OpenArgs { file, output, context, force } = args;
    let path = match output {
        Some(path) => path,
        None => default_opened(&file)?,
    };
    let context = context.read()?;
    let input = Input::open(&file)?;
    let target = Target::new(&path, force)?;
    let session = Session::start(global, show).await?;
    let progress = Progress::new("opening", input.len(), *show);
    let mode = input.mode();
    let output = Output::create(target, mode, debris)?;
    let opening = session.kms.open_write(&context, Counted::new(&output)?);
    let mut opening = opening.with_window(BLOCK_BYTES);
    copy(input, &progress, &mut opening, &output)?;
    let plain_bytes = opening.finish().map_err(|error| failure(&error, &output))?.written;
    output.finish()?;
    let sealed_bytes = progress.done();
    session.end().await?;
    let (input, output_name) = (name(&file), name(&path));
    let report = Report { input, output: output_name, key: None, plain_bytes, sealed_bytes };
    answer(show, &output, &report, "opened", &progress)
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
        writeln!(out, "{done} {input} as {output} ({size}{rate})")
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
