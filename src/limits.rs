//! Every bound of the engine, named, with its reason (guarantee 10).
//!
//! Reaching one is a typed error that names the limit, never a hang and never silent loss.

use core::time::Duration;

/// Longest key id in bytes. AWS KMS aliases stop at 256, and a 255-byte file name must hold the
/// encoded form of any id.
pub const KEY_ID_BYTES_MAX: usize = 128;

/// Most versions of one key. A key rotated daily reaches it after 27 years; a record of that many
/// versions stays under 1 MiB.
pub const KEY_VERSIONS_MAX: u32 = 10_000;

/// Longest description of a key in bytes, as in AWS KMS.
pub const DESCRIPTION_BYTES_MAX: usize = 8192;

/// Most tags on one key, as in AWS KMS.
pub const TAGS_MAX: usize = 50;

/// Longest tag name in bytes, as in AWS KMS.
pub const TAG_NAME_BYTES_MAX: usize = 128;

/// Longest tag value in bytes, as in AWS KMS.
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// Most pairs in an encryption context: sorting and hashing them is on the path of every call.
pub const CONTEXT_PAIRS_MAX: usize = 64;

/// Longest encryption context in bytes, names and values together, as in AWS KMS.
pub const CONTEXT_BYTES_MAX: usize = 8192;

/// Longest S3 header of an encryption context in bytes: what S3 takes of all headers of a request.
pub const CONTEXT_HEADER_BYTES_MAX: usize = 8192;

/// Shortest data key in bytes: 128 bits.
pub const DATA_KEY_BYTES_MIN: usize = 16;

/// Longest data key in bytes: 512 bits, two AES-256 keys for XTS.
pub const DATA_KEY_BYTES_MAX: usize = 64;

/// Longest small payload in bytes. One section of the gate works on all of it, so it bounds how long
/// `Stop` waits.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Longest backend token inside an envelope in bytes: Vault's ciphertext of 64 bytes is under 200.
pub const WRAPPED_BYTES_MAX: usize = 512;

/// Longest parent envelope in bytes, the envelope of a bucket key.
pub const PARENT_BYTES_MAX: usize = 512;

/// Longest envelope in bytes: header, a parent or an id, wrapped bytes, commitment.
pub const ENVELOPE_BYTES_MAX: usize = 1536;

/// Live leases per stripe. A host that keeps more than this many keys at hand wants the cache, not
/// leases.
pub const LEASES_PER_STRIPE_MAX: usize = 64 * 1024;

/// Streams and other long operations under way at once. Each holds a key and about 200 KiB.
pub const OPERATIONS_MAX: usize = 16 * 1024;

/// Keys in one page of a listing.
pub const PAGE_KEYS_MAX: usize = 1000;

/// Keys in one keystore. Opening reads every record; a million takes about a minute.
pub const KEYS_MAX: usize = 1_000_000;

/// Largest key record file in bytes, read whole at open.
pub const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Least deletion window, as in AWS KMS.
pub const DELETION_DAYS_MIN: u32 = 7;

/// Longest deletion window, as in AWS KMS.
pub const DELETION_DAYS_MAX: u32 = 30;

/// Wraps under one key version. AES-256-GCM-SIV with random nonces stays far below its bound at
/// this count (RFC 8452, section 6), and NIST SP 800-38D sets the same for GCM.
pub const USES_PER_VERSION_MAX: u64 = 1 << 32;

/// Uses after which a version is rotated by default: half of the hard limit.
pub const ROTATE_AT_USES_DEFAULT: u64 = 1 << 31;

/// First block of reserved uses: a crash over-counts by at most this much on a quiet key.
pub const USE_BLOCK_MIN: u64 = 1 << 16;

/// Largest block of reserved uses: at five million wraps a second the store syncs about once a
/// second.
pub const USE_BLOCK_MAX: u64 = 1 << 22;

/// Uses that a stripe draws from its version's block at once, so that threads do not share a
/// counter on each call.
pub const USE_LOT: u64 = 256;

/// Messages waiting in one actor's mailbox. At 0.4 us each the last one waits under a millisecond.
pub const MAILBOX_MAX: usize = 1024;

/// Callers that wait for use counts of one key at once. The store answers in a few milliseconds;
/// at five million wraps a second no more than this come meanwhile.
pub const SUPPLY_WAITERS_MAX: usize = 64 * 1024;

