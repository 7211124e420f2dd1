"""What an Airflow tells of a task instance that has not started: hostile until it is read here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from apps.dags.airflow.api import UNREADABLE, AirflowSilent, airflow_of
from apps.dataplane.untrusted import text_of
from apps.deployments.models import Deployment

PATH = "/auth/portal/why"
MOST_LISTED, MOST_UPSTREAM = 100, 5
NAME_CHARACTERS = 250
MOST = 10**12
# The state of a task instance that Airflow did not make.
ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class TaskName:
    """What names a task instance; `map_index` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def parts(self) -> dict[str, str | int]:
        asked = {"dag_id": self.dag_id, "run_id": self.run_id, "task_id": self.task_id}
        return {**asked, "map_index": self.map_index}

    @property
    def as_query(self) -> str:
        return urlencode(self.parts)

    @property
    def short(self) -> str:
        return f"{self.task_id}[{self.map_index}]" if self.map_index >= 0 else self.task_id

    def __str__(self) -> str:
        return f"{self.dag_id} · {self.short}"


@dataclass(frozen=True, kw_only=True)
class WaitingTask:
    """A task instance that has not started, since how many seconds."""

    name: TaskName
    state: str
    queue: str
    seconds: int | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts about one task instance, counted by Airflow at one moment. None is not known.

    Durations are seconds; those called `…_in_…` lie ahead and are negative when past. `logical_at`
    of the run and `starts_at`, the start date of the task, are Unix times. `jobs` maps
    Airflow's own processes to how long their last heartbeat is ago. `past` is what must succeed in
    the run before and did not, where a task waits for what is after it there. `taken` counts
    queued tasks, this one or the first of its queue, that workers have and Airflow was not told of.
    """

    state: str
    queue: str = ""
    pool: str = ""
    pool_slots: int = 1
    pool_total: int | None = None
    pool_used: int = 0
    pool_waiting: int = 0
    pool_ahead: int = 0
    run_state: str = ""
    run_starts_in_seconds: int | None = None
    run_queued_seconds: int | None = None
    queued_seconds: int | None = None
    scheduled_seconds: int | None = None
    ended_seconds: int | None = None
    reschedule_in_seconds: int | None = None
    is_paused: bool = False
    max_active_tasks: int | None = None
    max_active_runs: int | None = None
    active_runs: int = 0
    run_active: int = 0
    task_active: int = 0
    task_active_in_run: int = 0
    running: int = 0
    queued: int = 0
    queue_running: int = 0
    queue_queued: int = 0
    previous_state: str = ""
    trigger: str = ""
    trigger_seconds: int | None = None
    depends_on_past: bool = False
    max_active_tis_per_dag: int | None = None
    max_active_tis_per_dagrun: int | None = None
    logical_at: int | None = None
    starts_at: int | None = None
    retry_delay: int | None = None
    trigger_rule: str = ""
    upstream: tuple[str, ...] = ()
    upstream_count: int = 0
    past: tuple[str, ...] = ()
    jobs: Mapping[str, int] = field(default_factory=dict)
    parallelism: int | None = None
    schedulers: int = 0
    is_broker_reached: bool | None = None
    taken: int = 0
    taken_seconds: int | None = None


def waiting_tasks(deployment: Deployment) -> list[WaitingTask]:
    """List task instances that have not started, at most 100, queued ones first. Raises
    AirflowSilent.
    """
    rows = airflow_of(deployment).report(PATH).get("waiting")
    if not isinstance(rows, list):
        raise AirflowSilent(UNREADABLE)
    found = [_waiting(row) for row in rows[:MOST_LISTED] if isinstance(row, list)]
    return [one for one in found if one is not None]


def facts_about(deployment: Deployment, *, name: TaskName) -> Facts | None:
    """Return the facts about a task instance, None where there is none. Raises AirflowSilent."""
    return facts_in(airflow_of(deployment).report(PATH, **name.parts))


def facts_in(said: Mapping[str, Any]) -> Facts | None:
    """Read an answer of Airflow. Pure. Raises AirflowSilent when it has another shape."""
    if "instance" not in said or not isinstance(said.get("jobs"), list):
        raise AirflowSilent(UNREADABLE)
    instance, task = said["instance"], said.get("task")
    if instance is None:
        return _absent(said)
    if not isinstance(instance, dict) or not isinstance(task, dict):
        raise AirflowSilent(UNREADABLE)
    jobs = {str(row[0]): row for row in said["jobs"] if isinstance(row, list) and len(row) == 3}
    heartbeats = {kind: _number(row[2]) for kind, row in jobs.items()}
    broker = said.get("broker")
    broker = broker if isinstance(broker, dict) else {}
    is_reached = broker.get("is_reached")
    read: dict[str, Any] = {name: _name(instance.get(name)) for name in _NAMES}
    read |= {name: _count(instance.get(name)) for name in _COUNTS}
    read |= {name: _number(instance.get(name)) for name in _NUMBERS}
    return Facts(
        **read,
        pool_slots=max(1, _count(instance.get("pool_slots"))),
        is_paused=instance.get("is_paused") is True,
        depends_on_past=task.get("depends_on_past") is True,
        max_active_tis_per_dag=_number(task.get("max_active_tis_per_dag")),
        max_active_tis_per_dagrun=_number(task.get("max_active_tis_per_dagrun")),
        starts_at=_number(task.get("start_date")),
        retry_delay=_number(task.get("retry_delay")),
        trigger_rule=_name(task.get("trigger_rule")),
        upstream=_listed(said.get("upstream")),
        past=_listed(said.get("past")),
        upstream_count=_count(said.get("upstream_count")),
        jobs={kind: age for kind, age in heartbeats.items() if age is not None},
        parallelism=_number(said.get("parallelism")) or None,
        schedulers=_count(jobs["SchedulerJob"][1]) if "SchedulerJob" in jobs else 0,
        is_broker_reached=is_reached if isinstance(is_reached, bool) else None,
        taken=_count(broker.get("taken")),
        taken_seconds=_number(broker.get("taken_seconds")),
    )


def _absent(said: Mapping[str, Any]) -> Facts | None:
    """Return that a run has no instance of a task that starts later, None for any other cause."""
    task = said.get("task")
    starts_at = _number(task.get("start_date")) if isinstance(task, dict) else None
    logical_at = _number(said.get("logical_at"))
    if starts_at is None or logical_at is None or logical_at >= starts_at:
        return None
    return Facts(state=ABSENT, logical_at=logical_at, starts_at=starts_at)


_NAMES = (
    "state",
    "queue",
    "pool",
    "run_state",
    "previous_state",
    "trigger",
)
_COUNTS = (
    "pool_used",
    "pool_waiting",
    "pool_ahead",
    "active_runs",
    "run_active",
    "task_active",
    "task_active_in_run",
    "running",
    "queued",
    "queue_running",
    "queue_queued",
)
_NUMBERS = (
    "pool_total",
    "run_starts_in_seconds",
    "run_queued_seconds",
    "queued_seconds",
    "scheduled_seconds",
    "ended_seconds",
    "reschedule_in_seconds",
    "max_active_tasks",
    "max_active_runs",
    "trigger_seconds",
)


def _waiting(row: list[Any]) -> WaitingTask | None:
    if len(row) != 7:
        return None
    dag_id, run_id, task_id, map_index, state, queue, seconds = row
    index = _number(map_index)
    name = TaskName(
        dag_id=_name(dag_id),
        run_id=_name(run_id),
        task_id=_name(task_id),
        map_index=-1 if index is None else index,
    )
    return WaitingTask(name=name, state=_name(state), queue=_name(queue), seconds=_number(seconds))


def _listed(value: object) -> tuple[str, ...]:
    return tuple(_name(one) for one in value[:MOST_UPSTREAM]) if isinstance(value, list) else ()


def _name(value: object) -> str:
    return text_of(value, NAME_CHARACTERS)


def _number(value: object) -> int | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -MOST < value < MOST:
        return None
    return int(value)


def _count(value: object) -> int:
    return max(0, _number(value) or 0)
