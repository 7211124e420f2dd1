"""House rules for manifests that no schema knows. Each is a function that yields what is wrong."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from apps.core.outbound.addresses import METADATA_NETWORKS
from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest, kind_of
from apps.dataplane.kubernetes.registration.permissions import NEEDED
from tests.dataplane.kubernetes_render.matrix import CASES, manifests_of
from tests.dataplane.kubernetes_render.pods import containers_of, find, pods_in

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
# What Kubernetes and KEDA put around the name of a workload has to fit into 63 characters, too.
MOST = {"Deployment": 47, "StatefulSet": 52, "CronJob": 52, "ScaledObject": 54, "Job": 57}
SHARED_NAMESPACE = "astro-portal-databases"
VOLUMES = (
    ("configMap", "ConfigMap", "name"),
    ("secret", "Secret", "secretName"),
    ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
)
LIFELONG = ("Deployment", "StatefulSet")

Rule = Callable[[list[Manifest]], Iterator[str]]


def names_that_are_too_long_or_wrong(objects: list[Manifest]) -> Iterator[str]:
    for manifest in objects:
        name = manifest["metadata"]["name"]
        if not NAME.fullmatch(name) or len(name) > MOST.get(manifest["kind"], 63):
            yield f"{manifest['kind']}/{name} ({len(name)})"


def labels_that_are_missing_or_wrong(objects: list[Manifest]) -> Iterator[str]:
    wanted = {names.PORTAL_LABEL, names.DEPLOYMENT_LABEL, names.COMPONENT_LABEL}
    for manifest in objects:
        if manifest["metadata"]["name"] == SHARED_NAMESPACE:
            continue
        for part in (manifest, *pods_in(manifest)):
            labels = part["metadata"]["labels"]
            wrong = [v for v in labels.values() if len(v) > 63 or not LABEL_VALUE.fullmatch(v)]
            if not wanted <= labels.keys() or wrong:
                yield f"{manifest['kind']}/{manifest['metadata']['name']}: {wrong}"


def labels_and_annotations_whose_drift_nobody_would_see(objects: list[Manifest]) -> Iterator[str]:
    for manifest in objects:
        metadata = manifest["metadata"]
        keys = {*metadata.get("labels", ()), *metadata.get("annotations", ())}
        yield from (f"{manifest['kind']}: {key}" for key in keys - names.OUR_KEYS)


def objects_that_are_rendered_twice(objects: list[Manifest]) -> Iterator[str]:
    counts = Counter(_identity(manifest) for manifest in objects)
    yield from (f"{identity}" for identity, count in counts.items() if count > 1)


def references_to_nothing(objects: list[Manifest]) -> Iterator[str]:
    there = {_identity(manifest) for manifest in objects}
    for manifest in objects:
        namespace = manifest["metadata"].get("namespace", "")
        for pod in pods_in(manifest):
            for kind, name in _references(pod["spec"]):
                # What people keep there themselves.
                if (namespace, kind, name) not in there and not name.startswith("user-"):
                    yield f"{manifest['kind']}/{manifest['metadata']['name']} → {kind}/{name}"


def selectors_that_select_nothing(objects: list[Manifest]) -> Iterator[str]:
    pods = [pod["metadata"]["labels"] for manifest in objects for pod in pods_in(manifest)]
    for manifest in objects:
        for selector in _selectors(manifest):
            if not any(selector.items() <= labels.items() for labels in pods):
                yield f"{manifest['kind']}/{manifest['metadata']['name']}: {selector}"


def selectors_that_an_edit_could_change(objects: list[Manifest]) -> Iterator[str]:
    lasting = {names.DEPLOYMENT_LABEL, names.COMPONENT_LABEL, names.QUEUE_LABEL}
    for manifest in objects:
        if manifest["kind"] in LIFELONG:
            selector = manifest["spec"]["selector"]["matchLabels"]
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            if not selector.keys() <= lasting or not selector.items() <= labels.items():
                yield manifest["metadata"]["name"]


def resources_that_are_missing(objects: list[Manifest]) -> Iterator[str]:
    for name, container in _containers(objects):
        resources = container.get("resources", {})
        requests, limits = resources.get("requests", {}), resources.get("limits", {})
        if not requests.get("cpu") or not limits.get("cpu") or not requests.get("memory"):
            yield name
        if requests.get("memory") != limits.get("memory"):
            yield f"{name}: memory that is lent"


def images_without_a_version(objects: list[Manifest]) -> Iterator[str]:
    for name, container in _containers(objects):
        tag = container["image"].rpartition(":")[2]
        if "/" in tag or tag in ("latest", container["image"]):
            yield f"{name}: {container['image']}"


def pods_that_no_change_of_configuration_replaces(objects: list[Manifest]) -> Iterator[str]:
    for manifest in objects:
        if manifest["kind"] in LIFELONG:
            annotations = manifest["spec"]["template"]["metadata"].get("annotations", {})
            if not re.fullmatch("[0-9a-f]{32}", annotations.get("astro-portal.dev/checksum", "")):
                yield manifest["metadata"]["name"]


def replicas_beside_an_autoscaler(objects: list[Manifest]) -> Iterator[str]:
    scaled = [m["spec"]["scaleTargetRef"]["name"] for m in objects if m["kind"] == "ScaledObject"]
    for manifest in objects:
        if manifest["kind"] == "Deployment":
            has_count = "replicas" in manifest["spec"]
            if has_count == (manifest["metadata"]["name"] in scaled):
                yield manifest["metadata"]["name"]


def workers_that_a_signal_would_kill(objects: list[Manifest]) -> Iterator[str]:
    for manifest in objects:
        for pod in pods_in(manifest):
            if pod["metadata"]["labels"][names.COMPONENT_LABEL] not in ("worker", "task"):
                continue
            env = pod["spec"]["containers"][0].get("env", [])
            if {"name": "DUMB_INIT_SETSID", "value": "0"} not in env:
                yield "the whole process group gets the signal"
            if pod["spec"]["terminationGracePeriodSeconds"] < 86_400:
                yield "a long task has not the time to end"
            safe = pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"]
            if safe != "false":
                yield "the cluster's autoscaler may evict it"


def probes_that_import_airflow(objects: list[Manifest]) -> Iterator[str]:
    for name, container in _containers(objects):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            command = container.get(probe, {}).get("exec", {}).get("command", [])
            if "airflow" in command or "celery" in " ".join(command):
                yield f"{name}: {command}"


def pods_with_links_or_tokens_for_everybody(objects: list[Manifest]) -> Iterator[str]:
    for manifest in objects:
        for pod in pods_in(manifest):
            spec = pod["spec"]
            if spec.get("enableServiceLinks") is not False:
                yield f"{manifest['metadata']['name']}: service links"
            if spec.get("automountServiceAccountToken") is None:
                yield f"{manifest['metadata']['name']}: token"


def ways_to_the_credentials_of_a_node(objects: list[Manifest]) -> Iterator[str]:
    for manifest in objects:
        if manifest["kind"] != "NetworkPolicy":
            continue
        for rule in manifest["spec"].get("egress", []):
            is_only_names = {port.get("port") for port in rule.get("ports", [])} == {53}
            if not rule.get("to") and not is_only_names:
                yield f"{manifest['metadata']['name']}: to anywhere"
            for block in (to["ipBlock"] for to in rule.get("to", []) if "ipBlock" in to):
                left = set(METADATA_NETWORKS) - set(block.get("except", ()))
                yield from (
                    f"{manifest['metadata']['name']}: {network}"
                    for network in left
                    if _overlaps(network, block["cidr"])
                )


def kinds_that_the_portal_may_not_apply(objects: list[Manifest]) -> Iterator[str]:
    may = {(rule.group, resource): rule.verbs for rule in NEEDED for resource in rule.resources}
    for manifest in objects:
        kind = kind_of(manifest)
        verbs = may.get((kind.group, kind.plural), ())
        if not {"create", "patch", "delete", "get", "list"} <= set(verbs):
            yield f"{kind.group}/{kind.plural}"
        for rule in manifest.get("rules", []):
            for resource in rule["resources"]:
                if not set(rule["verbs"]) <= set(may.get((rule["apiGroups"][0], resource), ())):
                    yield f"a role with {rule['verbs']} on {resource}"


WORKER = ("Deployment", "worker-default")
POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
LABELS = ("spec", "template", "metadata", "labels")
ANNOTATIONS = ("spec", "template", "metadata", "annotations")
REMOVED = object()
DAMAGES: dict[Rule, tuple[tuple[str, str], tuple[str | int, ...], Any]] = {
    names_that_are_too_long_or_wrong: (WORKER, ("metadata", "name"), "w" * 48),
    labels_that_are_missing_or_wrong: (WORKER, (*LABELS, names.PORTAL_LABEL), REMOVED),
    labels_and_annotations_whose_drift_nobody_would_see: (
        WORKER,
        ("metadata", "labels", "astro-portal.dev/new"),
        "x",
    ),
    objects_that_are_rendered_twice: (("Secret", "logs"), ("metadata", "name"), "airflow"),
    references_to_nothing: (WORKER, (*CONTAINER, "envFrom", 0), {"secretRef": {"name": "other"}}),
    selectors_that_select_nothing: (("Service", "redis"), ("spec", "selector", "x"), "y"),
    selectors_that_an_edit_could_change: (
        WORKER,
        ("spec", "selector", "matchLabels", "size"),
        "A5",
    ),
    resources_that_are_missing: (WORKER, (*CONTAINER, "resources", "limits", "memory"), "9Gi"),
    images_without_a_version: (WORKER, (*CONTAINER, "image"), "registry.test:5000/airflow"),
    pods_that_no_change_of_configuration_replaces: (
        WORKER,
        (*ANNOTATIONS, "astro-portal.dev/checksum"),
        REMOVED,
    ),
    replicas_beside_an_autoscaler: (WORKER, ("spec", "replicas"), 1),
    workers_that_a_signal_would_kill: (WORKER, (*CONTAINER, "env"), []),
    probes_that_import_airflow: (
        WORKER,
        (*CONTAINER, "livenessProbe"),
        {"exec": {"command": ["airflow", "jobs", "check"]}},
    ),
    pods_with_links_or_tokens_for_everybody: (WORKER, (*POD, "enableServiceLinks"), REMOVED),
    ways_to_the_credentials_of_a_node: (
        ("NetworkPolicy", "outside"),
        ("spec", "egress", 0, "to", 1, "ipBlock", "except"),
        ["fe80::/10"],
    ),
    kinds_that_the_portal_may_not_apply: (("ConfigMap", "sign-in"), ("kind",), "Event"),
}


@pytest.mark.parametrize("rule", DAMAGES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("case", CASES)
def test_no_manifest_has(case: str, rule: Rule) -> None:
    assert list(rule(manifests_of(case))) == []


@pytest.mark.parametrize("rule", DAMAGES, ids=lambda rule: rule.__name__)
def test_the_rule_finds(rule: Rule) -> None:
    damaged, path, value = DAMAGES[rule]
    objects = json.loads(json.dumps(manifests_of("celery-keda")))
    place = find(objects, *damaged)
    for step in path[:-1]:
        place = place[step]

    if value is REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = value

    assert list(rule(objects))


def _identity(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), manifest["kind"], metadata["name"]


def _overlaps(one: str, other: str) -> bool:
    networks = ip_network(one), ip_network(other)
    return networks[0].version == networks[1].version and networks[0].overlaps(networks[1])


def _containers(objects: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in objects:
        for pod in pods_in(manifest):
            for container in containers_of(pod):
                yield f"{manifest['metadata']['name']}/{container['name']}", container


def _references(pod: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "serviceAccountName" in pod:
        yield "ServiceAccount", pod["serviceAccountName"]
    for secret in pod.get("imagePullSecrets", []):
        yield "Secret", secret["name"]
    for volume in pod.get("volumes", []):
        for key, kind, name in VOLUMES:
            if key in volume:
                yield kind, volume[key][name]
    for container in containers_of({"spec": pod}):
        for source in container.get("envFrom", []):
            kind = "Secret" if "secretRef" in source else "ConfigMap"
            yield kind, next(iter(source.values()))["name"]
        for entry in container.get("env", []):
            if "valueFrom" in entry:
                yield "Secret", entry["valueFrom"]["secretKeyRef"]["name"]


def _selectors(manifest: Manifest) -> Iterator[dict[str, str]]:
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Service":
        yield spec["selector"]
    if manifest["kind"] in ("PodDisruptionBudget", *LIFELONG):
        yield spec["selector"]["matchLabels"]
    if manifest["kind"] == "NetworkPolicy":
        yield spec["podSelector"].get("matchLabels", {})


def test_what_speaks_to_postgresql_for_the_portal_reaches_nothing_else() -> None:
    policies = [
        m
        for m in manifests_of("server-and-store")
        if m["kind"] == "NetworkPolicy" and m["metadata"]["namespace"] == "astro-portal-databases"
    ]

    (policy,) = policies
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
    assert ports == {53, 6432}


def test_no_policy_opens_what_clouds_tell_their_nodes() -> None:
    told = ("169.254.169.254", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe")
    for case in CASES:
        for policy in (m for m in manifests_of(case) if m["kind"] == "NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                peers = rule.get("to", [])
                blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
                assert not blocks or {"namespaceSelector": {}} in peers
                for block in blocks:
                    for address in map(ip_address, told):
                        network = ip_network(block["cidr"])
                        is_open = address.version == network.version and address in network
                        closed = [ip_network(one) for one in block["except"]]
                        assert not is_open or any(
                            address in one for one in closed if one.version == address.version
                        )
