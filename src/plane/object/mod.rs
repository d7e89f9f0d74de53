//! Stored objects on the caller's thread: their keys, their records, and the operations on their
//! bodies.
//!
//! ```text
//! mod.rs     what an object is bound to; its key, new or opened, on lease
//! seal.rs    objects that are put whole
//! read.rs    objects that are opened, whole and by range
//! upload.rs  objects that are put in parts
//! small.rs   objects of one section
//! ```
//!
//! The envelope of a record wraps the *object's key*. Under SSE-S3 and SSE-KMS that is the data key,
//! from which the chunk format derives the key of each body. Under SSE-C the bodies' keys come from
//! the customer's key, and the object's key only authenticates the record and seals its facts: it is
//! there when an upload is completed, and the customer's key is not.
//!
//! Handles hold keys on lease, in slots that a stop wipes. Nothing here waits.

pub(crate) mod read;
pub(crate) mod seal;
pub(crate) mod small;
pub(crate) mod upload;

use std::sync::Arc;

use super::data_key::{Binding, Bound, WrappedUnder};
use super::under_way::KeyUnderWay;
use super::{Call, Plane, Recording, Section, TryError, unreachable_failure};
use crate::context::{CanonicalContext, ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Envelope, Purpose, WrappedKey};
use crate::error::{CustomerKeyError, Error, ObjectError, Refused};
use crate::gate::Class;
use crate::key::KeyId;
use crate::object::customer::{self, CustomerSeal};
use crate::object::record::Head;
use crate::object::{
    ChunkCipher, CustomerKey, Header, Mode, ObjectName, PartNumber, Protection, Suite,
};
use crate::secret::StackKey;
use crate::secret::slots::SlotHandle;

/// What an object is bound to: its name and the caller's context.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: ObjectName,
    pub(crate) context: EncryptionContext,
}

impl Subject {
    pub(crate) fn new(name: &ObjectName, context: &EncryptionContext) -> Self {
        Self { name: name.clone(), context: context.clone() }
    }

    /// The context of the object's key, and of the body of an object that was put whole.
    fn object(&self) -> Bound {
        let fields = [self.name.bucket().as_bytes(), self.name.object().as_bytes()];
        Bound::new(&self.context, ContextKind::Object, &fields)
    }

    /// The context of the body of a part.
    fn part(&self, upload: &str, number: PartNumber) -> CanonicalContext {
        let (bucket, object) = (self.name.bucket().as_bytes(), self.name.object().as_bytes());
        let number = number.get().to_be_bytes();
        self.context.canonical(ContextKind::Part, &[bucket, object, upload.as_bytes(), &number])
    }

    /// Lets `record` name the object.
    fn name_in<'r>(&'r self, record: &mut Recording<'r>) {
        record.resource = self.name.resource();
    }
}

/// A key on lease: wiped by a stop, whoever holds this.
pub(super) struct HeldKey {
    plane: Arc<Plane>,
    slot: SlotHandle,
}

impl HeldKey {
    fn new(plane: &Arc<Plane>, section: &Section<'_>, key: &StackKey) -> Result<Self, TryError> {
        Ok(Self { plane: Arc::clone(plane), slot: section.lease(key)? })
    }

    /// Makes `out` the key. Called in a section.
    fn read(&self, out: &mut StackKey) -> Result<(), TryError> {
        let out = out.resize(self.slot.len()).map_err(unreachable_failure)?;
        Ok(self.plane.slots.read(&self.slot, out).map_err(|_| Refused::Stale)?)
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.plane.slots.free(&self.slot);
    }
}

/// The keys of an object or an upload that is open, and the master key that they depend on.
pub(super) struct ObjectKeys {
    pub(super) master: KeyUnderWay,
    object_key: HeldKey,
    /// What the customer's key came to, under SSE-C, where it was given.
    customer: Option<HeldKey>,
}

impl ObjectKeys {
    fn new(
        plane: &Arc<Plane>,
        section: &Section<'_>,
        master: KeyUnderWay,
        object_key: &StackKey,
        customer: Option<&StackKey>,
    ) -> Result<Self, TryError> {
        let object_key = HeldKey::new(plane, section, object_key)?;
        let customer = customer.map(|prk| HeldKey::new(plane, section, prk)).transpose()?;
        Ok(Self { master, object_key, customer })
    }

