//! What the benches need to see of the inside. Not part of the API: feature `testing`.

pub use crate::audit::bench as audit;
use crate::gate::{Class, Gate, Scope};
pub use crate::object::bench as object;

/// An open gate.
pub struct BenchGate(Gate);

impl Default for BenchGate {
    fn default() -> Self {
        Self::new()
    }
}

impl BenchGate {
    /// A gate that lets reads and writes in.
    #[must_use]
    pub fn new() -> Self {
        let gate = Gate::new();
        assert!(gate.open(gate.latest_shut()), "nobody else has it");
        Self(gate)
    }

    /// Runs `section` on this thread's own stripe; false if the gate was shut.
    #[inline]
    pub fn pass(&self, section: impl FnOnce(usize)) -> bool {
        self.0.pass(Class::Read, |permit| section(permit.stripe())).is_ok()
    }

    /// The same on a given stripe.
    #[inline]
    pub fn pass_on(&self, stripe: usize, section: impl FnOnce(usize)) -> bool {
        self.0.pass_on(stripe, Class::Read, |permit| section(permit.stripe())).is_ok()
    }

    /// Shuts and opens again.
    pub fn shut_and_open(&self) {
        let shut = self.0.shut(Scope::All, 1);
        assert!(self.0.open(shut), "nobody else has it");
    }
}

/// How many sections that read and that write have ended well since the first call, each counted
/// before its permit was given back.
#[must_use]
pub fn sections(kms: &crate::Kms) -> (u64, u64) {
    kms.sections()
}

/// The material of every key version in a keystore that no engine has open, for tests that look for
/// it in another process.
///
/// # Errors
/// As opening the keystore.
#[cfg(feature = "local")]
pub fn master_key_material(
    config: &crate::keystore::LocalConfig,
) -> Result<Vec<Vec<u8>>, crate::Error> {
    use crate::backend::Backend;

    let random = std::sync::Arc::new(crate::secret::random::RandomPool::new(1, false));
    let abandoned = core::sync::atomic::AtomicBool::new(false);
    let store = crate::backend::local::LocalBackend::open(config, random, &abandoned)?;
    let versions = store.records().values().flat_map(|record| &record.versions);
    Ok(versions.filter_map(|v| Some(v.material.as_ref()?.expose().to_vec())).collect())
}
