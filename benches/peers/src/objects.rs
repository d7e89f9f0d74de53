//! Objects: 1 KiB, 1 MiB and 64 MiB, sealed and opened, on the rival's local and static backends.
//!
//! The rival takes a reader and gives a `Vec`; it opens from a `Vec` that it takes over, which is
//! made before the clock starts, and gives a reader, which is not read. Portcullis works on one
//! thread, from one buffer into another that was used before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::Kms;
use portcullis::context::EncryptionContext;
use portcullis::key::KeyId;
use rustfs_kms::service::ObjectEncryptionService;
use rustfs_kms::types::EncryptionAlgorithm;

use crate::{BUCKET, NAME, Outcome, Turns};

/// Both sides on one kind of backend.
pub struct Pair {
    pub backend: &'static str,
    pub rival: Arc<ObjectEncryptionService>,
    pub rival_key: String,
    pub kms: Kms,
    pub key: KeyId,
    pub context: EncryptionContext,
}

/// Name, nanoseconds of the rival, nanoseconds of Portcullis.
pub type Result = (String, f64, f64);

impl Pair {
    /// Sealing and opening `len` bytes.
    pub async fn measure(&self, size: &str, len: usize) -> Outcome<Vec<Result>> {
        let plain: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        let theirs = self.their_seal(&plain).await?;
        self.kms.seal_into(&self.key, &self.context, &plain, &mut sealed).await?;
        let object = sealed.clone();
        let [mut their_seals, mut my_seals, mut their_opens, mut my_opens] =
            [const { Turns(Vec::new()) }; 4];
        for _ in 0..ROUNDS {
            let turn = Turn::new();
            while turn.goes_on() {
                turn.time(async { self.their_seal(&plain).await.map(drop) }).await?;
            }
            their_seals.0.push(turn.each());
            let turn = Turn::new();
            while turn.goes_on() {
                let seal = self.kms.seal_into(&self.key, &self.context, &plain, &mut sealed);
                turn.time(async { Ok(seal.await?) }).await?;
            }
            my_seals.0.push(turn.each());
            let turn = Turn::new();
            while turn.goes_on() {
                let ciphertext = theirs.ciphertext.clone();
                let context = Some(&theirs.metadata.encryption_context);
                let open =
                    self.rival.decrypt_object(BUCKET, NAME, ciphertext, &theirs.metadata, context);
                turn.time(async { open.await.map(drop).map_err(Into::into) }).await?;
            }
            their_opens.0.push(turn.each());
            let turn = Turn::new();
            while turn.goes_on() {
                let open = self.kms.open_into(&self.context, &object, &mut opened);
                turn.time(async { Ok(open.await?) }).await?;
            }
            my_opens.0.push(turn.each());
            assert!(opened == plain);
        }
        let name = |way| format!("{way}_{size}_{}", self.backend);
        Ok(vec![
            (name("seal"), their_seals.median(), my_seals.median()),
            (name("open"), their_opens.median(), my_opens.median()),
        ])
    }

    async fn their_seal(&self, plain: &[u8]) -> Outcome<rustfs_kms::service::EncryptionResult> {
        let none: Option<&HashMap<String, String>> = None;
        let (key, algorithm) = (Some(self.rival_key.as_str()), &EncryptionAlgorithm::Aes256);
        let sealed = self.rival.encrypt_object(BUCKET, NAME, plain, algorithm, key, none);
        Ok(sealed.await?)
    }
}

/// One turn of one side: what was timed in it, and how often.
struct Turn(std::cell::Cell<(Duration, u32)>);

impl Turn {
    fn new() -> Self {
        Self(std::cell::Cell::new((Duration::ZERO, 0)))
    }

    fn goes_on(&self) -> bool {
        self.0.get().0 < TURN
    }

    async fn time(&self, work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
        let began = Instant::now();
        work.await?;
        let (took, count) = self.0.get();
        self.0.set((took + began.elapsed(), count + 1));
        Ok(())
    }

    fn each(&self) -> f64 {
        let (took, count) = self.0.get();
        took.as_nanos() as f64 / f64::from(count)
    }
}

const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_millis(100);
