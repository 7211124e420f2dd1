"""Why the scheduler has not queued a task: each step returns a reason, or None where it holds back
nothing.
"""

from datetime import UTC, datetime

from apps.core.words import duration_in_words
from apps.observability.why.facts import Facts
from apps.observability.why.shapes import UNLIMITED, Known, Reason, active, slots

SILENT_SECONDS = 60


def scheduler_away(facts: Facts, known: Known) -> Reason | None:
    age = facts.jobs.get("SchedulerJob")
    if age is not None and age < SILENT_SECONDS:
        return None
    since = "it reports none" if age is None else f"the last one was {duration_in_words(age)} ago"
    return Reason(
        "scheduler-away",
        "The scheduler sends no heartbeat",
        f"Nothing new starts in this Airflow: {since}.",
    )


def paused(facts: Facts, known: Known) -> Reason | None:
    if not facts.is_paused:
        return None
    return Reason(
        "paused", "The DAG is paused", "Its tasks start again as soon as it is not paused any more."
    )


def run_in_future(facts: Facts, known: Known) -> Reason | None:
    ahead = facts.run_starts_in_seconds
    if ahead is None or ahead <= 0:
        return None
    return Reason(
        "starts-later",
        "The run begins later",
        f"It is due in {duration_in_words(ahead)}.",
        "move",
    )


def max_active_runs(facts: Facts, known: Known) -> Reason | None:
    most = facts.max_active_runs
    if not most or facts.active_runs < most:
        return None
    return Reason(
        "max-active-runs",
        "As many runs of this DAG as may run do run",
        f"{facts.active_runs} of {most} (max_active_runs). This run begins when one of them ends.",
    )


def run_over(facts: Facts, known: Known) -> Reason | None:
    if facts.run_state in ("", "running"):
        return None
    return Reason(
        "run-over",
        f"The run is over: {facts.run_state}",
        "A task of it starts again only when it is cleared.",
        "move",
    )


def before_start(facts: Facts, known: Known) -> Reason | None:
    """A start date is compared with the logical date of the run, not with the clock."""
    if facts.logical_at is None or facts.starts_at is None:
        return None
    return Reason(
        "before-start-date",
        "The run lies before the start date of the task",
        f"The run is of {_day(facts.logical_at)}, the start date is {_day(facts.starts_at)}. "
        "Airflow makes no instance of the task in this run.",
    )


def past(facts: Facts, known: Known) -> Reason | None:
    if not facts.depends_on_past:
        return None
    if facts.previous_state not in ("", "success", "skipped"):
        was = "not started" if facts.previous_state == "none" else facts.previous_state
        message = f"There it is {was} (depends_on_past). It must succeed or be skipped first."
    elif facts.past:
        message = (
            f"What comes after it there must succeed or be skipped first: {', '.join(facts.past)} "
            "(wait_for_downstream)."
        )
    else:
        return None
    return Reason("depends-on-past", "It waits for the run before", message)


def upstream(facts: Facts, known: Known) -> Reason | None:
    if not facts.upstream_count:
        return None
    rest = facts.upstream_count - len(facts.upstream)
    more = f" and {rest:,} more" if rest > 0 else ""
    return Reason(
        "upstream",
        "Tasks before it have not ended",
        f"It waits for {', '.join(facts.upstream)}{more}.",
        "move",
    )


def pool(facts: Facts, known: Known) -> Reason | None:
    total, used, need = facts.pool_total, facts.pool_used, facts.pool_slots
    if total is None:
        return Reason(
            "pool-missing",
            f"The pool {facts.pool} does not exist",
            "Create it in Airflow, or name another one in the DAG.",
        )
    if total == UNLIMITED or used + need <= total:
        return None
    if need > total:
        return Reason(
            "pool-too-small",
            f"The pool {facts.pool} is smaller than the task",
            f"The task needs {need} slots, the pool has {total}. It never starts like this.",
        )
    place = f"It is number {facts.pool_ahead + 1} of {facts.pool_waiting} in line by priority."
    return Reason(
        "pool-full",
        f"The pool {facts.pool} has no room",
        f"{used} of {total} slots are in use, and the task needs {need}. {place}",
    )


def max_active_tasks(facts: Facts, known: Known) -> Reason | None:
    most = facts.max_active_tasks
    if not most or facts.run_active < most:
        return None
    return Reason(
        "max-active-tasks",
        "As many tasks of this run as may run do run",
        f"{facts.run_active} of {most} run or are queued (max_active_tasks of the DAG).",
    )


def task_limit(facts: Facts, known: Known) -> Reason | None:
    for most, count, name in (
        (facts.max_active_tis_per_dag, facts.task_active, "max_active_tis_per_dag"),
        (facts.max_active_tis_per_dagrun, facts.task_active_in_run, "max_active_tis_per_dagrun"),
    ):
        if most and count >= most:
            return Reason(
                "task-limit",
                "As many instances of this task as may run do run",
                f"{count} of {most} ({name}).",
            )
    return None


def parallelism(facts: Facts, known: Known) -> Reason | None:
    if not facts.parallelism or active(facts) < slots(facts):
        return None
    return Reason(
        "parallelism",
        "As many tasks as this Airflow may run do run",
        f"{active(facts)} of {slots(facts)} run or are queued "
        f"(parallelism {facts.parallelism} of each scheduler).",
    )


def deferred(facts: Facts, known: Known) -> Reason | None:
    age = facts.jobs.get("TriggererJob")
    if age is None or age >= SILENT_SECONDS:
        return Reason(
            "triggerer-away",
            "It waits for a trigger, and no triggerer runs",
            "It is deferred; the triggerer sends no heartbeat.",
        )
    since = duration_in_words(facts.trigger_seconds or 0)
    return Reason(
        "deferred",
        "It is deferred: it waits for an event",
        f"The triggerer has watched for {facts.trigger or 'it'} for {since}.",
        "move",
    )


def retry(facts: Facts, known: Known) -> Reason | None:
    ended = facts.ended_seconds
    left = (facts.retry_delay or 0) - ended if ended is not None else 0
    when = f"The next try is due in {duration_in_words(left)}." if left > 0 else "It is due now."
    return Reason("retry", "It failed and is tried again", when, "move")


def reschedule(facts: Facts, known: Known) -> Reason | None:
    left = facts.reschedule_in_seconds or 0
    when = f"It looks again in {duration_in_words(left)}." if left > 0 else "It is due now."
    return Reason("reschedule", "It is a sensor between two looks", when, "move")


def _day(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError):
        return "a date that does not exist"
