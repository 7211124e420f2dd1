"""KEDA's objects, which scale the workers of a queue by its tasks, and triggerers by triggers."""

from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.components.workers import WORKER
from apps.dataplane.kubernetes.render.pods.configuration import KEDA_SECRET
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.spec import WorkerQueue

KEDA = "keda.sh/v1alpha1"
AUTHENTICATION = "airflow-database"
# The API server refuses a HorizontalPodAutoscaler with a longer one, and nothing would scale.
LONGEST_WINDOW_SECONDS = 3_600
POLL_SECONDS = 10
TRIGGERER = "triggerer"
CAPACITY, USUAL_CAPACITY = "AIRFLOW__TRIGGERER__CAPACITY", 1000
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
    return _paused(target, manifest)


def scaled_triggerer(target: Target) -> Manifest:
    """Return the rule that scales triggerers. Their triggers move to others when one ends."""
    settings, spec = target.spec.settings, target.spec
    rule = _spec(
        triggerers_needed(capacity_of(target)),
        workload=TRIGGERER,
        least=sizes.replicas_of(TRIGGERER, settings, spec.executor),
        most=settings.triggerer_most_replicas,
        scale_down_seconds=target.config.scale_down_seconds,
    )
    manifest = target.manifest(f"{KEDA} ScaledObject", TRIGGERER, component=TRIGGERER, spec=rule)
    return _paused(target, manifest)


def _paused(target: Target, manifest: Manifest) -> Manifest:
    """Hold what a rule scales at nothing while the Deployment hibernates."""
    if target.spec.is_hibernating:
        manifest["metadata"]["annotations"] = {names.PAUSED_ANNOTATION: "0"}
    return manifest


def scaling(queue: WorkerQueue, *, workload: str, scale_down_seconds: int) -> dict[str, Any]:
    """Return the spec of the rule for the workers of a queue."""
    return _spec(
        workers_needed(queue),
        workload=workload,
        least=queue.min_workers,
        most=queue.max_workers,
        scale_down_seconds=scale_down_seconds,
    )


def _spec(
    query: str, *, workload: str, least: int, most: int, scale_down_seconds: int
) -> dict[str, Any]:
    """Return the spec of a rule, of fields that KEDA has had for years.

    Without a `fallback` KEDA keeps the workers that there are while the database does not answer.
    Its own way of saying so, `behavior`, is refused before KEDA 2.17.
    """
    trigger = {
        "type": "postgresql",
        "authenticationRef": {"name": AUTHENTICATION},
        "metadata": {"query": query, "targetQueryValue": "1"},
        # The autoscaler polls more often than the result changes: it gets the cached one.
        "useCachedMetrics": True,
    }
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload},
        "minReplicaCount": least,
        "maxReplicaCount": most,
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
                        "stabilizationWindowSeconds": min(
                            max(30, scale_down_seconds), LONGEST_WINDOW_SECONDS
                        ),
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


def triggerers_needed(capacity: int) -> str:
    """Return the query: deferred tasks per one triggerer, of columns that KEDA's role may read.
    Triggers that wait for events of assets are not among them.
    """
    # The capacity is a whole number.
    return (
        f"SELECT ceil(count(*)::decimal / {capacity}) FROM task_instance "  # noqa: S608
        "WHERE state = 'deferred'"
    )


def capacity_of(target: Target) -> int:
    """Return how many triggers one triggerer runs: what people set, or Airflow's default."""
    said = [one.value for one in target.spec.variables if one.key == CAPACITY]
    is_number = bool(said) and said[-1].isascii() and said[-1].isdigit() and len(said[-1]) < 7
    return max(int(said[-1]), 1) if is_number else USUAL_CAPACITY
