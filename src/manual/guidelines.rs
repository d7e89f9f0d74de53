//! The RustFS *KMS Security Guidelines*, row by row, with their state in this release.
//!
//! *Fulfilled* means that a test shows it; *in part* and *not yet* say what is missing. Rows about
//! the admin interface and the cache wait for those to be built.
//!
//! # Threats
//!
//! | id | threat | state |
//! |---|---|---|
//! | T1 | an attacker reaches the host or Vault over the network | nothing listens. The one connection is to Vault, where keys are kept there: TLS alone, redirects and answers bounded. No secret stands in an error or log: `guideline_c2_no_text_of_an_error_and_no_context_reaches_an_event` |
//! | T2 | leaked admin credentials change the KMS configuration | in part: every change is recorded with its principal before it is answered ([guarantee 4](super::guarantees)). Not yet: principals of the engine's own, the blast-radius query |
//! | T3 | a misconfigured SSE-C client exposes its key | fulfilled: E1 to E3 below |
//! | T4 | an insider reads master keys from disk | fulfilled: records are sealed under a root key that need not be on that disk, modes and owners are enforced, every byte is authenticated, rollback and omission are detected: `guideline_t4_a_bit_flipped_in_any_byte_is_found_in_its_file`, `guideline_t4_exchanged_and_older_records_are_not_the_latest`, `guideline_t4_an_older_copy_is_refused_with_an_anchor`, `nothing_of_a_key_stands_in_its_file_in_the_clear` |
//!
//! # Authentication and authorisation
//!
//! | id | requirement | state |
//! |---|---|---|
//! | A1 | the admin API takes SigV4 credentials holding `ServerInfoAdminAction`, and nothing else | not yet: no admin API |
//! | A2 | admin credentials are not shared with S3 clients | not yet |
//! | A3 | SigV4 still verifies behind a reverse proxy | not yet |
//!
//! # Network
//!
//! | id | requirement | state |
//! |---|---|---|
//! | N1 | TLS for host and Vault | fulfilled for Vault: plain HTTP and unverified certificates are refused outside the development profile (`VaultConfig`). The host's side follows with the admin API |
//! | N2 | mTLS or a private link to Vault | a client certificate can be shown, and is read again when its file changes |
//! | N3 | only this service reaches Vault's transit endpoints | `portcullis vault policy` names this prefix alone; the tests run under exactly that policy |
//!
//! # Secrets
//!
//! | id | requirement | state |
//! |---|---|---|
//! | S1 | tokens are never stored in configuration | in part: a [`RootKey`](crate::keystore::RootKey) names where the key is and no setting holds one as text. Vault tokens, secret ids and role ids are named by file or variable too |
//! | S2 | environment tokens have limited scope and are rotated often | in part: `portcullis vault policy` limits the scope, a token's file or variable is read again when it changes: `a_token_file_that_is_replaced_is_adopted_while_running`. Not yet: a check of either |
//! | S3 | the local key directory is `0o600`-tight | fulfilled: `guideline_s3_modes_that_let_others_in_are_refused_by_name`, `guideline_s3_files_of_another_owner_are_refused_by_name`, `guideline_s3_links_and_other_kinds_of_file_are_refused`, `guideline_s3_files_are_made_private_whatever_the_umask`, `guideline_s3_a_key_file_that_others_may_read_is_refused` |
//!
//! # Vault hardening
//!
//! | id | requirement | state |
//! |---|---|---|
//! | V1 | audit logging enabled in Vault | its operator's: the tests count requests in it. Not yet: a check of ours |
//! | V2 | a dedicated policy for just `transit` and `secret` | fulfilled: `portcullis vault policy`, `the_policy_names_what_is_configured_and_nothing_else` |
//! | V3 | automatic token renewal | fulfilled: see the chapter `vault_identity`. The time to lock-out is a metric and an alert: `guideline_v3_the_seconds_to_lock_out_are_told_and_counts_outlive_a_replaced_identity` |
//! | V4 | `/v1/sys/health` is watched | `portcullis status` asks each node: `the_status_shows_nodes_login_and_breaker`. Whether calls are made is a metric and an alert ([`metrics`](super::metrics)). Not yet: each node as one |
//!
//! # Caching and memory
//!
//! | id | requirement | state |
//! |---|---|---|
//! | C1 | the cache's size and lifetime are tunable | not yet: nothing is cached |
//! | C2 | plaintext keys are zeroised after use; no key or context in logs | types that wipe and have no `Debug`, and `guideline_c2_no_text_of_an_error_and_no_context_reaches_an_event`, `guideline_c2_no_key_and_no_context_stands_in_a_metric_or_a_span`. A search of a whole process's memory finds none after a stop: `a_stopped_engine_on_a_local_keystore_has_no_key_in_memory` |
//! | C3 | strict FIPS: no caching, Vault for each request | not yet |
//!
//! # SSE-C
//!
//! | id | requirement | state |
//! |---|---|---|
//! | E1 | 256-bit keys with a matching MD5 | fulfilled: `guideline_e1_every_wrong_combination_of_headers_has_the_code_and_status_of_s3_and_stores_nothing` (a client against a host), `a_customers_key_is_taken_whole_and_exact_or_refused_on_writes_reads_and_copies` |
//! | E2 | SSE-C keys are never stored | fulfilled: `guideline_e2_neither_disk_nor_log_holds_plaintext_or_a_customers_key_and_no_digest_is_stored`, `guideline_e2_no_customers_key_and_no_plaintext_is_in_memory_once_its_requests_are_answered` (in a host with [`WipingAlloc`](crate::memory::WipingAlloc): without it, headers stay in what an HTTP stack freed), `guideline_e2_a_wrong_or_missing_customers_key_opens_nothing_anywhere` |
//! | E3 | HTTPS for client connections | fulfilled: `guideline_e3_a_customers_key_over_plain_http_is_refused_and_other_modes_are_not`. Where a host lets it pass for development, each key that comes so is a warning: `guideline_e3_a_host_for_development_takes_a_customers_key_over_plain_http_and_says_so`. |
//!
//! # Audit and monitoring
//!
//! | id | requirement | state |
//! |---|---|---|
//! | M1 | structured logs under the target `rustfs::kms` with principal and outcome | fulfilled for what there is: `guideline_m1_events_under_rustfs_kms_have_the_documented_fields`. Routes follow with the admin API |
//! | M2 | metrics: cache hit ratio, backend latency, failure counts | in part: every backend's latency and failures, and all else in [`metrics`](super::metrics), scraped and read by Prometheus's own tool; the dashboard and the alerts ask for nothing that is not there, and each alert fires once: `guideline_m2_every_row_of_the_table_is_told_with_its_labels_and_nothing_else`, `guideline_m2_what_is_scraped_is_the_table_and_prometheus_reads_it`. Not yet: the cache's, for want of a cache |
//! | M3 | the end-to-end Vault suite verifies backup and restore | not yet |
//!
//! # Incident response
//!
//! | id | step | state |
//! |---|---|---|
//! | I1 | stop the service to freeze new operations | fulfilled in the engine: [`Kms::stop`](crate::Kms::stop), [`Kms::freeze`](crate::Kms::freeze) (guarantee 1). The route follows |
//! | I2 | rotate admin credentials and Vault tokens | in part: `a_hundred_rotations_under_load_fail_no_operation_and_keep_one_pool`, and the root key can be changed: [`change_root_key`](crate::keystore::change_root_key). Not yet: admin credentials |
//! | I3 | examine audit logs for the blast radius | not yet: records are written, the query is not |
//! | I4 | restore keys from backups | in part: a restored directory is refused until it is accepted on purpose, and its keys are open-only until they are rotated: `an_older_copy_that_is_accepted_is_open_only_until_it_is_rotated`. Not yet: bundles |
//! | I5 | reconfigure with trusted credentials and restart | in part: [`Kms::reconfigure`](crate::Kms::reconfigure), [`Kms::start`](crate::Kms::start) |
