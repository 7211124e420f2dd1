"""What this Airflow did and does, in numbers, for the charts of the portal.

A fixed number of statements, each bounded in time and rows, whatever the number of DAGs. What has
ended is counted in buckets of five minutes. A bucket is always told as a whole, so the portal
replaces what it knew of it: to ask twice counts nothing twice.
"""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException
from portal_reading import bounded_session
from portal_results import results
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

BUCKET_SECONDS = 300
# How much one answer covers, and how long a task may have existed before it ended.
MOST_DAYS, OLDEST_DAYS = 7, 30
MOST_ROWS = MOST_DAYS * 86_400 // BUCKET_SECONDS
MOST_NAMES = 100

CLOCK = """
    SELECT extract(epoch FROM clock_timestamp())::bigint, pg_database_size(current_database())
"""
TASKS = """
    SELECT queue, count(*) FILTER (WHERE state = 'queued'),
        count(*) FILTER (WHERE state = 'running')
    FROM task_instance WHERE state IN ('queued', 'running')
    GROUP BY queue ORDER BY count(*) DESC, queue LIMIT :most
"""
RUNS = "SELECT state, count(*) FROM dag_run WHERE state IN ('queued', 'running') GROUP BY state"
POOLS = """
    SELECT slot_pool.pool, slot_pool.slots,
        coalesce(sum(task.pool_slots) FILTER (WHERE task.state = 'running'), 0),
        coalesce(sum(task.pool_slots) FILTER (WHERE task.state = 'queued'), 0),
        coalesce(sum(task.pool_slots) FILTER (WHERE task.state = 'scheduled'), 0)
    FROM slot_pool LEFT JOIN task_instance task
        ON task.pool = slot_pool.pool AND task.state IN ('running', 'queued', 'scheduled')
    GROUP BY slot_pool.pool, slot_pool.slots
    ORDER BY count(task.pool) DESC, slot_pool.pool LIMIT :most
"""
HEARTBEATS = """
    SELECT job_type, extract(epoch FROM clock_timestamp() - max(latest_heartbeat))
    FROM job WHERE state = 'running' AND latest_heartbeat IS NOT NULL GROUP BY job_type
"""
ENDED_RUNS = """
    SELECT (floor(extract(epoch FROM end_date) / :bucket) * :bucket)::bigint,
        count(*) FILTER (WHERE state = 'success'), count(*) FILTER (WHERE state = 'failed'),
        percentile_cont(ARRAY[0.5, 0.9])
            WITHIN GROUP (ORDER BY extract(epoch FROM end_date - start_date)),
        percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM start_date - run_after))
            FILTER (WHERE run_type = 'scheduled')
    FROM dag_run
    WHERE state IN ('success', 'failed') AND end_date >= :since AND end_date < :until
    GROUP BY 1 ORDER BY 1 LIMIT :most
"""
# Tasks whose process was lost: the scheduler ends them and writes this event.
LOST = """
    SELECT count(*) FROM log
    WHERE event = 'heartbeat timeout' AND dttm > clock_timestamp() - interval '15 minutes'
"""
TRIGGERS = """
    SELECT count(*) FILTER (WHERE triggerer_id IS NOT NULL),
        count(*) FILTER (WHERE triggerer_id IS NULL
            AND created_date < clock_timestamp() - interval '1 minute'),
        (SELECT count(*) FROM job WHERE job_type = 'TriggererJob' AND state = 'running'
            AND latest_heartbeat > clock_timestamp() - interval '1 minute')
    FROM trigger
"""
# A file that cannot be imported leaves its DAGs as they were.
PARSED = """
    SELECT extract(epoch FROM clock_timestamp() - min(last_parsed_time)) FROM dag
    WHERE NOT is_stale AND NOT has_import_errors
"""
# A try that is followed by another one moves to task_instance_history. The ids there and here begin
# with the time at which they were made (UUID version 7, RFC 9562): an index bounds the search.
ENDED_TASKS = """
    SELECT (floor(extract(epoch FROM end_date) / :bucket) * :bucket)::bigint,
        count(*) FILTER (WHERE state = 'success'), count(*) FILTER (WHERE state = 'failed'),
        count(*) FILTER (WHERE state = 'retried'),
        percentile_cont(ARRAY[0.5, 0.9])
            WITHIN GROUP (ORDER BY extract(epoch FROM end_date - start_date)),
        percentile_cont(ARRAY[0.5, 0.9])
            WITHIN GROUP (ORDER BY extract(epoch FROM start_date - queued_dttm))
    FROM (
        SELECT state, queued_dttm, start_date, end_date FROM task_instance
        WHERE id >= CAST(:oldest AS uuid) AND state IN ('success', 'failed')
            AND end_date >= :since AND end_date < :until
        UNION ALL
        SELECT CASE state WHEN 'failed' THEN 'retried' ELSE state END,
            queued_dttm, start_date, end_date
        FROM task_instance_history
        WHERE task_instance_id >= CAST(:oldest AS uuid) AND state IN ('success', 'failed')
            AND end_date >= :since AND end_date < :until
    ) tries
    GROUP BY 1 ORDER BY 1 LIMIT :most
"""


