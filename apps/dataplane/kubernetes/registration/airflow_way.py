"""Whether the API server reaches Airflows in the cluster, by which people and the portal do."""

from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api import errors as refusals
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import POD, Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.proxy.service_proxy import AIRFLOW_PORT, proxy_path, refusal
from apps.dataplane.status import Finding

WAY = "Way to Airflow"
CALL_SECONDS = 4.0


def way_finding(api: Api, config: ClusterConfig) -> tuple[Finding, ...]:
    """Ask an Airflow that is ready through the API server, the way in which pages of Airflow and
    its API are reached. Without a ready one there is nothing to ask.
    """
    labels = f"{names.PORTAL_LABEL}={config.portal_id},{names.COMPONENT_LABEL}=api-server"
    try:
        scopes = api.connection.scopes
        pods = [pod for scope in scopes for pod in api.list(POD, namespace=scope, labels=labels)]
    except refusals.Refused:
        return ()
    ready = next((pod for pod in pods if _is_ready(pod)), None)
    if ready is None:
        return ()
    ref = ready["metadata"]["labels"][names.DEPLOYMENT_LABEL]
    path = f"{proxy_path(api.connection, ref)}/{ref}/api/v2/version"
    try:
        answer = api.raw("GET", path, headers={"Accept": "application/json"}, seconds=CALL_SECONDS)
    except Unreachable:
        return (_closed_way(ref),)
    refused = refusal(answer.status, answer.headers.get("content-type", ""), answer.body)
    if refused is not None and answer.status >= 500:
        return (_closed_way(ref),)
    # What the API server itself says, of a Service that is gone for instance, shows no way.
    if refused is not None or answer.status >= 500:
        return ()
    return (Finding(title=WAY, is_ok=True, detail=f"The API server reaches Airflow of {ref}."),)


def _closed_way(ref: str) -> Finding:
    return Finding(
        title=WAY,
        is_ok=False,
        detail=f"Airflow of {ref} is ready, and the API server cannot connect to it.",
        remedy=f"Let the API server reach port {AIRFLOW_PORT} of pods: in clouds, by a rule of the "
        "security group or firewall between control plane and nodes.",
    )


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
