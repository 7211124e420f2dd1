"""What is known of a Deployment that is about to hibernate, or did."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from cronsim import CronSim
from django.db.models import QuerySet

from apps.dags.airflow.api import DAGS, AirflowSilent, NotInAirflow, airflow_of
from apps.dags.models import DagSummary
from apps.dataplane.hibernation.plans import is_cron
from apps.dataplane.untrusted import text_of
from apps.deployments.models import Deployment
from apps.hibernation.models import Sleep

MOST_TASKS, MOST_RUNS = 50, 1000
HOUR = 3600
PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
# As Python writes a timedelta.
EVERY = re.compile(
    r"(?:([0-9]{1,5}) days?, )?([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?", re.A
)
# What begins with data, once or at once has no time that it could miss.
UNMISSED = ("", "Asset", "Partitioned Asset", "@once", "@continuous")


@dataclass(frozen=True, kw_only=True)
class TaskNow:
    """A task that runs or waits in Airflow; `kind` is what hibernating means for it."""

    dag_id: str
    task_id: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class TasksNow:
    """Tasks that hibernating touches; `problem` is why Airflow did not name them."""

    running: tuple[TaskNow, ...] = ()
    waiting: tuple[TaskNow, ...] = ()
    total: int = 0
    problem: str = ""

    @property
    def running_counts(self) -> list[tuple[str, int]]:
        """Name the tasks that run, each once, with how many of it."""
        return list(Counter(f"{one.dag_id}.{one.task_id}" for one in self.running).items())

    @property
    def waiting_counts(self) -> list[tuple[str, int]]:
        """Name the tasks that wait, each once, with its kind and how many of it."""
        names = (f"{one.dag_id}.{one.task_id} ({one.kind})" for one in self.waiting)
        return list(Counter(names).items())

    @property
    def others(self) -> int:
        """How many are not named."""
        return self.total - len(self.running) - len(self.waiting)


@dataclass(frozen=True, kw_only=True)
class MissedRuns:
    """What is scheduled while it sleeps: `runs` of `dags` that are not paused; `is_capped` where
    there are more. At waking `catching_up` make up for `made_up` runs, `once` run for the last one,
    and of `unknown` Airflow has not said which. `uncounted` have a schedule of another kind.
    """

    dags: int
    runs: int
    catching_up: int = 0
    made_up: int = 0
    once: int = 0
    unknown: int = 0
    uncounted: int = 0
    is_capped: bool = False


def sleeps_of(deployment: Deployment) -> QuerySet[Sleep]:
    """List the stretches in which a Deployment hibernated, the newest first."""
    return Sleep.objects.filter(deployment=deployment).order_by("-began_at")


def tasks_now(deployment: Deployment) -> TasksNow:
    """Ask Airflow what runs, waits as a sensor or is deferred."""
    try:
        found = airflow_of(deployment).get(
            DAGS,
            "~",
            "dagRuns",
            "~",
            "taskInstances",
            state=["running", "deferred"],
            limit=MOST_TASKS,
        )
    except (AirflowSilent, NotInAirflow) as error:
        return TasksNow(problem=error.message)
    rows = [_task(one) for one in found.get("task_instances") or () if isinstance(one, dict)]
    return TasksNow(
        running=tuple(one for one in rows if one.kind == "running"),
        waiting=tuple(one for one in rows if one.kind != "running"),
        total=max(len(rows), _number(found.get("total_entries"))),
    )


def missed_runs(deployment: Deployment, *, now: datetime, until: datetime) -> MissedRuns:
    """Count what the schedules of DAGs, as far as they are known, ask for until a moment, and what
    becomes of it at waking. Assets, and what runs once or all the time, miss nothing.
    """
    rows = DagSummary.objects.filter(deployment=deployment, is_paused=False)
    found = rows.exclude(schedule__in=UNMISSED).values_list("schedule", "catches_up")
    runs = uncounted = 0
    dags: Counter[bool | None] = Counter()
    by_catch_up: Counter[bool | None] = Counter()
    for schedule, catches_up in found:
        count = _count(schedule, now, until, most=max(1, MOST_RUNS - runs))
        if count is None:
            uncounted += 1
            continue
        runs += count
        dags[catches_up] += bool(count)
        by_catch_up[catches_up] += count
    return MissedRuns(
        dags=dags.total(),
        runs=runs,
        catching_up=dags[True],
        made_up=by_catch_up[True],
        once=dags[False],
        unknown=dags[None],
        uncounted=uncounted,
        is_capped=runs >= MOST_RUNS,
    )


def slept_seconds(
    sleeps: Iterable[Sleep], *, begin: datetime, end: datetime
) -> tuple[float, float]:
    """Return for how long Deployments slept within a span, and the seconds that their workers would
    have run at least.
    """
    seconds = worker_seconds = 0.0
    for one in sleeps:
        span = min(one.ended_at or end, end) - max(one.began_at, begin)
        found = max(0.0, span.total_seconds())
        seconds += found
        worker_seconds += found * one.workers
    return seconds, worker_seconds


def slept_in_month(*, organization_id: int, month: date, now: datetime) -> tuple[float, float]:
    """Return the seconds that Deployments of an organization slept in a month, as `slept_seconds`
    does.
    """
    begin = datetime(month.year, month.month, 1, tzinfo=now.tzinfo)
    end = min((begin + timedelta(days=32)).replace(day=1), now)
    sleeps = Sleep.objects.filter(
        deployment__workspace__organization_id=organization_id, began_at__lt=end
    ).exclude(ended_at__lte=begin)
    return slept_seconds(sleeps.iterator(), begin=begin, end=end)


def _count(schedule: str, now: datetime, until: datetime, *, most: int) -> int | None:
    """Count the times of a schedule until a moment; None for one of another kind."""
    every = EVERY.fullmatch(schedule)
    if every:
        days, hours, minutes, seconds = (int(one or 0) for one in every.groups())
        step = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        return min(most, int((until - now).total_seconds() // step)) if step else None
    cron = PRESETS.get(schedule, schedule)
    if not is_cron(cron):
        return None
    count = 0
    for moment in islice(CronSim(cron, now), most):
        if moment > until:
            break
        count += 1
    return count


def _task(row: dict[str, object]) -> TaskNow:
    operator = str(row.get("operator_name") or row.get("operator") or "")
    kind = "deferred" if row.get("state") == "deferred" else "running"
    if kind == "running" and operator.endswith("Sensor"):
        kind = "sensor"
    return TaskNow(
        dag_id=text_of(row.get("dag_id"), 250), task_id=text_of(row.get("task_id"), 250), kind=kind
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
