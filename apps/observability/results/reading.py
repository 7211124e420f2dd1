"""The list of what ended that an Airflow gives, read with distrust. Pure.

`runtime/plugins/portal_results.py` writes it; that Airflow runs user code, so it may be anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.dataplane.untrusted import number_of, text_of
from apps.observability.results.models import LONGEST_ID

MOST_ENDED, MOST_RUNNING = 2000, 200
# An end is written a moment before it is committed: the last minute is asked for again.
AGAIN = timedelta(seconds=60)
STEP = timedelta(seconds=1)
# In the year 2286.
LATEST = 10**10
STATES = {"success": False, "failed": True}
# Machines of one Airflow have clocks that differ.
AHEAD = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Result:
    """An end. `task_id` is empty for a run of a DAG."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    is_failed: bool
    started_at: datetime | None
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class Results:
    """An answer: what ended up to `listed_until`, from when on to ask next, and what runs for a
    minute or more, as (DAG, run, task, second of its start).
    """

    ended: tuple[Result, ...]
    running: tuple[tuple[str, str, str, int], ...]
    listed_until: datetime
    next_from: datetime


def read_results(said: object, *, since: datetime, clock: datetime) -> Results | None:
    """Read a list that was asked for from `since` on; None when it has another shape.

    All times are by the `clock` of that Airflow, which may be wrong, but agrees with itself. A list
    that was cut is gone on with where it ends, by a second at least, so that the next question asks
    for something else.
    """
    if not isinstance(said, dict) or not isinstance(said.get("ended"), list):
        return None
    rows = said["ended"][:MOST_ENDED]
    ended = tuple(_ended(rows, since=since, latest=clock + AHEAD))
    running = said.get("running")
    known = tuple(_running(running[:MOST_RUNNING])) if isinstance(running, list) else ()
    is_cut = said.get("has_more") is True or len(rows) == MOST_ENDED
    if not is_cut:
        return Results(ended=ended, running=known, listed_until=clock, next_from=clock - AGAIN)
    last = max((one.ended_at for one in ended), default=since)
    last = min(max(last, since + STEP), clock)
    return Results(ended=ended, running=known, listed_until=last, next_from=last)


def _ended(rows: list[object], *, since: datetime, latest: datetime) -> Iterator[Result]:
    for row in rows:
        if not isinstance(row, list) or len(row) != 7:
            continue
        dag_id, run_id, task_id = (text_of(value, LONGEST_ID) for value in row[:3])
        index, end = number_of(row[3]), _moment(row[6])
        is_failed = STATES.get(text_of(row[4], 10))
        if not dag_id or not run_id or index is None or is_failed is None or end is None:
            continue
        if not since - STEP <= end <= latest:
            continue
        yield Result(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=index,
            is_failed=is_failed,
            started_at=_moment(row[5]),
            ended_at=end,
        )


def _running(rows: list[object]) -> Iterator[tuple[str, str, str, int]]:
    for row in rows:
        if not isinstance(row, list) or len(row) != 4:
            continue
        dag_id, run_id, task_id = (text_of(value, LONGEST_ID) for value in row[:3])
        start = _moment(row[3])
        if dag_id and run_id and start is not None:
            yield dag_id, run_id, task_id, int(start.timestamp())


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return datetime.fromtimestamp(value, UTC) if 0 <= value <= LATEST else None
