"""Room on the disk of this machine in which Airflows from elsewhere are read, one at a time."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from apps.dataplane.errors import Permanent, Temporary

# The portal's own database may be on the same disk.
RESERVED_BYTES = 512 * 1024**2
BLOCK_BYTES = 512
ENDING_SECONDS = 10.0
FILES, SERVER, SOCKET, LOCK = "files", "postgres", "socket", "lock"
NO_ROOM = "This machine has no room for the database. Free some space, and try again."
NO_MORE = (
    "The database needs more than the {limit} MiB that the portal has for one. The operator "
    "raises the limit with the setting PORTAL_IMPORT_SCRATCH_MIB."
)


class ScratchBusy(Temporary):
    """Another process of this machine reads an Airflow."""


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A folder, and how many bytes may lie in it; 0 is as many as its disk has room for."""

    folder: Path
    most_bytes: int = 0

    @property
    def files(self) -> Path:
        """A folder that no other user may enter."""
        return self.folder / FILES

    @property
    def server(self) -> Path:
        """A folder of the user that runs PostgreSQL."""
        return self.folder / SERVER

    @property
    def socket(self) -> Path:
        """A link to the folder of a socket, whose path has to be short."""
        return self.folder / SOCKET

    def check_room(self) -> None:
        """Raise Permanent when the disk is nearly full, or too much lies here."""
        if shutil.disk_usage(self.folder).free < RESERVED_BYTES:
            raise Permanent(NO_ROOM)
        if self.most_bytes and _bytes_below(self.folder) > self.most_bytes:
            raise Permanent(NO_MORE.format(limit=f"{self.most_bytes // 1024**2:,}"))


@contextmanager
def claimed(scratch: Scratch) -> Iterator[None]:
    """Hold the folder alone meanwhile, and leave it empty. What a process that was killed left goes
    first. Raises ScratchBusy, and Permanent where nothing can be written.
    """
    try:
        # Of use to the user that runs PostgreSQL, who has a folder in it.
        scratch.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        lock = os.open(scratch.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Permanent(
            f"The folder {scratch.folder} cannot be written: {error.strerror}. Correct it or "
            "PORTAL_IMPORT_FOLDER."
        ) from error
    try:
        if not _is_locked(lock):
            raise ScratchBusy("Another Airflow is being read. This one waits.")
        _empty(scratch)
        try:
            scratch.check_room()
            scratch.files.mkdir(mode=0o700)
            yield
        finally:
            _empty(scratch)
    finally:
        os.close(lock)


def remove_leftovers(scratch: Scratch) -> None:
    """Remove what processes that were killed left, unless an Airflow is being read."""
    if any(os.path.lexists(path) for path in (scratch.files, scratch.server, scratch.socket)):
        with suppress(ScratchBusy, Permanent), claimed(scratch):
            pass


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _empty(scratch: Scratch) -> None:
    if scratch.socket.is_symlink():
        shutil.rmtree(scratch.socket.readlink(), ignore_errors=True)
        scratch.socket.unlink()
    for folder in (scratch.files, scratch.server):
        _remove(folder)


def _remove(folder: Path) -> None:
    # A server whose worker was killed this moment still writes while it ends.
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _bytes_below(folder: Path) -> int:
    """Return what files take of the disk. Those that go meanwhile do not count."""
    total, folders = 0, [folder]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                    continue
                with suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
    return total
