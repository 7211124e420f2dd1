"""What an observation of a Deployment needs of each object, and no more.

Watches and surveys hold thousands of objects: `project` keeps of each the fields that
`observation.observation_of` reads.
"""

from collections.abc import Mapping
from typing import Any

from apps.dataplane.kubernetes.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    JOB,
    NAMESPACE,
    POD,
    SCALED_OBJECT,
    STATEFUL_SET,
    Kind,
    Manifest,
)
from apps.dataplane.kubernetes.names import (
    COMPONENT_LABEL,
    DEPLOYMENT_LABEL,
    INVENTORY,
    PORTAL_LABEL,
    QUEUE_LABEL,
)
from apps.dataplane.kubernetes.observe.objects.inventory import KEY, mark_of

# Kinds that change at run time. Events carry no labels of ours; the others do.
WATCHED = (NAMESPACE, CONFIG_MAP, DEPLOYMENT, STATEFUL_SET, JOB, POD, SCALED_OBJECT, EVENT)
_LABELS = (PORTAL_LABEL, DEPLOYMENT_LABEL, QUEUE_LABEL, COMPONENT_LABEL)
_METADATA = (
    "name",
    "namespace",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
)
_EVENT = ("involvedObject", "reason", "message", "count", "lastTimestamp", "eventTime", "series")
_STATUS: Mapping[str, tuple[str, ...]] = {
    "Deployment": (
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "conditions",
    ),
    "StatefulSet": (
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "updateRevision",
        "currentRevision",
    ),
    "Job": ("active", "failed", "succeeded", "conditions", "ready"),
    "Pod": (
        "phase",
        "conditions",
        "startTime",
        "initContainerStatuses",
        "containerStatuses",
        "message",
        "reason",
    ),
    "ScaledObject": ("conditions", "health"),
    "Namespace": ("phase", "conditions"),
}


def selection(kind: Kind, *, portal_id: str) -> dict[str, str]:
    """Return the label and field selectors of the objects of a kind that observations need."""
    if kind == EVENT:
        return {"fields": "type=Warning"}
    labels = f"{PORTAL_LABEL}={portal_id}"
    if kind == CONFIG_MAP:
        return {"labels": f"{labels},{COMPONENT_LABEL}=inventory"}
    return {"labels": labels}


def project(kind: Kind, item: Manifest) -> Manifest:
    """Reduce an object to the fields that an observation reads."""
    metadata = item.get("metadata") or {}
    projected: Manifest = {"kind": kind.name, "apiVersion": kind.api_version}
    projected["metadata"] = {key: metadata[key] for key in _METADATA if key in metadata}
    labels = metadata.get("labels") or {}
    projected["metadata"]["labels"] = {key: labels[key] for key in _LABELS if key in labels}
    if kind == EVENT:
        return projected | {key: item[key] for key in _EVENT if key in item}
    if kind == CONFIG_MAP and metadata.get("name") == INVENTORY:
        return projected | {"data": {KEY: (item.get("data") or {}).get(KEY, "{}")}}
    if kind != POD:
        projected["metadata"]["mark"] = mark_of(item)
    if kind == POD:
        projected["metadata"]["ownerReferences"] = [
            {"kind": owner.get("kind"), "name": owner.get("name")}
            for owner in metadata.get("ownerReferences") or ()
        ]
    projected["spec"] = _spec(kind, item.get("spec") or {})
    if kind == SCALED_OBJECT:
        annotations = metadata.get("annotations") or {}
        projected["metadata"]["annotations"] = {
            key: value
            for key, value in annotations.items()
            if key.startswith("autoscaling.keda.sh")
        }
    status = item.get("status") or {}
    kept = _STATUS.get(kind.name, ())
    projected["status"] = {key: status[key] for key in kept if key in status}
    return projected


def ref_of(item: Manifest) -> str:
    """Return the ref of the Deployment that an object belongs to, by its label or its namespace."""
    metadata = item["metadata"]
    label = (metadata.get("labels") or {}).get(DEPLOYMENT_LABEL, "")
    if label:
        return str(label)
    return str(metadata.get("namespace", "")).removeprefix("airflow-")


def _spec(kind: Kind, spec: Mapping[str, Any]) -> dict[str, Any]:
    if kind in (DEPLOYMENT, STATEFUL_SET):
        return {"replicas": spec.get("replicas", 1)}
    if kind == SCALED_OBJECT:
        kept = ("minReplicaCount", "maxReplicaCount", "scaleTargetRef")
        return {key: spec[key] for key in kept if key in spec}
    if kind == JOB:
        return {"suspend": bool(spec.get("suspend"))}
    if kind == POD:
        return {"containers": [{"name": c.get("name")} for c in spec.get("containers") or ()]}
    return {}
