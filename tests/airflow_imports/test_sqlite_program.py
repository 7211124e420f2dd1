"""What reads a SQLite database that strangers made, before PostgreSQL sees a row of it."""

import gzip
import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.imports import formats, sqlite, sqlite_program
from apps.dataplane.imports.scratch import Scratch
from apps.dataplane.imports.sqlite_program import copied
from tests.airflow_imports.airflow_2_11 import make

REAL = gzip.decompress((make.HERE / "airflow.db.gz").read_bytes())
HEAD = "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('{}');"


def made(folder: Path, script: str) -> Path:
    path = folder / "airflow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def load(path: Path, folder: Path) -> None:
    scratch = Scratch(folder=folder / "place")
    scratch.files.mkdir(parents=True, exist_ok=True)
    sqlite.load_sqlite(url="", path=path, scratch=scratch)


def written(folder: Path, path: Path, table: str, columns: list[list[str]]) -> list[str]:
    place = folder / "place"
    place.mkdir(exist_ok=True)
    job = {"database": str(path), "folder": str(place), "reserved_bytes": 0}
    said = sqlite_program.main({**job, "columns": {table: columns}})
    assert said["problem"] == "", said
    file = place / f"{table}.copy"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("CREATE TABLE other (id)", "has no table alembic_version.*was copied while"),
        ("CREATE VIEW alembic_version AS SELECT '5f2621c13b39' AS version_num", "has no table"),
        (HEAD.format("686269002441"), "Airflow 2.9.2. Upgrade it to 2.11 where it is"),
        (HEAD.format("ffffffffffff"), "a newer one may come with a newer portal"),
        (HEAD.format("../../etc/passwd"), "which no Airflow has that the portal knows"),
        ("CREATE TABLE alembic_version (version_num)", "end at nothing"),
    ],
)
def test_what_is_no_database_of_a_known_airflow_is_said(
    tmp_path: Path, script: str, sentence: str
) -> None:
    with pytest.raises(Permanent, match=sentence):
        load(made(tmp_path, script), tmp_path)


def test_a_damaged_one_is_said_and_how_to_copy_it(tmp_path: Path) -> None:
    path = tmp_path / "airflow.db"
    for content in (REAL[:8192] + bytes(100_000) + REAL[108_192:], REAL[:100] + bytes(len(REAL))):
        path.write_bytes(content)
        with pytest.raises(Permanent, match=r"damaged or cut off\. Stop that Airflow, or run"):
            load(path, tmp_path)


def test_one_that_was_copied_without_what_was_written_last_is_said(tmp_path: Path) -> None:
    path, copy = tmp_path / "airflow.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(HEAD.format("5f2621c13b39"))
        shutil.copyfile(path, copy)

        with pytest.raises(Permanent, match="copied while that Airflow ran"):
            load(copy, tmp_path)


def test_nothing_that_the_file_brings_is_run(tmp_path: Path) -> None:
    path = made(
        tmp_path,
        """
        CREATE TABLE real (id, size AS (length(zeroblob(1000000000))), name);
        INSERT INTO real (id, name) VALUES (1, 'one');
        CREATE INDEX lying ON real (name);
        CREATE VIEW dag AS SELECT 1 AS id, hex(randomblob(100)) AS name;
        CREATE VIRTUAL TABLE log USING fts5(name);
        """,
    )

    assert written(tmp_path, path, "real", [["id", "integer"], ["size", "integer"]]) == ["1"]
    for table in ("dag", "log"):
        assert written(tmp_path, path, table, [["name", "text"]]) == []
    connection = sqlite_program.opened(str(path))
    connection.set_authorizer(sqlite_program._authorize)
    for evil in (
        "ATTACH 'other.db' AS other",
        "INSERT INTO real (id) VALUES (2)",
        "SELECT load_extension('x')",
        "PRAGMA query_only = OFF",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    ):
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute(evil)
    assert {one.name for one in tmp_path.iterdir()} == {"airflow.db", "place"}


