"""The permissions that the portal needs in a cluster: checked by a test, granted by a manifest.

Namespaces come and go with Deployments, and RBAC cannot say "those that begin with airflow-": the
permissions hold in the whole cluster, or in namespaces that their owners made and named. They
include what the roles of an Airflow grant, because RBAC refuses to grant more than one holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from apps.dataplane.kubernetes.registration import task_pod_policy
from apps.dataplane.kubernetes.render.components.database_jobs import NAMESPACE as DATABASES

ACCOUNT = "astro-portal"
NAMESPACE = f"{ACCOUNT}-access"
TOKEN_SECRET = f"{ACCOUNT}-token"  # noqa: S105 - the name of an object

READ = ("get", "list", "watch")
MANAGE = (*READ, "create", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Verbs on some resources of one API group. Without an optional one a Deployment still runs,
    and `why` says what is lost. One that `is_of_cluster` is about no namespace.
    """

    group: str = ""
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    is_required: bool = True
    is_of_cluster: bool = False


SCALES = Rule(
    group="apps",
    resources=("deployments/scale",),
    verbs=("get", "patch"),
    why="Hibernating and waking at their times while the portal is away",
    is_required=False,
)
NEEDED = (
    Rule(resources=("namespaces",), verbs=MANAGE, why="A namespace for each Deployment"),
    Rule(
        resources=("configmaps", "secrets", "serviceaccounts", "services"),
        verbs=MANAGE,
        why="Configuration, identity and addresses inside the cluster",
    ),
    Rule(resources=("persistentvolumeclaims",), verbs=MANAGE, why="Task logs and databases"),
    Rule(
        resources=("resourcequotas", "limitranges"),
        verbs=MANAGE,
        why="Limits on what a Deployment can use",
    ),
    Rule(
        group="apps",
        resources=("deployments", "statefulsets"),
        verbs=MANAGE,
        why="The components of Airflow and its workers",
    ),
    SCALES,
    Rule(
        group="batch",
        resources=("jobs", "cronjobs"),
        verbs=MANAGE,
        why="Migrating metadata databases, removing old logs",
    ),
    Rule(
        resources=("pods",),
        verbs=MANAGE,
        why="Health of components; tasks of the Kubernetes executor",
    ),
    Rule(resources=("pods/log",), verbs=("get",), why="Logs of components and tasks"),
    Rule(resources=("events",), verbs=READ, why="Why something does not start"),
    Rule(
        resources=("services/proxy",),
        verbs=("get", "create", "update", "patch", "delete"),
        why="Access to each Airflow's pages and REST API",
    ),
    Rule(
        group="rbac.authorization.k8s.io",
        resources=("roles", "rolebindings"),
        verbs=MANAGE,
        why="Permissions of Airflow within its own namespace",
    ),
    Rule(
        group="networking.k8s.io",
        resources=("networkpolicies",),
        verbs=MANAGE,
        why="Isolating Deployments on the network",
    ),
    Rule(
        group="policy",
        resources=("poddisruptionbudgets",),
        verbs=MANAGE,
        why="Staying available while nodes are replaced",
    ),
    Rule(
        group="storage.k8s.io",
        resources=("storageclasses",),
        verbs=("get", "list"),
        why="Which storage classes can be chosen; without it the cluster's default one",
        is_of_cluster=True,
    ),
    Rule(
        group="admissionregistration.k8s.io",
        resources=("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
        verbs=("get",),
        why="Whether task pods are kept away from Airflow's own secrets; without it there is no "
        "Kubernetes executor",
        is_required=False,
        is_of_cluster=True,
    ),
    Rule(
        group="keda.sh",
        resources=("scaledobjects", "triggerauthentications"),
        verbs=MANAGE,
        why="Workers that scale with their tasks; without it their number is fixed",
        is_required=False,
    ),
    Rule(
        group="autoscaling",
        resources=("horizontalpodautoscalers",),
        verbs=READ,
        why="How many workers are wanted",
        is_required=False,
    ),
    Rule(
        group="metrics.k8s.io",
        resources=("pods",),
        verbs=("get", "list"),
        why="Memory of components",
        is_required=False,
    ),
)


# Where namespaces are named, their owners make and remove them.
IN_NAMED = replace(
    NEEDED[0], verbs=("get", "patch"), why="Marking a namespace as that of a Deployment"
)
WHICH_CLUSTER = Rule(
    resources=("namespaces",),
    verbs=("get",),
    why="Which cluster this is; without it another one under the same address is not noticed",
    is_required=False,
    is_of_cluster=True,
)


def needed_in(namespaces: Sequence[str]) -> tuple[tuple[Rule, str], ...]:
    """Return what the portal needs, each with the namespace that it is about: "" is the cluster."""
    if not namespaces:
        return tuple((rule, "") for rule in NEEDED)
    of_cluster = [one for one in (*NEEDED, WHICH_CLUSTER) if one.is_of_cluster]
    inside = [(rule, one) for one in namespaces for rule in _rules_inside()]
    return (*inside, *((replace(rule, is_required=False), "") for rule in of_cluster))


def _rules_inside() -> tuple[Rule, ...]:
    return (IN_NAMED, *(rule for rule in NEEDED[1:] if not rule.is_of_cluster))


def manifest_for_namespaces(namespaces: Sequence[str]) -> str:
    """Return the YAML of an account that may write in some namespaces, which are there already,
    and of what it reads of the cluster. For databases on a server of the cluster one more is made.
    """
    inside = [_in_cluster(rule) for rule in _rules_inside()]
    reads = [_in_cluster(rule) for rule in NEEDED if rule.is_of_cluster]
    which = {**_in_cluster(WHICH_CLUSTER), "resourceNames": ["kube-system"]}
    reading = {**_role(), "metadata": {"name": f"{ACCOUNT}-reader"}, "rules": [*reads, which]}
    shared = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": DATABASES}}
    objects = [
        *(_namespace(), _account(), *_renewal(), _token(), shared, reading),
        {**_binding(), "metadata": reading["metadata"], "roleRef": _reference(reading)},
        *(one for name in (*namespaces, DATABASES) for one in _roles_in(name, inside)),
        *task_pod_policy.manifests(),
    ]
    text: str = yaml.safe_dump_all(objects, sort_keys=False)
    return text


def _roles_in(namespace: str, rules: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    metadata = {"name": ACCOUNT, "namespace": namespace}
    role = {**_role(), "kind": "Role", "metadata": metadata, "rules": rules}
    binding = {**_binding(), "kind": "RoleBinding", "metadata": metadata}
    return role, {**binding, "roleRef": _reference(role)}


def _reference(role: dict[str, Any]) -> dict[str, str]:
    group, _, _ = role["apiVersion"].partition("/")
    return {"apiGroup": group, "kind": role["kind"], "name": role["metadata"]["name"]}


def _in_cluster(rule: Rule) -> dict[str, Any]:
    return {
        "apiGroups": [rule.group],
        "resources": list(rule.resources),
        "verbs": list(rule.verbs),
    }


def manifest() -> str:
    """Return the YAML of a ServiceAccount with the permissions a token that does not expire, the
    right to renew one that does, and of the policy that task pods are judged by.
    """
    policy = task_pod_policy.manifests()
    objects = [_namespace(), _account(), _role(), _binding(), *_renewal(), _token(), *policy]
    text: str = yaml.safe_dump_all(objects, sort_keys=False)
    return text


def manifest_for_group() -> str:
    """Return the YAML of the permissions for a group of users, which a cloud puts the portal into,
    and of the policy that task pods are judged by.
    """
    objects = [_role(), _binding_of_group(), *task_pod_policy.manifests()]
    text: str = yaml.safe_dump_all(objects, sort_keys=False)
    return text


def manifest_for_user(name: str) -> str:
    """Return the same for one user by the name that the cloud gives it."""
    subject = {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {**_binding(), "subjects": [subject]}
    objects = [_role(), binding, *task_pod_policy.manifests()]
    text: str = yaml.safe_dump_all(objects, sort_keys=False)
    return text


def _binding_of_group() -> dict[str, Any]:
    subject = {"kind": "Group", "name": ACCOUNT, "apiGroup": "rbac.authorization.k8s.io"}
    return {**_binding(), "subjects": [subject]}


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _account() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
        "automountServiceAccountToken": False,
    }


def _role() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ACCOUNT},
        "rules": [_in_cluster(rule) for rule in NEEDED],
    }


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": ACCOUNT,
        },
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }


def _renewal() -> tuple[dict[str, Any], ...]:
    """Let the account ask for its own next token, and for that of no other."""
    metadata = {"name": "renew-own-token", "namespace": NAMESPACE}
    rule = {
        "apiGroups": [""],
        "resources": ["serviceaccounts/token"],
        "resourceNames": [ACCOUNT],
        "verbs": ["create"],
    }
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": metadata["name"]}
    binding = {**_binding(), "kind": "RoleBinding", "metadata": metadata, "roleRef": reference}
    return {**role, "metadata": metadata, "rules": [rule]}, binding


def _token() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": TOKEN_SECRET,
            "namespace": NAMESPACE,
            "annotations": {"kubernetes.io/service-account.name": ACCOUNT},
        },
        "type": "kubernetes.io/service-account-token",
    }
