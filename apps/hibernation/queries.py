"""What is known of a Deployment that is about to hibernate, or did."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from cronsim import CronSim, CronSimError
from django.db.models import QuerySet

from apps.dags.airflow.api import DAGS, AirflowSilent, NotInAirflow, airflow_of
from apps.dags.models import DagSummary
from apps.dataplane.hibernation.plans import is_cron
from apps.dataplane.untrusted import text_of
from apps.deployments.models import Deployment
from apps.hibernation.models import Sleep

MOST_TASKS, MOST_RUNS = 50, 1000
HOUR = 3600


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
    """What is scheduled while it sleeps: `dags` with a schedule, not paused; of those in cron
    `runs`; `is_capped` where there are more.
    """

    dags: int
    runs: int
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
    """Count what the schedules of DAGs, as far as they are known, ask for until a moment."""
    found = DagSummary.objects.filter(deployment=deployment, is_paused=False).exclude(schedule="")
    schedules = list(found.values_list("schedule", flat=True))
    runs = 0
    for schedule in schedules:
        runs += _events(schedule, now, until, most=MOST_RUNS - runs)
    return MissedRuns(dags=len(schedules), runs=runs, is_capped=runs >= MOST_RUNS)


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


def _events(schedule: str, now: datetime, until: datetime, *, most: int) -> int:
    cron = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0"}.get(
        schedule, schedule
    )
    if not is_cron(cron):
        return 0
    count = 0
    try:
        for moment in CronSim(cron, now):
            if moment > until or count >= most:
                break
            count += 1
    except CronSimError:
        return 0
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
