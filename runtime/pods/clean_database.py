"""Remove from Airflow's database what began more than `PORTAL_HISTORY_DAYS` days ago.

`airflow db clean` knows ages alone: it would also take the finished tasks of a run that still goes
on or was cleared again, which would then run once more. So nothing goes that is younger than the
oldest part of such a run. DAGs and their versions stay, as younger runs need them, and so do
triggers: with one of these goes the task that waits for it.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg2

# Of both the oldest and the newest Airflow of the runtimes.
TABLES = (
    "asset_event",
    "celery_taskmeta",
    "celery_tasksetmeta",
    "dag_run",
    "job",
    "log",
    "revoked_token",
    "task_instance",
    "task_instance_history",
    "task_reschedule",
    "xcom",
)
OLDEST_UNFINISHED = """
SELECT min(least(run.start_date, task.start_date))
FROM dag_run AS run LEFT JOIN task_instance AS task USING (dag_id, run_id)
WHERE run.state IN ('queued', 'running')
"""
MARK = "SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"
ROWS_AT_ONCE = "10000"


def main() -> None:
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    before = datetime.now(UTC) - timedelta(days=int(os.environ["PORTAL_HISTORY_DAYS"]))
    with psycopg2.connect(url, connect_timeout=10) as connection, connection.cursor() as cursor:
        if not fits(cursor):
            print("The database is of another Airflow: nothing is removed.", flush=True)
            return
        cursor.execute(OLDEST_UNFINISHED)
        oldest = cursor.fetchone()[0]
    if oldest and oldest < before:
        print(f"A run that has not ended has parts of {oldest.isoformat()}.", flush=True)
        before = oldest
    clean(before.isoformat())


def fits(cursor) -> bool:
    """Whether the migration that left a mark was to this Airflow; where none is left, it was."""
    version = os.environ.get("PORTAL_AIRFLOW_VERSION")
    if not version:
        return True
    cursor.execute(MARK)
    return cursor.fetchone()[0] == f"airflow {version}"


def clean(before: str) -> None:
    # On the local plane a runtime has no program `airflow`.
    command = [sys.executable, "-m", "airflow", "db", "clean"]
    command += ["--clean-before-timestamp", before]
    command += ["--tables", ",".join(TABLES), "--batch-size", ROWS_AT_ONCE]
    command += ["--skip-archive", "--error-on-cleanup-failure", "--yes"]
    subprocess.run(command, check=True)
    print(f"What began before {before} is removed.", flush=True)


if __name__ == "__main__":
    main()
