"""Pods inside manifests."""

import json
from collections.abc import Iterator
from typing import Any

from apps.dataplane.kubernetes.api.kinds import Manifest

WORKLOADS = ("Deployment", "StatefulSet", "Job")


def pods_in(manifest: Manifest) -> Iterator[Manifest]:
    """Yield every pod (metadata and spec) that comes from a manifest."""
    if manifest["kind"] in WORKLOADS:
        yield manifest["spec"]["template"]
    if manifest["kind"] == "CronJob":
        yield manifest["spec"]["jobTemplate"]["spec"]["template"]
    if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == "pod-template":
        yield json.loads(manifest["data"]["pod.yaml"])


def containers_of(pod: Manifest) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and manifest["metadata"]["name"] == name
    ]
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]
