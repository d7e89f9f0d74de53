//! Every public message: what it asks, and the ways to ask it.
//!
//! A host that likes messages builds one and passes it around: [`Kms::ask`] sends it, an [`Asker`]
//! is the handle for one kind of message, and a host whose parts are actors gets an
//! [`actix::Recipient`] from [`Kms::recipient_in`].
//!
//! Messages carry ids, contexts and leases, never bytes of a key or of plaintext. A configuration
//! may hold a root key that the host hands in, shared and wiped with its last holder.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;

use actix::{Actor, ArbiterHandle, Context, Handler, Message, Recipient, ResponseFuture};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::context::EncryptionContext;
use crate::engine::{DataKey, GeneratedDataKey, Kms, Rewrapped};
use crate::envelope::{DataKeySpec, WrappedKey};
use crate::error::{Error, LifecycleError};
use crate::key::{KeyDescription, KeyId, KeyPage, Mutation, VersionDescription};
use crate::plane::TryError;
use crate::status::{Activity, FreezeReport, FreezeScope, StartReport, Status, StopReport};

use super::backend::MutationReport;

/// What asking comes to: an answer that is there, or one that will be.
pub enum Answer<R> {
    /// It was answered on the caller's thread: a hit never hops.
    Now(Result<R, Error>),
    /// It is under way.
    Later(Pin<Box<dyn Future<Output = Result<R, Error>> + Send>>),
}

impl<R> Answer<R> {
    /// The answer, however long it takes.
    ///
    /// # Errors
    /// Those of the call that the message stands for.
    pub async fn get(self) -> Result<R, Error> {
        match self {
            Self::Now(result) => result,
            Self::Later(result) => result.await,
        }
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}

/// A message that an engine answers.
///
/// Implemented by the messages of [`messages`](crate::messages), and only by them.
pub trait Ask:
    Message<Result = Result<Self::Reply, Error>> + sealed::Sealed + Send + 'static
{
    /// What it is answered with.
    type Reply: Send + 'static;

    /// Asks it of `kms`.
    fn perform(self, kms: &Kms) -> Answer<Self::Reply>;
}

mod sealed {
    pub trait Sealed {}
}

impl Kms {
    /// Asks `message`.
    ///
    /// # Errors
    /// Those of the call that the message stands for.
    pub async fn ask<M: Ask>(&self, message: M) -> Result<M::Reply, Error> {
        message.perform(self).get().await
    }

    /// A handle for one kind of message.
    #[must_use]
    pub fn asker<M: Ask>(&self) -> Asker<M> {
        Asker { kms: self.clone(), message: PhantomData }
    }

    /// An address for one kind of message, for hosts that are actors.
    ///
    /// It starts a door actor on `arbiter`, which is the *host's*: a recipient can be flooded past
    /// any bound, so what queues there queues at the host, and the engine's own bounds hold behind
    /// it. The door lives as long as the recipient.
    ///
    /// # Errors
    /// [`LifecycleError::Threads`] if the arbiter has stopped.
    pub async fn recipient_in<M: Ask>(
        &self,
        arbiter: &ArbiterHandle,
    ) -> Result<Recipient<M>, Error> {
        let gone = LifecycleError::Threads("the host's arbiter has stopped");
        let (opened, address) = oneshot::channel();
        let kms = self.clone();
        let sent = arbiter.spawn_fn(move || {
            let door = Door { kms }.start();
            drop(opened.send(door.recipient::<M>()));
        });
        if !sent {
            return Err(gone.into());
        }
        address.await.map_err(|_gone| gone.into())
    }
}

/// A handle for one kind of message: `Clone` and `Send`, for any thread.
///
/// There is no way to send without hearing what became of it.
pub struct Asker<M> {
    kms: Kms,
    message: PhantomData<fn(M)>,
}

impl<M: Ask> Asker<M> {
    /// Asks `message`.
    ///
    /// # Errors
    /// Those of the call that the message stands for.
    pub async fn send(&self, message: M) -> Result<M::Reply, Error> {
        self.kms.ask(message).await
    }

    /// Asks `message` if that needs no waiting.
    ///
    /// # Errors
    /// The future of the answer, where it does.
    pub fn try_send(
        &self,
        message: M,
    ) -> Result<Result<M::Reply, Error>, impl Future<Output = Result<M::Reply, Error>> + use<M>>
    {
        match message.perform(&self.kms) {
            Answer::Now(result) => Ok(result),
            Answer::Later(later) => Err(later),
        }
    }
}

impl<M> Clone for Asker<M> {
    fn clone(&self) -> Self {
        Self { kms: self.kms.clone(), message: PhantomData }
    }
}

impl<M> fmt::Debug for Asker<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

/// The engine's door on a host's arbiter.
struct Door {
    kms: Kms,
}

impl Actor for Door {
    type Context = Context<Self>;
}

impl<M: Ask> Handler<M> for Door {
    type Result = ResponseFuture<Result<M::Reply, Error>>;

