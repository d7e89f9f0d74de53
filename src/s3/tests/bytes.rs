//! Any bytes in any headers: a typed answer, and what is taken says the same again.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::context::EncryptionContext;

/// Values that are almost right, and any others.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "AES256".to_owned(),
        "aws:kms".to_owned(),
        "aws:kms:dsse".to_owned(),
        "true".to_owned(),
        "k".to_owned(),
        base64(&KEY),
        md5(&KEY),
        base64(br#"{"a":"1"}"#),
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..60),
        1 => "[A-Za-z0-9+/=]{0,50}".prop_map(String::into_bytes),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let name = proptest::sample::select(names::ALL.to_vec());
    vec((name.prop_map(str::to_owned), value()), 0..6).prop_map(Sent)
}

fn transport() -> impl Strategy<Value = Transport> {
    let all = [Transport::Tls, Transport::Plain, Transport::PlainInDevelopment];
    proptest::sample::select(all.to_vec())
}

proptest! {
    #[test]
    fn any_headers_get_an_answer_and_modes_never_mix(sent in sent(), transport in transport()) {
        let Ok(headers) = sent.over(transport) else { return Ok(()) };
        let has = |names: &[&str]| sent.0.iter().any(|(name, _)| names.contains(&name.as_str()));
        let customer = has(&[names::CUSTOMER_ALGORITHM, names::CUSTOMER_KEY, names::CUSTOMER_KEY_MD5]);
        let kms = has(&[names::KMS_KEY_ID, names::CONTEXT, names::BUCKET_KEY_ENABLED]);
        match headers.requested() {
            Ok(Requested::Unspecified) => prop_assert!(!customer && !kms && !has(&[names::ENCRYPTION])),
            Ok(Requested::SseS3) => prop_assert!(!customer && !kms),
            Ok(Requested::SseKms(_)) => prop_assert!(!customer),
            Ok(Requested::SseC(taken)) => {
                prop_assert!(!kms && !has(&[names::ENCRYPTION]));
                prop_assert!(transport != Transport::Plain);
                prop_assert_eq!(taken.key_md5(), md5(&KEY));
            }
            Err(error) => prop_assert!((400..600).contains(&error.status())),
        }
        if let Ok(given) = headers.customer_key() {
            prop_assert!(!kms && !has(&[names::ENCRYPTION]));
            prop_assert_eq!(given.is_given(), customer);
        }
    }

    #[test]
    fn one_changed_letter_of_a_customers_key_or_its_md5_is_refused(
        at in 0_usize..44,
        letter in "[A-Za-z0-9+/]",
        in_md5 in any::<bool>(),
    ) {
        let mut values = [base64(&KEY).into_bytes(), md5(&KEY).into_bytes()];
        let value = &mut values[usize::from(in_md5)];
        let at = at % value.len();
        prop_assume!(value[at] != letter.as_bytes()[0]);
        value[at] = letter.as_bytes()[0];
        let sent = Sent::default()
            .with(names::CUSTOMER_ALGORITHM, "AES256")
            .with(names::CUSTOMER_KEY, &values[0])
            .with(names::CUSTOMER_KEY_MD5, &values[1]);
        prop_assert_eq!(code(sent.requested()), Some(Code::InvalidArgument));
    }

    #[test]
    fn a_context_comes_back_as_it_was_sent(pairs in vec((".{1,8}", ".{0,8}"), 0..6)) {
        let mut context = EncryptionContext::new();
        for (name, value) in &pairs {
            let _ = context.insert(name, value);
        }
        let header = super::super::context::render(&context);
        let sent = Sent::default().kms("k").with(names::CONTEXT, &header);
        let Ok(Requested::SseKms(asked)) = sent.requested() else { panic!("refused") };
        prop_assert!(asked.context == context);
    }
}