def history(*, since: int | None = None, results_since: float | None = None) -> dict[str, Any]:
    """Return what is now, and with `since` (seconds since 1970) what has ended from then on.
    `results_since` asks for a list of that, too: see `portal_results`.

    `tasks` are (queue, queued, running), `pools` (name, slots, running, queued, waiting),
    `heartbeats` are seconds since the last one by type of job. `strain` are numbers that grow
    before something breaks; one that is not known is left out. `ended` covers `from` to `until`; it
    is None if the database needs longer than three seconds for it.
    """
    now = _now()
    now["strain"] = _strain()
    if since is not None:
        now["ended"] = _ended(since=since, clock=now["clock"])
    if results_since is not None:
        now["results"] = results(since=results_since, clock=now["clock"])
    return now


def _now() -> dict[str, Any]:
    with bounded_session() as session:
        clock, size = session.execute(text(CLOCK)).one()
        tasks = session.execute(text(TASKS), {"most": MOST_NAMES}).all()
        runs = session.execute(text(RUNS)).all()
        pools = session.execute(text(POOLS), {"most": MOST_NAMES}).all()
        heartbeats = session.execute(text(HEARTBEATS)).all()
    return {
        "clock": clock,
        "database_bytes": size,
        "tasks": [list(row) for row in tasks],
        "runs": {state: count for state, count in runs},  # noqa: C416 - rows are no pairs
        "pools": [[name, *(int(number) for number in numbers)] for name, *numbers in pools],
        "heartbeats": {job_type: round(float(age), 1) for job_type, age in heartbeats},
    }


def _strain() -> dict[str, int]:
    found: dict[str, Any] = dict(_volume())
    try:
        with bounded_session() as session:
            found["lost_tasks"] = session.execute(text(LOST)).scalar_one()
            running, waiting, triggerers = session.execute(text(TRIGGERS)).one()
            found["parse_age"] = session.execute(text(PARSED)).scalar_one()
    except DBAPIError:
        return found
    capacity = conf.getint("triggerer", "capacity", fallback=0)
    interval = conf.getint("dag_processor", "min_file_process_interval", fallback=0)
    found |= {
        "triggers": running,
        "triggers_waiting": waiting,
        "trigger_slots": triggerers * capacity,
        "parse_interval": interval,
        "schedules": conf.getboolean("scheduler", "use_job_schedule", fallback=True),
    }
    return {name: int(value) for name, value in found.items() if value is not None}


def _volume() -> dict[str, int]:
    """Return the size and the free bytes of the volume that holds task logs."""
    try:
        told = shutil.disk_usage(conf.get("logging", "base_log_folder"))
    except (OSError, AirflowConfigException):
        return {}
    return {"volume_bytes": told.total, "volume_free": told.free}


def _ended(*, since: int, clock: int) -> dict[str, Any] | None:
    begin = min(since, clock) // BUCKET_SECONDS * BUCKET_SECONDS
    end = min(begin + MOST_DAYS * 86_400, clock + BUCKET_SECONDS)
    span = {
        "bucket": BUCKET_SECONDS,
        "most": MOST_ROWS,
        "since": datetime.fromtimestamp(begin, UTC),
        "until": datetime.fromtimestamp(end, UTC),
        "oldest": _first_id(datetime.fromtimestamp(begin, UTC) - timedelta(days=OLDEST_DAYS)),
    }
    try:
        with bounded_session() as session:
            runs = session.execute(text(ENDED_RUNS), span).all()
            tasks = session.execute(text(ENDED_TASKS), span).all()
    except OperationalError:
        return None
    return {
        "from": begin,
        "until": min(end, clock),
        "runs": [
            [at, succeeded, failed, *_rounded(durations, 2), *_rounded([delay], 1)]
            for at, succeeded, failed, durations, delay in runs
        ],
        "tasks": [
            [at, succeeded, failed, retried, *_rounded(durations, 2), *_rounded(waits, 2)]
            for at, succeeded, failed, retried, durations, waits in tasks
        ],
    }


def _first_id(at: datetime) -> str:
    """Return the smallest UUID of version 7 of a moment."""
    digits = f"{max(0, int(at.timestamp() * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


def _rounded(numbers: Any, count: int) -> list[float | None]:
    """Return `count` numbers, None for each that the database has not."""
    found = list(numbers or [None] * count)
    return [None if number is None else round(max(0.0, float(number)), 2) for number in found]