    fn handle(&mut self, message: M, _: &mut Context<Self>) -> Self::Result {
        let answer = message.perform(&self.kms);
        Box::pin(answer.get())
    }
}

/// Declares a public message: its reply, and the call that it stands for.
macro_rules! asks {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* } -> $reply:ty
        = |$message:ident, $kms:ident| $perform:expr;
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Message)]
        #[rtype(result = "Result<<Self as Ask>::Reply, Error>")]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl sealed::Sealed for $name {}

        impl Ask for $name {
            type Reply = $reply;

            fn perform(self, $kms: &Kms) -> Answer<Self::Reply> {
                let $message = self;
                $perform
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

/// Asks on a task of its own handle: the future owns what it needs.
macro_rules! later {
    ($kms:ident, |$owned:ident| $call:expr) => {{
        let $owned = $kms.clone();
        Answer::Later(Box::pin(async move { $call.await }))
    }};
}

/// Tries on this thread first; what needs a hop goes on as a future.
macro_rules! now_or_later {
    ($tried:expr, $later:expr) => {
        match $tried {
            Ok(reply) => Answer::Now(Ok(reply)),
            Err(TryError::Failed(error)) => Answer::Now(Err(error)),
            Err(TryError::NeedsHop(_)) => $later,
        }
    };
}

asks! {
    /// [`Kms::generate_data_key`].
    GenerateDataKey {
        /// The master key.
        key: KeyId,
        /// How long the data key is.
        spec: DataKeySpec,
        /// What it is bound to.
        context: EncryptionContext,
    } -> GeneratedDataKey = |m, kms| now_or_later!(
        kms.try_generate_data_key(&m.key, m.spec, &m.context),
        later!(kms, |kms| kms.generate_data_key(&m.key, m.spec, &m.context))
    );

    /// [`Kms::generate_data_key_without_plaintext`].
    GenerateDataKeyWithoutPlaintext {
        /// The master key.
        key: KeyId,
        /// How long the data key is.
        spec: DataKeySpec,
        /// What it is bound to.
        context: EncryptionContext,
    } -> WrappedKey = |m, kms| now_or_later!(
        kms.try_generate_data_key_without_plaintext(&m.key, m.spec, &m.context),
        later!(kms, |kms| kms.generate_data_key_without_plaintext(&m.key, m.spec, &m.context))
    );

    /// [`Kms::decrypt_data_key`].
    DecryptDataKey {
        /// The envelope.
        wrapped: WrappedKey,
        /// What it is bound to.
        context: EncryptionContext,
    } -> DataKey = |m, kms| now_or_later!(
        kms.try_decrypt_data_key(&m.wrapped, &m.context),
        later!(kms, |kms| kms.decrypt_data_key(&m.wrapped, &m.context))
    );

    /// [`Kms::rewrap`].
    Rewrap {
        /// The envelope.
        wrapped: WrappedKey,
        /// What it is bound to.
        context: EncryptionContext,
    } -> Rewrapped = |m, kms| now_or_later!(
        kms.try_rewrap(&m.wrapped, &m.context),
        later!(kms, |kms| kms.rewrap(&m.wrapped, &m.context))
    );

    /// [`Kms::create_key`].
    CreateKey {
        /// Its id.
        id: KeyId,
    } -> MutationReport = |m, kms| later!(kms, |kms| kms.create_key(&m.id));

    /// [`Kms::change_key`].
    ChangeKey {
        /// Which key.
        id: KeyId,
        /// What to do with it.
        mutation: Mutation,
    } -> MutationReport = |m, kms| later!(kms, |kms| kms.change_key(&m.id, m.mutation));

    /// [`Kms::describe_key`].
    DescribeKey {
        /// Which key.
        id: KeyId,
    } -> KeyDescription = |m, kms| later!(kms, |kms| kms.describe_key(&m.id));

    /// [`Kms::describe_key_versions`].
    DescribeKeyVersions {
        /// Which key.
        id: KeyId,
    } -> Vec<VersionDescription> = |m, kms| later!(kms, |kms| kms.describe_key_versions(&m.id));

    /// [`Kms::list_keys`].
    ListKeys {
        /// The last id of the page before.
        after: Option<KeyId>,
        /// How many keys at most.
        limit: usize,
    } -> KeyPage = |m, kms| later!(kms, |kms| kms.list_keys(m.after.as_ref(), m.limit));

    /// [`Kms::rotate_key`].
    RotateKey {
        /// Which key.
        id: KeyId,
    } -> MutationReport = |m, kms| later!(kms, |kms| kms.rotate_key(&m.id));

    /// [`Kms::configure`].
    ConfigureEngine {
        /// What the next start uses.
        config: Config,
    } -> () = |m, kms| later!(kms, |kms| kms.configure(m.config));

    /// [`Kms::reconfigure`].
    ReconfigureEngine {
        /// What to swap to.
        config: Config,
    } -> StartReport = |m, kms| later!(kms, |kms| kms.reconfigure(m.config));

    /// [`Kms::start`].
    StartEngine {} -> StartReport = |_m, kms| later!(kms, |kms| kms.start());

    /// [`Kms::stop_within`].
    StopEngine {
        /// How long what is under way may take.
        drain: core::time::Duration,
    } -> StopReport = |m, kms| Answer::Later(Box::pin(kms.stop_within(m.drain)));

    /// [`Kms::freeze`].
    FreezeEngine {
        /// What is refused.
        scope: FreezeScope,
    } -> FreezeReport = |m, kms| Answer::Later(Box::pin(kms.freeze(m.scope)));

    /// [`Kms::thaw`].
    ThawEngine {} -> () = |_m, kms| later!(kms, |kms| kms.thaw());

    /// [`Kms::status`].
    DescribeEngine {} -> Status = |_m, kms| Answer::Now(Ok(kms.status()));

    /// [`Kms::activity`].
    DescribeActivity {} -> Activity = |_m, kms| Answer::Now(Ok(kms.activity()));
}

#[cfg(feature = "vault")]
asks! {
    /// [`Kms::rotate_credentials`].
    RotateCredentials {
        /// Whether the token before is revoked.
        revoke_old: bool,
    } -> crate::status::RotationReport = |m, kms| {
        let revoke_old = m.revoke_old;
        later!(kms, |kms| kms.rotate_credentials(revoke_old))
    };
}
