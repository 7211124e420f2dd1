"""What all pods have: nodes, sign-ins to registries, and what people add to them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from apps.dataplane.kubernetes.render.identity import with_identity
from apps.dataplane.kubernetes.render.pods import access
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.production import NodeRequirement, Toleration
from apps.dataplane.spec import WorkerQueue

ISTIO, LINKERD = "sidecar.istio.io/inject", "linkerd.io/inject"
TASK = "task"  # the component of pods that run a task
REGISTRY_SECRET = "registry"  # noqa: S105 - the name of an object
IMAGE_SECRET = "image"  # noqa: S105 - the name of an object
ZONE, NODE = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def placement(target: Target, queue: WorkerQueue | None = None) -> dict[str, Any]:
    """Return what the settings say about the nodes of every pod, as fields of its spec; for workers
    what their queue says instead, or on top.
    """
    settings = target.spec.settings
    selector = (queue.node_selector if queue else ()) or settings.node_selector
    tolerated = (*settings.tolerations, *(queue.tolerations if queue else ()))
    fields: dict[str, Any] = {}
    if selector:
        fields["nodeSelector"] = dict(selector)
    # Nodes of a queue's own are not also those of the others.
    if settings.node_affinity and not (queue and queue.node_selector):
        fields["affinity"] = {"nodeAffinity": _node_affinity(settings.node_affinity)}
    if tolerated:
        fields["tolerations"] = [_toleration(one) for one in dict.fromkeys(tolerated)]
    if settings.priority_class:
        fields["priorityClassName"] = settings.priority_class
    return fields


def pull_secrets(target: Target) -> list[dict[str, str]]:
    """Return the Secrets with which nodes pull images."""
    secrets = {
        REGISTRY_SECRET: target.config.image_pull_secret,
        IMAGE_SECRET: target.spec.image_pull_secret,
    }
    return [{"name": name} for name, value in secrets.items() if value]


def pod_defaults(target: Target) -> dict[str, str]:
    """Return the variable by which `portal_pods` completes the pods that tasks start; none where
    they start none.
    """
    if not target.spec.settings.pod_operator:
        return {}
    metadata = with_identity(target, pod_metadata(target, TASK))
    spec = {"serviceAccountName": access.TASKS, **placement(target)}
    if named := pull_secrets(target):
        spec["imagePullSecrets"] = named
    value = {"labels": metadata["labels"], "spec": spec}
    return {"PORTAL_POD_DEFAULTS": json.dumps(value, sort_keys=True)}


def spread(target: Target, component: str) -> list[dict[str, Any]]:
    """Return the constraints that put the pods of a component into different zones and on different
    nodes. A cluster with one zone, or with no room in another, runs them all the same.
    """
    selector = {"matchLabels": target.selector(component)}
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
            # Of this rollout alone: pods that are on their way out would else count.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in (ZONE, NODE)
    ]


def pod_metadata(
    target: Target, component: str, queue: str = "", annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a pod's labels and annotations: those of the portal, which win, and of people."""
    settings = target.spec.settings
    labels = {**dict(settings.pod_labels), **target.labels(component, queue)}
    merged = {**dict(settings.pod_annotations), **(annotations or {})}
    return {"labels": labels, "annotations": merged} if merged else {"labels": labels}


def job_metadata(target: Target, component: str) -> dict[str, Any]:
    """Return the labels and annotations of a pod that ends by itself."""
    return without_mesh(target, pod_metadata(target, component))


def without_mesh(target: Target, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a pod that ends by itself: no sidecar of a mesh keeps it alive where
    the settings say so.
    """
    if not target.spec.settings.mesh_opt_out:
        return metadata
    labels = {**metadata["labels"], ISTIO: "false"}
    annotations = {**metadata.get("annotations", {}), LINKERD: "disabled"}
    return {**metadata, "labels": labels, "annotations": annotations}


def _node_affinity(requirements: Sequence[NodeRequirement]) -> dict[str, Any]:
    expressions = [
        {"key": one.key, "operator": one.operator, "values": list(one.values)}
        if one.values
        else {"key": one.key, "operator": one.operator}
        for one in requirements
    ]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def _toleration(one: Toleration) -> dict[str, str]:
    found = {"key": one.key, "operator": "Equal" if one.value else "Exists"}
    if one.value:
        found["value"] = one.value
    if one.effect:
        found["effect"] = one.effect
    return found
