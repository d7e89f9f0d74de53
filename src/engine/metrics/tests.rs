use std::sync::Arc;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use core::time::Duration;

use super::*;
use crate::metrics::{MetricsOptions, Publisher};
use crate::status::IdentityStatus;

fn vault(logins: u64) -> VaultStatus {
    VaultStatus {
        identity: IdentityStatus {
            method: "approle",
            health: IdentityHealth::Warned,
            lock_out_in: Some(Duration::from_secs(90)),
            next_attempt_in: None,
            fault: None,
            warning: None,
            tells_rejections_apart: true,
            logins,
            logins_failed: 1,
            renewals: 2,
            renewals_failed: 3,
            rejected: 7,
            forbidden: 5,
        },
        breaker: BreakerState::HalfOpen,
        breaker_retry_in: None,
        in_flight: 4,
        waiting: 6,
    }
}

#[test]
fn guideline_v3_the_seconds_to_lock_out_are_told_and_counts_outlive_a_replaced_identity() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let options = MetricsOptions::new().with_recorder(Arc::new(recorder));
    let publisher = Publisher::new(options);
    let tell = |vault: Option<&VaultStatus>| {
        publisher.round(|round| tell_vault(round, vault));
        let told = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
            let labels = key.key().labels().skip(1).map(|label| label.value().to_owned());
            let series = [key.key().name().to_owned()].into_iter().chain(labels);
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.0,
                DebugValue::Histogram(_) => f64::INFINITY,
            };
            (series.collect::<Vec<_>>().join(" "), value)
        });
        told.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert!(tell(None).is_empty(), "an engine without Vault says nothing of it");
    let told = tell(Some(&vault(10)));
    let expected = [
        ("portcullis_vault_lock_out_seconds", 90.0),
        ("portcullis_vault_identity warned", 1.0),
        ("portcullis_vault_identity healthy", 0.0),
        ("portcullis_vault_breaker half-open", 1.0),
        ("portcullis_vault_breaker closed", 0.0),
        ("portcullis_vault_in_flight", 4.0),
        ("portcullis_vault_waiting", 6.0),
        ("portcullis_vault_logins_total success", 10.0),
        ("portcullis_vault_logins_total failure", 1.0),
        ("portcullis_vault_renewals_total success", 2.0),
        ("portcullis_vault_renewals_total failure", 3.0),
        ("portcullis_vault_rejected_total policy", 5.0),
        ("portcullis_vault_rejected_total token", 2.0),
    ];
    for (series, value) in expected {
        assert_eq!(told.get(series), Some(&value), "{series}");
    }
    // Another identity, which has logged in twice.
    let told = tell(Some(&vault(2)));
    assert_eq!(told["portcullis_vault_logins_total success"], 2.0);
    assert_eq!(told["portcullis_vault_renewals_total success"], 0.0);
    let told = tell(None);
    assert!(told["portcullis_vault_lock_out_seconds"].is_nan());
    assert_eq!(told["portcullis_vault_identity warned"], 0.0);
}
