"""Send the dump that the container before this one wrote to a bucket, in parts, each to an address
that is good for that part alone. Nothing here can read or delete what lies there.
"""

import base64
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import job
from job import Failed

FOLDER = Path(os.environ.get("PORTAL_DUMP", "/opt/portal/dump"))
BLOCK_BYTES = 1024**2
SECONDS = 120
WAITS_SECONDS = (1.0, 4.0, 16.0)


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
    for wait in (*WAITS_SECONDS, None):
        try:
            return _put(address, stream, start, most_bytes, context)
        except urllib.error.HTTPError as error:
            said = error.read(2_000).decode(errors="replace")
            if error.code < 500 and error.code != 429:
                raise Failed("bucket-refused", f"{error.code} {said}") from None
            said = f"{error.code} {said}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise Failed("bucket-untrusted") from None
            said = str(error)
        if wait is not None:
            time.sleep(wait)
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
    request = urllib.request.Request(address, data=body, headers=headers, method="PUT")  # noqa: S310
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), _NoRedirects()
    )
    with opener.open(request, timeout=SECONDS) as answer:
        return str(answer.headers.get("ETag") or "")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _blocks(stream: BinaryIO, start: int, most_bytes: int) -> Iterator[bytes]:
    stream.seek(start)
    left = most_bytes
    while left and (block := stream.read(min(left, BLOCK_BYTES))):
        left -= len(block)
        yield block


if __name__ == "__main__":
    job.run(work)
