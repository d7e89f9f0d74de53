//! An object as a state machine: slices of input go in, slices of output come out, nothing is read
//! or written here.
//!
//! ```text
//! wanted = pipe.wants()                          read at least so many, or to the end
//! step   = pipe.work(operation, input, ended, out)    step.taken of input, step.given of out
//! ```
//!
//! Chunks are turned from the input where it lies right into `out`, as many as both hold; only what
//! is no whole chunk there is copied: the beginning of a chunk, to wait for the rest of it, and the
//! end of one for which `out` had no room. Each chunk is turned, and each byte handed out, inside a
//! section of the gate.
//!
//! Opening looks 17 bytes past a full chunk before it opens it: if just an empty last chunk
//! follows, that is opened first. So whoever stops reading at the known length has still had the
//! end authenticated, and [`Operation::finished`] comes with the last byte.
//!
//! Cost: what is copied waits in up to 33 KiB, made when it is first needed.

use core::marker::PhantomData;
use std::sync::Arc;

use zeroize::Zeroize;

use super::chunk::{ChunkCipher, HEADER_BYTES, Header};
use super::direction::{Direction, Open, Seal};
use super::run::Run;
use super::window::Window;
use crate::error::Error;

/// The engine's side of an object: its ticket, its key and the gate.
pub(crate) trait Operation: Unpin {
    /// Makes the cipher that opens the object which begins with `header`. Called once, before the
    /// first section of a stream that opens; never for one that seals.
    ///
    /// # Errors
    /// The stream is cut.
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let _ = header;
        Err(Error::Unreachable("a stream that seals met a header to open"))
    }

    /// Runs `work` with the cipher inside one section of the gate, after ticket, generation and
    /// key state were checked. `work` is at most one chunk and does no I/O.
    ///
    /// # Errors
    /// `work` was not run, and the stream is cut.
    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error>;

    /// Turns the whole chunks of `input`, the first of which has the number `first`, into `out`,
    /// each in a section of its own.
    fn run<D: Direction>(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        let mut done = 0;
        let chunks = input.chunks_exact(D::INPUT_BYTES).zip(out.chunks_exact_mut(D::OUTPUT_BYTES));
        for (number, (input, out)) in (first..).zip(chunks) {
            let turned = self.section(|cipher| D::turn(cipher, number, input, out));
            if let Err(error) = turned.and_then(|turned| turned) {
                return Run { done, end: Err(error) };
            }
            done += 1;
        }
        Run { done, end: Ok(()) }
    }

    /// The stream ended well and its last byte was handed out. Called once.
    fn finished(&mut self, plain_bytes: u64);

    /// The stream ended with `error`, which may be one that a section gave.
    fn failed(&mut self, error: &Error) {
        let _ = error;
    }
}

/// An object on its way in one direction.
pub(crate) struct Pipe<D> {
    state: State,
    /// The beginning of a chunk whose rest has not come.
    carry: Window,
    /// Output that had no room where it was wanted.
    output: Window,
    /// Number of the next chunk.
    number: u64,
    plain_bytes: u64,
    direction: PhantomData<fn() -> D>,
}

enum State {
    /// The header has not been read.
    Head,
    /// Chunks are being turned.
    Body,
    /// The last chunk was turned; not all of it was handed out.
    Tail,
    /// Everything was handed out.
    Ended,
    /// The stream failed, for ever.
    Cut(Arc<Error>),
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes of input that it took.
    pub(crate) taken: usize,
    /// Bytes of output that it gave.
    pub(crate) given: usize,
}

impl Pipe<Seal> {
    /// A pipe that gives `prefix`, then `header`, then chunks.
    pub(crate) fn sealing(prefix: &[u8], header: &Header) -> Self {
        let mut pipe = Self::new(State::Body);
        let [salt, commitment] = header.parts();
        pipe.output.reserve(Seal::OUTPUT_BYTES.max(prefix.len() + HEADER_BYTES));
        for part in [prefix, salt, commitment] {
            assert!(pipe.output.push(part), "the window was made to hold them");
        }
        pipe
    }
}

impl Pipe<Open> {
    /// A pipe whose input begins with a header.
    pub(crate) fn opening() -> Self {
        Self::new(State::Head)
    }
}

impl<D: Direction> Pipe<D> {
    fn new(state: State) -> Self {
        Self {
            state,
            carry: Window::default(),
            output: Window::default(),
            number: 0,
            plain_bytes: 0,
            direction: PhantomData,
        }
    }

