"""The REST API of an Airflow in a cluster, through the Kubernetes API's service proxy.

The proxy consumes the Authorization header, so Airflow's token is sent as its session cookie.
"""

from collections.abc import Mapping

import orjson

from apps.dataplane.airflow_token import PORTAL, AirflowUser, service_token
from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.proxy.service_proxy import SESSION_COOKIE, proxy_path, refusal
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import AirflowResponse

SECONDS = 10.0


def call_airflow(
    api: Api,
    *,
    spec: DeploymentSpec,
    method: str,
    path: str,
    json: Mapping[str, object] | None = None,
    seconds: float = SECONDS,
    user: AirflowUser = PORTAL,
) -> AirflowResponse:
    """Call the REST API and return the response of any HTTP status. Raises Unreachable."""
    token = service_token(spec.secrets.jwt_secret, user=user)
    headers = {"Accept": "application/json", "Cookie": f"{SESSION_COOKIE}={token}"}
    if json is not None:
        headers["Content-Type"] = "application/json"
    answer = api.raw(
        method.upper(),
        f"{proxy_path(api.connection, spec.ref)}/{spec.ref}/{path.lstrip('/')}",
        headers=headers,
        body=None if json is None else orjson.dumps(json),
        seconds=seconds,
    )
    content_type = answer.headers.get("content-type", "")
    if answer.status >= 400 and refusal(answer.status, content_type, answer.body) is not None:
        raise Unreachable(
            "The API server of this Deployment does not answer.", component="api-server"
        )
    return AirflowResponse(status=answer.status, data=_parsed(answer.body))


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
