//! Files under a customer's key against section 1 of the page.

use std::fs;
use std::io::Write;

use portcullis::context::EncryptionContext;
use portcullis::objects::CustomerKey;

use crate::fixture::{Fixture, context, root_key_file};
use crate::plain;
use crate::python::{Opener, Verdict};

const KEY: [u8; 32] = *b"a customer's key, kept by nobody";

#[tokio::test]
async fn the_opener_opens_files_under_a_customers_key_and_refuses_every_changed_field() {
    let Some(opener) = Opener::find() else { return };
    for cloned_host in [false, true] {
        let fixture = Fixture::new(root_key_file, cloned_host).await;
        let (key, context) = (CustomerKey::from_bytes(&KEY).unwrap(), context());
        let mut files = Vec::new();
        for size in [0, 1, 16_384, 16_385, 200_003] {
            let mut sealing = fixture.kms.seal_write_sse_c(&key, &context, Vec::new()).unwrap();
            sealing.write_all(&plain(size)).unwrap();
            let sealed = sealing.finish().unwrap();
            assert_eq!(sealed[5], if cloned_host { 2 } else { 1 });
            let name = format!("{size}.sealed");
            fs::write(fixture.path(&name), &sealed).unwrap();
            files.push((name, size, sealed));
        }
        let at_rest = fixture.stop().await;
        fs::write(at_rest.path("customer.key"), KEY).unwrap();
        fs::write(at_rest.path("other.key"), [7; 32]).unwrap();
        let open = |context: &EncryptionContext, key, file: &str| {
            opener.open_customer_file(&at_rest, context, key, file)
        };
        for (name, size, _) in &files {
            let opened = open(&context, "customer.key", name);
            assert!(opened == Verdict::Opened(plain(*size)), "{name}: {opened:?}");
        }
        let refused = |verdict| matches!(verdict, Verdict::Refused(_));
        let (name, _, sealed) = &files[1];
        assert!(refused(open(&context, "other.key", name)));
        assert!(refused(open(&EncryptionContext::new(), "customer.key", name)));
        // Magic, version, suite, customer salt, key check, salt, commitment, chunk, tag.
        for at in [0, 4, 5, 6, 38, 70, 94, 126, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 0x40;
            fs::write(at_rest.path("changed"), changed).unwrap();
            assert!(refused(open(&context, "customer.key", "changed")), "byte {at}");
        }
    }
}