/// How long a message may wait for its answer unless its sender says otherwise.
pub const ASK_DEADLINE: Duration = Duration::from_secs(30);

/// How long a start or a reconfiguration may take to open its backend: a keystore of a million keys
/// takes a minute, Argon2id on a slow machine some seconds.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(300);

/// How often the reaper looks for deletions and rotations that are due. Windows are days.
pub const REAP_INTERVAL: Duration = Duration::from_secs(60);

/// How long `quiesce` and `close` wait for permits to come back. A section does at most eight chunks
/// of work, 15 us to 40 us; a second means that a thread is stopped in a debugger or the machine is gone.
pub const QUIESCE_DEADLINE: Duration = Duration::from_secs(1);

/// How long `Stop` lets operations under way finish unless told otherwise.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long `Stop` waits at least for its backend to close, however soon it cuts what is under way:
/// a change of a key may be on its way to the disk.
pub const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How long a call may wait for the audit sink before it is refused.
pub const AUDIT_DEADLINE: Duration = Duration::from_secs(2);

/// Bytes of audit records that one stripe buffers before callers are refused.
pub const AUDIT_STRIPE_BYTES_MAX: usize = 1 << 20;

/// Longest principal, request id or source in an audit record, in bytes; a longer one is refused
/// where it is bound, so that a record is never cut.
pub const CALLER_FIELD_BYTES_MAX: usize = 256;

/// Longest bucket or object name in an audit record, in bytes: S3 ends at 1024.
pub const RESOURCE_NAME_BYTES_MAX: usize = 1024;

/// First pause before records are offered again to an audit sink that failed; each further one is
/// twice as long.
pub const AUDIT_RETRY_MIN: Duration = Duration::from_millis(10);

/// Longest pause before records are offered again to an audit sink that failed.
pub const AUDIT_RETRY_MAX: Duration = Duration::from_secs(1);

/// Rebuilds of one actor within [`REBUILD_WINDOW`] before the engine fails closed.
pub const REBUILDS_MAX: u32 = 3;

/// The window in which [`REBUILDS_MAX`] counts.
pub const REBUILD_WINDOW: Duration = Duration::from_secs(60);

/// How long the first rebuild of an actor within [`REBUILD_WINDOW`] waits; each further one waits
/// twice as long. A panic that repeats at once must not spin.
pub const REBUILD_BACKOFF_MIN: Duration = Duration::from_millis(50);

/// Longest wait before a rebuild.
pub const REBUILD_BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Threads for blocking work (Argon2, the sync of a file) beside each of the engine's own threads.
/// tokio's default is 512.
pub const BLOCKING_THREADS_MAX: usize = 4;

/// Largest configuration file in bytes.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

/// Least output that several threads work on at once. Waking one takes some 40 us, in which the
/// caller turns a third of this.
pub const PARALLEL_BYTES_MIN: usize = 1 << 20;

/// Longest buffer that an asynchronous call works on at once, on its caller's thread: some 25 us.
pub const AT_ONCE_BYTES_MAX: usize = 256 * 1024;

/// Threads for large objects unless configured otherwise, where there are as many processors: more
/// wait for memory and not for each other.
pub const OBJECT_THREADS_DEFAULT_MAX: usize = 8;

/// Most threads for large objects.
pub const OBJECT_THREADS_MAX: usize = 256;

/// Plaintext bytes in a chunk of a sealed object (c2sp.org/chunked-encryption).
pub const CHUNK_BYTES: usize = 16 * 1024;

/// How often the engine looks for what other nodes have changed in Vault, unless told otherwise:
/// one request a key. A disabled key is noticed after this long at most.
pub const VAULT_STATE_REFRESH: Duration = Duration::from_secs(10);

/// After how long a key in Vault that looks damaged is looked at again, unless told otherwise: a
/// leader that was deposed answers from what it had until its lease ends, 2.5 seconds under Vault's
/// default `performance_multiplier`, and it has stepped down.
pub const VAULT_SECOND_LOOK: Duration = Duration::from_secs(5);

/// How long a connection to Vault may take unless told otherwise.
pub const VAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one request to Vault may take unless told otherwise.
pub const VAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests to Vault under way at once unless told otherwise. Each may hold a connection.
pub const VAULT_IN_FLIGHT: usize = 64;

/// Largest answer of Vault in bytes: a listing of [`KEYS_MAX`] names does not fit, one of 60,000
/// does; a key's state is under 1 MiB, Vault's own limit.
pub const VAULT_BODY_BYTES_MAX: usize = 16 << 20;

