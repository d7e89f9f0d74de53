//! How far it is: a bar on standard error, where there is a terminal and it takes a while.

use core::cell::{Cell, OnceCell};
use core::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::show::Show;
use crate::clock::{BootTime, Clock, SystemClock};

/// Bytes read so far, and the bar that shows them.
pub(super) struct Progress {
    verb: &'static str,
    len: Option<u64>,
    read: Cell<u64>,
    clock: SystemClock,
    began: BootTime,
    ended: Cell<Option<BootTime>>,
    is_wanted: bool,
    bar: OnceCell<ProgressBar>,
}

impl Progress {
    /// Counting begins. `len` is the number of bytes to come, where that is known.
    pub(super) fn new(verb: &'static str, len: Option<u64>, show: Show) -> Self {
        let clock = SystemClock::default();
        Self {
            verb,
            len,
            read: Cell::new(0),
            began: clock.boot(),
            clock,
            ended: Cell::new(None),
            is_wanted: show.wants_progress(),
            bar: OnceCell::new(),
        }
    }

    /// `read` bytes more.
    pub(super) fn add(&self, read: usize) {
        self.read.set(self.read.get() + read as u64);
        if self.is_wanted && self.clock.boot().since(self.began) > SHOWN_AFTER {
            self.bar.get_or_init(|| self.make_bar()).set_position(self.read.get());
        }
    }

    /// The end: the bar goes; how many bytes there were.
    pub(super) fn done(&self) -> u64 {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
        self.ended.set(Some(self.clock.boot()));
        self.read.get()
    }

    /// How long it took.
    pub(super) fn took(&self) -> Duration {
        self.ended.get().unwrap_or_else(|| self.clock.boot()).since(self.began)
    }

    fn make_bar(&self) -> ProgressBar {
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(self.len, target);
        let template = match self.len {
            Some(_) => {
                "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta}"
            }
            None => "{msg} {spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}",
        };
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style).with_message(self.verb),
            Err(_) => bar,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// `count` bytes for people.
pub(super) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Throughput for people, where it says anything.
pub(super) fn rate(count: u64, took: Duration) -> String {
    let nanos = took.as_nanos().max(1);
    if count < RATED_BYTES_MIN {
        return String::new();
    }
    let rate = u128::from(count).saturating_mul(1_000_000_000) / nanos;
    format!(", {}/s", bytes(u64::try_from(rate).unwrap_or(u64::MAX)))
}

const SHOWN_AFTER: Duration = Duration::from_millis(500);
const RATED_BYTES_MIN: u64 = 16 << 20;
