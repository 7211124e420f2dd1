"""The few calls of S3 that the portal makes, each a short exchange through the guarded HTTP.

Requests are signed by botocore (AWS Signature Version 4), with the SHA-256 of what is sent, so that
the server refuses what arrives changed. botocore is an extra, loaded where it is used.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from apps.core.errors import PortalError
from apps.core.outbound.guarded_http import Answer, ExchangeFailed, Guard, Reach, request

# For a part of a file, and for everything else, for which people may wait.
PART_SECONDS, SECONDS = 120, 15
MOST_ANSWER_BYTES = 64 * 1024
NO_LIBRARY = (
    "This portal is installed without botocore, which signs what is sent to a bucket. Its operator "
    "has to install the extra “aws”."
)
FULL = (
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "InsufficientCapacity",
    "InsufficientStorage",
)


class BucketFailed(PortalError):
    """A bucket did not do what it was asked; the message says why. `is_passing`: it may later."""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class ObjectMissing(BucketFailed):
    """There is no such object in the bucket."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where a bucket is, and the key that opens it."""

    endpoint: str
    name: str
    region: str
    is_path_style: bool
    access_key_id: str
    secret: str = field(repr=False)
    reach: Reach

    def url(self, key: str) -> str:
        """Return the address of an object."""
        parts = urlsplit(self.endpoint)
        path = quote(key, safe="/-_.~")
        if self.is_path_style:
            return f"{self.endpoint}/{self.name}/{path}"
        return f"{parts.scheme}://{self.name}.{parts.netloc}/{path}"


def put(bucket: Bucket, key: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Write an object. Raises BucketFailed."""
    _call(bucket, "PUT", key, body=body, headers=headers)


def get_range(bucket: Bucket, key: str, *, start: int, size: int) -> bytes:
    """Read `size` bytes of an object, or what is left of it. Raises BucketFailed."""
    headers = {"Range": f"bytes={start}-{start + size - 1}"}
    answer = _call(bucket, "GET", key, headers=headers, most_bytes=size + 1, seconds=PART_SECONDS)
    if answer.status != 206 or len(answer.body) > size:
        raise BucketFailed("The bucket does not hand out parts of an object.")
    return answer.body


def size_of(bucket: Bucket, key: str) -> int:
    """Return the bytes of an object. Raises BucketFailed."""
    answer = _call(bucket, "HEAD", key)
    length = _header(answer, "content-length")
    if not length.isdecimal():
        raise BucketFailed("The bucket does not tell the size of an object.")
    return int(length)


def delete(bucket: Bucket, key: str) -> None:
    """Delete an object; one that is not there is deleted already. Raises BucketFailed."""
    try:
        _call(bucket, "DELETE", key)
    except ObjectMissing:
        return


def begin_upload(bucket: Bucket, key: str) -> str:
    """Begin an object of several parts and return the id of the upload. Raises BucketFailed."""
    answer = _call(bucket, "POST", key, query={"uploads": ""}, body=b"")
    found = _text(answer.body, "UploadId")
    if not found or len(found) > 1_000:
        raise BucketFailed("The bucket does not take objects in parts.")
    return found


def put_part(bucket: Bucket, key: str, *, upload: str, number: int, body: bytes) -> str:
    """Send one part, at least 5 MiB unless it is the last, and return its ETag."""
    query = {"partNumber": str(number), "uploadId": upload}
    answer = _call(bucket, "PUT", key, query=query, body=body, seconds=PART_SECONDS)
    tag = _header(answer, "etag")
    if not tag or len(tag) > 200:
        raise BucketFailed("The bucket does not confirm the parts of an object.")
    return tag


def finish_upload(bucket: Bucket, key: str, *, upload: str, tags: list[str]) -> None:
    """Make one object of the parts. Raises BucketFailed."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    answer = _call(
        bucket,
        "POST",
        key,
        query={"uploadId": upload},
        body=body,
        seconds=PART_SECONDS,
    )
    # It may say so after it began to answer.
    if _text(answer.body, "Code"):
        raise _refusal(bucket, answer)


def cancel_upload(bucket: Bucket, key: str, *, upload: str) -> None:
    """Let the server forget the parts of an upload. Raises BucketFailed."""
    try:
        _call(bucket, "DELETE", key, query={"uploadId": upload})
    except ObjectMissing:
        return


