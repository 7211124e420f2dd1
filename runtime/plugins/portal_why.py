"""The facts about one task instance that has not started: why it waits is decided in the portal.

A handful of statements whatever the size of Airflow, in one transaction with a time limit.
"""

from typing import Any

from airflow.configuration import conf
from portal_broker import broker_look
from portal_reading import bounded_session
from sqlalchemy import text

LONGEST_NAME = 250

# What has not started: queued first, as only that waits for a worker.
WAITING = """
    SELECT ti.dag_id, ti.run_id, ti.task_id, ti.map_index, coalesce(ti.state, 'none'), ti.queue,
        extract(epoch FROM
            now() - coalesce(ti.queued_dttm, ti.scheduled_dttm, run.queued_at))::bigint
    FROM dag_run run JOIN task_instance ti ON ti.dag_id = run.dag_id AND ti.run_id = run.run_id
    WHERE run.state IN ('queued', 'running') AND (ti.state IS NULL OR ti.state IN
        ('queued', 'scheduled', 'deferred', 'up_for_retry', 'up_for_reschedule'))
    ORDER BY array_position(ARRAY['queued', 'scheduled'], ti.state), run.queued_at, ti.id
    LIMIT 100
"""
INSTANCE = """
    SELECT coalesce(ti.state, 'none') AS state, ti.queue, ti.pool, ti.pool_slots,
        ti.priority_weight, ti.operator, ti.try_number, ti.dag_version_id,
        ti.external_executor_id,
        extract(epoch FROM now() - ti.queued_dttm)::bigint AS queued_seconds,
        extract(epoch FROM now() - ti.scheduled_dttm)::bigint AS scheduled_seconds,
        extract(epoch FROM now() - ti.end_date)::bigint AS ended_seconds,
        run.state AS run_state, run.run_type,
        extract(epoch FROM now() - run.queued_at)::bigint AS run_queued_seconds,
        extract(epoch FROM run.run_after - now())::bigint AS run_starts_in_seconds,
        dag.is_paused, dag.max_active_tasks, dag.max_active_runs,
        pool.slots AS pool_total, trigger.classpath AS trigger,
        extract(epoch FROM now() - trigger.created_date)::bigint AS trigger_seconds,
        (SELECT extract(epoch FROM max(again.reschedule_date) - now())::bigint
            FROM task_reschedule again WHERE again.ti_id = ti.id) AS reschedule_in_seconds,
        (SELECT coalesce(sum(pool_slots), 0) FROM task_instance other WHERE other.pool = ti.pool
            AND (other.state IN ('running', 'queued')
                OR other.state = 'deferred' AND pool.include_deferred)) AS pool_used,
        (SELECT count(*) FROM task_instance other WHERE other.pool = ti.pool
            AND other.state = 'scheduled') AS pool_waiting,
        (SELECT count(*) FROM task_instance other WHERE other.pool = ti.pool
            AND other.state = 'scheduled'
            AND other.priority_weight > ti.priority_weight) AS pool_ahead,
        (SELECT count(*) FROM dag_run other WHERE other.dag_id = ti.dag_id
            AND other.state = 'running') AS active_runs,
        (SELECT count(*) FROM task_instance other WHERE other.dag_id = ti.dag_id
            AND other.run_id = ti.run_id AND other.state IN ('running', 'queued')) AS run_active,
        (SELECT count(*) FROM task_instance other WHERE other.dag_id = ti.dag_id
            AND other.task_id = ti.task_id
            AND other.state IN ('running', 'queued')) AS task_active,
        (SELECT count(*) FROM task_instance other WHERE other.dag_id = ti.dag_id
            AND other.run_id = ti.run_id AND other.task_id = ti.task_id
            AND other.state IN ('running', 'queued')) AS task_active_in_run,
        (SELECT count(*) FROM task_instance WHERE state = 'running') AS running,
        (SELECT count(*) FROM task_instance WHERE state = 'queued') AS queued,
        (SELECT count(*) FROM task_instance other WHERE other.queue = ti.queue
            AND other.state = 'running') AS queue_running,
        (SELECT count(*) FROM task_instance other WHERE other.queue = ti.queue
            AND other.state = 'queued') AS queue_queued,
        before.run_id AS previous_run_id, before.task_state AS previous_state
    FROM task_instance ti
    JOIN dag_run run ON run.dag_id = ti.dag_id AND run.run_id = ti.run_id
    JOIN dag ON dag.dag_id = ti.dag_id
    LEFT JOIN slot_pool pool ON pool.pool = ti.pool
    LEFT JOIN trigger ON trigger.id = ti.trigger_id
    LEFT JOIN LATERAL (
        SELECT previous.run_id, (
            SELECT coalesce(theirs.state, 'none') FROM task_instance theirs
            WHERE theirs.dag_id = previous.dag_id AND theirs.run_id = previous.run_id
                AND theirs.task_id = ti.task_id
            ORDER BY coalesce(theirs.state, 'none') IN ('success', 'skipped') LIMIT 1
        ) AS task_state
        FROM dag_run previous
        WHERE previous.dag_id = ti.dag_id AND previous.logical_date < run.logical_date
        ORDER BY previous.logical_date DESC LIMIT 1
    ) before ON true
    WHERE ti.dag_id = :dag_id AND ti.run_id = :run_id AND ti.task_id = :task_id
        AND ti.map_index = :map_index
"""
# The serialized DAG is unpacked once: the task itself, and what it waits for.
TASK = """
    WITH tasks AS (
        SELECT task->'__var' AS task, CAST(data AS jsonb)->'dag'->'start_date' AS dag_start
        FROM serialized_dag,
            jsonb_array_elements(CAST(data AS jsonb)->'dag'->'tasks') task
        WHERE dag_version_id = CAST(:dag_version_id AS uuid)
    ), upstream AS (
        SELECT other.task_id, coalesce(other.state, 'none') AS state FROM tasks
        JOIN task_instance other ON other.dag_id = :dag_id AND other.run_id = :run_id
            AND other.task_id = tasks.task->>'task_id'
        WHERE jsonb_exists(tasks.task->'downstream_task_ids', :task_id)
            AND (other.state IS NULL OR other.state NOT IN
                ('success', 'skipped', 'failed', 'upstream_failed', 'removed'))
    )
    SELECT (SELECT task || jsonb_build_object('dag_start', dag_start)
            FROM tasks WHERE task->>'task_id' = :task_id LIMIT 1),
        (SELECT count(*) FROM upstream),
        ARRAY(SELECT task_id || ' (' || state || ')' FROM upstream LIMIT 5)
"""
# What of the run before a task waits for that says `wait_for_downstream`.
PAST = """
    SELECT task_id || ' (' || coalesce(state, 'none') || ')' FROM task_instance
    WHERE dag_id = :dag_id AND run_id = :previous_run_id AND task_id = ANY(:downstream)
        AND (state IS NULL OR state NOT IN ('success', 'skipped'))
    ORDER BY task_id, map_index LIMIT 5
"""
# Of a run that has no such instance: Airflow makes none of a task that starts later.
ABSENT = """
    SELECT extract(epoch FROM logical_date)::bigint, created_dag_version_id FROM dag_run
    WHERE dag_id = :dag_id AND run_id = :run_id
"""
# Those that were queued first: what holds up the workers of a queue.
QUEUED_FIRST = """
    SELECT external_executor_id FROM task_instance
    WHERE queue = :queue AND state = 'queued' AND external_executor_id IS NOT NULL
    ORDER BY queued_dttm LIMIT 5
"""
JOBS = """
    SELECT job_type, count(*), extract(epoch FROM now() - max(latest_heartbeat))::bigint
    FROM job WHERE state = 'running' GROUP BY job_type
"""


