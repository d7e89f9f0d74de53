"""Uploads in parts."""

import io

from boto3.s3.transfer import TransferConfig

from lib import *

PART = 5 * MIB


def create(s3, mode, name, **args):
    created = s3.create_multipart_upload(Bucket="bucket", Key=name, **write_args(mode), **args)
    same(encryption(created), expected(mode, "write"), name)
    return {"Bucket": "bucket", "Key": name, "UploadId": created["UploadId"]}


def put_part(s3, mode, upload, number, body):
    put = s3.upload_part(**upload, PartNumber=number, Body=body, **read_args(mode))
    same(encryption(put), expected(mode, "read"))
    same(put["ETag"].strip('"') == md5(body), mode == "s3", "whether the ETag is the MD5")
    return {"PartNumber": number, "ETag": put["ETag"]}


def complete(s3, upload, parts):
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def in_parts(s3):
    s3.create_bucket(Bucket="bucket")
    bodies = {2: plain(PART, 2), 7: plain(PART + 1, 7), 10000: plain(1234, 3)}
    whole = b"".join(bodies.values())
    for mode in MODES:
        name = f"{mode}/object"
        upload = create(s3, mode, name, ContentType="text/css", Metadata={"a": "b"})
        # In any order, as parallel clients do.
        put = {n: put_part(s3, mode, upload, n, bodies[n]) for n in (7, 10000, 2)}
        parts = [put[n] for n in sorted(put)]
        listed = s3.list_parts(**upload)["Parts"]
        same(
            [(p["PartNumber"], p["Size"], p["ETag"]) for p in listed],
            [(n, len(bodies[n]), put[n]["ETag"]) for n in sorted(put)],
        )
        pages = s3.get_paginator("list_parts").paginate(
            **upload, PaginationConfig={"PageSize": 2}
        )
        same([len(page["Parts"]) for page in pages], [2, 1])
        refused(s3.head_object, "NoSuchKey", 404, Bucket="bucket", Key=name, **read_args(mode))

        done = complete(s3, upload, parts)
        same(encryption(done), expected(mode, "complete"))
        etags = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
        same(done["ETag"], f'"{md5(etags)}-3"')
        got = s3.get_object(Bucket="bucket", Key=name, **read_args(mode))
        same(got["Body"].read(), whole, mode)
        same(encryption(got), expected(mode, "read"))
        same((got["ContentType"], got["Metadata"], got["ETag"]), ("text/css", {"a": "b"}, done["ETag"]))
        refused(s3.list_parts, "NoSuchUpload", 404, **upload)

        for start, end in (
            (PART - 1, PART + 1),
            (PART - CHUNK, PART + CHUNK),
            (100, 2 * PART + 1 + 1000),
            (2 * PART + 1, 2 * PART + 2),
            (len(whole) - 1, len(whole)),
        ):
            asked = {"Bucket": "bucket", "Key": name, "Range": f"bytes={start}-{end - 1}"}
            got = s3.get_object(**asked, **read_args(mode))
            same(got["Body"].read(), whole[start:end], f"{mode} {start}-{end}")
            same(got["ContentRange"], f"bytes {start}-{end - 1}/{len(whole)}")
        suffix = {"Bucket": "bucket", "Key": name, "Range": f"bytes=-{2000}"}
        same(get(s3, **rename(suffix), mode=mode, Range="bytes=-2000"), whole[-2000:])
        for number, body in bodies.items():
            args = {"Bucket": "bucket", "Key": name, "PartNumber": number, **read_args(mode)}
            got, head = s3.get_object(**args), s3.head_object(**args)
            same(got["Body"].read(), body)
            for response in (got, head):
                same((status(response), response["PartsCount"]), (206, 3))
                same(response["ContentLength"], len(body))
        args["PartNumber"] = 3
        refused(s3.get_object, "InvalidPartNumber", 416, **args)
        listed = s3.list_objects_v2(Bucket="bucket", Prefix=name)["Contents"][0]
        same((listed["Size"], listed["ETag"]), (len(whole), done["ETag"]))


def rename(args):
    return {"bucket": args["Bucket"], "name": args["Key"]}


def again_and_aborted(s3):
    s3.create_bucket(Bucket="bucket")
    upload = create(s3, "s3", "again")
    put_part(s3, "s3", upload, 1, plain(PART, 1))
    first = put_part(s3, "s3", upload, 1, plain(PART, 2))
    last = put_part(s3, "s3", upload, 2, b"end")
    put_part(s3, "s3", upload, 3, b"not listed")
    complete(s3, upload, [first, last])
    same(get(s3, "bucket", "again", "s3"), plain(PART, 2) + b"end")

    for mode in MODES:
        upload = create(s3, mode, "aborted")
        part = put_part(s3, mode, upload, 1, b"text")
        same(status(s3.abort_multipart_upload(**upload)), 204)
        refused(s3.abort_multipart_upload, "NoSuchUpload", 404, **upload)
        args = {**upload, "PartNumber": 1, "Body": b"x", **read_args(mode)}
        refused(s3.upload_part, "NoSuchUpload", 404, **args)
        args = {**upload, "MultipartUpload": {"Parts": [part]}}
        refused(s3.complete_multipart_upload, "NoSuchUpload", 404, **args)
        refused(s3.get_object, "NoSuchKey", 404, Bucket="bucket", Key="aborted", **read_args(mode))


