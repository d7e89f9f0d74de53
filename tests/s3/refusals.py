"""What is refused, and how S3 says so."""

from lib import *

ALGORITHM = f"{PREFIX}-customer-algorithm"
CUSTOMER_KEY = f"{PREFIX}-customer-key"
KEY_MD5 = f"{PREFIX}-customer-key-MD5"


def customer(key=KEY, **other):
    headers = {ALGORITHM: "AES256", CUSTOMER_KEY: b64(key), KEY_MD5: key_md5(key)}
    headers.update({f"{PREFIX}-{name.replace('_', '-')}": value for name, value in other.items()})
    return {name: value for name, value in headers.items() if value is not None}


# The headers; S3's code and status.
WRITES = [
    ({PREFIX: "AES512"}, "InvalidArgument", 400),
    ({PREFIX: "aes256"}, "InvalidArgument", 400),
    ({PREFIX: ""}, "InvalidArgument", 400),
    ({PREFIX: "aws:kms:dsse"}, "NotImplemented", 501),
    ({PREFIX: "AES256", f"{PREFIX}-aws-kms-key-id": "first"}, "InvalidArgument", 400),
    ({f"{PREFIX}-aws-kms-key-id": "first"}, "InvalidArgument", 400),
    ({PREFIX: "AES256", f"{PREFIX}-context": b64(b"{}")}, "InvalidArgument", 400),
    ({PREFIX: "aws:kms", f"{PREFIX}-context": "{}"}, "InvalidArgument", 400),
    ({PREFIX: "aws:kms", f"{PREFIX}-context": b64(b'{"a":1}')}, "InvalidArgument", 400),
    ({PREFIX: "aws:kms", f"{PREFIX}-context": b64(b'{"a":"1","a":"2"}')}, "InvalidArgument", 400),
    ({PREFIX: "aws:kms", f"{PREFIX}-aws-kms-key-id": "absent"}, "KMS.NotFoundException", 400),
    ({PREFIX: "aws:kms", f"{PREFIX}-aws-kms-key-id": "a b"}, "KMS.NotFoundException", 400),
    ({PREFIX: "aws:kms", f"{PREFIX}-bucket-key-enabled": "true"}, "NotImplemented", 501),
    ({PREFIX: "AES256", f"{PREFIX}-bucket-key-enabled": "true"}, "InvalidArgument", 400),
    (customer() | {PREFIX: "AES256"}, "InvalidArgument", 400),
    (customer() | {PREFIX: "aws:kms"}, "InvalidArgument", 400),
]
# Of a customer's key, on writes and reads.
CUSTOMERS = [
    (customer(customer_algorithm="AES128"), "InvalidEncryptionAlgorithmError", 400),
    (customer(customer_algorithm=None), "InvalidArgument", 400),
    (customer(customer_key=None), "InvalidArgument", 400),
    ({ALGORITHM: "AES256", CUSTOMER_KEY: b64(KEY)}, "InvalidArgument", 400),
    ({ALGORITHM: "AES256"}, "InvalidArgument", 400),
    ({KEY_MD5: key_md5(KEY)}, "InvalidArgument", 400),
    (customer(KEY[:16]), "InvalidArgument", 400),
    (customer(KEY + b"x"), "InvalidArgument", 400),
    (customer(b64(KEY).encode()), "InvalidArgument", 400),
    (customer() | {KEY_MD5: key_md5(OTHER_KEY)}, "InvalidArgument", 400),
    (customer() | {KEY_MD5: md5(KEY)}, "InvalidArgument", 400),
    (customer(customer_key=b64(KEY).rstrip("=")), "InvalidArgument", 400),
    (customer(customer_key="not base64"), "InvalidArgument", 400),
]
READS = [
    ({PREFIX: "AES256"}, "InvalidArgument", 400),
    ({PREFIX: "aws:kms"}, "InvalidArgument", 400),
    ({f"{PREFIX}-aws-kms-key-id": "first"}, "InvalidArgument", 400),
]


def headers(s3):
    s3.create_bucket(Bucket="bucket")
    args = {"Bucket": "bucket", "Key": "object"}
    for sent, code, http_status in WRITES + CUSTOMERS:
        with Headers(s3, sent):
            refused(s3.put_object, code, http_status, Body=b"text", **args)
            refused(s3.create_multipart_upload, code, http_status, **args)
    s3.put_object(Body=b"text", **args)
    source = {**args, "Key": "copy", "CopySource": args}
    for sent, code, http_status in WRITES + CUSTOMERS:
        with Headers(s3, sent):
            refused(s3.copy_object, code, http_status, **source)
    for mode in MODES:
        s3.put_object(Body=b"text", **args, **write_args(mode))
        for sent, code, http_status in READS + CUSTOMERS:
            with Headers(s3, sent):
                refused(s3.get_object, code, http_status, **args)
                refused(s3.head_object, code, http_status, **args)
    s3.delete_object(**args)


def wrong_keys(s3):
    s3.create_bucket(Bucket="bucket")
    args = {"Bucket": "bucket", "Key": "c"}
    s3.put_object(Body=plain(50_000), **args, **write_args("c"))
    ranged = {**args, "Range": "bytes=0-1"}
    for read in (s3.get_object, s3.head_object):
        refused(read, "InvalidRequest", 400, **args)
        refused(read, "InvalidRequest", 400, **ranged)
        refused(read, "AccessDenied", 403, **args, **read_args("c", OTHER_KEY))
        refused(read, "AccessDenied", 403, **ranged, **read_args("c", OTHER_KEY))
    copy = {"Bucket": "bucket", "Key": "copy", "CopySource": args}
    refused(s3.copy_object, "InvalidRequest", 400, **copy)
    refused(s3.copy_object, "AccessDenied", 403, **copy, **source_args("c", OTHER_KEY))
    # A key for the copy is none for its source.
    refused(s3.copy_object, "InvalidRequest", 400, **copy, **write_args("c"))
    refused(s3.get_object, "NoSuchKey", 404, Bucket="bucket", Key="copy")
    for mode in ("s3", "kms"):
        args = {"Bucket": "bucket", "Key": mode}
        s3.put_object(Body=b"text", **args, **write_args(mode))
        for read in (s3.get_object, s3.head_object):
            refused(read, "InvalidRequest", 400, **args, **read_args("c"))
        copy = {"Bucket": "bucket", "Key": "copy", "CopySource": args}
        refused(s3.copy_object, "InvalidRequest", 400, **copy, **source_args("c"))
    same(get(s3, "bucket", "c", "c"), plain(50_000))


def plain_http(s3):
    s3.create_bucket(Bucket="bucket")
    for mode in ("s3", "kms"):
        s3.put_object(Bucket="bucket", Key=mode, Body=b"text", **write_args(mode))
        same(get(s3, "bucket", mode, mode), b"text")
    args = {"Bucket": "bucket", "Key": "s3"}
    for call, more in (
        (s3.put_object, {"Body": b"text"}),
        (s3.create_multipart_upload, {}),
        (s3.get_object, {}),
        (s3.head_object, {}),
    ):
        refused(call, "InvalidRequest", 400, **args, **more, **read_args("c"))
    copy = {"Bucket": "bucket", "Key": "copy", "CopySource": args}
    answer = refused(s3.copy_object, "InvalidRequest", 400, **copy, **source_args("c"))
    says(answer, "must be made over a secure connection")


def plain_http_in_development(s3):
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="c", Body=b"text", **write_args("c"))
    same(get(s3, "bucket", "c", "c"), b"text")
