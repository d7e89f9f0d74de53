//! `SIGINT` and `SIGTERM`: what is unfinished is removed, and the process ends with the code that a
//! shell shows for the signal.
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
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
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
