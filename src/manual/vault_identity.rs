//! Who the engine is to Vault, how it stays so, and what it does when Vault does not answer.
//!
//! # Ways to log in
//!
//! | method | what is delivered to the machine | how it goes on |
//! |---|---|---|
//! | `approle` | a role id and a secret id, each in a file or a variable | logs in again when the token cannot be renewed further |
//! | `approle`, wrapped | a role id and a *wrapping token* | the secret id is fetched once and kept in memory |
//! | `kubernetes` | nothing: the kubelet's projected token | read anew at each login |
//! | `token` | a token in a file (Vault's agent writes one) or a variable | renewed while Vault allows it; a changed file is adopted within two seconds |
//!
//! Files of secrets belong to the service's user or to root, are changed by nobody else, and are
//! read by nobody outside their group. A secret written into the configuration is refused.
//!
//! # What happens by itself
//!
//! * A token is renewed when about two thirds of its lease are over. When renewals give much less
//!   than the lease was at first, its longest life is near: the engine logs in anew while the old
//!   token still works. Operations notice neither.
//! * Vault answers 403 alike to a revoked token and to a forbidden path. The engine asks
//!   `auth/token/lookup-self` with the same token: an answer means that a policy forbids it, the
//!   operation fails with [`VaultError::Forbidden`](crate::error::VaultError), and that is remembered
//!   for five seconds for this request; no answer means one login, for which everybody waits, and
//!   each operation is repeated once. A policy without `lookup-self` makes this a guess: then
//!   `tells_rejections_apart` is false in the status, and each doubt costs a login.
//! * Logins that nobody ordered keep `login_interval` between them (one second); after failures the
//!   pauses double up to half a minute. A changed secret is tried at once.
//!
//! # Rotation
//!
//! [`Kms::rotate_credentials`](crate::Kms::rotate_credentials) logs in anew while everything goes
//! on: a new token is a header, not a connection. With `revoke_old` the old one is revoked as soon
//! as the last request that carries it has ended. `revoke_token_on_stop` does the same at a stop,
//! for two seconds at most. After an incident: deliver a new secret id, rotate with `revoke_old`,
//! destroy the old secret id in Vault.
//!
//! # Secret ids that end
//!
//! A secret id may have a number of uses and a time. The engine looks them up after each login if
//! `role_name` is configured and the policy allows `update` on
//! `auth/<mount>/role/<role>/secret-id/lookup`, and counts its own logins otherwise where a wrapped
//! answer told the number. It warns from ten uses or a day on, and refuses to spend the last use
//! while it runs ([`SecretIdKept`](crate::error::CredentialError)): that is for the next start of the
//! process. The token in force goes on working to its end; deliver a new secret id before.
//!
//! A wrapping token works once. If the engine finds it used, it cannot know by whom: unless its own
//! restart is the reason, somebody else has the secret id, so revoke it. What a wrapping token wraps
//! is looked at before it is opened, so that nobody can slip in a secret id of their own.
//!
//! # What to watch
//!
//! `status().vault.identity`: `health` (`healthy`, `warned`, `locked_out`), `lock_out_in`, the time
//! until operations fail unless a renewal or a login succeeds before; `fault` and `warning`, which
//! say why. Alert when `lock_out_in` is under a third of the role's `token_ttl`, and on `warned`.
//!
//! # When Vault does not answer
//!
//! One deadline (`call_deadline`, 25 seconds) covers a call with all its attempts, pauses and waiting
//! for a login. What may have taken effect is repeated only where that is safe: reads, wraps, and
//! changes by compare-and-set whose outcome is looked at; a change that cannot be looked at is
//! answered with `OutcomeUnknown`.
//!
//! | bound | field | when it is reached |
//! |---|---|---|
//! | requests under way | `max_in_flight` | calls wait, in order |
//! | calls that wait | `max_waiting` | `Busy` with the time in which a place should come free |
//! | failures in a row | `breaker_failures` | Vault is left alone; calls whose deadline allows it wait for the probe, the others are `Paused` with a hint |
//!
//! Status and stop wait for none of this: a stop ends every request under way and drops the token.
//!
//! **Architecture invariant.** A new token is not a message to the backend actor: it is put into
//! the slot that every request reads. A login waits in no queue behind calls, and calls wait in no
//! queue behind a login that succeeds.
