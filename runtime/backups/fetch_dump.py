"""Get a dump from a bucket, by an address that is good for it alone and for some hours. It has its
name only when it is complete and has the wanted checksum.
"""

import hashlib
import http.client
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import job
from job import Failed

FOLDER = Path(os.environ.get("PORTAL_DUMP", "/opt/portal/dump"))
BLOCK_BYTES = 1024**2
SECONDS = 120
WAITS_SECONDS = (1.0, 4.0, 16.0)


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
            except urllib.error.HTTPError as error:
                if error.code == 416:
                    # Nothing is where more should be.
                    raise Failed("dump-damaged") from None
                said = f"{error.code} {error.read(2_000).decode(errors='replace')}"
                if error.code < 500 and error.code != 429:
                    raise Failed("bucket-refused", said) from None
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
                if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                    raise Failed("bucket-untrusted") from None
                said = str(error)
            if got == size:
                return digest.hexdigest()
    raise Failed("bucket-away", said or "The object is cut off.")


def _blocks(address: str, start: int, context: ssl.SSLContext) -> Any:
    headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - from the portal
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), _NoRedirects()
    )
    with opener.open(request, timeout=SECONDS) as answer:
        if start and answer.status != 206:
            raise Failed("dump-damaged")
        while block := answer.read(BLOCK_BYTES):
            yield block


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


if __name__ == "__main__":
    job.run(work)
    sys.exit(0 if (FOLDER / "dump").is_file() else 1)
