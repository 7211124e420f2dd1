"""Files to a bucket and back, in parts, so that no file is in memory as a whole."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from apps.object_stores import client
from apps.object_stores.client import Bucket, BucketFailed

# S3 takes 10,000 parts of an object: up to 156 GiB with these.
PART_BYTES = 16 * 1024**2
MOST_PARTS = 10_000
WAITS_SECONDS = (1.0, 4.0)
SHORT = "The object in the bucket is not what was sent to it. Try again."
DAMAGED = "The object in the bucket is damaged: its checksum is another one."

Result = TypeVar("Result")


def upload(bucket: Bucket, key: str, path: Path, *, part_bytes: int = PART_BYTES) -> None:
    """Write a file as an object, which appears when it is complete. What an upload that failed has
    left is removed, as far as the server answers. Raises BucketFailed or OSError.
    """
    size = path.stat().st_size
    if size > part_bytes * MOST_PARTS:
        raise BucketFailed("The backup is larger than an object in a bucket can be.")
    upload_id = _tried(lambda: client.begin_upload(bucket, key))
    try:
        tags = _send_parts(bucket, key, path, upload_id, part_bytes)
        client.finish_upload(bucket, key, upload=upload_id, tags=tags)
    except BaseException:
        with suppress(BucketFailed):
            client.cancel_upload(bucket, key, upload=upload_id)
        raise
    if _tried(lambda: client.size_of(bucket, key)) != size:
        with suppress(BucketFailed):
            client.delete(bucket, key)
        raise BucketFailed(SHORT, is_passing=True)


def download(
    bucket: Bucket, key: str, path: Path, *, sha256: str, size: int, part_bytes: int = PART_BYTES
) -> None:
    """Write an object into a file that no one else may read. It has its name only when it is
    complete and has this checksum. Raises BucketFailed or OSError.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    digest = hashlib.sha256()
    try:
        unfinished.touch(mode=0o600)
        with unfinished.open("wb") as stream:
            for start in range(0, size, part_bytes):
                part = _part(bucket, key, start, min(part_bytes, size - start))
                digest.update(part)
                stream.write(part)
        if digest.hexdigest() != sha256:
            raise BucketFailed(DAMAGED)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _part(bucket: Bucket, key: str, start: int, size: int) -> bytes:
    part = _tried(lambda: client.get_range(bucket, key, start=start, size=size))
    if len(part) != size:
        raise BucketFailed("The object in the bucket is cut off.")
    return part


def _send_parts(bucket: Bucket, key: str, path: Path, upload_id: str, part_bytes: int) -> list[str]:
    tags: list[str] = []
    with path.open("rb") as stream:
        while True:
            body = stream.read(part_bytes)
            if not body and tags:
                return tags
            tags.append(_send_part(bucket, key, upload_id, len(tags) + 1, body))


def _send_part(bucket: Bucket, key: str, upload_id: str, number: int, body: bytes) -> str:
    return _tried(lambda: client.put_part(bucket, key, upload=upload_id, number=number, body=body))


def _tried(call: Callable[[], Result]) -> Result:
    """Call again after a failure that may pass, twice."""
    for seconds in WAITS_SECONDS:
        try:
            return call()
        except BucketFailed as error:
            if not error.is_passing:
                raise
        time.sleep(seconds)
    return call()
