//! A keystore of format version 1 that an independent program made (Python, `hmac`, `hashlib`,
//! `cryptography`) from the formats as they are documented: it opens in this release and in every
//! later one.

use core::time::Duration;

use super::*;
use crate::key::{KeyState, VersionState};

#[test]
fn a_keystore_made_by_the_documentation_alone_opens() {
    let dir = scratch();
    let config = anchored(dir.path());
    let disk = Disk::create(&config.directory).unwrap();
    for (name, bytes) in
        [("keystore", HEADER), ("manifest", MANIFEST), ("ktenant_sa.key", RECORD), ("lock", "")]
    {
        disk.create_file(name, &hex::decode(bytes).unwrap()).unwrap();
    }
    let outside = Disk::open(dir.path(), disk::Access::Shared).unwrap();
    outside.create_file("mark", &hex::decode(MARK).unwrap()).unwrap();

    let mut backend = open(&config).unwrap();
    assert_eq!(backend.info().id.to_string(), "000102030405060708090a0b0c0d0e0f");
    assert_eq!((backend.info().generation, backend.info().created), (42, NOW));
    let record = Arc::clone(&backend.records()["tenant/a"]);
    let at = NOW.plus(Duration::from_secs(7 * 86_400));
    assert_eq!(record.state, KeyState::PendingDeletion { at, was_enabled: true });
    assert_eq!(record.description, "f\u{fc}r Mandant A");
    assert_eq!(record.tags["env"], "prod");
    assert_eq!(record.tags["owner"], "");
    assert!(record.open_only && record.policy.allow_decrypt_when_disabled);
    assert_eq!(record.policy.rotate_after, Some(Duration::new(86_400, 500)));
    assert_eq!(record.policy.rotate_at_uses, Some(1 << 31));
    let versions: Vec<_> = record
        .versions
        .iter()
        .map(|v| (v.tag.as_bytes(), v.state, v.uses_reserved, v.material.is_some()))
        .collect();
    assert_eq!(
        versions,
        [
            (b"AAAAAAAA", VersionState::Retired, 1 << 16, true),
            (b"BBBBBBBB", VersionState::Destroyed, 9, false),
            (b"CCCCCCCC", VersionState::Active, 1 << 32, true),
        ]
    );
    assert_eq!(record.current().unwrap().material.as_ref().unwrap().expose(), &[3; 32]);
    mutate(&mut backend, "tenant/a", &Mutation::CancelDeletion).unwrap();
    drop(backend);
    open(&config).unwrap();
}

const HEADER: &str = "50434b5301000102030405060708090a0b0c0d0e0f000001a0c4506c0001323334353637\
    38393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505100000000000000000000\
    000043c158e154d512bda4d54299495a869004b5f3a52a1b4603577b8b596ff10a9c2121\
    21212121212121212121aefc0858f7c35b8529b17eb4aaafb133fb10840a1f06d513175f\
    8e83259ecc8f07b7e6159bdbc607ff8802810907863934d73b3bedc7b3c9065ab5ec9729\
    b8e5426bca9a88ed5e1ca4e9478bc1d378fe";

const MANIFEST: &str = "50434b4d01000102030405060708090a0b0c0d0e0f777777777777777777777777777777\
    770000000000000029555555555555555555555555555555555555555555555555555555\
    555555555500000002086b657973746f7265fd7f6bddadb003d8e9572d097256979a3a4e\
    2c83574cae6cfa7452d24492141800000e6b74656e616e745f73612e6b6579be61734634\
    af97dc7f9d46f017481b56087d7a794ee4da5670be2b9e32dbddf80001e75ba6b0aa6bdd\
    14612ec8fc330a3a2bbf780a58b01c248b841f785920588a9301000000000000002a0e6b\
    74656e616e745f73612e6b6579be61734634af97dc7f9d46f017481b56087d7a794ee4da\
    5670be2b9e32dbddf817db7b44873378ff8eaa0ae3691b91854570d5252b94a3d87dfeb7\
    51fe23564f9609bdf9fff3bc34e9816995f17383c0bce220003f1f0c31b925ea0d0b564c\
    e502000000000000002a0d433d885ae246b5e1d2f584a18d77cd6d6192be7cc814d33da8\
    c886fb867cb6";

const RECORD: &str = "50434b5201000102030405060708090a0b0c0d0e0f0874656e616e742f61000000dc4242\
    4242424242424242424289c41dce1105ed3bd31e7e59ed7efcac7461abaad98ca89520fa\
    215f0877b9da6c3342e10c0c202412ba5e620850a55ab9e9f82348294cf622b57c176b00\
    f50fa3ee7ff5a683b0e14ccbb805eaf80223e46f59a72578a4ee7c9071cc1306fc9e6b40\
    df4f9b4b6c0882889f62013d6c316d770ce23df409c06d628c302e3b75c3231e3a64d396\
    79d152471b8c210b1e8567679938221454125773e4f36c2afefbb0ebf0835b4366c22d3d\
    63b29094f171dc84bd22dd79ca3260170feeeb2f758f4664f41802268c77bf86f590c858\
    55f89c6a0d1b41997f566bac0e00e3ab4bfaced4e818bc19d6aa39bbdef7";

const MARK: &str = "50434b4101000102030405060708090a0b0c0d0e0f777777777777777777777777777777\
    77000000000000002a9609bdf9fff3bc34e9816995f17383c0bce220003f1f0c31b925ea\
    0d0b564ce5452b54a7dc68ed04ca7aedb84a3ede80c5550d2034424a4f040e3f3128a632\
    b9";
