"""Live metrics of Deployments on clusters: what observations leave out because it changes by the
second.

They are asked for while a page is open, by a worker, and kept for a minute in the cache: a row
changes only when DAG files begin or cease to be importable, and a Deployment without a reader costs
nothing. Every view of a page sees the same ones.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.core.cache import cache

from apps.clusters.connections.planes import plane_for
from apps.dataplane.base import SupportsMetrics
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.status import LiveMetrics, Observation, Usage
from apps.deployments.models import Deployment, Health, Phase
from apps.deployments.reconciling import import_errors
from apps.deployments.reconciling.compiler import compile_spec

# How often they are requested while a page is open, and how long the last ones are shown.
EVERY_SECONDS, KEPT_SECONDS = 8, 60
LONG_WAIT_MINUTES = 5


def is_due(deployment: Deployment) -> bool:
    """Return whether live metrics are due; False for every other caller for a while."""
    if not supports_metrics(deployment):
        return False
    return bool(cache.add(f"figures-asked:{deployment.pk}", 1, EVERY_SECONDS))


def supports_metrics(deployment: Deployment) -> bool:
    """Return whether live metrics can be requested: a reachable cluster with an Airflow on it."""
    return (
        deployment.cluster.is_kubernetes
        and deployment.cluster.blind_until is None
        and deployment.phase == Phase.ACTIVE
        and deployment.applied_id is not None
        and deployment.health != Health.STOPPED
    )


def measure(*, deployment_id: int) -> None:
    """Request the live metrics of a Deployment and cache them."""
    rows = Deployment.objects.select_related("cluster", "applied")
    deployment = rows.filter(pk=deployment_id).first()
    if deployment is None or deployment.applied is None or not supports_metrics(deployment):
        return
    try:
        plane = plane_for(deployment.cluster)
        spec = compile_spec(deployment=deployment, revision=deployment.applied)
    except DataPlaneError:
        # The reconciler meets the same error and records it.
        return
    if not isinstance(plane, SupportsMetrics):
        return
    live_metrics = plane.live_metrics(spec=spec)
    cache.set(_key(deployment), _as_json(live_metrics), KEPT_SECONDS)
    if live_metrics.import_errors is not None:
        count = live_metrics.import_errors
        import_errors.keep(plane=plane, deployment=deployment, spec=spec, count=count)
    if live_metrics.warnings is not None:
        import_errors.keep_warnings(deployment=deployment, warnings=live_metrics.warnings)


def read_live_metrics(deployment: Deployment) -> LiveMetrics | None:
    """Return the last live metrics of a Deployment, None if there are none or they are old."""
    if not supports_metrics(deployment):
        return None
    kept = cache.get(_key(deployment))
    return _from_json(kept) if kept else None


def completed(observation: Observation, live_metrics: LiveMetrics) -> Observation:
    """Return an observation completed with live metrics. Pure."""
    tasks, usage = live_metrics.tasks or {}, live_metrics.usage or {}
    heartbeats = live_metrics.heartbeats or {}
    queues = [
        replace(
            queue,
            tasks_queued=tasks[queue.name][0],
            tasks_running=tasks[queue.name][1],
            note=queue.note or _wait(queue.name, live_metrics),
        )
        if queue.name in tasks
        else queue
        for queue in observation.queues
    ]
    components = [
        replace(
            component,
            memory_bytes=usage[component.name].memory_bytes if component.name in usage else None,
            cpu_millis=usage[component.name].cpu_millis if component.name in usage else None,
            heartbeat_at=heartbeats.get(component.name),
        )
        for component in observation.components
    ]
    return replace(
        observation,
        queues=tuple(queues),
        components=tuple(components),
        import_errors=observation.import_errors
        if live_metrics.import_errors is None
        else live_metrics.import_errors,
        warnings=observation.warnings if live_metrics.warnings is None else live_metrics.warnings,
    )


def _wait(queue: str, live_metrics: LiveMetrics) -> str:
    """Return a message about a task that waits for long in a queue, "" without one.

    A task that has waited for ten minutes is queued again, and its time starts anew.
    """
    since = (live_metrics.waiting or {}).get(queue)
    minutes = int((live_metrics.taken_at - since).total_seconds() // 60) if since else 0
    if minutes < LONG_WAIT_MINUTES:
        return ""
    return (
        f"Tasks wait for {minutes} minutes or longer. None fails because of it; "
        "more workers or more tasks per worker shorten the wait."
    )


def _key(deployment: Deployment) -> str:
    return f"figures:{deployment.pk}"


def _as_json(live_metrics: LiveMetrics) -> dict[str, Any]:
    found = asdict(live_metrics)
    found["taken_at"] = live_metrics.taken_at.isoformat()
    if live_metrics.heartbeats is not None:
        found["heartbeats"] = {name: at.isoformat() for name, at in live_metrics.heartbeats.items()}
    if live_metrics.waiting is not None:
        found["waiting"] = {name: at.isoformat() for name, at in live_metrics.waiting.items()}
    return found


def _from_json(kept: Mapping[str, Any]) -> LiveMetrics:
    tasks, usage, heartbeats = kept["tasks"], kept["usage"], kept["heartbeats"]
    return LiveMetrics(
        taken_at=datetime.fromisoformat(kept["taken_at"]),
        tasks=_each(tasks, tuple),
        waiting=_each(kept["waiting"], datetime.fromisoformat),
        tasks_unknown=kept["tasks_unknown"],
        import_errors=kept["import_errors"],
        warnings=None if kept.get("warnings") is None else tuple(kept["warnings"]),
        heartbeats=_each(heartbeats, datetime.fromisoformat),
        usage=_each(usage, lambda used: Usage(**used)),
        usage_unknown=kept["usage_unknown"],
    )


def _each(items: Mapping[str, Any] | None, read: Any) -> dict[str, Any] | None:
    return None if items is None else {name: read(value) for name, value in items.items()}
