"""Wait until the database is migrated to this pod's Airflow.

Airflow's own `db check-migrations` imports all of Airflow, in every pod that starts. The migration
left a mark, which one query finds.
"""

import os
import time

import psycopg2


def main() -> None:
    wanted = f"airflow {os.environ['PORTAL_AIRFLOW_VERSION']}"
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    said = ""
    while (found := mark(url)) != wanted:
        if found != said:
            print(f"Waiting for the database: {found}; wanted: {wanted}", flush=True)
            said = found
        time.sleep(2)


def mark(url: str) -> str:
    query = "SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"
    try:
        connection = psycopg2.connect(url, connect_timeout=5)
    except psycopg2.OperationalError as error:
        return f"it does not answer ({str(error).strip()})"
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0] or "it is not migrated"
    finally:
        connection.close()


if __name__ == "__main__":
    main()
