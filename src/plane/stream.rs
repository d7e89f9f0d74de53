//! Sealing and opening streams: an operation that passes the gate for each chunk.
//!
//! A sealed stream is `front || object`: the wrapped key of the object, or what tells the customer's
//! key that it is under; then C2SP chunked-encryption v1. The context is bound by the envelope and by
//! the object, under a customer's key by the input key and by the object.

use std::sync::Arc;

use rayon_core::ThreadPool;

use super::data_key::{Binding, Bound, name_key};
use super::operations::{AsOperations, Operations, Registered};
use super::under_way::{KeyUnderWay, UnderWay, begin_record};
use super::{Call, Plane, Section, TryError, unreachable_failure};
use crate::audit::{self, ErrorClass, Outcome};
use crate::context::{CanonicalContext, ContextKind, EncryptionContext};
use crate::envelope::{DataKeySpec, Envelope, Purpose};
use crate::error::{CustomerKeyError, Error, ObjectError};
use crate::gate::Class;
use crate::key::KeyId;
use crate::limits::PARALLEL_BYTES_MIN;
use crate::object::customer::{self, CustomerSeal};
use crate::object::front::{Front, FrontKey};
use crate::object::run::{self, Run};
use crate::object::{ChunkCipher, CustomerKey, Direction, Header, Operation, Suite};
use crate::secret::{Secret, StackKey};

/// A stream that is being sealed or opened.
pub(crate) struct StreamOperation {
    under_way: UnderWay,
    /// What opening needs, beside the data key in its ticket, until the object's header has come.
    pending: Option<Pending>,
    /// Threads that may help with long runs.
    help: Option<Arc<ThreadPool>>,
}

struct Pending {
    context: CanonicalContext,
    suite: Suite,
}

impl AsOperations for Plane {
    fn operations(&self) -> &Operations {
        &self.operations
    }
}

/// Under whose key something is sealed.
#[derive(Clone, Copy)]
pub(crate) enum SealUnder<'k> {
    /// A key of its own, which this master key wraps.
    Master(&'k KeyId),
    /// A key that only this customer's key gives.
    Customer(&'k CustomerKey),
}

impl<'k> SealUnder<'k> {
    /// The master key, where there is one.
    pub(crate) fn master(self) -> Option<&'k KeyId> {
        match self {
            Self::Master(key) => Some(key),
            Self::Customer(_) => None,
        }
    }
}

/// What stands before the chunks of something new.
pub(crate) struct Begun {
    pub(crate) front: Front,
    pub(crate) header: Header,
    /// The master key that it depends on.
    master: Option<KeyUnderWay>,
}

/// What opens something sealed, as its front says.
enum Opener<'f> {
    Envelope(Envelope<'f>),
    Customer(&'f CustomerSeal, Option<&'f CustomerKey>),
}

impl Plane {
    /// Begins to seal an object under a key of its own: the operation, and what stands before its
    /// chunks.
    pub(crate) fn begin_seal(
        self: &Arc<Self>,
        call: &Call<'_>,
        under: SealUnder<'_>,
        suite: Suite,
        context: &EncryptionContext,
    ) -> Result<(StreamOperation, Front, Header), TryError> {
        let bound = Bound::new(context, ContextKind::Object, &OBJECT_FIELDS);
        let ticket = self.register()?;
        let begun = self.section(Class::Write, |section| {
            let mut record = section.record(call, audit::Operation::Seal)?;
            record.key = under.master().map(|key| &**key);
            let begun = match under {
                SealUnder::Master(key) => section.seal_first(call, &ticket, key, suite, &bound),
                SealUnder::Customer(key) => section.seal_customer(&ticket, key, suite, &bound),
            };
            let master = begun.as_ref().ok().and_then(|begun| begun.master.as_ref());
            record.version = master.map(KeyUnderWay::version);
            begin_record(section, &record, begun)
        })?;
        let Begun { front, header, master } = begun;
        let under_way = UnderWay::new(self, call, ticket, Class::Write, master, None);
        Ok((StreamOperation { under_way, pending: None, help: None }, front, header))
    }

