//! What no engine can do without: the primitives of a data key, by hand and on one thread.
//!
//! Generating is 32 + 12 random bytes out of a block of 2 KiB, one AES-256-GCM-SIV call with the
//! additional data's length of a real envelope, and the commitment: SHA-256 of a canonical context
//! that is there already, and HMAC-SHA-256. Decrypting is one call to open and the commitment.
//! Nothing is wiped, encoded, parsed, allocated, looked up, counted or shared.

use aws_lc_rs::aead::{AES_256_GCM, AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Prk};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// One thread's primitives.
pub struct Bare {
    wrap: LessSafeKey,
    block: [u8; BLOCK_BYTES],
    next: usize,
    context: Vec<u8>,
    aad: [u8; AAD_BYTES],
}

/// A data key as bare primitives wrap it.
pub struct Wrapped {
    nonce: [u8; 12],
    sealed: [u8; 48],
    commitment: [u8; 32],
}

/// What a stored object's record holds that takes primitives to make.
pub struct Record {
    mac: [u8; 32],
    nonce: [u8; 12],
    facts: [u8; 18],
}

impl Bare {
    /// Primitives with a context of the canonical form that [`super::engine::context`] has.
    pub fn new() -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &[7; 32]).expect("AES-256 takes 32 bytes");
        Self {
            wrap: LessSafeKey::new(key),
            block: [0; BLOCK_BYTES],
            next: BLOCK_BYTES,
            context: vec![1; CANONICAL_BYTES],
            aad: [3; AAD_BYTES],
        }
    }

    /// A new data key, and the same wrapped.
    #[inline]
    pub fn generate(&mut self) -> ([u8; 32], Wrapped) {
        let key = self.random();
        let nonce = self.random();
        let commitment = self.commitment(&key);
        let mut sealed = [0; 48];
        let (ciphertext, tag) = sealed.split_at_mut(32);
        let unique = Nonce::assume_unique_for_key(nonce);
        self.wrap
            .seal_out_of_place_scatter(unique, Aad::from(&self.aad), &key, ciphertext, &[], tag)
            .expect("the sizes fit");
        (key, Wrapped { nonce, sealed, commitment })
    }

    /// The data key in `wrapped`.
    #[inline]
    pub fn decrypt(&self, wrapped: &Wrapped) -> [u8; 32] {
        let (ciphertext, tag) = wrapped.sealed.split_at(32);
        let mut key = [0; 32];
        let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
        self.wrap
            .open_separate_gather(nonce, Aad::from(&self.aad), ciphertext, tag, &mut key)
            .expect("it was wrapped here");
        verify_slices_are_equal(&self.commitment(&key), &wrapped.commitment)
            .expect("it was committed to here");
        key
    }

    /// An object with a data key of its own: [`Self::generate`], a salt, the object's keys out of the
    /// data key, and one AES-256-GCM call.
    #[inline]
    pub fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> (Wrapped, [u8; 24]) {
        let (data_key, wrapped) = self.generate();
        let salt = self.random();
        let (key, nonce) = self.derive(&data_key, &salt);
        let (ciphertext, tag) = out.split_at_mut(plain.len());
        key.seal_out_of_place_scatter(nonce, Aad::empty(), plain, ciphertext, &[], tag)
            .expect("the sizes fit");
        (wrapped, salt)
    }

    /// The plaintext of what [`Self::seal`] made.
    #[inline]
    pub fn open(&self, wrapped: &Wrapped, salt: &[u8; 24], sealed: &[u8], out: &mut [u8]) {
        let (key, nonce) = self.derive(&self.decrypt(wrapped), salt);
        let (ciphertext, tag) = sealed.split_at(out.len());
        key.open_separate_gather(nonce, Aad::empty(), ciphertext, tag, out)
            .expect("it was sealed here");
    }

    /// What a stored object's record takes beside the data key: a MAC key, the MAC of `bytes`, and
    /// two bytes of facts sealed under a key of their own.
    #[inline]
    pub fn record(&mut self, wrapped: &Wrapped, bytes: &[u8]) -> Record {
        let (nonce, mut facts) = (self.random(), [0; 18]);
        let (ciphertext, tag) = facts.split_at_mut(2);
        let unique = Nonce::assume_unique_for_key(nonce);
        facts_key(wrapped)
            .seal_out_of_place_scatter(unique, Aad::empty(), &[0; 2], ciphertext, &[], tag)
            .expect("the sizes fit");
        Record { mac: record_mac(wrapped, bytes), nonce, facts }
    }

    /// The same on the way back: what [`Self::record`] made of `bytes` is authentic.
    #[inline]
    pub fn check(&self, wrapped: &Wrapped, bytes: &[u8], record: &Record) {
        verify_slices_are_equal(&record_mac(wrapped, bytes), &record.mac).expect("it is the same");
        let (ciphertext, tag) = record.facts.split_at(2);
        let nonce = Nonce::assume_unique_for_key(record.nonce);
        facts_key(wrapped)
            .open_separate_gather(nonce, Aad::empty(), ciphertext, tag, &mut [0; 2])
            .expect("it was sealed here");
    }

    /// HKDF-Expand-SHA-512 of 76 bytes, and the key schedule.
    fn derive(&self, data_key: &[u8; 32], salt: &[u8; 24]) -> (LessSafeKey, Nonce) {
        struct Bytes;
        impl KeyType for Bytes {
            fn len(&self) -> usize {
                76
            }
        }
        let info = [&[5; 48][..], salt, &self.context];
        let mut derived = [0; 76];
        Prk::new_less_safe(HKDF_SHA512, data_key)
            .expand(&info, Bytes)
            .and_then(|okm| okm.fill(&mut derived))
            .expect("76 bytes are few");
        let key = UnboundKey::new(&AES_256_GCM, &derived[..32]).expect("AES-256 takes 32 bytes");
        let nonce = derived[32..44].try_into().expect("12 bytes");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce))
    }

    fn commitment(&self, key: &[u8; 32]) -> [u8; 32] {
        let context = Sha256::digest(&self.context);
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any length");
        mac.update(&self.aad[..COMMITTED_BYTES]);
        mac.update(&context);
        mac.finalize().into_bytes().into()
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        if self.next + N > BLOCK_BYTES {
            aws_lc_rs::rand::fill(&mut self.block).expect("the system has randomness");
            self.next = 0;
        }
        let bytes = self.block[self.next..][..N].try_into().expect("N bytes");
        self.next += N;
        bytes
    }
}

/// HMAC-SHA-256 under a key that HMAC-SHA-256 gives. The data key stands in for itself by its
/// commitment, which is as long.
fn record_mac(wrapped: &Wrapped, bytes: &[u8]) -> [u8; 32] {
    keyed(&keyed(&wrapped.commitment, &[2; 24]), bytes)
}

fn facts_key(wrapped: &Wrapped) -> LessSafeKey {
    let key = keyed(&wrapped.commitment, &[4; 26]);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).expect("AES-256 takes 32 bytes"))
}

fn keyed(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

const BLOCK_BYTES: usize = 2048;
/// Version, kind and counts, and two pairs with their lengths: see `context` in `engine.rs`.
const CANONICAL_BYTES: usize = 5 + 4 * 4 + 6 + 6 + 6 + 19;
/// Label, purpose, algorithm, length, mark, length and id ("default"), version, tag, context.
const AAD_BYTES: usize = 22 + 4 + 1 + 7 + 4 + 8 + 32;
/// Label, purpose, length, length and id.
const COMMITTED_BYTES: usize = 24 + 3 + 7;
