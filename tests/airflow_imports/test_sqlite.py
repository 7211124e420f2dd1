"""Databases of SQLite, as real Airflows wrote them, become those of PostgreSQL."""

import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from apps.dataplane.errors import Permanent
from apps.dataplane.imports import sqlite
from apps.dataplane.imports.types import ImportedDatabase
from apps.dataplane.imports.versions import HEADS
from apps.dataplane.local.backups.archives import run_program
from apps.dataplane.local.home import Home
from tests.airflow_imports.airflow_2_11 import make
from tests.airflow_imports.test_reading import config, home, read, restored, scratch, source_url

__all__ = ["config", "home", "read", "scratch", "source_url"]
pytestmark = pytest.mark.slow
OF_2_11 = make.HERE / "airflow.db.gz"
OF_3_1 = make.HERE.parent / "airflow_3_1" / "airflow.db.gz"
# What a database is made of, without the order of columns.
MADE_OF = """
    SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
        attnotnull::text
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
        AND NOT attisdropped
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', tablename, indexname, indexdef, ''
    FROM pg_indexes WHERE schemaname = 'public'
"""


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str], Path]:
    """Return an airflow.db of 2.11 with a script run in it."""

    def changed(script: str, source: Path = OF_2_11) -> Path:
        path = tmp_path / "airflow.db"
        path.write_bytes(gzip.decompress(source.read_bytes()))
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        return path

    return changed


def rows_of(url: str, *queries: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(url) as connection:
        return [connection.execute(query).fetchall() for query in queries]


@pytest.mark.parametrize(
    ("source", "versions", "users"),
    [(OF_2_11, "2.10.3 to 2.11", ("ada@example.org",)), (OF_3_1, "3.1.8 or newer 3.1", ())],
)
def test_an_airflow_db_becomes_what_a_dump_of_that_airflow_becomes(
    home: Home,
    source_url: str,
    read: Any,
    tmp_path: Path,
    source: Path,
    versions: str,
    users: tuple[str, ...],
) -> None:
    imported: ImportedDatabase = read(source)

    found = imported.found
    assert (found.versions, found.users, found.secrets) == (versions, users, 2)
    assert (found.counts["DAG runs"], found.counts["Task instances"]) == (1, 1)
    assert {one.dag_id: one.is_paused for one in found.dags} == {
        "never_unpaused": True,
        "orders_daily": False,
        "stock_hourly": False,
    }
    archive = str(tmp_path / "archives" / "out.dump")
    assert run_program(home, "pg_restore", ["--no-owner", archive], url=source_url)[0] == 0
    run, task, xcom, pools, secret, paused, accounts = rows_of(
        source_url,
        "SELECT dag_id, state, logical_date::text FROM dag_run"
        if source == OF_3_1
        else "SELECT dag_id, state, execution_date::text FROM dag_run",
        "SELECT task_id, state, end_date > '2026-11-01' FROM task_instance",
        "SELECT key FROM xcom",
        "SELECT pool, slots, include_deferred FROM slot_pool ORDER BY slots",
        "SELECT password FROM connection WHERE conn_id = 'warehouse'",
        "SELECT bool_and(is_paused) FROM dag",
        "SELECT count(*) FROM ab_user",
    )
    assert run == [("orders_daily", "success", "2025-01-02 00:00:00+00")]
    assert task == [("load", "success", True)]
    assert xcom == [("return_value",)]
    assert pools == [("narrow", 2, False), ("default_pool", 128, False)]
    assert Fernet(imported.fernet_key).decrypt(secret[0][0]).decode() == make.PASSWORD
    assert (paused, accounts) == ([(True,)], [(0,)])
    # A row that comes next is not one that is there.
    with psycopg.connect(source_url) as connection:
        connection.execute(
            "INSERT INTO slot_pool (pool, slots, include_deferred) VALUES ('x', 1, true)"
        )


def test_the_tables_of_a_2_11_are_those_that_a_real_one_made(
    home: Home, source_url: str, tmp_path: Path
) -> None:
    restored(home, source_url, tmp_path)
    [real] = rows_of(source_url, MADE_OF)
    with psycopg.connect(source_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        for part in sqlite.schema_of("5f2621c13b39"):
            connection.execute(part.encode())

    [ours] = rows_of(source_url, MADE_OF)

    assert set(ours) ^ set(real) == set()


def test_each_airflow_that_is_known_has_its_tables() -> None:
    assert {path.stem for path in sqlite.SCHEMAS.glob("*.sql")} == set(HEADS)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "UPDATE task_instance SET run_id = 'gone'",
            "task_instance.*belong to rows that are missing",
        ),
        (
            "UPDATE dag_tag SET name = hex(zeroblob(300)) WHERE dag_id = 'orders_daily'",
            "dag_tag.*longer than Airflow allows",
        ),
        ("UPDATE dag_run SET start_date = 'some day'", "dag_run.*have values of another kind"),
        ("DROP TABLE dag; CREATE VIEW dag AS SELECT 'x' AS dag_id", "no table dag, which"),
        ("ALTER TABLE connection RENAME extra TO more", "no column extra in the table connection"),
    ],
)
def test_what_cannot_be_taken_is_said_and_leaves_nothing(
    read: Any, tmp_path: Path, changed: Callable[..., Path], script: str, sentence: str
) -> None:
    path = changed(f"PRAGMA foreign_keys = OFF; {script}")
    with pytest.raises(Permanent, match=sentence):
        read(path)
    assert not (tmp_path / "archives" / "out.dump").exists()


def test_what_postgresql_has_no_place_for_is_changed_and_all_else_is_not(
    home: Home, source_url: str, read: Any, tmp_path: Path, changed: Callable[..., Path]
) -> None:
    text = 'a\\tab\t "line"\nü\\N'
    path = changed("")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE dag SET description = ?", [text])
        connection.execute("UPDATE dag_run SET conf = ?", [bytes(range(256))])
        connection.execute("UPDATE task_instance SET hostname = 'a' || char(0) || 'b'")
        connection.execute("UPDATE trigger SET id = id")
        connection.execute(
            "INSERT INTO dag_run_note (user_id, dag_run_id, content, created_at, "
            "updated_at) SELECT 1, id, 'Looked at.', start_date, start_date FROM dag_run"
        )

    read(path)

    archive = str(tmp_path / "archives" / "out.dump")
    assert run_program(home, "pg_restore", ["--no-owner", archive], url=source_url)[0] == 0
    described, conf, host, note = rows_of(
        source_url,
        "SELECT DISTINCT description FROM dag",
        "SELECT conf FROM dag_run",
        "SELECT hostname FROM task_instance",
        "SELECT user_id, content FROM dag_run_note",
    )
    assert (described, conf, host) == ([(text,)], [(bytes(range(256)),)], [("a\ufffdb",)])
    assert note == [(None, "Looked at.")]
