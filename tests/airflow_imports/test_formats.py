"""Files that people upload as dumps, before any database is asked."""

import gzip
from pathlib import Path

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.imports import formats
from apps.dataplane.imports.versions import HEADS, version_of
from tests.airflow_imports.airflow_2_11 import make

PLAIN = gzip.decompress((make.HERE / "plain.sql.gz").read_bytes())


def written(folder: Path, content: bytes) -> Path:
    path = folder / "upload"
    path.write_bytes(content)
    return path


def nothing() -> None:
    return None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PGDMP\x01\x10", "archive"),
        (b"toc.dat\0" + bytes(600), "archive"),
        (gzip.compress(b"PGDMP", mtime=0), "gzip"),
        (PLAIN, "plain"),
    ],
)
def test_dumps_are_known_by_how_they_begin(tmp_path: Path, content: bytes, kind: str) -> None:
    assert formats.format_of(written(tmp_path, content)) == kind


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty"),
        (b"SQLite format 3\0", "cut off: it is shorter than it says"),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;", "a dump of SQLite as text"),
        (b"-- MySQL dump 10.13  Distrib 8.0.36", "a dump of MySQL"),
        (b"-- MariaDB dump 10.19", "a dump of MySQL or MariaDB"),
        (b"PK\x03\x04", "Upload the dump in it"),
        (bytes(range(128, 192)), "no dump of PostgreSQL"),
        (b"SELECT 1;", "no dump of PostgreSQL"),
    ],
)
def test_other_files_are_refused_with_what_to_do(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    with pytest.raises(Permanent, match=sentence):
        formats.format_of(written(tmp_path, content))


def test_a_plain_dump_is_left_without_owners_and_under_a_key(tmp_path: Path) -> None:
    target = tmp_path / "loadable"

    formats.write_loadable(written(tmp_path, PLAIN), target, nothing)

    lines = target.read_text().splitlines()
    assert lines[0].startswith("\\restrict ")
    assert lines[-1] == lines[0].replace("\\restrict", "\\unrestrict")
    commands = [line for line in lines[1:-1] if line.startswith("\\") and line != "\\."]
    assert not commands
    assert not [line for line in lines if "OWNER TO" in line]
    assert [line for line in lines if line.startswith("COPY public.dag_run ")]


@pytest.mark.parametrize(
    "line", [b"\\! touch /tmp/owned", b"\\connect other", b"\\i /etc/passwd", b"\\o |sh"]
)
def test_commands_of_psql_are_refused(tmp_path: Path, line: bytes) -> None:
    content = PLAIN.replace(b"SET statement_timeout = 0;", line, 1)

    with pytest.raises(Permanent, match="commands of psql"):
        formats.write_loadable(written(tmp_path, content), tmp_path / "loadable", nothing)


@pytest.mark.parametrize("end", [b"COPY public.slot_pool", b"-- PostgreSQL database dump complete"])
def test_a_plain_dump_that_is_cut_off_is_said(tmp_path: Path, end: bytes) -> None:
    content = PLAIN[: PLAIN.index(end)]

    with pytest.raises(Permanent, match="cut off"):
        formats.write_loadable(written(tmp_path, content), tmp_path / "loadable", nothing)


def test_gzip_is_unpacked_and_one_that_is_cut_off_or_damaged_is_said(tmp_path: Path) -> None:
    packed, target = gzip.compress(PLAIN), tmp_path / "unpacked"

    formats.unpack(written(tmp_path, packed), target, nothing)

    assert target.read_bytes() == PLAIN
    with pytest.raises(Permanent, match="cut off"):
        formats.unpack(written(tmp_path, packed[:-20]), target, nothing)
    broken = packed[:2000] + bytes(64) + packed[2064:]
    with pytest.raises(Permanent, match="damaged"):
        formats.unpack(written(tmp_path, broken), target, nothing)


def test_a_bomb_ends_when_there_is_no_room(tmp_path: Path) -> None:
    checks = iter([None, None, Permanent("This machine has no room for the database.")])

    def check() -> None:
        if error := next(checks):
            raise error

    with pytest.raises(Permanent, match="no room"):
        formats.unpack(written(tmp_path, gzip.compress(bytes(10**8))), tmp_path / "out", check)
    assert (tmp_path / "out").stat().st_size <= 2 * formats.CHUNK_BYTES


def test_airflows_are_told_by_their_migrations() -> None:
    assert version_of("5f2621c13b39")[1] == "2.10.3 to 2.11"
    assert len({version for version, _ in HEADS.values()}) == len(HEADS)
    with pytest.raises(Permanent, match="Airflow 2.9.2. Upgrade it to 2.11 where it is"):
        version_of("686269002441")
    with pytest.raises(Permanent, match="a newer one may come with a newer portal"):
        version_of("ffffffffffff")
