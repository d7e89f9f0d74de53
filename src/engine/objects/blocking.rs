//! Objects for hosts without a runtime: `std::io::Read` and `Write`.
//!
//! Beginning blocks the caller's thread where an asynchronous call would wait. None of this is for
//! a thread that runs other futures.

use core::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use super::{Begun, Kms, Opened, Sealed, block_on};
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::KeyId;
use crate::object::front::{FrontReader, Kind};
use crate::object::stream::cut;
use crate::object::writer::{Through, WINDOW_BYTES};
use crate::object::{Buffered, CustomerKey, Lent, Open, ReadSource, Seal};
use crate::plane::stream::{SealUnder, StreamOperation};

/// Objects, blocking.
impl Kms {
    /// [`Self::seal`] for `std::io::Read`.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_read<R: Read>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Sealed<Buffered<R>>, Error> {
        Ok(Sealed::new(
            Buffered::new(reader),
            block_on(self.begin_seal(SealUnder::Master(key), context))?,
        ))
    }

    /// [`Self::seal_buf`] for `std::io::BufRead`.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_buf_read<R: BufRead>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Sealed<Lent<R>>, Error> {
        Ok(Sealed::new(
            Lent::new(reader),
            block_on(self.begin_seal(SealUnder::Master(key), context))?,
        ))
    }

    /// [`Self::open`] for `std::io::Read`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read<R: Read>(
        &self,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Opened<Buffered<R>>, Error> {
        self.open_from_blocking(context, Buffered::new(reader))
    }

    /// [`Self::open_buf`] for `std::io::BufRead`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_buf_read<R: BufRead>(
        &self,
        context: &EncryptionContext,
        reader: R,
    ) -> Result<Opened<Lent<R>>, Error> {
        self.open_from_blocking(context, Lent::new(reader))
    }

    /// Seals what is written to the result, through to `writer`. [`SealWriter::finish`] ends it.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_write<W: Write>(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        writer: W,
    ) -> Result<SealWriter<W>, Error> {
        self.seal_write_under(SealUnder::Master(key), context, writer)
    }

    /// [`Self::seal_write`] under a customer's key alone: no master key has a part in it, so that
    /// whoever has the customer's key and the context opens it with any engine, and nobody else with
    /// none. Object stores want [`Self::seal_object`] with
    /// [`Protection::SseC`](crate::objects::Protection::SseC).
    ///
    /// # Errors
    /// [`Refused`](crate::error::Refused) if the engine does not run.
    pub fn seal_write_sse_c<W: Write>(
        &self,
        key: &CustomerKey,
        context: &EncryptionContext,
        writer: W,
    ) -> Result<SealWriter<W>, Error> {
        self.seal_write_under(SealUnder::Customer(key), context, writer)
    }

    fn seal_write_under<W: Write>(
        &self,
        under: SealUnder<'_>,
        context: &EncryptionContext,
        writer: W,
    ) -> Result<SealWriter<W>, Error> {
        let Begun { operation, prefix, header } = block_on(self.begin_seal(under, context))?;
        let through = Through::sealing(writer, operation, &prefix, &header);
        Ok(SealWriter { through, kms: self.clone() })
    }

    /// Opens what is written to the result, through to `writer`. [`OpenWriter::finish`] ends it:
    /// before that, `writer` may have been given the beginning of something that does not open.
    #[must_use]
    pub fn open_write<W: Write>(&self, context: &EncryptionContext, writer: W) -> OpenWriter<W> {
        self.open_write_with(None, context, writer)
    }

    /// [`Self::open_write`] of what [`Self::seal_write_sse_c`] gave. A wrong key is told before
    /// anything is written.
    #[must_use]
    pub fn open_write_sse_c<W: Write>(
        &self,
        key: CustomerKey,
        context: &EncryptionContext,
        writer: W,
    ) -> OpenWriter<W> {
        self.open_write_with(Some(key), context, writer)
    }

    fn open_write_with<W: Write>(
        &self,
        customer_key: Option<CustomerKey>,
        context: &EncryptionContext,
        writer: W,
    ) -> OpenWriter<W> {
        let (kms, context) = (self.clone(), context.clone());
        let front = FrontReader::new(Kind::Object);
        let before = Before { kms, context, customer_key, front, writer: Some(writer) };
        OpenWriter { stage: Stage::Front(Box::new(before)), window: WINDOW_BYTES }
    }

    fn open_from_blocking<I: ReadSource>(
        &self,
        context: &EncryptionContext,
        mut input: I,
    ) -> Result<Opened<I>, Error> {
        let mut reader = FrontReader::new(Kind::Object);
        let front = loop {
            if let Some(front) = reader.front()? {
                break front;
            }
            let filled = input.fill(1)?;
            let (taken, ended) = (reader.take(filled.bytes)?, filled.ended);
            input.consume(taken);
            if taken == 0 && ended {
                return Err(reader.cut_short());
            }
        };
        Ok(Opened::new(input, block_on(self.begin_open(context, &front, None))?))
    }
}

