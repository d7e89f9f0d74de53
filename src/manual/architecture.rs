//! How it is built: two planes that meet in one gate.
//!
//! Lines that begin with **Architecture Invariant** hold everywhere; a change that breaks one is a
//! change of the design.
//!
//! # Two planes
//!
//! ```text
//!    host's threads                                        engine's threads
//!
//!    Kms::generate, decrypt, seal, open                    lifecycle   starts and stops
//!         |                                                backend     keeps keys, changes them
//!         v                                                audit       collects records
//!    +---------+   permits                                 reaper      deletes, rotates when due
//!    |  gate   |<------------------------------ shut ---   watch       rebuilds who panicked
//!    +---------+                               (anyone)         ^
//!         v                                                     | messages
//!    snapshot of keys  <---------- publish ----------------     |
//!    random bytes, leases, audit buffers                        |
//!         |                                                     |
//!         +---- what changes something, or needs a hop ---------+
//! ```
//!
//! *Control plane: messages.* Whatever changes something is a message to the one actor that owns
//! it: start, stop, create, rotate, reserve uses, write records. Their order is that of its
//! mailbox, and no lock guards a decision.
//!
//! *Data plane: permits and snapshots.* What only uses keys runs on the caller's own thread: pass
//! the gate, read the published snapshot, do the cryptography, record it, leave. A message round
//! trip costs two wake-ups, some 40 microseconds; a passage of the gate costs two atomic additions.
//!
//! **Architecture Invariant**: use of a key never waits for an actor. The `try_` forms say
//! [`NeedsHop`](crate::NeedsHop) where they would have to; the asynchronous forms wait for exactly
//! that, holding no permit, and then begin anew.
//!
//! **Architecture Invariant**: `src/` is what is true without a scheduler and names no actix type;
//! `actors/` is what exists because of concurrency and holds no cryptography and no file format.
//! `actors/` looks at `src/`; only `src/lib.rs` and `src/engine/` look back. Both are one crate:
//! `actors/` is mounted in `lib.rs`.
//!
//! # The gate
//!
//! A *section* is synchronous work under a permit: one chunk of 16 KiB, one payload of 64 KiB, or a
//! run of up to eight chunks that looks before each whether the gate has been shut. Shutting refuses new sections at once, on any thread, without asking anybody. Quiescing
//! waits for those that began before, and only for those: it is how one knows that nobody uses an
//! old snapshot any more.
//!
//! **Architecture Invariant**: a section holds no await, no lock that blocks, no wait for another
//! thread and no call into host code. So a stop waits for microseconds of work, never for a reader.
//!
//! **Architecture Invariant**: plaintext is released inside a section, after its audit record was
//! accepted, and nowhere else. A lease is released by `copy_into`, a stream chunk by chunk.
//!
//! **Architecture Invariant**: anybody may shut the gate; only the lifecycle actor opens it, and
//! never over a shut that nobody has told it of. Its own shuts take no ticket, so that it learns of
//! no other by them.
//!
//! Longer work is an *operation*: a stream or a large buffer holds a ticket, not a permit. It passes
//! the gate for each chunk or run and looks there whether its key still allows it. A stop cuts it
//! within one chunk, without polling its future.
//!
//! Objects of 1 MiB and more are shared by the engine's own threads where the caller may block or
//! has lent its buffers ([`Kms::seal_bytes`](crate::Kms::seal_bytes)); each of them passes the gate
//! as any caller does. An executor's thread is never held for longer than 256 KiB take, some 25 us.
//!
//! # The life of an engine
//!
//! ```text
//! NotConfigured -> Stopped <-> Starting -> Running <-> Frozen
//! Running | Frozen -> Draining -> Stopped
//! any of these -> Failed -> Starting | Stopped
//! ```
//!
//! The last intent wins: a stop during a start ends the start at once. A start builds a candidate
//! and probes it before the gate opens. A reconfiguration builds one beside the generation that
//! runs, swaps, waits until nobody uses the old one and wipes it. A store is opened beside the
//! messages of the backend, on a thread of its own where that blocks: however long Argon2id, a
//! million records or a network take, a key can be disabled meanwhile.
//!
//! **Architecture Invariant**: a swap loses no change and gives back nothing that was taken away.
//! Changes are refused as retriable from the asking for another store to the swap; brakes are
//! carried out on both stores.
//!
//! **Architecture Invariant**: an engine that has lost an actor for good is
//! [`Failed`](crate::status::Phase::Failed), with its gate shut. There is no half-alive state.
//!
//! # The roster
//!
//! | actor | thread | owns | hears | tells |
//! |---|---|---|---|---|
//! | lifecycle | control | the state machine, generation numbers, the right to open the gate | configure, start, stop, freeze, thaw, reconfigure; built, failed, quiet, closed | backend, everyone by the gate |
//! | backend | backend | the open store of one generation, the key table that callers read, the queue of changes, the opening of the next store | changes of keys, listings, use counts, load, close | lifecycle, reaper, audit |
//! | audit | audit | the rounds that collect the callers' buffers | ring, durable records, brake records | the writer thread |
//! | meter | control | when metrics are told | timers | nobody: rounds run on a thread for work that blocks |
//! | reaper | control | what is due: deletions, rotations by age and use; whether the clock is believed | timers, starts | backend |
//! | watch | control | who is kept alive, and how often each died | obituaries | lifecycle: lost for good |
//!
//! The writer is a plain thread of its own, because a host's sink may block.
//!
//! **Architecture Invariant**: one file sends messages, `actors/port.rs`. A message has a place
//! before it is queued, a deadline, and one of three ends: answered,
//! [`Refused`](crate::error::Refused) (it never began),
//! [`OutcomeUnknown`](crate::error::OutcomeUnknown) (it did). actix's own bound counts one message
//! more for each clone of an address, and so is none.
//!
//! **Architecture Invariant**: no message and no reply carries bytes of a key or of plaintext. They
//! carry leases.
//!
//! **Architecture Invariant**: a change of a key is answered when it is durable, published, and
//! nobody uses the state before it, in this order.
//!
//! An actor that panics is rebuilt from durable state, after a pause that doubles; the fourth death
//! in a minute fails the engine. Threads end in a stated order and are joined, backend before audit
//! before control, then the writer: whoever is told something outlives those who tell it.
//!
//! # Where things are
//!
//! | path | idea |
//! |---|---|
//! | `src/engine/` | the interface of a host: [`Engine`](crate::Engine), [`Kms`](crate::Kms), leases, streams |
//! | `src/plane/` | the data plane: what a section does |
//! | `src/gate/` | the gate, and the orders of its atomics |
//! | `src/key/` | identity, versions, states, transitions: pure rules |
//! | `src/backend/` | the trait, the local keystore, the static key |
//! | `src/crypto/` | one primitive a file, its formula and source first |
//! | `src/envelope/`, `src/object/`, `src/context.rs` | formats: [`mod@super::format`] |
//! | `src/secret/` | the one place where key bytes live |
//! | `src/audit/` | records, buffers, the writer |
//! | `src/metrics/`, `src/trace.rs` | what is told in numbers, and the spans: [`metrics`](super::metrics) |
//! | `src/limits.rs` | every bound with its reason |
//! | `actors/` | the roster above, and the frame it stands in |
//!
//! # Absent on purpose
//!
//! * *A call that returns a reference to a key.* A lease can be wiped while the host holds it; a
//!   reference could not.
//! * *Globals.* Two engines in one process share nothing: no registry, no current System, no clock.
//! * *The host's runtime.* The engine has threads of its own, and its futures need no runtime: they
//!   are polled by whatever the host has.
//! * *Retries of changes.* After an outcome that is unknown the engine does not guess.
//! * *Repair.* What is damaged is named and left as it is. Nothing is regenerated.
//! * *`unsafe`*, outside the one module that maps pages for keys and wipes what is freed.
//! * *Priorities inside a mailbox.* actix has none. The brakes have a lane of their own.
//! * *A feature that changes what a call does.* Features add interface and nothing else.
