"""HTTP to a Deployment's api-server on loopback, past the edge, as the portal itself."""

import http.client
import json as jsonlib
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from apps.dataplane.errors import Permanent, Unreachable
from apps.dataplane.status import AirflowResponse

LARGEST_ANSWER = 64 * 1024 * 1024
LONGEST_SECONDS = 30
CHUNK_BYTES = 1024 * 1024


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
    """Call the REST API; any HTTP status is an answer. Raises Unreachable when there is none, and
    Permanent for one that is larger than `LARGEST_ANSWER`.
    """
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if json is not None:
        headers["Content-Type"] = "application/json"
    body = None if json is None else jsonlib.dumps(json).encode()
    url = f"http://127.0.0.1:{port}/{ref}/{path.lstrip('/')}"
    # The address is made here, of loopback and a port.
    request = urllib.request.Request(url, data=body, headers=headers, method=method.upper())  # noqa: S310
    # Without a proxy from the environment: this is loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
    try:
        with opener.open(request, timeout=timeout_seconds) as response:
            return AirflowResponse(status=response.status, data=_parsed(_read(response)))
    except urllib.error.HTTPError as error:
        return _failure(error)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(
            "The API server of this Deployment does not answer.", component="api-server"
        ) from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Code of an Airflow does not choose what the portal calls: a redirect is an answer."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _failure(error: urllib.error.HTTPError) -> AirflowResponse:
    try:
        with error:
            return AirflowResponse(status=error.code, data=_parsed(_read(error)))
    except (OSError, http.client.HTTPException):
        return AirflowResponse(status=error.code, data=None)


def _read(response: Any) -> bytes:
    """Read an answer, as much and for as long as one may take: its sender runs code of DAGs."""
    deadline = time.monotonic() + LONGEST_SECONDS
    pieces, size = [], 0
    while piece := response.read1(CHUNK_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_ANSWER:
            raise Permanent("Airflow sent more data than the portal accepts at once.")
        if time.monotonic() > deadline:
            raise TimeoutError("the answer takes too long")
    return b"".join(pieces)


def _parsed(body: bytes) -> object:
    try:
        return jsonlib.loads(body)
    except (ValueError, RecursionError):
        return None
