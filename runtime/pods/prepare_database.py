"""Make a Deployment's roles and database on a PostgreSQL server, or remove them (`drop`).

Runs in a pod with the server's own password; Airflow never sees that one. Safe to repeat.
"""

import os
import sys
import time

import psycopg2
from psycopg2 import sql

PATIENCE_SECONDS = 180


def main() -> None:
    connection = connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        (drop if "drop" in sys.argv[1:] else prepare)(cursor)
    connection.close()


def connect():
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return psycopg2.connect(os.environ["PORTAL_ADMIN_URL"], connect_timeout=5)
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise
            print(f"Waiting for the database server: {str(error).strip()}", flush=True)
            time.sleep(2)


def prepare(cursor) -> None:
    name, reader = os.environ["PORTAL_DATABASE"], os.environ["PORTAL_READER"]
    ensure_role(cursor, name, os.environ["PORTAL_DATABASE_PASSWORD"])
    ensure_role(cursor, reader, os.environ["PORTAL_READER_PASSWORD"])
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    if cursor.fetchone() is None:
        # The maker of a database must be a member of the role that will own it.
        execute(cursor, "GRANT {} TO CURRENT_USER", name)
        execute(cursor, "CREATE DATABASE {} OWNER {} TEMPLATE template0", name, name)
    execute(cursor, "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", name)
    execute(cursor, "GRANT CONNECT ON DATABASE {} TO {}", name, reader)
    print(f"The database {name} is there.", flush=True)


def ensure_role(cursor, name: str, password: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    statement = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}")
    cursor.execute(statement.format(sql.Identifier(name), sql.Literal(password)))


def drop(cursor) -> None:
    name, reader = os.environ["PORTAL_DATABASE"], os.environ["PORTAL_READER"]
    execute(cursor, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    execute(cursor, "DROP ROLE IF EXISTS {}", reader)
    execute(cursor, "DROP ROLE IF EXISTS {}", name)
    print(f"The database {name} is gone.", flush=True)


def execute(cursor, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))


if __name__ == "__main__":
    main()
