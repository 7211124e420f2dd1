"""The DAG bundle of a Deployment: immutable versions of code in folders, and a pointer to the
current one.

Runs inside Airflow (dag-processor, workers, task pods, and the scheduler of LocalExecutor). A DAG
run keeps the version it began with, because Airflow asks for the bundle with that version; new runs
take the current one.

Code comes in one of two ways. On one machine the data plane unpacks versions into `code_folder` and
writes the pointer there. On Kubernetes an archive arrives in parts in a mounted folder
(`slots_folder`), and this bundle unpacks it; the kubelet replaces the parts of a running pod one
after the other, so an incomplete set is ignored until it is complete.
"""

import logging
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles import base
from airflow.dag_processing.bundles.base import BaseDagBundle
from portal_code import (
    EXAMPLES,
    dags_folder,
    import_folders,
    read_current,
    remove_unused,
    unpack_kept,
    unpack_slots,
)

DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
# The kubelet brings new code within about a minute.
PATIENCE_SECONDS = 90

VERSIONS = "SELECT DISTINCT bundle_version FROM dag_run WHERE bundle_version IS NOT NULL"
# What this process can import of the version it serves.
_imported: list[str] = []

log = logging.getLogger(__name__)


class PortalDagBundle(BaseDagBundle):
    """Serve `code_folder/<version>`, or the example DAGs until something was deployed.

    The name of the current version is in the file `current` of `state_folder`, or of `code_folder`
    where there is no such folder. It is replaced as one step after the version's folder is
    complete, so an incomplete version is never read. `code_folder` may be shared by many pods,
    `state_folder` is one pod's own: pods get new code at different moments.
    """

    supports_versioning = True

    def __init__(
        self,
        *,
        code_folder: str,
        example_folder: str,
        slots_folder: str = "",
        state_folder: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._code_folder = Path(code_folder)
        self._example_folder = Path(example_folder)
        self._slots_folder = Path(slots_folder) if slots_folder else None
        self._pointer = Path(state_folder or code_folder) / "current"
        self._current = read_current(self._pointer)

    @property
    def path(self) -> Path:
        return dags_folder(self._version_folder)

    @property
    def _version_folder(self) -> Path:
        version = self.version or self._current
        if version == EXAMPLES:
            return self._example_folder
        return self._code_folder / version

    def initialize(self) -> None:
        self._take_new_code()
        if self.version is None:
            self._wait_for_first_code()
            self._current = read_current(self._pointer)
        else:
            self._find_version(self.version)
        _import_from(self._version_folder, airflows_own=self.path)
        super().initialize()

    def refresh(self) -> None:
        # A bundle asked for with a version stays at that version.
        if self.version is None:
            self._take_new_code()
            self._current = read_current(self._pointer)
            _import_from(self._version_folder, airflows_own=self.path)

    def get_current_version(self) -> Any:
        version = self.version or self._current
        # Airflow 3.3 wants an object and warns about a string; 3.2 knows only the string.
        make = getattr(base, "BundleVersion", None)
        return make(version=version) if make else version

    def view_url(self, version: str | None = None) -> str | None:
        return None

    def _wait_for_first_code(self) -> None:
        """Wait in a new pod until the slots are complete. To serve the examples instead would make
        Airflow forget the DAGs.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._slots_folder and not self._pointer.exists():
            if time.monotonic() > deadline:
                raise RuntimeError("The code of this Deployment did not arrive whole.")
            time.sleep(2)
            self._take_new_code()

    def _find_version(self, version: str) -> None:
        """Unpack the version of an older run again, wait for one that this pod may be about to get,
        and continue with the current one if it does not come.
        """
        if version == EXAMPLES or self._is_there(version):
            return
        if self._slots_folder is None:
            log.error("Code %s is gone. Clear the run with the newest version.", version)
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_there(version):
            if time.monotonic() > deadline:
                self._current = read_current(self._pointer)
                log.warning("Code %s is gone; the run goes on with %s.", version, self._current)
                self.version = None
                return
            time.sleep(2)
            self._take_new_code()

    def _is_there(self, version: str) -> bool:
        try:
            is_there = unpack_kept(self._code_folder, version)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            log.warning("Code %s could not be unpacked: %s", version, error)
            return False
        if is_there:
            _touch(self._code_folder / version)
        return is_there

    def _take_new_code(self) -> None:
        """Unpack what is in the slots, if it is complete and not there yet, and point to it."""
        if self._slots_folder is None:
            return
        try:
            version = unpack_slots(self._slots_folder, self._code_folder)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            log.warning("New code is not used yet: %s", error)
            return
        if version != read_current(self._pointer) or not self._pointer.exists():
            _write(self._pointer, version)
            remove_unused(self._code_folder, current=version, of_runs=versions_of_runs())


def versions_of_runs() -> set[str] | None:
    """Return the versions of all DAG runs, which people may start again; None where this process
    cannot ask: a worker has no database.
    """
    if not os.environ.get(DATABASE):
        return None
    try:
        from airflow.utils.session import create_session  # noqa: PLC0415 - a worker has none
        from sqlalchemy import text  # noqa: PLC0415

        with create_session() as session:
            found = session.execute(text(VERSIONS)).scalars().all()
    # Whatever it is, code is kept for longer then: a task of LocalExecutor may not ask either.
    except Exception as error:
        log.info("Old code is kept: the versions of runs are not known (%s).", error)
        return None
    return {str(version) for version in found}


def _import_from(folder: Path, *, airflows_own: Path) -> None:
    """Let modules of a whole project be imported from its folder and from its `dags`; Airflow adds
    the one of them that is the path of the bundle itself.
    """
    for path in _imported:
        if path in sys.path:
            sys.path.remove(path)
    _imported[:] = [one for one in import_folders(folder) if one != str(airflows_own)]
    sys.path.extend(_imported)


def _touch(folder: Path) -> None:
    try:
        os.utime(folder)
    except OSError:
        log.warning("The use of code %s could not be noted.", folder.name)


def _write(pointer: Path, version: str) -> None:
    pointer.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".current-", dir=pointer.parent)
    with os.fdopen(handle, "w") as stream:
        stream.write(f"{version}\n")
    Path(name).replace(pointer)
