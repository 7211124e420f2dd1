"""HTTP to a Deployment's api-server on loopback, past the edge, as the portal itself."""

import json as jsonlib
import urllib.error
import urllib.request
from collections.abc import Mapping

from apps.dataplane.errors import Unreachable
from apps.dataplane.status import AirflowResponse


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
    # Without a proxy from the environment: this is loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_seconds) as response:
            return AirflowResponse(status=response.status, data=_parsed(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            return AirflowResponse(status=error.code, data=_parsed(error.read()))
    except (OSError, ValueError) as error:
        raise Unreachable(
            "The API server of this Deployment does not answer.", component="api-server"
        ) from error


def _parsed(body: bytes) -> object:
    try:
        return jsonlib.loads(body)
    except ValueError:
        return None