    /// Begins to open the object that begins with `front`. Its key is unwrapped now, or made of the
    /// customer's, and held by the operation's ticket: what does not open is known before a byte of
    /// the body is read, and what does goes on opening though another generation takes over before
    /// the header has come.
    pub(crate) fn begin_open(
        self: &Arc<Self>,
        call: &Call<'_>,
        front: &Front,
        customer_key: Option<&CustomerKey>,
        context: &EncryptionContext,
    ) -> Result<StreamOperation, TryError> {
        let opener = match &front.key {
            FrontKey::Customer(seal) => Opener::Customer(seal, customer_key),
            FrontKey::Wrapped(wrapped) => Opener::Envelope(Envelope::parse(wrapped.as_bytes())?),
        };
        let bound = Bound::new(context, ContextKind::Object, &OBJECT_FIELDS);
        let ticket = self.register()?;
        let master = self.section(Class::Read, |section| {
            let mut record = section.record(call, audit::Operation::Open)?;
            if let Opener::Envelope(envelope) = &opener {
                name_key(&mut record, envelope);
            }
            let mut input_key = StackKey::blank();
            let opened = match &opener {
                Opener::Envelope(_) if customer_key.is_some() => {
                    Err(ObjectError::from(CustomerKeyError::Unexpected).into())
                }
                Opener::Envelope(envelope) => section
                    .unwrap(call, envelope, Purpose::ObjectKey, &bound.digest, &mut input_key)
                    .and_then(|under| KeyUnderWay::of_envelope(section, envelope, under))
                    .map(Some),
                Opener::Customer(seal, key) => {
                    customer_input_key(seal, *key, &bound, &mut input_key).map(|()| None)
                }
            };
            let opened = opened.and_then(|master| {
                let held = Secret::copy_of(input_key.expose()).ok_or(ObjectError::DoesNotOpen)?;
                ticket.hold(held)?;
                Ok(master)
            });
            begin_record(section, &record, opened)
        })?;
        let under_way = UnderWay::new(self, call, ticket, Class::Read, master, None);
        let pending = Some(Pending { context: bound.canonical, suite: front.suite });
        Ok(StreamOperation { under_way, pending, help: None })
    }
}

impl Section<'_> {
    fn seal_first(
        &self,
        call: &Call<'_>,
        ticket: &Registered,
        key: &KeyId,
        suite: Suite,
        bound: &Bound,
    ) -> Result<Begun, TryError> {
        let mut data_key = StackKey::blank();
        let to = Binding {
            purpose: Purpose::ObjectKey,
            spec: DataKeySpec::AES_256,
            key_id: key,
            context: &bound.digest,
        };
        let (wrapped, under) = self.wrap_new(call, &to, &mut data_key)?;
        let (cipher, header) = self.new_body(suite, &data_key, &bound.canonical)?;
        ticket.begin(cipher)?;
        let master = Some(KeyUnderWay::new(self, key, under)?);
        Ok(Begun { front: Front { suite, key: FrontKey::Wrapped(wrapped) }, header, master })
    }

    /// The same under a customer's key: no master key has a part in it.
    fn seal_customer(
        &self,
        ticket: &Registered,
        key: &CustomerKey,
        suite: Suite,
        bound: &Bound,
    ) -> Result<Begun, TryError> {
        let (mut prk, mut input_key) = (StackKey::blank(), StackKey::blank());
        let seal = CustomerSeal::new(key, self.random()?, &mut prk).map_err(unreachable_failure)?;
        customer::input_key(prk.expose(), bound.canonical.as_bytes(), &mut input_key)
            .map_err(unreachable_failure)?;
        let (cipher, header) = self.new_body(suite, &input_key, &bound.canonical)?;
        ticket.begin(cipher)?;
        Ok(Begun { front: Front { suite, key: FrontKey::Customer(seal) }, header, master: None })
    }
}

/// Makes `out` the input key of what is bound to `bound` under the customer's key that `seal` is of.
fn customer_input_key(
    seal: &CustomerSeal,
    key: Option<&CustomerKey>,
    bound: &Bound,
    out: &mut StackKey,
) -> Result<(), TryError> {
    let key = key.ok_or(ObjectError::from(CustomerKeyError::Missing))?;
    let mut prk = StackKey::blank();
    seal.open(key, &mut prk).map_err(ObjectError::from)?;
    customer::input_key(prk.expose(), bound.canonical.as_bytes(), out).map_err(unreachable_failure)
}

impl Operation for StreamOperation {
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let Pending { context, suite } = pending;
        self.under_way.in_section(|_, ticket| {
            let context = context.as_bytes();
            let begun = ticket.derive(|key| ChunkCipher::for_opening(suite, key, header, context));
            Ok(begun?)
        })
    }

    fn section<T>(&mut self, work: impl FnOnce(&ChunkCipher) -> T) -> Result<T, Error> {
        self.under_way.with_cipher(work)
    }

    fn run<D: Direction>(&mut self, first: u64, input: &[u8], out: &mut [u8]) -> Run {
        let help = self.help.as_deref().filter(|_| out.len() >= PARALLEL_BYTES_MIN);
        match help {
            Some(pool) => run::turn_on::<D, _>(pool, &self.under_way, first, input, out),
            None => run::turn::<D, _>(&self.under_way, first, input, out),
        }
    }

    fn finished(&mut self, _plain_bytes: u64) {
        self.under_way.end(Outcome::Succeeded);
    }

    fn failed(&mut self, error: &Error) {
        self.under_way.end(Outcome::Failed(ErrorClass::from(error)));
    }
}

impl StreamOperation {
    /// Lets the threads of `pool` help with runs that are long enough. Only for forms that may
    /// block their caller's thread.
    pub(crate) fn helped_by(self, pool: Option<Arc<ThreadPool>>) -> Self {
        Self { help: pool, ..self }
    }
}

/// Bucket and name of an object that has neither: a file, a stream.
pub(crate) const OBJECT_FIELDS: [&[u8]; 2] = [b"", b""];
