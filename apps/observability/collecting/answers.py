"""What an Airflow says of itself (`runtime/plugins/portal_history.py`), read with distrust.

That Airflow runs user code, so an answer may have any shape: whatever is not a number in its range
is left out, names are cut and stripped of what acts on a screen, and lists have an end. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from apps.dataplane.untrusted import text_of
from apps.observability.history.metrics import FINE, STRAIN
from apps.observability.history.storage import Name

MOST_NAMES, NAME_CHARACTERS = 100, 100
# A week of five minutes, and the bucket that is open.
MOST_BUCKETS = 7 * 288 + 1
MOST = 1e15
# Clocks of machines differ by seconds. More than this moves what happened to another bar.
CLOCK_SECONDS = 120
JOBS = {
    "SchedulerJob": "scheduler",
    "DagProcessorJob": "dag-processor",
    "TriggererJob": "triggerer",
}
RUN_COLUMNS = ("runs_succeeded", "runs_failed", "run_p50", "run_p90", "delay_p90")
TASK_COLUMNS = (
    "tasks_succeeded",
    "tasks_failed",
    "tasks_retried",
    "task_p50",
    "task_p90",
    "wait_p50",
    "wait_p90",
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What ended from `begin` to `end`: values by metric and the time of their bucket."""

    begin: int
    end: int
    values: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`ended` is None where it was not asked for or not told; `problem` says what is wrong."""

    gauges: Mapping[Name, float]
    ended: Ended | None = None
    problem: str = ""


def read_answer(said: object, *, since: int | None, now: datetime) -> Answer | None:
    """Read an answer of Airflow; None when it has another shape."""
    if not isinstance(said, dict):
        return None
    clock = number_of(said.get("clock"))
    if clock is None:
        return None
    gauges = dict(_gauges(said))
    if since is None:
        return Answer(gauges=gauges)
    problem = _clock_problem(clock - now.timestamp())
    told = said.get("ended")
    if not isinstance(told, dict):
        problem = problem or "Its metadata database needs too long to count what has ended."
        return Answer(gauges=gauges, problem=problem)
    return Answer(gauges=gauges, ended=_ended(told, since=since, now=now), problem=problem)


def number_of(value: object) -> float | None:
    """Return a number from 0 to `MOST`, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MOST else None


def name_of(value: object) -> str:
    """Return a name that can be stored and shown, empty for anything else."""
    return text_of(value, NAME_CHARACTERS)


def _clock_problem(seconds: float) -> str:
    if abs(seconds) <= CLOCK_SECONDS:
        return ""
    how = "ahead of" if seconds > 0 else "behind"
    return f"Its clock is {abs(seconds) / 60:,.0f} min {how} that of the portal."


def _gauges(said: Mapping[object, object]) -> Iterator[tuple[Name, float]]:
    for metric, value in _whole(said):
        number = number_of(value)
        if number is not None:
            yield (metric, ""), number
    yield from _by_name(said.get("tasks"), ("queued", "running"))
    yield from _by_name(said.get("pools"), ("pool_slots", "pool_used", "", "pool_waiting"))
    heartbeats = said.get("heartbeats")
    for job, component in JOBS.items():
        age = number_of(heartbeats.get(job)) if isinstance(heartbeats, dict) else None
        if age is not None:
            yield ("heartbeat_age", component), age


def _whole(said: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    yield "database_bytes", said.get("database_bytes")
    runs = said.get("runs")
    if isinstance(runs, dict):
        yield "runs_queued", runs.get("queued", 0)
        yield "runs_running", runs.get("running", 0)
    strain = said.get("strain")
    if isinstance(strain, dict):
        yield from ((name, strain.get(name)) for name in STRAIN)


def _by_name(rows: object, metrics: tuple[str, ...]) -> Iterator[tuple[Name, float]]:
    """Yield values by metric and name, from rows that begin with a name. Queued slots of a pool are
    in use, as Airflow counts them.
    """
    seen: set[str] = set()
    for row in rows[:MOST_NAMES] if isinstance(rows, list) else []:
        if not isinstance(row, list) or len(row) != len(metrics) + 1:
            continue
        name, numbers = name_of(row[0]), [number_of(value) for value in row[1:]]
        if not name or name in seen or None in numbers:
            continue
        seen.add(name)
        told = [number or 0.0 for number in numbers]
        if metrics[0] == "pool_slots":
            told[1] += told[2]
        yield from (((metric, name), told[at]) for at, metric in enumerate(metrics) if metric)


def _ended(told: Mapping[object, object], *, since: int, now: datetime) -> Ended | None:
    begin, until = number_of(told.get("from")), number_of(told.get("until"))
    if begin is None or until is None:
        return None
    # No bucket of another time than was asked for, and none of the future.
    first = max(int(begin), since) // FINE * FINE
    last = min(int(until), first + MOST_BUCKETS * FINE, int(now.timestamp()))
    if last <= first:
        return None
    values: dict[str, dict[int, float]] = {name: {} for name in (*RUN_COLUMNS, *TASK_COLUMNS)}
    for rows, columns in ((told.get("runs"), RUN_COLUMNS), (told.get("tasks"), TASK_COLUMNS)):
        if not isinstance(rows, list):
            return None
        for row in rows[:MOST_BUCKETS]:
            if not isinstance(row, list) or len(row) != len(columns) + 1:
                continue
            at = number_of(row[0])
            if at is None or at % FINE or not first <= at < last:
                continue
            for column, value in zip(columns, row[1:], strict=True):
                number = number_of(value)
                if number is not None:
                    values[column][int(at)] = number
    return Ended(begin=first, end=last, values=values)
