"""Objects that are put whole."""

import concurrent.futures
import datetime
import io
import re
import zlib

from lib import *

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 200_003)


def put_get_head(s3):
    s3.create_bucket(Bucket="bucket")
    for mode in MODES:
        etags = set()
        for size in SIZES:
            name, body = f"{mode}/{size} \u00e9+&", plain(size)
            put = s3.put_object(Bucket="bucket", Key=name, Body=body, **write_args(mode))
            same(encryption(put), expected(mode, "write"), name)
            etag = put["ETag"].strip('"')
            assert re.fullmatch("[0-9a-f]{32}", etag), etag
            same(etag == md5(body), mode == "s3", f"{name}: whether the ETag is the MD5")
            etags.add(etag)

            got = s3.get_object(Bucket="bucket", Key=name, **read_args(mode))
            same(got["Body"].read(), body, name)
            head = s3.head_object(Bucket="bucket", Key=name, **read_args(mode))
            for response in (got, head):
                same(status(response), 200)
                same(encryption(response), expected(mode, "read"), name)
                same(response["ContentLength"], size, name)
                same(response["ETag"].strip('"'), etag, name)
                same(response["AcceptRanges"], "bytes")
                assert "ContentRange" not in response
        same(len(etags), len(SIZES))
        # The same bytes again: a random ETag is another, a digest is the same.
        again = s3.put_object(Bucket="bucket", Key=name, Body=body, **write_args(mode))
        same(again["ETag"].strip('"') == etag, mode == "s3")
        same(get(s3, "bucket", name, mode), body)
    refused(s3.get_object, "NoSuchKey", 404, Bucket="bucket", Key="absent")
    refused(s3.head_object, "NoSuchKey", 404, Bucket="bucket", Key="absent")
    refused(s3.get_object, "NoSuchBucket", 404, Bucket="absent", Key="absent")


