//! `SIGINT`, `SIGTERM` and `SIGHUP`: what is unfinished is removed, and the process ends with the
//! code that a shell shows for the signal. One that the process was started to ignore, by `nohup`
//! or by a shell for what runs in its background, stays ignored.
//!
//! A keystore needs no such care: every change of it survives a crash at any step.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// The file that is to be removed if the process is told to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Debris(Arc<Mutex<Option<PathBuf>>>);

impl Debris {
    /// `path` is unfinished from now on. Said before it is made.
    pub(super) fn set(&self, path: &Path) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    /// Nothing is unfinished any more.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Removes what is unfinished.
    pub(super) fn remove(&self) {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(path) = path {
            // There is nobody to tell if it does not go.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Ends the process on a signal, on a thread of the runtime of its own.
pub(super) fn watch(debris: &Debris) -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        if is_ignored(kind, &status) {
            continue;
        }
        let mut signals =
            signal(kind).map_err(|error| Failure::io("watching for signals", None, error))?;
        let debris = debris.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                debris.remove();
                std::process::exit(128 + kind.as_raw_value());
            }
        });
    }
    Ok(())
}

/// Whether `status`, the process's own in `/proc`, says that signals of `kind` are ignored: bit
/// n - 1 of a hexadecimal mask stands for signal n (proc(5)).
fn is_ignored(kind: SignalKind, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value()).ok().and_then(|number| number.checked_sub(1));
    match (mask, bit) {
        (Some(mask), Some(bit)) => mask.checked_shr(bit).is_some_and(|rest| rest & 1 == 1),
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_read_from_its_bit() {
        // Signals 1 and 13.
        let status = "SigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(SignalKind::hangup(), status));
        assert!(!is_ignored(SignalKind::interrupt(), status));
        assert!(!is_ignored(SignalKind::terminate(), status));
        assert!(!is_ignored(SignalKind::hangup(), ""));
    }
}
