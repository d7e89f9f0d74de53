//! Callers that hammer an engine from two threads and note what they were answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use futures_util::FutureExt;
use portcullis::context::EncryptionContext;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{Error, Refused};
use portcullis::key::KeyId;
use portcullis::{Kms, TryError};
use tokio::io::AsyncReadExt;

use crate::harness::context;

/// Callers on threads of their own, until they are told to end.
pub struct Callers {
    threads: Vec<JoinHandle<()>>,
    end: Arc<AtomicBool>,
    /// Calls that were answered with what they asked for.
    pub served: Arc<AtomicU64>,
}

impl Callers {
    /// One thread of synchronous calls and one of asynchronous ones.
    pub fn start(kms: &Kms, key: &KeyId, wrapped: &WrappedKey, sealed: &[u8]) -> Self {
        let (end, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (kms, key) = (kms.clone(), key.clone());
        let what = Arc::new((wrapped.clone(), sealed.to_vec()));
        let run = |asynchronous: bool| {
            let (kms, key, what) = (kms.clone(), key.clone(), Arc::clone(&what));
            let (end, served) = (Arc::clone(&end), Arc::clone(&served));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                while !end.load(Ordering::Relaxed) {
                    let done = if asynchronous {
                        runtime.block_on(asynchronously(&kms, &key, &what.0, &what.1))
                    } else {
                        synchronously(&kms, &key, &what.0)
                    };
                    served.fetch_add(done, Ordering::Relaxed);
                }
            })
        };
        let threads = vec![run(false), run(true)];
        Self { threads, end, served }
    }

    /// Ends them; a caller that panicked fails the test.
    pub fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.served.load(Ordering::Relaxed)
    }
}

/// Generates, decrypts, copies and decrypts a payload, without waiting; how many succeeded.
fn synchronously(kms: &Kms, key: &KeyId, wrapped: &WrappedKey) -> u64 {
    let mut copy = [0; 32];
    let mut served = 0;
    let mut note = |result: Result<(), TryError>| match result {
        Ok(()) => served += 1,
        Err(TryError::NeedsHop(_)) => {}
        Err(TryError::Failed(error)) => assert_refused(&error),
        Err(other) => panic!("{other}"),
    };
    let spec = DataKeySpec::AES_256;
    let copied = |lease: portcullis::DataKey, copy: &mut [u8]| {
        lease.copy_into(copy).map_err(TryError::Failed)
    };
    let made = kms.try_generate_data_key(key, spec, &context("load"));
    note(made.and_then(|made| copied(made.key, &mut copy)));
    let opened = kms.try_decrypt_data_key(wrapped, &context("load"));
    note(opened.and_then(|lease| copied(lease, &mut copy)));
    let payload = kms.try_encrypt(key, &[7; 1000], &context("load"));
    note(payload.and_then(|sealed| kms.try_decrypt(&sealed, &context("load")).map(drop)));
    served
}

/// The same with futures, and a stream; how many succeeded.
async fn asynchronously(kms: &Kms, key: &KeyId, wrapped: &WrappedKey, sealed: &[u8]) -> u64 {
    let mut served = 0;
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context("load")).await;
    note(made.map(drop), &mut served);
    // Never polled again, and leaked.
    let empty = EncryptionContext::new();
    let mut abandoned = Box::pin(kms.generate_data_key(key, DataKeySpec::AES_256, &empty));
    let _ = abandoned.as_mut().now_or_never();
    std::mem::forget(abandoned);
    note(kms.decrypt_data_key(wrapped, &context("load")).await.map(drop), &mut served);
    match kms.open(&context("load"), sealed).await {
        Ok(mut opened) => {
            let mut plain = Vec::new();
            match opened.read_to_end(&mut plain).await {
                Ok(_) => served += 1,
                Err(error) => assert_refused(Error::in_stream(&error).unwrap()),
            }
        }
        Err(error) => assert_refused(&error),
    }
    served
}

fn note(result: Result<(), Error>, served: &mut u64) {
    match result {
        Ok(()) => *served += 1,
        Err(error) => assert_refused(&error),
    }
}

/// Whatever a closed or closing engine may answer; anything else fails the test.
fn assert_refused(error: &Error) {
    let allowed = matches!(
        error,
        Error::Refused(
            Refused::Draining
                | Refused::Frozen
                | Refused::Stale
                | Refused::Starting
                | Refused::Stopped
                | Refused::Down { .. }
        )
    );
    assert!(allowed, "{error:?}");
}
