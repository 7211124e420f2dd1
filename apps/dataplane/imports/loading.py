"""Filling a database of its own with what came from elsewhere, as a role that owns nothing else.

What is in a dump is the work of strangers: whatever it runs, it runs with the rights of that role,
on a server that has nothing else. The source is only read.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.imports import formats
from apps.dataplane.imports.scratch import NO_ROOM, Scratch
from apps.dataplane.imports.server import ENDED, throwaway_database
from apps.dataplane.imports.sqlite import load_sqlite
from apps.dataplane.imports.tunnel import PORT, socket_url, tunnel
from apps.dataplane.imports.types import ImportSource, SourceServer
from apps.dataplane.local.backups.archives import run_program
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.embedded_databases import postgres_binaries

NEWEST_SERVER = 18
READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout=20000"
# Airflow's tables may be in another schema, by `sql_alchemy_schema` or the search path of its user;
# those of Astronomer's Private Cloud are.
PUBLIC = "public"
OTHER_SCHEMAS = """
    SELECT nspname FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
"""
LONGEST_ENTRY = 10_000
TABLE = re.compile(rb"\d+; 1259 \d+ TABLE (.+?) alembic_version ")
SCHEMAS = """
    SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'alembic_version' AND relkind = 'r'
    ORDER BY nspname <> 'public', nspname LIMIT 10
"""
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
        with failures_told():
            _move_to_public(url)
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
    schema = _schema_in(home, path)
    with failures_told():
        _make_schema(url, schema)
    options = ["--no-owner", "--no-privileges", "--no-comments", f"--schema={schema}"]
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
        schema = _checked_schema(server, place).replace('"', '""')
        status, lines = run_program(
            home,
            "pg_dump",
            [
                *("--format=custom", "--no-owner", "--no-privileges", f'--schema="{schema}"'),
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


def _checked_schema(server: SourceServer, place: str) -> str:
    """Return the schema with the tables of Airflow. Raises Permanent or Temporary where there is
    nothing that can be dumped.
    """
    try:
        with psycopg.connect(
            _url(server, place), autocommit=True, connect_timeout=10, options=READ_ONLY
        ) as connection:
            version = connection.info.server_version // 10_000
            schemas = _schemas_of_airflow(connection)
    except psycopg.OperationalError as error:
        raise _refusal(server, str(error)) from None
    except psycopg.Error:
        raise Permanent(f"{server.host} does not answer as PostgreSQL does.") from None
    if version > NEWEST_SERVER:
        raise Permanent(
            f"The server is PostgreSQL {version}; this portal reads {NEWEST_SERVER} and older. "
            "Dump it with --format=plain there, and upload that."
        )
    if not schemas:
        raise Permanent(f"The database {server.database} has no tables of Airflow.")
    return schemas[0]


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


def _schemas_of_airflow(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """Name the schemas of a database that have tables of Airflow, `public` first."""
    return [str(name) for (name,) in connection.execute(SCHEMAS).fetchall()]


def _schema_in(home: Home, archive: Path) -> str:
    """Name the schema of an archive that has tables of Airflow; `public` where none is found."""
    found = set[str]()
    with subprocess.Popen(
        [str(postgres_binaries(home) / "pg_restore"), "--list", str(archive)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
    ) as process:
        assert process.stdout  # noqa: S101 - for the types: it is a pipe
        try:
            while line := process.stdout.readline(LONGEST_ENTRY):
                if match := TABLE.match(line):
                    found.add(match[1].decode(errors="replace"))
        finally:
            process.kill()
    return PUBLIC if PUBLIC in found or not found else min(found)


def _make_schema(url: str, name: str) -> None:
    """Make an empty schema, for an archive does not make the one that it is restored into."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        statement = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}")
        connection.execute(statement.format(sql.Identifier(name)))


def _move_to_public(url: str) -> None:
    """Let the schema with Airflow's tables be `public`, where Airflow of a Deployment looks, and
    the only one.
    """
    with psycopg.connect(url, connect_timeout=10) as connection:
        names = _schemas_of_airflow(connection)
        if names and names[0] != PUBLIC:
            connection.execute("DROP SCHEMA public CASCADE")
            statement = sql.SQL("ALTER SCHEMA {} RENAME TO public")
            connection.execute(statement.format(sql.Identifier(names[0])))
        for (name,) in connection.execute(OTHER_SCHEMAS).fetchall():
            drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(str(name)))
            connection.execute(drop)


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
