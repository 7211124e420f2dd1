"""Dumps of metadata databases, while Airflow runs: pg_dump reads one snapshot and locks out nothing
but changes of tables.

An archive gets its name only when it is complete and on the disk, so a dump that was cut off is
never mistaken for one.
"""

import os
import shutil
from pathlib import Path

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.backups.archives import run_program, sha256_of
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.layout import Folder, State, read_state
from apps.dataplane.status import DatabaseDump

# The portal's own database may be on the same disk.
RESERVED_BYTES = 512 * 1024**2
# Archives are compressed. In metadata databases text and JSON repeat, so this is cautious.
LIKELY_RATIO = 3


def dump_database(*, config: LocalConfig, folder: Folder, path: Path) -> DatabaseDump:
    """Write an archive of the Deployment's database to `path`. Raises DataPlaneError."""
    state = _readable_state(folder)
    _check_room(path, database.database_size(config, folder) // LIKELY_RATIO)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        _write(config, folder, state, unfinished)
        after = _readable_state(folder)
        if after.database_airflow != state.database_airflow:
            raise Temporary("The metadata database was migrated while it was being backed up.")
        dump = DatabaseDump(
            airflow_version=state.database_airflow,
            size_bytes=unfinished.stat().st_size,
            sha256=sha256_of(unfinished),
        )
        _put_in_place(unfinished, path)
    except OSError as error:
        raise Permanent(f"The backup could not be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return dump


def _readable_state(folder: Folder) -> State:
    state = read_state(folder)
    if state is None or not state.database_airflow:
        raise Permanent("This Deployment has no metadata database yet.")
    if state.migrating_to:
        raise Temporary("The metadata database is being migrated.")
    return state


def _write(config: LocalConfig, folder: Folder, state: State, path: Path) -> None:
    # Made here, so that no one else may read it while it grows.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    status, lines = run_program(
        folder.home,
        "pg_dump",
        ["--format=custom", "--compress=6", "--no-owner", "--no-privileges", "--file", str(path)],
        url=database.deployment_url(config, folder, state),
        check=lambda: _check_room(path, 0),
    )
    if status == 0:
        return
    if any("No space left" in line for line in lines):
        raise Permanent(_no_room(path))
    raise Permanent("PostgreSQL could not back up the metadata database.", log=lines)


def _check_room(path: Path, needed: int) -> None:
    if shutil.disk_usage(path.parent).free < RESERVED_BYTES + needed:
        raise Permanent(_no_room(path))


def _no_room(path: Path) -> str:
    return f"The disk of {path.parent} has no room for the backup. Free some space."


def _put_in_place(unfinished: Path, path: Path) -> None:
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
