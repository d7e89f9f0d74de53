//! Against whom Portcullis protects, and against whom it does not.
//!
//! Portcullis is a library in its host's process. It separates *data* from the *keys* that open it,
//! and keys from the *root key* that opens them, and it lets an operator take all of them away at
//! once. It cannot protect a process from itself.
//!
//! # Protects against
//!
//! | who | has | gets |
//! |---|---|---|
//! | a thief of data | sealed files, envelopes, all contexts | lengths, key ids and version numbers; no byte of plaintext without the keystore and its root key |
//! | a thief of the keystore | the directory, the sealed data | key ids, how many versions and changes there are; no material without the root key |
//! | a guesser of a passphrase | the same, and a passphrase to guess | one try per Argon2id of 64 MiB and 3 passes |
//! | a writer of data | may change, exchange, cut, reorder, replay parts of sealed files and envelopes | errors that say nothing of the plaintext, never altered plaintext |
//! | a writer of the keystore | may change, exchange, remove or put back single files, or the whole directory | a refusal that names the file, and nothing changed on disk. For the whole directory this needs an anchor |
//! | somebody who may call with the wrong context | a wrapped key, another tenant's context | `DoesNotOpen` |
//! | a host under load or attack | floods of calls | typed refusals at named limits; the brakes have a lane of their own |
//! | an operator's mistake | one who restores an old copy, empties a directory, starts two processes, sets a loose mode | a refusal with the file and what to do; never a new key in place of a lost one |
//!
//! # Does not protect against
//!
//! * **Code in the host's process, or its user.** It can read the process's memory, ask the engine,
//!   or read the root key file. The engine wipes what it holds, keeps no more than it needs and
//!   hands out copies by one verb, [`copy_into`](crate::DataKey::copy_into): that makes theft
//!   visible in code review, not impossible. Key memory is locked
//!   and left out of core dumps; `harden_process` keeps debuggers of the same user away, and the
//!   rest of the process out of core dumps.
//! * **Root and the hypervisor.**
//! * **Who holds the root key and the keystore**, now or from a backup: they open everything that
//!   was ever sealed under it. Changing the root key helps only against who has no earlier copy of
//!   the header.
//! * **Replay of a whole object.** A sealed file put back by an earlier one of the same context
//!   opens. A host that must notice puts a version id into the context.
//! * **Traffic analysis.** The length of a plaintext is its sealed length less a constant. Key ids,
//!   version numbers and data key lengths stand in envelopes in the clear.
//! * **Rollback without an anchor**, and with an anchor that the same attacker can write.
//! * **Denial of service by who can write the files**: damage is found, not healed. Keep backups.
//! * **Side channels of the machine** beyond what the primitives promise: comparisons of secrets
//!   are in constant time; AES needs its instructions, which `aws-lc-rs` uses where there are any.
//! * **Quantum adversaries**: there is no public-key cryptography in here; all keys are of 256 bits
//!   unless the host asks for a shorter data key.
//!
//! # What it rests on
//!
//! AES-256-GCM (NIST SP 800-38D), AES-256-GCM-SIV (RFC 8452), HMAC-SHA-256 (RFC 2104), HKDF-SHA-512
//! (RFC 5869), SHA-256 (FIPS 180-4), Argon2id (RFC 9106), and the random generator of `aws-lc-rs`
//! seeded by the system. A rename and a sync of the file system that mean what POSIX says. A host
//! that says truthfully for whom it calls: principals are recorded, not verified.
//!
//! | where a nonce comes from | and why that is enough |
//! |---|---|
//! | wraps, records: 96 random bits, AES-256-GCM-SIV | at most 2^32 wraps a version, counted durably; a nonce drawn twice shows only that two equal keys are equal |
//! | chunks: base nonce XOR chunk number | base nonce and key are derived from a random salt and a data key that seals one object |
