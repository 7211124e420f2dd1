"""Bring database and static files up to date before the portal starts, if something changed."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psycopg

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private
from astro_portal.portal_programs import PROJECT, django_environment

STATIC_ROOT = PROJECT / "staticfiles"
LOCK_FILE = PROJECT / "requirements.lock"


def migrate_if_needed(home: Home, database_url: str) -> bool:
    """Run the migrations unless code and database are as they were after the last run.

    All code counts, because rows like the built-in roles are brought up to date after migrations.
    """
    stamp = home.path / "migrated.json"
    files = sorted(PROJECT.glob("apps/**/*.py"))
    digest = _digest([*files, LOCK_FILE])
    state = {"files": digest, "database": _applied(database_url)}
    if stamp.exists() and json.loads(stamp.read_text()) == state:
        return False
    manage(home, "migrate", "--no-input")
    write_private(stamp, json.dumps({"files": digest, "database": _applied(database_url)}))
    return True


def start_collecting_static(home: Home) -> "StaticFiles | None":
    """Begin to collect the static files in the background; None if nothing changed."""
    sources = [
        path for folder in _static_folders() for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    digest = _digest([*sources, LOCK_FILE])
    stamp = STATIC_ROOT / ".collected"
    if stamp.exists() and stamp.read_text() == digest:
        return None
    return StaticFiles(_start(home, "collectstatic", "--no-input", "--clear"), stamp, digest)


class StaticFiles:
    """A running `collectstatic`."""

    def __init__(self, process: subprocess.Popen[str], stamp: Path, digest: str) -> None:
        self.process = process
        self.stamp = stamp
        self.digest = digest

    def wait(self) -> None:
        """Wait for its end. Raises Permanent with its last lines when it failed."""
        _finish(self.process, "collectstatic")
        self.stamp.write_text(self.digest)


def manage(home: Home, *arguments: str) -> str:
    """Run a management command and return what it printed. Raises Permanent if it failed."""
    return _finish(_start(home, *arguments), arguments[0])


def _start(home: Home, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        cwd=PROJECT,
        env=django_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str], name: str) -> str:
    output, errors = process.communicate()
    if process.returncode:
        lines = tuple((output + errors).strip().splitlines()[-15:])
        raise Permanent(
            f"`manage.py {name}` failed: {lines[-1] if lines else 'it said nothing'}", log=lines
        )
    return output


def _applied(database_url: str) -> list[str]:
    query = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            return [str(row[0]) for row in connection.execute(query)]
    except psycopg.errors.UndefinedTable:
        return []


def _static_folders() -> list[Path]:
    return [PROJECT / "static", *sorted(PROJECT.glob("apps/*/static"))]


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
