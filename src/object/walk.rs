//! Opening the stretches of a plan as a state machine: sealed bytes go in, plaintext comes out,
//! nothing is read or written here.
//!
//! ```text
//! while walk.wants_input() { read into walk.room(); walk.fed(n) }      0 is the end of input
//! walk.take(reading, out)                   0 and walk.is_over() is the end of output
//! ```
//!
//! The input is the sealed bytes of the plan's stretches, one after the other. How long each chunk
//! is comes from the object's record, never from the input. One [`Walk::take`] works on one chunk, or
//! on the full ones that lie ready and find room, at most eight; what it hands out is handed out
//! inside sections of the gate.
//!
//! Invariants, beside those of [`object`](super):
//!
//! 1. A body's last byte is released only after the body's last chunk has opened, even where that
//!    is empty: the two are opened in one step.
//! 2. Where the input has to end with the plan, nothing of the last chunk is released before it
//!    has. A byte more or less is an error.
//!
//! Cost: as [`pipe`](super::pipe), and less memory for what is shorter than its windows.

use std::io;
use std::sync::Arc;

use zeroize::Zeroize;

use super::chunk::{ChunkCipher, HEADER_BYTES, Header, SEALED_CHUNK_BYTES};
use super::range::{BodyLayout, Plan, Stretch};
use super::run::Run;
use super::window::Window;
use crate::crypto::aead::TAG_BYTES;
use crate::error::{Error, ObjectError};
use crate::limits::CHUNK_BYTES;

/// The engine's side of a walk: its ticket, its keys and the gate.
pub(crate) trait Reading: Unpin {
    /// Makes the cipher of body `body` the one that sections work with. Where `header` is given,
    /// it must be the body's.
    ///
    /// # Errors
    /// The walk is cut.
    fn enter(&mut self, body: &BodyLayout, header: Option<&Header>) -> Result<(), Error>;

    /// Runs `work` with the cipher inside one section of the gate, after ticket, generation and
    /// key state were checked. `work` is at most one chunk and does no I/O.
    ///
    /// # Errors
    /// `work` was not run, and the walk is cut.
    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error>;

    /// Opens the full chunks of `input`, the first of which has the number `first`, into `out`; in
    /// sections as [`run`](super::run) has them.
    fn run(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run;

    /// The walk ended well and its last byte was handed out. Called once.
    fn finished(&mut self);

    /// The walk was cut by `error`. May come more than once.
    fn failed(&mut self, error: &Error);
}

/// A plan that is being read.
pub(crate) struct Walk {
    plan: Plan,
    /// Whether the input ends with the plan.
    to_the_end: bool,
    /// Which stretch of the plan.
    at: usize,
    place: Place,
    input: Window,
    input_ended: bool,
    /// Plaintext of a chunk that did not fit where it was wanted.
    output: Window,
}

enum Place {
    /// Before the first chunk of a stretch.
    Before,
    Chunk {
        number: u64,
        skip: usize,
        left: u64,
    },
    /// Everything was opened; not all of it was handed out.
    Tail,
    /// Everything was handed out.
    Over,
    /// It failed, for ever.
    Cut(Arc<Error>),
}

/// The next chunk, and what is to be handed out of it.
#[derive(Clone, Copy)]
struct Step {
    number: u64,
    /// Bytes of its plaintext.
    plain: usize,
    /// Sealed bytes, those of an empty last chunk after it included.
    sealed: usize,
    /// What is handed out: from here, so much.
    skip: usize,
    take: usize,
    ends_stretch: bool,
    ends_plan: bool,
}

impl Walk {
    /// A walk over `plan`. With `to_the_end` the input has to end with it.
    pub(crate) fn new(plan: Plan, to_the_end: bool) -> Self {
        let sealed = plan.sealed().map(|range| range.length).fold(0, u64::saturating_add);
        let sealed = usize::try_from(sealed).unwrap_or(usize::MAX);
        let plain = usize::try_from(plan.layout.plain_size()).unwrap_or(usize::MAX);
        let place = if plan.stretches.is_empty() { Place::Tail } else { Place::Before };
        Self {
            plan,
            to_the_end,
            at: 0,
            place,
            input: Window::new(INPUT_BYTES.min(sealed.saturating_add(1))),
            input_ended: false,
            output: Window::new(CHUNK_BYTES.min(plain)),
        }
    }

    /// Whether everything was handed out.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.place, Place::Over)
    }

