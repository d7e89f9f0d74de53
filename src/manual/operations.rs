//! Running it: what production needs, what to back up, what to do when something is wrong.
//!
//! # Setting up
//!
//! A keystore is made once, by an installer or an operator, never by the service that uses it:
//!
//! ```no_run
//! # #[cfg(feature = "local")] {
//! use portcullis::clock::{Clock, SystemClock};
//! use portcullis::key::KeyId;
//! use portcullis::keystore::{
//!     Anchor, InitOptions, LocalConfig, RootKey, create_root_key_file, init,
//! };
//!
//! # fn made() -> Result<(), portcullis::Error> {
//! create_root_key_file("/etc/portcullis/root.key")?;
//! let config = LocalConfig::new(
//!     "/var/lib/portcullis/keys",
//!     RootKey::File("/etc/portcullis/root.key".into()),
//!     Anchor::File("/srv/other-disk/portcullis.mark".into()),
//! );
//! let mut options = InitOptions::new(SystemClock::default().wall());
//! options.default_key = Some(KeyId::new("default")?);
//! init(&config, options)?;
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! The service opens it with the same [`LocalConfig`](crate::keystore::LocalConfig) and never calls
//! [`init`](crate::keystore::init): a directory that has gone missing must stop it, not become a
//! new keystore.
//!
//! ## The configuration file
//!
//! The same as text, for hosts that read a file with
//! [`Config::from_file`](crate::config::Config::from_file). Every field has a default but the
//! backend's own. Unknown fields, wrong types and secrets written out are refused, all of them at
//! once, each with its line. Paths are relative to the file.
//!
//! ```
//! # #[cfg(feature = "local")] {
//! # use portcullis::config::Config;
//! let text = r#"
//! profile = "production"                # development | production
//! default_key = "default"
//!
//! [backend]
//! kind = "local"                        # local | static
//!
//! [backend.local]
//! directory = "keys"
//! root_key = { file = "root.key" }      # file | env | passphrase_env | credential
//! anchor = { file = "/srv/other-disk/portcullis.mark" }
//!
//! [audit]
//! release = "accepted"                  # durable | accepted | unaudited
//!
//! [host]
//! cloned_host = false
//! require_locked_memory = false         # refuse where RLIMIT_MEMLOCK does not let keys be locked
//! harden_process = false                # no core dumps, no debugger
//!
//! [objects]
//! threads = 4                           # for objects of 1 MiB and more; 0 for none
//! "#;
//! let config = Config::from_toml(text, "/etc/portcullis".as_ref())?;
//! # }
//! # Ok::<(), portcullis::error::ConfigErrors>(())
//! ```
//!
//! ## The root key
//!
//! Whoever has it and the directory has every key. Keep it where a copy of the directory's disk
//! does not have it too.
//!
//! | source | fits | mind |
//! |---|---|---|
//! | [`Credential`](crate::keystore::RootKey::Credential) | systemd services: `LoadCredentialEncrypted=` binds it to the machine's TPM | the unit reads it, nobody else |
//! | [`Given`](crate::keystore::RootKey::Given) | hosts that fetch it themselves, from an HSM or another KMS | the host wipes its own copies |
//! | [`File`](crate::keystore::RootKey::File) | a disk or a mount of its own | mode 0600 or 0400, the service's own user; not on the keystore's disk, nor in its backup |
//! | [`Env`](crate::keystore::RootKey::Env) | containers | the process's environment is readable in `/proc` to its user, and inherited by children |
//! | [`Passphrase`](crate::keystore::RootKey::Passphrase) | a person who is asked at start | Argon2id costs a guesser 64 MiB and 3 passes a try: use six random words or more |
//!
//! It is read when the keystore is opened and wiped when that is done. One that the host hands in,
//! a key or a passphrase, is kept while the engine runs, to open the keystore again after a failure,
//! and wiped by a stop: [`configure`](crate::Kms::configure) hands it in again before each start but
//! the first. To change it:
//! [`change_root_key`](crate::keystore::change_root_key), with the engine stopped. Keys and data
//! are not touched. *Earlier copies of the file `keystore` still open under the old root key*:
//! after a leak of both, make a new keystore, and generate and rewrap anew.
//!
//! ## The anchor
//!
//! Without one, an older copy of the whole directory opens like the newest: keys that were retired
//! or destroyed since are back, and versions made since are gone. The mark is 109 bytes that are
//! not secret. Keep it where whoever can write the keystore cannot: a file on another disk or mount
//! of other permissions ([`Anchor::File`](crate::keystore::Anchor::File)), or the host's own
//! database ([`AnchorStore`](crate::keystore::AnchorStore)). It is written before each change of a
//! key is answered, so a slow anchor makes slow changes; using keys does not touch it, but for a
//! block of use counts now and then. [`set_anchor`](crate::keystore::set_anchor) begins to keep one
//! for a keystore that has none.
//!
//! ## Permissions and file system
//!
//! The directory is 0700 and every file 0600, of the service's user, from the first byte and
//! whatever the umask. Anything looser, a link, or a file that is not the keystore's is refused by
//! name at every start. The file system is a local one: renames are atomic, `fsync` reaches the
//! disk, `flock` keeps a second process out. Network file systems that do not promise all three are
//! unfit.
//!
//! ## The process
//!
//! * `LimitMEMLOCK=` of a few MiB: key memory is locked, 32 KiB for 256 leases and 64 KiB at a time
//!   for the rest. [`memory::report`](crate::memory::report) says what the limit kept from being locked;
//!   `require_locked_memory` makes that an error. `harden_process` forbids core dumps and debuggers;
//!   [`WipingAlloc`](crate::WipingAlloc) as the global allocator wipes what libraries free.
//! * [`Profile::Production`](crate::config::Profile::Production) is the default, and refuses
//!   `release = "unaudited"`.
//! * Give the engine an [`AuditSink`](crate::audit::AuditSink) whose records outlive the machine,
//!   or collect `tracing` events of the target `rustfs::kms`. With
//!   [`Release::Durable`](crate::audit::Release::Durable) each call waits until its record is
//!   flushed; with [`Accepted`](crate::audit::Release::Accepted), the default, a crash of the
//!   process loses what its buffers held.
//!
//! # Backing up
//!
//! | what | how | where |
//! |---|---|---|
//! | the keystore directory | whole, with the engine stopped, or as an atomic snapshot of the file system (which is what a power cut leaves, and opens) | anywhere: it is sealed |
//! | the root key | on paper or in a safe, once | apart from the directory and all its copies |
//! | encryption contexts | with the host's own data: they are needed to open and are stored nowhere else | |
//! | customer keys of files (`--sse-c-key-file`) | with their owners: nothing here can replace one | |
//! | the mark | not at all: it says what is newest *now*. Restored along with an older directory, it would hide that it is older | |
//!
//! A copy of a running engine's directory, file by file, can catch a change half way; opening it
//! says so, and nothing is lost but that copy. *Test a restore.* `tests/format/opener.py` in the
//! source opens a sealed file from a backup without this program.
//!
//! # Restoring
//!
//! 1. Put the directory back, mode 0700 and 0600. Leave the mark as it is.
//! 2. Opening is refused as [`RolledBack`](crate::error::KeystoreProblem::RolledBack) if changes
//!    were made since the backup. Look whether the newest state can still be had.
//! 3. If not, [`accept_rollback`](crate::keystore::accept_rollback): a new history begins. Every
//!    key opens what it opened, and wraps nothing until it has been rotated, because nonces and
//!    uses since the backup are not known. What was wrapped under versions made since is lost, and
//!    is refused as [`UnknownKeyVersion`](crate::error::EnvelopeError::UnknownKeyVersion).
//! 4. Rotate the keys. Look for keys that had been disabled, retired or destroyed since the backup,
//!    and do it again.
//!
//! # Clones and forks
//!
//! A virtual machine that is snapshotted and resumed twice draws the same "random" bytes twice.
//! Where that can happen set [`cloned_host`](crate::config::HostConfig::cloned_host): random bytes
//! are drawn anew for each use with the system's mixed in, and objects and payloads are sealed with
//! AES-256-GCM-SIV, for which a repeated nonce only shows that two chunks are equal. It costs a
//! system call for each draw. Two machines must not both go on with one keystore: where both reach
//! the same anchor, the second is refused.
//!
//! A child that was forked from the engine's process is refused at every call
//! ([`Refused::Forked`](crate::error::Refused::Forked)): it has copies of the keys' memory and none
//! of the threads. Start the engine after forking, or `exec`.
//!
//! # Rotation, retirement, deletion
//!
//! | wish | do | undo |
//! |---|---|---|
//! | a new version for what is wrapped from now on | [`rotate_key`](crate::Kms::rotate_key); by itself at 2^31 uses, or by age if [`KeyPolicy`](crate::key::KeyPolicy) says so | none needed |
//! | move data to the new version | [`rewrap`](crate::Kms::rewrap) each envelope: the data itself is not touched | |
//! | see whether an old version is still needed | [`Retire`](crate::key::Mutation::Retire) it and wait for refusals | [`Reinstate`](crate::key::Mutation::Reinstate) |
//! | make what it wrapped unreadable | [`destroy_key_version`](crate::Kms::destroy_key_version) | none, but from a backup |
//! | delete a key | [`ScheduleDeletion`](crate::key::Mutation::ScheduleDeletion), 7 to 30 days | [`CancelDeletion`](crate::key::Mutation::CancelDeletion) in time |
//!
//! *Destroyed* means that the keystore has erased its own record. Backups, snapshots of the file
//! system and old blocks of the disk still hold it, sealed under the root key: they die with that.
//! Deletion is carried out only while the wall clock and the boot-time clock advance together;
//! after a jump the reaper holds, and [`Status::clock_jump`](crate::status::Status::clock_jump)
//! says so until somebody has looked at the clock and [starts](crate::Kms::start) the engine, which
//! may be running.
//!
//! # When something is wrong
//!
//! 1. *Stop the leak*: [`Kms::stop`](crate::Kms::stop), or [`freeze`](crate::Kms::freeze) if the
//!    engine is to keep its keys; for one key, [`Disable`](crate::key::Mutation::Disable). The
//!    first two shut the gate on the calling thread, before they return; none of the three is
//!    refused because the audit sink is down.
//! 2. *Look*: the dashboard ([`metrics`](super::metrics)); [`Kms::status`](crate::Kms::status) and [`activity`](crate::Kms::activity) answer in
//!    every state. The audit records name principal, key, version and outcome of every call.
//! 3. *Repair*: change the root key, rotate, rewrap, retire.
//! 4. *Start again*: [`Kms::start`](crate::Kms::start), or
//!    [`reconfigure`](crate::Kms::reconfigure) without stopping.
//!
//! An error names the file and what is wrong with it, and nothing was changed on disk:
//!
//! | [`KeystoreProblem`](crate::error::KeystoreProblem) | likely | do |
//! |---|---|---|
//! | `Locked` | another process has it open | stop that one |
//! | `Mode`, `Owner`, `NotAFile` | a restore or a hand | set them right: 0700, 0600, the service's user |
//! | `Foreign` | a file that is not the keystore's | move it away; look who put it there |
//! | `WrongRootKey` | another root key, or the old one after a change | find the right one |
//! | `Damaged`, `Truncated`, `NotTheLatest`, `Missing` | a disk fault, or tampering | restore from the backup; keep what you found |
//! | `RolledBack` | an older copy of the directory | see *Restoring* |
//! | `AnchorMismatch` | the mark of another keystore or another history | find the right pair |
//! | `AnchorUnavailable` | the anchor's disk is not mounted | mount it |
//! | `Poisoned` | a fault of the disk since it was opened | stop, look at the disk, start |
