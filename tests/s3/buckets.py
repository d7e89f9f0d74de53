"""Default encryption of buckets."""

from lib import *


def configure(s3, bucket, algorithm, key=None, **rule):
    default = {"SSEAlgorithm": algorithm}
    if key is not None:
        default["KMSMasterKeyID"] = key
    rules = [{"ApplyServerSideEncryptionByDefault": default, **rule}]
    return s3.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules}
    )


def configured(s3, bucket):
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    same(len(rules), 1)
    return rules[0]["ApplyServerSideEncryptionByDefault"]


def defaults(s3):
    s3.create_bucket(Bucket="bucket")
    # As in S3 since 2023, a bucket that nobody configured has SSE-S3.
    same(configured(s3, "bucket"), {"SSEAlgorithm": "AES256"})

    def put(name, **args):
        put = s3.put_object(Bucket="bucket", Key=name, Body=b"text", **args)
        head = s3.head_object(Bucket="bucket", Key=name, **read_args("c" if args else ""))
        same(encryption(put), encryption(head))
        return encryption(put)

    same(put("a"), {"": "AES256"})
    configure(s3, "bucket", "aws:kms", "second")
    same(configured(s3, "bucket"), {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "second"})
    by_second = {"": "aws:kms", "aws-kms-key-id": "second"}
    same(put("b"), by_second)
    created = s3.create_multipart_upload(Bucket="bucket", Key="c")
    same(encryption(created), by_second)
    source = {"Bucket": "bucket", "Key": "a"}
    copied = s3.copy_object(Bucket="bucket", Key="d", CopySource=source)
    same(encryption(copied), by_second)
    # What a request states comes before; without a key it is the store's default.
    same(put("e", **write_args("c")), expected("c", "write"))
    explicit = s3.put_object(Bucket="bucket", Key="f", ServerSideEncryption="aws:kms")
    same(encryption(explicit), {"": "aws:kms", "aws-kms-key-id": "default"})
    same(status(s3.delete_bucket_encryption(Bucket="bucket")), 204)
    same(configured(s3, "bucket"), {"SSEAlgorithm": "AES256"})
    same(put("g"), {"": "AES256"})
    for name in ("a", "b", "d", "f", "g"):
        same(len(get(s3, "bucket", name, "s3")), 0 if name == "f" else 4, name)


def refusals(s3):
    s3.create_bucket(Bucket="bucket")

    def refuse(code, http_status, *args, **rule):
        def put_bucket_encryption():
            configure(s3, "bucket", *args, **rule)

        refused(put_bucket_encryption, code, http_status)

    refuse("InvalidArgument", 400, "AES256", "first")
    refuse("InvalidArgument", 400, "aws:kms", "not a key id")
    refuse("MalformedXML", 400, "AES512")
    refuse("NotImplemented", 501, "aws:kms:dsse")
    refuse("NotImplemented", 501, "aws:kms", "first", BucketKeyEnabled=True)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    for rules in ([], [rule, rule]):
        configuration = {"Rules": rules}
        refused(
            s3.put_bucket_encryption,
            "MalformedXML",
            400,
            Bucket="bucket",
            ServerSideEncryptionConfiguration=configuration,
        )
    same(configured(s3, "bucket"), {"SSEAlgorithm": "AES256"})
    refused(s3.get_bucket_encryption, "NoSuchBucket", 404, Bucket="absent")
    # As in S3, it is not checked that the key exists until it is used.
    configure(s3, "bucket", "aws:kms", "absent")
    refused(s3.put_object, "KMS.NotFoundException", 400, Bucket="bucket", Key="a", Body=b"")
    refused(s3.get_object, "NoSuchKey", 404, Bucket="bucket", Key="a")
