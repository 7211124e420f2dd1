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

import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from airflow.dag_processing.bundles import base
from airflow.dag_processing.bundles.base import BaseDagBundle

EXAMPLES = "examples"
MOST_FILES = 50_000
MOST_BYTES = 2 * 1024**3
VERSIONS_KEPT = 20
# A version that no task has started with for so long has no running task left.
UNUSED_SECONDS = 7 * 86_400
# The kubelet brings new code within about a minute.
PATIENCE_SECONDS = 90

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
        self._current = self._read_current()

    @property
    def path(self) -> Path:
        version = self.version or self._current
        if version == EXAMPLES:
            return self._example_folder
        return self._code_folder / version

    def initialize(self) -> None:
        self._take_new_code()
        if self.version is None:
            self._wait_for_first_code()
            self._current = self._read_current()
        else:
            self._find_version(self.version)
        super().initialize()

    def refresh(self) -> None:
        # A bundle asked for with a version stays at that version.
        if self.version is None:
            self._take_new_code()
            self._current = self._read_current()

    def get_current_version(self) -> Any:
        version = self.version or self._current
        # Airflow 3.3 wants an object and warns about a string; 3.2 knows only the string.
        make = getattr(base, "BundleVersion", None)
        return make(version=version) if make else version

    def view_url(self, version: str | None = None) -> str | None:
        return None

    def _read_current(self) -> str:
        try:
            return self._pointer.read_text().strip() or EXAMPLES
        except FileNotFoundError:
            return EXAMPLES

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
        """Wait for a version that this pod may be about to get, and continue with the current one
        if it does not come.
        """
        if self._slots_folder is None:
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.path.is_dir():
            if time.monotonic() > deadline:
                self._current = self._read_current()
                log.warning("Code %s is gone; the run goes on with %s.", version, self._current)
                self.version = None
                return
            time.sleep(2)
            self._take_new_code()
        if version != EXAMPLES:
            _touch(self.path)

    def _take_new_code(self) -> None:
        """Unpack what is in the slots, if it is complete and not there yet, and point to it."""
        if self._slots_folder is None:
            return
        try:
            version = unpack_slots(self._slots_folder, self._code_folder)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            log.warning("New code is not used yet: %s", error)
            return
        if version != self._read_current() or not self._pointer.exists():
            _write(self._pointer, version)
            remove_unused(self._code_folder, current=version)


def unpack_slots(slots: Path, code_folder: Path) -> str:
    """Make the version in the slots a folder of `code_folder` and return its name.

    Raises ValueError for slots that are incomplete or not of one archive, BadZipFile or ValueError
    for an archive that must not be unpacked, OSError when the disk fails.
    """
    try:
        manifest = json.loads((slots / "manifest.json").read_text())
    except FileNotFoundError:
        return EXAMPLES
    digest = str(manifest["digest"])
    target = code_folder / digest
    if target.is_dir():
        return digest
    code_folder.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=code_folder))
    try:
        archive = unfinished / "archive.zip"
        _join(slots, int(manifest["parts"]), archive, digest)
        unpacked = unfinished / "code"
        unpacked.mkdir()
        with zipfile.ZipFile(archive) as opened:
            _check(opened)
            opened.extractall(unpacked)
        _make_read_only(unpacked)
        _move(unpacked, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return digest


def remove_unused(code_folder: Path, *, current: str) -> None:
    """Remove versions that no task used for a week and that are not among the last twenty."""
    versions = [path for path in code_folder.glob("*") if path.is_dir()]
    versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    oldest = time.time() - UNUSED_SECONDS
    for path in versions[VERSIONS_KEPT:]:
        if path.name != current and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)


def _join(slots: Path, parts: int, archive: Path, digest: str) -> None:
    found = hashlib.sha256()
    with archive.open("wb") as stream:
        for number in range(parts):
            part = (slots / f"part-{number:02}").read_bytes()
            found.update(part)
            stream.write(part)
    if found.hexdigest() != digest:
        raise ValueError("its parts have not all arrived")


def _check(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MOST_FILES or sum(member.file_size for member in members) > MOST_BYTES:
        raise ValueError("the archive is too large")
    for member in members:
        path = PurePosixPath(member.filename)
        is_outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if is_outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"the archive holds a path that is not allowed: {member.filename!r}")


def _make_read_only(folder: Path) -> None:
    """Protect the files from a slip. Shared file systems that have one fixed mode refuse that: the
    code is used all the same.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                Path(parent, name).chmod(0o444)
            except OSError as error:
                log.info("Code stays writable on this file system: %s", error.strerror)
                return


def _move(unpacked: Path, target: Path) -> None:
    try:
        unpacked.rename(target)
    except OSError:
        # Another pod was faster.
        if not target.is_dir():
            raise


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
