//! The one table: every metric with its name, kind, unit, labels and help.
//!
//! A row is a constant of the type of its kind, which knows how many labels it has beside `engine`:
//! a value too many or too few does not compile.

use super::{Kind, Metric, Unit};

/// A row whose values only grow.
pub(crate) struct Counter<const N: usize>(pub(super) Metric);

/// A row of values as they are now.
pub(crate) struct Gauge<const N: usize>(pub(super) Metric);

/// A row of durations.
pub(crate) struct Histogram<const N: usize>(pub(super) Metric);

/// Rows: kind, constant, name, unit, whose they are with the labels beside that, help.
macro_rules! table {
    ($($kind:ident $row:ident = $name:literal $unit:ident $of:ident [$($label:literal)*] $help:literal;)*) => {
        $(
            #[doc = $help]
            #[cfg_attr(not(feature = "vault"), allow(dead_code, reason = "rows of Vault's"))]
            pub(crate) const $row: $kind<{ <[&str]>::len(&[$($label),*]) }> = $kind(Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: table!(@labels $of $($label)*),
                help: $help,
            });
        )*

        /// Every metric that an engine tells, in the order of the manual's table.
        pub const TABLE: &[Metric] = &[$($row.0),*];
    };
    (@labels engine $($label:literal)*) => { &["engine", $($label),*] };
    // The process's and no engine's: two engines would count it twice.
    (@labels process) => { &[] };
}

table! {
    Gauge BUILD_INFO = "portcullis_build_info" Count engine ["version"]
        "Always 1; the label is the version of the crate.";
    Gauge PHASE = "portcullis_phase" Count engine ["phase"]
        "1 for the phase that the engine is in, 0 for the others.";
    Gauge GENERATION = "portcullis_generation" Count engine []
        "The generation that runs, or ran last; 0 before the first.";
    Gauge GATE_OPEN = "portcullis_gate_open" Count engine ["class"]
        "1 while the gate lets in what reads, or writes.";
    Gauge GATE_SECTIONS = "portcullis_gate_sections" Count engine []
        "Sections inside the gate now.";
    Counter GATE_ENTRIES = "portcullis_gate_entries_total" Count engine []
        "Entries into the gate ever, refused ones included.";
    Counter REFUSED = "portcullis_refused_total" Count engine ["reason"]
        "Work that was turned away before it began: by the gate, by a limit, or because the audit sink is down.";
    Counter OPERATIONS = "portcullis_operations_total" Count engine ["operation" "outcome" "error"]
        "Operations that came to an end, by what was asked for and what came of it.";
    Gauge OPERATIONS_UNDER_WAY = "portcullis_operations_under_way" Count engine []
        "Streams and other long operations under way now.";
    Gauge LEASES = "portcullis_leases" Count engine []
        "Data keys that hosts hold now.";
    Gauge KEYS = "portcullis_keys" Count engine ["state"]
        "Master keys in each state, tombstones included.";
    Gauge KEY_USES = "portcullis_key_uses" Count engine ["key"]
        "Uses drawn of the current version of a master key; without a key, the highest of all others.";
    Gauge KEY_VERSION = "portcullis_key_version" Count engine ["key"]
        "The current version of a master key that has a series of its own.";
    Histogram BACKEND_CALLS = "portcullis_backend_call_seconds" Seconds engine ["backend" "call" "outcome"]
        "How long calls to the backend took.";
    Counter BACKEND_FAULTS = "portcullis_backend_faults_total" Count engine ["backend" "call"]
        "Calls that the backend itself failed; a rule that a call met is none.";
    Histogram QUEUE_WAIT = "portcullis_queue_wait_seconds" Seconds engine ["lane"]
        "How long messages to an actor waited for their turn.";
    Histogram HANDLING = "portcullis_handling_seconds" Seconds engine ["lane"]
        "How long an actor took to answer a message, what it waited for included.";
    Gauge QUEUE_DEPTH = "portcullis_queue_depth" Count engine ["lane"]
        "Messages to an actor that are queued or being handled now.";
    Counter MESSAGES = "portcullis_messages_total" Count engine ["lane" "end"]
        "Messages to an actor by what became of them: begun, taken back, or refused and why.";
    Counter OUTCOME_UNKNOWN = "portcullis_outcome_unknown_total" Count engine ["lane"]
        "Askers who were told that the outcome is unknown.";
    Counter ACTOR_REBUILDS = "portcullis_actor_rebuilds_total" Count engine ["actor"]
        "Rebuilds of an actor that was lost.";
    Counter ACTOR_PANICS = "portcullis_actor_panics_total" Count engine ["actor"]
        "Panics of an actor.";
    Gauge AUDIT_HEALTHY = "portcullis_audit_healthy" Count engine []
        "1 while the audit sink takes records.";
    Counter AUDIT_RECORDS = "portcullis_audit_records_total" Count engine []
        "Records that the audit sink took.";
    Counter AUDIT_BYTES = "portcullis_audit_bytes_total" Bytes engine []
        "Their bytes as they stood in the engine's buffers.";
    Counter AUDIT_TRANSACTIONS = "portcullis_audit_transactions_total" Count engine ["outcome"]
        "Transactions with the audit sink; one that failed is offered again.";
    Counter AUDIT_LOST = "portcullis_audit_lost_total" Count engine []
        "Records that will never be written. Anything but 0 is a bug or damaged memory.";
    Gauge AUDIT_QUEUED = "portcullis_audit_queued" Count engine []
        "Records that were accepted and that the sink has not taken yet.";
    Gauge AUDIT_LAG = "portcullis_audit_lag_seconds" Seconds engine []
        "Age of the oldest record of the last transaction when the sink had taken it; while the sink is down, since when.";
    Gauge VAULT_LOCK_OUT = "portcullis_vault_lock_out_seconds" Seconds engine []
        "How long the token in force lasts: then operations fail, unless it was renewed before. NaN if it does not end.";
    Gauge VAULT_IDENTITY = "portcullis_vault_identity" Count engine ["health"]
        "1 for how the engine's identity towards Vault stands, 0 for the others.";
    Counter VAULT_LOGINS = "portcullis_vault_logins_total" Count engine ["outcome"]
        "Logins to Vault.";
    Counter VAULT_RENEWALS = "portcullis_vault_renewals_total" Count engine ["outcome"]
        "Renewals of the token.";
    Counter VAULT_REJECTED = "portcullis_vault_rejected_total" Count engine ["by"]
        "Requests that Vault answered with 403, because of a policy or of the token.";
    Gauge VAULT_BREAKER = "portcullis_vault_breaker" Count engine ["state"]
        "1 for whether calls to Vault are made, 0 for the other states.";
    Gauge VAULT_IN_FLIGHT = "portcullis_vault_in_flight" Count engine []
        "Requests that Vault has not answered yet.";
    Gauge VAULT_WAITING = "portcullis_vault_waiting" Count engine []
        "Calls to Vault that wait: for their turn, for a pause, for a login.";
    Gauge CLOCK_JUMP = "portcullis_clock_jump" Count engine []
        "1 while deletions are held because the wall clock jumped.";
    Gauge KEY_MEMORY = "portcullis_key_memory_bytes" Bytes process []
        "Pages that the process has mapped for keys, in use or free.";
    Gauge KEY_MEMORY_UNLOCKED = "portcullis_key_memory_unlocked_bytes" Bytes process []
        "Those of them that the system did not let the process lock: they may be written to swap.";
}
