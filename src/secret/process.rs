//! Keeping other processes and core files away from this one's memory.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit,
};

/// Forbids core dumps of this process, and that another process of its user traces it or reads its
/// memory (`prctl(PR_SET_DUMPABLE)`, `RLIMIT_CORE`). It holds until the process ends or calls
/// `execve`, and is for programs whose process the engine may call its own: debuggers and profilers
/// no longer attach.
///
/// Key memory is left out of core dumps in any case; this is for everything else: buffers of
/// plaintext, what libraries keep.
///
/// # Errors
/// The system's.
pub fn harden_process() -> std::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let limit = Rlimit { current: Some(0), maximum: Some(0) };
    if getrlimit(Resource::Core) != limit {
        setrlimit(Resource::Core, limit)?;
    }
    Ok(())
}

/// Whether [`harden_process`] is in force.
#[must_use]
pub fn is_hardened() -> bool {
    let undumpable =
        dumpable_behavior().is_ok_and(|behavior| behavior == DumpableBehavior::NotDumpable);
    undumpable && getrlimit(Resource::Core).current == Some(0)
}
