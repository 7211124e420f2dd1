"""What ended in this Airflow, run by run, for the alerts of the portal.

Two statements, each bounded in time and rows, whatever the number of DAGs. They read from a moment
on, in the order of the ends, so that a portal that was away for a day gets everything by asking
again from the last end it knows. A third one lists what has been running for long.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from portal_reading import bounded_session
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

MOST_ENDED, MOST_RUNNING = 2000, 200
OLDEST_DAYS, MOST_DAYS = 30, 7
# Tasks that succeeded sooner are of no interest to any rule.
LONG_SECONDS = 60
ENDED = """
    SELECT dag_id, run_id, task_id, map_index, state, extract(epoch FROM start_date),
        extract(epoch FROM end_date)
    FROM (
        (SELECT dag_id, run_id, '' AS task_id, -1 AS map_index, state, start_date, end_date
        FROM dag_run WHERE state IN ('success', 'failed') AND end_date >= :since
        ORDER BY end_date LIMIT :most)
        UNION ALL
        (SELECT dag_id, run_id, task_id, map_index, state, start_date, end_date
        FROM task_instance
        WHERE id >= CAST(:oldest AS uuid) AND end_date >= :since AND (
            state = 'failed'
            OR (state = 'success' AND end_date - start_date >= make_interval(secs => :long))
        )
        ORDER BY end_date LIMIT :most)
    ) ended
    ORDER BY end_date LIMIT :most
"""
RUNNING = """
    SELECT dag_id, run_id, task_id, extract(epoch FROM start_date)
    FROM (
        SELECT dag_id, run_id, '' AS task_id, start_date FROM dag_run
        WHERE state = 'running'
        UNION ALL
        SELECT dag_id, run_id, task_id, start_date FROM task_instance WHERE state = 'running'
    ) running
    WHERE start_date <= now() - make_interval(secs => :long)
    ORDER BY start_date LIMIT :most
"""


def results(*, since: float, clock: int) -> dict[str, Any] | None:
    """Return what ended from `since` (seconds since 1970) on, and what runs for a minute or more.

    `ended` are (DAG, run, task, map index, state, start, end), the earliest first; `task` is empty
    for a run. `has_more` says that the list was cut. None if the database needs longer than three
    seconds.
    """
    begin = datetime.fromtimestamp(max(since, clock - MOST_DAYS * 86_400), UTC)
    asked = {"since": begin, "oldest": _first_id(begin), "most": MOST_ENDED, "long": LONG_SECONDS}
    try:
        with bounded_session() as session:
            ended = session.execute(text(ENDED), asked).all()
            running = session.execute(
                text(RUNNING), {"most": MOST_RUNNING, "long": LONG_SECONDS}
            ).all()
    except OperationalError:
        return None
    return {
        "ended": [[*names, _second(start), _second(end)] for *names, start, end in ended],
        "running": [[*names, _second(start)] for *names, start in running],
        "has_more": len(ended) == MOST_ENDED,
    }


def _first_id(begin: datetime) -> str:
    """Return the smallest UUID of version 7 of a task instance that can have ended since."""
    at = begin - timedelta(days=OLDEST_DAYS)
    digits = f"{max(0, int(at.timestamp() * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


def _second(value: Any) -> float | None:
    return None if value is None else float(value)
