"""Migrated metadata databases, kept from one run to the next beside the runtimes of the tests.

Migrating one takes seconds of a processor, and each machine of a test would do it for each of its
runtimes. Whole portals, as `tests.e2e` starts them, do without this.
"""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.runtimes import RuntimeFolder
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.plane import LocalPlane


def load(plane: LocalPlane, runtime: RuntimeFolder, kept: Path) -> None:
    """Make the template of a runtime from its dump, if there is one that works."""
    if not (dump := _dump(runtime, kept)).exists():
        return
    name = database.template_name(runtime.version)
    url = urlsplit(database.begin_template(plane.config, name))
    options = ("-qX", "-v", "ON_ERROR_STOP=1", "-1", "-f", dump)
    if _run(plane, "psql", urlunsplit(url._replace(scheme="postgresql")), *options):
        database.finish_template(plane.config, name)
    else:
        dump.unlink()


def keep(plane: LocalPlane, runtime: RuntimeFolder, kept: Path) -> None:
    """Write the dump of a template that was just migrated."""
    if (dump := _dump(runtime, kept)).exists():
        return
    kept.mkdir(parents=True, exist_ok=True)
    unfinished = dump.with_suffix(".unfinished")
    url = urlsplit(plane.config.database_url)
    url = url._replace(path=f"/{database.template_name(runtime.version)}")
    options = ("--no-owner", "--no-privileges", "--no-comments", "-f", unfinished)
    if _run(plane, "pg_dump", urlunsplit(url), *options):
        unfinished.rename(dump)


def _run(plane: LocalPlane, program: str, url: str, *options: str | Path) -> bool:
    command = [embedded_databases.postgres_binaries(plane.home) / program, "-d", url, *options]
    return subprocess.run(command, capture_output=True).returncode == 0


def _dump(runtime: RuntimeFolder, kept: Path) -> Path:
    """Name the dump by the lock and the Python of the runtime, as its environment is."""
    return kept / f"{runtime.version}-{runtime.environment.name}.sql"
