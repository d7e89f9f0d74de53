//! Faults for tests: the durable steps of one thread are counted, and one of them goes wrong.
//!
//! A plan belongs to the thread that [`run`] was called on, so tests run side by side. A power cut
//! is played by undoing what was not yet synced: which of the pending effects are lost, and how a
//! lost write looks, are the caller's to enumerate.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What goes wrong. Steps are counted from 1.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::local) enum Fault {
    /// Nothing.
    Never,
    /// The process aborts at this step, a write half done.
    Abort { at: u64 },
    /// This step fails, a write half done, and all after it.
    Fail { at: u64, errno: Errno },
    /// The process is killed at this step, and the power cut at the end of what [`revive`]d it.
    Kill { at: u64, lose: u32, torn: Torn },
    /// The power is cut at this step. Bit n of `lose` says whether the n-th effect that was not
    /// synced is lost.
    Cut { at: u64, lose: u32, torn: Torn },
}

/// What a lost write leaves.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::local) enum Torn {
    /// The file as it was.
    Nothing,
    /// Its first half.
    Half,
    /// Its length, and zeroes.
    Zeroes,
    /// Zeroes from the first 512-byte boundary on.
    Sector,
}

enum Effect {
    Made(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, moved: Vec<u8>, replaced: Option<Vec<u8>> },
    Removed(PathBuf, Vec<u8>),
    Wrote { file: PathBuf, before: Vec<u8>, at: usize },
    Truncated(PathBuf, Vec<u8>),
}

struct Plan {
    fault: Fault,
    steps: u64,
    /// The fault has happened.
    dead: bool,
    /// The step at hand is a write that is cut short.
    short: bool,
    pending: Vec<Effect>,
    at_stake: u32,
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// What came of a plan.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::local) struct Played {
    /// Durable steps begun.
    pub(in crate::backend::local) steps: u64,
    /// Effects that a cut could have lost, each by itself.
    pub(in crate::backend::local) at_stake: u32,
}

/// Runs `act` under `fault`. A cut whose step is never reached comes right after `act`.
pub(in crate::backend::local) fn run<R>(fault: Fault, act: impl FnOnce() -> R) -> (R, Played) {
    let plan =
        Plan { fault, steps: 0, dead: false, short: false, pending: Vec::new(), at_stake: 0 };
    PLAN.set(Some(plan));
    let result = act();
    let mut plan = PLAN.take().expect("set above");
    if !plan.dead {
        plan.cut();
    }
    (result, Played { steps: plan.steps, at_stake: plan.at_stake })
}

/// A new process on the disk of the one that was killed.
pub(in crate::backend::local) fn revive() {
    with(|plan| {
        plan.dead = false;
        plan.short = false;
    });
}

pub(super) fn step(operation: &str) -> rustix::io::Result<()> {
    with(|plan| {
        plan.steps += 1;
        if plan.dead {
            return Err(Errno::IO);
        }
        let at = match plan.fault {
            Fault::Never => return Ok(()),
            Fault::Abort { at }
            | Fault::Fail { at, .. }
            | Fault::Kill { at, .. }
            | Fault::Cut { at, .. } => at,
        };
        if plan.steps != at {
            return Ok(());
        }
        plan.dead = true;
        plan.short = operation == "writing";
        if plan.short { Ok(()) } else { plan.strike() }
    })
    .unwrap_or(Ok(()))
}

pub(super) fn writing<'a>(dir: &Path, name: &str, at: u64, bytes: &'a [u8]) -> &'a [u8] {
    with(|plan| {
        if plan.plays_a_cut() {
            let file = dir.join(name);
            let before = fs::read(&file).unwrap();
            let at = usize::try_from(at).unwrap();
            plan.pending.push(Effect::Wrote { file, before, at });
        }
        if plan.short { &bytes[..bytes.len() / 2] } else { bytes }
    })
    .unwrap_or(bytes)
}

pub(super) fn written() -> rustix::io::Result<()> {
    with(|plan| if plan.short { plan.strike() } else { Ok(()) }).unwrap_or(Ok(()))
}

pub(super) fn making(dir: &Path, name: &str) {
    with(|plan| plan.pending.push(Effect::Made(dir.join(name))));
}

