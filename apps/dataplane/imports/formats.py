"""What kind of dump a file is, and a plain one made fit to be loaded by psql."""

import re
import secrets
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from apps.dataplane.errors import Permanent

Format = Literal["archive", "plain", "gzip", "sqlite"]
HEAD_BYTES, CHUNK_BYTES = 64 * 1024, 1024**2
# Airflow keeps a whole DAG in one value.
LONGEST_LINE = 256 * 1024**2
MYSQL = (b"-- MySQL dump", b"-- MariaDB dump", b"/*!40", b"/*M!", b"-- phpMyAdmin")
SQLITE = b"SQLite format 3\0"
SQLITE_TEXT = (b"PRAGMA foreign_keys", b"BEGIN TRANSACTION;")
COPY = re.compile(rb"COPY .+ FROM stdin;\s*")
# Owners and rights stay where they were; what depends on the server is left to this one.
LEFT_OUT = re.compile(
    rb"(ALTER .* OWNER TO .*;|GRANT |REVOKE |ALTER DEFAULT PRIVILEGES |DROP |"
    rb"(CREATE SCHEMA public;|ALTER SCHEMA |(CREATE|ALTER) EXTENSION )|"
    rb"COMMENT ON (SCHEMA|EXTENSION) |"
    rb"ALTER TABLE IF EXISTS ONLY .* DROP CONSTRAINT |"
    rb"SET (transaction_timeout|default_tablespace|default_table_access_method) = |"
    rb"\\(un)?restrict \w+\s*$)"
)


def format_of(path: Path) -> Format:
    """Return what kind of dump a file is. Raises Permanent, with a message, for any other file."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(b"PGDMP") or head.startswith(b"toc.dat\0"):
        return "archive"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(SQLITE):
        _check_size(head, path.stat().st_size)
        return "sqlite"
    _refuse(head)
    if b"PostgreSQL database dump" not in head:
        raise Permanent(
            "This is no dump of PostgreSQL, and no airflow.db. Make a dump with pg_dump "
            "--format=custom, and upload it."
        )
    return "plain"


def _refuse(head: bytes) -> None:
    if not head:
        raise Permanent("The file is empty. Make the dump again, and upload it.")
    if head.startswith(SQLITE_TEXT):
        raise Permanent("This is a dump of SQLite as text. Upload the file airflow.db itself.")
    if any(mark in head[:4096] for mark in MYSQL):
        raise Permanent(
            "This is a dump of MySQL or MariaDB, which cannot be brought to PostgreSQL. Move that "
            "Airflow to PostgreSQL first."
        )
    if head.startswith(b"PK\x03\x04"):
        raise Permanent("This is a ZIP archive. Upload the dump in it.")


def _check_size(head: bytes, size: int) -> None:
    """Raise Permanent for a SQLite that is shorter than it says. Source: "Database File Format"."""
    page_bytes = int.from_bytes(head[16:18], "big")
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    is_told = head[24:28] == head[92:96]
    pages = int.from_bytes(head[28:32], "big") if is_told else 1
    if len(head) < 100 or size < page_bytes * pages:
        raise Permanent(
            "The SQLite database is cut off: it is shorter than it says. Upload airflow.db again."
        )


def unpack(path: Path, target: Path, check: Callable[[], None]) -> None:
    """Write what is in a gzip file to `target`. `check` raises when there is no room for more.
    Raises Permanent for one that is damaged.
    """
    reader = zlib.decompressobj(31)
    try:
        with path.open("rb") as source, target.open("wb") as out:
            while chunk := source.read(CHUNK_BYTES):
                while chunk:
                    check()
                    out.write(reader.decompress(chunk, CHUNK_BYTES))
                    chunk = reader.unconsumed_tail
    except zlib.error:
        raise Permanent("The gzip file is damaged. Make it again, and upload it.") from None
    if not reader.eof:
        raise Permanent("The gzip file is cut off. Upload it again.")


def write_loadable(path: Path, target: Path, check: Callable[[], None]) -> None:
    """Write a plain dump so that psql loads it as any role, and runs none of the commands that psql
    itself has: a program of the machine would be one. Raises Permanent for a dump with such.

    psql reads it in its restricted mode (CVE-2025-8714), which only who knows the key ends.
    """
    key = secrets.token_hex(32)
    with path.open("rb") as source, target.open("wb") as out:
        out.write(f"\\restrict {key}\n".encode())
        for number, line in enumerate(_loadable_lines(source)):
            if number % 10_000 == 0:
                check()
            out.write(line)
        out.write(f"\\unrestrict {key}\n".encode())


def _loadable_lines(source: BinaryIO) -> Iterator[bytes]:
    is_data, is_complete = False, False
    while line := source.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise Permanent("The dump has a line of more than 256 MB, which is not taken.")
        if is_data:
            is_data = line.rstrip(b"\r\n") != b"\\."
            yield line
            continue
        if LEFT_OUT.match(line):
            continue
        if line.startswith(b"\\"):
            raise Permanent(
                "The dump has commands of psql. Make it with pg_dump, without --create, and upload "
                "it again."
            )
        is_complete = is_complete or b"PostgreSQL database dump complete" in line
        is_data = COPY.fullmatch(line) is not None
        yield line
    if is_data or not is_complete:
        raise Permanent("The dump is cut off: its end is missing. Make it again, and upload it.")
