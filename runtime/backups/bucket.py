"""What both programs with a dump share: its folder, and how they ask the server of a bucket."""

import http.client
import os
import ssl
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
# A full disk is none of these.
BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
)


def ask(request: urllib.request.Request, context: ssl.SSLContext) -> Any:
    """Return the answer to a request. Raises one of `BROKEN`."""
    return job.opener(context).open(request, timeout=SECONDS)


def said_by(error: Exception) -> str:
    """Return what one of `BROKEN` says that may pass. Raises Failed for one that will not."""
    if isinstance(error, urllib.error.HTTPError):
        said = f"{error.code} {error.read(2_000).decode(errors='replace')}"
        if error.code < 500 and error.code != 429:
            raise Failed("bucket-refused", said) from None
        return said
    if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
        raise Failed("bucket-untrusted") from None
    return str(error)