def ranges(s3):
    s3.create_bucket(Bucket="bucket")
    size = 3 * CHUNK + 1000
    body = plain(size)
    cases = [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        (f"bytes={CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK + 1),
        (f"bytes={CHUNK}-{2 * CHUNK - 1}", CHUNK, 2 * CHUNK),
        (f"bytes=5-{size - 5}", 5, size - 4),
        (f"bytes={size - 1}-", size - 1, size),
        (f"bytes={size - 10}-{size + 100}", size - 10, size),
        ("bytes=0-", 0, size),
        ("bytes=-1", size - 1, size),
        (f"bytes=-{CHUNK + 5}", size - CHUNK - 5, size),
        (f"bytes=-{size}", 0, size),
        (f"bytes=-{size + 1}", 0, size),
    ]
    for mode in MODES:
        s3.put_object(Bucket="bucket", Key=mode, Body=body, **write_args(mode))
        for asked, start, end in cases:
            args = {"Bucket": "bucket", "Key": mode, "Range": asked, **read_args(mode)}
            got, head = s3.get_object(**args), s3.head_object(**args)
            same(got["Body"].read(), body[start:end], f"{mode} {asked}")
            for response in (got, head):
                same(status(response), 206, asked)
                same(response["ContentRange"], f"bytes {start}-{end - 1}/{size}", asked)
                same(response["ContentLength"], end - start, asked)
                same(encryption(response), expected(mode, "read"), asked)
        for asked in (f"bytes={size}-", f"bytes={size + 7}-{size + 9}", "bytes=-0"):
            args = {"Bucket": "bucket", "Key": mode, "Range": asked, **read_args(mode)}
            for call in (s3.get_object, s3.head_object):
                answer = refused(call, "InvalidRange", 416, **args)
                headers = answer["ResponseMetadata"]["HTTPHeaders"]
                same(headers["content-range"], f"bytes */{size}")
        # An object that was put whole is its own part 1.
        part = s3.get_object(Bucket="bucket", Key=mode, PartNumber=1, **read_args(mode))
        same(part["Body"].read(), body)
        args = {"Bucket": "bucket", "Key": mode, "PartNumber": 2, **read_args(mode)}
        refused(s3.get_object, "InvalidPartNumber", 416, **args)
        args["Range"] = "bytes=0-1"
        refused(s3.get_object, "InvalidRequest", 400, **args)

        empty = f"{mode}-empty"
        s3.put_object(Bucket="bucket", Key=empty, Body=b"", **write_args(mode))
        for asked in ("bytes=0-", "bytes=0-0", "bytes=-1"):
            args = {"Bucket": "bucket", "Key": empty, "Range": asked, **read_args(mode)}
            refused(s3.get_object, "InvalidRange", 416, **args)


def metadata_and_checksums(s3):
    s3.create_bucket(Bucket="bucket")
    body = plain(40_000)
    stated = {
        "CacheControl": "no-store",
        "ContentDisposition": "inline",
        "ContentEncoding": "identity",
        "ContentLanguage": "de",
        "ContentType": "text/plain",
        "Metadata": {"one": "1", "two": "zwei"},
    }
    for mode in MODES:
        args = {"Bucket": "bucket", "Key": mode}
        put = s3.put_object(
            **args, Body=body, ContentMD5=b64(hashlib.md5(body).digest()), **stated, **write_args(mode)
        )
        crc = b64(zlib.crc32(body).to_bytes(4, "big"))
        same(put["ChecksumCRC32"], crc)
        for response in (
            s3.get_object(**args, ChecksumMode="ENABLED", **read_args(mode)),
            s3.head_object(**args, ChecksumMode="ENABLED", **read_args(mode)),
        ):
            same(response["ChecksumCRC32"], crc)
            same({name: response[name] for name in stated}, stated)
        for algorithm in ("CRC32C", "CRC64NVME", "SHA1", "SHA256"):
            # boto3 computes these two itself; the others need a package of their own.
            if algorithm.startswith("SHA"):
                s3.put_object(**args, Body=body, ChecksumAlgorithm=algorithm, **write_args(mode))
                head = s3.head_object(**args, ChecksumMode="ENABLED", **read_args(mode))
                digest = hashlib.new(algorithm, body).digest()
                same(head[f"Checksum{algorithm}"], b64(digest))

        args["Key"] = f"{mode}-wrong"
        wrong = {"Body": body, **args, **write_args(mode)}
        refused(s3.put_object, "BadDigest", 400, ContentMD5=b64(hashlib.md5(b"x").digest()), **wrong)
        refused(s3.put_object, "BadDigest", 400, ChecksumCRC32=b64(b"1234"), **wrong)
        refused(s3.get_object, "NoSuchKey", 404, **args, **read_args(mode))
    refused(s3.put_object, "NotImplemented", 501, Bucket="bucket", Key="x", IfNoneMatch="*")


def conditions(s3):
    s3.create_bucket(Bucket="bucket")
    for mode in MODES:
        args = {"Bucket": "bucket", "Key": mode}
        etag = s3.put_object(**args, Body=b"text", **write_args(mode))["ETag"]
        args |= read_args(mode)
        modified = s3.head_object(**args)["LastModified"]
        second = datetime.timedelta(seconds=1)
        for call in (s3.get_object, s3.head_object):
            call(**args, IfMatch=etag)
            call(**args, IfNoneMatch='"another"')
            call(**args, IfModifiedSince=modified - second)
            call(**args, IfUnmodifiedSince=modified)
            refused(call, "PreconditionFailed", 412, **args, IfMatch='"another"')
            refused(call, "PreconditionFailed", 412, **args, IfUnmodifiedSince=modified - second)
            refused(call, "304", 304, **args, IfNoneMatch=etag)
            refused(call, "304", 304, **args, IfModifiedSince=modified)
        copy = {"Bucket": "bucket", "Key": "copy", "CopySource": {"Bucket": "bucket", "Key": mode}}
        copy |= source_args(mode)
        s3.copy_object(**copy, CopySourceIfMatch=etag)
        refused(s3.copy_object, "PreconditionFailed", 412, **copy, CopySourceIfMatch='"another"')
        refused(s3.copy_object, "PreconditionFailed", 412, **copy, CopySourceIfNoneMatch=etag)


def listings_and_deletions(s3):
    s3.create_bucket(Bucket="bucket")
    names = [f"{mode}/{size}" for mode in MODES for size in (0, 100, CHUNK)] + ["z"]
    etags = {}
    for name in names:
        mode, _, size = name.partition("/")
        mode = mode if mode in MODES else "s3"
        body = plain(int(size or 7))
        put = s3.put_object(Bucket="bucket", Key=name, Body=body, **write_args(mode))
        etags[name] = (len(body), put["ETag"])

    whole = s3.list_objects_v2(Bucket="bucket")
    same({o["Key"]: (o["Size"], o["ETag"]) for o in whole["Contents"]}, etags)
    same([o["Key"] for o in whole["Contents"]], sorted(names))
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="bucket", PaginationConfig={"PageSize": 3}
    )
    pages = [[o["Key"] for o in page["Contents"]] for page in pages]
    same([len(page) for page in pages], [3, 3, 3, 1])
    same(sum(pages, []), sorted(names))
    folded = s3.list_objects_v2(Bucket="bucket", Delimiter="/")
    same([p["Prefix"] for p in folded["CommonPrefixes"]], ["c/", "kms/", "s3/"])
    same([o["Key"] for o in folded["Contents"]], ["z"])
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="bucket", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    pages = [[p["Prefix"] for p in page.get("CommonPrefixes", [])] for page in pages]
    same(pages, [["c/"], ["kms/"], ["s3/"], []])
    within = s3.list_objects_v2(Bucket="bucket", Prefix="c/", StartAfter="c/0")
    same([o["Key"] for o in within["Contents"]], ["c/100", f"c/{CHUNK}"])

    refused(s3.delete_bucket, "BucketNotEmpty", 409, Bucket="bucket")
    # A customer's key is not needed to delete.
    same(status(s3.delete_object(Bucket="bucket", Key="c/0")), 204)
    same(status(s3.delete_object(Bucket="bucket", Key="absent")), 204)
    refused(s3.get_object, "NoSuchKey", 404, Bucket="bucket", Key="c/0", **read_args("c"))
    rest = [{"Key": name} for name in names]
    same(len(s3.delete_objects(Bucket="bucket", Delete={"Objects": rest})["Deleted"]), len(names))
    same(s3.list_objects_v2(Bucket="bucket")["KeyCount"], 0)
    s3.delete_bucket(Bucket="bucket")
    same(s3.list_buckets()["Buckets"], [])