    /// Whether the next [`take`](Self::take) needs more input first.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        if self.input_ended || !self.output.is_empty() {
            return false;
        }
        match self.next() {
            Some((header, step)) => {
                // One byte more would show that the input goes on.
                let more = usize::from(step.ends_plan && self.to_the_end);
                self.input.len() < header + step.sealed + more
            }
            None => false,
        }
    }

    /// How many bytes the next [`take`](Self::take) may hand out: at most eight chunks.
    pub(crate) fn gives(&self) -> usize {
        match (self.output.len(), self.ready(usize::MAX)) {
            (0, 0) => self.next().map_or(0, |(_, step)| step.take),
            (0, ready) => ready * CHUNK_BYTES,
            (waiting, _) => waiting,
        }
    }

    /// How many chunks can be opened in one go, none of which ends its stretch: two and more lie
    /// ready, are wanted whole and find place in `room` bytes. None where each is a step of its own.
    fn ready(&self, room: usize) -> usize {
        let (Place::Chunk { number, skip: 0, .. }, Some((stretch, body))) =
            (&self.place, self.stretch())
        else {
            return 0;
        };
        // With an empty last chunk goes the one before it.
        let behind = u64::from(body.chunk_bytes(stretch.last) == 0);
        let before_end = stretch.last.saturating_sub(number + behind);
        let before_end = usize::try_from(before_end).unwrap_or(usize::MAX);
        let ready = (self.input.len() / SEALED_CHUNK_BYTES).min(room / CHUNK_BYTES);
        match ready.min(before_end) {
            1 => 0,
            ready => ready,
        }
    }

    /// Where to read input to; not empty while input is wanted.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.input.room()
    }

    /// `len` bytes were read into the room; none is the end of input, for ever.
    pub(crate) fn fed(&mut self, len: usize) {
        self.input_ended |= len == 0;
        if !self.input.grow(len) {
            self.input.distrust();
            self.cut(Error::ApiMisuse("a reader says it read more than it was given room for"));
        }
    }

    /// The input failed: the walk is cut.
    pub(crate) fn input_failed(&mut self, error: io::Error) {
        self.input.distrust();
        self.cut(Error::Object(ObjectError::Io(error)));
    }

    /// Hands out bytes: how many were written to the front of `out`. None may also mean that a
    /// chunk had nothing to hand out.
    ///
    /// # Errors
    /// The one with which the walk was cut; the same at every later call.
    pub(crate) fn take<R: Reading>(
        &mut self,
        reading: &mut R,
        out: &mut [u8],
    ) -> Result<usize, Arc<Error>> {
        let taken = match &self.place {
            Place::Cut(error) => {
                reading.failed(error);
                return Err(Arc::clone(error));
            }
            Place::Over => return Ok(0),
            Place::Before | Place::Chunk { .. } | Place::Tail if !self.output.is_empty() => {
                let waiting = self.output.waiting();
                reading
                    .section(|_| copy_front(waiting, out))
                    .inspect(|&len| self.output.shrink(len))
            }
            Place::Before => self.enter(reading).and_then(|()| self.step(reading, out)),
            Place::Chunk { .. } => match self.ready(out.len()) {
                0 => self.step(reading, out),
                ready => self.run(reading, ready, out),
            },
            Place::Tail => Ok(0),
        };
        let taken = taken.map_err(|error| {
            reading.failed(&error);
            self.cut(error)
        })?;
        if matches!(self.place, Place::Tail) && self.output.is_empty() {
            self.place = Place::Over;
            reading.finished();
        }
        Ok(taken)
    }

    fn stretch(&self) -> Option<(&Stretch, &BodyLayout)> {
        let stretch = self.plan.stretches.get(self.at)?;
        Some((stretch, self.plan.layout.bodies().get(stretch.body)?))
    }

    /// Bytes of the header that comes next, if one does, and the next chunk.
    fn next(&self) -> Option<(usize, Step)> {
        let (stretch, body) = self.stretch()?;
        let (header, number, skip, left) = match self.place {
            Place::Before => {
                let header = if stretch.has_header() { HEADER_BYTES } else { 0 };
                (header, stretch.first, stretch.skip, stretch.take)
            }
            Place::Chunk { number, skip, left } => (0, number, skip, left),
            Place::Tail | Place::Over | Place::Cut(_) => return None,
        };
        let plain = body.chunk_bytes(number);
        let empty_last_follows = number + 1 == stretch.last && body.chunk_bytes(stretch.last) == 0;
        let ends_stretch = number == stretch.last || empty_last_follows;
        let step = Step {
            number,
            plain,
            sealed: plain + TAG_BYTES + if empty_last_follows { TAG_BYTES } else { 0 },
            skip,
            take: usize::try_from(left).unwrap_or(usize::MAX).min(plain.saturating_sub(skip)),
            ends_stretch,
            ends_plan: ends_stretch && self.at + 1 == self.plan.stretches.len(),
        };
        Some((header, step))
    }

    fn enter<R: Reading>(&mut self, reading: &mut R) -> Result<(), Error> {
        let (&stretch, &body) =
            self.stretch().ok_or(Error::Unreachable("a walk went beyond its plan"))?;
        let Stretch { first: number, skip, take: left, .. } = stretch;
        if stretch.has_header() {
            let (header, _) = Header::split_from(self.input.waiting())?;
            reading.enter(&body, Some(&header))?;
            self.input.shrink(HEADER_BYTES);
        } else {
            reading.enter(&body, None)?;
        }
        self.place = Place::Chunk { number, skip, left };
        Ok(())
    }

    /// Opens the next `ready` chunks right into `out`.
    fn run<R: Reading>(
        &mut self,
        reading: &mut R,
        ready: usize,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let Place::Chunk { number, left, .. } = self.place else {
            return Err(Error::Unreachable("a walk went beyond its plan"));
        };
        let sealed = self.input.waiting().get(..ready * SEALED_CHUNK_BYTES).unwrap_or_default();
        let out = out.get_mut(..ready * CHUNK_BYTES).unwrap_or_default();
        let Run { done, end } = reading.run(number, sealed, out);
        let taken = done * CHUNK_BYTES;
        let Err(error) = end else {
            self.input.shrink(ready * SEALED_CHUNK_BYTES);
            let (number, left) = (number + done as u64, left - taken as u64);
            self.place = Place::Chunk { number, skip: 0, left };
            return Ok(taken);
        };
        // The object's own fault takes nothing back. Where the engine says no, this step gives
        // nothing any more, though its chunks were opened before.
        let kept = if matches!(error, Error::Object(_)) { taken } else { 0 };
        out.get_mut(kept..).unwrap_or_default().zeroize();
        if kept == 0 {
            return Err(error);
        }
        reading.failed(&error);
        self.cut(error);
        Ok(kept)
    }

    /// Opens the next chunk and hands out what fits, in one section.
    fn step<R: Reading>(&mut self, reading: &mut R, out: &mut [u8]) -> Result<usize, Error> {
        let (_, step) = self.next().ok_or(Error::Unreachable("a walk went beyond its plan"))?;
        let waiting = self.input.waiting();
        let goes_on = step.ends_plan && self.to_the_end && waiting.len() > step.sealed;
        let sealed = waiting.get(..step.sealed).filter(|_| !goes_on);
        let sealed = sealed.ok_or(ObjectError::Malformed("length"))?;
        let is_wanted_whole = step.take == step.plain;
        let taken = match out.get_mut(..step.plain) {
            Some(whole) if is_wanted_whole => {
                reading.section(|cipher| open(cipher, &step, sealed, whole))??;
                step.plain
            }
            Some(_) | None => {
                let staged = self.output.room().get_mut(..step.plain).unwrap_or_default();
                let taken = reading.section(|cipher| {
                    open(cipher, &step, sealed, staged)?;
                    let wanted = staged.get(step.skip..).unwrap_or_default();
                    Ok::<_, Error>(copy_front(wanted.get(..step.take).unwrap_or_default(), out))
                });
                // All of it is wiped in the end, what was not wanted too.
                self.output.distrust();
                let taken = taken??;
                if !self.output.grow(step.skip + step.take) {
                    return Err(Error::Unreachable("a chunk outgrew its buffer"));
                }
                self.output.shrink(step.skip + taken);
                taken
            }
        };
        self.input.shrink(step.sealed);
        self.place = match self.place {
            _ if step.ends_plan => Place::Tail,
            Place::Chunk { number, left, .. } if !step.ends_stretch => {
                Place::Chunk { number: number + 1, skip: 0, left: left - step.take as u64 }
            }
            _ => Place::Before,
        };
        self.at += usize::from(step.ends_stretch);
        Ok(taken)
    }

    /// Ends the walk with `error`, unless it was cut before; wipes its buffers.
    fn cut(&mut self, error: Error) -> Arc<Error> {
        self.input.wipe();
        self.output.wipe();
        if let Place::Cut(first) = &self.place {
            return Arc::clone(first);
        }
        let error = Arc::new(error);
        self.place = Place::Cut(Arc::clone(&error));
        error
    }
}

/// Opens the chunk of `step`, and before it the empty last one that follows it.
fn open(cipher: &ChunkCipher, step: &Step, sealed: &[u8], out: &mut [u8]) -> Result<(), Error> {
    let (chunk, empty_last) =
        sealed.split_at_checked(step.plain + TAG_BYTES).ok_or(ObjectError::Malformed("length"))?;
    if !empty_last.is_empty() {
        cipher.open(step.number + 1, empty_last, &mut [])?;
    }
    cipher.open(step.number, chunk, out)
}

/// Copies what fits of `from` to the front of `to`; how much that was.
fn copy_front(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) {
        to.copy_from_slice(from);
    }
    len
}

/// Room for input: eight chunks, because a read is often a system call or a hop to another thread.
const INPUT_BYTES: usize = HEADER_BYTES + 8 * SEALED_CHUNK_BYTES + TAG_BYTES + 1;

#[cfg(test)]
mod tests;