pub(super) fn renaming(dir: &Path, from: &str, to: &str) {
    with(|plan| {
        if plan.plays_a_cut() {
            let (from, to) = (dir.join(from), dir.join(to));
            for effect in &mut plan.pending {
                if let Effect::Wrote { file, .. } = effect
                    && *file == from
                {
                    file.clone_from(&to);
                }
            }
            plan.pending.push(Effect::Renamed {
                moved: fs::read(&from).unwrap(),
                replaced: fs::read(&to).ok(),
                from,
                to,
            });
        }
    });
}

pub(super) fn removing(dir: &Path, name: &str) {
    with(|plan| {
        if plan.plays_a_cut() {
            let file = dir.join(name);
            let before = fs::read(&file).unwrap();
            plan.pending.push(Effect::Removed(file, before));
        }
    });
}

pub(super) fn truncating(dir: &Path, name: &str) {
    with(|plan| {
        if plan.plays_a_cut() {
            let file = dir.join(name);
            let before = fs::read(&file).unwrap();
            plan.pending.push(Effect::Truncated(file, before));
        }
    });
}

pub(super) fn file_synced(dir: &Path, name: &str) {
    let synced = dir.join(name);
    with(|plan| {
        plan.pending.retain(|effect| match effect {
            Effect::Wrote { file, .. } | Effect::Truncated(file, _) => *file != synced,
            Effect::Made(_) | Effect::Renamed { .. } | Effect::Removed(..) => true,
        });
    });
}

pub(super) fn directory_synced(dir: &Path) {
    with(|plan| {
        plan.pending.retain(|effect| match effect {
            Effect::Made(file) | Effect::Renamed { to: file, .. } | Effect::Removed(file, _) => {
                file.parent() != Some(dir)
            }
            Effect::Wrote { .. } | Effect::Truncated(..) => true,
        });
    });
}

impl Plan {
    fn plays_a_cut(&self) -> bool {
        matches!(self.fault, Fault::Cut { .. } | Fault::Kill { .. })
    }

    fn strike(&mut self) -> rustix::io::Result<()> {
        match self.fault {
            Fault::Never => Ok(()),
            Fault::Abort { .. } => std::process::abort(),
            Fault::Fail { errno, .. } => Err(errno),
            Fault::Kill { .. } => Err(Errno::IO),
            Fault::Cut { .. } => {
                self.cut();
                Err(Errno::IO)
            }
        }
    }

    fn cut(&mut self) {
        let (Fault::Cut { lose, torn, .. } | Fault::Kill { lose, torn, .. }) = self.fault else {
            return;
        };
        let pending = core::mem::take(&mut self.pending);
        self.at_stake = u32::try_from(pending.len()).unwrap();
        for (n, effect) in pending.into_iter().enumerate().rev() {
            if lose & (1 << n) != 0 {
                effect.undo(torn);
            }
        }
    }
}

impl Effect {
    fn undo(self, torn: Torn) {
        match self {
            Self::Made(file) => drop(fs::remove_file(file)),
            Self::Renamed { from, to, moved, replaced } => {
                put(&from, &moved);
                match replaced {
                    Some(bytes) => put(&to, &bytes),
                    None => drop(fs::remove_file(to)),
                }
            }
            Self::Removed(file, before) | Self::Truncated(file, before) => put(&file, &before),
            Self::Wrote { file, before, at } => {
                // Where the name itself was lost, so is what was written under it.
                let Ok(mut now) = fs::read(&file) else { return };
                match torn {
                    Torn::Nothing => now = before,
                    Torn::Half => now.truncate(at + (now.len().saturating_sub(at)) / 2),
                    Torn::Zeroes => now.iter_mut().skip(at).for_each(|byte| *byte = 0),
                    Torn::Sector => {
                        let from = at.next_multiple_of(512);
                        now.iter_mut().skip(from).for_each(|byte| *byte = 0);
                    }
                }
                put(&file, &now);
            }
        }
    }
}

fn put(file: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file).unwrap().write_all(bytes).unwrap();
}

fn with<R>(act: impl FnOnce(&mut Plan) -> R) -> Option<R> {
    PLAN.with_borrow_mut(|plan| plan.as_mut().map(act))
}