    /// How many bytes of input the next [`work`](Self::work) wants to see, unless the input ends
    /// before; zero if it gives something without any.
    #[inline]
    pub(crate) fn wants(&self) -> usize {
        let head = match self.state {
            _ if !self.output.is_empty() => return 0,
            State::Head => D::HEAD_BYTES,
            State::Body => 0,
            State::Tail | State::Ended | State::Cut(_) => return 0,
        };
        (head + D::INPUT_BYTES + D::AHEAD_BYTES).saturating_sub(self.carry.len())
    }

    /// How long the output is that `input` bytes more would give at most, not counting what one
    /// chunk may add at the end.
    pub(crate) fn gives(&self, input: usize) -> usize {
        match self.output.len() {
            0 => (D::whole(self.carry.len() + input) * D::OUTPUT_BYTES).max(D::OUTPUT_BYTES),
            waiting => waiting,
        }
    }

    /// Whether everything has been handed out.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes from the front of `input`, which follows what was taken before and is all that comes
    /// where it has `ended`, and hands out to the front of `out`, which is not empty.
    ///
    /// It gives nothing where everything was handed out, or where it took all of `input` and needs
    /// more.
    ///
    /// # Errors
    /// The one with which the stream was cut; the same at every later call. What a run gave before
    /// an object's fault is given first.
    pub(crate) fn work<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        ended: bool,
        out: &mut [u8],
    ) -> Result<Step, Arc<Error>> {
        let step = match &self.state {
            State::Cut(error) => return Err(Arc::clone(error)),
            State::Ended => return Ok(Step::default()),
            State::Head | State::Body | State::Tail if !self.output.is_empty() => {
                self.hand_out(operation, out)
            }
            State::Head => self.head(operation, input, ended, out),
            State::Body | State::Tail => self.body(operation, input, ended, out),
        };
        let step = step.map_err(|error| {
            operation.failed(&error);
            self.cut(error)
        })?;
        if matches!(self.state, State::Tail) && self.output.is_empty() {
            self.state = State::Ended;
            operation.finished(self.plain_bytes);
        }
        Ok(step)
    }

    fn hand_out<O: Operation>(&mut self, operation: &mut O, out: &mut [u8]) -> Result<Step, Error> {
        let waiting = self.output.waiting();
        let given = operation.section(|_| copy_front(waiting, out))?;
        self.output.shrink(given);
        Ok(Step { taken: 0, given })
    }

    fn head<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        ended: bool,
        out: &mut [u8],
    ) -> Result<Step, Error> {
        let (head, rest) = self.top_up(input, D::HEAD_BYTES);
        if self.carry.len() < D::HEAD_BYTES && !ended {
            return Ok(Step { taken: head, given: 0 });
        }
        let (header, _) = Header::split_from(self.carry.waiting())?;
        operation.begin(&header)?;
        self.carry.shrink(D::HEAD_BYTES);
        self.state = State::Body;
        let step = self.body(operation, rest, ended, out)?;
        Ok(Step { taken: head + step.taken, ..step })
    }

    fn body<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        ended: bool,
        out: &mut [u8],
    ) -> Result<Step, Error> {
        if !self.carry.is_empty() {
            return self.carried(operation, input, ended, out);
        }
        let whole = D::whole(input.len());
        let run = whole.min(out.len() / D::OUTPUT_BYTES);
        if run > 0 {
            return self.run(operation, run, input, out);
        }
        if whole > 0 {
            let chunk = input.get(..D::INPUT_BYTES).unwrap_or_default();
            let given = self.turn(operation, chunk, D::OUTPUT_BYTES, out)?;
            return Ok(Step { taken: chunk.len(), given });
        }
        if ended {
            let given = self.last(operation, input, out)?;
            return Ok(Step { taken: input.len(), given });
        }
        let (taken, _) = self.top_up(input, input.len());
        Ok(Step { taken, given: 0 })
    }

    /// Turns the chunk whose beginning is carried, once there is enough of it.
    fn carried<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        ended: bool,
        out: &mut [u8],
    ) -> Result<Step, Error> {
        let (mut taken, rest) = self.top_up(input, D::INPUT_BYTES);
        let is_whole = D::whole(self.carry.len() + rest.len()) > 0;
        if !is_whole {
            // What is seen ahead comes too: there is too little of it to see it again.
            taken += self.top_up(rest, self.carry.len() + rest.len()).0;
        }
        if !is_whole && !ended {
            return Ok(Step { taken, given: 0 });
        }
        let carry = core::mem::take(&mut self.carry);
        let (used, given) = if is_whole {
            let chunk = carry.waiting().get(..D::INPUT_BYTES).unwrap_or_default();
            (chunk.len(), self.turn(operation, chunk, D::OUTPUT_BYTES, out))
        } else {
            (carry.len(), self.last(operation, carry.waiting(), out))
        };
        self.carry = carry;
        self.carry.shrink(used);
        Ok(Step { taken, given: given? })
    }

    /// Carries what brings the carry to `len` bytes; how much of `input` that was, and the rest.
    fn top_up<'i>(&mut self, input: &'i [u8], len: usize) -> (usize, &'i [u8]) {
        let missing = len.saturating_sub(self.carry.len()).min(input.len());
        let (top, rest) = input.split_at(missing);
        self.carry.reserve(D::INPUT_BYTES + D::AHEAD_BYTES);
        assert!(self.carry.push(top), "less than a chunk and the bytes ahead is ever carried");
        (missing, rest)
    }

    /// Turns `run` chunks, right into `out`.
    fn run<O: Operation>(
        &mut self,
        operation: &mut O,
        run: usize,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<Step, Error> {
        let input = input.get(..run * D::INPUT_BYTES).unwrap_or_default();
        let out = out.get_mut(..run * D::OUTPUT_BYTES).unwrap_or_default();
        let Run { done, end } = operation.run::<D>(self.number, input, out);
        let step = Step { taken: done * D::INPUT_BYTES, given: done * D::OUTPUT_BYTES };
        self.number += done as u64;
        self.plain_bytes += D::plain(step.taken, step.given) as u64;
        let Err(error) = end else {
            return Ok(step);
        };
        // The object's own fault takes nothing back. Where the engine says no, this step gives
        // nothing any more, though its chunks were turned before.
        let is_of_object = matches!(error, Error::Object(_));
        let kept = if is_of_object { step.given } else { 0 };
        out.get_mut(kept..).unwrap_or_default().zeroize();
        if kept == 0 {
            return Err(error);
        }
        operation.failed(&error);
        self.cut(error);
        Ok(step)
    }

    fn last<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let output = D::last(input.len())?;
        let given = self.turn(operation, input, output, out)?;
        self.state = State::Tail;
        Ok(given)
    }

    /// Turns one chunk and hands out what fits, in one section.
    fn turn<O: Operation>(
        &mut self,
        operation: &mut O,
        input: &[u8],
        output: usize,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let number = self.number;
        let given = if let Some(whole) = out.get_mut(..output) {
            operation.section(|cipher| D::turn(cipher, number, input, whole))??;
            output
        } else {
            self.output.reserve(D::OUTPUT_BYTES);
            let staged = self.output.room();
            let staged = staged.get_mut(..output).unwrap_or_default();
            let given = operation.section(|cipher| {
                D::turn(cipher, number, input, staged)?;
                Ok::<_, Error>(copy_front(staged, out))
            });
            // Wiped with the rest whether or not the chunk was good.
            let grown = self.output.grow(output);
            let given = given??;
            assert!(grown, "the window holds a chunk");
            self.output.shrink(given);
            given
        };
        self.number += 1;
        self.plain_bytes += D::plain(input.len(), output) as u64;
        Ok(given)
    }

    /// Ends the stream with `error`, unless it was cut before; wipes its buffers.
    pub(crate) fn cut(&mut self, error: Error) -> Arc<Error> {
        self.carry.wipe();
        self.output.wipe();
        if let State::Cut(first) = &self.state {
            return Arc::clone(first);
        }
        let error = Arc::new(error);
        self.state = State::Cut(Arc::clone(&error));
        error
    }

    /// Whether the stream was cut.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self.state, State::Cut(_))
    }
}

#[cfg(test)]
impl<D> Pipe<D> {
    /// As if `number` chunks had gone before.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.number = number;
    }

    /// Whether neither buffer holds anything.
    pub(crate) fn is_wiped(&self) -> bool {
        self.carry.is_wiped() && self.output.is_wiped()
    }
}

/// Copies what fits of `from` to the front of `to`; how much that was.
fn copy_front(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) {
        to.copy_from_slice(from);
    }
    len
}
