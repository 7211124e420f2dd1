"""Task instances and their tries, by Airflow's public REST API (`/api/v2`)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.dags.airflow.api import DAGS, AirflowApi, AirflowSilent, check_id, check_run_id, is_id
from apps.dataplane.untrusted import moment_of, number_of, rows_of, seconds_of, text_of

PAGE_SIZE = 50
MOST_TRIES = 100
TASK_STATES = (
    "success",
    "failed",
    "running",
    "queued",
    "scheduled",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    "upstream_failed",
    "skipped",
    "restarting",
    "removed",
)
GOING_ON = frozenset({"running", "queued", "scheduled", "deferred", "restarting"})


@dataclass(frozen=True, kw_only=True)
class TaskInstance:
    """A task of a run; `map_index` is -1 unless it was mapped, `try_number` 0 before the first."""

    task_id: str
    map_index: int
    map_name: str
    state: str
    try_number: int
    max_tries: int
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    operator: str
    queue: str
    pool: str
    host: str

    @property
    def is_going_on(self) -> bool:
        return self.state in GOING_ON

    @property
    def is_mapped(self) -> bool:
        return self.map_index >= 0


@dataclass(frozen=True, kw_only=True)
class TaskInstances:
    """A page of task instances, and how many there are in all."""

    tasks: tuple[TaskInstance, ...]
    count: int


def read_tasks(
    airflow: AirflowApi, *, dag_id: str, run_id: str, state: str, contains: str, page: int
) -> TaskInstances:
    """Return a page of a run's task instances in the order in which they began; `state` is one of
    `TASK_STATES` or "", `contains` part of a task's name. Raises AirflowSilent and NotInAirflow.
    """
    said = airflow.get(
        DAGS,
        check_id(dag_id),
        "dagRuns",
        check_run_id(run_id),
        "taskInstances",
        limit=PAGE_SIZE,
        offset=(page - 1) * PAGE_SIZE,
        order_by="start_date",
        state=state,
        task_display_name_pattern=contains,
    )
    if not isinstance(said.get("task_instances"), list):
        raise AirflowSilent("Airflow answered with something that cannot be read. Try again.")
    rows = rows_of(said["task_instances"], PAGE_SIZE)
    named = [(row, text_of(row.get("task_id"), 250)) for row in rows]
    tasks = tuple(_task(row, task_id) for row, task_id in named if is_id(task_id))
    count = max(number_of(said.get("total_entries")) or 0, len(tasks))
    return TaskInstances(tasks=tasks, count=count)


def read_task(
    airflow: AirflowApi, *, dag_id: str, run_id: str, task_id: str, map_index: int
) -> TaskInstance:
    """Return a task instance. Raises AirflowSilent and NotInAirflow."""
    return _task(airflow.get(*task_path(dag_id, run_id, task_id, map_index)), task_id)


def read_tries(
    airflow: AirflowApi, *, dag_id: str, run_id: str, task_id: str, map_index: int
) -> tuple[TaskInstance, ...]:
    """Return the tries of a task instance, the first one first. Raises AirflowSilent and
    NotInAirflow.
    """
    said = airflow.get(*task_path(dag_id, run_id, task_id, map_index), "tries")
    tries = [_task(row, task_id) for row in rows_of(said.get("task_instances"), MOST_TRIES)]
    return tuple(sorted(tries, key=lambda one: one.try_number))


def task_path(dag_id: str, run_id: str, task_id: str, map_index: int) -> tuple[str, ...]:
    """Return the parts of a task instance's path. Raises NotInAirflow."""
    run = (DAGS, check_id(dag_id), "dagRuns", check_run_id(run_id), "taskInstances")
    mapped = (str(map_index),) if map_index >= 0 else ()
    return (*run, check_id(task_id), *mapped)


def _task(row: dict[str, Any], task_id: str) -> TaskInstance:
    map_index = number_of(row.get("map_index"))
    return TaskInstance(
        task_id=task_id,
        map_index=-1 if map_index is None else map_index,
        map_name=text_of(row.get("rendered_map_index"), 100),
        state=text_of(row.get("state"), 20),
        try_number=max(number_of(row.get("try_number")) or 0, 0),
        max_tries=max(number_of(row.get("max_tries")) or 0, 0),
        queued_at=moment_of(row.get("queued_when")),
        started_at=moment_of(row.get("start_date")),
        ended_at=moment_of(row.get("end_date")),
        seconds=seconds_of(row.get("duration")),
        operator=text_of(row.get("operator_name") or row.get("operator"), 100),
        queue=text_of(row.get("queue"), 100),
        pool=text_of(row.get("pool"), 100),
        host=text_of(row.get("hostname"), 100),
    )
