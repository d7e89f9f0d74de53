use proptest::prelude::*;

use super::*;

const NOW: WallTime = WallTime::from_millis(1_790_000_000_000);

fn id() -> KeyId {
    KeyId::new("tenant/a").unwrap()
}

fn version(number: u32) -> KeyVersion {
    KeyVersion::new(number).unwrap()
}

fn made(id: &KeyId, number: KeyVersion, seed: u8) -> MadeVersion {
    let mut bytes = [seed; 32];
    bytes[7] ^= 0xff;
    let material = Secret::copy_of(&bytes).unwrap();
    let tag = VersionTag::from_bytes([seed; 8]);
    let mac = hex(&version_mac(&material, id, number, tag, NOW));
    MadeVersion { tag, created: NOW, material: Arc::new(material), mac }
}

fn key(state: KeyState) -> (KeyRecord, Macs) {
    let mut macs = Macs::new();
    let mut versions = Vec::new();
    for number in 1..=3 {
        let made = made(&id(), version(number), u8::try_from(number).unwrap());
        macs.insert(version(number), made.mac.clone());
        versions.push(Arc::new(VersionRecord {
            version: version(number),
            tag: made.tag,
            created: made.created,
            state: if number == 1 { VersionState::Retired } else { VersionState::Active },
            uses_reserved: 0,
            grant: None,
            material: Some(made.material),
        }));
    }
    let record = KeyRecord {
        id: id(),
        description: "a \"key\"\n".to_owned(),
        tags: BTreeMap::from([("team".to_owned(), "storage".to_owned())]),
        state,
        policy: KeyPolicy::new(),
        created: NOW,
        open_only: false,
        damage: None,
        revision: 6,
        versions,
    };
    (record, macs)
}

fn read_back(record: &StateRecord) -> KeyRecord {
    record.key(&id(), |_, bare| Ok::<_, ()>(bare), || ()).unwrap()
}

#[test]
fn a_state_reads_back_as_it_was_written() {
    let states = [
        KeyState::Enabled,
        KeyState::Disabled,
        KeyState::PendingDeletion { at: NOW, was_enabled: true },
    ];
    for state in states {
        let (key, macs) = key(state);
        let text = StateRecord::of(&key, &macs, 7, "me".to_owned()).text();
        let record = StateRecord::parse(&text, &id(), 7).unwrap();
        assert_eq!((record.writer.as_str(), record.is_destroyed()), ("me", false));
        let back = read_back(&record);
        assert_eq!(back.revision, 7);
        assert_eq!(back.describe(), key.describe());
        for (back, key) in back.versions.iter().zip(&key.versions) {
            assert_eq!((back.tag, back.state, back.created), (key.tag, key.state, key.created));
        }
    }
}

#[test]
fn a_state_put_back_or_put_elsewhere_is_told() {
    let (key, macs) = key(KeyState::Enabled);
    let text = StateRecord::of(&key, &macs, 7, String::new()).text();
    assert_eq!(StateRecord::parse(&text, &id(), 9).err(), Some("is an older state, put back"));
    let other = KeyId::new("tenant/b").unwrap();
    assert_eq!(StateRecord::parse(&text, &other, 7).err(), Some("is the state of another key"));
    let newest = key.current().unwrap().material.clone().unwrap();
    let mac = state_mac(&newest, &text);
    assert!(check_state_mac(&newest, &text, &mac).is_ok());
    let edited = text.replace("\"enabled\"", "\"disabled\"");
    assert_ne!(edited, text);
    assert!(check_state_mac(&newest, &edited, &mac).is_err());
    let older = key.versions[0].material.clone().unwrap();
    assert!(check_state_mac(&older, &text, &mac).is_err());
    assert!(check_state_mac(&newest, &text, "").is_err());
}

#[test]
fn versions_with_gaps_repeats_or_none_at_all_are_refused() {
    let (key, macs) = key(KeyState::Enabled);
    let whole = StateRecord::of(&key, &macs, 7, String::new());
    for numbers in [&[][..], &[0, 1], &[1, 3], &[2, 2], &[3, 2], &[10_000, 10_001]] {
        let mut record = StateRecord::parse(&whole.text(), &id(), 7).unwrap();
        let stored = record.versions[0].clone();
        record.versions = numbers.iter().map(|&n| StoredVersion { n, ..stored.clone() }).collect();
        assert!(StateRecord::parse(&record.text(), &id(), 7).is_err(), "{numbers:?}");
    }
}

#[test]
fn material_belongs_to_one_version_of_one_key() {
    let first = made(&id(), version(1), 1);
    let document = VersionDocument::new(&id(), version(1), &first);
    let back = document.verify(&id(), version(1)).unwrap();
    assert!(back.material.expose() == first.material.expose() && back.tag == first.tag);
    let other = KeyId::new("tenant/b").unwrap();
    assert!(document.verify(&other, version(1)).is_err());
    assert!(document.verify(&id(), version(2)).is_err());
    let mut exchanged = VersionDocument::new(&id(), version(1), &first);
    exchanged.material =
        VersionDocument::new(&id(), version(1), &made(&id(), version(1), 9)).material;
    assert_eq!(exchanged.verify(&id(), version(1)).err(), Some("was changed"));
    let mut renamed = VersionDocument::new(&other, version(1), &first);
    renamed.key = id().to_string();
    // The MAC was made for this key; one made for the other does not verify here.
    renamed.mac = made(&other, version(1), 1).mac;
    assert_eq!(renamed.verify(&id(), version(1)).err(), Some("was changed"));
}

#[test]
fn material_that_was_filled_is_refused() {
    for byte in [0, 0xff] {
        let mut document = VersionDocument::new(&id(), version(1), &made(&id(), version(1), 1));
        document.material = Zeroizing::new(STANDARD.encode([byte; 32]));
        assert_eq!(document.verify(&id(), version(1)).err(), Some("holds no 32 bytes of material"));
    }
}

proptest! {
    #[test]
    fn nothing_that_is_put_in_the_place_of_a_state_panics(text in "\\PC{0,200}", at in any::<u64>()) {
        prop_assert!(StateRecord::parse(&text, &id(), at).is_err());
    }

    #[test]
    fn a_state_with_a_byte_changed_is_another_or_none(at in 0..400_usize, by in 1..=127_u8) {
        let (key, macs) = key(KeyState::Enabled);
        let text = StateRecord::of(&key, &macs, 7, String::new()).text();
        let newest = key.current().unwrap().material.clone().unwrap();
        let mac = state_mac(&newest, &text);
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= by;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(check_state_mac(&newest, &changed, &mac).is_err());
        }
    }

    #[test]
    fn tags_and_macs_are_read_as_they_are_written(tag: [u8; 8], mac: [u8; 32], text in "\\PC{0,70}") {
        let tag = VersionTag::from_bytes(tag);
        prop_assert_eq!(parse_tag(&tag.to_string()), Some(tag));
        prop_assert_eq!(parse_mac(&hex(&mac)), Some(mac));
        if let Some(parsed) = parse_mac(&text) {
            prop_assert_eq!(hex(&parsed), text.to_ascii_lowercase());
        }
    }
}
