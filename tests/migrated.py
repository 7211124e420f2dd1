"""The test database as migrations leave it, kept from one run to the next.

Migrating takes each process of a run seven seconds of processor time. The first run that finds no
dump for these migrations writes one; later ones load it into a database that those of the tests are
copied from. Django migrates all the same, which is little then, and brings what is newer.
"""

import hashlib
import subprocess
from pathlib import Path

import psycopg

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases

PROJECT = Path(__file__).resolve().parents[1]
KEPT = PROJECT / ".pytest_cache" / "migrated"
TEMPLATE = "migrated"


def load(home: Home) -> bool:
    """Make the database TEMPLATE from the dump; say whether there was one that works."""
    if not _dump().exists():
        return False
    url = embedded_databases.database_url(home)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
        loaded = _run(home, "psql", TEMPLATE, "-qX", "-v", "ON_ERROR_STOP=1", "-1", "-f", _dump())
        if not loaded:
            connection.execute(f"DROP DATABASE {TEMPLATE}")
            _dump().unlink(missing_ok=True)
    return loaded


def keep(home: Home, database: str) -> None:
    """Write the dump of a database that was just migrated, in place of those before it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    unfinished = _dump().with_suffix(".unfinished")
    if not _run(home, "pg_dump", database, "--no-comments", "-f", unfinished):
        return
    for old in KEPT.glob("*.sql"):
        old.unlink(missing_ok=True)
    unfinished.rename(_dump())


def _run(home: Home, program: str, database: str, *arguments: str | Path) -> bool:
    url = embedded_databases.database_url(home).rpartition("/")[0]
    command = [
        embedded_databases.postgres_binaries(home) / program,
        "-d",
        f"{url}/{database}",
        *arguments,
    ]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def _dump() -> Path:
    sources = [PROJECT / "requirements-dev.lock", *sorted(PROJECT.glob("apps/*/migrations/*.py"))]
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources))
    return KEPT / f"{digest.hexdigest()[:16]}.sql"
