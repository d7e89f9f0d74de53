//! Measuring on a noisy machine: engine and primitive by turns, and medians of the turns.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// How long and how often everything is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Turns of engine and primitive.
    pub rounds: usize,
    /// How long one turn of either takes, at least.
    pub window: Duration,
    /// Steps that are timed one by one, for the percentiles.
    pub timed: usize,
    /// Stops of an engine under load.
    pub stops: usize,
    /// Operations for each number of callers in the mix.
    pub mixed: usize,
}

impl Effort {
    /// Enough for figures to record.
    pub const FULL: Self = Self {
        rounds: 41,
        window: Duration::from_millis(30),
        timed: 50_000,
        stops: 500,
        mixed: 200_000,
    };
    /// Enough to see that everything still runs.
    pub const SMOKE: Self =
        Self { rounds: 1, window: Duration::from_millis(5), timed: 200, stops: 5, mixed: 2_000 };
}

/// Makes one thread's share of the work, on that thread; each call of it is one step.
pub type Make<'a> = Box<dyn Fn(usize) -> Box<dyn FnMut() + 'a> + Sync + 'a>;

/// Nanoseconds of one step on one of `threads` threads, the mean of all of them, while each runs
/// its share for at least `window`. The clock is looked at once in `batch` steps.
pub fn turn(make: &Make<'_>, threads: usize, window: Duration, batch: u32) -> f64 {
    let times = on_threads(make, threads, |work| {
        let (begun, mut steps) = (now(), 0_u32);
        loop {
            (0..batch).for_each(|_| work());
            steps += batch;
            let took = begun.elapsed();
            if took >= window {
                return took.as_secs_f64() * 1e9 / f64::from(steps);
            }
        }
    });
    times.iter().sum::<f64>() / times.len() as f64
}

/// How long single steps take, in nanoseconds, `count` of them in all for as long as that takes no
/// more than `window`.
pub fn times(make: &Make<'_>, threads: usize, window: Duration, count: usize) -> Vec<u64> {
    let times = on_threads(make, threads, |work| {
        let until = now() + window;
        let timed = (0..count / threads).map(|_| time(&mut *work));
        let mut times = Vec::with_capacity(count);
        times.extend(timed.take_while(|_| times_left(until)));
        times
    });
    times.concat()
}

/// The value below which `percent` of `values` lie; sorts them.
pub fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let rank = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(rank).copied().unwrap_or_default()
}

/// The one in the middle; sorts them.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long `work` takes, in nanoseconds, with the two looks at the clock (some 30 ns).
pub fn time(work: impl FnOnce()) -> u64 {
    let begun = now();
    work();
    nanos(begun.elapsed())
}

/// As many nanoseconds, of far less than 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// This moment.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// What `measure` finds on each of `threads` threads that begin together, when each has done one
/// step.
fn on_threads<R: Send>(
    make: &Make<'_>,
    threads: usize,
    measure: impl Fn(&mut dyn FnMut()) -> R + Sync,
) -> Vec<R> {
    let start = Barrier::new(threads);
    let run = |thread: usize| {
        let mut work = make(thread);
        work();
        start.wait();
        measure(&mut *work)
    };
    let run = &run;
    thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
        spawned.into_iter().map(|thread| thread.join().expect("a step panicked")).collect()
    })
}

fn times_left(until: Instant) -> bool {
    now() < until
}
