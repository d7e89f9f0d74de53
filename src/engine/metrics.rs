//! What a round of metrics reads, row by row.

use core::sync::atomic::Ordering;

use super::{Kms, Ports, Shared};
use crate::actors::port::Port;
use crate::audit::{ErrorClass, SinkState};
use crate::gate::Class;
use crate::key::KeyState;
use crate::metrics::{BackendCall, Round, Samples, blame, table};
#[cfg(feature = "vault")]
use crate::status::{BreakerState, IdentityHealth, VaultStatus};
use crate::status::{Messages, Phase};

impl Kms {
    /// Tells the recorder of the engine's [`MetricsOptions`](crate::metrics::MetricsOptions) what
    /// the engine counts, now, on this thread: for a host that is about to be scraped. It runs the
    /// recorder's code, and waits for a round that is under way on another thread.
    pub fn publish_metrics(&self) {
        self.shared.publish_metrics();
    }
}

impl Shared {
    pub(super) fn publish_metrics(&self) {
        if self.plane.is_forked() {
            // The counts, and whoever held the lock of the rounds, are the parent's.
            return;
        }
        self.publisher.round(|round| {
            self.tell_state(round);
            self.tell_operations(round);
            self.tell_keys(round);
            self.tell_backend(round);
            self.tell_actors(round);
            self.tell_audit(round);
            #[cfg(feature = "vault")]
            tell_vault(round, self.ports.identities.status().as_ref());
        });
    }

    fn tell_state(&self, round: &mut Round<'_>) {
        let Self { plane, clocks, .. } = self;
        let status = plane.status.load();
        round.flag(&table::BUILD_INFO, [env!("CARGO_PKG_VERSION")], true);
        for label in Phase::LABELS {
            round.flag(&table::PHASE, [label], label == status.phase.label());
        }
        round.count(&table::GENERATION, [], status.generation);
        for (label, class) in [("reads", Class::Read), ("writes", Class::Write)] {
            round.flag(&table::GATE_OPEN, [label], plane.gate.is_open(class));
        }
        round.count(&table::GATE_SECTIONS, [], plane.gate.inside());
        round.counter(&table::GATE_ENTRIES, [], plane.gate.entries());
        round.count(&table::OPERATIONS_UNDER_WAY, [], plane.operations.len() as u64);
        round.count(&table::LEASES, [], plane.slots.taken());
        round.flag(&table::CLOCK_JUMP, [], clocks.holds());
        let memory = crate::memory::report();
        round.count(&table::KEY_MEMORY, [], memory.mapped_bytes);
        round.count(&table::KEY_MEMORY_UNLOCKED, [], memory.unlocked_bytes);
    }

    fn tell_operations(&self, round: &mut Round<'_>) {
        let counts = &self.plane.counts;
        for why in REASONS {
            round.counter(&table::REFUSED, [why.name()], counts.refusals(why));
        }
        counts.operations(|operation, failed, count| {
            let outcome = failed.map_or("success", |class| blame(class).name());
            let error = failed.map_or("", ErrorClass::name);
            round.counter(&table::OPERATIONS, [operation.name(), outcome, error], count);
        });
    }

    fn tell_keys(&self, round: &mut Round<'_>) {
        let generation = self.plane.generation();
        for (index, label) in KeyState::LABELS.into_iter().enumerate() {
            let keys = generation.as_ref().map_or(0, |generation| generation.keys.in_state(index));
            round.count(&table::KEYS, [label], keys);
        }
        let Some(generation) = generation else {
            return;
        };
        let mut others = 0;
        generation.keys.each_used(&self.plane.gate, |id, version, uses| {
            if round.names(id) {
                round.count(&table::KEY_USES, [id.as_str()], uses);
                round.count(&table::KEY_VERSION, [id.as_str()], u64::from(version.number()));
            } else {
                others = uses.max(others);
            }
        });
        round.count(&table::KEY_USES, [""], others);
    }

    fn tell_backend(&self, round: &mut Round<'_>) {
        let Some(generation) = self.plane.generation() else {
            return;
        };
        // Those that an engine was reconfigured from have told what there was to tell.
        let backend = generation.backend.name();
        for call in BackendCall::made_to(generation.capabilities.in_process) {
            let calls = self.plane.counts.calls(backend, *call);
            for (outcome, samples) in calls.by_outcome {
                let labels = [backend, call.name(), outcome];
                round.durations(&table::BACKEND_CALLS, labels, samples);
            }
            round.counter(&table::BACKEND_FAULTS, [backend, call.name()], calls.faults);
        }
    }

    fn tell_actors(&self, round: &mut Round<'_>) {
        for Lane { name, messages, samples: (waits, handlings), is_main } in self.ports.lanes() {
            round.durations(&table::QUEUE_WAIT, [name], waits);
            round.durations(&table::HANDLING, [name], handlings);
            round.count(&table::QUEUE_DEPTH, [name], messages.under_way as u64);
            for (end, count) in ends(&messages) {
                round.counter(&table::MESSAGES, [name, end], count);
            }
            round.counter(&table::OUTCOME_UNKNOWN, [name], messages.outcome_unknown);
            if is_main {
                round.counter(&table::ACTOR_REBUILDS, [name], messages.restarts);
                round.counter(&table::ACTOR_PANICS, [name], messages.panics);
            }
        }
    }