/// Longest token or other secret for a login in bytes. Vault's tokens are under 300; a Kubernetes
/// service account's is about a thousand.
pub const VAULT_SECRET_BYTES_MAX: usize = 16 << 10;

/// Looks for single keys that are unknown here between two looks for all: whoever sends envelopes
/// of made-up keys does not decide how often the store is asked.
pub const LOOKS_PER_ROUND: u32 = 256;

/// How often a change in Vault begins anew because somebody else changed the same key in between.
pub const VAULT_CONFLICTS_MAX: u32 = 8;

/// Reads of keys under way at once while a store in Vault is opened or looked at.
pub const VAULT_READS_AT_ONCE: usize = 16;

/// Calls to Vault that wait for their turn, for a pause or for a login at once unless told
/// otherwise; more are refused with a hint.
pub const VAULT_WAITING: usize = 1024;

/// How long one call to Vault may take unless told otherwise, all attempts, pauses and waiting for
/// a login together. An election among Vault's nodes takes about ten seconds.
pub const VAULT_CALL_DEADLINE: Duration = Duration::from_secs(25);

/// First pause before a call to Vault is repeated, and longest, before jitter.
pub const VAULT_RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause before a call to Vault is repeated. A Vault that is back is noticed by then.
pub const VAULT_RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Attempts of one call to Vault. The deadline ends most calls before.
pub const VAULT_ATTEMPTS_MAX: u32 = 32;

/// Failures in a row that open the breaker unless told otherwise.
pub const VAULT_BREAKER_FAILURES: u32 = 10;

/// First pause of the breaker: an election must not be slept through.
pub const VAULT_BREAKER_PAUSE_MIN: Duration = Duration::from_millis(250);

/// Longest pause of the breaker.
pub const VAULT_BREAKER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Least interval between two logins that nobody ordered, unless told otherwise.
pub const VAULT_LOGIN_INTERVAL: Duration = Duration::from_secs(1);

/// How long a start goes on trying to log in to a Vault that does not answer, or has no leader.
pub const VAULT_ENROLL_PATIENCE: Duration = Duration::from_secs(12);

/// First pause after a login or renewal that failed.
pub const VAULT_LOGIN_RETRY_MIN: Duration = Duration::from_millis(250);

/// Longest pause after logins or renewals that failed, unless told otherwise.
pub const VAULT_LOGIN_RETRY_MAX: Duration = Duration::from_secs(30);

/// How often the file or variable of a secret for Vault is looked at.
pub const VAULT_SOURCE_INTERVAL: Duration = Duration::from_secs(2);

/// How long it is remembered that a policy forbids a request: so often at most is a token looked up
/// because of it.
pub const VAULT_FORBIDDEN_MEMORY: Duration = Duration::from_secs(5);

/// Forbidden requests that are remembered. Others cost a lookup each, one at a time.
pub const VAULT_FORBIDDEN_MEMORY_MAX: usize = 1024;

/// How long a stop waits until a token is revoked, where that is asked for.
pub const VAULT_REVOKE_DEADLINE: Duration = Duration::from_secs(2);

/// Uses left in a secret id from which on operators are warned.
pub const SECRET_ID_USES_LOW: u64 = 10;

/// Seconds left in a secret id from which on operators are warned: a day.
pub const SECRET_ID_SECONDS_LOW: u64 = 24 * 60 * 60;

/// Highest number of a part of an upload, as in S3.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Longest id of an upload in bytes; those of S3 have up to 128.
pub const UPLOAD_ID_BYTES_MAX: usize = 128;

/// Longest ETag in bytes. S3's have 32 hexadecimal digits, a dash and a number, in quotes.
pub const ETAG_BYTES_MAX: usize = 128;

/// Most checksums of one object or part: one of each algorithm.
pub const CHECKSUMS_MAX: usize = 6;

/// Master keys that have metrics of their own: series of a recorder are never taken back, and each
/// costs its storage for as long as it keeps history.
pub const METRIC_KEYS_MAX: usize = 100;

/// Samples of one histogram that one round tells a recorder, which keeps each until it is scraped.
pub const METRIC_SAMPLES_MAX: u64 = 10_000;

/// How often metrics are told by themselves: three times in the usual interval of scraping.
pub const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// Records of parts that one section checks: about 50 us of work.
pub const PARTS_PER_SECTION: usize = 64;
