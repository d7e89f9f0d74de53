use std::sync::Arc;

use secrecy::SecretBox;

use super::*;
use crate::actors::lifecycle::Start;
use crate::backend::{KeySource, StaticConfig};
use crate::key::KeyId;
use crate::limits::ASK_DEADLINE;

/// A configuration that needs no disk.
fn config() -> Config {
    let key: [u8; 32] = core::array::from_fn(|n| u8::try_from(n).unwrap());
    let source = KeySource::Given(Arc::new(SecretBox::new(Box::new(key))));
    Config::new(StaticConfig::new(KeyId::new("static").unwrap(), source))
}

/// The lifecycle actor took a ticket for each of its own shuts, the last one of a start that was
/// under way, and opened by it over a stop whose message was still on its way.
#[tokio::test]
async fn a_start_does_not_open_over_a_shut_that_came_after_it_was_asked_for() {
    let engine = Engine::launch(EngineOptions::default()).await.unwrap();
    let kms = engine.kms();
    kms.configure(config()).await.unwrap();
    let gate = &kms.shared.plane.gate;
    let (seen, caller) = (gate.latest_shut(), Caller::host());
    gate.shut(Scope::All, Phase::Draining.refusal_code());
    kms.shared.ports.lifecycle.ask(Start { seen, caller }, ASK_DEADLINE).await.unwrap();
    assert_eq!(kms.status().phase, Phase::Running);
    assert!(!gate.is_open(Class::Read) && !gate.is_open(Class::Write));
    // Whoever asks after it knows of it.
    assert!(kms.start().await.unwrap().was_running);
    assert!(gate.is_open(Class::Read) && gate.is_open(Class::Write));
}
