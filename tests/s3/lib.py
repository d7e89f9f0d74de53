"""What the cases share: a client, the three modes, and what S3 answers to them."""

import base64
import hashlib
import json
import os

import boto3
import botocore.config
import botocore.exceptions

MODES = ("s3", "kms", "c")
KEY = b"a customer's key of 32 bytes...."
OTHER_KEY = b"another key of the same 32 bytes"
CONTEXT = {"tenant": "a", "purpose": "tests"}
CHUNK = 16384
MIB = 1 << 20

PREFIX = "x-amz-server-side-encryption"


def client(endpoint, certificate):
    """A client that asks once: an error is to be seen, not waited away."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        verify=certificate,
        region_name="us-east-1",
        aws_access_key_id=os.environ["ACCESS_KEY"],
        aws_secret_access_key=os.environ["SECRET_KEY"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120),
    )


def plain(size, seed=1):
    """Bytes that do not repeat within a chunk and differ by seed."""
    block = b"".join(hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(1031))
    return (block * (size // len(block) + 1))[:size]


def b64(data):
    return base64.b64encode(data).decode()


def md5(data):
    return hashlib.md5(data).hexdigest()


def key_md5(key):
    return b64(hashlib.md5(key).digest())


def context_header(context):
    return b64(json.dumps(context).encode())


def read_args(mode, key=KEY):
    """Parameters that reading an object of `mode` takes."""
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key} if mode == "c" else {}


def source_args(mode, key=KEY):
    """Parameters that copying from an object of `mode` takes."""
    if mode != "c":
        return {}
    return {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}


def write_args(mode, key=KEY, kms="first", context=CONTEXT):
    """Parameters that writing an object of `mode` takes."""
    if mode == "s3":
        return {"ServerSideEncryption": "AES256"}
    if mode == "c":
        return read_args(mode, key)
    args = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms}
    if context is not None:
        args["SSEKMSEncryptionContext"] = context_header(context)
    return args


def encryption(response):
    """The encryption headers of a response, without their prefix."""
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    return {
        name.removeprefix(PREFIX).removeprefix("-"): value
        for name, value in headers.items()
        if name.startswith(PREFIX)
    }


def expected(mode, call, key=KEY, kms="first", context=CONTEXT):
    """The encryption headers that S3 answers `call` with."""
    if mode == "s3":
        return {"": "AES256"}
    if mode == "c":
        if call == "complete":
            return {}
        return {"customer-algorithm": "AES256", "customer-key-md5": key_md5(key)}
    headers = {"": "aws:kms", "aws-kms-key-id": kms}
    if call == "write" and context:
        in_order = dict(sorted(context.items()))
        headers["context"] = b64(json.dumps(in_order, separators=(",", ":")).encode())
    return headers


def same(found, wanted, what=""):
    assert found == wanted, f"{what}: {short(found)} and not {short(wanted)}"


def short(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}... ({len(text)} characters)"


def status(response):
    return response["ResponseMetadata"]["HTTPStatusCode"]


def refused(call, code, http_status, **args):
    """That `call` is refused so; the answer. A HEAD has no body: its code is its status."""
    try:
        answer = call(**args)
    except botocore.exceptions.ClientError as error:
        told = error.response["Error"]
        is_head = call.__name__.startswith("head_")
        wanted = str(http_status) if is_head else code
        same((told["Code"], status(error.response)), (wanted, http_status), told.get("Message"))
        return error.response
    raise AssertionError(f"it was answered: {short(answer)}")


def says(response, words):
    """That an answer's message has these words."""
    message = response["Error"]["Message"]
    assert words in message, message


def get(s3, bucket, name, mode, **args):
    """The bytes of an object."""
    args = {**read_args(mode), **args}
    return s3.get_object(Bucket=bucket, Key=name, **args)["Body"].read()


class Headers:
    """While it is open, requests carry these headers too, signed."""

    def __init__(self, s3, headers):
        self.events, self.headers = s3.meta.events, headers

    def add(self, request, **_):
        for name, value in self.headers.items():
            request.headers[name] = value

    def __enter__(self):
        self.events.register("before-sign.s3", self.add)

    def __exit__(self, *_):
        self.events.unregister("before-sign.s3", self.add)
