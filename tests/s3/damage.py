"""Bodies that were changed on the disk between `put` and `get`."""

import botocore.exceptions

from lib import *

BODY = plain(3 * CHUNK + 100)
# What of each may still be read: the chunks before the first bad one.
INTACT = {
    "first-byte": 0,
    "third-chunk": 2 * CHUNK,
    "cut": 3 * CHUNK,
    "emptied": 0,
    "exchanged": 0,
}


def put(s3):
    s3.create_bucket(Bucket="damage")
    for name in [*INTACT, "whole", "longer", "moved", "mode"]:
        s3.put_object(Bucket="damage", Key=name, Body=BODY, **write_args("s3"))


def get(s3):
    for name, intact in INTACT.items():
        args = {"Bucket": "damage", "Key": name}
        given, broken = b"", False
        try:
            for piece in s3.get_object(**args)["Body"].iter_chunks(1000):
                given += piece
        except botocore.exceptions.HTTPClientError:
            broken = True
        except botocore.exceptions.ClientError as error:
            same(status(error.response), 500)
            broken = True
        # The client sees that it broke off, and has nothing that is not authentic.
        assert broken, name
        assert len(given) <= intact and BODY.startswith(given), (name, len(given))
    # How long an object is says its record: what stands behind its end is not read.
    for name in ("whole", "longer"):
        same(s3.get_object(Bucket="damage", Key=name)["Body"].read(), BODY)
    ranged = s3.get_object(Bucket="damage", Key="third-chunk", Range=f"bytes={CHUNK}-{2 * CHUNK - 1}")
    same(ranged["Body"].read(), BODY[CHUNK : 2 * CHUNK])
    for name in ("moved", "mode"):
        args = {"Bucket": "damage", "Key": name}
        args |= read_args("c") if name == "mode" else {}
        refused(s3.get_object, "InternalError", 500, **args)
