//! The formats, on arbitrary bytes and arbitrary records.

use proptest::prelude::*;

use super::super::header::{Fresh, HEADER_BYTES, Header};
use super::super::keys::MacKey;
use super::super::manifest::{Listed, Manifest};
use super::*;
use crate::key::{KeyState, VersionRecord, VersionState};

const KEYSTORE: KeystoreId = KeystoreId::from_bytes([5; 16]);

fn record_key() -> Secret<32> {
    Secret::copy_of(&[6; 32]).unwrap()
}

fn mac_key() -> MacKey {
    MacKey::new(record_key())
}

/// A record that a failing case can show; records themselves have no `Debug`.
struct Shown(KeyRecord);

impl core::fmt::Debug for Shown {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&essence(&self.0))
    }
}

/// Tag, time, kind, uses, material.
type RawVersion = ([u8; 8], u64, u8, u64, [u8; 32]);

fn versions(state: KeyState, first: u32, raw: Vec<RawVersion>) -> Vec<Arc<VersionRecord>> {
    let last = raw.len() - 1;
    let make = |(n, (tag, created, kind, uses, material)): (usize, RawVersion)| {
        let version_state = match kind {
            _ if state == KeyState::Destroyed => VersionState::Destroyed,
            1 if n != last => VersionState::Retired,
            2 if n != last => VersionState::Destroyed,
            _ => VersionState::Active,
        };
        let keeps = version_state != VersionState::Destroyed;
        Arc::new(VersionRecord {
            version: version(first + u32::try_from(n).unwrap()),
            tag: VersionTag::from_bytes(tag),
            created: WallTime::from_millis(created),
            state: version_state,
            uses_reserved: uses,
            grant: None,
            material: keeps.then(|| Arc::new(Secret::copy_of(&material).unwrap())),
        })
    };
    raw.into_iter().enumerate().map(make).collect()
}

fn states() -> impl Strategy<Value = KeyState> {
    prop_oneof![
        Just(KeyState::Enabled),
        Just(KeyState::Disabled),
        Just(KeyState::Destroyed),
        (any::<u64>(), any::<bool>()).prop_map(|(at, was_enabled)| {
            KeyState::PendingDeletion { at: WallTime::from_millis(at), was_enabled }
        }),
    ]
}

fn raw_versions() -> impl Strategy<Value = Vec<RawVersion>> {
    let one = (any::<[u8; 8]>(), any::<u64>(), 0..3_u8, 0..=1_u64 << 32, any::<[u8; 32]>());
    proptest::collection::vec(one, 1..6)
}

prop_compose! {
    fn records()(
        state in states(),
        id in "[a-z0-9._-]{1,40}".prop_filter_map("an id", |id| KeyId::new(&id).ok()),
        description in ".{0,60}",
        tags in proptest::collection::btree_map(".{1,20}", ".{0,40}", 0..5),
        (open_only, decrypts) in any::<(bool, bool)>(),
        created in any::<u64>(),
        age in proptest::option::of((1..u64::MAX, 0..1_000_000_000_u32)),
        uses in proptest::option::of(1..=1_u64 << 32),
        first in 1..1000_u32,
        raw in raw_versions(),
    ) -> Shown {
        let mut policy = KeyPolicy::new();
        policy.allow_decrypt_when_disabled = decrypts;
        policy.rotate_after = age.map(|(s, n)| core::time::Duration::new(s, n));
        policy.rotate_at_uses = uses;
        let created = WallTime::from_millis(created);
        let versions = versions(state, first, raw);
        let (damage, revision) = (None, 0);
        Shown(KeyRecord {
            id, description, tags, state, policy, created, open_only, damage, revision, versions,
        })
    }
}

