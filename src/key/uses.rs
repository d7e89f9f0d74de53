//! How often a key version has wrapped: counts that are reserved before they are used.
//!
//! The store keeps, for each version, a total up to which uses are *reserved*. Callers draw from
//! that reservation in lots of 256 a stripe, so that threads do not share a counter on each call;
//! the next block is asked for once half of the last one is drawn. A crash loses what was reserved
//! and not used: it can only over-count.
//!
//! Invariant: uses drawn since the beginning never exceed the total that is durable. A draw costs
//! one atomic decrement (about 5 ns).

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use once_cell::race::OnceBox;

use super::UseGrant;
use crate::limits::{USE_BLOCK_MAX, USE_BLOCK_MIN, USE_LOT, USES_PER_VERSION_MAX};

/// The use count of one version, as callers draw from it.
pub(crate) struct UseCounter {
    /// What was reserved when this run began.
    base: u64,
    /// Durable: uses up to this total may be made.
    reserved: AtomicU64,
    /// Given out to stripes so far.
    drawn: AtomicU64,
    /// The total at whose drawing the next block is asked for.
    ask_at: AtomicU64,
    /// What each stripe may still use; made at the first draw, because most keys of a large store
    /// never wrap. Who loses the race to make them lets its own go: nobody waits for a thread that
    /// was stopped half-way.
    lots: OnceBox<Box<[CachePadded<AtomicI64>]>>,
}

/// What a draw comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// One use may be made.
    Taken,
    /// One use may be made, and it is time to reserve the next block.
    TakenLow,
    /// Nothing is reserved: wait for the next block.
    Empty,
    /// The version has reached 2^32 uses.
    Exhausted,
}

impl UseCounter {
    /// The counter of a version of which `reserved` uses were reserved in earlier runs: all of them
    /// count as made.
    pub(crate) fn new(reserved: u64) -> Self {
        Self {
            base: reserved,
            reserved: AtomicU64::new(reserved),
            drawn: AtomicU64::new(reserved),
            ask_at: AtomicU64::new(u64::MAX),
            lots: OnceBox::new(),
        }
    }

