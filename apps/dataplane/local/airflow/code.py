"""Code of a Deployment: immutable folders named by digest, and a pointer that is replaced
atomically.
"""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.layout import Folder
from apps.dataplane.local.private_files import write_private
from apps.dataplane.spec import CodeSpec

EXAMPLES = "examples"
# Known to `portal_code` in the folder `runtime`.
ARCHIVES = ".archives"
MAX_FILES = 50_000
MAX_BYTES = 2 * 1024**3
VERSIONS_KEPT = 10
# Airflow unpacks earlier versions here, too; what is older than this was left by a killed process.
UNFINISHED_SECONDS = 3_600


def current_digest(folder: Folder) -> str:
    """Return the digest that new runs use, empty while the example DAGs are served."""
    try:
        name = (folder.code / "current").read_text().strip()
    except FileNotFoundError:
        return ""
    return "" if name == EXAMPLES else name


def deliver(folder: Folder, code: CodeSpec | None) -> None:
    """Unpack the version if it is not there, then make it the current one.

    Raises Permanent when the archive is not what the portal accepted, Temporary when it cannot be
    read.
    """
    folder.code.mkdir(mode=0o700, exist_ok=True)
    if code is not None:
        _unpack(folder.code / code.digest, code)
        _keep_archive(folder, code)
    pointer = folder.code / "current"
    write_private(pointer, f"{code.digest if code else EXAMPLES}\n")


def prune(
    folder: Folder, *, in_use: Collection[str], of_runs: Collection[str] | None = None
) -> None:
    """Remove versions that are neither in use nor among the last ten, and remains of an interrupted
    delivery.

    An archive stays as long as a run has its version: when that run is started again, Airflow
    unpacks it (`portal_code.unpack_kept`). `of_runs` are the versions of all runs, None where they
    are not known.
    """
    kept = {*in_use, current_digest(folder)}
    versions = [
        path for path in folder.code.iterdir() if path.is_dir() and not path.name.startswith(".")
    ]
    versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in versions[VERSIONS_KEPT:]:
        if path.name not in kept:
            _take_away(path)
    _remove_unfinished(folder.code)
    if of_runs is None:
        return
    for archive in (folder.code / ARCHIVES).glob("*.zip"):
        if archive.stem not in of_runs and not (folder.code / archive.stem).is_dir():
            archive.unlink(missing_ok=True)


def _take_away(version: Path) -> None:
    """Remove a version as a whole: a run that is started again meanwhile never sees a part of it,
    and unpacks its own.
    """
    gone = Path(tempfile.mkdtemp(prefix=".removing-", dir=version.parent))
    version.rename(gone / "code")
    remove_tree(gone)


def _remove_unfinished(versions: Path) -> None:
    before = time.time() - UNFINISHED_SECONDS
    for path in [*versions.glob(".*"), *(versions / ARCHIVES).glob("*.part")]:
        try:
            is_old = path.stat(follow_symlinks=False).st_mtime < before
        except FileNotFoundError:
            continue  # what Airflow unpacks gets its name when it is complete
        if not is_old or path.name == ARCHIVES:
            continue
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a folder, read-only parts too. Nothing happens if it is gone."""
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        raise Temporary(f"The folder {path.name} could not be removed completely.")


def _unpack(target: Path, code: CodeSpec) -> None:
    if target.is_dir():
        os.utime(target)  # `prune` goes by the last time a version was wanted
        return
    unfinished = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
    try:
        _check_digest(code)
        with zipfile.ZipFile(code.archive_path) as archive:
            check_archive(archive)
            archive.extractall(unfinished)  # noqa: S202 - every name was checked
            copy_modes(unfinished, archive)
        unfinished.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # the pass says which disk is full
        raise Temporary(f"The code could not be unpacked: {error.strerror or error}.") from error
    except zipfile.BadZipFile as error:
        raise Permanent("The code archive is damaged. Deploy the code again.") from error
    finally:
        remove_tree(unfinished)


def check_archive(archive: zipfile.ZipFile) -> None:
    """Raise Permanent for an archive that leaves its folder, holds links, or is too large."""
    members = archive.infolist()
    if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_BYTES:
        raise Permanent("The code archive is too large: at most 50,000 files and 2 GB are allowed.")
    for member in members:
        path = PurePosixPath(member.filename)
        is_outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if is_outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Permanent(
                f"The code archive contains a path that is not allowed: {member.filename!r}."
            )


def _check_digest(code: CodeSpec) -> None:
    with Path(code.archive_path).open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != code.digest:
        raise Permanent("The code archive is not the one that was deployed. Deploy the code again.")


def _keep_archive(folder: Folder, code: CodeSpec) -> None:
    """Keep the archive for Airflow, which cannot ask the portal for it. A link takes no space."""
    kept = folder.code / ARCHIVES / f"{code.digest}.zip"
    if kept.exists() or not Path(code.archive_path).exists():
        return
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        kept.hardlink_to(code.archive_path)
    except FileExistsError:
        return
    except OSError:
        # The portal's storage is on another disk, or one without links.
        unfinished = kept.with_suffix(".part")
        shutil.copyfile(code.archive_path, unfinished)
        unfinished.replace(kept)


def copy_modes(folder: Path, archive: zipfile.ZipFile) -> None:
    """Make every file read-only, and executable where the archive says so; nothing else of a mode
    is taken over. Folders stay writable for their owner: one that is not cannot be renamed on
    macOS.
    """
    for member in archive.infolist():
        if not member.is_dir():
            is_program = member.external_attr >> 16 & stat.S_IXUSR
            (folder / member.filename).chmod(0o555 if is_program else 0o444)
