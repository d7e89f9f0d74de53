//! `data-key`: keys that others encrypt with.
//!
//! A plaintext key is printed only where `--plaintext` asks for it, and only to standard output. The
//! text is made in memory that is wiped, and written without a buffer of the library in between.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde::Serialize;
use zeroize::Zeroizing;

use super::args::{ContextArgs, Global};
use super::failure::{Failure, Family};
use super::session::Session;
use super::show::{Show, fields};
use crate::DataKey;
use crate::envelope::{DataKeySpec, WrappedKey};
use crate::error::EnvelopeError;
use crate::key::KeyVersion;
use crate::limits::{DATA_KEY_BYTES_MAX, ENVELOPE_BYTES_MAX};

/// What can be done with data keys.
#[derive(Debug, Subcommand)]
pub(super) enum DataKeyCommand {
    /// Make a data key and print it wrapped, in base64
    Generate {
        /// The master key [default: the configuration's, `default` unless it says otherwise]
        #[arg(long, short, value_name = "ID")]
        key: Option<String>,
        /// Its length, 16 to 64
        #[arg(long, default_value_t = 32)]
        bytes: usize,
        #[command(flatten)]
        context: ContextArgs,
        /// Print the key itself too, in base64
        #[arg(long)]
        plaintext: bool,
    },
    /// Unwrap a data key
    Decrypt {
        /// The wrapped key in base64; `-` reads it from standard input
        wrapped: String,
        #[command(flatten)]
        context: ContextArgs,
        /// Print the key in base64; otherwise it is only said that it opens
        #[arg(long)]
        plaintext: bool,
    },
    /// Wrap a data key under the current version of its master key; the context stays
    Rewrap {
        /// The wrapped key in base64; `-` reads it from standard input
        wrapped: String,
        #[command(flatten)]
        context: ContextArgs,
    },
}

#[derive(Serialize)]
struct Generated<'a> {
    key: &'a str,
    wrapped: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
}

#[derive(Serialize)]
struct Decrypted<'a> {
    key: &'a str,
    key_version: KeyVersion,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
}

#[derive(Serialize)]
struct Rewrapped<'a> {
    key: &'a str,
    key_version: KeyVersion,
    wrapped: &'a str,
    changed: bool,
}

pub(super) async fn run(
    global: &Global,
    command: DataKeyCommand,
    show: &Show,
) -> Result<(), Failure> {
    match command {
        DataKeyCommand::Generate { key, bytes, context, plaintext } => {
            let spec = DataKeySpec::of_bytes(bytes)
                .ok_or_else(|| Failure::usage("--bytes is not between 16 and 64"))?;
            generate(global, key.as_deref(), spec, &context, plaintext, show).await
        }
        DataKeyCommand::Decrypt { wrapped, context, plaintext } => {
            decrypt(global, &wrapped, &context, plaintext, show).await
        }
        DataKeyCommand::Rewrap { wrapped, context } => {
            rewrap(global, &wrapped, &context, show).await
        }
    }
}

async fn generate(
    global: &Global,
    key: Option<&str>,
    spec: DataKeySpec,
    context: &ContextArgs,
    plaintext: bool,
    show: &Show,
) -> Result<(), Failure> {
    let context = context.read()?;
    let session = Session::start(global, show).await?;
    let (kms, key) = (&session.kms, session.key(key)?);
    let (wrapped, plain) = if plaintext {
        let made = kms.generate_data_key(&key, spec, &context).await?;
        (made.wrapped, Some(encoded(&made.key)?))
    } else {
        (kms.generate_data_key_without_plaintext(&key, spec, &context).await?, None)
    };
    session.end().await?;
    let (wrapped, plain) = (STANDARD.encode(&wrapped), plain.as_deref());
    let plain = plain.map(String::as_str);
    let generated = Generated { key: key.as_str(), wrapped: &wrapped, plaintext: plain };
    answer(show, &generated, plain.is_some(), |out| match plain {
        None => writeln!(out, "{wrapped}"),
        Some(plain) => writeln!(out, "wrapped    {wrapped}\nplaintext  {plain}"),
    })
}

