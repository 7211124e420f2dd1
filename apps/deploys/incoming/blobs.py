"""Where uploads of programs wait: one folder each, blocks and then the whole.

Files are named by digests of what clients call them. Nothing is read here but what was written
here, and no upload is larger than code may be.
"""

import hashlib
import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage

from apps.core.errors import Conflict, Invalid

FOLDER = "uploads"
WHOLE = "whole"
MOST_BLOCKS = 2_000
LASTS = timedelta(days=1)


class UploadTooLarge(Invalid):
    def __init__(self) -> None:
        limit = settings.CODE_ARCHIVE_MAX_BYTES // 1024**2
        super().__init__(
            f"The upload is larger than {limit} MiB. Leave data files out of the dags folder."
        )


def add_block(*, name: str, block: str, chunks: Iterable[bytes]) -> None:
    """Store one block, in place of an earlier one of that name. Raises UploadTooLarge."""
    folder = _folder(name)
    target = folder / _block(block)
    there = [one for one in folder.iterdir() if one != target]
    if len(there) >= MOST_BLOCKS:
        raise UploadTooLarge
    _write(target, chunks, room=_limit() - sum(one.stat().st_size for one in there))


def join_blocks(*, name: str, blocks: list[str]) -> None:
    """Make the whole of blocks, in this order. Raises Conflict when one was not uploaded."""
    folder = _folder(name)
    pieces = [folder / _block(block) for block in blocks]
    if not all(piece.exists() for piece in pieces):
        raise Conflict("A block of this upload is missing. Upload it again.")
    if sum(piece.stat().st_size for piece in pieces) > _limit():
        raise UploadTooLarge
    with (folder / "joined").open("wb") as target:
        for piece in pieces:
            with piece.open("rb") as source:
                shutil.copyfileobj(source, target)
    (folder / "joined").replace(folder / WHOLE)
    for piece in set(pieces):
        piece.unlink()


def put_whole(*, name: str, chunks: Iterable[bytes]) -> None:
    """Store an upload that comes in one piece. Raises UploadTooLarge."""
    _write(_folder(name) / WHOLE, chunks, room=_limit())


def whole_of(name: str) -> Path | None:
    """Return where the whole of an upload is; None while there is none."""
    path = _folder(name) / WHOLE
    return path if path.exists() else None


def remove(name: str) -> None:
    shutil.rmtree(_path(name), ignore_errors=True)


def remove_old(*, now: datetime) -> int:
    """Remove what was uploaded a day ago and never became a deploy. Returns how many."""
    root = Path(default_storage.path(FOLDER))
    folders = list(root.iterdir()) if root.exists() else []
    before = (now - LASTS).timestamp()
    old = [folder for folder in folders if folder.stat().st_mtime < before]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def _write(target: Path, chunks: Iterable[bytes], *, room: int) -> None:
    partial = target.with_suffix(".part")
    size = 0
    try:
        with partial.open("wb") as stream:
            for chunk in chunks:
                size += len(chunk)
                if size > room:
                    raise UploadTooLarge
                stream.write(chunk)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _block(name: str) -> str:
    return f"block-{hashlib.sha256(name.encode()).hexdigest()}"


def _path(name: str) -> Path:
    return Path(default_storage.path(f"{FOLDER}/{name}"))


def _folder(name: str) -> Path:
    path = _path(name)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _limit() -> int:
    return int(settings.CODE_ARCHIVE_MAX_BYTES)