    /// Runs `work` with the object's key in a section of the gate, if the master key's state allows
    /// it.
    fn in_section<T>(
        &self,
        class: Class,
        work: impl FnOnce(&Section<'_>, &StackKey) -> Result<T, TryError>,
    ) -> Result<T, TryError> {
        self.object_key.plane.section(class, |section| {
            self.master.check(section, class)?;
            let mut object_key = StackKey::blank();
            self.object_key.read(&mut object_key)?;
            work(section, &object_key)
        })
    }

    /// Makes `out` the input key of the body that is bound to `context`. Called in a section.
    fn input_key(&self, context: &CanonicalContext, out: &mut StackKey) -> Result<(), TryError> {
        match &self.customer {
            None => self.object_key.read(out),
            Some(held) => {
                let mut prk = StackKey::blank();
                held.read(&mut prk)?;
                customer_input_key(&prk, context, out)
            }
        }
    }
}

/// How an object is protected, and under which keys.
pub(crate) struct Protected {
    pub(super) mode: Mode,
    pub(super) suite: Suite,
    pub(super) wrapped: WrappedKey,
    pub(super) customer: Option<CustomerSeal>,
}

impl Protected {
    /// As records have it.
    fn head(&self) -> Head<'_> {
        let Self { mode, suite, wrapped, customer } = self;
        Head { mode: *mode, suite: *suite, envelope: wrapped.as_bytes(), customer: *customer }
    }
}

/// The keys of a new object while the section that makes them lasts.
struct NewKeys {
    object_key: StackKey,
    /// Empty unless the mode is SSE-C.
    prk: StackKey,
}

impl NewKeys {
    fn blank() -> Self {
        Self { object_key: StackKey::blank(), prk: StackKey::blank() }
    }

    fn prk(&self) -> Option<&StackKey> {
        if self.prk.expose().is_empty() { None } else { Some(&self.prk) }
    }

    /// Makes `out` the input key of the body that is bound to `context`.
    fn input_key(&self, context: &CanonicalContext, out: &mut StackKey) -> Result<(), TryError> {
        match self.prk() {
            Some(prk) => customer_input_key(prk, context, out),
            None => copy_key(&self.object_key, out),
        }
    }
}

impl Section<'_> {
    /// Makes `keys` those of a new object, whose key `key` wraps, bound to `bound`.
    fn new_object(
        &self,
        call: &Call<'_>,
        key: &KeyId,
        bound: &Bound,
        protection: Protection<'_>,
        keys: &mut NewKeys,
    ) -> Result<(Protected, WrappedUnder), TryError> {
        let to = Binding {
            purpose: Purpose::ObjectKey,
            spec: DataKeySpec::AES_256,
            key_id: key,
            context: &bound.digest,
        };
        let (wrapped, under) = self.wrap_new(call, &to, &mut keys.object_key)?;
        let customer = match protection {
            Protection::SseS3 | Protection::SseKms { .. } => None,
            Protection::SseC { key } => {
                let salt = self.random()?;
                let seal = CustomerSeal::new(key, salt, &mut keys.prk);
                Some(seal.map_err(unreachable_failure)?)
            }
        };
        let cloned_host = self.generation.cloned_host;
        let suite = if cloned_host { Suite::Aes256GcmSiv } else { Suite::Aes256Gcm };
        Ok((Protected { mode: protection.mode(), suite, wrapped, customer }, under))
    }

    /// Makes `object_key` the one in the envelope of `head`, if it was bound to `bound`.
    fn open_head(
        &self,
        call: &Call<'_>,
        head: &Head<'_>,
        bound: &Bound,
        object_key: &mut StackKey,
    ) -> Result<KeyUnderWay, TryError> {
        let envelope = Envelope::parse(head.envelope)?;
        let under = self.unwrap(call, &envelope, Purpose::ObjectKey, &bound.digest, object_key)?;
        // Records hold keys of one length; an envelope of another was not made for one.
        if object_key.expose().len() != DataKeySpec::AES_256.bytes() {
            return Err(ObjectError::DoesNotOpen.into());
        }
        KeyUnderWay::of_envelope(self, &envelope, under)
    }

    /// The cipher of a new body under `input_key`, with a salt that is drawn here.
    fn new_body(
        &self,
        suite: Suite,
        input_key: &StackKey,
        context: &CanonicalContext,
    ) -> Result<(ChunkCipher, Header), TryError> {
        let salt = self.random()?;
        ChunkCipher::for_sealing(suite, input_key.expose(), salt, context.as_bytes())
            .map_err(unreachable_failure)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], TryError> {
        self.plane.random.array(self.stripe).map_err(|_| Error::Randomness.into())
    }
}

/// Makes `prk` what `key` comes to, if it is the customer's key that `seal` is of.
fn open_customer(
    seal: Option<&CustomerSeal>,
    key: Option<&CustomerKey>,
    prk: &mut StackKey,
) -> Result<(), ObjectError> {
    match (seal, key) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(CustomerKeyError::Unexpected.into()),
        (Some(_), None) => Err(CustomerKeyError::Missing.into()),
        (Some(seal), Some(key)) => Ok(seal.open(key, prk)?),
    }
}

fn customer_input_key(
    prk: &StackKey,
    context: &CanonicalContext,
    out: &mut StackKey,
) -> Result<(), TryError> {
    customer::input_key(prk.expose(), context.as_bytes(), out).map_err(unreachable_failure)
}

fn copy_key(from: &StackKey, out: &mut StackKey) -> Result<(), TryError> {
    let from = from.expose();
    out.resize(from.len()).map_err(unreachable_failure)?.copy_from_slice(from);
    Ok(())
}
