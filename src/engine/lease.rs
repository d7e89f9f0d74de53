//! Data keys on lease.

use core::fmt;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::envelope::WrappedKey;
use crate::error::Error;
use crate::plane::Plane;
use crate::secret::slots::SlotHandle;

/// A data key on lease.
///
/// The key stays in the engine's memory: [`Self::copy_into`] is the only way to read it, and what
/// it copied is the host's to wipe. A stop of the engine wipes the key though the lease lives on.
/// Dropping the lease wipes it too.
pub struct DataKey {
    home: Home,
    slot: SlotHandle,
}

/// The engine, as the leases of one stripe hold it.
type Home = Arc<CachePadded<Arc<Plane>>>;

/// One [`Home`] for each stripe of slots: threads that make and drop leases count references on
/// lines of their own. On one count two threads were slower than one.
pub(super) struct Homes(Box<[Home]>);

impl Homes {
    pub(super) fn new(plane: &Arc<Plane>) -> Self {
        let home = || Arc::new(CachePadded::new(Arc::clone(plane)));
        Self((0..plane.slots.stripes()).map(|_| home()).collect())
    }
}

impl DataKey {
    #[expect(clippy::indexing_slicing, reason = "there is a home for each stripe of slots")]
    pub(super) fn new(homes: &Homes, slot: SlotHandle) -> Self {
        Self { home: Arc::clone(&homes.0[slot.stripe()]), slot }
    }

    /// Length of the key in bytes, 16 to 64.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(&self) -> usize {
        self.slot.len()
    }

    /// Copies the key into `out`, which is as long as the key.
    ///
    /// # Errors
    /// [`Refused`](crate::error::Refused) while the engine is frozen for reading or does not run,
    /// and [`Stale`](crate::error::Refused::Stale) once it has been stopped since.
    /// [`Error::ApiMisuse`] if `out` is of another length. `out` is as before then.
    pub fn copy_into(&self, out: &mut [u8]) -> Result<(), Error> {
        self.home.copy_lease(&self.slot, out)
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.home.slots.free(&self.slot);
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({} bytes)", self.len())
    }
}

/// A new data key: to use now, and to store.
#[derive(Debug)]
#[non_exhaustive]
pub struct GeneratedDataKey {
    /// The key, on lease.
    pub key: DataKey,
    /// The same key, wrapped, to be stored beside what it protects.
    pub wrapped: WrappedKey,
}
