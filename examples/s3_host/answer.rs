//! Errors as the client sees them, and response headers.

use core::fmt::Display;
use std::io;

use portcullis::error::{Error, ObjectError};
use portcullis::s3::S3Error as Refusal;
use s3s::{S3Error, S3ErrorCode, S3Response, s3_error};

/// A failure of the host's own: the log says which, the client that there is one.
pub fn internal(error: impl Display) -> S3Error {
    tracing::error!(%error, "a request failed");
    refused(Refusal::internal())
}

/// A refusal of the engine's reading of headers, with S3's code and status.
pub fn refused(refusal: Refusal) -> S3Error {
    let code = S3ErrorCode::from_bytes(refusal.code.name().as_bytes());
    let code = code.unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, refusal.message);
    if let Ok(status) = refusal.status().try_into() {
        error.set_status_code(status);
    }
    error
}

/// An error of the engine.
pub fn engine(error: impl Into<Error>) -> S3Error {
    let error = error.into();
    let refusal = Refusal::from(&error);
    if refusal.status() >= 500 {
        tracing::error!(%error, "the engine refused");
    }
    let mut told = refused(refusal);
    if let Error::Object(ObjectError::RangeNotSatisfiable { size }) = error
        && let Ok(range) = format!("bytes */{size}").parse()
    {
        let mut response = S3Response::new(());
        response.headers.insert("content-range", range);
        told.set_headers(response.headers);
    }
    told
}

/// An error of a part's call: of another customer's key S3 tells more here than on reading.
pub fn part(error: impl Into<Error>) -> S3Error {
    let error = error.into();
    match Refusal::on_part(&error) {
        Some(refusal) => refused(refusal),
        None => engine(error),
    }
}

/// What failed while a body went from a client, or another object, to the disk.
pub fn copying(error: io::Error) -> S3Error {
    match Error::in_stream(&error) {
        // It is the reader's, which is the client.
        Some(Error::Object(ObjectError::Io(cause))) => match Error::in_stream(cause) {
            // Or it is another object, which is copied.
            Some(error) => refused(Refusal::from(error)),
            None => {
                tracing::debug!(%cause, "a body broke off");
                s3_error!(IncompleteBody, "The request body terminated unexpectedly")
            }
        },
        Some(error) => {
            tracing::error!(%error, "the engine cut a stream");
            refused(Refusal::from(error))
        }
        None => internal(error),
    }
}

/// `output`, with these headers.
pub fn with_headers<T>(output: T, headers: Vec<(&'static str, String)>) -> S3Response<T> {
    let mut response = S3Response::new(output);
    for (name, value) in headers {
        // They are ASCII: base64, numbers, ids of keys.
        if let Ok(value) = value.parse() {
            response.headers.insert(name, value);
        }
    }
    response
}