async fn decrypt(
    global: &Global,
    wrapped: &str,
    context: &ContextArgs,
    plaintext: bool,
    show: &Show,
) -> Result<(), Failure> {
    let context = context.read()?;
    let wrapped = read_wrapped(wrapped)?;
    let session = Session::start(global, show).await?;
    let key = session.kms.decrypt_data_key(&wrapped, &context).await?;
    let plain = if plaintext { Some(encoded(&key)?) } else { None };
    let bytes = key.len();
    drop(key);
    session.end().await?;
    let described = wrapped.describe()?;
    let plain = plain.as_deref().map(String::as_str);
    let decrypted = Decrypted {
        key: &described.key_id,
        key_version: described.key_version,
        bytes,
        plaintext: plain,
    };
    answer(show, &decrypted, plain.is_some(), |out| match plain {
        Some(plain) => writeln!(out, "{plain}"),
        None => fields(
            out,
            &[
                ("opens", "yes".to_owned()),
                ("key", described.key_id.clone()),
                ("version", described.key_version.to_string()),
                ("bytes", bytes.to_string()),
            ],
        ),
    })
}

async fn rewrap(
    global: &Global,
    wrapped: &str,
    context: &ContextArgs,
    show: &Show,
) -> Result<(), Failure> {
    let context = context.read()?;
    let wrapped = read_wrapped(wrapped)?;
    let session = Session::start(global, show).await?;
    let rewrapped = session.kms.rewrap(&wrapped, &context).await?;
    session.end().await?;
    let described = rewrapped.wrapped.describe()?;
    let wrapped = STANDARD.encode(&rewrapped.wrapped);
    let report = Rewrapped {
        key: &described.key_id,
        key_version: described.key_version,
        wrapped: &wrapped,
        changed: rewrapped.changed,
    };
    show.answer(&report, |out| writeln!(out, "{wrapped}"))?;
    if !rewrapped.changed && !show.is_json() {
        show.note("it is under the current version already");
    }
    Ok(())
}

/// The key in base64, in memory that is wiped.
fn encoded(key: &DataKey) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new([0; DATA_KEY_BYTES_MAX]);
    let bytes = bytes.get_mut(..key.len()).unwrap_or_default();
    key.copy_into(bytes)?;
    // Room for all of it, so that nothing is left where it grew out of.
    let mut text = Zeroizing::new(String::with_capacity(2 * DATA_KEY_BYTES_MAX));
    STANDARD.encode_string(bytes, &mut text);
    Ok(text)
}

/// [`Show::answer`], without a copy that is not wiped where the answer is secret.
fn answer(
    show: &Show,
    object: &impl Serialize,
    is_secret: bool,
    people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    if !is_secret {
        return show.answer(object, people);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX));
    if show.is_json() {
        serde_json::to_writer(&mut *text, object)
            .map_err(|error| Failure::new(Family::Internal, "json", error.to_string()))?;
        text.push(b'\n');
    } else {
        people(&mut *text).map_err(Failure::output)?;
    }
    // Not through `Stdout`, whose buffer is not wiped.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::output)?;
    std::fs::File::from(stdout).write_all(&text).map_err(Failure::output)
}

fn read_wrapped(given: &str) -> Result<WrappedKey, Failure> {
    let mut read = String::new();
    let given = if given == "-" {
        let limit = WRAPPED_TEXT_BYTES_MAX as u64 + 1;
        io::stdin()
            .lock()
            .take(limit)
            .read_to_string(&mut read)
            .map_err(|error| Failure::io("reading standard input", None, error))?;
        read.trim()
    } else {
        given
    };
    if given.len() > WRAPPED_TEXT_BYTES_MAX {
        return Err(EnvelopeError::Malformed("length").into());
    }
    let bytes = STANDARD.decode(given).map_err(|_| EnvelopeError::Malformed("base64"))?;
    Ok(WrappedKey::from_bytes(&bytes)?)
}

/// The longest envelope in base64, and some space around it.
const WRAPPED_TEXT_BYTES_MAX: usize = ENVELOPE_BYTES_MAX.div_ceil(3) * 4 + 64;
/// Names, an id, an envelope and a data key.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
