"""Bring database and static files up to date before the portal starts, if something changed."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private
from astro_portal.portal_programs import PROJECT, code_digest, digest_of, django_environment

LOCK_FILE = PROJECT / "requirements.lock"


def migrate_if_needed(home: Home, database_url: str) -> bool:
    """Run the migrations unless code and database are unchanged since the last run.

    All code counts, because rows like the built-in roles are updated after migrations.
    """
    stamp = home.path / "migrated.json"
    digest = code_digest()
    state = {"files": digest, "database": _applied(database_url)}
    if stamp.exists() and json.loads(stamp.read_text()) == state:
        return False
    Command(home, "migrate", "--no-input").wait()
    write_private(stamp, json.dumps({"files": digest, "database": _applied(database_url)}))
    return True


def has_kubernetes(database_url: str) -> bool:
    """Return whether a Kubernetes cluster is registered. Raises psycopg.Error."""
    query = (
        "SELECT EXISTS (SELECT FROM clusters_cluster"
        " WHERE kind = 'kubernetes' AND removed_at IS NULL)"
    )
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    return bool(row and row[0])


def start_collecting_static(home: Home) -> "StaticFiles | None":
    """Begin to collect the static files in the background; None if nothing changed."""
    sources = [
        path for folder in _static_folders() for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    digest = digest_of([*sources, LOCK_FILE])
    stamp = home.path / "static" / ".collected"
    if stamp.exists() and stamp.read_text() == digest:
        return None
    return StaticFiles(home, stamp, digest)


class Command:
    """A management command that runs in the background."""

    def __init__(self, home: Home, *arguments: str) -> None:
        self.name = arguments[0]
        self.process = subprocess.Popen(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            cwd=PROJECT,
            env=django_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> str:
        """Return what it printed. Raises Permanent with its last lines if it failed."""
        output, errors = self.process.communicate()
        if self.process.returncode:
            lines = (output + errors).strip().splitlines() or ["it said nothing"]
            message = f"`manage.py {self.name}` failed: {lines[-1]}"
            raise Permanent(message, log=tuple(lines[-15:-1]))
        return output


class StaticFiles:
    """A `collectstatic` that runs in the background."""

    def __init__(self, home: Home, stamp: Path, digest: str) -> None:
        self.command = Command(home, "collectstatic", "--no-input", "--clear")
        self.stamp = stamp
        self.digest = digest

    def wait(self) -> None:
        """Wait for its end. Raises Permanent with its last lines if it failed."""
        self.command.wait()
        self.stamp.write_text(self.digest)


def _applied(database_url: str) -> list[str]:
    query = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            return [str(row[0]) for row in connection.execute(query)]
    except psycopg.errors.UndefinedTable:
        return []


def _static_folders() -> list[Path]:
    return [PROJECT / "static", *sorted(PROJECT.glob("apps/*/static"))]
