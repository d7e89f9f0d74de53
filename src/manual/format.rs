//! Every byte that Portcullis stores: enough to write an opener from this page alone.
//!
//! To open a sealed file without Portcullis you need four things: the file, its encryption context,
//! the keystore directory and the keystore's root key. The path from one to the next:
//!
//! ```text
//! root key --HKDF--> lock key --opens--> keystore key       file `keystore`        section 4
//! keystore key --HKDF--> record key --opens--> the record   file `<name>.key`      section 5
//! the record holds the material of each version of the key
//! material --HKDF--> wrap key --opens--> data key           the envelope           section 3
//! data key --HKDF--> object key, base nonce --open--> text  the sealed file        section 1
//! ```
//!
//! `tests/format/opener.py` is such an opener, in Python, written from this page; the tests hold it
//! against the engine. Section 9 has a keystore and a sealed file in full, with every value
//! on the way.
//!
//! # Conventions
//!
//! * Numbers are unsigned, big-endian, of the width stated: `u8`, `u16`, `u32`, `u64`.
//! * `||` joins bytes. `"text"` is its ASCII bytes, without a zero at the end.
//! * Times are `u64` milliseconds since 1970-01-01T00:00:00Z.
//! * `HKDF-Extract` and `HKDF-Expand` are those of RFC 5869 with SHA-512. The third argument of
//!   `Expand` is the number of bytes it gives. Where a key is uniformly random already, the extract
//!   step is left out (RFC 5869, section 3.3).
//! * `AES-256-GCM` is NIST SP 800-38D, `AES-256-GCM-SIV` RFC 8452, both with 96-bit nonces and
//!   128-bit tags: `Seal[key](nonce, aad, text)` gives the ciphertext, as long as the text, and
//!   then the tag of 16 bytes. `HMAC` is RFC 2104, `SHA-256` FIPS 180-4.
//! * Every parser is strict: a field outside its stated range, a byte left over or missing, an
//!   unknown format version is a refusal. Bits and values that are not named are reserved and
//!   refused.
//!
//! # 1. A sealed file
//!
//! What `portcullis seal` writes and [`Kms::seal`](crate::Kms::seal) gives, as stream and as buffer:
//!
//! ```text
//! length
//!      4  "PCSF"
//!      1  format version, 1
//!      1  suite: 1 AES-256-GCM, 2 AES-256-GCM-SIV
//!      e  envelope of the object's data key, purpose 2; it names its own length (section 3)
//!     24  salt
//!     32  commitment of the object
//!         chunks, to the end of the file
//! ```
//!
//! From the salt on it is C2SP *chunked-encryption* v1 (<https://c2sp.org/chunked-encryption>);
//! suite 1 is its `Cobblestone-256`. The keys come from the data key, 32 bytes, that the envelope
//! wraps:
//!
//! ```text
//! object key 32 || base nonce 12 || commitment 32 =
//!     HKDF-Expand(data key,
//!                 "c2sp.org/chunked-encryption@v1+" || aead name || 0x00 || salt || context, 76)
//! aead name = "AEAD_AES_256_GCM" for suite 1, "AEAD_AES_256_GCM_SIV" for suite 2
//! context   = the canonical context of kind 2 with two empty fields (section 2), unhashed
//! ```
//!
//! Compare the commitment with the one in the file, in constant time, before anything is opened:
//! neither AEAD commits to its key.
//!
//! The plaintext is cut into chunks of 16,384 bytes. *The last chunk is always shorter, and may be
//! empty*: a plaintext of `n` bytes has `n / 16384` full chunks (rounded down) and one last chunk
//! of `n mod 16384` bytes. Chunk `i`, counted from 0:
//!
//! ```text
//! chunk i = Seal[object key](base nonce XOR i as 12 bytes big-endian, no AAD, its plaintext)
//! ```
//!
//! So in a file whose chunks begin at offset `c`, chunk `i` begins at `c + i * 16400`, and its
//! length is 16,400, or the rest of the file if that is less. To open:
//!
//! 1. Read up to 16,400 bytes. Fewer than 16 are a file that was cut: refuse.
//! 2. Open them under the chunk's nonce. If they do not open, refuse, and give out nothing of them.
//! 3. 16,400 bytes were a full chunk: give out its 16,384 bytes and go on with the next. If the
//!    file ends here its last chunk is missing: refuse.
//! 4. Fewer were the last chunk: give it out. It is the end of the file by its length.
//!
//! A chunk opens at its own place alone (its number is in the nonce), and full chunks are told from
//! the last one by their length, which the tag covers. So nothing can be moved, dropped, repeated,
//! appended or cut without a refusal. What was given out before the refusal is authentic, but is
//! not the whole plaintext: a tool deletes it. There are at most 2^38 chunks, 4 PiB.
//!
//! The length of a file is not in it: it follows from the last chunk, and is known to be true once
//! that has opened at its number. Whoever opens a range from the middle of a file opens the last
//! chunk first, or takes a file that was cut for a shorter one. The chunks of the range then open by
//! themselves: the commitment was compared, and each chunk's number is in its nonce.
//!
//! ## Under a customer's key
//!
//! What `portcullis seal --sse-c-key-file` writes and
//! [`Kms::seal_write_sse_c`](crate::Kms::seal_write_sse_c) gives. The key is 32 bytes that its owner
//! keeps; no keystore and no master key has a part in it, and nothing lies beside the file:
//!
//! ```text
//! length
//!      4  "PCSC"
//!      1  format version, 1
//!      1  suite, as above
//!     32  customer salt, random
//!     32  key check
//!     24  salt
//!     32  commitment of the object
//!         chunks, to the end of the file
//! ```
//!
//! ```text
//! prk        = HKDF-Extract(customer salt, customer key)
//! key check  = HKDF-Expand(prk, "portcullis/v1/customer/check", 32)
//! input key  = HKDF-Expand(prk, "portcullis/v1/customer/key" || context, 32)
//! ```
//!
//! with the context of a sealed file. These are the keys of stored objects under SSE-C (section 8).
//! From the salt on all is as above, with the input key in the place of the data key. Compare the key
//! check, in constant time, before anything else: it tells a wrong key, where a commitment that
//! differs tells another context or a changed file. Neither field is authenticated by itself: with
//! another salt or check the key is a wrong one.
//!
//! There is no record here, which a stored object has: what that knows is the length and the salt
//! beforehand. So this form can be written and read as a stream, and its length is that of a sealed
//! file: unknown until the end has opened.
//!
//! # 2. The encryption context
//!
//! A map of strings that is bound, and stored nowhere: whoever opens a file states it again. At
//! most 64 pairs and 8,192 bytes of names and values together; names are not empty and differ.
//! Names and values are UTF-8, compared byte for byte, without normalisation. Its canonical form:
//!
//! ```text
//! length
//!      1  version of the form, 1
//!      1  kind: 1 data key, 2 object, 3 part of an upload, 4 bucket key, 5 payload
//!      1  number of fields, then for each
//!             4  length
//!                bytes
//!      2  number of pairs, then for each, sorted by the bytes of their names
//!             4  length of the name
//!                name
//!             4  length of the value
//!                value
//! ```
//!
//! | kind | its fields | written today |
//! |---|---|---|
//! | 1, data key | none | yes |
//! | 2, object | bucket, object name; both empty for a file or stream (two fields of length 0) | yes |
//! | 3, part of an upload | bucket, object name, upload id, part number as `u16` | yes |
//! | 4, bucket key | bucket, bucket-key id | no |
//! | 5, payload | none | yes |
//!
//! The context of a sealed file that was given none is these 13 bytes:
//! `01 02 02 00000000 00000000 0000`.
//!
//! # 3. The envelope
//!
//! A wrapped data key, [`WrappedKey`](crate::envelope::WrappedKey): what
//! [`Kms::generate_data_key`](crate::Kms::generate_data_key) gives to be stored, and what stands in
//! every sealed file and payload. At most 1,536 bytes.
//!
//! ```text
//! length
//!      4  "PCDK"
//!      1  format version, 1
//!      2  length of the whole envelope in bytes, these included
//!      1  purpose: 1 data key, 2 object key, 3 bucket key, 4 payload key
//!      1  wrap algorithm: 1 AES-256-GCM-SIV, 2 a token of the backend
//!      1  length of the data key in bytes, 16 to 64; 32 for purposes 2, 3 and 4
//!      2  p, length of the parent, 0 to 512; where it is 0, there follow
//!             1  n, length of the key id, 1 to 128
//!             n  key id (section 5)
//!             4  version of the key, 1 or more
//!             8  version tag
//!         and where it is not,
//!             p  the parent: the complete envelope of a bucket key, itself without a parent
//!      1  length of the nonce: 12 for algorithm 1, 0 for algorithm 2
//!         nonce
//!      2  length of the wrapped bytes: that of the data key and 16 more for algorithm 1, 1 to 512
//!         for algorithm 2
//!         wrapped bytes: ciphertext, then tag
//!     32  commitment
//! ```
//!
//! No release writes a parent or algorithm 2 yet: an opener of what is written today refuses both.
//!
//! To open an envelope, take the version it names from the key's record (section 5). A version of
//! that number with another tag is not the one: it is of another history of the keystore, and the
//! data key is lost without it. Then, with the version's material of 32 bytes:
//!
//! ```text
//! wrap key   = HKDF-Expand(material, "portcullis/v1/wrap", 32)
//! H          = SHA-256(canonical context)
//! aad        = "portcullis/v1/envelope"
//!              || purpose u8 || wrap algorithm u8 || length of the data key u8
//!              || 0x00 || n u8 || key id || version u32 || version tag 8
//!              || H
//! wrapped    = AES-256-GCM-SIV Seal[wrap key](nonce, aad, data key)
//! commitment = HMAC-SHA-256(data key,
//!              "portcullis/v1/commitment"
//!              || purpose u8 || length of the data key u8 || n u8 || key id || H)
//! ```
//!
//! Both must hold: the wrapped bytes open, and the commitment is that of the data key (compare in
//! constant time). The commitment leaves out version, tag, nonce and wrapped bytes, so that a
//! rewrap keeps it, byte for byte. Which purpose goes with which context:
//!
//! | purpose | kind of its context |
//! |---|---|
//! | 1, data key | 1 |
//! | 2, object key | 2, for objects in parts too |
//! | 4, payload key | 5 |
//!
//! Under a parent, `0x00 || n || key id || version || version tag` in the aad becomes
//! `0x01 || the parent's commitment`.
//!
//! ## Small payloads
//!
//! What [`Kms::encrypt`](crate::Kms::encrypt) gives is laid out as a sealed file (section 1), with
//! three differences: it begins with `"PCSP"`, its envelope has purpose 4, and its canonical context
//! is of kind 5. Its plaintext is at most 65,536 bytes.
//!
//! # 4. The keystore
//!
//! One directory, mode 0700, of files of mode 0600, and nothing else:
//!
//! ```text
//! keystore        which keystore this is, and its key           below
//! manifest        every file and its digest, and the changes    section 6
//! <name>.key      one key                                       section 5
//! lock            empty; flock(2)ed while a process has the keystore open
//! ```
//!
//! A process that was killed may have left `keystore.tmp`, `manifest.tmp` or `record.tmp`: they
//! mean nothing. Where `keystore.init` stands and `keystore` does not, making the keystore was cut
//! off before anything was sealed with it.
//!
//! ## The root key
//!
//! A 256-bit key, or a passphrase: the header says which of the two a keystore is under. A key file
//! is exactly 32 bytes, which are the key, or exactly 64 hexadecimal digits with at most one
//! newline after them. A key in the environment is the 64 digits. A passphrase is its bytes as they
//! are.
//!
//! ## The file `keystore`: the header
//!
//! 198 bytes:
//!
//! ```text
//! offset length
//!      0      4  "PCKS"
//!      4      1  format version, 1
//!      5     16  keystore id
//!     21      8  when the keystore was made
//!     29      1  root key: 1 a 256-bit key, 2 a passphrase
//!     30     32  salt
//!     62      4  Argon2id memory in KiB, 8192 to 1048576; 0 for a 256-bit key
//!     66      4  Argon2id passes, 1 to 64; 0 for a 256-bit key
//!     70      4  Argon2id lanes, 1 to 16; 0 for a 256-bit key
//!     74     32  check of the root key
//!    106     12  nonce
//!    118     48  the keystore key, sealed: 32 bytes and the tag
//!    166     32  SHA-256 of bytes 0 to 165
//! ```
//!
//! ```text
//! input        = the 256-bit root key, or
//!                Argon2id(passphrase, salt, memory, passes, lanes, 32 bytes)      RFC 9106, v0x13
//! prk          = HKDF-Extract(salt, input)
//! lock key     = HKDF-Expand(prk, "portcullis/v1/keystore/lock", 32)
//! check        = HKDF-Expand(prk, "portcullis/v1/keystore/check", 32)
//! sealed       = AES-256-GCM-SIV Seal[lock key](nonce, bytes 0 to 105, keystore key)
//!
//! record key   = HKDF-Expand(keystore key, "portcullis/v1/keystore/record", 32)
//! manifest key = HKDF-Expand(keystore key, "portcullis/v1/keystore/manifest", 32)
//! anchor key   = HKDF-Expand(keystore key, "portcullis/v1/keystore/anchor", 32)
//! ```
//!
//! The digest tells damage from change and is no protection. A `check` that differs is a wrong root
//! key. All-equal bytes are no root key: they were filled in, not drawn.
//!
//! # 5. Key records
//!
//! A key id is 1 to 128 of `A-Z a-z 0-9 . _ / -`, without `..` and without an empty step between
//! slashes (so it neither begins nor ends with one). Its file is `<name>.key`, where the name is
//!
//! * `k`, then the id with `.` written as `_d`, `_` as `_u`, `/` as `_s` and `-` as `_h`, if that
//!   is at most 251 bytes;
//! * else `b`, then the id in base32hex (RFC 4648, section 7) in lower case without padding.
//!
//! ```text
//! offset   length
//!      0        4  "PCKR"
//!      4        1  format version, 1
//!      5       16  keystore id
//!     21        1  n, length of the key id, 1 to 128
//!     22        n  key id
//!   22+n        4  m, length of the sealed body
//!   26+n       12  nonce
//!   38+n        m  sealed body
//! 38+n+m       16  tag, and the file ends
//! ```
//!
//! `sealed body || tag = AES-256-GCM-SIV Seal[record key](nonce, bytes 0 to 25+n, body)`. The file
//! is at most 2 MiB. Keystore id and key id must be those of the header and of the file's name. The
//! body:
//!
//! ```text
//! length
//!      8  when the key was made
//!      1  state: 0 enabled, 1 disabled, 2 pending deletion and was enabled,
//!                3 pending deletion and was disabled, 4 destroyed
//!      8  when it is destroyed; 0 unless the state is 2 or 3
//!      1  flags: bit 0 open-only, bit 1 a disabled key still decrypts
//!      8  rotate after, whole seconds; 0 with 0 nanoseconds means never
//!      4  rotate after, nanoseconds, below 10^9
//!      8  rotate at so many uses, 0 to 2^32; 0 means never
//!      2  d, length of the description, 0 to 8192
//!      d  description, UTF-8
//!      1  number of tags, 0 to 50; then for each, sorted by the bytes of their names
//!             1  length of the name, 1 to 128
//!                name, UTF-8
//!             2  length of the value, 0 to 256
//!                value, UTF-8
//!      4  number of the first version, 1 or more
//!      4  v, number of versions, 1 to 10000; then for each, in the order of their numbers
//!             8  version tag
//!             8  when the version was made
//!             1  state: 0 active, 1 retired, 2 destroyed
//!             8  uses reserved, 0 to 2^32
//!            32  material; absent if the state is 2
//! ```
//!
//! What the states allow is policy, not cryptography. Portcullis unwraps under an enabled key, and
//! under a disabled one whose flag says so, with versions that are active.
//!
//! # 6. The manifest
//!
//! It shows that no file was exchanged, put back to an earlier one or removed. An opener can do
//! without, and then cannot tell. A snapshot of all files comes first, then a log of changes:
//!
//! ```text
//! snapshot                                         offset
//!   4  "PCKM"                                           0
//!   1  format version, 1                                4
//!  16  keystore id                                      5
//!  16  history id                                      21
//!   8  generation                                      37
//!  32  link of that generation                         45
//!   4  number of files; then for each,                 77
//!      sorted by the bytes of their names
//!       1  length of the file name, 1 to 255
//!          file name: `keystore`, or `<name>.key`
//!      32  SHA-256 of the file
//!       2  acceptances
//!  32  HMAC-SHA-256(manifest key, everything before)
//!
//! intent                                           done
//!   1  1                                             1  2
//!   8  generation: the one before and 1 more         8  generation of the intent before
//!   1  length of the file name, 1 to 255            32  MAC
//!      file name
//!  32  SHA-256 of the file before; zeroes: absent
//!  32  SHA-256 of the file from now on
//!  32  MAC
//! ```
//!
//! `MAC = HMAC-SHA-256(manifest key, MAC before || this entry without its MAC)`, where the MAC
//! before is that of the entry before, or the snapshot's. Intent and done alternate. An intent's
//! digest *before* is what is listed for the file at that point; its *done* lists the digest *from
//! now on*, with acceptances 0, and makes the generation the intent's. The *link* of a generation
//! is the MAC of its intent; that of a snapshot is random, or the one before it was compacted.
//!
//! Only the end of the log may be torn by a power cut. Let `rest` be what follows the last entry
//! that authenticates, `done` included. It is torn, and dropped, if it is at most 402 bytes long
//! (the longest intent and a done) and
//!
//! * it is shorter than an entry of its first byte's kind (an intent with the name length that
//!   stands in it, where one does), or
//! * all of it is zeroes, or all of it before some offset of the file that is a multiple of 512, or
//!   all of it from such an offset on.
//!
//! Whatever else does not authenticate is damage, and so is an authentic entry out of order. If the
//! last intent has no *done*, its file is either the one before or the one from now on, and the
//! manifest is as good as one with the *done* in the second case.
//!
//! *Acceptances* count how often an older copy of the keystore was accepted on purpose since the
//! file was written. While they are not 0 the key seals nothing; it opens as ever.
//!
//! # 7. The mark at the anchor
//!
//! Whoever can put the whole directory back to an earlier state puts its manifest back with it. The
//! mark, kept elsewhere, is what tells. 109 bytes; an anchor file holds just these:
//!
//! ```text
//! offset length
//!      0      4  "PCKA"
//!      4      1  format version, 1
//!      5     16  keystore id
//!     21     16  history id
//!     37      8  generation
//!     45     32  link of that generation
//!     77     32  HMAC-SHA-256(anchor key, bytes 0 to 76)
//! ```
//!
//! The keystore is the newest if history and generation are the manifest's and the link is that of
//! the generation. The manifest may also be one generation ahead, if its generation before has the
//! mark's link: a crash between a change and its mark leaves that. An open intent that was finished
//! counts as a generation.
//!
//! # 8. Stored objects
//!
//! What an object store keeps of an object ([`objects`](super::objects)): for one that was put whole
//! its *body* and its *record*; for one that was put in parts a body for each part, a record and a
//! *part table*. A body is section 1 from the salt on, exactly a C2SP sealed object. While parts
//! are being put, there are a record of the upload and one of each part.
//!
//! Bucket and object name are 1 to 1,024 bytes each. They are stored in none of this: whoever opens
//! an object states them, as its context.
//!
//! ## The head
//!
//! Records of objects and of uploads begin with it:
//!
//! ```text
//! length
//!      4  magic
//!      1  format version, 1
//!      1  mode: 1 SSE-S3, 2 SSE-KMS, 3 SSE-C
//!      1  suite of the bodies, as in section 1
//!      e  envelope of the object's key, purpose 2, of a key of 32 bytes; it names its own length
//!         and where the mode is 3,
//!            32  customer salt
//!            32  key check
//! ```
//!
//! The envelope is bound to the canonical context of kind 2 with bucket and object name, for an
//! object in parts too. From the object's key come the keys of the record, and under modes 1 and 2
//! of the bodies; under mode 3 those come from the customer's key, 32 bytes:
//!
//! ```text
//! MAC key    = HMAC-SHA-256(object's key, "portcullis/v1/object/mac")
//! facts key  = HMAC-SHA-256(object's key, "portcullis/v1/object/facts")
//!
//! prk        = HKDF-Extract(customer salt, customer key)                         mode 3 alone
//! key check  = HKDF-Expand(prk, "portcullis/v1/customer/check", 32)
//! input key  = HKDF-Expand(prk, "portcullis/v1/customer/key" || context, 32)
//! ```
//!
//! `context` is the canonical context of the body: of kind 2 with bucket and object name, or of kind
//! 3 for a part. In section 1 it takes the place of the one there, and under mode 3 the input key
//! that of the data key. Compare the key check in constant time; it tells a wrong key before a body
//! is read.
//!
//! ## The object's record
//!
//! At most 2,181 bytes.
//!
//! ```text
//! length
//!         head with the magic "PCOR"
//!      8  length of the plaintext, that of all parts together
//!      1  1 put whole, 2 put in parts; where it is 1, there follow
//!            24  salt of the body
//!         and where it is 2,
//!             1  u, length of the upload id, 1 to 128
//!             u  upload id: A-Z a-z 0-9 . _ ~ -
//!             2  number of parts, 1 to 10000
//!            32  SHA-256 of the part table
//!      2  f, length of the sealed facts, 30 to 368
//!      f  sealed facts
//!     32  MAC
//! ```
//!
//! `MAC = HMAC-SHA-256(MAC key, everything before)`, compared in constant time, and before anything
//! else in the record is believed. A body that begins with another salt than the record, or the
//! part table, says is refused: it is another object's, or an earlier upload of the part.
//!
//! The length of a body follows from the length of its plaintext (section 1), so any range can be
//! opened from its own chunks: the salt is known, and the envelope has committed to the key.
//!
//! ## Facts
//!
//! `sealed facts = nonce 12 || AES-256-GCM-SIV Seal[facts key](nonce, magic of the record, facts)`
//!
//! ```text
//! length
//!      1  t, length of the ETag, 0 to 128; 0 where there is none
//!      t  ETag: visible ASCII, 0x21 to 0x7e
//!      1  number of checksums, 0 to 6; then for each, by ascending algorithm
//!             1  algorithm: 1 CRC-32, 2 CRC-32C, 3 CRC-64/NVME, 4 MD5, 5 SHA-1, 6 SHA-256
//!             1  of what: 1 the whole plaintext, 2 the checksums of the parts
//!             1  length: 4, 4, 8, 16, 20 or 32
//!                value
//! ```
//!
//! ## Parts
//!
//! The upload's record, from its creation to its end; at most 1,768 bytes:
//!
//! ```text
//! length
//!         head with the magic "PCUR"
//!      1  u, length of the upload id, 1 to 128
//!      u  upload id
//!     32  MAC: HMAC-SHA-256(MAC key, everything before)
//! ```
//!
//! A part's record, until the upload is completed; its facts and its MAC are under the keys of the
//! upload's record:
//!
//! ```text
//! length
//!      4  "PCPR"
//!      1  format version, 1
//!      2  part number, 1 to 10000
//!      8  length of the plaintext
//!     24  salt
//!      2  f, length of the sealed facts, 30 to 368
//!      f  sealed facts
//!     32  MAC: HMAC-SHA-256(MAC key, everything before)
//! ```
//!
//! The part table of the completed object, which its record names by SHA-256. Completing an upload
//! takes the head of its record over into the object's, with the other magic.
//!
//! ```text
//! length
//!      4  "PCPT"
//!      1  format version, 1
//!      2  number of parts, 1 to 10000; then for each, by ascending number
//!             2  part number, 1 to 10000
//!             8  length of the plaintext
//!            24  salt
//! ```
//!
//! # 9. An example
//!
//! A keystore with the key `default`, made on 2026-01-01T00:00:00Z under the root key `00 01 ..
//! 1f`, and a file of six bytes, `hello` and a line feed, sealed under the context `tenant` = `a`.
//! Sealing was the first use of the key: a block of uses was reserved, which is the one change in
//! the log. `lock` is empty. The tests open it with both openers; it is there to be read, not to be
//! used.
//!
//! ```text
//! root.key
//!   000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
//! keys/keystore
//!   50434b5301e59efaa982195bd2f7152bfe0ec9f0430000019b76daa80001d8c828d6add56a750b1f
//!   d69b64fd0d146c580bac6201324c1fc664fdb011d531000000000000000000000000f516eb44fd65
//!   dfb5563d37d6f99877dfeb0877d641cb99a45ecb1dca9f14213dff6c2be4167092e7f3cdf08fbcd7
//!   3b157aab4307d92b5a6f615e3f90409395702942385d9f1f18df803f46a5f4171c5d6001c3e82143
//!   03c3f3fc3842475f688f882aec2227e102d868c87fa09248e4214d2a1aea327d5b61ba1bf079
//! keys/manifest
//!   50434b4d01e59efaa982195bd2f7152bfe0ec9f0433a829f74fe59f5a43e41e8654c19aa73000000
//!   0000000001a797405df98411cbc9ab6083f1de31aeb8c39446977528f023e160b442322d19000000
//!   020c6b64656661756c742e6b657918bbe7052e7b984b2632a5c88905ff85e5a350f447d16e80a7d1
//!   94bf0095b40f0000086b657973746f7265cfff85ca16c33ab11990e267de8e714e050eb5a9f3a41b
//!   692265fb97d12a93690000ac30b5da79034b0ecacbf21ddbd3c9557c5962987dc4ed4dafedd9fcfe
//!   1ed1220100000000000000020c6b64656661756c742e6b657918bbe7052e7b984b2632a5c88905ff
//!   85e5a350f447d16e80a7d194bf0095b40fc31e54770d8eca25c96fbc9634bbbbbc30922bc03c9bb5
//!   50c7daea322e3954d944572b90a384ffdefe5dc7117497aee5a601751568d3fdd4f239856d6798a0
//!   99020000000000000002322db9bd695536566911e92e17a26a1c8dbbe82878a17f5e8b3c519885a9
//!   7966
//! keys/kdefault.key
//!   50434b5201e59efaa982195bd2f7152bfe0ec9f0430764656661756c740000006a0b01a3fe90e031
//!   d2c47a366a84d3779fd47bdc08db96a33bc2ab96e51b468fb1978db42b7ead9c5c70f222403f0383
//!   fd6f5a506db7cdb51b1c760343928767773ca40f3bfed618b0b208f961f98c2b469ee5fb2e069bf0
//!   48090333ecb7fa17db1f97aee0cc1b36472ae6181ddcb88787d5e487202e5d8e8b0233418a9fb484
//!   eb595d96b9cdc4
//! mark
//!   50434b4101e59efaa982195bd2f7152bfe0ec9f0433a829f74fe59f5a43e41e8654c19aa73000000
//!   000000000244572b90a384ffdefe5dc7117497aee5a601751568d3fdd4f239856d6798a099627b58
//!   890aeb863553bcfece812a7cf8491b61531961123c7f7fff8dcca8d518
//! greeting.sealed
//!   5043534601015043444b01007f02012000000764656661756c740000000143072aa3caf30c310c34
//!   966ebf99c95e38982b2853003088aa4da2f80a91c9d266da9fc9dd99293b2933021b6c97d4978397
//!   b4361394f16208be486c66ec3605146d1c2e1a89a823cc8726a109072eeb7fd0b636b097543aa6ee
//!   48998eee5afeacf22877bf29a26d1121323cc6f5f7bc06d571effe60a7c1fc517907483772286811
//!   22fe788bdf5081bf1aa9dc77fcd6f41291a3914b7db6c79a5e7dbc1ff955112513b9b1dd7ffde7f7
//!   99c4ae2f7a1361d5ba7695
//! ```
//!
//! The values on the way, in the order in which an opener meets them:
//!
//! ```text
//! prk =
//!   ab40e1512ba333b497afb37ae58cca570bdf7b7e3205a0535e449ed608e0f7c0cfd37a0aee09b528
//!   aa655a1578091e1aaf8ffa4b9020cfbe5d8499f26c83f7e5
//! lock key = 50cb7fc103938cbb0c078757acaeecdfde6e0ccd5482c4b17126c0878b123064
//! keystore key = 8da5f4e312a1222b5dc6c96079088c8aacad52b329617561ecf39760ffe68d89
//! record key = 9aa812649565df7e0a80423e57b2786e101b77419208521708028c74ff8c9c52
//! manifest key = 42a343cefd69dd8bf6f0551fc63e0961a91fc1f56a07d2333a6d05c8192ca9c7
//! anchor key = 1846b9d05387cd4da6c7893297e28a272458f175b41f4659670dc58bc662d2c2
//! material = c5aad85e2a10cf90199f7665e3e95aafcee391f859637eab8118b0504d93b2c1
//! wrap key = d5dd04e33cb3a51df78b63e6d5f0f58c7eb7a42c6e6666a544ffa8a0534fa343
//! canonical context = 010202000000000000000000010000000674656e616e740000000161
//! H = 93f77cd52fce574e69d4d66893c4c27932f3103897299a5797a081b3d9994e5d
//! aad =
//!   706f727463756c6c69732f76312f656e76656c6f7065020120000764656661756c74000000014307
//!   2aa3caf30c3193f77cd52fce574e69d4d66893c4c27932f3103897299a5797a081b3d9994e5d
//! data key = 0bf05842e8f001ecb0accca210820eaedb96214895c48797137faa5975a2cbd6
//! object key = 2ffb258572100e8d99460951ee846b907529576b136dd31b8ad628949e5b4da3
//! base nonce = b215b7f867d208e54d11e7c7
//! ```
