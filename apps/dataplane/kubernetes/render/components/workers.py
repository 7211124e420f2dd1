"""The workers of a queue: a Deployment, whose idle pods can be marked to be removed first."""

from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.components.core import ROLLOUT_SECONDS
from apps.dataplane.kubernetes.render.identity import read_at_start, with_identity
from apps.dataplane.kubernetes.render.places import PROGRAMS
from apps.dataplane.kubernetes.render.pods import access
from apps.dataplane.kubernetes.render.pods.configuration import Configuration
from apps.dataplane.kubernetes.render.pods.environment import DAY_SECONDS
from apps.dataplane.kubernetes.render.pods.placement import placement
from apps.dataplane.kubernetes.render.pods.pods import (
    WARM_SHUTDOWN,
    airflow_container,
    airflow_pod,
    pod_template,
)
from apps.dataplane.kubernetes.render.sizes import worker_share
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.spec import WorkerQueue

WORKER = "worker"
LOG_PORT = 8793
GPU = "nvidia.com/gpu"
# How long a worker that is shutting down may finish its tasks.
GRACE_SECONDS = DAY_SECONDS

STAYS = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


def workers(configuration: Configuration, queue: WorkerQueue) -> tuple[Manifest, ...]:
    """Return the workers of a queue, and their PodDisruptionBudget."""
    target = configuration.target
    name = names.worker_name(queue.name)
    template = pod_template(
        target,
        component=WORKER,
        queue=queue.name,
        spec=_pod(configuration, queue),
        reads=[*configuration.of_tasks, *configuration.files, *read_at_start(target)],
        annotations=STAYS,
    )
    template["metadata"] = with_identity(target, template["metadata"])
    spec: dict[str, Any] = {
        "minReadySeconds": 10,
        "progressDeadlineSeconds": ROLLOUT_SECONDS,
        "revisionHistoryLimit": 3,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0},
        },
        "selector": {"matchLabels": target.selector(WORKER, queue.name)},
        "template": template,
    }
    if not target.config.has_keda:
        spec["replicas"] = 0 if target.spec.is_hibernating else max(1, queue.min_workers)
    budget = {
        "maxUnavailable": 1,
        # A worker that does not start must not hold up the draining of its node.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": target.selector(WORKER, queue.name)},
    }
    return (
        target.manifest("apps/v1 Deployment", name, component=WORKER, queue=queue.name, spec=spec),
        target.manifest(
            "policy/v1 PodDisruptionBudget", name, component=WORKER, queue=queue.name, spec=budget
        ),
    )


def _pod(configuration: Configuration, queue: WorkerQueue) -> Manifest:
    target = configuration.target
    container = airflow_container(
        target,
        name=WORKER,
        args=["airflow", "celery", "worker", *_arguments(target, queue)],
        share=worker_share(queue.size, queue.disk_gib),
        sources=configuration.of_tasks,
        env=WARM_SHUTDOWN,
    )
    if queue.gpus:
        container["resources"]["limits"][GPU] = str(queue.gpus)
    # Python's start alone: no Airflow, and no broker as long as the worker hears from it.
    container["livenessProbe"] = {
        "exec": {"command": ["python", f"{PROGRAMS}/check_worker.py"]},
        "initialDelaySeconds": 120,
        "periodSeconds": 60,
        "timeoutSeconds": 20,
        "failureThreshold": 3,
    }
    if not target.has_shared_logs:
        container["ports"] = [{"name": "logs", "containerPort": LOG_PORT, "protocol": "TCP"}]
    placed = placement(target, queue)
    return {
        **airflow_pod(
            target,
            service_account=access.TASKS,
            has_token=access.has_token(target, access.TASKS),
        ),
        **placed,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "affinity": {**placed.get("affinity", {}), **_apart(target, queue)},
        "containers": [container],
    }


def _apart(target: Target, queue: WorkerQueue) -> dict[str, Any]:
    """Place workers of a queue on different nodes, if there are any: one node takes fewer away."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": target.selector(WORKER, queue.name)},
    }
    rather = [{"weight": 50, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": rather}}


def _arguments(target: Target, queue: WorkerQueue) -> list[str]:
    arguments = ["--queues", queue.name, "--concurrency", str(queue.concurrency)]
    arguments += ["--without-gossip", "--without-mingle"]
    return [*arguments, "--skip-serve-logs"] if target.has_shared_logs else arguments
