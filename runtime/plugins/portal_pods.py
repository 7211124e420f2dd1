"""The pods that a KubernetesPodOperator starts beside Airflow, as its cluster takes them.

What the operator of a DAG leaves open is filled in here: labels and nodes of the Deployment, and
what Pod Security "restricted" asks for. What it says itself stays. This is for convenience alone:
the API server refuses whatever a pod may not be.
"""

import json
import os
from typing import Any

DEFAULTS = "PORTAL_POD_DEFAULTS"
IN_CLUSTER = "airflow_kpo_in_cluster"
SECCOMP = {"type": "RuntimeDefault"}
CLOSED = {"allow_privilege_escalation": False, "capabilities": {"drop": ["ALL"]}}
OF_POD = {"run_as_non_root": True, "seccomp_profile": SECCOMP}
# What the client of Kubernetes calls the fields of a pod.
FIELDS = {
    "serviceAccountName": "service_account_name",
    "nodeSelector": "node_selector",
    "affinity": "affinity",
    "tolerations": "tolerations",
    "priorityClassName": "priority_class_name",
    "imagePullSecrets": "image_pull_secrets",
}


def complete(pod: Any) -> None:
    """Fill in what a pod (`V1Pod`) for the cluster of this Airflow leaves open; leave others."""
    labels = pod.metadata.labels or {}
    if DEFAULTS not in os.environ or labels.get(IN_CLUSTER) != "True":
        return
    defaults = json.loads(os.environ[DEFAULTS])
    pod.metadata.labels = {**labels, **defaults["labels"]}
    if pod.spec.node_selector:
        # Nodes of its own are not also those of the others.
        defaults["spec"].pop("affinity", None)
    for name, value in defaults["spec"].items():
        if not getattr(pod.spec, FIELDS[name]):
            setattr(pod.spec, FIELDS[name], value)
    if pod.spec.automount_service_account_token is None:
        pod.spec.automount_service_account_token = False
    pod.spec.security_context = _filled(pod.spec.security_context, OF_POD)
    for container in [*pod.spec.containers, *(pod.spec.init_containers or [])]:
        container.security_context = _filled(container.security_context, CLOSED)


def _filled(context: Any, defaults: dict[str, Any]) -> Any:
    """Return a security context, which is an object of the client or a dict, with defaults."""
    if not context or isinstance(context, dict):
        return {_camel(name): value for name, value in defaults.items()} | _plain(context or {})
    for name, value in defaults.items():
        if getattr(context, name) is None:
            setattr(context, name, value)
    return context


def _plain(context: dict[str, Any]) -> dict[str, Any]:
    return {_camel(name): value for name, value in context.items()}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
