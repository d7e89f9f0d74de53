//! From the input through the engine to the output: another thread reads ahead, this one and the
//! engine's work, and this one writes.
//!
//! Four blocks of 2 MiB go round, three that are read into and one that is written from, wiped at
//! the end: memory does not depend on the length, and a block is long enough that several threads
//! share it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use zeroize::Zeroizing;

use super::input::Input;
use super::output::Output;
use super::progress::Progress;
use crate::cli::failure::Failure;
use crate::error::{Error, ObjectError};

/// A block, and how much of it was read; or why no more was.
type Block = (Zeroizing<Vec<u8>>, io::Result<usize>);

/// An output that counts.
pub(super) struct Counted {
    file: File,
    pub(super) written: u64,
}

impl Counted {
    pub(super) fn new(output: &Output) -> Result<Self, Failure> {
        Ok(Self { file: output.writer()?, written: 0 })
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.written += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes all of `input` to `turning`; what was read is counted in `progress`.
pub(super) fn copy(
    input: Input,
    progress: &Progress,
    mut turning: impl Write,
    output: &Output,
) -> Result<(), Failure> {
    let (file, path) = input.into_file();
    let (read, blocks) = bounded::<Block>(BLOCKS);
    let (done, empty) = bounded(BLOCKS);
    for _ in 0..BLOCKS {
        drop(done.send(Zeroizing::new(vec![0; BLOCK_BYTES])));
    }
    // Never joined: where the output fails, the input may still be waited for.
    let started = thread::Builder::new().name("read".to_owned());
    started
        .spawn(move || read_all(file, &empty, &read))
        .map_err(|error| Failure::io("starting a thread", None, error))?;
    for (block, len) in blocks {
        let len = len.map_err(|error| Failure::io("reading", Some(&path), error))?;
        let bytes = block.get(..len).unwrap_or_default();
        turning.write_all(bytes).map_err(|error| failure(&error, output))?;
        progress.add(len);
        // Nobody waits for the last ones.
        drop(done.send(block));
    }
    Ok(())
}

/// Reads to the end, block by block, or until nobody takes them any more.
fn read_all(mut file: File, empty: &Receiver<Zeroizing<Vec<u8>>>, read: &Sender<Block>) {
    for mut block in empty {
        let len = fill(&mut file, &mut block);
        let has_ended = len.as_ref().map_or(true, |&len| len < block.len());
        if read.send((block, len)).is_err() || has_ended {
            return;
        }
    }
}

/// Fills `block`, unless the input ends before.
fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(room) = block.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// What went wrong in the engine, or with `output` behind it.
pub(super) fn failure(error: &io::Error, output: &Output) -> Failure {
    match Error::in_stream(error) {
        Some(Error::Object(ObjectError::Io(error))) => {
            let system = error.raw_os_error().map(io::Error::from_raw_os_error);
            output.failed("writing", system.unwrap_or_else(|| error.kind().into()))
        }
        Some(error) => Failure::from(error),
        None => output.failed("writing", error.kind().into()),
    }
}

/// Blocks that are read ahead.
const BLOCKS: usize = 3;
/// Enough for several threads, and little beside a program's own memory.
pub(super) const BLOCK_BYTES: usize = 2 << 20;
