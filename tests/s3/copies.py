"""Copies."""

from lib import *


def between_modes(s3):
    s3.create_bucket(Bucket="bucket")
    s3.create_bucket(Bucket="other")
    body = plain(3 * CHUNK + 5)
    stated = {"ContentType": "text/css", "Metadata": {"a": "b"}}
    for mode in MODES:
        s3.put_object(Bucket="bucket", Key=mode, Body=body, **stated, **write_args(mode))
        for to in MODES:
            args = {"Bucket": "other", "Key": f"{mode} to {to}"}
            source = {"CopySource": {"Bucket": "bucket", "Key": mode}, **source_args(mode)}
            copied = s3.copy_object(**args, **source, **write_args(to, OTHER_KEY, "second", {"c": "d"}))
            wanted = {"key": OTHER_KEY, "kms": "second", "context": {"c": "d"}}
            same(encryption(copied), expected(to, "write", **wanted))
            etag = copied["CopyObjectResult"]["ETag"].strip('"')
            same(etag == md5(body), to == "s3")
            got = s3.get_object(**args, **read_args(to, OTHER_KEY))
            same(got["Body"].read(), body)
            same(got["ETag"].strip('"'), etag)
            same((got["ContentType"], got["Metadata"]), ("text/css", {"a": "b"}))
            same(encryption(got), expected(to, "read", **wanted))
        # The source is as it was, and without headers a copy has the bucket's default.
        same(get(s3, "bucket", mode, mode), body)
        copied = s3.copy_object(Bucket="other", Key="plain", **source)
        same(encryption(copied), {"": "AES256"})
        replaced = s3.copy_object(
            Bucket="other", Key="new", MetadataDirective="REPLACE", Metadata={"c": "d"}, **source
        )
        same(status(replaced), 200)
        head = s3.head_object(Bucket="other", Key="new")
        same((head["Metadata"], head["ContentLength"]), ({"c": "d"}, len(body)))
    source = {"CopySource": {"Bucket": "bucket", "Key": "absent"}}
    refused(s3.copy_object, "NoSuchKey", 404, Bucket="other", Key="x", **source)


def onto_itself(s3):
    s3.create_bucket(Bucket="bucket")
    body = plain(100_000)
    itself = {"Bucket": "bucket", "Key": "object", "CopySource": {"Bucket": "bucket", "Key": "object"}}
    s3.put_object(Bucket="bucket", Key="object", Body=body, Metadata={"a": "b"}, **write_args("s3"))
    refused(s3.copy_object, "InvalidRequest", 400, **itself)
    mode = "s3"
    for to in ("kms", "c", "kms", "s3", "c", "s3", "s3"):
        s3.copy_object(**itself, **source_args(mode), **write_args(to))
        head = s3.head_object(Bucket="bucket", Key="object", **read_args(to))
        same(encryption(head), expected(to, "read"))
        same(head["Metadata"], {"a": "b"})
        same(head["ETag"].strip('"') == md5(body), to == "s3")
        same(get(s3, "bucket", "object", to), body)
        mode = to
    # From one customer's key to another.
    s3.copy_object(**itself, **write_args("c"))
    s3.copy_object(**itself, **source_args("c"), **write_args("c", OTHER_KEY))
    args = {"Bucket": "bucket", "Key": "object"}
    refused(s3.get_object, "AccessDenied", 403, **args, **read_args("c"))
    same(s3.get_object(**args, **read_args("c", OTHER_KEY))["Body"].read(), body)
    # A copy that fails leaves the object as it was.
    refused(s3.copy_object, "AccessDenied", 403, **itself, **source_args("c"), **write_args("s3"))
    refused(s3.copy_object, "InvalidRequest", 400, **itself, **write_args("s3"))
    same(s3.get_object(**args, **read_args("c", OTHER_KEY))["Body"].read(), body)


def put_under_first_key(s3):
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="object", Body=plain(100_000), **write_args("kms"))


def move_to_second_key(s3):
    args = {"Bucket": "bucket", "Key": "object"}
    before = s3.head_object(**args)
    s3.copy_object(**args, CopySource=args, **write_args("kms", kms="second"))
    after = s3.head_object(**args)
    same(encryption(after), expected("kms", "read", kms="second"))
    same(after["ETag"], before["ETag"])
    same(get(s3, "bucket", "object", "kms"), plain(100_000))
