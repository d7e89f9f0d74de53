//! Grace periods: waiting until every permit issued before a moment is gone.
//!
//! Owns the flips of the gate's parity. A flip turns entries to the other side of each stripe and
//! then waits until the side they came from is empty. Flips are numbered and never overlap: the
//! side that a flip makes active was emptied by the flip before. That is what lets one bit tell
//! old permits from new ones.
//!
//! Any number of owners may wait at once. Each is served by the first flip that begins after it
//! asked, so one flip serves all who asked while the one before was under way. There is no task
//! behind it: whoever is polled takes the next step for all, and the state is whole between steps,
//! so a future dropped half way leaves nothing behind but a flip that the next one finishes.

use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::atoms::{self, PARITY, WAITING, count, difference};
use super::waiters::{WaiterId, lock};
use super::{Gate, Stripe, side_of};

/// Resolves when all permits issued before the call that made it are gone.
///
/// New permits go on entering. What was stored before the call is seen by every section that is
/// still or newly inside when it resolves; what the sections waited for have done is seen by who
/// awaited it. It sets no deadline and may be dropped at any time.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Quiesce<G: Deref<Target = Gate>> {
    gate: G,
    id: WaiterId,
    /// The number of the flip that serves it.
    wanted: u64,
}

impl<G: Deref<Target = Gate>> Quiesce<G> {
    pub(super) fn new(gate: G) -> Self {
        let (id, wanted) = lock(&gate.grace).ask();
        Self { gate, id, wanted }
    }
}

impl<G: Deref<Target = Gate> + Unpin> Future for Quiesce<G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let gate: &Gate = &this.gate;
        // Before looking, so that no wake-up is lost: see `waiters`.
        if !atoms::LOST_WAKEUP {
            gate.waiters.register(this.id, cx.waker());
        }
        let served = lock(&gate.grace).advance(&gate.stripes, this.wanted);
        if served {
            return Poll::Ready(());
        }
        if atoms::LOST_WAKEUP {
            gate.waiters.register(this.id, cx.waker());
        }
        // A permit of the old side was still out, and whoever returns the last one wakes us.
        Poll::Pending
    }
}

impl<G: Deref<Target = Gate>> Drop for Quiesce<G> {
    fn drop(&mut self) {
        self.gate.waiters.remove(self.id);
    }
}

/// The state of the flips, behind a lock that only the control plane takes.
pub(super) struct Grace {
    /// The number of the latest flip that began; `begun - 1` or `begun` have ended.
    begun: u64,
    /// The number of the latest flip whose old side was seen empty.
    ended: u64,
    /// The side that the latest flip turned entries away from.
    old: usize,
    /// How many quiesces were asked for.
    asked: u64,
    tallies: Box<[Tally]>,
}

/// What the flips know of one stripe. Counts are modulo 2^61.
#[derive(Clone, Default)]
struct Tally {
    /// Entries ever, at the last flip.
    entered: u64,
    /// Entries ever on each side, up to the last flip that turned away from it.
    on_side: [u64; 2],
}

impl Grace {
    pub(super) fn new(stripes: usize) -> Self {
        Self {
            begun: 0,
            ended: 0,
            old: 1,
            asked: 0,
            tallies: vec![Tally::default(); stripes].into_boxed_slice(),
        }
    }

    /// How many flips there were.
    #[cfg(all(test, not(gate_loom)))]
    pub(super) fn flips(&self) -> u64 {
        self.begun
    }

    /// A name for who asks, and the first flip that begins after now.
    fn ask(&mut self) -> (WaiterId, u64) {
        self.asked += 1;
        let under_way = self.begun != self.ended;
        let joined = atoms::EARLIER_FLIP && under_way;
        let wanted = if joined { self.begun } else { self.begun + 1 };
        (WaiterId(self.asked), wanted)
    }

    /// Takes every step that can be taken now, and tells whether flip `wanted` has ended.
    ///
    /// If not, the old side was seen with a permit out after the flag was set there.
    fn advance(&mut self, stripes: &[Stripe], wanted: u64) -> bool {
        while self.ended < wanted {
            let idle = self.begun == self.ended;
            if idle || (atoms::FLIP_WITHOUT_DRAIN && self.begun < wanted) {
                self.flip(stripes);
            }
            if !self.is_drained(stripes) {
                return false;
            }
            self.end(stripes);
        }
        true
    }

    /// Turns entries to the other side, and asks the permits of the old one to wake us.
    fn flip(&mut self, stripes: &[Stripe]) {
        self.begun += 1;
        self.old ^= 1;
        for (stripe, tally) in stripes.iter().zip(&mut self.tallies) {
            let word = stripe.entered.fetch_xor(PARITY, atoms::FLIP);
            debug_assert_eq!(side_of(word), self.old, "only flips change the parity");
            let entered = count(word);
            let [first, second] = &mut tally.on_side;
            let on_side = if self.old == 0 { first } else { second };
            *on_side = on_side.wrapping_add(difference(entered, tally.entered));
            tally.entered = entered;
            if !atoms::NO_WAITING_FLAG {
                stripe.left(self.old).fetch_or(WAITING, atoms::WAIT);
            }
        }
    }

    /// Whether all who entered on the old side have left.
    fn is_drained(&self, stripes: &[Stripe]) -> bool {
        stripes.iter().zip(&self.tallies).all(|(stripe, tally)| {
            let [first, second] = tally.on_side;
            let entered = if self.old == 0 { first } else { second };
            let left = count(stripe.left(self.old).load(atoms::DRAINED));
            difference(entered, left) == 0
        })
    }

    /// Ends the flip. The old side is empty and inactive: nobody touches its words but us.
    fn end(&mut self, stripes: &[Stripe]) {
        self.ended = self.begun;
        for stripe in stripes {
            stripe.left(self.old).fetch_and(!WAITING, atoms::WAIT);
        }
    }
}
