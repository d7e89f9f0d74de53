//! Metrics, alerts and traces: what a person on call looks at.
//!
//! # Who is told
//!
//! An engine tells its metrics through the [`metrics`](https://docs.rs/metrics) facade: to the
//! recorder that its [`MetricsOptions`](crate::metrics::MetricsOptions) name, or else to the global
//! one of the process, which the host installs before it starts the engine. Without a recorder
//! nothing is told and nothing is lost but the telling. It tells every five seconds, and whenever
//! the host asks it to ([`publish_metrics`](crate::Kms::publish_metrics)).
//!
//! Each series has a label `engine`, `main` unless the options say otherwise. Two engines that tell
//! one recorder need two names; two engines with recorders of their own need none, and never meet.
//!
//! With the feature `prometheus`, `portcullis::metrics::prometheus::Exporter` is such a
//! recorder, and gives what a scrape of Prometheus reads. It is text and no server: the host
//! serves it where it serves its own.
//!
//! # The table
//!
//! | metric | kind | unit | labels | says |
//! |---|---|---|---|---|
//! | `portcullis_build_info` | gauge |  | `engine`, `version` | Always 1; the label is the version of the crate. |
//! | `portcullis_phase` | gauge |  | `engine`, `phase` | 1 for the phase that the engine is in, 0 for the others. |
//! | `portcullis_generation` | gauge |  | `engine` | The generation that runs, or ran last; 0 before the first. |
//! | `portcullis_gate_open` | gauge |  | `engine`, `class` | 1 while the gate lets in what reads, or writes. |
//! | `portcullis_gate_sections` | gauge |  | `engine` | Sections inside the gate now. |
//! | `portcullis_gate_entries_total` | counter |  | `engine` | Entries into the gate ever, refused ones included. |
//! | `portcullis_refused_total` | counter |  | `engine`, `reason` | Work that was turned away before it began: by the gate, by a limit, or because the audit sink is down. |
//! | `portcullis_operations_total` | counter |  | `engine`, `operation`, `outcome`, `error` | Operations that came to an end, by what was asked for and what came of it. |
//! | `portcullis_operations_under_way` | gauge |  | `engine` | Streams and other long operations under way now. |
//! | `portcullis_leases` | gauge |  | `engine` | Data keys that hosts hold now. |
//! | `portcullis_keys` | gauge |  | `engine`, `state` | Master keys in each state, tombstones included. |
//! | `portcullis_key_uses` | gauge |  | `engine`, `key` | Uses drawn of the current version of a master key; without a key, the highest of all others. |
//! | `portcullis_key_version` | gauge |  | `engine`, `key` | The current version of a master key that has a series of its own. |
//! | `portcullis_backend_call_seconds` | histogram | seconds | `engine`, `backend`, `call`, `outcome` | How long calls to the backend took. |
//! | `portcullis_backend_faults_total` | counter |  | `engine`, `backend`, `call` | Calls that the backend itself failed; a rule that a call met is none. |
//! | `portcullis_queue_wait_seconds` | histogram | seconds | `engine`, `lane` | How long messages to an actor waited for their turn. |
//! | `portcullis_handling_seconds` | histogram | seconds | `engine`, `lane` | How long an actor took to answer a message, what it waited for included. |
//! | `portcullis_queue_depth` | gauge |  | `engine`, `lane` | Messages to an actor that are queued or being handled now. |
//! | `portcullis_messages_total` | counter |  | `engine`, `lane`, `end` | Messages to an actor by what became of them: begun, taken back, or refused and why. |
//! | `portcullis_outcome_unknown_total` | counter |  | `engine`, `lane` | Askers who were told that the outcome is unknown. |
//! | `portcullis_actor_rebuilds_total` | counter |  | `engine`, `actor` | Rebuilds of an actor that was lost. |
//! | `portcullis_actor_panics_total` | counter |  | `engine`, `actor` | Panics of an actor. |
//! | `portcullis_audit_healthy` | gauge |  | `engine` | 1 while the audit sink takes records. |
//! | `portcullis_audit_records_total` | counter |  | `engine` | Records that the audit sink took. |
//! | `portcullis_audit_bytes_total` | counter | bytes | `engine` | Their bytes as they stood in the engine's buffers. |
//! | `portcullis_audit_transactions_total` | counter |  | `engine`, `outcome` | Transactions with the audit sink; one that failed is offered again. |
//! | `portcullis_audit_lost_total` | counter |  | `engine` | Records that will never be written. Anything but 0 is a bug or damaged memory. |
//! | `portcullis_audit_queued` | gauge |  | `engine` | Records that were accepted and that the sink has not taken yet. |
//! | `portcullis_audit_lag_seconds` | gauge | seconds | `engine` | Age of the oldest record of the last transaction when the sink had taken it; while the sink is down, since when. |
//! | `portcullis_vault_lock_out_seconds` | gauge | seconds | `engine` | How long the token in force lasts: then operations fail, unless it was renewed before. NaN if it does not end. |
//! | `portcullis_vault_identity` | gauge |  | `engine`, `health` | 1 for how the engine's identity towards Vault stands, 0 for the others. |
//! | `portcullis_vault_logins_total` | counter |  | `engine`, `outcome` | Logins to Vault. |
//! | `portcullis_vault_renewals_total` | counter |  | `engine`, `outcome` | Renewals of the token. |
//! | `portcullis_vault_rejected_total` | counter |  | `engine`, `by` | Requests that Vault answered with 403, because of a policy or of the token. |
//! | `portcullis_vault_breaker` | gauge |  | `engine`, `state` | 1 for whether calls to Vault are made, 0 for the other states. |
//! | `portcullis_vault_in_flight` | gauge |  | `engine` | Requests that Vault has not answered yet. |
//! | `portcullis_vault_waiting` | gauge |  | `engine` | Calls to Vault that wait: for their turn, for a pause, for a login. |
//! | `portcullis_clock_jump` | gauge |  | `engine` | 1 while deletions are held because the wall clock jumped. |
//! | `portcullis_key_memory_bytes` | gauge | bytes |  | Pages that the process has mapped for keys, in use or free. |
//! | `portcullis_key_memory_unlocked_bytes` | gauge | bytes |  | Those of them that the system did not let the process lock: they may be written to swap. |
//!
//! ## Values of labels
//!
//! | label | values |
//! |---|---|
//! | `class` | `reads` (unwraps, opens, copies of leases), `writes` (wraps, seals, changes of keys) |
//! | `phase` | `draining`, `failed`, `frozen`, `not-configured`, `running`, `starting`, `stopped` |
//! | `reason`, `error` | names of [`ErrorClass`](crate::audit::ErrorClass), as in audit records; `error` is absent where nothing failed |
//! | `operation` | names of [`Operation`](crate::audit::Operation), as in audit records |
//! | `outcome` of operations | `success`; `denied` by the state of a key; `invalid`, a wrong request; `integrity`, something stored does not open; `refused` by the engine's state or a limit; `fault` of the engine or what it stands on |
//! | `outcome` of calls to a backend | `success`; `refused` by a rule; `fault` of the backend |
//! | `outcome` of audit transactions, logins, renewals | `success`, `failure` |
//! | `health` | `healthy`; `warned`, the next token failed or will; `locked-out`, there is none |
//! | `by` | `policy`, a policy forbids it; `token`, which was revoked or had ended |
//! | `state` of keys | `enabled`, `disabled`, `pending-deletion`, `destroyed` |
//! | `state` of the breaker | `closed`, calls are made; `open`, none is for a while; `half-open`, one is |
//! | `backend` | names of [`BackendKind`](crate::backend::BackendKind) |
//! | `call` | `open`, `change` of a key, `reserve-uses`; where the backend uses the keys itself also `wrap`, `unwrap`, `rewrap` |
//! | `actor`, `lane` | the roster of [`architecture`](super::architecture); an actor may have several lanes, each with a queue of its own |
//! | `end` | `begun`, `cancelled` by the asker, or refused: `closed`, `down`, `full`, `late` |
//! | `key` | the ids of the first [`METRIC_KEYS_MAX`](crate::limits::METRIC_KEYS_MAX) master keys that wrapped something since the engine was made; absent for the highest of all others |
//! | `version` | the release |
//!
//! So the number of series is bounded: everything but `key` and `engine` takes words of fixed
//! lists, and of operations only those appear that there were. No label holds a principal, an
//! encryption context, a bucket, an object, the text of an error, or anything secret.
//!
//! ## What the numbers are
//!
//! * *Operations* are counted when they end: a stream once, at its end, whatever its length. What
//!   the gate turns away is not one, but `portcullis_refused_total`; what an actor's queue turns
//!   away is `portcullis_messages_total`.
//! * *Durations* are counted by powers of four where they happen, and told with the middle of their
//!   bucket as value: quantiles are as good as [`BUCKETS`](crate::metrics::BUCKETS), sums good to a
//!   factor of 1.6. Of more than 10,000 in a round a part is told, in proportion.
//! * *Uses* of a key version are drawn in lots of 256 for each stripe of threads: the number is ahead
//!   by at most one lot a stripe, and includes what earlier runs reserved.
//! * *The cost* on a caller's thread is one addition for each operation. Rounds are made on a thread
//!   of their own, where a slow recorder holds up nothing but the next round.
//!
//! # Dashboard and alerts
//!
//! `examples/monitoring/` has a Grafana dashboard (`portcullis.dashboard.json`), alert rules for
//! Prometheus (`portcullis.rules.yml`), and a test that fires each of them once
//! (`promtool test rules portcullis.rules.test.yml`). What to do when one fires stands in its
//! description and in [`operations`](super::operations).
//!
//! # Traces
//!
//! The engine makes [`tracing`](https://docs.rs/tracing) spans under the target `portcullis`, so that
//! one request can be followed from thread to thread:
//!
//! | span | fields | is |
//! |---|---|---|
//! | `call` | `operation`, `request_id` | a call of a host that asks an actor: changes and listings of keys, the lifecycle |
//! | `wait` | `what`, `request_id` | what a hit had to wait for: `use-counts`, `audit-room`, `durable-record`, `backend` |
//! | `message` | `actor`, `message`, `waited_us` | a message in its actor's hands, after it waited in the queue |
//! | `backend` | `backend`, `call` | the store, or the server, at work |
//!
//! `call` and `wait` stand in the span that the host is in, and `message` in that of whoever asked:
//! the gate of a start, say, opens in `call > message (Start) > message (OpenCandidate) > backend`.
//! `request_id` is the one that [`Caller`](crate::audit::Caller) binds to a handle; it stands in the
//! audit records too. A hit has no span of the engine's: it is a microsecond in the host's own. What
//! the engine does by itself has none either. Without a subscriber that wants them, spans cost a load
//! and a branch each.
//!
//! ## OpenTelemetry
//!
//! The engine knows nothing of it, and need not: a host that adds its layer to its subscriber sees
//! the engine's spans among its own. `otel.name` names each after its operation or message.
//!
//! ```text
//! // opentelemetry, opentelemetry_sdk, opentelemetry-otlp, tracing-opentelemetry, of one release
//! let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
//! let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
//! tracing_subscriber::registry()
//!     .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("host")))
//!     .with(EnvFilter::new("info,portcullis=info"))
//!     .init();
//! ```
//!
//! It must be the process's global subscriber: the engine's threads see no other.
