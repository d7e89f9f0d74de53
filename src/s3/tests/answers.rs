//! Decisions, what is stored, what is answered, and the engine's errors as S3 tells them.

use core::time::Duration;

use super::*;
use crate::context::EncryptionContext;
use crate::error::{
    ContextError, CustomerKeyError, EnvelopeError, Error, KeyError, ObjectError, OutcomeUnknown,
    Refused,
};

fn kms_bucket(key: Option<&str>) -> BucketEncryption {
    BucketEncryption::sse_kms(key.map(key_id))
}

fn headers(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[test]
fn an_explicit_header_decides_before_the_buckets_default_and_that_before_none() {
    let (none, s3) = (BucketEncryption::none(), BucketEncryption::sse_s3());
    let kms = kms_bucket(Some("bucket-key"));
    let decided = |sent: Sent, bucket: &BucketEncryption| {
        decide(&sent, bucket).unwrap().map(|encryption| match encryption {
            Encryption::SseS3 => "s3".to_owned(),
            Encryption::SseKms(kms) => format!("kms {}", kms.key.as_str()),
            Encryption::SseC(_) => "c".to_owned(),
        })
    };
    let s3_asked = || Sent::default().with(names::ENCRYPTION, "AES256");
    let kms_asked = || Sent::default().with(names::ENCRYPTION, "aws:kms");
    for bucket in [&none, &s3, &kms] {
        assert_eq!(decided(s3_asked(), bucket).as_deref(), Some("s3"));
        assert_eq!(decided(Sent::default().kms("mine"), bucket).as_deref(), Some("kms mine"));
        // As in S3, a request for SSE-KMS without a key takes the store's, not the bucket's.
        assert_eq!(decided(kms_asked(), bucket).as_deref(), Some("kms default"));
        assert_eq!(decided(Sent::default().customer(&KEY), bucket).as_deref(), Some("c"));
    }
    assert_eq!(decided(Sent::default(), &none), None);
    assert_eq!(decided(Sent::default(), &s3).as_deref(), Some("s3"));
    assert_eq!(decided(Sent::default(), &kms).as_deref(), Some("kms bucket-key"));
    assert_eq!(decided(Sent::default(), &kms_bucket(None)).as_deref(), Some("kms default"));
}

#[test]
fn sse_kms_without_any_key_to_use_is_not_found() {
    let asked = Sent::default().with(names::ENCRYPTION, "aws:kms");
    let nothing = Backing::default();
    let decided = asked.requested().unwrap().decide(&BucketEncryption::none(), &nothing);
    assert_eq!(code(decided), Some(Code::KmsNotFound));
}

#[test]
fn a_bucket_key_is_honoured_where_there_are_any_and_refused_where_there_are_none() {
    let asked = |value: &str| Sent::default().kms("k").with(names::BUCKET_KEY_ENABLED, value);
    let rule = BucketRule {
        algorithm: Some("aws:kms".to_owned()),
        bucket_key_enabled: true,
        ..BucketRule::default()
    };
    let able = Backing { bucket_keys: true, ..backing() };
    let bucket = BucketEncryption::from_rules(core::slice::from_ref(&rule), &able).unwrap();
    let refused = BucketEncryption::from_rules(core::slice::from_ref(&rule), &backing());
    assert_eq!(code(refused), Some(Code::NotImplemented));

    let wants = |sent: &Sent, bucket: &BucketEncryption, backing: &Backing| match sent
        .requested()?
        .decide(bucket, backing)?
    {
        Some(Encryption::SseKms(kms)) => Ok(kms.bucket_key),
        _ => panic!("another mode"),
    };
    let none = BucketEncryption::none();
    assert_eq!(wants(&asked("true"), &none, &able), Ok(true));
    assert_eq!(wants(&asked("false"), &bucket, &able), Ok(false));
    assert_eq!(wants(&Sent::default().kms("k"), &bucket, &able), Ok(true));
    assert_eq!(wants(&Sent::default(), &bucket, &able), Ok(true));
    for sent in [asked("true"), Sent::default().kms("k"), Sent::default()] {
        assert_eq!(code(wants(&sent, &bucket, &backing())), Some(Code::NotImplemented));
    }
    assert_eq!(wants(&asked("false"), &bucket, &backing()), Ok(false));
    // S3 takes the setting beside SSE-S3, where it means nothing.
    let s3 = BucketRule { algorithm: Some("AES256".to_owned()), ..rule };
    assert!(BucketEncryption::from_rules(&[s3], &backing()).is_ok());
}

#[test]
fn a_bucket_may_refuse_customers_keys_for_what_is_new() {
    let bucket = BucketEncryption::sse_s3().blocking_customer_keys(true);
    let sent = Sent::default().customer(&KEY);
    assert_eq!(code(decide(&sent, &bucket)), Some(Code::AccessDenied));
    assert!(sent.customer_key().unwrap().for_object(Some(&Stored::SseC)).is_ok());
}

#[test]
fn rules_of_a_bucket_are_one_and_of_the_published_form() {
    let rule = |algorithm: Option<&str>, key: Option<&str>, blocked: &[&str]| BucketRule {
        algorithm: algorithm.map(str::to_owned),
        kms_key_id: key.map(str::to_owned),
        bucket_key_enabled: false,
        blocked: blocked.iter().map(|kind| (*kind).to_owned()).collect(),
    };
    let taken = |rules: &[BucketRule]| code(BucketEncryption::from_rules(rules, &backing()));
    let malformed = Some(Code::MalformedXml);
    for (one, expected) in [
        (rule(Some("AES256"), None, &[]), None),
        (rule(Some("aws:kms"), None, &[]), None),
        (rule(Some("aws:kms"), Some("k"), &["SSE-C"]), None),
        (rule(None, None, &["NONE"]), None),
        (rule(Some("AES256"), Some("k"), &[]), Some(Code::InvalidArgument)),
        (rule(Some("aws:kms"), Some("a b"), &[]), Some(Code::InvalidArgument)),
        (rule(Some("aws:kms:dsse"), None, &[]), Some(Code::NotImplemented)),
        (rule(Some("aes256"), None, &[]), malformed),
        (rule(None, Some("k"), &[]), malformed),
        (rule(Some("AES256"), None, &["SSE-KMS"]), malformed),
    ] {
        assert_eq!(taken(core::slice::from_ref(&one)), expected, "{one:?}");
        assert_eq!(taken(&[one.clone(), one]), malformed);
    }
    assert_eq!(taken(&[]), malformed);
}

#[test]
fn a_buckets_encryption_comes_back_as_it_was_stored() {
    for bucket in [
        BucketEncryption::none(),
        BucketEncryption::sse_s3(),
        kms_bucket(None).blocking_customer_keys(true),
        kms_bucket(Some("a/b")),
    ] {
        let json = serde_json::to_string(&bucket).unwrap();
        assert!(serde_json::from_str::<BucketEncryption>(&json).unwrap() == bucket, "{json}");
    }
    for json in [
        r#"{"algorithm":"aes"}"#,
        r#"{"algorithm":"AES256","kms_key_id":"k"}"#,
        r#"{"algorithm":"AES256","more":1}"#,
    ] {
        assert!(serde_json::from_str::<BucketEncryption>(json).is_err(), "{json}");
    }
}

#[test]
fn each_call_answers_with_the_headers_that_s3_gives_it() {
    let bucket = BucketEncryption::none();
    let decided = |sent: Sent| decide(&sent, &bucket).unwrap().unwrap();
    let s3 = decided(Sent::default().with(names::ENCRYPTION, "AES256"));
    let json = base64(br#"{"b":"2","a":"1"}"#);
    let kms = decided(Sent::default().kms("k").with(names::CONTEXT, json));
    let plain_kms = decided(Sent::default().kms("k"));
    let customer = decided(Sent::default().customer(&KEY));
    let (key_md5, context) = (md5(&KEY), base64(br#"{"a":"1","b":"2"}"#));
    let aes = headers(&[(names::ENCRYPTION, "AES256")]);
    let by_key = headers(&[(names::ENCRYPTION, "aws:kms"), (names::KMS_KEY_ID, "k")]);
    let with_context = [by_key.clone(), headers(&[(names::CONTEXT, &context)])].concat();
    let echoed =
        headers(&[(names::CUSTOMER_ALGORITHM, "AES256"), (names::CUSTOMER_KEY_MD5, &key_md5)]);
    for (call, is_write, echoes) in [
        (Call::PutObject, true, true),
        (Call::CopyObject, true, true),
        (Call::CreateMultipartUpload, true, true),
        (Call::UploadPart, false, true),
        (Call::UploadPartCopy, false, true),
        (Call::CompleteMultipartUpload, false, false),
        (Call::GetObject, false, true),
        (Call::HeadObject, false, true),
    ] {
        assert_eq!(s3.response(call), aes, "{call:?}");
        assert_eq!(plain_kms.response(call), by_key, "{call:?}");
        let expected = if is_write { &with_context } else { &by_key };
        assert_eq!(kms.response(call), *expected, "{call:?}");
        let expected = if echoes { echoed.clone() } else { vec![] };
        assert_eq!(customer.response(call), expected, "{call:?}");
    }
    // Completing comes without the key, and says nothing of it.
    assert!(Stored::SseC.response(Call::CompleteMultipartUpload, None).is_empty());
    let mut with_bucket_key = kms.stored();
    let Stored::SseKms(stored) = &mut with_bucket_key else { panic!("another mode") };
    stored.bucket_key = true;
    let got = with_bucket_key.response(Call::GetObject, None);
    assert_eq!(got.last(), Some(&(names::BUCKET_KEY_ENABLED, "true".to_owned())));
}

#[test]
fn what_is_stored_comes_back_and_holds_nothing_of_a_customers_key() {
    let bucket = BucketEncryption::none();
    let json = base64(br#"{"tenant":"a"}"#);
    for sent in [
        Sent::default().with(names::ENCRYPTION, "AES256"),
        Sent::default().kms("k").with(names::CONTEXT, json),
        Sent::default().customer(&KEY),
    ] {
        let stored = decide(&sent, &bucket).unwrap().unwrap().stored();
        let metadata = stored.to_metadata();
        let value = |name: &str| {
            metadata.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        };
        assert!(Stored::from_metadata(value).unwrap() == Some(stored));
        for (_, value) in &metadata {
            assert!(!value.contains(&base64(&KEY)) && !value.contains(&md5(&KEY)));
        }
        // With a field less or changed it is refused, not read as another mode.
        for (changed, _) in metadata.iter().filter(|_| metadata.len() > 1) {
            let without = |name: &str| if name == *changed { None } else { value(name) };
            assert_eq!(
                code(Stored::from_metadata(without)),
                Some(Code::InternalError),
                "{changed}"
            );
            let other = |name: &str| if name == *changed { Some("a b") } else { value(name) };
            assert_eq!(code(Stored::from_metadata(other)), Some(Code::InternalError), "{changed}");
        }
    }
    assert!(Stored::from_metadata(|_| None).unwrap().is_none());
    assert_eq!(code(Stored::from_metadata(|_| Some("AES256"))), Some(Code::InternalError));
}

#[test]
fn a_read_brings_a_key_where_the_object_needs_one_and_nowhere_else() {
    let kms = decide(&Sent::default().kms("k"), &BucketEncryption::none()).unwrap().unwrap();
    let without = || Sent::default().customer_key().unwrap();
    let with = || Sent::default().customer(&KEY).customer_key().unwrap();
    for stored in [None, Some(Stored::SseS3), Some(kms.stored())] {
        let stored = stored.as_ref();
        assert!(without().for_object(stored).unwrap().is_none());
        assert!(without().for_part(stored).unwrap().is_none());
        assert!(without().for_upload(stored).unwrap().is_none());
        assert_eq!(code(with().for_object(stored)), Some(Code::InvalidRequest));
        assert_eq!(code(with().for_part(stored)), Some(Code::InvalidRequest));
        assert_eq!(code(with().for_upload(stored)), Some(Code::InvalidRequest));
        assert!(stored.is_none_or(|stored| stored.has_md5_etag() == (stored == &Stored::SseS3)));
    }
    let stored = Some(&Stored::SseC);
    assert_eq!(with().for_object(stored).unwrap().unwrap().key_md5(), md5(&KEY));
    assert!(with().for_part(stored).unwrap().is_some());
    assert!(with().for_upload(stored).unwrap().is_some());
    assert!(without().for_upload(stored).unwrap().is_none());
    let (object, part) = (without().for_object(stored), without().for_part(stored));
    let (object, part) = (object.err().unwrap(), part.err().unwrap());
    assert_eq!((object.code, part.code), (Code::InvalidRequest, Code::InvalidRequest));
    assert!(object.message.starts_with("The object was stored using a form of Server Side"));
    assert!(part.message.starts_with("The multipart upload initiate requested encryption."));
    assert!(!Stored::SseC.has_md5_etag());
}

#[test]
fn errors_of_the_engine_are_told_as_s3_tells_them() {
    let wait = Duration::from_secs(1);
    let field = "key id";
    for (error, name, status) in [
        (KeyError::Disabled.into(), "KMS.DisabledException", 400),
        (KeyError::NotFound.into(), "KMS.NotFoundException", 400),
        (KeyError::Invalid { field, problem: "is empty" }.into(), "KMS.NotFoundException", 400),
        (KeyError::PendingDeletion.into(), "KMS.KMSInvalidStateException", 400),
        (KeyError::Destroyed.into(), "KMS.KMSInvalidStateException", 400),
        (KeyError::OpenOnly.into(), "KMS.KMSInvalidStateException", 400),
        (KeyError::VersionRetired(1).into(), "KMS.KMSInvalidStateException", 400),
        (EnvelopeError::UnknownKey.into(), "KMS.NotFoundException", 400),
        (EnvelopeError::DoesNotOpen.into(), "InternalError", 500),
        (ObjectError::DoesNotOpen.into(), "InternalError", 500),
        (ObjectError::TooLong.into(), "EntityTooLarge", 400),
        (ObjectError::RangeNotSatisfiable { size: 3 }.into(), "InvalidRange", 416),
        (ObjectError::NoSuchPart(3).into(), "InvalidPartNumber", 416),
        (ObjectError::PartOrder.into(), "InvalidPartOrder", 400),
        (ObjectError::from(CustomerKeyError::Wrong).into(), "AccessDenied", 403),
        (ObjectError::from(CustomerKeyError::Missing).into(), "InvalidRequest", 400),
        (ObjectError::from(CustomerKeyError::Unexpected).into(), "InvalidRequest", 400),
        (ObjectError::from(CustomerKeyError::Length).into(), "InvalidArgument", 400),
        (ContextError::TooLong.into(), "InvalidArgument", 400),
        (Refused::Stopped.into(), "ServiceUnavailable", 503),
        (Refused::Frozen.into(), "ServiceUnavailable", 503),
        (Refused::Full { limit: "x", retry_after: wait }.into(), "SlowDown", 503),
        (OutcomeUnknown.into(), "InternalError", 500),
        (Error::Randomness, "InternalError", 500),
    ] {
        let told = S3Error::from(&error);
        assert_eq!((told.code.name(), told.status()), (name, status), "{error}");
    }
}

#[test]
fn codes_have_names_of_their_own_and_statuses_of_errors() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    let told = S3Error::from(&KeyError::Disabled).to_string();
    assert_eq!(told, "KMS.DisabledException: The KMS key is disabled.");
}

#[test]
fn equal_contexts_give_equal_headers() {
    let one = EncryptionContext::new().with("a", "1").unwrap().with("\u{e9}\"", "\n").unwrap();
    let rendered = super::super::context::render(&one);
    assert!(super::super::context::parse(&rendered).unwrap() == one);
}
