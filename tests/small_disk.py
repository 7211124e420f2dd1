"""A disk of a few MB that a test can really fill."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SIZE_MB = 8


@dataclass(frozen=True)
class SmallDisk:
    path: Path

    def fill(self) -> None:
        """Take every byte that is left."""
        for size in (2**16, 1):
            with pytest.raises(OSError, match="No space left"):
                self._grow_ballast(size)

    def leave(self, n_bytes: int) -> None:
        """Take all but so many bytes."""
        free = shutil.disk_usage(self.path).free
        with self._ballast.open("ab", buffering=0) as file:
            file.write(b"x" * max(0, free - n_bytes))

    def make_room(self) -> None:
        self._ballast.unlink()

    def files(self) -> list[str]:
        """Name all that is there, but the ballast."""
        found = (path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        return sorted(str(path) for path in found if path.name != self._ballast.name)

    def _grow_ballast(self, size: int) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * size)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mount a small disk at `path`. Skips the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(path)]
    made = subprocess.run(mount, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
