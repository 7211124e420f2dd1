"""The policies of a cluster that judge the pods which an Airflow starts for its tasks.

With the KubernetesExecutor the scheduler makes pods, and a DAG may describe them (`pod_override`,
`pod_template_file`). Where the settings let tasks start pods, a KubernetesPodOperator does. In a
namespace, whoever describes a pod may give it every Secret, volume and service account there is,
and a label by which it is taken for the api-server. In the cluster it may evict the pods of others,
or keep them from its nodes. So the API server itself refuses pods of a scheduler or of a task that
ask for more than task pods need; `task_pod_rules` says what. An administrator applies the policies
with the portal's role: whoever may write such policies can stop a cluster.

Priorities are a policy of their own, which the API server judges once for each PriorityClass there
is: only so can it tell the class that all pods of the cluster have from one that a DAG names.
"""

from typing import Any

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Refused
from apps.dataplane.kubernetes.api.kinds import ADMISSION_BINDING, ADMISSION_POLICY, Kind, Manifest
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL
from apps.dataplane.kubernetes.registration.task_pod_rules import CONTAINERS, PRIORITY, RULES
from apps.dataplane.kubernetes.render.pods import access

NAME = "astro-portal-task-pods"
PRIORITIES = "astro-portal-task-pod-priorities"
_KINDS = {kind.name: kind for kind in (ADMISSION_POLICY, ADMISSION_BINDING)}
_FILLED_IN: dict[str, Any] = {"matchPolicy": "Equivalent", "objectSelector": {}, "scope": "*"}
_MATCHES = {
    "namespaceSelector": {"matchExpressions": [{"key": DEPLOYMENT_LABEL, "operator": "Exists"}]},
    "resourceRules": [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE", "DELETE"],
            "resources": ["pods"],
        }
    ],
}


def manifests() -> tuple[Manifest, ...]:
    """Return the policies and their bindings, the same for every portal of a cluster."""
    of_each_class = {"paramKind": {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}}
    every_class = {"paramRef": {"selector": {}, "parameterNotFoundAction": "Deny"}}
    containers = {"variables": [{"name": "containers", "expression": CONTAINERS}]}
    return (
        _policy(NAME, RULES, containers),
        _binding(NAME, {}),
        _policy(PRIORITIES, PRIORITY, of_each_class),
        _binding(PRIORITIES, every_class),
    )


def require(api: Api) -> None:
    """Raise Permanent unless the cluster enforces the policies as they are here."""
    if not is_enforced(api):
        raise Permanent(
            "The policies for task pods are missing in this cluster, or older than this portal: "
            "nothing would keep a DAG from Airflow's own secrets and from the pods of others. "
            "A cluster administrator applies the manifest on the cluster's page again; it needs "
            "Kubernetes 1.30 or newer."
        )


def is_enforced(api: Api) -> bool:
    """Return whether the cluster has the policies and their bindings as they are here."""
    try:
        return all(
            _has(api.find(_KINDS[manifest["kind"]], manifest["metadata"]["name"]), manifest)
            for manifest in manifests()
        )
    except Refused:
        # Older roles may not read it.
        return False


def _has(live: Manifest | None, manifest: Manifest) -> bool:
    return live is not None and _says(live.get("spec"), manifest["spec"])


def _says(live: Any, wanted: Any) -> bool:
    """Return whether a live value is the wanted one. What the API server fills in may be beside it,
    and nothing else: a selector could leave pods out.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        added = {key: value for key, value in live.items() if key not in wanted}
        return all(_FILLED_IN.get(key) == value for key, value in added.items()) and all(
            key in live and _says(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(live, list):
        return len(live) == len(wanted) and all(map(_says, live, wanted))
    return bool(live == wanted)


def _policy(name: str, rules: dict[str, str], more: Manifest) -> Manifest:
    accounts = [access.SCHEDULER, access.TASKS]
    by_airflow = (
        f"{accounts!r}.exists(a, request.userInfo.username == "
        "'system:serviceaccount:' + request.namespace + ':' + a)"
    )
    return _manifest(
        ADMISSION_POLICY,
        name,
        {
            "failurePolicy": "Fail",
            "matchConstraints": _MATCHES,
            "matchConditions": [{"name": "by-airflow", "expression": by_airflow}],
            **more,
            "validations": [
                {"expression": expression, "message": message}
                for message, expression in rules.items()
            ],
        },
    )


def _binding(name: str, more: Manifest) -> Manifest:
    spec = {"policyName": name, **more, "validationActions": ["Deny"]}
    return _manifest(ADMISSION_BINDING, name, spec)


def _manifest(kind: Kind, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name},
        "spec": spec,
    }
