//! Reading a range of something sealed that carries no record.

use super::stream::StreamOperation;
use crate::error::{Error, ObjectError};
use crate::object::range::BodyLayout;
use crate::object::run::Run;
use crate::object::{ChunkCipher, Header, Open, Operation, Reading};

/// A sealed object of which ranges are read.
pub(crate) struct RangeOperation(StreamOperation);

impl RangeOperation {
    /// Reads with the cipher that `operation` makes for `header`, whose commitment is checked here.
    pub(crate) fn begin(mut operation: StreamOperation, header: &Header) -> Result<Self, Error> {
        match operation.begin(header) {
            Ok(()) => Ok(Self(operation)),
            Err(error) => {
                Operation::failed(&mut operation, &error);
                Err(error)
            }
        }
    }

    /// The same for a first reading, whose end is not that of the operation.
    pub(crate) fn first_of_two(&mut self) -> FirstOfTwo<'_> {
        FirstOfTwo(self)
    }

    /// It comes to `error`, which is given back.
    pub(crate) fn fails(&mut self, error: Error) -> Error {
        self.failed(&error);
        error
    }
}

impl Reading for RangeOperation {
    fn enter(&mut self, body: &BodyLayout, header: Option<&Header>) -> Result<(), Error> {
        // The cipher is that of the header which was read first. Another one stands there where the
        // object was replaced meanwhile.
        match header {
            Some(header) if *header.salt() != body.salt => Err(ObjectError::DoesNotOpen.into()),
            Some(_) | None => Ok(()),
        }
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        Operation::section(&mut self.0, work)
    }

    fn run(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        Operation::run::<Open>(&mut self.0, first, input, out)
    }

    fn finished(&mut self) {
        self.0.finished(0);
    }

    fn failed(&mut self, error: &Error) {
        Operation::failed(&mut self.0, error);
    }
}

/// The first reading of an operation that has two.
pub(crate) struct FirstOfTwo<'o>(&'o mut RangeOperation);

impl Reading for FirstOfTwo<'_> {
    fn enter(&mut self, body: &BodyLayout, header: Option<&Header>) -> Result<(), Error> {
        self.0.enter(body, header)
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.0.section(work)
    }

    fn run(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        self.0.run(first, input, out)
    }

    fn finished(&mut self) {}

    fn failed(&mut self, error: &Error) {
        self.0.failed(error);
    }
}