class Stream(io.RawIOBase):
    """128 MiB that nobody holds."""

    SIZE = 128 * MIB

    def __init__(self):
        self.at, self.block = 0, plain(MIB)

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.SIZE)[whence]
        return self.at

    def tell(self):
        return self.at

    def readinto(self, into):
        start = self.at % MIB
        size = min(len(into), MIB - start, self.SIZE - self.at)
        into[:size] = self.block[start : start + size]
        self.at += size
        return size


def large(s3):
    s3.create_bucket(Bucket="large")
    for mode in ("s3", "c"):
        s3.put_object(Bucket="large", Key=mode, Body=Stream(), **write_args(mode))
        body = s3.get_object(Bucket="large", Key=mode, **read_args(mode))["Body"]
        found = hashlib.sha256()
        for piece in body.iter_chunks(MIB):
            found.update(piece)
        wanted, block = hashlib.sha256(), plain(MIB)
        for _ in range(128):
            wanted.update(block)
        same(found.digest(), wanted.digest())


def replaced_while_read(s3):
    s3.create_bucket(Bucket="bucket")
    old, new = plain(8 * MIB, 1), plain(8 * MIB, 2)
    for mode in MODES:
        args = {"Bucket": "bucket", "Key": mode}
        s3.put_object(**args, Body=old, **write_args(mode))
        body = s3.get_object(**args, **read_args(mode))["Body"]
        begun = body.read(1000)
        s3.put_object(**args, Body=new, **write_args(mode))
        # Who began to read the old object reads it to its end.
        same(begun + body.read(), old, mode)
        same(get(s3, "bucket", mode, mode), new, mode)


def put_at_once(s3):
    s3.create_bucket(Bucket="bucket")
    bodies = [plain(100_000, seed) for seed in range(24)]

    def put(seed):
        mode = MODES[seed % 2]
        s3.put_object(Bucket="bucket", Key="same", Body=bodies[seed], **write_args(mode))
        return get(s3, "bucket", "same", mode) in bodies

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(put, range(len(bodies))))
