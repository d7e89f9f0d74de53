//! From the engine's stream to the output: this thread reads and works, another one writes.
//!
//! Four buffers of 256 KiB go round between the two, wiped at the end: memory does not depend on
//! the length. A buffer is handed on once less than one sealed chunk fits, so that the engine works
//! right into it and copies nothing.

use std::fs::File;
use std::io::{self, Write};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::output::Output;
use crate::cli::failure::Failure;
use crate::error::Error;
use crate::limits::CHUNK_BYTES;

/// A buffer, and how much of it is filled.
struct Filled(Zeroizing<Vec<u8>>, usize);

/// Copies all of `reader` to `output`; how many bytes that were.
pub(super) async fn copy<R: AsyncRead>(reader: R, output: &Output) -> Result<u64, Failure> {
    let file = output.writer()?;
    let (filled, to_write) = bounded::<Filled>(BUFFERS);
    let (written, empty) = bounded(BUFFERS);
    for _ in 0..BUFFERS {
        let buffer = Zeroizing::new(vec![0; BUFFER_BYTES]);
        written.send(buffer).map_err(|_| writer_gone())?;
    }
    let writer = thread::Builder::new()
        .name("write".to_owned())
        .spawn(move || write_all(file, &to_write, &written))
        .map_err(|error| Failure::io("starting a thread", None, error))?;
    let read = read_all(reader, &empty, filled).await;
    // The sender is gone now: the writer ends once it has written what it was given.
    let written = writer.join().map_err(|_panic| writer_gone())?;
    written.map_err(|error| output.failed("writing", error))?;
    read
}

async fn read_all<R: AsyncRead>(
    reader: R,
    empty: &Receiver<Zeroizing<Vec<u8>>>,
    filled: Sender<Filled>,
) -> Result<u64, Failure> {
    let mut reader = core::pin::pin!(reader);
    let mut total = 0;
    loop {
        let mut buffer = empty.recv().map_err(|_| writer_gone())?;
        let mut len = 0;
        let mut has_ended = false;
        while let Some(room) = buffer.get_mut(len..).filter(|room| room.len() >= ROOM_BYTES_MIN) {
            let read = reader.read(room).await.map_err(|error| of_stream(&error))?;
            has_ended = read == 0;
            if has_ended {
                break;
            }
            len += read;
        }
        total += len as u64;
        filled.send(Filled(buffer, len)).map_err(|_| writer_gone())?;
        if has_ended {
            return Ok(total);
        }
    }
}

fn write_all(
    mut file: File,
    filled: &Receiver<Filled>,
    written: &Sender<Zeroizing<Vec<u8>>>,
) -> io::Result<()> {
    for Filled(buffer, len) in filled {
        file.write_all(buffer.get(..len).unwrap_or_default())?;
        // Nobody waits for the last ones.
        drop(written.send(buffer));
    }
    Ok(())
}

/// The engine's error in a stream's.
fn of_stream(error: &io::Error) -> Failure {
    match Error::in_stream(error) {
        Some(error) => Failure::from(error),
        None => Failure::from(Error::Unreachable("a stream ended without its reason")),
    }
}

/// What the reading side says where the writing side has failed: that one's reason is told.
fn writer_gone() -> Failure {
    Failure::from(Error::Unreachable("the thread that writes is gone"))
}

const BUFFERS: usize = 4;
const BUFFER_BYTES: usize = 256 * 1024;
/// A sealed chunk with its tag.
const ROOM_BYTES_MIN: usize = CHUNK_BYTES + 16;
