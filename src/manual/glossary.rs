//! One word per concept, in code, errors, logs and in this manual.
//!
//! | word | what it is |
//! |---|---|
//! | acceptance | an operator's decision to go on with an older copy of a keystore; counted per key until it is rotated |
//! | accepted | of an audit record: it lies in the engine's bounded buffers, in order, and will be written |
//! | anchor | where the mark is kept: a file on another disk, or the host's own store |
//! | backend | what keeps master keys: the local keystore, or one static key |
//! | body | sealed bytes of an object that was put whole, or of one part |
//! | brake | a command that only takes away (stop, freeze, disable, retire, schedule-deletion); never refused for want of an audit sink |
//! | caller | who a call is made for, as the host says: principal, request id, source |
//! | chunk | 16 KiB of an object, sealed by itself |
//! | commitment | 32 bytes by which a wrapped key or an object is bound to one key and one context |
//! | context | the encryption context: a map of strings that is bound and not stored |
//! | customer key | 32 bytes that a client brings with each request (SSE-C) and nobody keeps |
//! | data key | 16 to 64 random bytes that encrypt the host's data; wrapped by a master key |
//! | envelope | a wrapped data key as bytes, with what it names and commits to |
//! | facts | what a host knows of an object's plaintext, ETag and checksums; sealed in its record |
//! | gate | the one place where use of keys meets change of keys: passed by every section |
//! | generation | of an engine: one successful start or reconfiguration; of a keystore: one change |
//! | history | what follows from one making of a keystore or one acceptance; two histories can both have a version 5 |
//! | keystore | a directory of master keys, sealed under a root key |
//! | lease | a data key that the engine keeps and the host may copy out of; wiped by a stop |
//! | manifest | the keystore's file that lists all others by digest, with the log of changes |
//! | mark | 109 bytes that name the newest state of a keystore |
//! | master key | an id and its versions; it wraps data keys and never leaves the engine |
//! | material | the 32 random bytes of one version: an HKDF input, never itself a key |
//! | object | a payload or stream sealed in chunks under a data key of its own; a *stored object* has a name, and a record beside its body |
//! | operation | work longer than a section: a stream. It holds a ticket, no permit, and can be cut at any chunk |
//! | part table | the parts of an object that was put in parts: number, length and salt of each |
//! | permit | the right to be in a section; it lives no longer than the section and never leaves its thread |
//! | plane | control plane: what changes, by messages; data plane: what uses, on the callers' threads |
//! | port | the way to an actor: admission, deadline, reply |
//! | purpose | what a wrapped key is for; a call refuses envelopes of another |
//! | quiescence | all permits that were issued before a moment are gone |
//! | record | of a key: what the keystore keeps of it; of an object, an upload or a part: what the host stores beside its bodies; of the audit trail: one line of it |
//! | refused | nothing was done; apart from *outcome unknown*, where something may have been |
//! | release | the moment a plaintext leaves the engine, and the setting of what must have been recorded by then |
//! | retired | of a version: it opens nothing until it is reinstated |
//! | rewrap | the same data key under the current version of its master key; the context stays |
//! | root key | what opens a keystore: 256 bits, or a passphrase |
//! | section | synchronous work of the engine under a permit: one payload, or up to eight chunks with a look at the gate before each, and no wait of any kind |
//! | stretch | consecutive chunks of one body that a range takes |
//! | stripe | one of 8 to 64 sets of counters, buffers and random bytes, so that threads share no cache line |
//! | suite | which AEAD an object is sealed with |
//! | tombstone | the record of a destroyed key: no material, and its id stays taken |
//! | version | one generation of a master key's material; the newest wraps, each opens what it wrapped |
//! | version tag | eight random bytes of a version, in its record and in every envelope under it |
//! | wrap | to encrypt a data key under a master key version; *seal* is said of objects and files |
