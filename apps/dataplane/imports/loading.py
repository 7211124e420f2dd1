"""Filling a database of its own with what came from elsewhere, as a role that owns nothing else.

What is in a dump is the work of strangers: whatever it runs, it runs with the rights of that role,
on a server that has nothing else. The source is only read.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.imports import formats
from apps.dataplane.imports.scratch import NO_ROOM, Scratch
from apps.dataplane.imports.server import ENDED, throwaway_database
from apps.dataplane.imports.sqlite import load_sqlite
from apps.dataplane.imports.tunnel import PORT, socket_url, tunnel
from apps.dataplane.imports.types import ImportSource, SourceServer
from apps.dataplane.local.backups.archives import run_program
from apps.dataplane.local.home import Home

NEWEST_SERVER = 18
READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=20000"
NO_MEMORY = (
    "The database needs more memory than a worker of the portal has. The operator raises it with "
    "the setting PORTAL_WORKER_MEMORY_MB."
)
BROKEN = "The tables of Airflow in it are not as Airflow makes them."
UNREADABLE = (
    "PostgreSQL could not read the dump: it is damaged, cut off, or made by a newer PostgreSQL "
    f"than {NEWEST_SERVER}. Make it again, and upload it."
)


@contextmanager
def loaded(home: Home, scratch: Scratch, source: ImportSource) -> Iterator[str]:
    """Load a source into a server of its own, and yield the URL of the database, which is gone
    afterwards. Raises Permanent or Temporary.
    """
    # What is no dump, and a server that refuses, is told without a server of ours.
    path, kind = _fetched(home, scratch, source)
    with throwaway_database(home, scratch) as url:
        if kind == "archive":
            _restore(home, url, path)
        elif kind == "plain":
            _run_sql(home, url, path)
        else:
            with failures_told():
                load_sqlite(url=url, path=path, scratch=scratch)
        yield url


def _fetched(home: Home, scratch: Scratch, source: ImportSource) -> tuple[Path, formats.Format]:
    """Return a file that can be loaded, and what kind it is."""
    if source.server is not None:
        archive = scratch.files / "source.dump"
        _dump(home, scratch, source.server, archive)
        return archive, "archive"
    path = Path(source.dump_path)
    kind = formats.format_of(path)
    if kind == "gzip":
        unpacked = scratch.files / "unpacked"
        formats.unpack(path, unpacked, scratch.check_room)
        path, kind = unpacked, formats.format_of(unpacked)
    if kind == "gzip":
        raise Permanent("The file is compressed twice. Unpack it, and upload it again.")
    if kind == "plain":
        loadable = scratch.files / "loadable.sql"
        formats.write_loadable(path, loadable, scratch.check_room)
        return loadable, kind
    return path, kind


def _restore(home: Home, url: str, path: Path) -> None:
    options = ["--no-owner", "--no-privileges", "--no-comments", "--schema=public"]
    status, lines = run_program(
        home,
        "pg_restore",
        [*options, "--exit-on-error", "--single-transaction", str(path)],
        url=url,
    )
    if status != 0:
        raise Permanent(known_reason(lines) or UNREADABLE, log=lines)


def _run_sql(home: Home, url: str, path: Path) -> None:
    status, lines = run_program(
        home,
        "psql",
        [
            *("--no-psqlrc", "--quiet", "--single-transaction"),
            *("--set", "ON_ERROR_STOP=1", "--file", str(path)),
        ],
        url=url,
    )
    if status != 0:
        raise Permanent(known_reason(lines) or UNREADABLE, log=lines)


def known_reason(lines: tuple[str, ...]) -> str:
    """Return why a program of PostgreSQL failed, if its last lines say that it is no fault of what
    it read, else "".
    """
    text = " ".join(lines)
    if "No space left" in text:
        return NO_ROOM
    return NO_MEMORY if "out of memory" in text else ""


def _dump(home: Home, scratch: Scratch, server: SourceServer, archive: Path) -> None:
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
            check=scratch.check_room,
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
    return socket_url(place, PORT, name=server.database, role=server.user, password=server.password)


@contextmanager
def failures_told() -> Iterator[None]:
    """Raise Permanent or Temporary where the database meanwhile fails."""
    try:
        yield
    except psycopg.errors.DiskFull:
        raise Permanent(NO_ROOM) from None
    except psycopg.errors.OutOfMemory:
        raise Permanent(NO_MEMORY) from None
    except psycopg.OperationalError:
        raise Temporary(ENDED) from None
    except psycopg.Error:
        raise Permanent(BROKEN) from None
