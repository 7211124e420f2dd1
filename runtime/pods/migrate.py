"""Migrate Airflow's database, let the autoscaler count tasks, and leave a mark for the pods that
wait (`wait_for_migrations.py`).
"""

import os
import subprocess

import psycopg2
from psycopg2 import sql


def main() -> None:
    subprocess.run(["airflow", "db", "migrate"], check=True)
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    reader = sql.Identifier(os.environ["PORTAL_READER"])
    mark = sql.Literal(f"airflow {os.environ['PORTAL_AIRFLOW_VERSION']}")
    with psycopg2.connect(url, connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(reader))
        columns = "GRANT SELECT (state, queue, executor) ON task_instance TO {}"
        cursor.execute(sql.SQL(columns).format(reader))
        cursor.execute(sql.SQL("COMMENT ON TABLE alembic_version IS {}").format(mark))
    print("The database is migrated.", flush=True)


if __name__ == "__main__":
    main()