def test_one_that_grows_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(
        tmp_path,
        "CREATE TABLE dag (id); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "LIMIT 5000) INSERT INTO dag SELECT i FROM n",
    )
    monkeypatch.setattr(sqlite_program, "MOST_GROWTH", 0)
    monkeypatch.setattr(sqlite_program, "MOST_SPARE", 1000)
    (tmp_path / "place").mkdir()
    job = {"database": str(path), "folder": str(tmp_path / "place"), "reserved_bytes": 0}
    job |= {"columns": {"dag": [["id", "integer"]]}}

    assert sqlite_program.main(job) == {"problem": "large"}
    (tmp_path / "place" / "dag.copy").unlink()
    monkeypatch.undo()
    assert sqlite_program.main({**job, "reserved_bytes": 2**60}) == {"problem": "full"}


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "text", "\\N"),
        ("\\N", "text", "\\\\N"),
        ("a\tb\nc\rd\\", "text", "a\\tb\\nc\\rd\\\\"),
        ("a\0b", "character varying", "a\ufffdb"),
        (1, "boolean", "t"),
        (0, "boolean", "f"),
        (7, "integer", "7"),
        (7.0, "bigint", "7"),
        (0.25, "double precision", "0.25"),
        (b"\x80\x04K\x01.", "bytea", "\\\\x80044b012e"),
        ("text", "bytea", "\\\\x74657874"),
        (b"text", "text", "text"),
        (b"\xff", "text", "\ufffd"),
        ("2025-01-02 00:00:00.000000", "timestamp with time zone", "2025-01-02 00:00:00.000000"),
        ('{"a": "b\\n"}', "json", '{"a": "b\\\\n"}'),
        (5, "json", "5"),
        ('{"a": NaN, "b": -Infinity}', "jsonb", '{"a": "NaN", "b": "-Infinity"}'),
        ('"a\\u0000b"', "jsonb", '"a\\\\ufffdb"'),
        ('"\\u0000 \\\\u0000"', "jsonb", '"\\\\ufffd \\\\\\\\u0000"'),
        ("null", "json", "null"),
    ],
)
def test_values_become_those_of_postgresql(value: Any, kind: str, expected: str) -> None:
    assert copied(value, kind) == expected


def test_a_sqlite_that_is_shorter_than_it_says_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(REAL)
    assert formats.format_of(path) == "sqlite"

    for length in (16, 4096, len(REAL) - 4096):
        path.write_bytes(REAL[:length])
        with pytest.raises(Permanent, match="cut off: it is shorter than it says"):
            formats.format_of(path)


def test_the_program_is_given_nothing_of_the_portal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], *, environment: dict[str, str], **fields: Any) -> Any:
        seen.update(
            command=command, environment=environment, job=json.loads(Path(command[-1]).read_text())
        )
        raise Permanent("Enough.")

    monkeypatch.setattr(sqlite, "run", run)
    (tmp_path / "files").mkdir()
    scratch = Scratch(folder=tmp_path)
    with pytest.raises(Permanent, match="Enough"):
        sqlite.load_sqlite(url="postgresql://u:secret@h/d", path=tmp_path / "a", scratch=scratch)

    assert set(seen["environment"]) == {"LANG", "PATH"}
    assert "secret" not in str(seen)


@pytest.mark.parametrize("seed", range(3))
def test_damage_at_any_place_is_told_or_read_over(tmp_path: Path, seed: int) -> None:
    chance, path = random.Random(seed), tmp_path / "airflow.db"
    seen = set()
    for _ in range(15):
        content = bytearray(REAL)
        for _ in range(chance.choice((1, 20, 200))):
            content[chance.randrange(chance.choice((8192, len(content))))] = chance.randrange(256)
        path.write_bytes(content)
        job = {"database": str(path), "folder": str(tmp_path), "reserved_bytes": 0, "columns": {}}
        seen.add(sqlite_program.main(job)["problem"])

    assert seen == {"", "damaged"}
