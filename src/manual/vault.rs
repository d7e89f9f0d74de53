//! Keys in Vault or OpenBao: what is stored, what is promised, what Vault must allow, what to do.
//!
//! # Which of the two
//!
//! | | `vault-kv2` | `vault-transit` |
//! |---|---|---|
//! | where material is | in Vault's KV engine, and in the engine while it runs | in Vault alone |
//! | using a key | no request | one request; none for a rewrap of what is current |
//! | Vault is away | keys go on being used as far as granted use counts reach (65,536 wraps and more), none can be changed | nothing is wrapped or unwrapped |
//! | versions retired and destroyed | any below the current one | the oldest ones (`min_decryption_version`, `trim`) |
//! | who reads the KV mount | has the keys | has states and counts, no keys |
//!
//! Both keep states, tags and use counts in KV, version 2, as [`store documents`](#what-is-stored).
//!
//! # A start
//!
//! `portcullis vault policy` prints the least policy for a configuration; write it, give it to an
//! AppRole or a service account, and run `portcullis keystore init`. That makes the store, once: an
//! engine that finds none refuses to start, because keys that are missing are not an empty store.
//! `examples/vault/` does all of it on one machine in a minute.
//!
//! # The configuration
//!
//! `[backend.vault]`, beside the addresses: `kv_mount` (`secret`), `transit_mount` (`transit`),
//! `key_prefix` (`portcullis`), `namespace`, `ca_certificate` and `client_certificate` (read again
//! when the files change; connections that stand go on), `state_refresh` (10 s), `second_look` (5 s),
//! `connect_timeout` (3 s), `request_timeout` (10 s), `call_deadline` (25 s), `max_in_flight` (64), `max_waiting`
//! (1,024), `retry_pause_min`, `retry_pause_max`, `retry_attempts`, `breaker_failures`,
//! `breaker_pause_min`, `breaker_pause_max`, `login_interval`, `revoke_token_on_stop`.
//! `skip_tls_verify`, and plain HTTP with it, are refused outside the development profile.
//! `[backend.vault.auth]` has `method = "token"` (`token_file` or `token_env`), `"approle"`
//! (`role_id_file` or `_env`; `secret_id_file`, `secret_id_env`, `wrapped_secret_id_file` or
//! `wrapped_secret_id_env`; `role_name`, `mount`) or `"kubernetes"` (`role`, `token_file`, `mount`).
//! No `VAULT_*` variable and no proxy of the environment is read.
//!
//! # What is stored
//!
//! `<name>` is the key's [storage name](crate::key::KeyId::storage_name).
//!
//! ```text
//! <kv>/<prefix>/store            that a store was made here
//! <kv>/<prefix>/k/<name>/state   state, description, tags, policy, versions; and a MAC
//! <kv>/<prefix>/k/<name>/use/<n> how many uses of version n are reserved
//! <kv>/<prefix>/k/<name>/v/<n>   material of version n and its MAC, written once (kv2)
//! <transit>/keys/<prefix>-<name> the key (transit); `/` in the prefix becomes `-`
//!
//! kv2:     version mac = HMAC-SHA-256(HKDF-Expand-SHA-512(material, "portcullis/v1/vault/version"),
//!                                     key || 0x00 || version u32 || tag || created u64)
//!          state mac   = HMAC-SHA-256(HKDF-Expand-SHA-512(newest material,
//!                                     "portcullis/v1/vault/state"), record)
//! transit: state mac   = transit/hmac of base64(SHA-256(record))
//!          context     = base64(SHA-256(canonical context)), type aes256-gcm96, derived
//! ```
//!
//! A state names the KV version that it was written as, so that an older one written again is told;
//! it names of each version the tag and the MAC of its material, so that material which was
//! exchanged is told. Who can read the material can forge all of it. Only the latest KV version of a
//! document matters: Vault keeps ten by default and drops the oldest. A mount or a document that
//! Vault deletes by itself (`delete_version_after`) is refused.
//!
//! The tag of a Transit version is the second at which Vault says that it was made.
//!
//! # Damage
//!
//! A key whose state or material is missing, deleted, destroyed or changed is *damaged*: it is used
//! for nothing and never written to, `key describe` says what and where, the log says so once, and
//! every other key goes on. Damage to a state, and to a Transit key, is found by the next look
//! (`state_refresh`); damage to material in KV by the next start, because an engine that runs has the
//! material and does not read it again. Either is looked at twice, `second_look` apart, because a
//! leader of Vault that was deposed a moment ago answers from what it had. It stays so until the
//! engine has been started again. A whole store that is missing, a mount of another kind, and a
//! policy that does not let the engine look are errors of the start. A Transit key without a state is
//! no key: making it takes it over, if it is derived, `aes256-gcm96` and not exportable.
//!
//! Vault 1.13.1 was seen, after its leader was lost, to say of a state that it had confirmed that it
//! is not there, longer than `second_look`; with `disable_cache = true` in its own configuration it
//! was not. The key is then refused as damaged, nothing is made anew, and a new start finds it once
//! Vault does.
//!
//! # Several engines on one store
//!
//! Every change begins with what Vault holds and ends with a compare-and-set. Of two engines that
//! make the same key one does ([`AlreadyExists`](crate::error::KeyError::AlreadyExists)); of two
//! that rotate it at once one is told [`Conflict`](crate::error::VaultError::Conflict); other changes
//! follow each other, and what two engines do at once comes out as if one had done it after the
//! other. Transit has no compare-and-set for versions: a rotation there that loses, to another one or
//! to a change that forbids it, may have made a version all the same, which counts as one that Vault
//! made by itself. Use counts are granted in blocks that no two engines share; under Transit a use
//! whose wrap failed stays counted, because Vault may have made it.
//!
//! What one engine makes, the others look for as soon as they meet it: an envelope of a key or
//! version that is unknown costs one look, at most 256 between two rounds. What one takes away, the
//! others follow within `state_refresh` (`key describe` says how long that is), and longer while
//! Vault does not answer: an outage of Vault is not one of its users. A change that was made in Vault itself, such as a rotation by
//! `auto_rotate_period` or a raised `min_decryption_version`, is seen with the next change of the
//! key's state, with the first use that meets it, and at every start; retire versions with
//! `portcullis key retire`, because a state whose MAC Vault no longer verifies is damage.
//!
//! # Deletion
//!
//! `destroy` in KV knows no compare-and-set. So a key first becomes `destroying`, durably: from then
//! on no engine uses it, and cancelling is over. Only then is the material destroyed; if that is cut
//! off or forbidden, the next start finishes it. Vault's own backups and snapshots keep what they
//! have.
//!
//! # Standbys that answer reads
//!
//! A standby of Vault hands what it is asked on to the node that leads. Those of OpenBao (2.5 and
//! later) and the performance standbys of Vault Enterprise answer reads from what they have, which
//! may be older than what was just written: a key that was made a moment ago would be missing there.
//! Set `disable_standby_reads = true` (OpenBao) or `disable_performance_standby = true` (Vault) in the
//! servers' configuration, or name the address of a load balancer that leads to the active node.
//!
//! # While Vault does not answer
//!
//! A stop, a freeze and the status do not wait for it: a stop cuts off what hangs, and its asker is
//! told [`OutcomeUnknown`](crate::error::OutcomeUnknown). Requests go to the node that answered last,
//! and on to the others where it did not take part; what may have been done is sent again only where
//! that changes nothing. A standby's redirect is followed to configured addresses alone.
