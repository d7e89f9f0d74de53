"""What outlives a restart, and what lies nowhere meanwhile."""

from lib import *

MARK = b"this text is a secret of the customer's, and not on the disk "
BODY = MARK * 1000
SHORT = b"4711-0815"
PART = (MARK * (5 * MIB // len(MARK) + 1))[: 5 * MIB]


def plant(s3):
    s3.create_bucket(Bucket="restart")
    for mode in MODES:
        put = s3.put_object(Bucket="restart", Key=mode, Body=BODY, **write_args(mode))
        print(put["ResponseMetadata"]["RequestId"])
    s3.put_object(Bucket="restart", Key="short", Body=SHORT)
    s3.put_object(
        Bucket="restart", Key="second", Body=BODY, **write_args("kms", kms="second", context=None)
    )
    args = {"Bucket": "restart", "Key": "upload"}
    upload = s3.create_multipart_upload(**args, **write_args("c"))
    args["UploadId"] = upload["UploadId"]
    s3.upload_part(**args, PartNumber=1, Body=PART, **read_args("c"))
    # Refused, and not kept either.
    wrong = {"Bucket": "restart", "Key": "c", **read_args("c", OTHER_KEY)}
    refused(s3.get_object, "AccessDenied", 403, **wrong)


def planted():
    """What must be nowhere, a line each: hexadecimal, a space, what it is."""
    secrets = {"the plaintext": MARK.strip(), "a short plaintext": SHORT}
    for what, text in (("the plaintext", BODY), ("a short plaintext", SHORT), ("a part", PART)):
        digest = hashlib.md5(text).digest()
        secrets[f"the MD5 of {what}"] = digest
        secrets[f"the MD5 of {what} in hexadecimal"] = digest.hex().encode()
        secrets[f"the MD5 of {what} in base64"] = b64(digest).encode()
    for what, key in (("the customer's key", KEY), ("a wrong key", OTHER_KEY)):
        secrets[what] = key
        secrets[f"{what} in base64"] = b64(key).encode()
        secrets[f"{what} in hexadecimal"] = key.hex().encode()
        secrets[f"the MD5 of {what}"] = hashlib.md5(key).digest()
        secrets[f"the MD5 of {what} in base64"] = key_md5(key).encode()
        secrets[f"the MD5 of {what} in hexadecimal"] = md5(key).encode()
    for what, secret in secrets.items():
        print(secret.hex(), what)


def find(s3):
    for mode in MODES:
        same(get(s3, "restart", mode, mode), BODY, mode)
        head = s3.head_object(Bucket="restart", Key=mode, **read_args(mode))
        same(encryption(head), expected(mode, "read"))
    refused(s3.get_object, "InvalidRequest", 400, Bucket="restart", Key="c")
    same(get(s3, "restart", "short", "s3"), SHORT)
    listed = s3.list_objects_v2(Bucket="restart")["Contents"]
    same({o["Key"]: o["Size"] for o in listed}["short"], len(SHORT))
    finish_upload(s3)


def finish_upload(s3):
    created = upload_id(s3)
    args = {"Bucket": "restart", "Key": "upload", "UploadId": created}
    one = s3.list_parts(**args)["Parts"][0]
    two = s3.upload_part(**args, PartNumber=2, Body=SHORT, **read_args("c"))
    parts = [
        {"PartNumber": 1, "ETag": one["ETag"]},
        {"PartNumber": 2, "ETag": two["ETag"]},
    ]
    s3.complete_multipart_upload(**args, MultipartUpload={"Parts": parts})
    same(get(s3, "restart", "upload", "c"), PART + SHORT)


def upload_id(s3):
    return s3.list_multipart_uploads(Bucket="restart")["Uploads"][0]["UploadId"]


def keys_taken_away(s3):
    args = {"Bucket": "restart", "Key": "kms"}
    answer = refused(s3.get_object, "KMS.DisabledException", 400, **args)
    says(answer, "disabled")
    refused(s3.head_object, "KMS.DisabledException", 400, **args)
    new = {"Bucket": "restart", "Key": "new"}
    refused(s3.put_object, "KMS.DisabledException", 400, **new, Body=b"x", **write_args("kms"))
    refused(s3.create_multipart_upload, "KMS.DisabledException", 400, **new, **write_args("kms"))
    pending = "KMS.KMSInvalidStateException"
    refused(s3.get_object, pending, 400, Bucket="restart", Key="second")
    refused(s3.put_object, pending, 400, **new, Body=b"x", **write_args("kms", kms="second"))
    # Neither takes anything from the others, nor from a listing.
    for mode in ("s3", "c"):
        same(get(s3, "restart", mode, mode), BODY)
    listed = s3.list_objects_v2(Bucket="restart")["Contents"]
    same({o["Key"] for o in listed}, {"c", "kms", "s3", "second", "short"})
    same(status(s3.delete_object(**args)), 204)
