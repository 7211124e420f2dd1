"""The policy of a cluster that judges the pods which an Airflow starts for its tasks.

With the KubernetesExecutor the scheduler makes pods, and a DAG may describe them (`pod_override`,
`pod_template_file`). In a namespace, whoever describes a pod may give it every Secret, volume and
service account there is, and a label by which it is taken for the api-server. So the API server
itself refuses pods of a scheduler that name more than task pods need. An administrator applies the
policy with the portal's role: whoever may write such policies can stop a whole cluster.

What begins with `user-` is left to those who may create it in that namespace.
"""

from typing import Any

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Refused
from apps.dataplane.kubernetes.api.kinds import ADMISSION_BINDING, ADMISSION_POLICY, Kind, Manifest
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, DEPLOYMENT_LABEL
from apps.dataplane.kubernetes.render.components.task_pods import TASK
from apps.dataplane.kubernetes.render.pods import access
from apps.dataplane.kubernetes.render.pods.configuration import SECRETS_OF_TASKS
from apps.dataplane.kubernetes.render.pods.pods import LOGS_CLAIM

NAME = "astro-portal-task-pods"
USERS = "user-"
_FILLED_IN: dict[str, Any] = {"matchPolicy": "Equivalent", "objectSelector": {}, "scope": "*"}
_MATCHES = {
    "namespaceSelector": {"matchExpressions": [{"key": DEPLOYMENT_LABEL, "operator": "Exists"}]},
    "resourceRules": [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["pods"],
        }
    ],
}


def manifests() -> tuple[Manifest, Manifest]:
    """Return the policy and its binding, the same for every portal of a cluster."""
    scheduler = f":{access.SCHEDULER}"
    return (
        _manifest(
            ADMISSION_POLICY,
            {
                "failurePolicy": "Fail",
                "matchConstraints": _MATCHES,
                "matchConditions": [
                    {
                        "name": "by-a-scheduler",
                        "expression": "request.userInfo.username == "
                        f"'system:serviceaccount:' + request.namespace + '{scheduler}'",
                    }
                ],
                "variables": [{"name": "containers", "expression": _CONTAINERS}],
                "validations": [
                    {"expression": expression, "message": message}
                    for message, expression in _RULES.items()
                ],
            },
        ),
        _manifest(ADMISSION_BINDING, {"policyName": NAME, "validationActions": ["Deny"]}),
    )


def require(api: Api) -> None:
    """Raise Permanent unless the cluster enforces the policy as it is here."""
    if not is_enforced(api):
        raise Permanent(
            "This cluster does not keep the pods of tasks away from Airflow's own secrets. "
            "A cluster administrator applies the manifest on the cluster's page again; it needs "
            "Kubernetes 1.30 or newer."
        )


def is_enforced(api: Api) -> bool:
    """Return whether the cluster has the policy and its binding as they are here."""
    try:
        return all(
            _has(api.find(kind, NAME), manifest)
            for kind, manifest in zip(
                (ADMISSION_POLICY, ADMISSION_BINDING), manifests(), strict=True
            )
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


def _manifest(kind: Kind, spec: Manifest) -> Manifest:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": NAME},
        "spec": spec,
    }


def _named(value: str, *allowed: str) -> str:
    """Return the expression that a name is one of `allowed`, or a user's."""
    return f"({value} in {list(allowed)!r} || {value}.startsWith('{USERS}'))"


def _unless(fields: str, expression: str) -> str:
    """Return the expression that holds where a chain of optional fields ends early."""
    parts = fields.split(".")
    missing = [f"!has({'.'.join(parts[:end])})" for end in range(2, len(parts) + 1)]
    return " || ".join([*missing, expression])


_CONTAINERS = (
    "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : [])"
)
# Hardly anything of a pod's spec can change afterwards, and pods of older versions end in peace.
_LATER = "request.operation != 'CREATE'"
_VOLUME = " || ".join(
    (
        "has(v.configMap)",
        "has(v.emptyDir)",
        "has(v.downwardAPI)",
        f"has(v.secret) && {_named('v.secret.secretName', *SECRETS_OF_TASKS)}",
        "has(v.persistentVolumeClaim) && "
        f"{_named('v.persistentVolumeClaim.claimName', LOGS_CLAIM)}",
        "has(v.projected) && v.projected.sources.all(s, has(s.configMap) || has(s.downwardAPI) || "
        f"has(s.secret) && {_named('s.secret.name', *SECRETS_OF_TASKS)})",
        # Not one that begins as a copy of another claim.
        "has(v.ephemeral) && !has(v.ephemeral.volumeClaimTemplate.spec.dataSource) && "
        "!has(v.ephemeral.volumeClaimTemplate.spec.dataSourceRef) && "
        "!has(v.ephemeral.volumeClaimTemplate.spec.volumeName)",
    )
)
_RULES = {
    "A task pod runs as the service account tasks, or one whose name begins with user-.": _named(
        "object.spec.serviceAccountName", access.TASKS
    ),
    "A task pod keeps its label as a task: it must not be taken for another component.": (
        f"has(object.metadata.labels) && '{COMPONENT_LABEL}' in object.metadata.labels && "
        f"object.metadata.labels['{COMPONENT_LABEL}'] == '{TASK}'"
    ),
    "A task pod has no variables of Airflow's own secrets, only of those that begin with user-.": (
        f"{_LATER} || variables.containers.all(c, "
        "(!has(c.envFrom) || c.envFrom.all(f, "
        f"{_unless('f.secretRef', _named('f.secretRef.name', *SECRETS_OF_TASKS))})) && "
        "(!has(c.env) || c.env.all(e, "
        + _unless(
            "e.valueFrom.secretKeyRef",
            _named("e.valueFrom.secretKeyRef.name", *SECRETS_OF_TASKS),
        )
        + ")))"
    ),
    "A task pod mounts no secret, claim or token of Airflow's own, nor a copy of a claim.": (
        f"{_LATER} || !has(object.spec.volumes) || object.spec.volumes.all(v, {_VOLUME})"
    ),
}