def waiting() -> dict[str, Any]:
    """Return task instances that have not started, as (DAG, run, task, map index, state, queue,
    seconds).
    """
    with bounded_session() as session:
        rows = session.execute(text(WAITING)).all()
    return {"waiting": [[_short(value) for value in row] for row in rows]}


def why(*, dag_id: str, run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
    """Return the facts about one task instance; `instance` is None where there is none, and
    `logical_at` then the time of its run.

    `jobs` are (kind, how many run, seconds since the last heartbeat) of Airflow's own processes.
    `broker` is what Celery's broker says of this task and of those of its queue that were queued
    first, None unless the task is queued and there is one.
    """
    asked = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with bounded_session() as session:
        row = session.execute(text(INSTANCE), asked).mappings().first()
        jobs = session.execute(text(JOBS)).all()
        found = {name: _short(value) for name, value in (row or {}).items()}
        version = found.pop("dag_version_id", None)
        logical_at = None
        if row is None:
            logical_at, version = session.execute(text(ABSENT), asked).first() or (None, None)
        asked["dag_version_id"] = str(version)
        said = session.execute(text(TASK), asked).first() if version else None
        task, upstream_count, upstream = said or (None, 0, [])
        past = _past(session, {**asked, **found}, task or {})
        own = found.pop("external_executor_id", None)
        is_queued = found.get("state") == "queued"
        first = session.execute(text(QUEUED_FIRST), found).scalars().all() if is_queued else ()
    return {
        "instance": found or None,
        "logical_at": logical_at,
        "task": _limits(task or {}),
        "upstream": [_short(one) for one in upstream or ()],
        "upstream_count": upstream_count,
        "past": [_short(one) for one in past],
        "jobs": [[kind, count, seconds] for kind, count, seconds in jobs],
        "parallelism": conf.getint("core", "parallelism", fallback=0),
        # Past the session: a broker that is silent must not keep a connection to the database.
        "broker": broker_look(sorted({*first, own} - {None})) if is_queued else None,
    }


def _past(session: Any, asked: dict[str, Any], task: dict[str, Any]) -> list[str]:
    """Return what after this task in the run before did not succeed, as `task (state)`."""
    said = {**(task.get("partial_kwargs") or {}), **task}
    after = _plain(task.get("downstream_task_ids")) or []
    if not _plain(said.get("wait_for_downstream")) or not asked.get("previous_run_id"):
        return []
    rows = session.execute(text(PAST), {**asked, "downstream": [str(one) for one in after]})
    return list(rows.scalars())


def _limits(task: dict[str, Any]) -> dict[str, Any]:
    """Return what a serialized task says of when it may start; a mapped one says it elsewhere."""
    said = {**(task.get("partial_kwargs") or {}), **task}
    starts = (_number(said.get("start_date")), _number(said.get("dag_start")))
    return {
        "depends_on_past": bool(_plain(said.get("depends_on_past"))),
        "max_active_tis_per_dag": _number(said.get("max_active_tis_per_dag")),
        "max_active_tis_per_dagrun": _number(said.get("max_active_tis_per_dagrun")),
        "start_date": max((one for one in starts if one is not None), default=None),
        "retry_delay": _number(said.get("retry_delay")),
        "trigger_rule": str(_plain(said.get("trigger_rule")) or ""),
    }


def _plain(value: Any) -> Any:
    return value.get("__var") if isinstance(value, dict) else value


def _number(value: Any) -> float | None:
    plain = _plain(value)
    return plain if isinstance(plain, (int, float)) and not isinstance(plain, bool) else None


def _short(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    return int(value) if hasattr(value, "as_integer_ratio") else str(value)[:LONGEST_NAME]
