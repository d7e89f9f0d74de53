//! Many callers at once, each of which does a bit of everything on two threads of a host's runtime.
//!
//! Of 20 operations nine generate, nine decrypt, one rewraps, one encrypts 4 KiB. A latency is that
//! of one call, from its beginning to its result. `threads` counts callers here.

use std::sync::Arc;

use portcullis::Kms;
use portcullis::audit::Release;
use portcullis::context::EncryptionContext;
use portcullis::envelope::{DataKeySpec, WrappedKey};
use portcullis::key::KeyId;

use super::measure::{Effort, nanos, now, percentile};
use super::report::{Measured, Report};
use crate::support::engine::Host;

/// Measures 1 to 512 callers.
pub fn run(report: &mut Report, effort: Effort) {
    let host = Host::start(Release::Accepted);
    for callers in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] {
        report.add(measure(&host, callers, effort.mixed / callers));
    }
    assert!(host.has_records());
}

fn measure(host: &Host, callers: usize, operations: usize) -> Measured {
    let caller = Arc::new(Caller {
        kms: host.kms.clone(),
        key: host.key.clone(),
        context: host.context.clone(),
        wrapped: host.generate().wrapped,
    });
    let begun = now();
    let mut times = host.runtime.block_on(async {
        let spawned: Vec<_> = (0..callers)
            .map(|number| tokio::spawn(Arc::clone(&caller).run(number, operations)))
            .collect();
        let mut times = Vec::with_capacity(callers * operations);
        for caller in spawned {
            times.extend(caller.await.expect("a caller panicked"));
        }
        times
    });
    let took = begun.elapsed();
    assert_eq!(times.len(), callers * operations);
    Measured {
        name: "mixed".to_owned(),
        threads: callers,
        ops_per_s: times.len() as f64 / took.as_secs_f64(),
        bytes_per_s: None,
        p50_ns: percentile(&mut times, 50),
        p99_ns: percentile(&mut times, 99),
        baseline: None,
        baseline_ns: None,
        ratio: None,
    }
}

struct Caller {
    kms: Kms,
    key: KeyId,
    context: EncryptionContext,
    wrapped: WrappedKey,
}

impl Caller {
    async fn run(self: Arc<Self>, number: usize, operations: usize) -> Vec<u64> {
        let mut times = Vec::with_capacity(operations);
        for operation in 0..operations {
            let begun = now();
            self.operate(number + operation).await;
            times.push(nanos(begun.elapsed()));
            // What is done at once does not yield by itself, and callers would follow each other.
            tokio::task::yield_now().await;
        }
        times
    }

    async fn operate(&self, number: usize) {
        let Self { kms, key, context, wrapped } = self;
        match number % 20 {
            0 => {
                let sealed = kms.encrypt(key, &PAYLOAD, context).await.expect("it is encrypted");
                assert!(sealed.len() > PAYLOAD.len());
            }
            1 => {
                let rewrapped = kms.rewrap(wrapped, context).await.expect("it is rewrapped");
                assert!(!rewrapped.changed);
            }
            even if even % 2 == 0 => {
                let made = kms.generate_data_key(key, DataKeySpec::AES_256, context).await;
                assert_eq!(made.expect("a data key").key.len(), 32);
            }
            _ => {
                let opened = kms.decrypt_data_key(wrapped, context).await;
                assert_eq!(opened.expect("a data key").len(), 32);
            }
        }
    }
}

const PAYLOAD: [u8; 4096] = [5; 4096];
