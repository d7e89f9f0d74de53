"""Opens what Portcullis sealed, without Portcullis.

Written from the page `src/manual/format.rs` alone; section numbers below are the page's. It reads
the keystore, changes nothing in it, and holds no lock: do not run it while the engine writes there.

    opener.py --keystore DIR (--root-key FILE | --passphrase-env NAME) [--anchor FILE]
              [--context NAME=VALUE]...
              [--as file|payload|data-key|customer-file] [--customer-key FILE] [--show] SEALED OUT

`--show` prints every value on the way, secret ones too. Exit code 1: refused, and why.
"""

import argparse
import hashlib
import hmac
import os
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CHUNK = 16384
TAG = 16
SECTOR = 512


class Refused(Exception):
    """What was read is not what the page describes."""


def need(condition, problem):
    if not condition:
        raise Refused(problem)


def expand(key, info, length):
    return HKDFExpand(hashes.SHA512(), length, info).derive(key)


def extract(salt, key):
    return hmac.digest(salt, key, "sha512")


def mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def sha256(data):
    return hashlib.sha256(data).digest()


def same(a, b):
    return hmac.compare_digest(a, b)


def open_aead(cipher, nonce, sealed, aad, what):
    try:
        return cipher.decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused(what + " does not open") from None


class Fields:
    """Reads fields off the front of bytes, strictly."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, count):
        need(self.at + count <= len(self.data), self.what + " is truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width):
        return int.from_bytes(self.take(width), "big")

    def between(self, width, least, most, field):
        number = self.number(width)
        need(least <= number <= most, f"{self.what}: {field}")
        return number

    def magic(self, magic):
        need(self.take(4) == magic, self.what + ": magic")
        need(self.number(1) == 1, self.what + ": format version")

    def text(self, length, field):
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(f"{self.what}: {field}") from None

    def end(self):
        need(self.at == len(self.data), self.what + " has bytes left over")


class Shown:
    """The values on the way, printed if they are wanted."""

    def __init__(self, wanted):
        self.wanted = wanted

    def __call__(self, name, value):
        if self.wanted:
            print(f"{name} = {value.hex()}")


# Section 2


def canonical_context(kind, fields, pairs):
    def counted(data):
        return len(data).to_bytes(4, "big") + data

    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    need(len({name for name, _ in encoded}) == len(encoded), "context: a name stands twice")
    need(all(name for name, _ in encoded), "context: an empty name")
    need(len(encoded) <= 64, "context: more than 64 pairs")
    need(sum(len(n) + len(v) for n, v in encoded) <= 8192, "context: more than 8192 bytes")
    form = bytes([1, kind, len(fields)]) + b"".join(counted(field) for field in fields)
    form += len(encoded).to_bytes(2, "big")
    for name, value in sorted(encoded):
        form += counted(name) + counted(value)
    return form


# Section 3


class Envelope:
    def __init__(self, data):
        fields = Fields(data, "envelope")
        fields.magic(b"PCDK")
        need(fields.number(2) == len(data) <= 1536, "envelope: length")
        self.purpose = fields.between(1, 1, 4, "purpose")
        self.algorithm = fields.between(1, 1, 1, "wrap algorithm")
        self.key_bytes = fields.between(1, 16, 64, "data key length")
        need(self.purpose == 1 or self.key_bytes == 32, "envelope: data key length")
        fields.between(2, 0, 0, "parent")
        self.key_id = fields.take(fields.between(1, 1, 128, "key id"))
        self.version = fields.between(4, 1, 2**32 - 1, "key version")
        self.tag = fields.take(8)
        self.nonce = fields.take(fields.between(1, 12, 12, "nonce"))
        wrapped = self.key_bytes + TAG
        self.wrapped = fields.take(fields.between(2, wrapped, wrapped, "wrapped key"))
        self.commitment = fields.take(32)
        fields.end()

    def unwrap(self, keystore, context, show):
        record = keystore.key(self.key_id)
        material = record.material(self.version, self.tag)
        wrap_key = expand(material, b"portcullis/v1/wrap", 32)
        digest = sha256(context)
        named = bytes([len(self.key_id)]) + self.key_id
        aad = b"portcullis/v1/envelope" + bytes([self.purpose, self.algorithm, self.key_bytes, 0])
        aad += named + self.version.to_bytes(4, "big") + self.tag + digest
        show("material", material)
        show("wrap key", wrap_key)
        show("canonical context", context)
        show("H", digest)
        show("aad", aad)
        data_key = open_aead(AESGCMSIV(wrap_key), self.nonce, self.wrapped, aad, "envelope")
        committed = bytes([self.purpose, self.key_bytes]) + named + digest
        commitment = mac(data_key, b"portcullis/v1/commitment", committed)
        need(same(commitment, self.commitment), "envelope: commitment")
        show("data key", data_key)
        return data_key


def split_envelope(file):
    """The envelope at the front of an open file."""
    prefix = file.read(7)
    need(len(prefix) == 7 and prefix[:4] == b"PCDK", "envelope: magic")
    rest = int.from_bytes(prefix[5:], "big") - 7
    need(0 <= rest <= 1536, "envelope: length")
    return Envelope(prefix + file.read(rest))


# Section 4


def root_key(path):
    with open(path, "rb") as file:
        data = file.read(66)
    if len(data) != 32:
        digits = data[:-1] if len(data) == 65 and data.endswith(b"\n") else data
        need(len(digits) == 64, "root key: it is neither 32 bytes nor 64 digits")
        try:
            data = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            raise Refused("root key: not hexadecimal") from None
        need(len(data) == 32, "root key: not hexadecimal")
    need(len(set(data)) > 1, "root key: filled, not drawn")
    return data


class Header:
    def __init__(self, data):
        need(len(data) == 198, "keystore: length")
        fields = Fields(data, "keystore")
        fields.magic(b"PCKS")
        need(sha256(data[:166]) == data[166:], "keystore: digest")
        self.keystore_id = fields.take(16)
        fields.number(8)
        self.kind = fields.between(1, 1, 2, "root key")
        self.salt = fields.take(32)
        costs = [fields.number(4) for _ in range(3)]
        if self.kind == 1:
            need(costs == [0, 0, 0], "keystore: costs")
        else:
            memory, passes, lanes = costs
            need(8192 <= memory <= 1048576, "keystore: memory")
            need(1 <= passes <= 64 and 1 <= lanes <= 16, "keystore: passes or lanes")
        self.costs = costs
        self.check = fields.take(32)
        self.aad = data[:106]
        self.nonce = fields.take(12)
        self.sealed = fields.take(48)

    def unlock(self, root, passphrase, show):
        if self.kind == 1:
            need(root is not None, "keystore: it is under a key")
            secret = root
        else:
            need(passphrase, "keystore: it is under a passphrase")
            memory, passes, lanes = self.costs
            kdf = Argon2id(
                salt=self.salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory
            )
            secret = kdf.derive(passphrase)
        prk = extract(self.salt, secret)
        check = expand(prk, b"portcullis/v1/keystore/check", 32)
        need(same(check, self.check), "keystore: wrong root key")
        lock = expand(prk, b"portcullis/v1/keystore/lock", 32)
        show("prk", prk)
        show("lock key", lock)
        return open_aead(AESGCMSIV(lock), self.nonce, self.sealed, self.aad, "keystore key")


# Section 5


def file_name(key_id):
    escapes = {ord("."): "_d", ord("_"): "_u", ord("/"): "_s", ord("-"): "_h"}
    name = "k" + "".join(escapes.get(byte, chr(byte)) for byte in key_id)
    if len(name) > 251:
        digits = "0123456789abcdefghijklmnopqrstuv"
        bits = "".join(f"{byte:08b}" for byte in key_id)
        bits += "0" * (-len(bits) % 5)
        name = "b" + "".join(digits[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))
    return name + ".key"


def check_key_id(key_id):
    allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-"
    need(1 <= len(key_id) <= 128, "key id: length")
    need(all(byte in allowed for byte in key_id), "key id: characters")
    need(b".." not in key_id and all(key_id.split(b"/")), "key id: steps")


class Record:
    def __init__(self, data, keystore_id, key_id, record_key):
        head = Fields(data, "record")
        head.magic(b"PCKR")
        need(head.take(16) == keystore_id, "record: of another keystore")
        need(head.take(head.between(1, 1, 128, "key id")) == key_id, "record: of another key")
        length = head.number(4)
        aad = data[: head.at]
        nonce = head.take(12)
        sealed = head.take(length + TAG)
        head.end()
        body = Fields(open_aead(AESGCMSIV(record_key), nonce, sealed, aad, "record"), "record")
        body.number(8)
        self.state = body.between(1, 0, 4, "state")
        due = body.number(8)
        need(due == 0 or self.state in (2, 3), "record: deletion")
        flags = body.between(1, 0, 3, "flags")
        self.decrypts_when_disabled = bool(flags & 2)
        body.number(8)
        body.between(4, 0, 10**9 - 1, "nanoseconds")
        body.between(8, 0, 2**32, "rotate at uses")
        body.text(body.between(2, 0, 8192, "description"), "description")
        names = []
        for _ in range(body.between(1, 0, 50, "tags")):
            names.append(body.text(body.between(1, 1, 128, "tag name"), "tag name").encode())
            body.text(body.between(2, 0, 256, "tag value"), "tag value")
        need(names == sorted(set(names)), "record: order of tags")
        first = body.between(4, 1, 2**32 - 1, "first version")
        self.versions = {}
        for number in range(first, first + body.between(4, 1, 10000, "versions")):
            tag = body.take(8)
            body.number(8)
            state = body.between(1, 0, 2, "version state")
            body.between(8, 0, 2**32, "uses")
            self.versions[number] = (tag, state, None if state == 2 else body.take(32))
        body.end()

    def material(self, number, tag):
        enabled = self.state == 0 or (self.state == 1 and self.decrypts_when_disabled)
        need(enabled, "key: its state does not allow opening")
        found, state, material = self.versions.get(number, (None, None, None))
        need(found == tag, "key: unknown version")
        need(state == 0, "key: the version is retired or destroyed")
        return material


# Sections 6 and 7


class Manifest:
    def __init__(self, data, keystore_id, key):
        fields = Fields(data, "manifest")
        fields.magic(b"PCKM")
        need(fields.take(16) == keystore_id, "manifest: of another keystore")
        self.history, self.generation = fields.take(16), fields.number(8)
        self.link = fields.take(32)
        self.earlier_link, self.open = None, None
        self.files = {}
        names = []
        for _ in range(fields.number(4)):
            names.append(fields.take(fields.between(1, 1, 255, "file name")))
            self.files[names[-1].decode("ascii", "replace")] = fields.take(32)
            fields.number(2)
        need(names == sorted(set(names)), "manifest: order of files")
        covered = data[: fields.at]
        self.before = fields.take(32)
        need(same(mac(key, covered), self.before), "manifest: snapshot")
        while fields.at < len(data):
            at = fields.at
            try:
                self.entry(fields, key)
            except Refused:
                need(self.is_torn(data, at), "manifest: log entry")
                break

    def entry(self, fields, key):
        """Reads one entry and lets it take effect; nothing has changed where it is refused."""
        start = fields.at
        kind = fields.between(1, 1, 2, "kind")
        generation = fields.number(8)
        if kind == 1:
            name = fields.take(fields.between(1, 1, 255, "file name")).decode("ascii", "replace")
            before, after = fields.take(32), fields.take(32)
        covered = fields.data[start : fields.at]
        found = fields.take(32)
        need(same(mac(key, self.before, covered), found), "manifest: log entry")
        # It is authentic: what is wrong with it from here on is no torn end.
        order = kind == (1 if self.open is None else 2) and generation == self.generation + 1
        if kind == 1:
            order = order and self.files.get(name, bytes(32)) == before
        if not order:
            sys.exit("refused: manifest: log order")
        self.before = found
        if kind == 1:
            self.open = (name, before, after, found)
        else:
            name, _, after, link = self.open
            self.files[name] = after
            self.generation += 1
            self.earlier_link, self.link, self.open = self.link, link, None

    @staticmethod
    def is_torn(data, at):
        rest = data[at:]
        if len(rest) > 402:
            return False
        whole = {1: 1 + 8 + 1 + (rest[9] if len(rest) > 9 else 1) + 96, 2: 1 + 8 + 32}
        if len(rest) < whole.get(rest[0], 0):
            return True
        first = -at % SECTOR
        cuts = range(first, len(rest), SECTOR)
        parts = [rest] + [part for n in cuts for part in (rest[:n], rest[n:]) if part]
        return any(not any(part) for part in parts)

    def allows(self, name, digest):
        if self.open and self.open[0] == name:
            return digest in self.open[1:3]
        return self.files.get(name) == digest


def check_mark(data, keystore_id, key, manifest, finished):
    need(len(data) == 109, "mark: length")
    fields = Fields(data, "mark")
    fields.magic(b"PCKA")
    need(fields.take(16) == keystore_id, "mark: of another keystore")
    history, generation, link = fields.take(16), fields.number(8), fields.take(32)
    need(same(mac(key, data[:77]), data[77:]), "mark: it was changed")
    links = [manifest.link, manifest.earlier_link]
    newest = manifest.generation
    if finished:
        links, newest = [manifest.open[3], manifest.link], newest + 1
    need(history == manifest.history, "mark: of another history")
    need(generation <= newest, "the keystore is an older copy")
    need(newest - generation <= 1 and links[newest - generation] == link, "mark: it lags")


class Keystore:
    def __init__(self, directory, root, passphrase, anchor, show):
        self.directory = directory
        data = self.read("keystore")
        header = Header(data)
        self.id = header.keystore_id
        keystore_key = header.unlock(root, passphrase, show)
        show("keystore key", keystore_key)
        self.record_key = expand(keystore_key, b"portcullis/v1/keystore/record", 32)
        manifest_key = expand(keystore_key, b"portcullis/v1/keystore/manifest", 32)
        anchor_key = expand(keystore_key, b"portcullis/v1/keystore/anchor", 32)
        show("record key", self.record_key)
        show("manifest key", manifest_key)
        show("anchor key", anchor_key)
        self.manifest = Manifest(self.read("manifest"), self.id, manifest_key)
        self.check_listed("keystore", data)
        finished = False
        for name in set(self.manifest.files) | {self.manifest.open[0] if self.manifest.open else ""}:
            finished |= bool(name) and self.check_file(name)
        if anchor is not None:
            with open(anchor, "rb") as file:
                check_mark(file.read(110), self.id, anchor_key, self.manifest, finished)

    def read(self, name):
        try:
            with open(os.path.join(self.directory, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise Refused(name + ": it is missing") from None

    def check_listed(self, name, data):
        need(self.manifest.allows(name, sha256(data)), name + ": not what was last written there")

    def check_file(self, name):
        """Whether it is the file that the open intent was to make."""
        intent = self.manifest.open
        if intent and intent[0] != name:
            intent = None
        if intent and not os.path.exists(os.path.join(self.directory, name)):
            need(intent[1] == bytes(32), name + ": it is missing")
            return False
        data = self.read(name)
        self.check_listed(name, data)
        return bool(intent) and sha256(data) == intent[2]

    def key(self, key_id):
        check_key_id(key_id)
        name = file_name(key_id)
        data = self.read(name)
        self.check_listed(name, data)
        return Record(data, self.id, key_id, self.record_key)


# Section 1


SUITES = {1: (AESGCM, b"AEAD_AES_256_GCM"), 2: (AESGCMSIV, b"AEAD_AES_256_GCM_SIV")}


def open_chunks(file, suite, data_key, context, show):
    salt, commitment = file.read(24), file.read(32)
    need(len(salt + commitment) == 56, "object: truncated")
    aead, name = SUITES[suite]
    info = b"c2sp.org/chunked-encryption@v1+" + name + b"\0" + salt + context
    derived = expand(data_key, info, 76)
    need(same(derived[44:], commitment), "object: commitment")
    show("object key", derived[:32])
    show("base nonce", derived[32:44])
    cipher, base = aead(derived[:32]), int.from_bytes(derived[32:44], "big")
    for number in range(2**38):
        sealed = file.read(CHUNK + TAG)
        need(len(sealed) >= TAG, "object: truncated")
        nonce = (base ^ number).to_bytes(12, "big")
        yield open_aead(cipher, nonce, sealed, b"", "object")
        if len(sealed) < CHUNK + TAG:
            return
    raise Refused("object: too many chunks")


def open_sealed(file, form, keystore, pairs, show):
    """The plaintext, in pieces."""
    suite = None
    if form != "data-key":
        head = file.read(6)
        need(head[:4] == {"file": b"PCSF", "payload": b"PCSP"}[form], form + ": magic")
        need(head[4:5] == b"\1", form + ": format version")
        suite = int.from_bytes(head[5:], "big")
        need(suite in SUITES, form + ": suite")
    purpose, kind, fields = {
        "data-key": (1, 1, []),
        "file": (2, 2, [b"", b""]),
        "payload": (4, 5, []),
    }[form]
    context = canonical_context(kind, fields, pairs)
    envelope = split_envelope(file)
    need(envelope.purpose == purpose, "envelope: purpose")
    data_key = envelope.unwrap(keystore, context, show)
    if form == "data-key":
        need(not file.read(1), "envelope has bytes left over")
        yield data_key
        return
    yield from open_chunks(file, suite, data_key, context, show)


def open_customer_file(file, key, pairs, show):
    """The same under a customer's key, for which no keystore is needed."""
    need(len(key) == 32, "customer key: length")
    head, salt, check = file.read(6), file.read(32), file.read(32)
    need(head[:4] == b"PCSC", "file: magic")
    need(head[4:5] == b"\1", "file: format version")
    suite = int.from_bytes(head[5:], "big")
    need(suite in SUITES, "file: suite")
    need(len(salt + check) == 64, "file: truncated")
    context = canonical_context(2, [b"", b""], pairs)
    prk = extract(salt, key)
    need(same(expand(prk, b"portcullis/v1/customer/check", 32), check), "customer key")
    input_key = expand(prk, b"portcullis/v1/customer/key" + context, 32)
    yield from open_chunks(file, suite, input_key, context, show)


