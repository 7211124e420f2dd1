"""Counts of waiting and running tasks of this Airflow, and its broken plugins, for the pages of the
portal.

Airflow's own API would answer with the task instances themselves, a hundred at a time.
"""

from pathlib import PurePath
from typing import Any

from airflow import plugins_manager
from portal_reading import bounded_session
from sqlalchemy import text

TASKS = """
    SELECT queue, state, count(*) FROM task_instance
    WHERE state IN ('queued', 'running') GROUP BY queue, state
"""
WAITING = """
    SELECT queue, count(*), extract(epoch FROM now() - min(queued_dttm))::bigint
    FROM task_instance WHERE state = 'queued' GROUP BY queue ORDER BY queue LIMIT 100
"""
HEARTBEATS = "SELECT job_type, max(latest_heartbeat) FROM job WHERE state = 'running' GROUP BY 1"
# How many rows there were when PostgreSQL last looked; -1 where it never did.
TABLES = """
    SELECT relname, reltuples::bigint, pg_total_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    ORDER BY pg_total_relation_size(oid) DESC, relname LIMIT 30
"""
MOST_PLUGINS, LONGEST_ERROR = 10, 500


def tables() -> dict[str, Any]:
    """Return the largest tables as (name, rows, bytes); the rows are an estimate."""
    with bounded_session() as session:
        rows = session.execute(text(TABLES)).all()
    return {"tables": [[name, count, size] for name, count, size in rows]}


def counts() -> dict[str, Any]:
    """Return tasks as (queue, state, count), those that wait as (queue, count, seconds that the
    first one waits), the number of import errors, heartbeats, and plugins that this process could
    not import as (file or module, error).
    """
    with bounded_session() as session:
        tasks = session.execute(text(TASKS)).all()
        waiting = session.execute(text(WAITING)).all()
        import_errors = session.execute(text("SELECT count(*) FROM import_error")).scalar_one()
        heartbeats = session.execute(text(HEARTBEATS)).all()
    return {
        "tasks": [[queue, state, count] for queue, state, count in tasks],
        "waiting": [[queue, count, seconds] for queue, count, seconds in waiting],
        "import_errors": import_errors,
        "heartbeats": {job_type: at.isoformat() for job_type, at in heartbeats if at},
        "plugin_errors": plugin_errors(),
    }


def plugin_errors() -> list[list[str]]:
    """Return plugins that cannot be imported. Airflow goes on without them, and says so in logs."""
    if hasattr(plugins_manager, "get_import_errors"):
        found = plugins_manager.get_import_errors()
    else:  # before Airflow 3.2
        plugins_manager.ensure_plugins_loaded()
        found = plugins_manager.import_errors
    rows = sorted(found.items())[:MOST_PLUGINS]
    return [[PurePath(source).name, error[:LONGEST_ERROR]] for source, error in rows]