/// Seals what is written to it, through to another writer.
///
/// A piece of 1 MiB and more is sealed by several threads where [`Self::with_window`] leaves room
/// for as much. Dropped without [`Self::finish`] it leaves something that does not open.
pub struct SealWriter<W> {
    through: Through<W, Seal, StreamOperation>,
    kms: Kms,
}

impl<W: Write> SealWriter<W> {
    /// Works on up to `bytes` at once, which are its memory: 256 KiB unless set.
    #[must_use]
    pub fn with_window(self, bytes: usize) -> Self {
        let Self { through, kms } = self;
        let help = kms.helpers(bytes);
        let through = through.with_window(bytes).map(|operation| operation.helped_by(help));
        Self { through, kms }
    }

    /// Seals the end; the writer, flushed.
    ///
    /// # Errors
    /// As writing: see [`Error::in_stream`].
    pub fn finish(self) -> io::Result<W> {
        self.through.finish()
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.through.write(plain)
    }

    /// Flushes the writer; what is not yet a chunk waits.
    fn flush(&mut self) -> io::Result<()> {
        self.through.flush()
    }
}

/// Opens what is written to it, through to another writer.
///
/// A piece of 1 MiB and more is opened by several threads where [`Self::with_window`] leaves room
/// for as much.
pub struct OpenWriter<W> {
    stage: Stage<W>,
    window: usize,
}

enum Stage<W> {
    /// Envelope and what is before it have not come.
    Front(Box<Before<W>>),
    Body(Box<Through<W, Open, StreamOperation>>),
    Cut(Arc<Error>),
}

struct Before<W> {
    kms: Kms,
    context: EncryptionContext,
    customer_key: Option<CustomerKey>,
    front: FrontReader,
    /// Until there is a body to write to.
    writer: Option<W>,
}

impl<W: Write> OpenWriter<W> {
    /// Works on up to `bytes` at once, which are its memory: 256 KiB unless set. Set before
    /// anything is written.
    #[must_use]
    pub fn with_window(self, bytes: usize) -> Self {
        Self { window: bytes, ..self }
    }

    /// Opens the end; the writer, flushed. All that was given to it was authentic and complete.
    ///
    /// # Errors
    /// As writing: see [`Error::in_stream`].
    pub fn finish(self) -> io::Result<W> {
        match self.stage {
            Stage::Front(before) => Err(cut(Arc::new(before.front.cut_short()))),
            Stage::Body(through) => through.finish(),
            Stage::Cut(error) => Err(cut(error)),
        }
    }

    /// Takes what it needs of `sealed` to begin; how much that was.
    fn begin(&mut self, sealed: &[u8]) -> Result<usize, Error> {
        let Stage::Front(before) = &mut self.stage else {
            return Ok(0);
        };
        let taken = before.front.take(sealed)?;
        if let Some(front) = before.front.front()? {
            let Before { kms, context, customer_key, .. } = &**before;
            let opening = kms.begin_open(context, &front, customer_key.as_ref());
            let operation = block_on(opening)?;
            let operation = operation.helped_by(before.kms.helpers(self.window));
            let writer = before.writer.take();
            let writer = writer.ok_or(Error::Unreachable("a writer that begins again"))?;
            let through = Through::opening(writer, operation).with_window(self.window);
            self.stage = Stage::Body(Box::new(through));
        }
        Ok(taken)
    }
}

impl<W: Write> Write for OpenWriter<W> {
    fn write(&mut self, sealed: &[u8]) -> io::Result<usize> {
        match &mut self.stage {
            Stage::Front(_) => self.begin(sealed).map_err(|error| {
                let error = Arc::new(error);
                self.stage = Stage::Cut(Arc::clone(&error));
                cut(error)
            }),
            Stage::Body(through) => through.write(sealed),
            Stage::Cut(error) => Err(cut(Arc::clone(error))),
        }
    }

    /// Flushes the writer; what is not yet a chunk waits.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stage {
            Stage::Front(before) => before.writer.as_mut().map_or(Ok(()), Write::flush),
            Stage::Body(through) => through.flush(),
            Stage::Cut(error) => Err(cut(Arc::clone(error))),
        }
    }
}

impl<W> fmt::Debug for SealWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealWriter").finish_non_exhaustive()
    }
}

impl<W> fmt::Debug for OpenWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenWriter").finish_non_exhaustive()
    }
}
