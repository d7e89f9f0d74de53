//! The manual: for whoever embeds Portcullis, runs it, or has to judge it.
//!
//! | chapter | for whom | answers |
//! |---|---|---|
//! | [`architecture`] | whoever reads or changes the code | why two planes, what passes the gate, who owns what, what is absent on purpose |
//! | [`guarantees`] | whoever relies on it | the ten promises, the test that shows each, and what is not built yet |
//! | [`threat_model`] | whoever has to judge it | against whom it protects, against whom not |
//! | [`objects`] | whoever stores objects | what is put where, ranges, parts, customer keys, other keys and modes |
//! | [`mod@s3`] | whoever speaks S3 to its clients | SSE-S3, SSE-KMS and SSE-C: headers in, decision, headers out |
//! | [`metrics`] | whoever is on call | metrics, alerts, traces |
//! | [`operations`] | whoever runs it | root key, anchor, permissions, backup, clones and forks, incidents |
//! | `vault` (feature `vault`) | whoever keeps keys in Vault or OpenBao | which backend, what is stored, what Vault must allow, damage, several engines, outages |
//! | `vault_identity` | whoever runs it on Vault | logins, renewal, rotation, secrets that end, outages |
//! | [`guidelines`] | whoever audits it | the RustFS KMS security guidelines, row by row, with their state |
//! | [`mod@format`] | whoever must open the data without it | every stored byte |
//! | [`glossary`] | everybody | one word per concept |
//! | [`changelog`] | whoever updates | what changed, security first |
//!
//! The interface itself starts at the [crate's page](crate). Which limits there are, and why they
//! are what they are, stands in [`limits`](crate::limits).

pub mod architecture;
pub mod changelog;
pub mod format;
pub mod glossary;
pub mod guarantees;
pub mod guidelines;
pub mod metrics;
pub mod objects;
pub mod operations;
pub mod s3;
pub mod threat_model;
#[cfg(feature = "vault")]
pub mod vault;
#[cfg(feature = "vault")]
pub mod vault_identity;
