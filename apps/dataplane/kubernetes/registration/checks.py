"""The test of a cluster: its version, what it has, and what the portal's credential may do."""

import time
from typing import Any

from apps.dataplane.errors import DataPlaneError, Temporary, Unreachable
from apps.dataplane.kubernetes.api import errors as refusals
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import (
    ACCESS_REVIEW,
    NAMESPACE,
    RULES_REVIEW,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.api.tls import AuthorityEnded, CertificateRefused
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.observe.reasons import quote
from apps.dataplane.kubernetes.registration import keda_schema, task_pod_policy
from apps.dataplane.kubernetes.registration.airflow_way import way_finding
from apps.dataplane.kubernetes.registration.images.registry import registry_finding
from apps.dataplane.kubernetes.registration.permissions import (
    SCALES,
    WHICH_CLUSTER,
    Rule,
    needed_in,
)
from apps.dataplane.kubernetes.registration.storage import (
    classes_of,
    name_of,
    shared_finding,
    storage_finding,
)
from apps.dataplane.kubernetes.registration.token_renewal import renewal_finding
from apps.dataplane.status import Finding, Permission, PlaneCheck

OLDEST = (1, 29)
_CHECK_ENTRIES = "Check the address, the CA certificate and the credential."
_MADE_ANEW = "the cluster was made anew under its name, connect it again on the page Credential."
# The first that fits: with a credential of the cluster, and with an identity of its cloud. Without
# one, the message itself says what to do.
_REMEDIES: tuple[tuple[type[DataPlaneError], str, str], ...] = (
    (AuthorityEnded, "", ""),
    (refusals.CredentialRefused, "Enter a new token or certificate.", ""),
    (CertificateRefused, _CHECK_ENTRIES, f"If {_MADE_ANEW}"),
    (
        Unreachable,
        _CHECK_ENTRIES,
        "If the endpoint of the cluster is private, the portal needs a way into that network; "
        f"if {_MADE_ANEW}",
    ),
    (DataPlaneError, "Try again, or check the log of the cluster's API server.", ""),
)
CALL_SECONDS = 4.0
# Rules that hold in a namespace that does not exist hold in the whole cluster.
_NOWHERE = "airflow-0-permissions"


def check_cluster(api: Api, config: ClusterConfig) -> PlaneCheck:
    """Test a cluster. Errors are findings; nothing is raised."""
    try:
        version, latency_ms = _version(api)
        identity = _identity(api)
        permissions = _permissions(api)
        classes = classes_of(api)
        class_names = tuple(name_of(item) for item in classes)
        has_keda = _has(api, "/apis/keda.sh/v1alpha1")
        unknown = keda_schema.unknown_fields(api) if has_keda else ()
        has_metrics = _has(api, "/apis/metrics.k8s.io/v1beta1")
        gives_user_ids = _has(api, "/apis/security.openshift.io/v1")
        has_policy = task_pod_policy.is_enforced(api)
        way = way_finding(api, config)
        token = renewal_finding(api, config.connection)
    except DataPlaneError as error:
        return PlaneCheck(is_usable=False, version="", findings=(_failure(error, config),))
    findings = (
        Finding(title="Kubernetes API", is_ok=True, detail=f"It answers in {latency_ms} ms."),
        _version_finding(version),
        _permission_finding(permissions),
        storage_finding(class_names),
        *shared_finding(config, classes),
        _keda_finding(has_keda, unknown),
        _metrics_finding(has_metrics),
        _policy_finding(has_policy),
        *token,
        *way,
        *registry_finding(config),
    )
    is_new_enough = _numbers(version) >= OLDEST
    lacks = any(p.missing for p, rule in permissions if rule.is_required)
    return PlaneCheck(
        is_usable=is_new_enough and not lacks,
        version=version,
        findings=findings,
        permissions=tuple(permission for permission, _ in permissions),
        storage_classes=class_names,
        has_keda=has_keda and not unknown,
        gives_user_ids=gives_user_ids,
        may_scale=not any(p.missing for p, rule in permissions if rule == SCALES),
        latency_ms=latency_ms,
        identity=identity,
    )


def _failure(error: DataPlaneError, config: ClusterConfig) -> Finding:
    own, through_cloud = next(remedies for kind, *remedies in _REMEDIES if isinstance(error, kind))
    remedy = own if config.connection.identity is None else through_cloud
    return Finding(title="Kubernetes API", is_ok=False, detail=error.message, remedy=remedy)


def _version(api: Api) -> tuple[str, int]:
    """Return the cluster's version and the milliseconds of one call on an open connection."""
    version = api.json("/version", seconds=CALL_SECONDS)
    began = time.monotonic()
    api.json("/version", seconds=CALL_SECONDS)
    return quote(str(version.get("gitVersion", ""))), round((time.monotonic() - began) * 1000)


def _identity(api: Api) -> str:
    try:
        system = api.find(NAMESPACE, "kube-system", metadata_only=True)
    except refusals.Refused:
        return ""
    return str((system or {}).get("metadata", {}).get("uid", ""))


def _has(api: Api, path: str) -> bool:
    try:
        api.json(path, seconds=CALL_SECONDS)
    except (refusals.Refused, Temporary) as error:
        if isinstance(error, Unreachable):
            raise
        # An API whose server is down responds with 503: that counts as none.
        return False
    return True


def _permissions(api: Api) -> list[tuple[Permission, Rule]]:
    """Return the missing verbs of each rule and resource; one request, and one per unclear case."""
    needed = needed_in(api.connection.namespaces)
    places = dict.fromkeys(place for _, place in needed)
    known = {place: _known_rules(api, place) for place in places}
    asked = [(rule, place, resource) for rule, place in needed for resource in rule.resources]
    doubts = [
        (rule, place, resource, verb)
        for rule, place, resource in asked
        for verb in rule.verbs
        if not any(_covers(one, rule.group, resource, verb) for one in known[place])
    ]
    answers = in_parallel(lambda doubt: _is_allowed(api, *doubt), doubts)
    missing = {doubt for doubt, is_allowed in zip(doubts, answers, strict=True) if not is_allowed}
    return [
        (
            Permission(
                what=_named(rule, place, resource),
                verbs=rule.verbs,
                missing=tuple(
                    verb for verb in rule.verbs if (rule, place, resource, verb) in missing
                ),
                why=rule.why,
            ),
            rule,
        )
        for rule, place, resource in asked
    ]


def _named(rule: Rule, place: str, resource: str) -> str:
    name = f"{resource}.{rule.group}" if rule.group else resource
    return f"{name} in {place}" if place else name


def _known_rules(api: Api, place: str) -> list[dict[str, Any]]:
    review = {
        "apiVersion": RULES_REVIEW.api_version,
        "kind": RULES_REVIEW.name,
        "spec": {"namespace": place or _NOWHERE},
    }
    answer = api.ask(review, kind=RULES_REVIEW)
    rules = (answer.get("status") or {}).get("resourceRules") or []
    return [rule for rule in rules if not rule.get("resourceNames")]


def _covers(known: dict[str, Any], group: str, resource: str, verb: str) -> bool:
    def has(field: str, wanted: str) -> bool:
        return bool({wanted, "*"} & set(known.get(field) or ()))

    return has("apiGroups", group) and has("resources", resource) and has("verbs", verb)


def _is_allowed(api: Api, rule: Rule, place: str, resource: str, verb: str) -> bool:
    plural, _, part = resource.partition("/")
    attributes = {
        "group": rule.group,
        "resource": plural,
        "subresource": part,
        "verb": verb,
        "namespace": place,
    }
    if rule == WHICH_CLUSTER:
        attributes |= {"namespace": "kube-system", "name": "kube-system"}
    review = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.name,
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.ask(review, kind=ACCESS_REVIEW)
    return bool((answer.get("status") or {}).get("allowed"))


def _numbers(version: str) -> tuple[int, ...]:
    digits = [
        "".join(c for c in part if c.isdigit()) for part in version.lstrip("v").split(".")[:2]
    ]
    return tuple(int(part) for part in digits if part)


def _version_finding(version: str) -> Finding:
    is_ok = _numbers(version) >= OLDEST
    oldest = ".".join(map(str, OLDEST))
    return Finding(
        title="Version",
        is_ok=is_ok,
        detail=f"The cluster runs Kubernetes {version}.",
        remedy="" if is_ok else f"The portal needs Kubernetes {oldest} or newer.",
    )


def _permission_finding(permissions: list[tuple[Permission, Rule]]) -> Finding:
    missing = [permission.what for permission, _ in permissions if permission.missing]
    if not missing:
        return Finding(
            title="Permissions", is_ok=True, detail="The portal has all permissions it needs."
        )
    is_ok = not any(p.missing for p, rule in permissions if rule.is_required)
    costs = [p.why for p, rule in permissions if p.missing and not rule.is_required]
    return Finding(
        title="Permissions",
        is_ok=is_ok,
        detail=f"Something is missing for {', '.join(missing)}."
        + "".join(f" {cost}." for cost in dict.fromkeys(costs)),
        remedy="Apply the role below, or ask a cluster administrator to.",
    )


def _keda_finding(has_keda: bool, unknown: tuple[str, ...]) -> Finding:
    if unknown:
        return Finding(
            title="KEDA",
            is_ok=False,
            detail="The KEDA of this cluster is too old: the number of workers of each queue is "
            f"fixed. It does not know {quote(', '.join(unknown))}.",
            remedy="Update KEDA to scale workers with their tasks, down to zero.",
        )
    if has_keda:
        return Finding(title="KEDA", is_ok=True, detail="Workers scale with their tasks.")
    return Finding(
        title="KEDA",
        is_ok=True,
        detail="Not installed: the number of workers of each queue is fixed.",
        remedy="Install KEDA to scale workers with their tasks, down to zero.",
    )


def _metrics_finding(has_metrics: bool) -> Finding:
    detail = "It reports how much memory components use." if has_metrics else "It is not installed."
    return Finding(title="Metrics server", is_ok=True, detail=detail)


def _policy_finding(has_policy: bool) -> Finding:
    if has_policy:
        detail = "Task pods reach neither Airflow's own secrets nor the pods of others."
        return Finding(title="Policies for task pods", is_ok=True, detail=detail)
    return Finding(
        title="Policies for task pods",
        is_ok=False,
        detail="A policy for task pods is missing or an older one: the Kubernetes executor "
        "is not available.",
        remedy="Apply the manifest below as a cluster administrator; it needs Kubernetes 1.30.",
    )
