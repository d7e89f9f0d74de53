//! A host whose parts are actors: one asks through an [`Asker`], one through a [`Recipient`] whose
//! door stands on the host's own arbiter.
//!
//! ```text
//! cargo run --example embed_actix
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::Path;

use actix::{
    Actor, Arbiter, Context, Handler, Message, Recipient, ResponseActFuture, ResponseFuture,
    WrapFuture,
};
use portcullis::clock::{Clock, SystemClock};
use portcullis::config::{Config, DEFAULT_KEY};
use portcullis::context::EncryptionContext;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::error::{Error, Refused};
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init};
use portcullis::messages::{DecryptDataKey, GenerateDataKey, StopEngine};
use portcullis::{Asker, Engine};

/// Stores objects: makes a data key for each, and keeps its envelope.
struct Writer {
    /// Bounded behind and before: what the engine does not admit is refused at once.
    generate: Asker<GenerateDataKey>,
    key: KeyId,
}

/// Reads objects back. It is written against addresses, as actors are.
struct Reader {
    decrypt: Recipient<DecryptDataKey>,
}

/// Stores an object of this name; its envelope, and what the host derives from the key.
#[derive(Message)]
#[rtype(result = "Result<(WrappedKey, u8), Error>")]
struct Store(String);

/// Reads an object of this name.
#[derive(Message)]
#[rtype(result = "Result<u8, Error>")]
struct Load(String, WrappedKey);

impl Actor for Writer {
    type Context = Context<Self>;
}

impl Actor for Reader {
    type Context = Context<Self>;
}

impl Handler<Store> for Writer {
    type Result = ResponseFuture<Result<(WrappedKey, u8), Error>>;

    fn handle(&mut self, Store(name): Store, _: &mut Self::Context) -> Self::Result {
        let (generate, key) = (self.generate.clone(), self.key.clone());
        Box::pin(async move {
            let context = EncryptionContext::new().with("object", &name)?;
            let spec = DataKeySpec::AES_256;
            let made = generate.send(GenerateDataKey { key, spec, context }).await?;
            let mut bytes = [0; 32];
            made.key.copy_into(&mut bytes)?;
            Ok((made.wrapped, checksum(&bytes)))
        })
    }
}

impl Handler<Load> for Reader {
    type Result = ResponseActFuture<Self, Result<u8, Error>>;

    #[expect(clippy::disallowed_methods, reason = "this is a host, and the mailbox is its own")]
    fn handle(&mut self, Load(name, wrapped): Load, _: &mut Self::Context) -> Self::Result {
        let decrypt = self.decrypt.clone();
        let asked = async move {
            let context = EncryptionContext::new().with("object", &name)?;
            let answered = decrypt.send(DecryptDataKey { wrapped, context }).await;
            // A mailbox error is the host's: its own arbiter is going down.
            let opened = answered.map_err(|_closed| Refused::Draining)??;
            let mut bytes = [0; 32];
            opened.copy_into(&mut bytes)?;
            Ok(checksum(&bytes))
        };
        Box::pin(asked.into_actor(self))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is a host, and the mailboxes are its own")]
#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    // The engine has a System and threads of its own: those of this host are not its.
    let engine = Engine::start(new_keystore(directory.path())?).await?;
    let kms = engine.kms();

    let arbiter = Arbiter::new();
    let decrypt = kms.recipient_in::<DecryptDataKey>(&arbiter.handle()).await?;
    let writer = Writer { generate: kms.asker(), key: kms.default_key()? }.start();
    let reader = Reader { decrypt }.start();

    for number in 0..1000 {
        let name = format!("object-{number}");
        let (wrapped, written) = writer.send(Store(name.clone())).await??;
        let read = reader.send(Load(name, wrapped)).await??;
        assert_eq!(written, read);
    }
    println!("1000 objects through two actors");

    let (wrapped, _) = writer.send(Store("mine".to_owned())).await??;
    let other = reader.send(Load("yours".to_owned(), wrapped.clone())).await?;
    assert!(matches!(other, Err(Error::Envelope(_))), "{other:?}");

    let report = kms.ask(StopEngine { drain: core::time::Duration::from_secs(1) }).await?;
    println!("stopped: {report:?}");
    let stopped = reader.send(Load("mine".to_owned(), wrapped)).await?;
    assert!(matches!(stopped, Err(Error::Refused(Refused::Stopped))), "{stopped:?}");

    drop((writer, reader));
    arbiter.stop();
    arbiter.join().map_err(|_panic| "the host's arbiter panicked")?;
    drop(engine);
    println!("done");
    Ok(())
}

fn new_keystore(directory: &Path) -> Result<Config, Error> {
    let (keys, root) = (directory.join("keys"), directory.join("root.key"));
    create_root_key_file(&root)?;
    let anchor = Anchor::File(directory.join("mark"));
    let local = LocalConfig::new(keys, RootKey::File(root), anchor);
    let mut options = InitOptions::new(SystemClock::default().wall());
    options.default_key = Some(KeyId::new(DEFAULT_KEY)?);
    init(&local, options)?;
    Ok(Config::new(local))
}

/// Stands for what a host does with a key. A key itself travels in no message.
fn checksum(key: &[u8]) -> u8 {
    key.iter().fold(0, |sum, byte| sum ^ byte)
}
