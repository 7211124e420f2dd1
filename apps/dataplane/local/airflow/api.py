"""HTTP to a Deployment's api-server on loopback, past the edge, as the portal itself."""

import json as jsonlib
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from apps.dataplane.errors import Unreachable
from apps.dataplane.status import AirflowResponse

# That Airflow runs user code: an answer has an end, in bytes and in time.
MOST_BYTES, CHUNK_BYTES = 32 * 1024**2, 64 * 1024


def call(
    *,
    port: int,
    ref: str,
    method: str,
    path: str,
    json: Mapping[str, object] | None = None,
    token: str = "",
    timeout_seconds: float = 10,
) -> AirflowResponse:
    """Call the REST API; any HTTP status is an answer. Raises Unreachable when there is none."""
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if json is not None:
        headers["Content-Type"] = "application/json"
    body = None if json is None else jsonlib.dumps(json).encode()
    url = f"http://127.0.0.1:{port}/{ref}/{path.lstrip('/')}"
    # The address is made here, of loopback and a port.
    request = urllib.request.Request(url, data=body, headers=headers, method=method.upper())  # noqa: S310
    try:
        return _answer(request, timeout_seconds=timeout_seconds)
    except (OSError, ValueError, HTTPException) as error:
        raise Unreachable(
            "The API server of this Deployment does not answer.", component="api-server"
        ) from error


def _answer(request: urllib.request.Request, *, timeout_seconds: float) -> AirflowResponse:
    deadline = time.monotonic() + 2 * timeout_seconds
    # Without a proxy from the environment: this is loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_seconds) as response:
            return AirflowResponse(status=response.status, data=_parsed(_read(response, deadline)))
    except urllib.error.HTTPError as error:
        with error:
            return AirflowResponse(status=error.code, data=_parsed(_read(error.fp, deadline)))


def _read(body: Any, deadline: float) -> bytes:
    chunks, size = [], 0
    while chunk := body.read1(CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST_BYTES or time.monotonic() > deadline:
            raise ValueError("The answer is too long, or takes too long.")
    return b"".join(chunks)


def _parsed(body: bytes) -> object:
    try:
        return jsonlib.loads(body)
    except ValueError:
        return None
