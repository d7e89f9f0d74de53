//! A key in every form in which memory may hold it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// A secret to look for.
pub struct Needle {
    name: &'static str,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Needle {
    pub fn new(name: &'static str, secret: &[u8]) -> Self {
        assert!(secret.len() >= 16, "too short to be told from chance");
        let mut forms = vec![
            ("raw", secret.to_vec()),
            ("hex", hex::encode(secret).into_bytes()),
            ("upper hex", hex::encode_upper(secret).into_bytes()),
        ];
        for (form, lead) in [("base64", 0), ("base64 +1", 1), ("base64 +2", 2)] {
            forms.push((form, inner_base64(secret, lead)));
        }
        if let Ok(key) = <[u8; 32]>::try_from(secret) {
            // Past the first two round keys, which are the key itself; in memory order of bytes and
            // of words, as different implementations have it.
            let schedule = expand_aes_256(&key);
            let words = &schedule[8..16];
            forms.push(("schedule", words.iter().flat_map(|word| word.to_be_bytes()).collect()));
            forms.push(("schedule words", words.iter().flat_map(|w| w.to_le_bytes()).collect()));
        }
        Self { name, forms }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn forms(&self) -> &[(&'static str, Vec<u8>)] {
        &self.forms
    }
}

/// The characters of base64 that depend on `secret` alone when `lead` bytes stand before it.
fn inner_base64(secret: &[u8], lead: usize) -> Vec<u8> {
    let whole = (secret.len() + lead) / 3 * 3;
    let bytes: Vec<u8> = std::iter::repeat_n(0, lead).chain(secret.iter().copied()).collect();
    let text = STANDARD_NO_PAD.encode(&bytes[..whole]);
    let first = if lead == 0 { 0 } else { 4 };
    text.as_bytes()[first..].to_vec()
}

/// The words of the key schedule of AES-256 (FIPS 197, section 5.2).
fn expand_aes_256(key: &[u8; 32]) -> [u32; 60] {
    let sbox = sbox();
    let substitute =
        |word: u32| u32::from_be_bytes(word.to_be_bytes().map(|b| sbox[usize::from(b)]));
    let mut words = [0; 60];
    for (word, bytes) in words.iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let mut round = 1_u32;
    for n in 8..60 {
        let before = words[n - 1];
        let mixed = match n % 8 {
            0 => {
                let mixed = substitute(before.rotate_left(8)) ^ (round << 24);
                round <<= 1;
                mixed
            }
            4 => substitute(before),
            _ => before,
        };
        words[n] = words[n - 8] ^ mixed;
    }
    words
}

/// The S-box of AES (FIPS 197, section 5.1.1): inverses in GF(2^8), and an affine map.
fn sbox() -> [u8; 256] {
    let mut sbox = [0; 256];
    let (mut p, mut q) = (1_u8, 1_u8);
    loop {
        // p runs through all powers of 3, q through their inverses.
        p = p ^ (p << 1) ^ (if p & 0x80 == 0 { 0 } else { 0x1b });
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        q ^= if q & 0x80 == 0 { 0 } else { 0x09 };
        let mapped = q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4);
        sbox[usize::from(p)] = mapped ^ 0x63;
        if p == 1 {
            break;
        }
    }
    sbox[0] = 0x63;
    sbox
}

#[test]
fn the_forms_of_a_key_are_those_of_the_standards() {
    // FIPS 197, appendix A.3.
    let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
    let schedule = expand_aes_256(&key.unwrap().try_into().unwrap());
    assert_eq!((schedule[8], schedule[59]), (0x9ba3_5411, 0x706c_631e));
    let secret: Vec<u8> = (0..32).collect();
    for lead in 0..3 {
        let inner = inner_base64(&secret, lead);
        for tail in 0..3 {
            let text = [vec![0xee; lead], secret.clone(), vec![0xdd; tail]].concat();
            let text = STANDARD_NO_PAD.encode(text);
            assert!(
                text.as_bytes().windows(inner.len()).any(|part| part == inner),
                "{lead} {tail}"
            );
        }
    }
}
