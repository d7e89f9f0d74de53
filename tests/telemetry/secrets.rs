//! What must stand in no label and no span: keys, contexts, and who asked for what.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use portcullis::audit::Caller;
use portcullis::context::EncryptionContext;
use portcullis::envelope::DataKeySpec;
use portcullis::key::KeyId;
use portcullis::objects::{CustomerKey, Facts, ObjectName, Protection};

use crate::harness::{Fixture, Told};
use crate::spans::log;

/// A key in every form in which somebody might print it.
fn forms(key: &[u8]) -> Vec<String> {
    let hex = hex::encode(key);
    let whole = format!("{key:?}");
    let forms = [
        hex.to_uppercase(),
        hex,
        STANDARD.encode(key),
        STANDARD_NO_PAD.encode(key),
        whole[1..whole.len() - 1].to_owned(),
        String::from_utf8_lossy(key).into_owned(),
    ];
    forms.into_iter().collect()
}

#[tokio::test]
async fn guideline_c2_no_key_and_no_context_stands_in_a_metric_or_a_span() {
    log();
    let told = Told::new();
    let fixture = Fixture::telling(told.options().with_interval(None)).await;
    let caller = Caller::new("planted-principal", "request-secrets", "planted-source").unwrap();
    let kms = fixture.kms.on_behalf_of(caller);
    let context = EncryptionContext::new().with("planted-name", "planted-value").unwrap();
    let other = EncryptionContext::new().with("planted-name", "planted-other").unwrap();
    let customer: [u8; 32] = std::array::from_fn(|n| u8::try_from(7 * n + 3).unwrap());
    let mut needles = forms(&customer);
    needles.extend(forms(&std::fs::read(fixture.directory.path().join("root.key")).unwrap()));
    needles.push("planted-".to_owned());

    // Successes and failures of hits, hops and brakes.
    let made = kms.generate_data_key(&fixture.key, DataKeySpec::AES_256, &context).await.unwrap();
    let mut key = [0; 32];
    made.key.copy_into(&mut key).unwrap();
    needles.extend(forms(&key));
    assert!(kms.decrypt_data_key(&made.wrapped, &other).await.is_err());
    let payload = kms.encrypt(&fixture.key, b"planted-plaintext", &context).await.unwrap();
    assert!(kms.decrypt(&payload, &other).await.is_err());
    let name = ObjectName::new("planted-bucket", "planted-object").unwrap();
    let customer = CustomerKey::from_bytes(&customer).unwrap();
    let protection = Protection::SseC { key: &customer };
    let facts = Facts::new();
    let small =
        kms.seal_small_object(&name, &context, protection, b"planted-plaintext", &facts).await;
    let small = small.unwrap();
    let opened =
        kms.open_small_object(&name, &other, &small.record, Some(&customer), &small.sealed).await;
    assert!(opened.is_err());
    kms.rotate_key(&fixture.key).await.unwrap();
    assert!(kms.rotate_key(&KeyId::new("absent").unwrap()).await.is_err());
    assert!(kms.configure(fixture.config.clone()).await.is_err());
    kms.stop().await.unwrap();
    kms.start().await.unwrap();
    kms.publish_metrics();

    let mut texts = log().events();
    let labels = told.series().into_iter().flat_map(|series| series.labels.into_values());
    texts.extend(labels);
    let spans = log().spans().into_iter().flat_map(|span| span.fields.into_values());
    texts.extend(spans);
    assert!(texts.iter().any(|text| text == "request-secrets"), "the request id is there");
    assert!(texts.iter().any(|text| text == "envelope-does-not-open"), "and so are failures");
    for needle in needles {
        for text in &texts {
            assert!(!text.contains(&needle), "{needle:?} in {text:?}");
        }
    }
}
