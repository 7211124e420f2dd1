"""The metrics that a Prometheus sees: their names, and which stored values they come from. Pure.

Names and units follow https://prometheus.io/docs/practices/naming/.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "astro_portal_"


@dataclass(frozen=True, kw_only=True)
class Family:
    """`label` names the part of a Deployment that a stored series is of, empty for the whole; its
    values are multiplied by `factor` to have the unit that the name says.
    """

    name: str
    kind: Literal["gauge", "counter", "info"]
    help: str
    metric: str = ""
    label: str = ""
    factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A counter of what ended in Airflow, put together of several stored metrics by result."""

    family: Family
    results: tuple[tuple[str, str], ...]


def _gauge(
    name: str, words: str, *, metric: str = "", label: str = "", factor: float = 1.0
) -> Family:
    return Family(
        name=f"{PREFIX}{name}",
        kind="gauge",
        help=words,
        metric=metric,
        label=label,
        factor=factor,
    )


def _counter(name: str, words: str, **results: str) -> Counted:
    family = Family(name=f"{PREFIX}{name}", kind="counter", help=words, label="result")
    return Counted(family=family, results=tuple(results.items()))


INFO = Family(
    name=f"{PREFIX}deployment", kind="info", help="The name and the status of a Deployment."
)
HEALTHY = _gauge("deployment_healthy", "1 when the Deployment is healthy, else 0.")
INCIDENTS = _gauge("open_incidents", "Incidents that are open and not silenced.")
ANSWERED = _gauge(
    "last_answer_timestamp_seconds", "When Airflow last answered the portal, in Unix time."
)
GAUGES = (
    _gauge("tasks_queued", "Tasks that wait in a queue.", metric="queued", label="queue"),
    _gauge("tasks_running", "Tasks that run.", metric="running", label="queue"),
    _gauge("workers", "Workers that are ready.", metric="workers", label="queue"),
    _gauge("workers_wanted", "Workers wanted.", metric="workers_wanted", label="queue"),
    _gauge("dag_runs_queued", "DAG runs that wait.", metric="runs_queued"),
    _gauge("dag_runs_running", "DAG runs that run.", metric="runs_running"),
    _gauge("pool_slots", "Slots of a pool.", metric="pool_slots", label="pool"),
    _gauge("pool_slots_used", "Slots of a pool in use.", metric="pool_used", label="pool"),
    _gauge(
        "pool_slots_waited_for",
        "Slots of a pool that tasks wait for.",
        metric="pool_waiting",
        label="pool",
    ),
    _gauge(
        "heartbeat_age_seconds",
        "Time since the last heartbeat.",
        metric="heartbeat_age",
        label="component",
    ),
    _gauge("memory_bytes", "Memory in use.", metric="memory_bytes", label="component"),
    _gauge(
        "cpu_cores", "CPU in use, in cores.", metric="cpu_millis", label="component", factor=0.001
    ),
    _gauge("pods", "Pods or processes that are ready.", metric="pods", label="component"),
    _gauge("metadata_database_bytes", "Size of the database.", metric="database_bytes"),
)
COUNTERS = (
    _counter(
        "dag_runs_ended",
        "DAG runs that ended since midnight UTC.",
        succeeded="runs_succeeded",
        failed="runs_failed",
    ),
    _counter(
        "task_instances_ended",
        "Task instances that ended since midnight UTC; those retried were followed by a try.",
        succeeded="tasks_succeeded",
        failed="tasks_failed",
        retried="tasks_retried",
    ),
)