def completions_refused(s3):
    s3.create_bucket(Bucket="bucket")
    for mode in MODES:
        upload = create(s3, mode, "object")
        other = create(s3, mode, "object")
        one = put_part(s3, mode, upload, 1, plain(PART))
        two = put_part(s3, mode, upload, 2, b"small")
        three = put_part(s3, mode, upload, 3, b"end")
        foreign = put_part(s3, mode, other, 4, b"other")

        def refuse(code, parts):
            args = {**upload, "MultipartUpload": {"Parts": parts}}
            refused(s3.complete_multipart_upload, code, 400, **args)

        refuse("InvalidPartOrder", [two, one])
        refuse("InvalidPartOrder", [one, one])
        refuse("EntityTooSmall", [one, two, three])
        refuse("InvalidPart", [one, foreign])
        refuse("InvalidPart", [one, {**three, "ETag": one["ETag"]}])
        refuse("InvalidPart", [{**one, "ETag": '"0"'}])
        wrong_name = {**upload, "Key": "another", "MultipartUpload": {"Parts": [one]}}
        refused(s3.complete_multipart_upload, "NoSuchUpload", 404, **wrong_name)
        unknown = {**upload, "UploadId": "../../x", "MultipartUpload": {"Parts": [one]}}
        refused(s3.complete_multipart_upload, "NoSuchUpload", 404, **unknown)
        # None of that took anything from it.
        complete(s3, upload, [one, three])
        same(get(s3, "bucket", "object", mode), plain(PART) + b"end")
        s3.delete_object(Bucket="bucket", Key="object")


def customers_keys(s3):
    s3.create_bucket(Bucket="bucket")
    upload = create(s3, "c", "object")
    args = {**upload, "PartNumber": 1, "Body": plain(PART)}
    answer = refused(s3.upload_part, "InvalidRequest", 400, **args)
    says(answer, "Subsequent part requests must include")
    answer = refused(s3.upload_part, "InvalidRequest", 400, **args, **read_args("c", OTHER_KEY))
    says(answer, "did not match the ones used originally")
    one = put_part(s3, "c", upload, 1, plain(PART))
    two = put_part(s3, "c", upload, 2, b"end")
    # Completing needs no key, and takes one.
    s3.list_parts(**upload)
    done = {**upload, "MultipartUpload": {"Parts": [one, two]}, **read_args("c")}
    s3.complete_multipart_upload(**done)
    same(get(s3, "bucket", "object", "c"), plain(PART) + b"end")
    args = {"Bucket": "bucket", "Key": "object"}
    refused(s3.get_object, "AccessDenied", 403, **args, **read_args("c", OTHER_KEY))

    for mode in ("s3", "kms"):
        upload = create(s3, mode, "other")
        args = {**upload, "PartNumber": 1, "Body": b"x", **read_args("c")}
        refused(s3.upload_part, "InvalidRequest", 400, **args)
        part = put_part(s3, mode, upload, 1, b"x")
        args = {**upload, "MultipartUpload": {"Parts": [part]}, **read_args("c")}
        refused(s3.complete_multipart_upload, "InvalidRequest", 400, **args)
        # The encryption is fixed when the upload is created.
        with Headers(s3, {PREFIX: "AES256"}):
            args = {**upload, "PartNumber": 1, "Body": b"x"}
            refused(s3.upload_part, "InvalidArgument", 400, **args)


def copied_parts(s3):
    s3.create_bucket(Bucket="bucket")
    body = plain(PART + 5000)
    for source in MODES:
        s3.put_object(Bucket="bucket", Key=f"from-{source}", Body=body, **write_args(source))
        for mode in MODES:
            upload = create(s3, mode, "object")
            args = {
                **upload,
                "CopySource": {"Bucket": "bucket", "Key": f"from-{source}"},
                **read_args(mode),
            }
            ranged = {**args, "CopySourceRange": f"bytes=100-{100 + PART - 1}"}
            one = s3.upload_part_copy(**ranged, PartNumber=1, **source_args(source))
            same(encryption(one), expected(mode, "read"))
            two = s3.upload_part_copy(**args, PartNumber=2, **source_args(source))
            parts = [
                {"PartNumber": n + 1, "ETag": part["CopyPartResult"]["ETag"]}
                for n, part in enumerate((one, two))
            ]
            complete(s3, upload, parts)
            same(get(s3, "bucket", "object", mode), body[100 : 100 + PART] + body)
            for asked in (f"bytes=0-{len(body)}", "bytes=5-", "bytes=9-8", "5-6"):
                upload = create(s3, mode, "refused")
                args = {**args, **upload, "PartNumber": 1, "CopySourceRange": asked}
                refused(s3.upload_part_copy, "InvalidArgument", 400, **args, **source_args(source))
    args = {**args, "CopySource": {"Bucket": "bucket", "Key": "from-c"}, "CopySourceRange": "bytes=0-1"}
    refused(s3.upload_part_copy, "InvalidRequest", 400, **args)
    refused(s3.upload_part_copy, "AccessDenied", 403, **args, **source_args("c", OTHER_KEY))


def managed_transfers(s3):
    s3.create_bucket(Bucket="bucket")
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=3)
    body = plain(3 * PART + 77)
    for mode in MODES:
        s3.upload_fileobj(
            io.BytesIO(body), "bucket", f"{mode}-up", ExtraArgs=write_args(mode), Config=config
        )
        head = s3.head_object(Bucket="bucket", Key=f"{mode}-up", **read_args(mode))
        assert head["ETag"].endswith('-4"'), head["ETag"]
        down = io.BytesIO()
        s3.download_fileobj("bucket", f"{mode}-up", down, ExtraArgs=read_args(mode), Config=config)
        same(down.getvalue(), body, mode)
        to = MODES[(MODES.index(mode) + 1) % 3]
        source = {"Bucket": "bucket", "Key": f"{mode}-up"}
        extra = {**write_args(to), **source_args(mode)}
        s3.copy(source, "bucket", f"{mode}-copy", ExtraArgs=extra, Config=config)
        same(get(s3, "bucket", f"{mode}-copy", to), body, f"{mode} to {to}")