    fn tell_audit(&self, round: &mut Round<'_>) {
        let Self { plane, written, .. } = self;
        let read = |count: &core::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let now = plane.clock.boot();
        let (healthy, lag) = match plane.audit.health().state(now) {
            SinkState::Healthy => (true, read(&written.lag_ms) as f64 / 1000.0),
            SinkState::Failing(since) => (false, now.since(since).as_secs_f64()),
            SinkState::Ended => (false, 0.0),
        };
        round.flag(&table::AUDIT_HEALTHY, [], healthy);
        round.gauge(&table::AUDIT_LAG, [], lag);
        round.counter(&table::AUDIT_RECORDS, [], read(&written.records));
        round.counter(&table::AUDIT_BYTES, [], read(&written.bytes));
        round.counter(&table::AUDIT_TRANSACTIONS, ["success"], read(&written.transactions));
        round.counter(&table::AUDIT_TRANSACTIONS, ["failure"], read(&written.failures));
        round.counter(&table::AUDIT_LOST, [], plane.audit.lost());
        round.count(&table::AUDIT_QUEUED, [], plane.audit.queued());
    }
}

/// Why work may be turned away before it begins.
const REASONS: [ErrorClass; 9] = [
    ErrorClass::AuditUnavailable,
    ErrorClass::Down,
    ErrorClass::Draining,
    ErrorClass::Failed,
    ErrorClass::Frozen,
    ErrorClass::Full,
    ErrorClass::NotConfigured,
    ErrorClass::Starting,
    ErrorClass::Stopped,
];

/// One way to an actor, read.
pub(super) struct Lane {
    pub(super) name: &'static str,
    pub(super) messages: Messages,
    samples: (Samples, Samples),
    /// Whether the actor's deaths are counted here.
    is_main: bool,
}

impl Lane {
    fn of<A: actix::Actor>(port: &Port<A>, is_main: bool) -> Self {
        let (name, messages, samples) = (port.name(), port.counters(), port.samples());
        Self { name, messages, samples, is_main }
    }
}

impl Ports {
    /// Every lane, in the order of the roster.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        vec![
            Lane::of(&self.lifecycle, true),
            Lane::of(&self.brake, false),
            Lane::of(&self.backend, true),
            Lane::of(&self.backend_brake, false),
            Lane::of(&self.supply, false),
            Lane::of(&self.remote, false),
            #[cfg(feature = "vault")]
            Lane::of(self.identities.port(), true),
            #[cfg(feature = "vault")]
            Lane::of(self.identities.control(), false),
            Lane::of(&self.audit, true),
            Lane::of(&self.reaper, true),
            Lane::of(&self.meter, true),
        ]
    }
}

/// Tells of the connection to Vault: where there is one, and after there was one that there is none.
#[cfg(feature = "vault")]
fn tell_vault(round: &mut Round<'_>, vault: Option<&VaultStatus>) {
    if !round.remembers_vault(vault.is_some()) {
        return;
    }
    let health = vault.map(|vault| match vault.identity.health {
        IdentityHealth::Healthy => "healthy",
        IdentityHealth::LockedOut => "locked-out",
        IdentityHealth::Warned => "warned",
    });
    for label in ["healthy", "locked-out", "warned"] {
        round.flag(&table::VAULT_IDENTITY, [label], health == Some(label));
    }
    let breaker = vault.map(|vault| match vault.breaker {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Open => "open",
    });
    for label in ["closed", "half-open", "open"] {
        round.flag(&table::VAULT_BREAKER, [label], breaker == Some(label));
    }
    let lock_out = vault.and_then(|vault| vault.identity.lock_out_in);
    let lock_out = lock_out.map_or(f64::NAN, |within| within.as_secs_f64());
    round.gauge(&table::VAULT_LOCK_OUT, [], lock_out);
    round.count(&table::VAULT_IN_FLIGHT, [], vault.map_or(0, |vault| vault.in_flight as u64));
    round.count(&table::VAULT_WAITING, [], vault.map_or(0, |vault| vault.waiting as u64));
    let Some(VaultStatus { identity, .. }) = vault else { return };
    round.restarting(&table::VAULT_LOGINS, ["success"], identity.logins);
    round.restarting(&table::VAULT_LOGINS, ["failure"], identity.logins_failed);
    round.restarting(&table::VAULT_RENEWALS, ["success"], identity.renewals);
    round.restarting(&table::VAULT_RENEWALS, ["failure"], identity.renewals_failed);
    let by_token = identity.rejected.saturating_sub(identity.forbidden);
    round.restarting(&table::VAULT_REJECTED, ["policy"], identity.forbidden);
    round.restarting(&table::VAULT_REJECTED, ["token"], by_token);
}

fn ends(messages: &Messages) -> [(&'static str, u64); 6] {
    [
        ("begun", messages.begun),
        ("cancelled", messages.cancelled),
        ("closed", messages.refused_closed),
        ("down", messages.refused_down),
        ("full", messages.refused_full),
        ("late", messages.refused_late),
    ]
}

#[cfg(all(test, feature = "vault"))]
mod tests;
