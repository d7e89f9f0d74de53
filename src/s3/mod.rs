//! S3's server-side encryption: from request headers to a decision, and back to response headers.
//!
//! A host of an object store passes the headers of a request in and gets typed values out. What it
//! stores and answers comes from here too, so that a client sees what it would see from S3 itself:
//!
//! ```text
//! request headers -> Headers -> Requested -- decide --> Encryption -> seal, response headers
//!                       |        bucket's default --^       |
//!                       |                                   v
//!                       |                                Stored -> metadata, beside the object
//!                       v                                   |
//!                    GivenKey ------------ for_object ------+--> open, response headers
//! ```
//!
//! * [`Headers::requested`] is for calls that choose an encryption: `PutObject`, `CopyObject`,
//!   `CreateMultipartUpload`.
//! * [`Headers::customer_key`] is for all others, which may bring a customer's key and nothing else.
//! * [`Headers::copy_source_key`] is for the source of a copy.
//! * [`S3Error`] is what a client is told, with S3's code and HTTP status; the engine's own errors
//!   become one by `From`.
//!
//! Sources: the *Amazon S3 API Reference* (the operations' request and response headers) and *User
//! Guide* ("Using server-side encryption with customer-provided keys"). Where they are silent,
//! what clients recorded of S3's answers decides; where nobody did, the stricter reading does.
//!
//! Invariants:
//!
//! 1. No HTTP type, no I/O, no clock: the same headers give the same answer.
//! 2. A customer's key over a connection that is not secure is refused before it is decoded.
//! 3. Customer's keys are wiped when dropped and appear in no error, log or `Debug`; neither the
//!    key nor its MD5 is in what is to be stored.
//! 4. Parsers are strict: a header that stands twice, bytes left over, a second spelling of the
//!    same value are refusals.
//!
//! Cost: a few string comparisons per header; an MD5 of 32 bytes where a customer's key is given.

mod bucket;
mod context;
mod customer;
mod error;
mod headers;
pub mod names;
mod requested;
mod respond;
mod stored;
#[cfg(test)]
mod tests;

pub use bucket::{BucketDefault, BucketEncryption, BucketRule};
pub use customer::{Customer, GivenKey};
pub use error::{Code, S3Error};
pub use headers::{Headers, Transport};
pub use requested::{Backing, Encryption, Requested, RequestedKms};
pub use respond::Call;
pub use stored::{KmsStored, Stored};
