"""KEDA's objects, which scale the workers of a queue by its tasks."""

from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.components.workers import WORKER
from apps.dataplane.kubernetes.render.pods.configuration import KEDA_SECRET
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.spec import WorkerQueue

KEDA = "keda.sh/v1alpha1"
AUTHENTICATION = "airflow-database"
POLL_SECONDS = 10
SIGN_IN = {
    "secretTargetRef": [{"parameter": "connection", "name": KEDA_SECRET, "key": "connection"}]
}


def authentication(target: Target) -> Manifest:
    """Return how KEDA signs in to the metadata database: as a role that may only count tasks."""
    return target.manifest(
        f"{KEDA} TriggerAuthentication",
        AUTHENTICATION,
        component=WORKER,
        spec=SIGN_IN,
    )


def scaled_object(target: Target, queue: WorkerQueue) -> Manifest:
    """Return the rule that scales the workers of a queue."""
    name = names.worker_name(queue.name)
    spec = scaling(queue, workload=name, scale_down_seconds=target.config.scale_down_seconds)
    manifest = target.manifest(
        f"{KEDA} ScaledObject", name, component=WORKER, queue=queue.name, spec=spec
    )
    if target.spec.is_hibernating:
        manifest["metadata"]["annotations"] = {names.PAUSED_ANNOTATION: "0"}
    return manifest


def scaling(queue: WorkerQueue, *, workload: str, scale_down_seconds: int) -> dict[str, Any]:
    """Return the spec of that rule, of fields that KEDA has had for years.

    Without a `fallback` KEDA keeps the workers that there are while the database does not answer.
    Its own way of saying so, `behavior`, is refused before KEDA 2.17.
    """
    trigger = {
        "type": "postgresql",
        "authenticationRef": {"name": AUTHENTICATION},
        "metadata": {"query": workers_needed(queue), "targetQueryValue": "1"},
        # The autoscaler polls more often than the result changes: it gets the cached one.
        "useCachedMetrics": True,
    }
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload},
        "minReplicaCount": queue.min_workers,
        "maxReplicaCount": queue.max_workers,
        "pollingInterval": POLL_SECONDS,
        "cooldownPeriod": scale_down_seconds,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 0,
                        "selectPolicy": "Max",
                        "policies": [
                            {"type": "Percent", "value": 100, "periodSeconds": 15},
                            {"type": "Pods", "value": 4, "periodSeconds": 15},
                        ],
                    },
                    "scaleDown": {
                        "stabilizationWindowSeconds": max(30, scale_down_seconds),
                        "selectPolicy": "Max",
                        "policies": [
                            {"type": "Percent", "value": 50, "periodSeconds": 60},
                            {"type": "Pods", "value": 1, "periodSeconds": 60},
                        ],
                    },
                }
            }
        },
        "triggers": [trigger],
    }


def workers_needed(queue: WorkerQueue) -> str:
    """Return the query: tasks of this queue that wait or run, per task that one worker runs.

    Tasks that name another executor run elsewhere and must not bring workers.
    """
    name = queue.name.replace("'", "''")
    return (
        # The concurrency is a whole number, and the rest is quoted.
        f"SELECT ceil(count(*)::decimal / {queue.concurrency}) FROM task_instance "  # noqa: S608
        f"WHERE state IN ('running', 'queued') AND queue = '{name}' "
        "AND (executor IS NULL OR executor = 'CeleryExecutor')"
    )
