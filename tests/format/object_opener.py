"""Opens what Portcullis stored of an object, without Portcullis.

Written from section 8 of the page `src/manual/format.rs` alone, beside `opener.py`, which has the
rest of the page.

    object_opener.py [as opener.py] --object BUCKET NAME [--customer-key FILE]
                     [--range FIRST:END] BODY OUT

Beside the file BODY lie BODY.record and, if the object was put in parts, BODY.parts; BODY holds the
bodies of all parts, in their order. With `--range` only the chunks of that range are read, FIRST
included and END not. Exit code 1: refused, and why.
"""

import argparse
import io
import os
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import opener
from opener import CHUNK, TAG, Fields, expand, extract, mac, need, same, sha256

SEALED_CHUNK = CHUNK + TAG
HEADER = 56
CHECKSUM_BYTES = {1: 4, 2: 4, 3: 8, 4: 16, 5: 20, 6: 32}


class Head:
    def __init__(self, fields, magic):
        fields.magic(magic)
        self.mode = fields.between(1, 1, 3, "mode")
        self.suite = fields.between(1, 1, 2, "suite")
        rest = io.BytesIO(fields.data[fields.at :])
        self.envelope = opener.split_envelope(rest)
        fields.take(rest.tell())
        need(self.envelope.purpose == 2, "record: purpose of the envelope")
        if self.mode == 3:
            self.salt, self.check = fields.take(32), fields.take(32)


class Record:
    def __init__(self, data):
        need(len(data) <= 2181, "record: length")
        fields = Fields(data, "record")
        self.head = Head(fields, b"PCOR")
        self.size = fields.number(8)
        self.upload = None
        if fields.between(1, 1, 2, "whole or parts") == 1:
            need(self.size < 2**52, "record: length of the plaintext")
            self.salt = fields.take(24)
        else:
            self.upload = fields.take(fields.between(1, 1, 128, "upload id"))
            allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
            need(all(byte in allowed for byte in self.upload), "record: upload id")
            self.count = fields.between(2, 1, 10000, "parts")
            self.table = fields.take(32)
        self.facts = fields.take(fields.between(2, 30, 368, "facts"))
        self.covered = data[: fields.at]
        self.mac = fields.take(32)
        fields.end()

    def open(self, object_key):
        key = mac(object_key, b"portcullis/v1/object/mac")
        need(same(mac(key, self.covered), self.mac), "record: MAC")
        key = mac(object_key, b"portcullis/v1/object/facts")
        facts = opener.open_aead(
            AESGCMSIV(key), self.facts[:12], self.facts[12:], b"PCOR", "facts"
        )
        check_facts(facts)
        return facts

    def bodies(self, table):
        """Number (or none), salt and length of the plaintext of each body."""
        if self.upload is None:
            need(table is None, "part table: there is one of an object that was put whole")
            return [(None, self.salt, self.size)]
        need(table is not None, "part table: missing")
        need(sha256(table) == self.table, "part table: of another object")
        fields = Fields(table, "part table")
        fields.magic(b"PCPT")
        bodies = []
        for _ in range(fields.between(2, self.count, self.count, "parts")):
            number = fields.between(2, 1, 10000, "part number")
            size = fields.between(8, 0, 2**52 - 1, "length")
            bodies.append((number, fields.take(24), size))
        fields.end()
        numbers = [number for number, _, _ in bodies]
        need(numbers == sorted(set(numbers)), "part table: order")
        need(sum(size for _, _, size in bodies) == self.size, "part table: lengths")
        return bodies


def check_facts(data):
    fields = Fields(data, "facts")
    etag = fields.take(fields.between(1, 0, 128, "etag"))
    need(all(0x21 <= byte <= 0x7E for byte in etag), "facts: etag")
    last = 0
    for _ in range(fields.between(1, 0, 6, "checksums")):
        last = fields.between(1, last + 1, 6, "algorithm")
        fields.between(1, 1, 2, "of what")
        need(fields.number(1) == CHECKSUM_BYTES[last], "facts: length")
        fields.take(CHECKSUM_BYTES[last])
    fields.end()


def customer_key(head, path):
    """What gives the input key of a body's context, under the customer's key."""
    need(path is not None, "the object is under a customer key")
    with open(path, "rb") as file:
        key = file.read(33)
    need(len(key) == 32, "customer key: length")
    prk = extract(head.salt, key)
    check = expand(prk, b"portcullis/v1/customer/check", 32)
    need(same(check, head.check), "customer key: it is another")
    return lambda context: expand(prk, b"portcullis/v1/customer/key" + context, 32)


def sealed_size(size):
    return HEADER + size + (size // CHUNK + 1) * TAG


def open_body(file, begin, suite, key, context, salt, size, wanted):
    """The bytes `wanted` of the plaintext of a body that begins at `begin`."""
    aead, name = opener.SUITES[suite]
    info = b"c2sp.org/chunked-encryption@v1+" + name + b"\0" + salt + context
    derived = expand(key, info, 76)
    cipher, base = aead(derived[:32]), int.from_bytes(derived[32:44], "big")
    first, last = wanted.start // CHUNK, (wanted.stop - 1) // CHUNK
    if first == 0:
        file.seek(begin)
        need(file.read(24) == salt, "body: of another object or an earlier upload")
        need(same(file.read(32), derived[44:]), "body: commitment")
    if wanted.stop == size:
        last = size // CHUNK
    for number in range(first, last + 1):
        file.seek(begin + HEADER + number * SEALED_CHUNK)
        sealed = file.read(min(CHUNK, size - number * CHUNK) + TAG)
        nonce = (base ^ number).to_bytes(12, "big")
        plain = opener.open_aead(cipher, nonce, sealed, b"", "body") if len(sealed) >= TAG else None
        need(plain is not None, "body: truncated")
        start = number * CHUNK
        yield plain[max(wanted.start - start, 0) : max(wanted.stop - start, 0)]


def open_object(args, keystore, show):
    def read(name):
        with open(args.sealed + name, "rb") as file:
            return file.read()

    record = Record(read(".record"))
    table = read(".parts") if os.path.exists(args.sealed + ".parts") else None
    head = record.head
    names = [name.encode() for name in args.object]
    need(all(1 <= len(name) <= 1024 for name in names), "object: names")
    context = opener.canonical_context(2, names, args.context)
    object_key = head.envelope.unwrap(keystore, context, show)
    show("facts", record.open(object_key))
    if head.mode == 3:
        input_key = customer_key(head, args.customer_key)
    else:
        need(args.customer_key is None, "the object is not under a customer key")
        input_key = lambda context: object_key
    begin, start = 0, 0
    first, end = args.range or (0, record.size)
    with open(args.sealed, "rb") as file:
        for number, salt, size in record.bodies(table):
            if number is not None:
                fields = names + [record.upload, number.to_bytes(2, "big")]
                context = opener.canonical_context(3, fields, args.context)
            wanted = range(max(first - start, 0), min(end - start, size))
            if args.range is None or len(wanted) > 0:
                key = input_key(context)
                yield from open_body(file, begin, head.suite, key, context, salt, size, wanted)
            begin, start = begin + sealed_size(size), start + size
        if args.range is None:
            file.seek(begin)
            need(not file.read(1), "body: bytes left over")


def bounds(text):
    first, _, end = text.partition(":")
    return int(first), int(end)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--object", nargs=2, required=True)
    parser.add_argument("--customer-key")
    parser.add_argument("--range", type=bounds)
    opener.add_arguments(parser)
    args = parser.parse_args()
    return opener.run(args, lambda keystore, show: open_object(args, keystore, show))


if __name__ == "__main__":
    sys.exit(main())
