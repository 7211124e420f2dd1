"""RBAC inside the namespace. Only components that start or read task pods get a token.

User code gets none: whoever may create a pod in this namespace may mount every Secret of it.
"""

from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.identity import account_annotations, reads_logs
from apps.dataplane.kubernetes.render.target import Target

COMPONENT = "access"
AIRFLOW = "airflow"  # no rights
# What runs tasks, with its identity in a cloud. In the cluster it has no rights, or starts pods.
TASKS = "tasks"
SCHEDULER = "scheduler"
API_SERVER = "api-server"
HIBERNATION = "hibernation"  # scales the workloads of its Deployment
RBAC = "rbac.authorization.k8s.io"

LAUNCHES_PODS = (
    {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["create", "delete", "get", "list", "patch", "watch"],
    },
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
)
# What tasks do that start pods. Not exec: it would lead into the pods of Airflow itself.
OPERATES_PODS = (
    *LAUNCHES_PODS[:2],
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
)
READS_LOGS = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
)


def access(target: Target) -> tuple[Manifest, ...]:
    """Return ServiceAccounts, Roles and RoleBindings."""
    accounts = [_account(target, AIRFLOW), _account(target, TASKS)]
    if target.keeps_time:
        accounts += [
            _account(target, HIBERNATION),
            *_granted(target, HIBERNATION, _turns(target)),
        ]
    if target.spec.settings.pod_operator:
        accounts += _granted(target, TASKS, OPERATES_PODS)
    if target.spec.executor != "kubernetes":
        own = [_account(target, API_SERVER)] if reads_logs(target) else []
        return (*accounts, *own)
    return (
        *accounts,
        _account(target, SCHEDULER),
        *_granted(target, SCHEDULER, LAUNCHES_PODS),
        _account(target, API_SERVER),
        *_granted(target, API_SERVER, READS_LOGS),
    )


def _turns(target: Target) -> tuple[dict[str, Any], ...]:
    """Return what it takes to put this Deployment to sleep and to wake it: numbers of pods, not
    what runs in them, and the end of tasks whose time is over.
    """
    scales = {
        "apiGroups": ["apps"],
        "resources": ["deployments/scale"],
        "resourceNames": sorted(target.awake),
        "verbs": ["get", "patch"],
    }
    pauses = {
        "apiGroups": ["keda.sh"],
        "resources": ["scaledobjects"],
        "resourceNames": sorted(target.scaled_names),
        "verbs": ["get", "patch"],
    }
    plan = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [HIBERNATION],
        "verbs": ["get"],
    }
    tasks = {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "list"]}
    return (scales, *([pauses] if target.scaled_names else []), plan, tasks)


def has_token(target: Target, account: str) -> bool:
    """Return whether pods of an account get its token for the API server."""
    if account == TASKS:
        return target.spec.settings.pod_operator
    return account in (SCHEDULER, API_SERVER) and target.spec.executor == "kubernetes"


def account_of_api_server(target: Target) -> str:
    """Return the account of the api-server: one of its own where it reads logs by it."""
    is_own = target.spec.executor == "kubernetes" or reads_logs(target)
    return API_SERVER if is_own else AIRFLOW


def _account(target: Target, name: str) -> Manifest:
    account = target.manifest(
        "ServiceAccount", name, component=COMPONENT, automountServiceAccountToken=False
    )
    has_identity = name == TASKS or (name == API_SERVER and reads_logs(target))
    if has_identity and (annotations := account_annotations(target)):
        account["metadata"]["annotations"] = annotations
    return account


def _granted(target: Target, name: str, rules: tuple[dict[str, Any], ...]) -> tuple[Manifest, ...]:
    role = target.manifest(f"{RBAC}/v1 Role", name, component=COMPONENT, rules=list(rules))
    binding = target.manifest(
        f"{RBAC}/v1 RoleBinding",
        name,
        component=COMPONENT,
        roleRef={"apiGroup": RBAC, "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": target.namespace}],
    )
    return role, binding
