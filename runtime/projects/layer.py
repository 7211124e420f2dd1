"""One layer of an image, the same bytes for the same files: sorted, without times, of one owner.

The tar is compressed on all processors, in blocks of equal size that follow each other in one gzip
member, as pigz does it: how many processors there are changes no byte.
"""

import hashlib
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

USER, GROUP = 50_000, 0
# The first moment that a zip archive can name: packages are zipped by programs that run them.
MOMENT = 315_532_800
BLOCK_BYTES = 1024 * 1024
# 218 MiB of packages become 73 in 8 seconds of a processor; at level 6 63, in 14 seconds.
LEVEL = 1
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


@dataclass(frozen=True)
class Layer:
    """A compressed layer. `diff_id` is the digest of what is in it."""

    path: Path
    digest: str
    diff_id: str
    size: int


def write_layer(tree: Path, path: Path, *, below: Path, is_there: Callable[[Path], bool]) -> Layer:
    """Write the files of `tree` as files of the folder `below`, which is absolute. Folders that are
    there already keep what they have, so they are left out.
    """
    with path.open("wb") as target:
        packed = Packed(target)
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for source in sorted(entries(tree)):
                add(archive, source, below / source.relative_to(tree), is_there)
        packed.close()
    return Layer(path, f"sha256:{packed.digest}", f"sha256:{packed.diff_id}", path.stat().st_size)


def entries(tree: Path) -> Iterator[Path]:
    """Yield all folders and files, without what Python and uv leave behind."""
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if name != "__pycache__"]
        for name in (*names, *files):
            if name != ".lock":
                yield Path(folder, name)


def add(
    archive: tarfile.TarFile, source: Path, place: Path, is_there: Callable[[Path], bool]
) -> None:
    """Add one entry, as the official image has its own: the group may do what the owner may."""
    if source.is_dir() and not source.is_symlink() and is_there(place):
        return
    entry = archive.gettarinfo(source, arcname=str(place).lstrip("/"))
    entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime = USER, GROUP, "", "", MOMENT
    entry.mode = 0o775 if entry.isdir() or entry.mode & 0o100 else 0o664
    if entry.islnk():
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", source.stat().st_size
    if not entry.isreg():
        archive.addfile(entry)
        return
    with source.open("rb") as content:
        archive.addfile(entry, content)


class Packed:
    """A file to write to, which compresses what comes in blocks."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target = target
        self.rest = bytearray()
        self.size = self.crc = 0
        self.plain, self.packed = hashlib.sha256(), hashlib.sha256()
        self.workers = len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.workers)
        self.waiting: list[Future[bytes]] = []
        self.put(HEADER)

    def tell(self) -> int:
        return self.size

    def write(self, data: bytes) -> int:
        self.plain.update(data)
        self.crc = zlib.crc32(data, self.crc)
        self.size += len(data)
        self.rest += data
        while len(self.rest) >= BLOCK_BYTES:
            self.waiting.append(self.pool.submit(compress, bytes(self.rest[:BLOCK_BYTES])))
            del self.rest[:BLOCK_BYTES]
            self.drain(3 * self.workers)
        return len(data)

    def drain(self, most: int) -> None:
        while len(self.waiting) > most:
            self.put(self.waiting.pop(0).result())

    def put(self, data: bytes) -> None:
        self.packed.update(data)
        self.target.write(data)

    def close(self) -> None:
        self.drain(0)
        self.put(compress(bytes(self.rest), is_last=True))
        self.put(struct.pack("<II", self.crc, self.size & 0xFFFFFFFF))
        self.pool.shutdown()

    @property
    def digest(self) -> str:
        return self.packed.hexdigest()

    @property
    def diff_id(self) -> str:
        return self.plain.hexdigest()


def compress(block: bytes, is_last: bool = False) -> bytes:
    """Return a block that ends at a byte, so that the next can follow."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(block) + packer.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
