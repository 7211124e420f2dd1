"""Versions of a Deployment's code on disk: unpacked from archives, kept, and removed.

Standard library only: it is used while Airflow itself is still being imported. A version is a
folder named by the SHA-256 of its archive. The archive is kept beside the folders, in `.archives`:
folders go when no task has used them for long, and come back from it when an older run is started
again.
"""

import contextlib
import hashlib
import json
import logging
import re
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

EXAMPLES = "examples"
ARCHIVES = ".archives"
UNFINISHED = ".unpacking-"
MOST_FILES = 50_000
MOST_BYTES = 2 * 1024**3
VERSIONS_KEPT = 20
# A version that no task has started with for so long has no running task left.
UNUSED_SECONDS = 7 * 86_400
DIGEST = re.compile("[0-9a-f]{64}")
# A folder `dags` beside one of these belongs to a project, as Astro's and Airflow's own layouts do.
PROJECT_MARKS = (
    "plugins",
    "include",
    "requirements.txt",
    "pyproject.toml",
    "packages.txt",
    "Dockerfile",
)

log = logging.getLogger(__name__)


def read_current(pointer: Path) -> str:
    """Return the version that a pointer names; the examples before there is one."""
    try:
        return pointer.read_text().strip() or EXAMPLES
    except FileNotFoundError:
        return EXAMPLES


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
    if (code_folder / digest).is_dir() and _archive(code_folder, digest).exists():
        return digest
    with _unfinished(code_folder) as folder:
        archive = folder / "archive.zip"
        _join(slots, int(manifest["parts"]), archive)
        _unpack(archive, code_folder, digest, folder)
        kept = _archive(code_folder, digest)
        kept.parent.mkdir(exist_ok=True)
        archive.replace(kept)
    return digest


def unpack_kept(code_folder: Path, version: str) -> bool:
    """Unpack a version from its kept archive; return whether its folder is there now.

    Raises as `unpack_slots`.
    """
    if (code_folder / version).is_dir():
        return True
    archive = _archive(code_folder, version)
    if not DIGEST.fullmatch(version) or not archive.exists():
        return False
    with _unfinished(code_folder) as folder:
        _unpack(archive, code_folder, version, folder)
    return True


def remove_unused(
    code_folder: Path, *, current: str, of_runs: Collection[str] | None = None
) -> None:
    """Remove versions that no task used for a week and that are not among the last twenty, and
    archives of versions that are gone and that no run has. `of_runs` are the versions of all runs,
    None where they are not known: then every archive stays. What pods that were killed have half
    unpacked goes after a week.
    """
    oldest = time.time() - UNUSED_SECONDS
    versions = sorted(_times(code_folder, DIGEST.fullmatch), reverse=True)
    for used, path in versions[VERSIONS_KEPT:]:
        if path.name != current and used < oldest:
            _take_away(path)
    for begun, path in _times(code_folder, lambda name: name.startswith(UNFINISHED)):
        if begun < oldest:
            shutil.rmtree(path, ignore_errors=True)
    if of_runs is None:
        return
    for archive in (code_folder / ARCHIVES).glob("*.zip"):
        if archive.stem not in of_runs and not (code_folder / archive.stem).is_dir():
            with _going_on(archive):
                archive.unlink()


def _times(code_folder: Path, is_meant: Callable[[str], object]) -> list[tuple[float, Path]]:
    """Return the folders of some names, with when each was used last."""
    found = []
    for path in code_folder.glob("*"):
        with _going_on(path):
            if is_meant(path.name) and path.is_dir():
                found.append((path.stat().st_mtime, path))
    return found


def _take_away(version: Path) -> None:
    """Remove a version as a whole: a run that is started again meanwhile never sees a part of it,
    and unpacks its own.
    """
    with _going_on(version), _unfinished(version.parent) as folder:
        version.rename(folder / "code")


@contextlib.contextmanager
def _going_on(path: Path):
    """Let no file that cannot be removed stop the delivery of code: another pod that shares the
    volume may have been faster, or the file system refuses it.
    """
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("Old code %s stays: %s", path.name, error.strerror)


def import_folders(version_folder: Path) -> list[str]:
    """Return where modules of a version are imported from: its folder, and `dags` in it, where a
    whole project was deployed.
    """
    dags = version_folder / "dags"
    is_package = (dags / "__init__.py").exists()
    return [str(version_folder), *([str(dags)] if dags.is_dir() and not is_package else [])]


def dags_folder(version_folder: Path) -> Path:
    """Return where DAG files of a version are: in `dags` of a whole project, else anywhere in it.
    What lies in `include` and `plugins` of a project is no DAG file.
    """
    has_marks = any((version_folder / name).exists() for name in PROJECT_MARKS)
    is_split = len(import_folders(version_folder)) > 1
    return version_folder / "dags" if is_split and has_marks else version_folder


def _archive(code_folder: Path, version: str) -> Path:
    return code_folder / ARCHIVES / f"{version}.zip"


@contextlib.contextmanager
def _unfinished(code_folder: Path):
    """Yield a folder beside the versions, and remove it with what is left in it."""
    code_folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=code_folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _join(slots: Path, parts: int, archive: Path) -> None:
    with archive.open("wb") as stream:
        for number in range(parts):
            stream.write((slots / f"part-{number:02}").read_bytes())


def _unpack(archive: Path, code_folder: Path, digest: str, folder: Path) -> None:
    with archive.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
            raise ValueError("its parts have not all arrived")
    unpacked = folder / "code"
    unpacked.mkdir()
    with zipfile.ZipFile(archive) as opened:
        _check(opened)
        opened.extractall(unpacked)
        _set_modes(unpacked, opened)
    _move(unpacked, code_folder / digest)


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


def _set_modes(folder: Path, archive: zipfile.ZipFile) -> None:
    """Make every file read-only, and executable where the archive says so; nothing else of a mode
    is taken over. Shared file systems that have one fixed mode refuse that: the code is used all
    the same.
    """
    for member in archive.infolist():
        if member.is_dir():
            continue
        is_program = member.external_attr >> 16 & stat.S_IXUSR
        try:
            (folder / member.filename).chmod(0o555 if is_program else 0o444)
        except OSError as error:
            log.info("Code keeps the modes of this file system: %s", error.strerror)
            return


def _move(unpacked: Path, target: Path) -> None:
    try:
        unpacked.rename(target)
    except OSError:
        # Another process was faster.
        if not target.is_dir():
            raise