def pair(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("NAME=VALUE")
    return name, value


def add_arguments(parser):
    """What every opener needs to be told."""
    parser.add_argument("--keystore", required=True)
    parser.add_argument("--root-key")
    parser.add_argument("--passphrase-env")
    parser.add_argument("--anchor")
    parser.add_argument("--context", action="append", default=[], type=pair)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("sealed")
    parser.add_argument("out")


def run(args, pieces):
    """Writes what `pieces(keystore, show)` gives; exit code 1 where it refuses."""
    show = Shown(args.show)
    partial = args.out + ".partial"
    try:
        root = root_key(args.root_key) if args.root_key else None
        passphrase = os.environb[args.passphrase_env.encode()] if args.passphrase_env else None
        keystore = Keystore(args.keystore, root, passphrase, args.anchor, show)
        with open(partial, "wb") as out:
            for piece in pieces(keystore, show):
                out.write(piece)
        os.replace(partial, args.out)
    except Refused as refused:
        if os.path.exists(partial):
            os.remove(partial)
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    forms = ["file", "payload", "data-key", "customer-file"]
    parser.add_argument("--as", dest="form", default="file", choices=forms)
    parser.add_argument("--customer-key")
    add_arguments(parser)
    args = parser.parse_args()

    def pieces(keystore, show):
        with open(args.sealed, "rb") as file:
            if args.form == "customer-file":
                with open(args.customer_key, "rb") as key:
                    key = key.read()
                yield from open_customer_file(file, key, args.context, show)
            else:
                yield from open_sealed(file, args.form, keystore, args.context, show)

    return run(args, pieces)


if __name__ == "__main__":
    sys.exit(main())
