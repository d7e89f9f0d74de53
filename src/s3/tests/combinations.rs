//! One row per combination of headers: what it is for, the headers, S3's code.

use super::*;

/// A row: the case, the headers, and the code of the refusal or none.
type Row = (&'static str, Sent, Option<Code>);

fn sent() -> Sent {
    Sent::default()
}

fn context(json: &str) -> Sent {
    sent().kms("k").with(names::CONTEXT, base64(json.as_bytes()))
}

/// The rows of the three headers of a customer's key, under the names of `trio`.
fn customer_rows(trio: [&str; 3]) -> Vec<Row> {
    let [algorithm, key, key_md5] = trio;
    let (k, m) = (base64(&KEY), md5(&KEY));
    let whole = |a: &str, k: &str, m: &str| sent().with(algorithm, a).with(key, k).with(key_md5, m);
    let of = |bytes: &[u8]| whole("AES256", &base64(bytes), &md5(bytes));
    let (argument, other) = (Code::InvalidArgument, Code::InvalidEncryptionAlgorithm);
    vec![
        ("all three", of(&KEY), None),
        ("names in another case", sent().with(&algorithm.to_uppercase(), "AES256"), Some(argument)),
        ("key and MD5 alone", sent().with(key, &k).with(key_md5, &m), Some(argument)),
        (
            "algorithm and MD5 alone",
            sent().with(algorithm, "AES256").with(key_md5, &m),
            Some(argument),
        ),
        ("algorithm and key alone", sent().with(algorithm, "AES256").with(key, &k), Some(argument)),
        ("key alone", sent().with(key, &k), Some(argument)),
        ("MD5 alone", sent().with(key_md5, &m), Some(argument)),
        ("another algorithm", whole("AES128", &k, &m), Some(other)),
        ("an algorithm in lower case", whole("aes256", &k, &m), Some(other)),
        ("an empty algorithm", whole("", &k, &m), Some(other)),
        ("128 bits", of(&KEY[..16]), Some(argument)),
        ("248 bits", of(&KEY[..31]), Some(argument)),
        ("264 bits", of(&[7; 33]), Some(argument)),
        ("a kilobyte", of(&[7; 1024]), Some(argument)),
        ("an empty key", of(&[]), Some(argument)),
        ("a key in base64 twice", of(k.as_bytes()), Some(argument)),
        ("a key without padding", whole("AES256", k.trim_end_matches('='), &m), Some(argument)),
        ("a key with a space", whole("AES256", &format!("{k} "), &m), Some(argument)),
        ("bits behind the key's end", whole("AES256", &k.replace("4=", "5="), &m), Some(argument)),
        ("a key in hexadecimal", whole("AES256", &hex::encode(KEY), &m), Some(argument)),
        ("the MD5 of another key", whole("AES256", &k, &md5(b"another")), Some(argument)),
        (
            "an MD5 in hexadecimal",
            whole("AES256", &k, &hex::encode(Md5::digest(KEY))),
            Some(argument),
        ),
        (
            "an MD5 that is cut",
            whole("AES256", &k, &base64(&Md5::digest(KEY)[..15])),
            Some(argument),
        ),
        (
            "an MD5 and more",
            whole("AES256", &k, &base64(&[&Md5::digest(KEY)[..], b"x"].concat())),
            Some(argument),
        ),
        ("an empty MD5", whole("AES256", &k, ""), Some(argument)),
        ("the key twice", of(&KEY).with(key, &k), Some(argument)),
        ("the key twice, in another case", of(&KEY).with(&key.to_uppercase(), &k), Some(argument)),
        (
            "a key that is not text",
            sent().with(algorithm, "AES256").with(key, [0xff; 44]).with(key_md5, &m),
            Some(argument),
        ),
    ]
}

fn check(rows: Vec<Row>, answer: impl Fn(&Sent) -> Option<Code>) {
    for (case, sent, expected) in rows {
        assert_eq!(answer(&sent), expected, "{case}");
    }
}

const CUSTOMER: [&str; 3] =
    [names::CUSTOMER_ALGORITHM, names::CUSTOMER_KEY, names::CUSTOMER_KEY_MD5];
const COPY_SOURCE: [&str; 3] = [
    names::COPY_SOURCE_CUSTOMER_ALGORITHM,
    names::COPY_SOURCE_CUSTOMER_KEY,
    names::COPY_SOURCE_CUSTOMER_KEY_MD5,
];

#[test]
fn a_customers_key_is_taken_whole_and_exact_or_refused_on_writes_reads_and_copies() {
    check(customer_rows(CUSTOMER), |sent| code(sent.requested()));
    check(customer_rows(CUSTOMER), |sent| code(sent.customer_key()));
    check(customer_rows(COPY_SOURCE), |sent| {
        code(sent.over(Transport::Tls).and_then(|headers| headers.copy_source_key()))
    });
}

#[test]
fn what_is_wrong_with_a_customers_key_is_said_as_s3_says_it() {
    let k = base64(&KEY);
    let said = |sent: Sent| sent.requested().err().unwrap().message;
    let part = |message: String, words: &str| assert!(message.contains(words), "{message}");
    let algorithm = sent().with(names::CUSTOMER_ALGORITHM, "AES256");
    part(said(sent().with(names::CUSTOMER_KEY, &k)).into(), "valid encryption algorithm");
    part(said(algorithm.clone()).into(), "appropriate secret key");
    part(said(algorithm.clone().with(names::CUSTOMER_KEY, &k)).into(), "client calculated MD5");
    // The MD5 is held against the key before its length is: as S3 does.
    let short = algorithm.with(names::CUSTOMER_KEY, base64(b"short"));
    let other = short.clone().with(names::CUSTOMER_KEY_MD5, md5(&KEY));
    part(said(other).into(), "did not match the hash");
    part(said(short.with(names::CUSTOMER_KEY_MD5, md5(b"short"))).into(), "secret key was invalid");
}

#[test]
fn a_customers_key_over_plain_http_is_refused_before_it_is_looked_at() {
    for trio in [CUSTOMER, COPY_SOURCE] {
        for (case, sent, answer) in customer_rows(trio) {
            let over = |transport| {
                let headers = sent.over(transport)?;
                let written = headers.requested()?;
                let read = headers.customer_key()?.is_given();
                let source = headers.copy_source_key()?.is_given();
                Ok(matches!(written, Requested::SseC(_)) == read && read != source)
            };
            let plain: Result<bool, S3Error> = over(Transport::Plain);
            let refused = plain.unwrap_err();
            if refused.code != Code::InvalidRequest {
                // What is read before the connection counts: twice, or not text.
                assert!(refused.message.starts_with("An encryption header"), "{case}");
            }
            let development: Result<bool, S3Error> = over(Transport::PlainInDevelopment);
            assert_eq!(
                development.map_err(|error| error.code),
                answer.map_or(Ok(true), Err),
                "{case}"
            );
        }
    }
}

#[test]
fn a_request_names_one_encryption_or_none() {
    let aes = || sent().with(names::ENCRYPTION, "AES256");
    let kms = || sent().with(names::ENCRYPTION, "aws:kms");
    let argument = Some(Code::InvalidArgument);
    check(
        vec![
            ("none", sent(), None),
            ("headers of others", sent().with("content-type", "a").with("x-amz-acl", "b"), None),
            (
                "bytes in headers of others",
                sent().with("x-amz-meta-a", [0xff]).with("x-amz-meta-a", "b"),
                None,
            ),
            ("SSE-S3", aes(), None),
            ("SSE-S3 twice", aes().with(names::ENCRYPTION, "AES256"), argument),
            ("SSE-KMS", kms(), None),
            (
                "SSE-KMS with all its headers",
                context("{}").with(names::BUCKET_KEY_ENABLED, "false"),
                None,
            ),
            (
                "two layers of SSE-KMS",
                sent().with(names::ENCRYPTION, "aws:kms:dsse"),
                Some(Code::NotImplemented),
            ),
            ("an empty method", sent().with(names::ENCRYPTION, ""), argument),
            ("a method in lower case", sent().with(names::ENCRYPTION, "aes256"), argument),
            ("a method with a space", sent().with(names::ENCRYPTION, "AES256 "), argument),
            ("a method of S3's for others", sent().with(names::ENCRYPTION, "aws:fsx"), argument),
            ("a misspelt method", sent().with(names::ENCRYPTION, "aes:kms"), argument),
            ("SSE-S3 with a key id", aes().with(names::KMS_KEY_ID, "k"), argument),
            ("SSE-S3 with a context", aes().with(names::CONTEXT, base64(b"{}")), argument),
            ("SSE-S3 with a bucket key", aes().with(names::BUCKET_KEY_ENABLED, "false"), argument),
            ("a key id alone", sent().with(names::KMS_KEY_ID, "k"), argument),
            ("a context alone", sent().with(names::CONTEXT, base64(b"{}")), argument),
            ("a bucket key alone", sent().with(names::BUCKET_KEY_ENABLED, "true"), argument),
            (
                "a bucket key that is neither",
                kms().with(names::BUCKET_KEY_ENABLED, "True"),
                argument,
            ),
            ("an empty key id", kms().with(names::KMS_KEY_ID, ""), Some(Code::KmsNotFound)),
            ("a key id of dots", kms().with(names::KMS_KEY_ID, "../k"), Some(Code::KmsNotFound)),
            (
                "a key's ARN",
                kms().with(names::KMS_KEY_ID, "arn:aws:kms:eu-west-1:1:key/k"),
                Some(Code::KmsNotFound),
            ),
            ("SSE-C and SSE-S3", aes().customer(&KEY), argument),
            ("SSE-C and SSE-KMS", kms().customer(&KEY), argument),
            ("SSE-C and a key id", sent().customer(&KEY).with(names::KMS_KEY_ID, "k"), argument),
            (
                "SSE-C and a context",
                sent().customer(&KEY).with(names::CONTEXT, base64(b"{}")),
                argument,
            ),
            // The conflict is told before what else is wrong.
            ("SSE-S3 and a part of SSE-C", aes().with(names::CUSTOMER_ALGORITHM, "x"), argument),
        ],
        |sent| code(sent.requested()),
    );
}

#[test]
fn a_context_is_an_object_of_strings_each_name_once_and_bounded() {
    let argument = Some(Code::InvalidArgument);
    let many = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|n| format!(r#""{n}":"""#)).collect();
        format!("{{{}}}", pairs.join(","))
    };
    check(
        vec![
            ("empty", context("{}"), None),
            ("pairs", context(r#" { "a" : "1", "\u00e9": "\n" } "#), None),
            ("64 pairs", context(&many(64)), None),
            ("65 pairs", context(&many(65)), argument),
            (
                "a value of 5,000 bytes",
                context(&format!(r#"{{"a":"{}"}}"#, "x".repeat(5000))),
                None,
            ),
            (
                "longer than the header may be",
                context(&format!(r#"{{"a":"{}"}}"#, "x".repeat(7000))),
                argument,
            ),
            ("not base64", sent().kms("k").with(names::CONTEXT, "{}"), argument),
            ("base64 without padding", sent().kms("k").with(names::CONTEXT, "e30"), argument),
            ("an empty header", sent().kms("k").with(names::CONTEXT, ""), argument),
            ("not JSON", context("a=1"), argument),
            (
                "not UTF-8",
                sent().kms("k").with(names::CONTEXT, base64(b"{\"a\":\"\xff\"}")),
                argument,
            ),
            ("an array", context("[]"), argument),
            ("null", context("null"), argument),
            ("a number", context(r#"{"a":1}"#), argument),
            ("an object in it", context(r#"{"a":{}}"#), argument),
            ("null in it", context(r#"{"a":null}"#), argument),
            ("an empty name", context(r#"{"":"1"}"#), argument),
            ("a name twice", context(r#"{"a":"1","a":"1"}"#), argument),
            ("a name twice, spelt otherwise", context(r#"{"a":"1","\u0061":"2"}"#), argument),
            ("more behind it", context("{}{}"), argument),
            ("a comma too many", context(r#"{"a":"1",}"#), argument),
            ("half a surrogate", context(r#"{"a":"\ud800"}"#), argument),
        ],
        |sent| code(sent.requested()),
    );
}

#[test]
fn calls_that_choose_no_encryption_take_no_header_that_does() {
    for (name, value) in [
        (names::ENCRYPTION, "AES256"),
        (names::ENCRYPTION, "aws:kms"),
        (names::KMS_KEY_ID, "k"),
        (names::CONTEXT, "e30="),
        (names::BUCKET_KEY_ENABLED, "false"),
    ] {
        let alone = sent().with(name, value);
        assert_eq!(code(alone.customer_key()), Some(Code::InvalidArgument), "{name}");
        let beside = alone.customer(&KEY);
        assert_eq!(code(beside.customer_key()), Some(Code::InvalidArgument), "{name}");
    }
}
