//! How long things took, counted by powers of four: what costs one addition where it happens.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

/// The upper bounds in seconds of the buckets that durations are counted in, and that an exporter
/// should show histograms by: 1 us times a power of four, up to 17 s. What took longer is above all.
pub const BUCKETS: [f64; 13] = [
    0.000_001, 0.000_004, 0.000_016, 0.000_064, 0.000_256, 0.001_024, 0.004_096, 0.016_384,
    0.065_536, 0.262_144, 1.048_576, 4.194_304, 16.777_216,
];

/// One more than there are bounds.
const COUNT: usize = BUCKETS.len() + 1;

/// Durations, counted.
#[derive(Default)]
pub(crate) struct Durations([AtomicU64; COUNT]);

/// How many durations there were in each bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Samples(pub(super) [u64; COUNT]);

impl Durations {
    pub(crate) fn add(&self, took: Duration) {
        // The last bucket has no bound.
        let at = bucket(took).min(COUNT - 1);
        if let Some(count) = self.0.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Samples {
        Samples(self.0.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }
}

impl Samples {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What has come since `before`, each bucket with a value in its middle: within its bounds, so
    /// that an exporter with [`BUCKETS`] puts it where it was counted, and its sum is right to a
    /// factor of 1.6 at worst.
    pub(super) fn since(self, before: Self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BUCKETS.into_iter().chain([4.0 * BUCKETS[COUNT - 2]]);
        let counts = self.0.into_iter().zip(before.0).map(|(now, then)| now.saturating_sub(then));
        bounds.map(|bound| 0.625 * bound).zip(counts)
    }
}

/// The first bucket whose bound is not less than `took`.
fn bucket(took: Duration) -> usize {
    let microseconds = took.as_nanos().div_ceil(1000);
    match microseconds.checked_sub(1) {
        None | Some(0) => 0,
        Some(rest) => rest.ilog2() as usize / 2 + 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_is_counted_in_the_first_bucket_that_reaches_it(ns in 0..100_000_000_000_u64) {
            let durations = Durations::default();
            durations.add(Duration::from_nanos(ns));
            let at = durations.read().0.iter().position(|count| *count == 1).unwrap();
            let reaches = |bound: &f64| ns as f64 <= bound * 1e9 + 0.1;
            prop_assert_eq!(at, BUCKETS.iter().position(reaches).unwrap_or(COUNT - 1));
        }
    }

    #[test]
    fn what_is_told_of_a_bucket_lies_in_it_and_only_what_is_new_is_told() {
        let durations = Durations::default();
        let before = durations.read();
        for (at, bound) in BUCKETS.iter().enumerate() {
            for _ in 0..=at {
                durations.add(Duration::from_secs_f64(*bound));
            }
        }
        durations.add(Duration::MAX);
        let now = durations.read();
        let told: Vec<_> = now.since(before).collect();
        let mut lower = 0.0;
        for ((value, count), (at, bound)) in told.iter().zip(BUCKETS.iter().enumerate()) {
            assert!(*value > lower && value <= bound && *count == at as u64 + 1, "{value}");
            lower = *bound;
        }
        assert!(told[COUNT - 1].0 > lower && told[COUNT - 1].1 == 1);
        assert_eq!(now.since(now).map(|(_, count)| count).sum::<u64>(), 0);
        assert_eq!(now.total(), 14 * 13 / 2 + 1);
    }
}
