//! Stored objects against section 8 of the page.

use std::fs;

use portcullis::Kms;
use portcullis::context::EncryptionContext;
use portcullis::objects::{
    Checksum, ChecksumAlgorithm, ChecksumScope, CustomerKey, Facts, ObjectName, ObjectRecord,
    PartNumber, PartTable, Protection,
};
use tokio::io::AsyncReadExt;

use crate::fixture::{AtRest, Fixture, context, root_key_file};
use crate::plain;
use crate::python::{Opener, Verdict};

const NAME: [&str; 3] = ["--object", "photos", "2026/gr\u{fc}n.jpg"];
const CUSTOMER_KEY: [u8; 32] = *b"a customer's key, kept by nobody";

fn name() -> ObjectName {
    ObjectName::new(NAME[1], NAME[2]).unwrap()
}

fn facts() -> Facts {
    let scope = ChecksumScope::Composite;
    let checksum = Checksum::new(ChecksumAlgorithm::Sha256, scope, &[7; 32]).unwrap();
    Facts::new().with_etag("\"0123-2\"").unwrap().with_checksum(checksum).unwrap()
}

async fn put(kms: &Kms, protection: Protection<'_>, plain: &[u8]) -> (Vec<u8>, ObjectRecord) {
    let mut sealing = kms.seal_object(&name(), &context(), protection, plain).await.unwrap();
    let mut body = Vec::new();
    sealing.read_to_end(&mut body).await.unwrap();
    (body, sealing.finish(&facts()).unwrap())
}

async fn put_parts(
    kms: &Kms,
    protection: Protection<'_>,
    parts: &[&[u8]],
) -> (Vec<u8>, ObjectRecord, PartTable) {
    let key = match protection {
        Protection::SseC { key } => Some(key),
        _ => None,
    };
    let upload = kms.create_upload(&name(), &context(), protection, None).await.unwrap();
    let (mut bodies, mut records) = (Vec::new(), Vec::new());
    for (number, plain) in (1..).zip(parts) {
        let number = PartNumber::new(number * 7).unwrap();
        let mut sealing = upload.seal_part(number, key, *plain).await.unwrap();
        sealing.read_to_end(&mut bodies).await.unwrap();
        records.push(sealing.finish(&Facts::new()).unwrap());
    }
    let done = upload.complete(&records, &facts()).await.unwrap();
    (bodies, done.record, done.parts)
}

fn store(at: &Fixture, file: &str, body: &[u8], record: &ObjectRecord, parts: Option<&PartTable>) {
    fs::write(at.path(file), body).unwrap();
    fs::write(at.path(&format!("{file}.record")), record.as_bytes()).unwrap();
    if let Some(parts) = parts {
        fs::write(at.path(&format!("{file}.parts")), parts.as_bytes()).unwrap();
    }
}

/// What the opener says of an object, with and without the customer's key.
struct Case<'a> {
    opener: &'a Opener,
    at_rest: &'a AtRest,
    context: EncryptionContext,
    under_customer_key: bool,
}

impl Case<'_> {
    fn open(&self, file: &str, more: &[&str]) -> Verdict {
        let path = self.at_rest.path("customer.key");
        let key = ["--customer-key", path.to_str().unwrap()];
        let key = if self.under_customer_key { &key[..] } else { &[] };
        let arguments = [&NAME[..], key, more].concat();
        self.opener.open_object(self.at_rest, &self.context, &arguments, file)
    }
}

