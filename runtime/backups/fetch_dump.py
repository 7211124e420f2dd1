"""Get a dump from a bucket, by an address that is good for it alone and for some hours. It has its
name only when it is complete and has the wanted checksum.
"""

import hashlib
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bucket
import job
from bucket import BLOCK_BYTES, BROKEN, FOLDER, WAITS_SECONDS
from job import Failed


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Return nothing of interest. `task` has `size` and `sha256` of the dump, and `ca`, which is
    trusted beside the system's certificates.
    """
    address, context = job.credential()["dump"], job.trust(task["ca"])
    part = FOLDER / "dump.unfinished"
    part.touch(mode=0o640)
    digest = _fetched(address, part, task["size"], context)
    if digest != task["sha256"]:
        raise Failed("dump-damaged")
    part.rename(FOLDER / "dump")
    return {"size": task["size"]}


def _fetched(address: str, path: Path, size: int, context: ssl.SSLContext) -> str:
    """Read until all is there, going on where the connection broke; return the SHA-256."""
    digest, got, said = hashlib.sha256(), 0, ""
    with path.open("wb") as stream:
        for wait in (0.0, *WAITS_SECONDS):
            time.sleep(wait)
            try:
                for block in _blocks(address, got, context):
                    digest.update(block)
                    stream.write(block)
                    got += len(block)
                    if got > size:
                        raise Failed("dump-damaged")
            except BROKEN as error:
                if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                    # Nothing is where more should be.
                    raise Failed("dump-damaged") from None
                said = bucket.said_by(error)
            if got == size:
                return digest.hexdigest()
    raise Failed("bucket-away", said or "The object is cut off.")


def _blocks(address: str, start: int, context: ssl.SSLContext) -> Iterator[bytes]:
    headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - from the portal
    with bucket.ask(request, context) as answer:
        if start and answer.status != 206:
            raise Failed("dump-damaged")
        while block := answer.read(BLOCK_BYTES):
            yield block


if __name__ == "__main__":
    job.run(work)
    sys.exit(0 if (FOLDER / "dump").is_file() else 1)
