"""The tasks of a DAG, what depends on what, and their states in some runs.

Three or four statements whatever the number of task instances: those of one task in one run are
counted by state. Airflow's own API answers with a hundred task instances at a time.
"""

from typing import Any

from portal_reading import bounded_session
from sqlalchemy import bindparam, text

LONGEST_NAME = 250
MOST_RUNS, MOST_TASKS, MOST_CELLS = 30, 2000, 60_000
RUN = """
    SELECT run_id, state, run_type, extract(epoch FROM run_after)::bigint,
        extract(epoch FROM end_date - start_date)::bigint
    FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id
"""
# Most runs have a logical date, whose index finds the last ones of a DAG with a million.
LAST_RUNS = """
    SELECT run_id, state, run_type, extract(epoch FROM run_after)::bigint,
        extract(epoch FROM end_date - start_date)::bigint
    FROM (
        (SELECT * FROM dag_run WHERE dag_id = :dag_id AND logical_date IS NOT NULL
         ORDER BY logical_date DESC LIMIT :runs)
        UNION ALL
        (SELECT * FROM dag_run WHERE dag_id = :dag_id AND logical_date IS NULL
         ORDER BY run_after DESC LIMIT :runs)
    ) either ORDER BY run_after DESC LIMIT :runs
"""
CELLS = text(
    """
    SELECT run_id, task_id, coalesce(state, ''), count(*) FROM task_instance
    WHERE dag_id = :dag_id AND run_id IN :run_ids
    GROUP BY run_id, task_id, state ORDER BY task_id LIMIT :most
    """
).bindparams(bindparam("run_ids", expanding=True))
# Of one run, as its tasks were when they ran; else as they are now.
VERSION = """
    SELECT dag_version_id FROM task_instance
    WHERE dag_id = :dag_id AND run_id = :run_id AND dag_version_id IS NOT NULL LIMIT 1
"""
TASKS = """
    WITH chosen AS (
        SELECT data FROM serialized_dag WHERE dag_id = :dag_id
        ORDER BY dag_version_id IS NOT DISTINCT FROM CAST(:version AS uuid) DESC, created_at DESC
        LIMIT 1
    )
    SELECT task->'__var'->>'task_id', task->'__var'->'downstream_task_ids'
    FROM chosen, jsonb_array_elements(CAST(data AS jsonb)->'dag'->'tasks') task
    LIMIT :most
"""


def grid(*, dag_id: str, run_id: str = "", runs: int = 14) -> dict[str, Any]:
    """Return tasks as (id, ids of those that wait for it), runs as (id, state, kind, second since
    1970 that it was due, seconds), the latest first, and cells as (run, task, state, how many).

    With `run_id` of this run alone. `is_cut`: there are more tasks or cells.
    """
    asked: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "runs": min(runs, MOST_RUNS)}
    with bounded_session() as session:
        found = session.execute(text(RUN if run_id else LAST_RUNS), asked).all()
        asked |= {"run_ids": [row[0] for row in found], "most": MOST_CELLS, "version": None}
        cells = list(session.execute(CELLS, asked)) if found else []
        if run_id:
            version = session.execute(text(VERSION), asked).scalar()
            asked["version"] = str(version) if version else None
        tasks = session.execute(text(TASKS), asked | {"most": MOST_TASKS + 1}).all()
    return {
        "tasks": [[_short(task_id), _names(after)] for task_id, after in tasks[:MOST_TASKS]],
        "runs": [[_short(run), state, kind, due, took] for run, state, kind, due, took in found],
        "cells": [[_short(run), _short(task), state, count] for run, task, state, count in cells],
        "is_cut": len(tasks) > MOST_TASKS or len(cells) == MOST_CELLS,
    }


def _names(after: Any) -> list[str]:
    names = after.get("__var") if isinstance(after, dict) else after
    return [_short(one) for one in names or ()][:MOST_TASKS]


def _short(value: Any) -> str:
    return str(value)[:LONGEST_NAME]
