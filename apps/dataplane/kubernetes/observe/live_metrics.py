"""What changes by the second, requested only while a page is open: tasks, heartbeats, memory, CPU.

Two requests, whatever the number of queues and pods: one to Airflow through the service proxy
(`runtime/plugins/portal_counts.py` answers it), one for the `metrics.k8s.io/v1beta1` of the
cluster. Airflow and its pods run user code: their responses are validated.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

import orjson

from apps.dataplane.airflow_answers.waiting_tasks import COUNTS, count_of, warnings_in
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import Kind, Manifest
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import COMPONENT_LABEL
from apps.dataplane.kubernetes.observe.logs import component_name
from apps.dataplane.kubernetes.observe.objects.kstatus import parse_time
from apps.dataplane.kubernetes.observe.objects.live_objects import selector
from apps.dataplane.kubernetes.proxy.airflow_api import call_airflow
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import LiveMetrics, Usage

POD_METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods")
SECONDS = 4.0
REPORTERS = {
    "SchedulerJob": "scheduler",
    "DagProcessorJob": "dag-processor",
    "TriggererJob": "triggerer",
}
# Source: k8s.io/apimachinery/pkg/api/resource, "Quantity".
_UNITS: Mapping[str, Decimal] = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{unit: Decimal(1000) ** -power for power, unit in enumerate(("m", "u", "n"), 1)},
}


def read_live_metrics(api: Api, *, spec: DeploymentSpec, portal_id: str) -> LiveMetrics:
    """Measure a Deployment, within `SECONDS`. What is not reported is None, with the reason;
    nothing is raised.
    """
    asked: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: _told_by_airflow(api, spec),
        lambda: _used(api, spec.ref, portal_id),
    )
    told, used = in_parallel(lambda ask: ask(), asked)
    return LiveMetrics(taken_at=datetime.now(UTC), **told, **used)


def _told_by_airflow(api: Api, spec: DeploymentSpec) -> dict[str, Any]:
    try:
        answer = call_airflow(api, spec=spec, method="GET", path=COUNTS, seconds=SECONDS)
    except DataPlaneError as error:
        return {"tasks_unknown": error.message}
    said = answer.data if isinstance(answer.data, dict) else {}
    rows = said.get("tasks")
    if answer.status != 200 or not isinstance(rows, list):
        return {"tasks_unknown": f"Airflow does not report its tasks ({answer.status})."}
    queues = [queue.name for queue in spec.queues]
    return {
        "tasks": tasks_in(rows, queues=queues),
        "waiting": waiting_in(said.get("waiting"), queues=queues, now=datetime.now(UTC)),
        "import_errors": count_of(said.get("import_errors")),
        "warnings": warnings_in(said, spec=spec),
        "heartbeats": heartbeats_in(said.get("heartbeats")),
    }


def _used(api: Api, ref: str, portal_id: str) -> dict[str, Any]:
    # Pods of single tasks belong to no component, and there may be thousands.
    labels = f"{selector(portal_id=portal_id, ref=ref)},{COMPONENT_LABEL}!=task"
    path = POD_METRICS.path(namespace=api.home(ref))
    query = urlencode({"labelSelector": labels})
    headers = {"Accept": "application/json"}
    try:
        answer = api.raw("GET", f"{path}?{query}", headers=headers, seconds=SECONDS)
    except DataPlaneError as error:
        return {"usage_unknown": error.message}
    if answer.status != 200:
        return {"usage_unknown": _why_no_metrics(answer.status)}
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = None
    items = said.get("items") if isinstance(said, dict) else None
    return {"usage": usage_in(items if isinstance(items, list) else [])}


def tasks_in(rows: Iterable[object], *, queues: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return (queued, running) of each of some queues, from rows of (queue, state, count)."""
    found = {queue: {"queued": 0, "running": 0} for queue in queues}
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            continue
        queue, state, count = str(row[0]), str(row[1]), count_of(row[2])
        if queue in found and state in found[queue] and count is not None:
            found[queue][state] = count
    return {queue: (counts["queued"], counts["running"]) for queue, counts in found.items()}


def waiting_in(rows: object, *, queues: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Return since when the first task of each of some queues waits, where one does, from rows of
    (queue, count, seconds).
    """
    found = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, list) and len(row) == 3 and row[0] in queues:
            seconds = count_of(row[2])
            if seconds is not None:
                found[str(row[0])] = now - timedelta(seconds=seconds)
    return found


def heartbeats_in(told: object) -> dict[str, datetime]:
    """Return the last heartbeat of each component, from times by type of job."""
    given = told if isinstance(told, dict) else {}
    found = {name: _moment(given.get(job_type)) for job_type, name in REPORTERS.items()}
    return {name: at for name, at in found.items() if at is not None}


def usage_in(items: Iterable[object]) -> dict[str, Usage]:
    """Sum up the usage of each component's containers, from PodMetrics."""
    memory: dict[str, Decimal] = defaultdict(Decimal)
    cpu: dict[str, Decimal] = defaultdict(Decimal)
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
            continue
        name = component_name(item)
        for used in _used_by_containers(item) if name else ():
            memory[name] += quantity(used.get("memory"))
            cpu[name] += quantity(used.get("cpu"))
    return {
        name: Usage(memory_bytes=int(total), cpu_millis=round(cpu[name] * 1000))
        for name, total in memory.items()
    }


def quantity(text: object) -> Decimal:
    """Parse a Kubernetes quantity (`12345678n`, `512Ki`), 0 for anything else."""
    given = str(text)[:40]
    unit = next((unit for unit in _UNITS if given.endswith(unit)), "")
    try:
        amount = Decimal(given.removesuffix(unit)) * _UNITS.get(unit, Decimal(1))
    except InvalidOperation:
        return Decimal(0)
    return amount if amount.is_finite() and 0 <= amount < Decimal(2) ** 60 else Decimal(0)


def _used_by_containers(item: Manifest) -> Iterable[Mapping[str, Any]]:
    containers = item.get("containers")
    for container in containers if isinstance(containers, list) else ():
        used = container.get("usage") if isinstance(container, dict) else None
        if isinstance(used, dict):
            yield used


def _why_no_metrics(status: int) -> str:
    if status == 404:
        return "The cluster has no metrics server."
    if status == 403:
        return (
            "The portal is not allowed to read the cluster's metrics. The page of the cluster has "
            "the role to apply."
        )
    return f"The cluster's metrics server does not answer ({status})."


def _moment(value: object) -> datetime | None:
    at = parse_time(value) if isinstance(value, str) else None
    return at if at is not None and at.tzinfo is not None else None