def part_address(
    bucket: Bucket, key: str, *, upload: str, number: int, good_for_seconds: int
) -> str:
    """Return an address that takes one part of an object by PUT, and nothing else. Raises
    BucketFailed.
    """
    query = {"partNumber": str(number), "uploadId": upload}
    return _address(bucket, "PUT", f"{bucket.url(key)}?{urlencode(query)}", good_for_seconds)


def object_address(bucket: Bucket, key: str, *, good_for_seconds: int) -> str:
    """Return an address that hands out one object by GET. Raises BucketFailed."""
    return _address(bucket, "GET", bucket.url(key), good_for_seconds)


def _address(bucket: Bucket, method: str, url: str, good_for_seconds: int) -> str:
    auth, credentials = _library("botocore.auth"), _library("botocore.credentials").Credentials
    made = _library("botocore.awsrequest").AWSRequest(method=method, url=url)
    opened = credentials(bucket.access_key_id, bucket.secret)
    auth.S3SigV4QueryAuth(opened, "s3", bucket.region, expires=good_for_seconds).add_auth(made)
    return str(made.url)


def _call(
    bucket: Bucket,
    method: str,
    key: str,
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    most_bytes: int = MOST_ANSWER_BYTES,
    seconds: int = SECONDS,
) -> Answer:
    url = bucket.url(key) + (f"?{urlencode(query)}" if query else "")
    guard = Guard(reach=bucket.reach, seconds=seconds, most_bytes=most_bytes)
    signed = _signed(bucket, method, url, body, headers or {})
    try:
        answer = request(method, url, body=body, headers=signed, guard=guard)
    except ExchangeFailed as error:
        message = f"The server of the bucket {bucket.name} cannot be used. {error.message}"
        raise BucketFailed(message, is_passing=True) from None
    if answer.status not in (200, 204, 206):
        raise _refusal(bucket, answer)
    return answer


def _signed(
    bucket: Bucket, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
) -> dict[str, str]:
    auth, credentials = _library("botocore.auth"), _library("botocore.credentials").Credentials
    made = _library("botocore.awsrequest").AWSRequest(
        method=method, url=url, headers=dict(headers), data=body or b""
    )
    opened = credentials(bucket.access_key_id, bucket.secret)
    auth.S3SigV4Auth(opened, "s3", bucket.region).add_auth(made)
    # Compressed on the way, an object would have another size.
    return {
        "Accept-Encoding": "identity",
        **{name: str(made.headers[name]) for name in made.headers},
    }


def _header(answer: Answer, name: str) -> str:
    return next((text for key, text in answer.headers.items() if key.lower() == name), "")


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise BucketFailed(NO_LIBRARY) from None


def _refusal(bucket: Bucket, answer: Answer) -> BucketFailed:
    code = _text(answer.body, "Code")[:60]
    name = f"The bucket {bucket.name}"
    if code in FULL or answer.status == 507:
        return BucketFailed(f"{name} is full. Make room there, or raise its quota.")
    if code == "NoSuchBucket":
        return BucketFailed(f"There is no bucket {bucket.name} at this address.")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return BucketFailed(f"{name} does not accept the access key. Enter it again.")
    if code == "RequestTimeTooSkewed":
        return BucketFailed(f"{name} says that the clock of this machine is wrong.")
    if answer.status in (401, 403):
        return BucketFailed(
            f"{name} refuses the access key (status {answer.status}). It must be allowed to read, "
            "write and delete objects there."
        )
    if 300 <= answer.status < 400:
        return BucketFailed(
            f"{name} is somewhere else: the server redirects. Check the address and the region."
        )
    if answer.status == 404:
        return ObjectMissing(f"{name} does not have the object.")
    word = f", {code}" if code.isalnum() else ""
    is_passing = answer.status >= 500 or answer.status == 429 or answer.status == 200
    return BucketFailed(f"{name} failed (status {answer.status}{word}).", is_passing=is_passing)


def _text(body: bytes, name: str) -> str:
    """Return the text of the first element of a name, empty if there is none. What stands around it
    is of no use, so nothing parses what a server sends.
    """
    found = re.search(rf"<{name}>([^<>]{{1,1000}})</{name}>", body.decode(errors="replace"))
    return unescape(found[1]).strip() if found else ""
