"""Restores an archive into a new database beside that of a Deployment. A program of its own under
supervisord, which `restoring.py` starts.

It reads no rows of the portal. The database that is in use is not touched: it is replaced when this
one has ended well. Run as `python -m apps.dataplane.local.backups.restore_program <ref> <archive>
<sha256> <pause|keep>`.
"""

import sys
from pathlib import Path

import psycopg

from apps.dataplane.errors import DataPlaneError, Permanent
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.backups.archives import run_program, sha256_of
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import Folder, read_state


def restore(*, home: Home, ref: str, archive: Path, sha256: str, pauses_dags: bool) -> None:
    """Restore an archive beside the database of a Deployment. Raises DataPlaneError."""
    folder = Folder(home, ref)
    state = read_state(folder)
    if state is None:
        raise Permanent("The Deployment has no folder on this machine yet.")
    check_archive(archive, sha256)
    url = database.begin_restore(LocalConfig.from_environment(home), folder, state)
    status, lines = run_program(
        home,
        "pg_restore",
        ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(archive)],
        url=url,
    )
    for line in lines:
        print(line, flush=True)
    if status != 0:
        raise Permanent("PostgreSQL could not read the backup.")
    if pauses_dags:
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE dag SET is_paused = true")


def check_archive(archive: Path, sha256: str) -> None:
    """Raise Permanent for an archive that is gone, cut off or changed."""
    if not archive.is_file():
        raise Permanent("The file of the backup is gone.")
    if sha256_of(archive) != sha256:
        raise Permanent("The file of the backup is damaged: its checksum is another one.")


def main() -> int:
    """Restore what the command line names; return the exit status."""
    ref, archive, sha256, dags = sys.argv[1:5]
    try:
        restore(
            home=Home.from_environment(),
            ref=ref,
            archive=Path(archive),
            sha256=sha256,
            pauses_dags=dags == "pause",
        )
    except DataPlaneError as error:
        print(error.message, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
