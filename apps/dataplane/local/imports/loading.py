"""Filling a database of its own with what came from elsewhere, as a role that owns nothing else.

What is in a dump is the work of strangers: whatever it runs, it runs with the rights of that role,
as DAG code does later. The source is only read.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.imports import formats
from apps.dataplane.imports.tunnel import PORT, tunnel
from apps.dataplane.imports.types import ImportSource, SourceServer
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.backups.archives import run_program
from apps.dataplane.local.backups.dumping import RESERVED_BYTES
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.imports.sqlite import NO_ROOM, load_sqlite

NEWEST_SERVER = 18
READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=20000"
BROKEN = "The tables of Airflow in it are not as Airflow makes them."
UNREADABLE = (
    "PostgreSQL could not read the dump: it is damaged, cut off, or made by a newer PostgreSQL "
    f"than {NEWEST_SERVER}. Make it again, and upload it."
)


@contextmanager
def loaded(home: Home, config: LocalConfig, source: ImportSource, folder: Path) -> Iterator[str]:
    """Load a source, and yield the URL of the database, which is dropped afterwards. Files go into
    `folder`, which no one else may enter. Raises Permanent or Temporary.
    """
    name = f"airflow_import_{source.key}"
    try:
        url = database.begin_import(config, name)
        if source.server is not None:
            archive = folder / "source.dump"
            _dump(home, source.server, archive)
            _restore(home, url, archive)
        else:
            _load_file(home, url, Path(source.dump_path), folder)
        yield url
    finally:
        database.drop_import(config, name)


def _load_file(home: Home, url: str, path: Path, folder: Path) -> None:
    kind = formats.format_of(path)
    if kind == "gzip":
        unpacked = folder / "unpacked"
        formats.unpack(path, unpacked, lambda: check_room(home))
        path, kind = unpacked, formats.format_of(unpacked)
    if kind == "archive":
        _restore(home, url, path)
    elif kind == "plain":
        _run_sql(home, url, path, folder)
    elif kind == "sqlite":
        with failures_told():
            load_sqlite(url=url, path=path, folder=folder, reserved_bytes=RESERVED_BYTES)
    else:
        raise Permanent("The file is compressed twice. Unpack it, and upload it again.")


def _restore(home: Home, url: str, path: Path) -> None:
    options = ["--no-owner", "--no-privileges", "--no-comments", "--schema=public"]
    status, lines = run_program(
        home,
        "pg_restore",
        [*options, "--exit-on-error", "--single-transaction", str(path)],
        url=url,
        check=lambda: check_room(home),
    )
    if status != 0:
        raise Permanent(UNREADABLE, log=lines)


def _run_sql(home: Home, url: str, path: Path, folder: Path) -> None:
    loadable = folder / "loadable.sql"
    formats.write_loadable(path, loadable, lambda: check_room(home))
    status, lines = run_program(
        home,
        "psql",
        [
            *("--no-psqlrc", "--quiet", "--single-transaction"),
            *("--set", "ON_ERROR_STOP=1", "--file", str(loadable)),
        ],
        url=url,
        check=lambda: check_room(home),
    )
    if status != 0:
        raise Permanent(UNREADABLE, log=lines)


def _dump(home: Home, server: SourceServer, archive: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="astro-portal-") as place, tunnel(server, Path(place)):
        _check_server(server, place)
        status, lines = run_program(
            home,
            "pg_dump",
            [
                *("--format=custom", "--no-owner", "--no-privileges", "--schema=public"),
                *("--lock-wait-timeout=30s", "--file", str(archive)),
            ],
            url=_url(server, place),
            check=lambda: check_room(home),
        )
    if status != 0:
        raise Permanent(
            f"The database {server.database} could not be read. The user must be allowed to read "
            "all its tables.",
            log=lines,
        )


def _check_server(server: SourceServer, place: str) -> None:
    """Raise Permanent or Temporary where there is nothing that can be dumped."""
    try:
        with psycopg.connect(
            _url(server, place), autocommit=True, connect_timeout=10, options=READ_ONLY
        ) as connection:
            version = connection.info.server_version // 10_000
            row = connection.execute("SELECT to_regclass('public.alembic_version')").fetchone()
    except psycopg.OperationalError as error:
        raise _refusal(server, str(error)) from None
    except psycopg.Error:
        raise Permanent(f"{server.host} does not answer as PostgreSQL does.") from None
    if version > NEWEST_SERVER:
        raise Permanent(
            f"The server is PostgreSQL {version}; this portal reads {NEWEST_SERVER} and older. "
            "Dump it with --format=plain there, and upload that."
        )
    if row is None or row[0] is None:
        raise Permanent(f"The database {server.database} has no tables of Airflow.")


def _refusal(server: SourceServer, text: str) -> Permanent | Temporary:
    # The server's own words may be anything; only what they say is told.
    if "authentication failed" in text or "no password" in text:
        return Permanent(f"{server.host} refuses the user {server.user} or its password.")
    if "does not exist" in text:
        return Permanent(f"{server.host} has no database {server.database}, or no such user.")
    if "pg_hba.conf" in text:
        return Permanent(
            f"{server.host} does not let this machine in. Allow it there (pg_hba.conf, security "
            "group)."
        )
    return Temporary(f"{server.host} ended the connection.")


def _url(server: SourceServer, place: str) -> str:
    return database.socket_url(
        place, PORT, name=server.database, role=server.user, password=server.password
    )


@contextmanager
def failures_told() -> Iterator[None]:
    """Raise Permanent or Temporary where the database meanwhile fails."""
    try:
        yield
    except psycopg.errors.DiskFull:
        raise Permanent("The disk of the database server is full. Free some space.") from None
    except psycopg.OperationalError:
        raise Temporary("The database server of this machine does not answer.") from None
    except psycopg.Error:
        raise Permanent(BROKEN) from None


def check_room(home: Home) -> None:
    """Raise Permanent while the disk has too little room."""
    if shutil.disk_usage(home.path).free < RESERVED_BYTES:
        raise Permanent(NO_ROOM)
