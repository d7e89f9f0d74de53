//! Callers on threads of their own, who use an engine in every way at once.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{Error, Refused};
use portcullis::key::KeyId;
use portcullis::{Kms, TryError};
use tokio::io::AsyncReadExt;

use crate::harness::{context, poll_once};

/// What callers came to.
#[derive(Default)]
pub struct Tally {
    pub begun: AtomicU64,
    pub served: AtomicU64,
    pub refused: AtomicU64,
    pub leaked: AtomicU64,
}

impl Tally {
    pub fn ended(&self) -> u64 {
        self.served.load(Ordering::SeqCst) + self.refused.load(Ordering::SeqCst)
    }
}

/// Callers at work until they are told to end.
pub struct Callers {
    pub tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    /// `threads` callers of `kms` under `key`. The engine runs: they make something to open first.
    pub async fn start(kms: &Kms, key: &KeyId, threads: usize) -> Self {
        let spec = DataKeySpec::AES_256;
        let made = kms.generate_data_key(key, spec, &context("load")).await.unwrap();
        let payload = kms.encrypt(key, &[7; 4000], &context("load")).await.unwrap();
        let mut object = Vec::new();
        let mut sealing = kms.seal(key, &context("load"), &[7; 40_000][..]).await.unwrap();
        sealing.read_to_end(&mut object).await.unwrap();
        let (tally, over) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let threads = (0..threads).map(|_| {
            let caller = Caller {
                kms: kms.clone(),
                key: key.clone(),
                wrapped: made.wrapped.clone(),
                payload: payload.clone(),
                object: object.clone(),
                tally: Arc::clone(&tally),
            };
            let over = Arc::clone(&over);
            std::thread::spawn(move || caller.work(&over))
        });
        let threads = threads.collect();
        Self { tally, over, threads }
    }

    /// Ends them; a caller that had an answer it must not have has panicked.
    pub fn end(self) -> Arc<Tally> {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.tally
    }
}

struct Caller {
    kms: Kms,
    key: KeyId,
    wrapped: WrappedKey,
    payload: Vec<u8>,
    object: Vec<u8>,
    tally: Arc<Tally>,
}

impl Caller {
    fn work(self, over: &AtomicBool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut turn = 0_u32;
        while !over.load(Ordering::SeqCst) {
            turn = turn.wrapping_add(1);
            self.tally.begun.fetch_add(1, Ordering::SeqCst);
            let done = match turn % 8 {
                0..3 => self.at_once(turn % 8),
                3..7 => runtime.block_on(self.awaited(turn % 8)),
                _ => runtime.block_on(self.leaves_behind()),
            };
            let outcome = match done {
                Ok(()) => &self.tally.served,
                Err(Error::Refused(why)) if is_expected(why) => &self.tally.refused,
                Err(other) => panic!("a caller was told {other:?}"),
            };
            if std::ptr::eq(outcome, &self.tally.refused) {
                // Two cores: the engine wants one of them.
                std::thread::yield_now();
            }
            outcome.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn at_once(&self, which: u32) -> Result<(), Error> {
        let (kms, context) = (&self.kms, context("load"));
        let done = match which {
            0 => kms
                .try_generate_data_key(&self.key, DataKeySpec::AES_256, &context)
                .and_then(|made| Ok(made.key.copy_into(&mut [0; 32])?)),
            1 => kms
                .try_decrypt_data_key(&self.wrapped, &context)
                .and_then(|key| Ok(key.copy_into(&mut [0; 32])?)),
            _ => kms.try_decrypt(&self.payload, &context).map(|plain| assert_eq!(plain, [7; 4000])),
        };
        match done {
            Ok(()) | Err(TryError::NeedsHop(_)) => Ok(()),
            Err(TryError::Failed(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn awaited(&self, which: u32) -> Result<(), Error> {
        let (kms, context) = (&self.kms, context("load"));
        match which {
            3 => {
                let spec = DataKeySpec::AES_256;
                let made = kms.generate_data_key(&self.key, spec, &context).await?;
                made.key.copy_into(&mut [0; 32])
            }
            4 => {
                let sealed = kms.encrypt(&self.key, &[9; 1000], &context).await?;
                kms.decrypt(&sealed, &context).await.map(|plain| assert_eq!(plain, [9; 1000]))
            }
            5 => {
                let mut stream = kms.seal(&self.key, &context, &[7; 40_000][..]).await?;
                read(&mut stream).await.map(drop)
            }
            _ => {
                let mut stream = kms.open(&context, &self.object[..]).await?;
                read(&mut stream).await.map(|plain| assert_eq!(plain, [7; 40_000]))
            }
        }
    }

    /// A stream that is leaked half way, a future that is never polled again, one that is dropped.
    async fn leaves_behind(&self) -> Result<(), Error> {
        let (kms, context) = (&self.kms, context("load"));
        let mut ask = Box::pin(kms.describe_key(&self.key));
        let _ = poll_once(ask.as_mut());
        // A leak a turn would fill the mailbox's table of alarms with nothing else to see.
        if self.tally.leaked.fetch_add(1, Ordering::SeqCst) < 500 {
            let mut stream = kms.open(&context, &self.object[..]).await?;
            let mut some = [0; 100];
            stream.read_exact(&mut some).await.map_err(told)?;
            let _never_dropped = ManuallyDrop::new((stream, kms.list_keys(None, 1)));
            let owned = kms.clone();
            let key = self.key.clone();
            let mut forgotten = Box::pin(async move { owned.describe_key(&key).await });
            let _ = poll_once(forgotten.as_mut());
            let _never_dropped = ManuallyDrop::new(forgotten);
        }
        Ok(())
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    stream.read_to_end(&mut out).await.map_err(told)?;
    Ok(out)
}

/// What the engine said inside the error of a stream.
fn told(error: std::io::Error) -> Error {
    match Error::in_stream(&error) {
        Some(Error::Refused(why)) => Error::Refused(*why),
        Some(Error::Key(why)) => Error::Key(why.clone()),
        Some(other) => panic!("a stream was told {other:?}"),
        None => panic!("a stream failed by itself: {error}"),
    }
}

/// What the state of an engine that stops, starts, freezes and thaws may answer.
fn is_expected(why: Refused) -> bool {
    matches!(
        why,
        Refused::Draining
            | Refused::Frozen
            | Refused::Stale
            | Refused::Starting
            | Refused::Stopped
            | Refused::Down { .. }
    )
}
