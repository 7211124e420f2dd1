"""Objects as a Kubernetes API gives them, as short as a test needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def thing(kind: str, name: str = "x", **parts: Any) -> dict[str, Any]:
    versions = {
        "Deployment": "apps/v1",
        "StatefulSet": "apps/v1",
        "Job": "batch/v1",
        "ScaledObject": "keda.sh/v1alpha1",
    }
    metadata = {"name": name, "uid": f"uid-{name}", "generation": 1, **parts.pop("metadata", {})}
    return {
        "apiVersion": versions.get(kind, "v1"),
        "kind": kind,
        "metadata": metadata,
        **parts,
    }


def deployment(name: str = "scheduler", *, wanted: int = 1, **status: Any) -> dict[str, Any]:
    counts = {
        "observedGeneration": 1,
        "replicas": wanted,
        "updatedReplicas": wanted,
        "readyReplicas": wanted,
        "availableReplicas": wanted,
    }
    labels = {"app.kubernetes.io/component": name}
    if name.startswith("worker-"):
        queue = name.removeprefix("worker-")
        labels = {"app.kubernetes.io/component": "worker", "astro-portal.dev/queue": queue}
    return thing(
        "Deployment",
        name,
        metadata={"labels": labels},
        spec={"replicas": wanted},
        status={**counts, **status},
    )


def pod(name: str = "scheduler-5d-x", owner: str = "", **status: Any) -> dict[str, Any]:
    owners = [{"kind": "ReplicaSet", "name": owner}] if owner else []
    return thing(
        "Pod",
        name,
        metadata={"ownerReferences": owners},
        spec={"containers": [{"name": "main"}]},
        status=status,
    )


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "image": "registry.test/airflow:1",
        "state": {"waiting": {"reason": reason, "message": message}},
        **more,
    }