fn files() -> impl Strategy<Value = BTreeMap<String, Listed>> {
    let listed = (any::<[u8; 32]>(), any::<u16>());
    let listed = listed.prop_map(|(digest, acceptances)| Listed { digest, acceptances });
    proptest::collection::btree_map("[a-z.]{1,30}", listed, 0..8)
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was_and_encodes_to_the_same_bytes(
        Shown(record) in records(), nonce: [u8; 12],
    ) {
        let file = record::seal(&record, KEYSTORE, &record_key(), nonce);
        let again = record::open(file.clone(), KEYSTORE, &record_key());
        let again = again.map_err(|problem| TestCaseError::fail(problem.to_string()))?;
        prop_assert_eq!(essence(&again), essence(&record));
        prop_assert_eq!(record::seal(&again, KEYSTORE, &record_key(), nonce), file);
    }

    /// Bodies that only a holder of the key could make: they decode to what encodes to the same
    /// bytes, or not at all.
    #[test]
    fn an_authentic_body_of_any_bytes_is_refused_or_canonical(
        Shown(record) in records(), at: prop::sample::Index, byte: u8, cut in 0..40_usize,
    ) {
        let mut body = record::encode(&record).expose().to_vec();
        *at.get_mut(&mut body) = byte;
        body.truncate(body.len() - cut.min(body.len()).saturating_sub(30));
        if let Ok(decoded) = record::decode(record.id, &body) {
            let again = record::encode(&decoded);
            prop_assert_eq!(again.expose(), &body);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes: Vec<u8>, kind in 0..4_usize) {
        let magic = [b"PCKS", b"PCKR", b"PCKM", b"PCKA"][kind];
        let keystore = KEYSTORE.as_bytes().as_slice();
        let formed = [magic.as_slice(), &[1], keystore, &bytes].concat();
        for bytes in [bytes, formed] {
            let _ = Header::decode(&bytes);
            let _ = Manifest::replay(&bytes, KEYSTORE, &mac_key());
            let _ = record::decode(id("a"), &bytes);
            let _ = record::open(bytes.clone(), KEYSTORE, &record_key());
            if let Some(mark) = Mark::from_bytes(&bytes) {
                prop_assert_eq!(mark.as_bytes().as_slice(), bytes);
            }
        }
    }

    #[test]
    fn a_manifest_replays_to_what_was_written(
        files in files(),
        changes in proptest::collection::vec(("[a-f]{1,2}", any::<[u8; 32]>()), 0..10),
        history: [u8; 16], link: [u8; 32], generation in 0..u64::MAX / 2,
        left_open: bool,
    ) {
        let key = mac_key();
        let mut manifest = Manifest::new(KEYSTORE, history, generation, link, files);
        let mut bytes = manifest.snapshot(&key);
        let mut open = None;
        let last = changes.len();
        for (n, (file, digest)) in changes.into_iter().enumerate() {
            let (intent, entry) = manifest.intent(&key, &file, digest);
            bytes.extend(entry);
            if left_open && n + 1 == last {
                open = Some(intent);
            } else {
                bytes.extend(manifest.close(&key, intent));
            }
        }
        let replayed = Manifest::replay(&bytes, KEYSTORE, &key);
        let replayed = replayed.map_err(|problem| TestCaseError::fail(problem.to_string()))?;
        prop_assert_eq!(&replayed.manifest, &manifest);
        prop_assert_eq!(replayed.open, open);
        prop_assert_eq!(replayed.whole_bytes, u64::try_from(bytes.len()).unwrap());
        let mut replayed = replayed.manifest;
        prop_assert_eq!(replayed.snapshot(&key), manifest.snapshot(&key));
    }

    #[test]
    fn a_header_comes_back_as_it_was(
        id: [u8; 16], created: u64, salt: [u8; 32], nonce: [u8; 12], key: [u8; 32],
    ) {
        let key = Secret::copy_of(&key).unwrap();
        let fresh = Fresh { salt, nonce };
        let created = WallTime::from_millis(created);
        let id = KeystoreId::from_bytes(id);
        let header = Header::lock(id, created, &root(1), &key, fresh).unwrap();
        let bytes = header.encode();
        prop_assert_eq!(bytes.len(), HEADER_BYTES);
        let again = Header::decode(&bytes).unwrap();
        prop_assert!(again == header);
        prop_assert_eq!(again.encode(), bytes);
        let unlocked = again.unlock(&root(1)).map_err(|_| TestCaseError::fail("locked"))?;
        prop_assert_eq!(unlocked.expose(), key.expose());
    }
}

/// Made by an independent implementation (Python, `hmac`, `cryptography`) of the documented
/// formulas.
#[test]
fn header_lock_and_check_are_those_of_the_documented_formula() {
    let key = Secret::copy_of(&[0x11; 32]).unwrap();
    let fresh = Fresh { salt: [0x22; 32], nonce: [0x33; 12] };
    let created = WallTime::from_millis(1_790_000_000_000);
    let header = Header::lock(KEYSTORE, created, &root(7), &key, fresh).unwrap();
    assert_eq!(hex::encode(&header.encode()[74..166]), HEADER_VECTOR);
}

const HEADER_VECTOR: &str = "0b3d8e2519cb8e7fba559100025ee627f65ab9319a6020ebd466a835c14fd9ab\
    333333333333333333333333b5558da0b96307c7bb3c2e6589c14d07cee3cbb8\
    6cf43261a5f0ed3494c9e9ab8df8fabc1d58c2759894c5d1a843c0de";
