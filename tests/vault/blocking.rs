//! Objects in the forms of a host that has no runtime.

use std::io::{Read, Write};

use portcullis::Kms;

use crate::site::{context, id};

/// `plain`, sealed in each of them.
pub fn sealed_without_a_runtime(kms: &Kms, plain: &[u8]) -> Vec<Vec<u8>> {
    let (key, context) = (id("default"), context("a"));
    let mut read = Vec::new();
    kms.seal_read(&key, &context, plain).unwrap().read_to_end(&mut read).unwrap();
    let mut writer = kms.seal_write(&key, &context, Vec::new()).unwrap();
    writer.write_all(plain).unwrap();
    let written = writer.finish().unwrap();
    let mut whole = Vec::new();
    kms.seal_into_blocking(&key, &context, plain, &mut whole).unwrap();
    let mut in_place = plain.to_vec();
    kms.seal_in_place_blocking(&key, &context, &mut in_place).unwrap();
    vec![read, written, whole, in_place]
}

/// Opens `sealed` in each of them.
pub fn opens_without_a_runtime(kms: &Kms, sealed: &[u8], plain: &[u8]) {
    let context = context("a");
    let mut read = Vec::new();
    kms.open_read(&context, sealed).unwrap().read_to_end(&mut read).unwrap();
    let mut writer = kms.open_write(&context, Vec::new());
    writer.write_all(sealed).unwrap();
    let written = writer.finish().unwrap();
    let mut whole = Vec::new();
    kms.open_into_blocking(&context, sealed, &mut whole).unwrap();
    assert!(read == plain && written == plain && whole == plain);
}
