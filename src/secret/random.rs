//! The pool of random bytes: `aws-lc-rs`'s DRBG, drawn in blocks.
//!
//! A block of 2 KiB per stripe takes the cost of one draw (about 380 ns) off each key; a slice is
//! erased as it is handed out. Whoever finds every block in use draws for itself: nothing waits.

use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

use crossbeam_utils::CachePadded;
use zeroize::Zeroize;

use super::Secret;
use crate::crypto::Failed;

/// Random bytes for keys, salts and nonces.
pub(crate) struct RandomPool {
    stripes: Box<[CachePadded<Mutex<Block>>]>,
    cloned_host: AtomicBool,
}

impl RandomPool {
    /// A pool for `stripes` threads at a time. With `cloned_host` every draw is made anew, with
    /// bytes of the operating system mixed in, for machines that are snapshotted while they run.
    pub(crate) fn new(stripes: usize, cloned_host: bool) -> Self {
        let stripes = (0..stripes).map(|_| CachePadded::new(Mutex::new(Block::empty()))).collect();
        Self { stripes, cloned_host: AtomicBool::new(cloned_host) }
    }

    /// Fills `out`, of any length.
    ///
    /// # Errors
    /// [`Failed`] if the system has no randomness to give; nothing of it may be used then.
    #[inline]
    pub(crate) fn fill(&self, stripe: usize, out: &mut [u8]) -> Result<(), Failed> {
        self.fill_each(stripe, [out])
    }

    /// Fills each of `outs`, for one look at the block.
    ///
    /// # Errors
    /// As [`Self::fill`].
    #[inline]
    pub(crate) fn fill_each<const N: usize>(
        &self,
        stripe: usize,
        outs: [&mut [u8]; N],
    ) -> Result<(), Failed> {
        let block = self.stripes.get(stripe % self.stripes.len().max(1));
        let mut block =
            block.filter(|_| !self.is_cloned_host()).and_then(|block| block.try_lock().ok());
        for out in outs {
            match &mut block {
                Some(block) if out.len() <= BLOCK_BYTES => block.take(out)?,
                Some(_) | None => self.draw(out)?,
            }
        }
        Ok(())
    }

    /// `N` random bytes that are not secret: a nonce, a salt or a tag.
    pub(crate) fn array<const N: usize>(&self, stripe: usize) -> Result<[u8; N], Failed> {
        let mut bytes = [0; N];
        self.fill(stripe, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether the machine may be cloned while it runs, from now on.
    pub(crate) fn set_cloned_host(&self, cloned_host: bool) {
        self.cloned_host.store(cloned_host, Ordering::Relaxed);
    }

    fn is_cloned_host(&self) -> bool {
        self.cloned_host.load(Ordering::Relaxed)
    }

    /// Wipes what is left. The pool goes on working.
    pub(crate) fn wipe(&self) {
        for stripe in &self.stripes {
            let mut block = stripe.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *block = Block::empty();
        }
    }

    #[cold]
    fn draw(&self, out: &mut [u8]) -> Result<(), Failed> {
        if aws_lc_rs::rand::fill(out).is_err() {
            out.zeroize();
            return Err(Failed);
        }
        if self.is_cloned_host() {
            let mut mix = [0_u8; 256];
            for out in out.chunks_mut(mix.len()) {
                system_bytes(mix.get_mut(..out.len()).ok_or(Failed)?)?;
                out.iter_mut().zip(&mix).for_each(|(out, mix)| *out ^= mix);
            }
            mix.zeroize();
        }
        Ok(())
    }
}

fn system_bytes(mut out: &mut [u8]) -> Result<(), Failed> {
    while !out.is_empty() {
        let taken = rustix::rand::getrandom(&mut *out, rustix::rand::GetRandomFlags::empty())
            .map_err(|_| Failed)?;
        out = mem::take(&mut out).get_mut(taken..).ok_or(Failed)?;
    }
    Ok(())
}

/// Bytes drawn ahead: those before `next` are erased.
struct Block {
    bytes: Secret<BLOCK_BYTES>,
    next: usize,
}

impl Block {
    fn empty() -> Self {
        Self { bytes: Secret::zeroes(), next: BLOCK_BYTES }
    }

    fn take(&mut self, out: &mut [u8]) -> Result<(), Failed> {
        if BLOCK_BYTES - self.next < out.len() {
            self.next = BLOCK_BYTES;
            aws_lc_rs::rand::fill(self.bytes.expose_mut()).map_err(|_| Failed)?;
            self.next = 0;
        }
        let end = self.next + out.len();
        let slice = self.bytes.expose_mut().get_mut(self.next..end).ok_or(Failed)?;
        out.copy_from_slice(slice);
        slice.zeroize();
        self.next = end;
        Ok(())
    }
}

const BLOCK_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bytes_are_handed_out_twice_and_none_stay_behind() {
        let pool = RandomPool::new(2, false);
        let mut seen = HashSet::new();
        for n in 0..1000 {
            let mut key = [0; 32];
            pool.fill(n % 3, &mut key).unwrap();
            assert!(seen.insert(key));
            let block = pool.stripes[n % 3 % 2].lock().unwrap();
            assert!(block.bytes.expose()[..block.next].iter().all(|&byte| byte == 0));
        }
        pool.wipe();
        assert!(pool.stripes.iter().all(|s| s.lock().unwrap().bytes.expose() == &[0; 2048]));
    }

    #[test]
    fn a_block_in_use_and_a_long_draw_are_served_without_waiting() {
        let pool = RandomPool::new(1, false);
        let held = pool.stripes[0].lock().unwrap();
        let a: [u8; 32] = pool.array(0).unwrap();
        let b: [u8; 32] = pool.array(0).unwrap();
        assert_ne!(a, b);
        drop(held);
        let mut long = vec![0; 3 * BLOCK_BYTES];
        pool.fill(0, &mut long).unwrap();
        assert!(long.chunks(32).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
    }

    #[test]
    fn a_cloned_host_draws_each_time() {
        let pool = RandomPool::new(1, true);
        let a: [u8; 600] = pool.array(0).unwrap();
        let b: [u8; 600] = pool.array(0).unwrap();
        assert_ne!(a, b);
        assert_eq!(pool.stripes[0].lock().unwrap().next, BLOCK_BYTES);
    }
}
