//! What exists because of concurrency: who owns which state, who may tell whom what, and in which
//! order things stop. No cryptography and no file format lives here; this side of the crate looks
//! at `src/`, and only `lib.rs` and `engine.rs` look back.
//!
//! # The frame
//!
//! | file | owns | invariant in one line |
//! |---|---|---|
//! | [`port`] | the way to an actor: admission, deadline, reply | nothing is queued that was not admitted; every ask ends, and says whether it was begun |
//! | [`system`] | the engine's threads, their actix System, their end | every thread that was started is joined, in a stated order |
//! | [`timer`] | deadlines for futures that any executor polls | an ask ends by its deadline though its actor's thread is stuck |
//! | [`watch`] | deaths, rebuilds and when to give up | an actor that panicked is rebuilt from durable state or the engine fails closed |
//!
//! # The roster
//!
//! One row per actor, in the order in which they stop: an actor stops only after all above it.
//!
//! | actor | place | owns | hears | says |
//! |---|---|---|---|---|
//! | [`reaper`] | control | what is due by a clock | timers, a key that changed | backend |
//! | [`backend`] | backend | the open store, its key table, changes | keys' changes, use counts, load, close | reaper, audit |
//! | `credentials` | backend | the Vault identity: login, renewal, rotation | a store that opens or closes, rejected tokens, rotate, timers | whoever asked; calls, by the slot of the token |
//! | [`audit`] | audit | the rounds that collect records | rings | the writer's thread |
//! | [`meter`] | control | when metrics are told | timers | nobody |
//! | [`lifecycle`] | control | the state machine, the gate's lever | start, stop, freeze, built, quiet | backend; all, by the gate |
//! | [`watch::Watch`] (last) | control | what is kept alive, and how often it died | obituaries | its owner: given up |

pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod backend;
#[cfg(feature = "vault")]
pub(crate) mod credentials;
pub(crate) mod lifecycle;
pub(crate) mod meter;
pub(crate) mod port;
pub(crate) mod reaper;
pub(crate) mod system;
pub(crate) mod timer;
pub(crate) mod watch;