#[tokio::test]
async fn the_opener_opens_objects_of_every_mode_whole_in_parts_and_by_range() {
    let Some(opener) = Opener::find() else { return };
    for cloned_host in [false, true] {
        let fixture = Fixture::new(root_key_file, cloned_host).await;
        let key = CustomerKey::from_bytes(&CUSTOMER_KEY).unwrap();
        fs::write(fixture.path("customer.key"), CUSTOMER_KEY).unwrap();
        let modes = [
            (Protection::SseS3, false),
            (Protection::SseKms { key: None }, false),
            (Protection::SseC { key: &key }, true),
        ];
        let text = plain(70_000);
        let parts = [&text[..16_384], &text[16_384..50_001], &text[..0], &text[50_001..]];
        let mut objects = Vec::new();
        for (nth, (protection, under_customer_key)) in modes.into_iter().enumerate() {
            for size in [0, 100, 16_384, 70_000] {
                let file = format!("{nth}.{size}");
                let (body, record) = put(&fixture.kms, protection, &text[..size]).await;
                store(&fixture, &file, &body, &record, None);
                objects.push((file, size, under_customer_key));
            }
            let file = format!("{nth}.parts-of-it");
            let (bodies, record, table) = put_parts(&fixture.kms, protection, &parts).await;
            store(&fixture, &file, &bodies, &record, Some(&table));
            objects.push((file, text.len(), under_customer_key));
        }
        let at_rest = fixture.stop().await;
        for (file, size, under_customer_key) in objects {
            let context = context();
            let case = Case { opener: &opener, at_rest: &at_rest, context, under_customer_key };
            let opened = case.open(&file, &[]);
            assert!(opened == Verdict::Opened(text[..size].to_vec()), "{file}: {opened:?}");
            if size == text.len() {
                for (first, end) in [(0, 1), (16_383, 16_385), (49_000, 70_000), (69_999, 70_000)] {
                    let range = format!("{first}:{end}");
                    let opened = case.open(&file, &["--range", &range]);
                    let wanted = text[first..end].to_vec();
                    assert!(opened == Verdict::Opened(wanted), "{file} {range}: {opened:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_opener_refuses_objects_that_were_changed_and_keys_that_are_not_theirs() {
    let Some(opener) = Opener::find() else { return };
    let fixture = Fixture::new(root_key_file, false).await;
    let key = CustomerKey::from_bytes(&CUSTOMER_KEY).unwrap();
    let protection = Protection::SseC { key: &key };
    let (text, kms) = (plain(40_000), &fixture.kms);
    let parts = [&text[..20_000], &text[20_000..]];
    let (bodies, record, table) = put_parts(kms, protection, &parts).await;
    let (older, _, other_table) = put_parts(kms, protection, &parts).await;
    store(&fixture, "o", &bodies, &record, Some(&table));
    fs::write(fixture.path("customer.key"), CUSTOMER_KEY).unwrap();
    let at_rest = fixture.stop().await;
    let mut case =
        Case { opener: &opener, at_rest: &at_rest, context: context(), under_customer_key: true };
    assert!(case.open("o", &[]) == Verdict::Opened(text));
    let refused = |case: &Case<'_>, what: &str| {
        let opened = case.open("o", &[]);
        assert!(matches!(opened, Verdict::Refused(_)), "{what}: {opened:?}");
    };
    let files: [(&str, &[u8]); 3] =
        [("o", &bodies), ("o.record", record.as_bytes()), ("o.parts", table.as_bytes())];
    for (file, bytes) in files {
        let step = (bytes.len() / 9).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            fs::write(at_rest.path(file), changed).unwrap();
            refused(&case, &format!("byte {at} of {file}"));
        }
        fs::write(at_rest.path(file), &bytes[..bytes.len() - 1]).unwrap();
        refused(&case, file);
        fs::write(at_rest.path(file), [bytes, b"\0"].concat()).unwrap();
        refused(&case, file);
        fs::write(at_rest.path(file), bytes).unwrap();
    }
    fs::write(at_rest.path("o.parts"), other_table.as_bytes()).unwrap();
    refused(&case, "the table of another upload");
    fs::write(at_rest.path("o.parts"), table.as_bytes()).unwrap();
    let half = bodies.len() / 2;
    fs::write(at_rest.path("o"), [&older[..half], &bodies[half..]].concat()).unwrap();
    refused(&case, "a part of another upload");
    fs::write(at_rest.path("o"), &bodies).unwrap();
    case.under_customer_key = false;
    refused(&case, "no customer key");
    case.under_customer_key = true;
    fs::write(at_rest.path("customer.key"), [1; 32]).unwrap();
    refused(&case, "another customer key");
    fs::write(at_rest.path("customer.key"), CUSTOMER_KEY).unwrap();
    case.context = EncryptionContext::new();
    refused(&case, "another context");
}
