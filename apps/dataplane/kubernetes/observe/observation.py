"""The observation of a Deployment, from the objects in its namespace. Pure.

One function serves the observation of one Deployment, the survey of a cluster and the watchers.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.names import INVENTORY, PAUSED_ANNOTATION, QUEUE_LABEL
from apps.dataplane.kubernetes.observe.logs import CORE, component_name
from apps.dataplane.kubernetes.observe.notices import notices_of
from apps.dataplane.kubernetes.observe.objects import kstatus
from apps.dataplane.kubernetes.observe.objects.drift import moved_in
from apps.dataplane.kubernetes.observe.objects.inventory import Inventory, inventory_in
from apps.dataplane.kubernetes.observe.reasons import (
    disruption_of,
    is_crashing,
    owner_of,
    problem_of,
    quote,
    restarts_of,
)
from apps.dataplane.status import (
    ComponentState,
    ComponentStatus,
    HealthState,
    Notice,
    Observation,
    QueueStatus,
)

Objects = Mapping[str, Sequence[Manifest]]
VITAL = ("api-server", "scheduler")
# A component that was started this recently is starting, not unhealthy.
GRACE_SECONDS = 180


def observation_of(
    objects: Objects, *, ref: str, now: datetime, airflow_url: str, has_keda: bool = True
) -> Observation:
    """Return the observation of one Deployment from its objects, by name of their kind
    (`Deployment`, `Pod`).

    A kind that is not among the keys was not read, and is left out of the observation.
    """
    namespaces = objects.get("Namespace", ())
    if not namespaces:
        return nothing(now)
    inventory = _inventory(objects)
    components = _components(objects, now)
    health, message = _verdict(components, namespaces[0], inventory)
    drift = moved_in(objects, inventory)
    return Observation(
        observed_at=now,
        exists=True,
        applied_revision=inventory.revision,
        health=health,
        message=message,
        components=components,
        queues=_queues(objects, components, has_keda=has_keda),
        code_digest=inventory.code_digest,
        ui_url=f"{airflow_url}/{ref}/",
        api_url=f"{airflow_url}/{ref}/api/v2",
        is_drifted=bool(drift),
        drift=drift,
        notices=_notices(objects, now),
    )


def nothing(now: datetime) -> Observation:
    """Return the observation of a Deployment that does not exist on the cluster."""
    return Observation(
        observed_at=now,
        exists=False,
        applied_revision=0,
        health="stopped",
        message="Nothing of this Deployment is on the cluster.",
    )


def component_names(workloads: Iterable[Manifest]) -> tuple[str, ...]:
    """Name the components behind some workloads, in the order people want to read them."""
    names = {component_name(item) for item in workloads} - {""}
    return tuple(sorted(names, key=_rank))


def _rank(name: str) -> tuple[int, str]:
    if name in CORE:
        return CORE.index(name), ""
    return (len(CORE), name) if name.startswith("worker ") else (len(CORE) + 1, name)


def _notices(objects: Objects, now: datetime) -> tuple[Notice, ...] | None:
    if "Event" not in objects:
        return None
    return notices_of(objects["Event"], now=now, pods=objects.get("Pod", ()))


def _inventory(objects: Objects) -> Inventory:
    # Watches see inventories and no other ConfigMaps, so they have a kind of their own there.
    for item in (*objects.get("Inventory", ()), *objects.get("ConfigMap", ())):
        if item["metadata"]["name"] == INVENTORY:
            return inventory_in(item)
    return Inventory()


def _workloads(objects: Objects) -> list[Manifest]:
    return [*objects.get("Deployment", ()), *objects.get("StatefulSet", ())]


def _components(objects: Objects, now: datetime) -> tuple[ComponentStatus, ...]:
    pods: dict[str, list[Manifest]] = {}
    for pod in objects.get("Pod", ()):
        pods.setdefault(owner_of(pod), []).append(pod)
    statuses = [
        _component(item, pods.get(f"{item['kind']}/{item['metadata']['name']}", []), now)
        for item in _workloads(objects)
        if component_name(item)
    ]
    return tuple(sorted(statuses, key=lambda status: _rank(status.name)))


def _component(workload: Manifest, pods: list[Manifest], now: datetime) -> ComponentStatus:
    wanted = kstatus.wanted_of(workload)
    counts = workload.get("status") or {}
    ready = int(counts.get("readyReplicas") or 0)
    if workload["kind"] == "Deployment":
        ready = min(ready, int(counts.get("availableReplicas") or 0))
    state, detail = _state(workload, pods, wanted=wanted, ready=ready, now=now)
    started = [s for pod in pods if (s := (pod.get("status") or {}).get("startTime"))]
    return ComponentStatus(
        name=component_name(workload),
        state=state,
        ready=min(ready, wanted),
        wanted=wanted,
        detail=detail,
        started_at=kstatus.parse_time(max(started, default=None)),
        restarts=sum(restarts_of(pod) for pod in pods),
    )


def _state(
    workload: Manifest, pods: list[Manifest], *, wanted: int, ready: int, now: datetime
) -> tuple[ComponentState, str]:
    status = kstatus.status_of(workload, now=now)
    leaving = [pod for pod in pods if pod["metadata"].get("deletionTimestamp")]
    if status.state == "terminating":
        return "stopping", status.message
    if wanted == 0:
        if leaving:
            return "stopping", f"{len(leaving)} are still finishing their work."
        return "stopped", ""
    problem = next(filter(None, (problem_of(pod, now=now) for pod in pods)), "")
    disruption = disruption_of(pods)
    if status.state == "current":
        finishing = f"{len(leaving)} old ones are finishing their work." if leaving else ""
        return "running", disruption or finishing
    if any(is_crashing(pod) for pod in pods):
        return "crashing", problem
    if status.state == "failed":
        return "failed", problem or quote(status.message)
    if problem:
        return "failed", problem
    if ready >= wanted:
        # A rollout proceeds beside ready pods.
        return "running", disruption or status.message
    return "starting", f"{disruption} {status.message}".strip()


def _verdict(
    components: Sequence[ComponentStatus], namespace: Manifest, inventory: Inventory
) -> tuple[HealthState, str]:
    """Return the health of Airflow as a whole, and a message: api-server and scheduler decide."""
    if namespace["metadata"].get("deletionTimestamp"):
        return "stopped", "Its namespace is being deleted."
    by_name = {status.name: status for status in components}
    vital = [by_name[name] for name in VITAL if name in by_name]
    if len(vital) < len(VITAL):
        if inventory.revision:
            missing = next(name for name in VITAL if name not in by_name)
            return "unhealthy", f"The {missing} is missing."
        return "starting", "Airflow is not on the cluster yet."
    if all(status.wanted == 0 for status in vital):
        return "stopped", "Airflow is scaled to zero."
    if all(status.ready for status in vital):
        return "healthy", "Airflow is healthy."
    late = next(status for status in vital if not status.ready)
    if late.state in ("starting", "stopping"):
        return "starting", f"The {late.name} is starting."
    return "unhealthy", f"The {late.name}: {late.detail or f'it is {late.state}.'}"


def _queues(
    objects: Objects, components: Sequence[ComponentStatus], *, has_keda: bool
) -> tuple[QueueStatus, ...]:
    scaled = {
        (item.get("spec", {}).get("scaleTargetRef") or {}).get("name"): item
        for item in objects.get("ScaledObject", ())
    }
    by_name = {status.name: status for status in components}
    queues = []
    for workload in _workloads(objects):
        queue = (workload["metadata"].get("labels") or {}).get(QUEUE_LABEL)
        if not queue:
            continue
        status = by_name[component_name(workload)]
        scaler = scaled.get(workload["metadata"]["name"])
        queues.append(
            QueueStatus(
                name=str(queue),
                workers_ready=status.ready,
                workers_wanted=status.wanted,
                tasks_queued=None,
                tasks_running=None,
                note=_note(scaler, wanted=status.wanted, has_keda=has_keda),
            )
        )
    return tuple(sorted(queues, key=lambda queue: (queue.name != "default", queue.name)))


def _note(scaler: Manifest | None, *, wanted: int, has_keda: bool) -> str:
    """Return what other than its tasks determines the number of a queue's workers."""
    if scaler is None:
        return "" if has_keda else f"Workers stay at {wanted}: the cluster has no KEDA."
    annotations = scaler["metadata"].get("annotations") or {}
    if kstatus.is_true(scaler, "Paused") or PAUSED_ANNOTATION in annotations:
        return f"The autoscaling of this queue is paused; workers stay at {wanted}."
    if kstatus.is_true(scaler, "Fallback"):
        return f"KEDA cannot count tasks and keeps {wanted} workers."
    ready = kstatus.condition(scaler, "Ready")
    if ready.get("status") == "False":
        words = quote(str(ready.get("message", "")))
        return f"KEDA does not scale this queue; workers stay at {wanted}. {words}".strip()
    return ""
