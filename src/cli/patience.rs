//! Waiting for a keystore that another process uses.

use core::time::Duration;

use super::show::Show;
use crate::clock::{BootTime, Clock, SystemClock};
use crate::error::{Error, KeystoreProblem};

/// How long is still waited.
pub(super) struct Patience {
    clock: SystemClock,
    began: BootTime,
    limit: Duration,
    pause: Duration,
    has_said: bool,
    show: Show,
}

impl Patience {
    pub(super) fn new(seconds: u32, show: &Show) -> Self {
        let clock = SystemClock::default();
        Self {
            began: clock.boot(),
            clock,
            limit: Duration::from_secs(seconds.into()),
            pause: FIRST_PAUSE,
            has_said: false,
            show: *show,
        }
    }

    /// Whether what failed with `error` is to be tried again; true only after a pause.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        if !is_locked(error) {
            return false;
        }
        let waited = self.clock.boot().since(self.began);
        let Some(left) = self.limit.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return false;
        };
        if waited > SAID_AFTER && !self.has_said {
            self.has_said = true;
            self.show.note("waiting for another process that uses the keystore");
        }
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        true
    }

    /// Does `work`, again and again while the keystore is in use.
    pub(super) async fn with<T>(
        &mut self,
        mut work: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match work() {
                Err(error) if self.again(&error).await => {}
                done => return done,
            }
        }
    }
}

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Keystore(error) if error.problem == KeystoreProblem::Locked)
}

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(100);
const SAID_AFTER: Duration = Duration::from_millis(500);
