"""Send the dump that the container before this one wrote to a bucket, in parts, each to an address
that is good for that part alone. Nothing here can read or delete what lies there.
"""

import base64
import hashlib
import ssl
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, BinaryIO

import bucket
import job
from bucket import BLOCK_BYTES, BROKEN, FOLDER, WAITS_SECONDS
from job import Failed


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Return `size` and `sha256` of the dump, and the `tags` of its parts. `task` has the
    most bytes of a part as `part_bytes`, and `ca`, which is trusted beside the system's own.
    """
    if (FOLDER / "status").read_text().strip() != "0":
        raise Failed("dump", (FOLDER / "said").read_text(errors="replace"))
    path, addresses = FOLDER / "dump", job.credential()["parts"]
    size = path.stat().st_size
    count = max(1, -(-size // task["part_bytes"]))
    if count > len(addresses):
        raise Failed("dump-large", f"{size / 1024**3:.1f} GiB")
    context = job.trust(task["ca"])
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in _blocks(stream, 0, size):
            digest.update(block)
        tags = [
            _sent(address, stream, number * task["part_bytes"], task["part_bytes"], context)
            for number, address in enumerate(addresses[:count])
        ]
    return {"size": size, "sha256": digest.hexdigest(), "tags": tags}


def _sent(
    address: str, stream: BinaryIO, start: int, most_bytes: int, context: ssl.SSLContext
) -> str:
    """Send one part, again after a failure that may pass; return its ETag."""
    said = ""
    for wait in (0.0, *WAITS_SECONDS):
        time.sleep(wait)
        try:
            return _put(address, stream, start, most_bytes, context)
        except BROKEN as error:
            said = bucket.said_by(error)
    raise Failed("bucket-away", said)


def _put(
    address: str, stream: BinaryIO, start: int, most_bytes: int, context: ssl.SSLContext
) -> str:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for block in _blocks(stream, start, most_bytes):
        digest.update(block)
        size += len(block)
    # With it, the server refuses what arrives changed.
    headers = {
        "Content-Length": str(size),
        "Content-MD5": base64.b64encode(digest.digest()).decode(),
        "Content-Type": "application/octet-stream",
    }
    body = _blocks(stream, start, most_bytes)
    request = urllib.request.Request(  # noqa: S310 - from the portal
        address, data=body, headers=headers, method="PUT"
    )
    with bucket.ask(request, context) as answer:
        return str(answer.headers.get("ETag") or "")


def _blocks(stream: BinaryIO, start: int, most_bytes: int) -> Iterator[bytes]:
    stream.seek(start)
    left = most_bytes
    while left and (block := stream.read(min(left, BLOCK_BYTES))):
        left -= len(block)
        yield block


if __name__ == "__main__":
    job.run(work)