    /// Draws one use for a caller on `stripe` of `stripes`.
    #[inline]
    pub(crate) fn draw(&self, stripe: usize, stripes: usize) -> Draw {
        let lots = self
            .lots
            .get_or_init(|| Box::new((0..stripes).map(|_| CachePadded::default()).collect()));
        let Some(lot) = lots.get(stripe % lots.len().max(1)) else {
            return Draw::Empty;
        };
        if lot.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Draw::Taken;
        }
        lot.fetch_add(1, Ordering::Relaxed);
        self.refill(lot)
    }

    /// Takes back a draw whose use was not made: nothing of it left.
    pub(crate) fn give_back(&self, stripe: usize) {
        if let Some(lots) = self.lots.get()
            && let Some(lot) = lots.get(stripe % lots.len().max(1))
        {
            lot.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cold]
    fn refill(&self, lot: &AtomicI64) -> Draw {
        let reserved = self.reserved.load(Ordering::Acquire);
        let step = |drawn: u64| {
            let lot = USE_LOT.min(reserved.saturating_sub(drawn));
            (lot > 0).then_some(drawn + lot)
        };
        match self.drawn.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(before) => {
                let taken = USE_LOT.min(reserved.saturating_sub(before));
                // One of the lot is used at once.
                lot.fetch_add(i64::try_from(taken).unwrap_or(0) - 1, Ordering::Relaxed);
                let ask_at = self.ask_at.load(Ordering::Relaxed);
                let is_low = before + taken >= ask_at;
                // Only one caller asks for a block.
                let asks = is_low
                    && self
                        .ask_at
                        .compare_exchange(ask_at, u64::MAX, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok();
                if asks { Draw::TakenLow } else { Draw::Taken }
            }
            Err(_) if reserved >= USES_PER_VERSION_MAX => Draw::Exhausted,
            Err(_) => Draw::Empty,
        }
    }

    /// The total to reserve next: 2^16 more, and from then on as many as this run has reserved
    /// already, up to 2^22; not past `soft_limit` in one step, so that reaching it is seen. `None`
    /// at the end of the version's uses.
    pub(crate) fn next_total(&self, soft_limit: Option<u64>) -> Option<u64> {
        let reserved = self.reserved.load(Ordering::Acquire);
        let block = (reserved - self.base).clamp(USE_BLOCK_MIN, USE_BLOCK_MAX);
        let limit = soft_limit.filter(|limit| reserved < *limit).unwrap_or(USES_PER_VERSION_MAX);
        let total = (reserved + block).min(limit).min(USES_PER_VERSION_MAX);
        (total > reserved).then_some(total)
    }

    /// Makes the uses of `grant` available, which are durable now and nobody else's. What was left
    /// of an earlier grant is given up where others reserved in between: it counts as made.
    pub(crate) fn grant(&self, grant: UseGrant) {
        self.drawn.fetch_max(grant.from, Ordering::AcqRel);
        self.reserve(grant.to);
    }

    /// Whether callers have less than half of the last block left.
    pub(crate) fn is_low(&self) -> bool {
        let ask_at = self.ask_at.load(Ordering::Relaxed);
        // The mark is taken down by the caller that asks.
        ask_at == u64::MAX || self.drawn() >= ask_at
    }

    /// Uses that are reserved.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    /// Uses drawn so far, those of earlier runs included; at most one lot a stripe too many.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }

    /// Whether uses have been reserved since the beginning: the first draw has them reserved.
    pub(crate) fn is_used(&self) -> bool {
        self.reserved() > self.base
    }

    /// Makes uses up to `total` available, which is durable now.
    pub(crate) fn reserve(&self, total: u64) {
        let before = self.reserved.fetch_max(total, Ordering::AcqRel);
        if total > before {
            let half = before + (total - before) / 2;
            let ask_at = if total >= USES_PER_VERSION_MAX { u64::MAX } else { half };
            self.ask_at.store(ask_at, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_that_is_not_reserved() {
        let uses = UseCounter::new(100);
        assert_eq!(uses.draw(0, 2), Draw::Empty);
        uses.reserve(100 + 300);
        // One lot a stripe: what one has left over, another cannot use.
        assert_eq!((uses.draw(0, 2), uses.draw(1, 2)), (Draw::TakenLow, Draw::Taken));
        let mut taken = 2;
        for stripe in [0, 1] {
            while matches!(uses.draw(stripe, 2), Draw::Taken | Draw::TakenLow) {
                taken += 1;
            }
        }
        assert_eq!(taken, 300);
        assert_eq!(uses.drawn(), 400);
    }

    #[test]
    fn what_is_given_back_can_be_drawn_again() {
        let uses = UseCounter::new(0);
        uses.give_back(0);
        assert_eq!(uses.draw(0, 1), Draw::Empty, "nothing was drawn");
        uses.reserve(3);
        while uses.draw(0, 1) != Draw::Empty {}
        uses.give_back(0);
        assert_eq!((uses.draw(0, 1), uses.draw(0, 1)), (Draw::Taken, Draw::Empty));
    }

    #[test]
    fn the_next_block_is_asked_for_once_at_half() {
        let uses = UseCounter::new(0);
        uses.reserve(uses.next_total(None).unwrap());
        let asked: Vec<u64> =
            (1..=USE_BLOCK_MIN).filter(|_| uses.draw(0, 1) == Draw::TakenLow).collect();
        assert_eq!(asked.len(), 1);
        assert!(asked[0] > USE_BLOCK_MIN / 2 - USE_LOT && asked[0] <= USE_BLOCK_MIN / 2 + USE_LOT);
        assert_eq!(uses.draw(0, 1), Draw::Empty);
    }

    #[test]
    fn blocks_grow_to_their_limit_and_end_at_the_hard_one() {
        let uses = UseCounter::new(7);
        let mut last = 7;
        let mut blocks = Vec::new();
        while let Some(total) = uses.next_total(None) {
            blocks.push(total - last);
            last = total;
            uses.reserve(total);
        }
        assert_eq!(blocks[..4], [1 << 16, 1 << 16, 1 << 17, 1 << 18]);
        assert_eq!(blocks.iter().max(), Some(&USE_BLOCK_MAX));
        assert_eq!(last, USES_PER_VERSION_MAX);
        let spent = UseCounter::new(USES_PER_VERSION_MAX);
        assert_eq!((spent.draw(0, 1), spent.next_total(None)), (Draw::Exhausted, None));
    }

    #[test]
    fn threads_together_never_draw_more_than_is_reserved() {
        let uses = UseCounter::new(0);
        uses.reserve(100_000);
        let taken: u64 = std::thread::scope(|scope| {
            let draw = |stripe: usize| {
                let uses = &uses;
                move || {
                    let draws = core::iter::from_fn(|| Some(uses.draw(stripe, 2)));
                    draws.take_while(|draw| *draw != Draw::Empty).count() as u64
                }
            };
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(draw(n % 2))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((100_000 - 4 * USE_LOT..=100_000).contains(&taken), "{taken}");
    }
}
