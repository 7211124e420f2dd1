"""A SQLite database, as `airflow standalone` writes it, becomes the PostgreSQL database that the
same Airflow would have made: its tables from `runtime/schemas`, its rows as they are.

The file is the work of strangers, so that a program with limits reads it, which knows no secret of
the portal; the rows go in as the role that owns the new database.

    airflow.db ──▶ sqlite_program ──▶ a file for each table ──▶ COPY ──▶ constraints, sequences
"""

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from apps.dataplane.errors import Permanent
from apps.dataplane.imports import sqlite_program
from apps.dataplane.imports.scratch import NO_ROOM, RESERVED_BYTES, Scratch
from apps.dataplane.imports.versions import version_of
from apps.dataplane.local.airflow.environment import SYSTEM_PATH
from apps.dataplane.project_checks.processes import Limits, run

PROGRAM = Path(sqlite_program.__file__)
SCHEMAS = Path(__file__).resolve().parents[3] / "runtime" / "schemas"
ROWS_COME_HERE = "-- The rows come here.\n"
LIMITS = Limits(wall_seconds=3_600, cpu_seconds=3_000, memory_mib=4_096, file_mib=32 * 1024)
CHUNK_BYTES = 1024**2
OPTIONS = "-c statement_timeout=3600000 -c TimeZone=UTC -c search_path=public"
COPY_AGAIN = (
    'Stop that Airflow, or run sqlite3 airflow.db ".backup copy.db", and upload airflow.db, or '
    "copy.db."
)
NO_AIRFLOW = (
    "This SQLite database has no table alembic_version: it is not Airflow's, or was copied while "
    f"that Airflow ran. {COPY_AGAIN}"
)
DAMAGED = f"The SQLite database is damaged or cut off. {COPY_AGAIN}"
TOO_LARGE = "The SQLite database has far more in it than its size tells, so it was not read."
TOO_LONG = "Reading the SQLite database took longer than an hour, so it was given up."
# What has accounts of people is left behind, and not there in each Airflow.
OF_PEOPLE = ("ab_", "session")
UNLIKE = (
    "The SQLite database has no {what}, which that Airflow has. Run airflow db migrate where it "
    "is, and upload it again."
)
REFUSED = (
    (psycopg.errors.StringDataRightTruncation, "are longer than Airflow allows"),
    (psycopg.errors.ForeignKeyViolation, "belong to rows that are missing"),
    (psycopg.errors.UniqueViolation, "are there twice"),
)

Columns = dict[str, list[list[str]]]


def load_sqlite(*, url: str, path: Path, scratch: Scratch) -> None:
    """Fill the empty database at `url` with a file of SQLite. Raises Permanent; psycopg's errors
    where the server fails.
    """
    folder = scratch.files
    job = {"database": str(path), "folder": str(folder), "reserved_bytes": RESERVED_BYTES}
    head = _answer(scratch, {**job, "columns": {}})["head"]
    if not head:
        raise Permanent(NO_AIRFLOW)
    version_of(head)
    before, after = schema_of(head)
    with psycopg.connect(url, connect_timeout=10, options=OPTIONS) as connection:
        connection.execute(before)
        wanted = columns_in(connection)
        done = _answer(scratch, {**job, "columns": wanted})
        _check_whole(wanted, done["columns"])
        table = ""
        try:
            for table, columns in done["columns"].items():
                _copy(connection, table, columns, folder / f"{table}.copy")
            connection.execute(after)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Permanent(_refusal(error.diag.table_name or table, error)) from None
        _set_sequences(connection)


def schema_of(head: str) -> tuple[str, str]:
    """Return the SQL of an Airflow's tables, before and after rows are in them, by the head of its
    migrations.
    """
    before, _, after = (SCHEMAS / f"{head}.sql").read_text().partition(ROWS_COME_HERE)
    return before, after


def _answer(scratch: Scratch, job: dict[str, Any]) -> dict[str, Any]:
    """Run the program, and return what it answered. Raises Permanent."""
    folder = scratch.files
    (folder / "job.json").write_text(json.dumps(job))
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    ended = run(
        [sys.executable, "-I", "-S", str(PROGRAM), str(folder / "job.json")],
        environment={"LANG": "C.UTF-8", "PATH": SYSTEM_PATH},
        folder=folder,
        limits=_limits(),
        check=scratch.check_room,
    )
    if ended.is_late:
        raise Permanent(TOO_LONG)
    try:
        said: dict[str, Any] = json.loads(answer.read_text())
    except (OSError, ValueError, RecursionError):
        said = {"problem": sqlite_program.DAMAGED}
    match said["problem"]:
        case sqlite_program.DAMAGED:
            raise Permanent(DAMAGED)
        case sqlite_program.FULL:
            raise Permanent(NO_ROOM)
        case sqlite_program.LARGE:
            raise Permanent(TOO_LARGE)
    return said


def _limits() -> Limits:
    """Return no more memory than a worker of the portal has, which others in its pod need, too."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY:
        return LIMITS
    return replace(LIMITS, memory_mib=min(LIMITS.memory_mib, most // 1024**2))


def columns_in(connection: psycopg.Connection) -> Columns:
    """Return the columns of each table of a database, with their types."""
    rows = connection.execute(
        "SELECT relname, attname, format_type(atttypid, NULL) FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 "
        "AND NOT attisdropped ORDER BY relname, attnum"
    )
    found: Columns = {}
    for table, column, kind in rows.fetchall():
        found.setdefault(str(table), []).append([str(column), str(kind)])
    return found


def _check_whole(wanted: Columns, found: dict[str, list[str]]) -> None:
    for table, columns in wanted.items():
        if table.startswith(OF_PEOPLE):
            continue
        if table not in found:
            raise Permanent(UNLIKE.format(what=f"table {table}"))
        for column, _ in columns:
            if column not in found[table]:
                raise Permanent(UNLIKE.format(what=f"column {column} in the table {table}"))


def _copy(connection: psycopg.Connection, table: str, columns: list[str], path: Path) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with path.open("rb") as rows, connection.cursor() as cursor, cursor.copy(statement) as copy:
        while chunk := rows.read(CHUNK_BYTES):
            copy.write(chunk)
    path.unlink()


def _refusal(table: str, error: psycopg.Error) -> str:
    why = next(
        (words for kind, words in REFUSED if isinstance(error, kind)), "have values of another kind"
    )
    return (
        f"The table {table} has rows that PostgreSQL does not take: they {why}. Remove them where "
        "they are, with sqlite3 or airflow db clean, and upload the database again."
    )


def _set_sequences(connection: psycopg.Connection) -> None:
    """Let each sequence go on after the highest number of its column."""
    rows = connection.execute(
        "SELECT relname, attname, pg_get_serial_sequence(quote_ident(relname), attname) "
        "FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 "
        "AND NOT attisdropped"
    )
    for table, column, sequence in rows.fetchall():
        if sequence is not None:
            last = sql.SQL("SELECT setval(%s::regclass, max({}) ) FROM {} HAVING max({}) > 0")
            names = (sql.Identifier(column), sql.Identifier(table), sql.Identifier(column))
            connection.execute(last.format(*names), [sequence])
